//! Following real directories through real inotify. Each test waits for what it expects, with a deadline; none
//! waits for time to pass. Rescans are far apart unless a test says otherwise, so that only events can help.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pcap_slim::commit::root::Root;
use pcap_slim::scan::Selection;
use pcap_slim::watch::{Directory, Sighting, State, follow, scan_once};
use tokio::sync::mpsc;
use tokio::time::timeout;

const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
const DEADLINE: Duration = Duration::from_secs(20);

/// A followed directory and what was seen in it.
struct Followed {
    root: Arc<Root>,
    sightings: mpsc::Receiver<Sighting>,
}

impl Followed {
    fn new(root: &Path, recursive: bool, rescan: Duration) -> Self {
        let (sender, sightings) = mpsc::channel(16);
        let root = Arc::new(Root::new(root));
        tokio::spawn(follow(directory(&root, recursive), rescan, sender));
        Self { root, sightings }
    }

    /// The next state that is told.
    async fn next_state(&mut self) -> State {
        loop {
            if let Some(state) = self.next().await.state {
                return state;
            }
        }
    }

    /// Waits until something else is in the directory's place, and returns what is said of it. Nothing may be found.
    async fn replaced(&mut self) -> String {
        loop {
            let sighting = self.next().await;
            assert_eq!(sighting.found, []);
            if let Some(State::Replaced(why)) = sighting.state {
                return why;
            }
        }
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

fn directory(root: &Arc<Root>, recursive: bool) -> Directory {
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
async fn a_directory_that_is_moved_away_and_back_is_watched_again() {
    let parent = tempfile::tempdir().unwrap();
    let (root, away) = (parent.path().join("captures"), parent.path().join("away"));
    fs::create_dir(&root).unwrap();
    let mut followed = Followed::new(&root, false, NEVER);
    followed.next_whole().await;
    fs::rename(&root, &away).unwrap();
    let state = followed.next_state().await;
    assert!(matches!(state, State::Missing(_)), "{state:?}");
    fs::write(away.join("back.pcap"), "").unwrap();
    fs::rename(&away, &root).unwrap();
    followed.found("back.pcap").await;
    // And its events are heard again.
    fs::write(root.join("new.pcap"), "").unwrap();
    followed.found("new.pcap").await;
}

#[tokio::test]
async fn another_directory_in_its_place_is_left_alone_until_it_is_accepted() {
    for replace in [
        (|root| {
            fs::remove_dir_all(root).unwrap();
            fs::create_dir(root).unwrap();
        }) as fn(&Path),
        |root| {
            fs::rename(root, root.with_extension("away")).unwrap();
            fs::create_dir(root).unwrap();
        },
        |root| {
            fs::create_dir(root.with_extension("other")).unwrap();
            fs::rename(root, root.with_extension("away")).unwrap();
            symlink(root.with_extension("other"), root).unwrap();
        },
    ] {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("captures");
        fs::create_dir(&root).unwrap();
        let mut followed = Followed::new(&root, true, Duration::from_millis(50));
        followed.next_whole().await;
        replace(&root);
        fs::write(root.join("new.pcap"), "").unwrap();
        assert_eq!(
            followed.replaced().await,
            "it is not the directory that was opened first; reload to watch it"
        );
        for _ in 0..3 {
            followed.replaced().await;
        }
        followed.root.forget();
        followed.found("new.pcap").await;
        fs::write(root.join("newer.pcap"), "").unwrap();
        followed.found("newer.pcap").await;
    }
}

#[tokio::test]
async fn the_directory_itself_is_followed_again_when_it_is_back_in_its_place() {
    let parent = tempfile::tempdir().unwrap();
    let (root, away) = (parent.path().join("captures"), parent.path().join("away"));
    fs::create_dir(&root).unwrap();
    let mut followed = Followed::new(&root, false, NEVER);
    followed.next_whole().await;
    fs::rename(&root, &away).unwrap();
    fs::create_dir(&root).unwrap();
    followed.replaced().await;
    // What is written into either is seen by nobody.
    fs::write(away.join("a.pcap"), "").unwrap();
    fs::write(root.join("b.pcap"), "").unwrap();
    fs::rename(&root, parent.path().join("other")).unwrap();
    fs::rename(&away, &root).unwrap();
    let found = followed.found("a.pcap").await;
    assert_eq!(found, HashSet::from([PathBuf::from("a.pcap")]));
}

#[tokio::test]
async fn a_link_that_another_user_could_have_made_is_never_entered() {
    let parent = tempfile::tempdir().unwrap();
    let (shared, other) = (parent.path().join("shared"), parent.path().join("other"));
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.pcap"), "").unwrap();
    let root = shared.join("captures");
    let mut followed = Followed::new(&root, false, Duration::from_millis(50));
    followed.next_state().await;
    symlink(&other, &root).unwrap();
    let why = followed.replaced().await;
    assert!(why.contains("shared/captures is a symbolic link"), "{why}");
    followed.root.forget();
    for _ in 0..3 {
        followed.replaced().await;
    }
    fs::remove_file(&root).unwrap();
    fs::rename(&other, &root).unwrap();
    followed.found("a.pcap").await;
}

#[tokio::test]
async fn a_mounted_file_system_is_another_directory_and_unmounting_it_is_not_prevented() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("captures");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("below.pcap"), "").unwrap();
    let mut followed = Followed::new(&root, false, Duration::from_millis(50));
    followed.next_whole().await;
    let Some(mounted) = Mounted::at(&root) else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    fs::write(root.join("above.pcap"), "").unwrap();
    assert_eq!(
        followed.replaced().await,
        "it is not the directory that was opened first, and lies on another file system; reload to watch it"
    );
    // The mount point is the directory that was there first.
    drop(mounted);
    assert_eq!(
        followed.found("below.pcap").await,
        HashSet::from([PathBuf::from("below.pcap")])
    );
    let _mounted = Mounted::at(&root).unwrap();
    fs::write(root.join("above.pcap"), "").unwrap();
    followed.replaced().await;
    followed.root.forget();
    followed.found("above.pcap").await;
}

/// A file system in memory, unmounted in the end and not lazily: nothing may hold it.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(path)
            .output();
        mount.ok()?.status.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut tries = 0;
        // A scan may be under way.
        while !Command::new("umount").arg(&self.0).status().unwrap().success() {
            tries += 1;
            assert!(tries < 100, "it is held");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
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
    scan_once(directory(&Arc::new(Root::new(root.path())), false), sender).await;
    assert_eq!(
        sightings.recv().await.map(|sighting| sighting.found.len()),
        Some(1)
    );
    assert_eq!(sightings.recv().await, None);
}
