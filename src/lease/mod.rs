//! Read leases: how the kernel keeps writers out of a file, and says that one is waiting (fcntl(2), `F_SETLEASE`).
//!
//! A read lease is given only while no process has the file open for writing. While it is held, open(2) for writing and
//! truncate(2) wait in the kernel until it is given back, or for /proc/sys/fs/lease-break-time (45 s) at most. Whoever
//! holds it asks [`Lease::is_whole`] at each step; `breaks` wakes those who wait. Apart from `input`, because a slimmed
//! file is guarded in the same way as its original. Not every file system that grants a lease keeps to it: which do is
//! said in `commit::place`.

#![allow(unsafe_code)]

mod breaks;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Why no lease was given.
#[derive(Debug)]
pub enum Refused {
    /// A process has the file open for writing.
    Busy,
    /// The file system has no leases, or neither is the file ours nor do we have `CAP_LEASE`.
    Unavailable(io::Error),
}

/// A read lease on an open file. Dropped, it is given back.
#[derive(Debug)]
pub struct Lease {
    /// Of the same open file description, to which the lease belongs.
    file: File,
}

impl Lease {
    /// Takes a read lease on `file`, which must be open for reading only.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn take(file: &File) -> Result<Self, Refused> {
        let file = file.try_clone().map_err(Refused::Unavailable)?;
        let listener = breaks::listener();
        // SAFETY: F_SETLEASE takes an integer and touches no memory of ours; the descriptor is open.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) } != 0 {
            let error = io::Error::last_os_error();
            return Err(match error.kind() {
                io::ErrorKind::WouldBlock => Refused::Busy,
                _ => Refused::Unavailable(error),
            });
        }
        if let Some(listener) = listener {
            breaks::announce(file.as_fd(), listener);
        }
        Ok(Self { file })
    }

    /// Whether no process has asked to write to the file.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        // SAFETY: F_GETLEASE takes no argument and touches no memory of ours; the descriptor is open.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) == libc::F_RDLCK }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: as when it was taken.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}
