//! What the notify thread leaves for the task that follows a directory: which names to look at, or "all of it".
//!
//! Apart from `watch`, because it is the seam between two threads and the place where a flood of events becomes a
//! bounded amount of work: an event only marks a name, a name is marked once however often it is written to, too
//! many names become one scan, and marks are handed over at most once in [`SETTLE`]. It opens no file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::scan::Selection;

/// How long marks are gathered before somebody looks at the files.
const SETTLE: Duration = Duration::from_millis(250);

/// Beyond so many names one scan is cheaper, in memory too.
const MOST_NAMES: usize = 50_000;

/// What to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// The whole directory: events were lost, or directories came or went.
    Whole,
    /// These paths below it.
    Names(HashSet<PathBuf>),
}

/// The marks of one watched directory.
#[derive(Debug)]
pub(super) struct Marks {
    root: PathBuf,
    selection: Selection,
    gathered: Mutex<Gathered>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    whole: bool,
    names: HashSet<PathBuf>,
    /// When the first of them was marked.
    since: Option<Instant>,
}

impl Marks {
    pub(super) fn new(root: PathBuf, selection: Selection) -> Self {
        Self {
            root,
            selection,
            gathered: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Takes an event in; called on the notify thread.
    pub(super) fn note(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if !event.need_rescan() => {
                if !is_reading(event.kind) {
                    event
                        .paths
                        .iter()
                        .for_each(|path| self.note_path(event.kind, path));
                }
            }
            // The kernel's queue overflowed, or notify failed: anything may have been missed.
            Ok(_) | Err(_) => self.note_whole(),
        }
    }

    pub(super) fn note_whole(&self) {
        let mut gathered = self.gathered();
        gathered.whole = true;
        gathered.names = HashSet::new();
        self.begin(gathered);
    }

    /// Waits until something is marked and has settled, and takes it. Cancelling loses nothing and does not start
    /// the wait again.
    pub(super) async fn settled(&self) -> Marked {
        loop {
            let since = self.gathered().since;
            match since {
                Some(since) => {
                    sleep_until(since + SETTLE).await;
                    return self.take();
                }
                None => self.wake.notified().await,
            }
        }
    }

    fn take(&self) -> Marked {
        let gathered = std::mem::take(&mut *self.gathered());
        if gathered.whole {
            Marked::Whole
        } else {
            Marked::Names(gathered.names)
        }
    }

    fn note_path(&self, kind: EventKind, path: &Path) {
        // What is not below it happened beside it, while its parent is watched for its return.
        let Ok(relative) = path.strip_prefix(&self.root) else {
            return;
        };
        let is_itself = relative.as_os_str().is_empty();
        if is_itself || (kind == EventKind::Create(CreateKind::Folder) && self.selection.enters(relative)) {
            self.note_whole();
        } else if self.selection.takes(relative) || (is_rename(kind) && self.selection.enters(relative)) {
            // An event of a rename does not say whether it was a directory.
            self.note_name(relative);
        }
    }

    fn note_name(&self, relative: &Path) {
        let mut gathered = self.gathered();
        if gathered.whole || gathered.names.contains(relative) {
            return;
        }
        gathered.names.insert(relative.to_path_buf());
        if gathered.names.len() > MOST_NAMES {
            gathered.whole = true;
            gathered.names = HashSet::new();
        }
        self.begin(gathered);
    }

    fn begin(&self, mut gathered: MutexGuard<'_, Gathered>) {
        if gathered.since.is_none() {
            gathered.since = Some(Instant::now());
            self.wake.notify_one();
        }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opening and reading change nothing; closing after writing is the last word on a capture.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn is_rename(kind: EventKind) -> bool {
    matches!(kind, EventKind::Modify(ModifyKind::Name(_)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use notify::event::{DataChange, Flag, RemoveKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    fn marks(recursive: bool) -> Marks {
        let selection = Selection::new(&["*.pcap".to_owned()], &[], recursive).unwrap();
        Marks::new(PathBuf::from("/captures"), selection)
    }

    fn note(marks: &Marks, kind: EventKind, path: &str) {
        marks.note(Ok(Event::new(kind).add_path(PathBuf::from(path))));
    }

    fn names(names: &[&str]) -> Marked {
        Marked::Names(names.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn a_capture_written_ten_thousand_times_is_one_mark() {
        let marks = marks(false);
        (0..10_000).for_each(|_| note(&marks, WRITTEN, "/captures/a.pcap"));
        assert_eq!(marks.take(), names(&["a.pcap"]));
        assert_eq!(marks.take(), names(&[]));
    }

    #[test]
    fn an_overflow_marks_the_whole_directory() {
        let marks = marks(false);
        note(&marks, WRITTEN, "/captures/a.pcap");
        marks.note(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        note(&marks, WRITTEN, "/captures/b.pcap");
        assert_eq!(marks.take(), Marked::Whole);
    }

    #[test]
    fn more_names_than_are_worth_keeping_mark_the_whole_directory() {
        let marks = marks(false);
        (0..=MOST_NAMES).for_each(|n| note(&marks, WRITTEN, &format!("/captures/{n}.pcap")));
        assert_eq!(marks.take(), Marked::Whole);
    }

    #[test]
    fn opening_and_reading_mark_nothing_and_closing_after_writing_does() {
        let marks = marks(false);
        let access = |access| EventKind::Access(access);
        note(
            &marks,
            access(AccessKind::Open(AccessMode::Any)),
            "/captures/a.pcap",
        );
        note(
            &marks,
            access(AccessKind::Close(AccessMode::Read)),
            "/captures/a.pcap",
        );
        note(&marks, access(AccessKind::Open(AccessMode::Any)), "/captures");
        assert_eq!(marks.take(), names(&[]));
        note(
            &marks,
            access(AccessKind::Close(AccessMode::Write)),
            "/captures/a.pcap",
        );
        assert_eq!(marks.take(), names(&["a.pcap"]));
    }

    #[test]
    fn what_this_program_writes_marks_nothing() {
        for recursive in [false, true] {
            let marks = marks(recursive);
            for path in [
                "/captures/a.pcap.tmp",
                "/captures/.slim_markers/a.pcap",
                "/captures/.slim_markers/a.pcap.tmp",
            ] {
                note(&marks, WRITTEN, path);
            }
            note(
                &marks,
                EventKind::Create(CreateKind::Folder),
                "/captures/.slim_markers",
            );
            assert_eq!(marks.take(), names(&[]));
        }
    }

    #[test]
    fn the_directory_itself_going_or_coming_marks_all_of_it_and_a_neighbour_does_not() {
        let marks = marks(false);
        note(&marks, EventKind::Create(CreateKind::Folder), "/neighbour");
        assert_eq!(marks.take(), names(&[]));
        for kind in [
            EventKind::Remove(RemoveKind::Folder),
            EventKind::Create(CreateKind::Folder),
        ] {
            note(&marks, kind, "/captures");
            assert_eq!(marks.take(), Marked::Whole);
        }
    }

    #[test]
    fn a_new_directory_below_matters_only_to_a_recursive_watch() {
        for (recursive, marked) in [(false, names(&[])), (true, Marked::Whole)] {
            let marks = marks(recursive);
            note(&marks, EventKind::Create(CreateKind::Folder), "/captures/monday");
            assert_eq!(marks.take(), marked);
        }
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let marks = marks(true);
        note(&marks, renamed, "/captures/tuesday");
        assert_eq!(marks.take(), names(&["tuesday"]));
    }
}
