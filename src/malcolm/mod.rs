//! Malcolm's directories: which ones they are, and why some of them must not be slimmed.
//!
//! Malcolm keeps captures in three directories side by side: `upload`, which pcap-monitor empties, `processed`, whose
//! new files it ingests, and `arkime-live`, where Arkime's capture writes and nobody watches. Two of them beside each
//! other are taken for Malcolm's. Configuration does not look at disks, so this stands apart and has its say through
//! [`crate::config::Judge`], whenever settings are read: by `check-config`, at the start and on each reload. What an
//! installation says of itself is read in [`discover`].

pub mod discover;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Objection, Reingest, Watch};
use crate::job::Staging;
use crate::scan::{self, Selection};
use crate::words::Word;

/// Where captures come in; everything that pcap-monitor does not know is deleted there.
const UPLOAD: &str = "upload";
/// Where captures stay after they came in.
const PROCESSED: &str = "processed";
/// Where Arkime's capture writes.
const ARKIME_LIVE: &str = "arkime-live";

/// How many symbolic links may lead to a directory; the kernel allows as many.
const MOST_LINKS: usize = 40;

/// One of Malcolm's directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `upload`.
    Upload,
    /// `processed`.
    Processed,
    /// `arkime-live`.
    ArkimeLive,
}

impl Word for Part {
    const WORDS: &'static [(&'static str, Self)] = &[
        (UPLOAD, Self::Upload),
        (PROCESSED, Self::Processed),
        (ARKIME_LIVE, Self::ArkimeLive),
    ];
}

impl Part {
    /// Which of Malcolm's directories `path` is, by its name and by what lies beside it. It need not exist. Links are
    /// not resolved: see [`objections`].
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let part = path.file_name().and_then(OsStr::to_str).and_then(Self::parse)?;
        let root = path.parent()?;
        let others = Self::WORDS.iter().filter(|&&(_, other)| other != part);
        let has_company = others.into_iter().any(|(name, _)| root.join(name).is_dir());
        (has_company || is_malcolms_by_name(root)).then_some(part)
    }
}

/// Whether a directory is the default place of Malcolm's captures by its name alone. That is all there is to see
/// where the disk is not there yet, and inside a sandbox that shows nothing but the watched directory.
fn is_malcolms_by_name(root: &Path) -> bool {
    let installation = root.parent().and_then(Path::file_name);
    root.file_name() == Some(OsStr::new("pcap"))
        && installation.is_some_and(|name| name.to_string_lossy().to_lowercase().contains("malcolm"))
}

/// The other directories of a Malcolm that are there beside `path`, when it is one of them.
#[must_use]
pub fn company(path: &Path) -> Vec<PathBuf> {
    let (Some(part), Some(root)) = (Part::of(path), path.parent()) else {
        return Vec::new();
    };
    let others = Part::WORDS.iter().filter(|&&(_, other)| other != part);
    others
        .map(|(name, _)| root.join(name))
        .filter(|other| other.is_dir())
        .collect()
}

/// What is wrong with watching a directory, as far as Malcolm is concerned. Looks at the disk and may block.
#[must_use]
pub fn objections(watch: &Watch) -> Vec<Objection> {
    let mut concerned: Vec<(Part, PathBuf)> = spellings(&watch.path)
        .iter()
        .flat_map(|path| parts_around(path))
        .collect();
    if watch.recursive {
        concerned.extend(parts_below(&watch.path));
    }
    let first = |part| {
        concerned
            .iter()
            .find(|(other, _)| *other == part)
            .map(|(_, path)| path)
    };
    let mut objections = Vec::new();
    if let Some(path) = first(Part::Upload) {
        objections.push(never(&watch.path, path));
    }
    if let Some(path) = first(Part::Processed)
        && watch.reingest == Reingest::Refused
    {
        objections.push(unless_accepted(&watch.path, path));
    }
    if watch.staging == Staging::Beside && !concerned.is_empty() {
        let what = "belongs to Malcolm, which can take up a staging file beside the captures as a capture or delete it; \
                    write staging = \"markers\", the default";
        objections.push(Objection {
            key: "staging",
            what: what.to_owned(),
        });
    }
    objections
}

fn never(watched: &Path, path: &Path) -> Objection {
    let what = format!(
        "{}, where Malcolm's pcap-monitor moves captures on and deletes every file that it does not know, so that \
         staging files and markers would be deleted in the midst of work and captures go missing from Malcolm; it is \
         never slimmed; watch {ARKIME_LIVE} beside it instead, or {PROCESSED} with reingest = \"accepted\"",
        is_or_holds("upload directory", watched, path)
    );
    Objection { key: "path", what }
}

