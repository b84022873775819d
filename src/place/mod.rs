//! What a directory allows that captures lie in: everything that the commit protocol needs, tried there.
//!
//! The command `pcap-slim check-place`, and the daemon for each watch. It is tried with files in the private directory,
//! so that nothing appears beside the captures; directories that were made for it are removed again. What was found is
//! plain data ([`Facts`]), and what it means for captures follows from it ([`Facts::problems`]). No capture is opened.

mod show;
mod user;

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io;

use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use crate::commit::directory::{Directory, Identity};
use crate::commit::disk::{Disk, RealDisk};
use crate::commit::file_system::FileSystem;
use crate::commit::marker::{self, Markers};
use crate::commit::private::{self, Private};
use crate::job::Unguarded;
use crate::lease::{Lease, Refused};
use crate::report::{size, with_causes};
pub use show::{Request, run};
pub use user::User;

/// Whether something holds, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it does.
    pub holds: bool,
    /// Why not, where it does not; or what is to be known where it does.
    pub why: Option<String>,
}

impl Answer {
    fn yes() -> Self {
        Self {
            holds: true,
            why: None,
        }
    }

    fn no(why: impl Display) -> Self {
        Self {
            holds: false,
            why: Some(why.to_string()),
        }
    }

    fn of<T>(tried: io::Result<T>) -> Self {
        match tried {
            Ok(_) => Self::yes(),
            Err(error) => Self::no(error),
        }
    }

    fn reason(&self) -> &str {
        self.why.as_deref().unwrap_or("not known why")
    }
}

/// What was found in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The type of the file system.
    pub file_system: String,
    /// Whether the marker directory, the private directory and files in it can be made.
    pub writable: Answer,
    /// Whether every writer of a capture is seen: by a lease, on a file system on which leases guard.
    pub guarded: Answer,
    /// Whether a read lease is given (fcntl(2), `F_SETLEASE`).
    pub leases: Answer,
    /// Whether two names can be exchanged (`RENAME_EXCHANGE`).
    pub exchange: Answer,
    /// Whether a file can be made without a name, and be given one (`O_TMPFILE`).
    pub nameless_files: Answer,
    /// Whether a file can have a second name.
    pub hard_links: Answer,
    /// Bytes that this process could still write there.
    pub free_bytes: u64,
    /// Who owns the directory.
    pub owner: User,
    /// Who asks.
    pub we: User,
    /// Whether captures that are there and belong to others can be slimmed.
    pub others: Answer,
}

impl Facts {
    /// What keeps captures there from being slimmed with these settings, one sentence each; `min_free` in bytes.
    #[must_use]
    pub fn problems(&self, unguarded: Unguarded, min_free: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.writable.holds {
            problems.push(format!("nothing can be written: {}", self.writable.reason()));
            return problems;
        }
        if !self.guarded.holds && unguarded == Unguarded::Refuse {
            problems.push(format!(
                "captures cannot be guarded against writers: {}; they are skipped unless unguarded is \"accept\"",
                self.guarded.reason()
            ));
        }
        if !self.exchange.holds && !self.hard_links.holds {
            problems.push("there is neither RENAME_EXCHANGE nor are there hard links".to_owned());
        }
        if !self.others.holds {
            problems.push(self.others.reason().to_owned());
        }
        if self.free_bytes < min_free.max(1) {
            problems.push(format!(
                "{} are free, and {} must stay free",
                size(self.free_bytes),
                size(min_free)
            ));
        }
        problems
    }

    /// The same in a few words, for a table.
    #[must_use]
    pub fn in_short(&self, unguarded: Unguarded, min_free: u64) -> String {
        let is_refused = !self.guarded.holds && unguarded == Unguarded::Refuse;
        let problem = if !self.writable.holds {
            "not writable"
        } else if is_refused {
            "unguarded: captures are skipped"
        } else if !self.exchange.holds && !self.hard_links.holds {
            "captures cannot be replaced"
        } else if !self.others.holds {
            "captures of others are skipped"
        } else if self.free_bytes < min_free.max(1) {
            "too little free space"
        } else if self.guarded.holds {
            "guarded"
        } else {
            "unguarded, accepted"
        };
        format!("{}, {problem}", self.file_system)
    }
}

/// What is done with a marker directory and a private directory that had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// They are removed: they would belong to whoever asked, and keep a daemon out that runs as another user.
    Removed,
    /// They stay for captures, with markers owned by this user and group.
    Kept(Option<(u32, u32)>),
}

