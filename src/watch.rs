//! Follows watched directories: what changed in them, as captures with size and mtime, for the queue.
//!
//! One [`Directory`] has one inotify instance, so that an overflow concerns it alone, and one task, so that a hung
//! file system holds up no other. Every scan also attaches the watches again (which costs little and changes nothing
//! where they hold), always before it reads the directories: nothing falls between. A directory that cannot be read,
//! or that is not the one that was there first, is waited for, by its parent's events and by the next rescan. When a
//! capture is due, and whether it is marked, is not judged here.

mod marks;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::commit::directory::{Directory as Opened, join};
use crate::commit::root::{self, Root};
use crate::report::event;
use crate::scan::{self, Found, Seen, Selection};
use marks::{Marked, Marks};

/// The longest rest after a scan; what happens meanwhile is marked and looked at afterwards.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// How many things that cannot be read are told by name after one scan.
const TOLD: usize = 3;

/// What was seen in one directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The number of the watch.
    pub watch: usize,
    /// Captures as they are now.
    pub found: Vec<Found>,
    /// Paths at which there is no capture any more.
    pub gone: Vec<PathBuf>,
    /// Whether `found` is everything that is there.
    pub whole: bool,
    /// How the directory is followed, after a look at all of it.
    pub state: Option<State>,
}

/// How a directory is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its events are heard, and rescans are the safety net.
    Watched,
    /// It cannot be read, for this reason, and is waited for.
    Missing(String),
    /// Something else is in its place, as this says, and is left alone.
    Replaced(String),
    /// Its events are not heard, for this reason.
    RescansOnly(String),
}

/// Done on a blocking thread before each scan of a directory.
pub type BeforeScan = fn(&Opened, &Selection);

/// A watched directory.
#[derive(Debug)]
pub struct Directory {
    watch: usize,
    root: Arc<Root>,
    /// The root's path as notify names it.
    path: PathBuf,
    selection: Selection,
    before_scan: BeforeScan,
    marks: Arc<Marks>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the directory that events are heard of; `None`: of its parent.
    attached: Option<(u64, u64)>,
    told: Told,
}

/// What the log was told last, so that it is told once.
#[derive(Debug, Default)]
struct Told {
    lost: Option<Lost>,
    deaf: bool,
    unread: usize,
}

/// Why a directory is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Missing,
    Replaced,
}

impl Directory {
    /// The directory of watch number `watch`, which need not exist.
    #[must_use]
    pub fn new(watch: usize, root: &Arc<Root>, selection: Selection, before_scan: BeforeScan) -> Self {
        // notify names files by absolute paths.
        let path = std::path::absolute(root.path()).unwrap_or_else(|_| root.path().to_path_buf());
        let marks = Arc::new(Marks::new(path.clone(), selection.clone()));
        Self {
            watch,
            root: Arc::clone(root),
            path,
            selection,
            before_scan,
            marks,
            watcher: None,
            attached: None,
            told: Told::default(),
        }
    }

    fn look(&mut self, marked: Marked) -> Sighting {
        match marked {
            Marked::Whole => {
                let attached = self.attach();
                self.scan(attached.err().as_ref())
            }
            Marked::Names(names) => self.look_at(names),
        }
    }

    /// Everything that is there; nothing is said about it when the directory cannot be read or is another one.
    fn scan(&mut self, deaf: Option<&notify::Error>) -> Sighting {
        let scanned = self.root.open().and_then(|root| {
            (self.before_scan)(&root, &self.selection);
            Ok(scan::scan(&root, &self.selection)?)
        });
        let (found, whole, state) = match scanned {
            Ok((found, unread)) => {
                self.tell_unread(&unread, "below cannot be read");
                self.tell_present(deaf);
                let rescans_only = |error| State::RescansOnly(why_deaf(error));
                (found, true, deaf.map_or(State::Watched, rescans_only))
            }
            Err(error) => (Vec::new(), false, self.tell_lost(&error)),
        };
        Sighting {
            watch: self.watch,
            found,
            gone: Vec::new(),
            whole,
            state: Some(state),
        }
    }

