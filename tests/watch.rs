//! Following real directories through real inotify. Each test waits for what it expects, with a deadline; none
//! waits for time to pass. Rescans are far apart unless a test says otherwise, so that only events can help.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_slim::scan::Selection;
use pcap_slim::watch::{Directory, Sighting, State, follow, scan_once};
use tokio::sync::mpsc;
use tokio::time::timeout;

const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
const DEADLINE: Duration = Duration::from_secs(20);

/// A followed directory and what was seen in it.
struct Followed {
    sightings: mpsc::Receiver<Sighting>,
}

impl Followed {
    fn new(root: &Path, recursive: bool, rescan: Duration) -> Self {
        let (sender, sightings) = mpsc::channel(16);
        tokio::spawn(follow(directory(root, recursive), rescan, sender));
        Self { sightings }
    }

    async fn next(&mut self) -> Sighting {
        timeout(DEADLINE, self.sightings.recv())
            .await
            .expect("nothing was seen")
            .unwrap()
    }

    /// The next sighting that is a scan of all that is there.
    async fn next_whole(&mut self) -> Vec<PathBuf> {
        loop {
            let sighting = self.next().await;
            if sighting.whole {
                return sighting.found.into_iter().map(|found| found.relative).collect();
            }
        }
    }

    /// Waits until `relative` is found, and returns every name found until then.
    async fn found(&mut self, relative: &str) -> HashSet<PathBuf> {
        let mut names = HashSet::new();
        while !names.contains(Path::new(relative)) {
            names.extend(self.next().await.found.into_iter().map(|found| found.relative));
        }
        names
    }
}

fn directory(root: &Path, recursive: bool) -> Directory {
    let selection = Selection::new(&["*.pcap".to_owned()], &[], recursive).unwrap();
    Directory::new(0, root, selection, |_, _| {})
}

#[tokio::test]
async fn captures_that_are_there_at_the_start_are_found_by_the_first_scan() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.pcap"), "").unwrap();
    let mut followed = Followed::new(root.path(), false, NEVER);
    assert_eq!(followed.next_whole().await, [PathBuf::from("a.pcap")]);
}

#[tokio::test]
async fn a_new_capture_is_found_with_its_last_size() {
    let root = tempfile::tempdir().unwrap();
    let mut followed = Followed::new(root.path(), false, NEVER);
    assert!(followed.next_whole().await.is_empty());
    let mut capture = fs::File::create(root.path().join("a.pcap")).unwrap();
    (0..10_000).for_each(|_| capture.write_all(b"x").unwrap());
    drop(capture);
    let mut sightings = 1;
    while followed
        .next()
        .await
        .found
        .iter()
        .all(|found| found.size != 10_000)
    {
        sightings += 1;
    }
    assert!(
        sightings < 100,
        "{sightings} looks at a capture that was written 10,000 times"
    );
}

#[tokio::test]
async fn a_capture_renamed_into_the_directory_is_found() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut followed = Followed::new(root.path(), false, NEVER);
    followed.next_whole().await;
    fs::write(elsewhere.path().join("a.pcap"), "").unwrap();
    fs::rename(elsewhere.path().join("a.pcap"), root.path().join("a.pcap")).unwrap();
    followed.found("a.pcap").await;
}

#[tokio::test]
async fn a_deleted_capture_is_told_as_gone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.pcap"), "").unwrap();
    let mut followed = Followed::new(root.path(), false, NEVER);
    followed.next_whole().await;
    fs::remove_file(root.path().join("a.pcap")).unwrap();
    assert_eq!(followed.next().await.gone, [PathBuf::from("a.pcap")]);
}

#[tokio::test]
async fn links_staging_files_and_markers_are_not_found() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("b.pcap"), "").unwrap();
    let mut followed = Followed::new(root.path(), true, NEVER);
    followed.next_whole().await;
    symlink(elsewhere.path().join("b.pcap"), root.path().join("link.pcap")).unwrap();
    fs::create_dir(root.path().join(".slim_markers")).unwrap();
    fs::write(root.path().join(".slim_markers/a.pcap"), "").unwrap();
    fs::write(root.path().join("a.pcap.tmp"), "").unwrap();
    fs::write(root.path().join("last.pcap"), "").unwrap();
    assert_eq!(
        followed.found("last.pcap").await,
        HashSet::from([PathBuf::from("last.pcap")])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_thousand_captures_at_once_none_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let mut followed = Followed::new(root.path(), false, NEVER);
    followed.next_whole().await;
    for number in 0..20_000 {
        fs::write(root.path().join(format!("{number}.pcap")), "").unwrap();
    }
    let mut names = HashSet::new();
    while names.len() < 20_000 {
        names.extend(
            followed
                .next()
                .await
                .found
                .into_iter()
                .map(|found| found.relative),
        );
    }
}