/// Tries everything in a directory. May block, as long as the file system does.
///
/// # Errors
/// When it cannot be looked at; everything else is an answer.
pub fn look(directory: &Directory, made: Made) -> io::Result<Facts> {
    let file_system = FileSystem::of(directory)?;
    let owner = directory.ownership()?.owner;
    let mut facts = Facts {
        file_system: file_system.name(),
        writable: Answer::no("not tried"),
        guarded: Answer::no("not tried"),
        leases: Answer::no("not tried"),
        exchange: Answer::no("not tried"),
        nameless_files: Answer::no("not tried"),
        hard_links: Answer::no("not tried"),
        free_bytes: RealDisk.free_space(directory)?,
        owner: User::of(owner),
        we: User::us(),
        others: user::may_slim_others(directory)?,
    };
    let workshop = Workshop::open(directory, made);
    match &workshop.markers {
        Ok(markers) => facts.try_in(markers.private()),
        Err(why) => facts.writable = Answer::no(why),
    }
    facts.guarded = match file_system.with_unseen_writers() {
        Some(name) => Answer::no(format!("writers on {name} may not be seen")),
        None => facts.leases.clone(),
    };
    Ok(facts)
}

impl Facts {
    fn try_in(&mut self, private: &Private) {
        let pair = private.create(&RealDisk).and_then(|one| {
            let other = private.create(&RealDisk);
            // What is left here recovery removes.
            other.map(|other| [one, other])
        });
        let [(one, one_name), (other, other_name)] = match pair {
            Ok(pair) => pair,
            Err(error) => {
                self.writable = Answer::no(error);
                return;
            }
        };
        self.writable = Answer::of(RealDisk.write(&one, b"0123456789abcdef", 0));
        let directory = private.directory();
        let [link, nameless] = ["link", "nameless"].map(|what| {
            let mut name = one_name.clone();
            name.push(".");
            name.push(what);
            name
        });
        self.hard_links = Answer::of(RealDisk.link(&one, (directory, &link)));
        self.nameless_files = Answer::of(
            RealDisk
                .create_nameless(directory)
                .and_then(|file| RealDisk.link(&file, (directory, &nameless))),
        );
        self.exchange = exchange(directory, (&one, &one_name), &other_name);
        // A file that is open for writing gets no lease.
        drop((one, other));
        self.leases = lease(directory.open_file(&one_name));
        for name in [&one_name, &other_name, &link, &nameless] {
            // One may not have been made; another that stays is removed by recovery.
            let _ = RealDisk.remove(directory, name);
        }
    }
}

fn exchange(directory: &Directory, (one, one_name): (&File, &OsStr), other_name: &OsStr) -> Answer {
    let exchanged = RealDisk.exchange((directory, one_name), (directory, other_name));
    let moved = exchanged.and_then(|()| {
        let is = directory.identity(other_name)?.inode == Identity::of(one)?.inode;
        if is {
            Ok(())
        } else {
            Err(io::Error::other("the names were not exchanged"))
        }
    });
    Answer::of(moved)
}

fn lease(file: io::Result<File>) -> Answer {
    let file = match file {
        Ok(file) => file,
        Err(error) => return Answer::no(error),
    };
    match Lease::take(&file) {
        Ok(lease) if lease.is_whole() => Answer::yes(),
        Ok(_) => Answer::no("a lease was given and taken back at once"),
        Err(Refused::Busy) => Answer::no("a new file counts as open for writing"),
        Err(Refused::Unavailable(error)) => Answer::no(error),
    }
}

/// The private directory to try things in.
struct Workshop<'a> {
    captures: &'a Directory,
    markers: Result<Markers<'static, RealDisk>, String>,
    /// Whether the marker directory is to be removed, and the private one.
    removes: [bool; 2],
}

impl<'a> Workshop<'a> {
    fn open(captures: &'a Directory, made: Made) -> Self {
        let is_missing = |opened: &io::Result<Directory>| {
            let error = opened.as_ref().err();
            error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let markers = captures.below(marker::DIRECTORY.as_ref());
        let is_new = is_missing(&markers);
        let is_private_new =
            is_new || markers.is_ok_and(|markers| is_missing(&markers.below(private::NAME.as_ref())));
        let (owner, removes) = match made {
            Made::Removed => (None, [is_new, is_private_new]),
            Made::Kept(owner) => (owner, [false; 2]),
        };
        let markers = Markers::open(&RealDisk, captures, owner);
        Self {
            captures,
            markers: markers.map_err(|error| with_causes(&error)),
            removes,
        }
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        let [removes_markers, removes_private] = self.removes;
        // Only an empty directory is removed: one that a job has come to meanwhile stays.
        if let (true, Ok(markers)) = (removes_private, &self.markers) {
            let _ = unlinkat(markers.directory(), private::NAME, UnlinkatFlags::RemoveDir);
        }
        if removes_markers {
            let _ = unlinkat(self.captures, marker::DIRECTORY, UnlinkatFlags::RemoveDir);
        }
    }
}