    fn look_at(&mut self, names: HashSet<PathBuf>) -> Sighting {
        let (mut found, mut gone, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        match self.root.open() {
            Ok(root) => {
                for name in names {
                    match scan::look(&root, &name) {
                        Ok(Seen::File(capture)) if self.selection.takes(&name) => found.push(capture),
                        Ok(Seen::File(_)) => {}
                        Ok(Seen::Directory) => {
                            if self.selection.enters(&name) {
                                self.marks.note_whole();
                            }
                            gone.push(name);
                        }
                        Ok(Seen::Nothing) => gone.push(name),
                        Err(error) => unread.push((self.path.join(&name), error)),
                    }
                }
            }
            // A look at all of it finds out and tells why.
            Err(_) => self.marks.note_whole(),
        }
        if !unread.is_empty() {
            self.tell_unread(&unread, "below cannot be looked at");
        }
        Sighting {
            watch: self.watch,
            found,
            gone,
            whole: false,
            state: None,
        }
    }

    /// Watches the directory, where recursive every directory below it, or else its parent for its return. Events only
    /// say where to look, so it does not matter that they are asked for by path.
    fn attach(&mut self) -> notify::Result<()> {
        let opened = self.root.open().ok();
        let there = opened.as_ref().map(Opened::inode);
        if there != self.attached {
            // The old watcher holds the parent, or a directory that was moved away, unmounted or mounted over.
            self.watcher = None;
        }
        self.attached = there;
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(start_watcher(&self.marks)?),
        };
        let attached = match (&opened, self.path.parent()) {
            (Some(root), _) => attach_below(watcher, &self.path, root, &self.selection),
            (None, Some(parent)) => watcher.watch(parent, RecursiveMode::NonRecursive),
            (None, None) => Ok(()),
        };
        if self.root.open().is_ok() != opened.is_some() {
            // It came or went between the two.
            self.marks.note_whole();
        }
        attached
    }

    fn tell_present(&mut self, deaf: Option<&notify::Error>) {
        if self.told.lost.take().is_some() {
            event::directory_back(&self.path);
        }
        match deaf {
            Some(error) if !self.told.deaf => {
                event::watching_degraded(&self.path, why_deaf(error));
            }
            None if self.told.deaf => info!("{}: changes are heard again", self.path.display()),
            _ => {}
        }
        self.told.deaf = deaf.is_some();
    }

    /// What cannot be read below, unless as much of it was told before.
    fn tell_unread(&mut self, unread: &[(PathBuf, io::Error)], what: &str) {
        if unread.len() != self.told.unread {
            for (path, error) in unread.iter().take(TOLD) {
                warn!("{}: cannot be read: {error}", path.display());
            }
            if let more @ 1.. = unread.len().saturating_sub(TOLD) {
                warn!("{}: {more} more {what}", self.path.display());
            }
        }
        self.told.unread = unread.len();
    }

    /// Why the directory is not followed. A file system that is gone from under its mount point leaves another, empty
    /// directory.
    fn tell_lost(&mut self, error: &root::Error) -> State {
        let why = match error {
            root::Error::Replaced { .. } => format!("{error}; reload to watch it"),
            _ => error.to_string(),
        };
        let lost = if error.is_replaced() {
            Lost::Replaced
        } else {
            Lost::Missing
        };
        let is_told = self.told.lost.replace(lost) == Some(lost);
        match lost {
            Lost::Missing => {
                if !is_told {
                    event::directory_missing(&self.path, error);
                }
                State::Missing(why)
            }
            Lost::Replaced => {
                if !is_told {
                    event::directory_replaced(&self.path, &why);
                }
                State::Replaced(why)
            }
        }
    }
}