#[tokio::test]
async fn a_directory_made_below_is_followed_too_and_so_is_one_moved_in() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir_in(root.path().parent().unwrap()).unwrap();
    let mut followed = Followed::new(root.path(), true, NEVER);
    followed.next_whole().await;
    // The capture is there before anybody can watch its directory.
    fs::create_dir_all(root.path().join("monday/night")).unwrap();
    fs::write(root.path().join("monday/night/a.pcap"), "").unwrap();
    followed.found("monday/night/a.pcap").await;
    fs::create_dir(elsewhere.path().join("tuesday")).unwrap();
    fs::write(elsewhere.path().join("tuesday/b.pcap"), "").unwrap();
    fs::rename(elsewhere.path().join("tuesday"), root.path().join("tuesday")).unwrap();
    followed.found("tuesday/b.pcap").await;
    fs::write(root.path().join("tuesday/c.pcap"), "").unwrap();
    followed.found("tuesday/c.pcap").await;
}

#[tokio::test]
async fn a_missing_directory_is_waited_for() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("later");
    let mut followed = Followed::new(&root, false, NEVER);
    let first = followed.next().await;
    assert!(
        first.found.is_empty() && !first.whole,
        "nothing is said about a missing directory"
    );
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.pcap"), "").unwrap();
    followed.found("a.pcap").await;
}

#[tokio::test]
async fn a_directory_without_a_parent_is_found_by_the_rescan() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("much/later");
    let mut followed = Followed::new(&root, false, Duration::from_millis(100));
    followed.next().await;
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("a.pcap"), "").unwrap();
    followed.found("a.pcap").await;
}

#[tokio::test]
async fn a_directory_that_vanishes_and_comes_back_is_watched_again() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("captures");
    fs::create_dir(&root).unwrap();
    let mut followed = Followed::new(&root, false, NEVER);
    followed.next_whole().await;
    for vanish in [
        (|root: &Path| fs::remove_dir_all(root).unwrap()) as fn(&Path),
        |root| fs::rename(root, root.with_extension("away")).unwrap(),
    ] {
        vanish(&root);
        let sighting = followed.next().await;
        assert!(sighting.found.is_empty(), "{sighting:?}");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("back.pcap"), "").unwrap();
        followed.found("back.pcap").await;
        // And its events are heard again.
        fs::write(root.join("new.pcap"), "").unwrap();
        followed.found("new.pcap").await;
    }
}

#[tokio::test]
async fn a_directory_replaced_faster_than_anybody_looks_is_watched_again() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("captures");
    fs::create_dir(&root).unwrap();
    let mut followed = Followed::new(&root, false, NEVER);
    followed.next_whole().await;
    fs::remove_dir(&root).unwrap();
    fs::create_dir(&root).unwrap();
    followed.next_whole().await;
    fs::write(root.join("new.pcap"), "").unwrap();
    followed.found("new.pcap").await;
}

#[tokio::test]
async fn a_directory_renamed_away_and_made_anew_in_its_place_is_followed_and_the_old_one_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("captures");
    let away = parent.path().join("away");
    fs::create_dir(&root).unwrap();
    let mut followed = Followed::new(&root, false, NEVER);
    followed.next_whole().await;
    fs::rename(&root, &away).unwrap();
    fs::create_dir(&root).unwrap();
    followed.next_whole().await;
    fs::write(away.join("old.pcap"), "").unwrap();
    fs::write(root.join("new.pcap"), "").unwrap();
    let found = followed.found("new.pcap").await;
    assert_eq!(found, HashSet::from([PathBuf::from("new.pcap")]));
}

#[tokio::test]
async fn a_sighting_of_everything_says_how_the_directory_is_followed() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("captures");
    let mut followed = Followed::new(&root, false, NEVER);
    let missing = followed.next().await.state;
    assert!(matches!(&missing, Some(State::Missing(_))), "{missing:?}");
    fs::create_dir(&root).unwrap();
    let there = loop {
        let sighting = followed.next().await;
        if sighting.whole {
            break sighting.state;
        }
    };
    assert_eq!(there, Some(State::Watched));
    fs::write(root.join("new.pcap"), "").unwrap();
    assert_eq!(followed.next().await.state, None);
}

#[tokio::test]
async fn a_rescan_finds_everything_again() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.pcap"), "").unwrap();
    let mut followed = Followed::new(root.path(), false, Duration::from_millis(50));
    for _ in 0..3 {
        assert_eq!(followed.next_whole().await, [PathBuf::from("a.pcap")]);
    }
}

#[tokio::test]
async fn scanning_once_ends_after_one_sighting() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.pcap"), "").unwrap();
    let (sender, mut sightings) = mpsc::channel(1);
    scan_once(directory(root.path(), false), sender).await;
    assert_eq!(
        sightings.recv().await.map(|sighting| sighting.found.len()),
        Some(1)
    );
    assert_eq!(sightings.recv().await, None);
}