fn unless_accepted(watched: &Path, path: &Path) -> Objection {
    let what = format!(
        "{}, where Malcolm takes each slimmed capture for a new one and ingests it again, ten seconds after it was \
         slimmed and at each of Malcolm's starts: its sessions appear twice; ways out: watch {ARKIME_LIVE} beside it \
         instead, which nobody ingests; or have Malcolm watch no longer (PCAP_PIPELINE_IGNORE_PREEXISTING=true and the \
         pcap-monitor service stopped) and write reingest = \"accepted\" below this path; or write that where double \
         sessions do no harm",
        is_or_holds("directory of processed captures", watched, path)
    );
    Objection { key: "path", what }
}

fn is_or_holds(what: &str, watched: &Path, path: &Path) -> String {
    if path.starts_with(watched) && path != watched {
        let inside = path.strip_prefix(watched).unwrap_or(path).display();
        format!("is recursive and holds Malcolm's {what}, {inside:?}")
    } else {
        format!("is Malcolm's {what}")
    }
}

/// The parts of Malcolm that `path` belongs to. Whatever lies anywhere in `upload` is treated as it is; new files in
/// directories below `processed` are not looked at by anybody.
fn parts_around(path: &Path) -> Vec<(Part, PathBuf)> {
    let around = path.ancestors().filter_map(|ancestor| {
        let part = Part::of(ancestor)?;
        (part != Part::Processed || ancestor == path).then(|| (part, ancestor.to_owned()))
    });
    around.collect()
}

/// The parts of Malcolm below `root`, found without following links, as captures are.
fn parts_below(root: &Path) -> Vec<(Part, PathBuf)> {
    let Ok(everything) = Selection::new(&[], &[], true) else {
        return Vec::new();
    };
    let below = scan::directories_at(root, &everything).unwrap_or_default();
    let parts = below
        .into_iter()
        .filter_map(|path| Some((Part::of(&path)?, path)));
    parts.collect()
}