/// Sends what is in `directory` now and then what changes in it, and everything anew each `rescan`, until nobody
/// receives it any more.
pub async fn follow(mut directory: Directory, rescan: Duration, sightings: mpsc::Sender<Sighting>) {
    let marks = Arc::clone(&directory.marks);
    let mut next_scan = Instant::now();
    loop {
        let marked = tokio::select! {
            () = sleep_until(next_scan) => Marked::Whole,
            marked = marks.settled() => marked,
        };
        let began = Instant::now();
        let is_whole = marked == Marked::Whole;
        if is_whole {
            next_scan = began + rescan;
        }
        let sighting;
        (directory, sighting) = blocking(move || {
            let sighting = directory.look(marked);
            (directory, sighting)
        })
        .await;
        if sightings.send(sighting).await.is_err() {
            return;
        }
        if is_whole {
            // However often events are lost, scanning takes a fifth of the time at most.
            sleep((began.elapsed() * 4).min(LONGEST_REST)).await;
        }
    }
}

/// Sends what is in `directory` now, and that is all.
pub async fn scan_once(mut directory: Directory, sightings: mpsc::Sender<Sighting>) {
    let sighting = blocking(move || directory.scan(None)).await;
    // Nobody receives it when the daemon is stopping.
    let _ = sightings.send(sighting).await;
}

/// Runs `work` where it may block; its panic is this task's.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is shutting down and drops this task as well.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A watcher that marks what happens.
fn start_watcher(marks: &Arc<Marks>) -> notify::Result<RecommendedWatcher> {
    let no_thread = || notify::Error::generic("cannot start a thread; see ulimit -u, pids.max and TasksMax");
    // notify ignores that its thread cannot be created, and panics when the watcher is used. One is tried beforehand.
    let tried = thread::Builder::new().spawn(|| {}).map_err(|_| no_thread())?;
    // An empty closure does not panic.
    let _ = tried.join();
    // The handler is dropped together with the thread that could not be created.
    let handler = Arc::new(Arc::clone(marks));
    let is_alive = Arc::downgrade(&handler);
    let watcher = notify::recommended_watcher(move |event| handler.note(event))?;
    if is_alive.strong_count() == 0 {
        // Dropping it would panic.
        std::mem::forget(watcher);
        return Err(no_thread());
    }
    Ok(watcher)
}

/// Watches each directory by itself: notify's own recursion ends at the first unreadable one and watches markers.
fn attach_below(
    watcher: &mut RecommendedWatcher,
    path: &Path,
    root: &Opened,
    selection: &Selection,
) -> notify::Result<()> {
    let mut tried = HashSet::new();
    let mut refused = None;
    loop {
        // Listed again until nothing is new: a directory may come before the one above it is watched.
        let mut new = scan::directories(root, selection).unwrap_or_default();
        new.retain(|directory| !tried.contains(directory));
        if new.is_empty() {
            return refused.map_or(Ok(()), Err);
        }
        for directory in new {
            match watcher.watch(&join(path, &directory), RecursiveMode::NonRecursive) {
                Err(error) if !matches!(error.kind, ErrorKind::PathNotFound) => refused = Some(error),
                _ => {}
            }
            tried.insert(directory);
        }
    }
}

/// Why no events are heard, and what helps.
fn why_deaf(error: &notify::Error) -> String {
    let what = match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of fs.inotify.max_user_watches is reached; raise it with sysctl(8)"
        }
        ErrorKind::Io(error) if is_out_of_instances(error) => {
            "the limit of fs.inotify.max_user_instances is reached; raise it with sysctl(8)"
        }
        _ => return error.to_string(),
    };
    what.to_owned()
}

/// EMFILE from `inotify_init`(2) means the instances of the user, or the descriptors of the process.
fn is_out_of_instances(error: &io::Error) -> bool {
    // As many descriptors as a watcher takes can be had, so those are not what is lacking.
    let descriptors: Vec<_> = (0..4).map(|_| fs::File::open("/dev/null")).collect();
    error.raw_os_error() == Some(Errno::EMFILE as i32) && descriptors.iter().all(Result::is_ok)
}