/// Every name under which the directory at `path` is known on the way to it: as written, behind each link that it is
/// itself, and without any link.
fn spellings(path: &Path) -> Vec<PathBuf> {
    let mut spellings = vec![path.to_owned()];
    let mut current = path.to_owned();
    for _ in 0..MOST_LINKS {
        let (Some(parent), Some(name)) = (current.parent(), current.file_name()) else {
            break;
        };
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
        let here = parent.join(name);
        let target = fs::read_link(&here);
        spellings.push(here);
        match target {
            Ok(target) => current = parent.join(target),
            Err(_) => break,
        }
    }
    spellings.extend(path.canonicalize());
    spellings.dedup();
    spellings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// Directories below a temporary one.
    fn tree(directories: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        root
    }

    fn watch(path: PathBuf) -> Watch {
        Watch {
            path,
            ..Watch::default()
        }
    }

    /// The keys objected to, and the beginning of each sentence.
    fn objected(watch: &Watch) -> Vec<(&'static str, String)> {
        let objections = objections(watch);
        let beginning = |what: String| what.split(',').next().unwrap().to_owned();
        objections
            .into_iter()
            .map(|it| (it.key, beginning(it.what)))
            .collect()
    }

    fn upload() -> Vec<(&'static str, String)> {
        vec![("path", "is Malcolm's upload directory".to_owned())]
    }

    fn processed() -> Vec<(&'static str, String)> {
        vec![("path", "is Malcolm's directory of processed captures".to_owned())]
    }

    #[test]
    fn upload_is_refused_and_processed_unless_accepted_and_arkime_live_is_fine() {
        let root = tree(&["caps/upload", "caps/processed", "caps/arkime-live"]);
        let at = |name: &str| watch(root.path().join("caps").join(name));
        assert_eq!(objected(&at("upload")), upload());
        assert_eq!(objected(&at("processed")), processed());
        assert_eq!(objected(&at("arkime-live")), []);
        let accepted = |name| Watch {
            reingest: Reingest::Accepted,
            ..at(name)
        };
        assert_eq!(objected(&accepted("upload")), upload());
        assert_eq!(objected(&accepted("processed")), []);
    }

    #[test]
    fn each_objection_says_what_would_happen_and_the_ways_out_on_one_line() {
        let root = tree(&["upload", "processed"]);
        for (name, words) in [
            (
                "upload",
                ["deletes every file that it does not know", "watch arkime-live"],
            ),
            ("processed", ["ingests it again", "reingest = \"accepted\""]),
        ] {
            let what = &objections(&watch(root.path().join(name)))[0].what;
            assert!(words.iter().all(|word| what.contains(word)), "{what}");
            assert!(!what.contains('\n'), "{what}");
        }
    }

    #[test]
    fn staging_beside_the_captures_is_refused_in_all_of_them() {
        let root = tree(&[
            "upload",
            "processed",
            "arkime-live",
            "arkime-live/old",
            "elsewhere",
        ]);
        let beside = |name: &str| {
            let watch = Watch {
                staging: Staging::Beside,
                reingest: Reingest::Accepted,
                ..watch(root.path().join(name))
            };
            let keys: Vec<_> = objections(&watch).into_iter().map(|it| it.key).collect();
            keys
        };
        assert_eq!(beside("upload"), ["path", "staging"]);
        assert_eq!(beside("processed"), ["staging"]);
        assert_eq!(beside("arkime-live"), ["staging"]);
        assert_eq!(beside("arkime-live/old"), ["staging"]);
        assert_eq!(beside("elsewhere"), [""; 0]);
    }

    #[test]
    fn a_directory_of_such_a_name_by_itself_is_nobodys() {
        let root = tree(&["one/upload", "two/processed", "three/processed", "three/archive"]);
        for name in ["one/upload", "two/processed", "three/processed"] {
            assert_eq!(objected(&watch(root.path().join(name))), [], "{name}");
        }
        fs::write(root.path().join("two/upload"), "a file").unwrap();
        assert_eq!(objected(&watch(root.path().join("two/processed"))), []);
    }

    #[test]
    fn a_directory_that_is_missing_is_known_by_what_is_beside_it_or_by_its_name() {
        let root = tree(&["caps/arkime-live"]);
        assert_eq!(objected(&watch(root.path().join("caps/processed"))), processed());
        assert_eq!(objected(&watch(root.path().join("caps/upload"))), upload());
        assert_eq!(
            objected(&watch("/nowhere/malcolm-26/pcap/upload".into())),
            upload()
        );
        assert_eq!(
            objected(&watch("/nowhere/Malcolm/pcap/processed".into())),
            processed()
        );
        assert_eq!(objected(&watch("/nowhere/Malcolm/pcap/arkime-live".into())), []);
        assert_eq!(objected(&watch("/nowhere/pcap/processed".into())), []);
    }

    #[test]
    fn links_to_it_and_links_that_it_is_are_seen_through() {
        let root = tree(&["caps/upload", "disk/p", "caps/arkime-live"]);
        let at = |name: &str| root.path().join(name);
        symlink("../disk/p", at("caps/processed")).unwrap();
        symlink("caps/processed", at("to-the-link")).unwrap();
        symlink("to-the-link/", at("chain")).unwrap();
        symlink("caps", at("to-the-root")).unwrap();
        for name in [
            "caps/processed",
            "caps/processed/",
            "to-the-link",
            "chain",
            "to-the-root/processed",
        ] {
            assert_eq!(objected(&watch(at(name))), processed(), "{name}");
        }
        symlink(at("caps/upload"), at("absolute")).unwrap();
        assert_eq!(objected(&watch(at("absolute"))), upload());
        symlink("round", at("round")).unwrap();
        assert_eq!(objected(&watch(at("round"))), []);
    }

    #[test]
    fn what_lies_in_upload_is_upload_and_what_lies_in_processed_is_free() {
        let root = tree(&["upload/tmp/spool", "processed/old"]);
        assert_eq!(objected(&watch(root.path().join("upload/tmp/spool"))), upload());
        assert_eq!(objected(&watch(root.path().join("processed/old"))), []);
    }

    #[test]
    fn a_recursive_watch_must_not_reach_into_them() {
        let root = tree(&["Malcolm/caps/upload", "Malcolm/caps/processed"]);
        let mut watch = watch(root.path().join("Malcolm"));
        assert_eq!(objected(&watch), []);
        watch.recursive = true;
        let expected = ["upload directory", "directory of processed captures"]
            .map(|what| ("path", format!("is recursive and holds Malcolm's {what}")));
        assert_eq!(objected(&watch), expected);
        watch.reingest = Reingest::Accepted;
        assert_eq!(objected(&watch), expected[..1]);
    }

    #[test]
    fn company_is_what_lies_beside_a_part() {
        let root = tree(&["upload", "processed", "elsewhere"]);
        assert_eq!(
            company(&root.path().join("processed")),
            [root.path().join("upload")]
        );
        assert_eq!(
            company(&root.path().join("elsewhere")),
            [""; 0].map(PathBuf::from)
        );
    }
}
