//! Whoever wants a leased capture is not kept waiting: the kernel's word of it wakes the workers that wait for the budget.
//!
//! The kernel announces that a lease is to be broken by SIGIO (fcntl(2), `F_SETLEASE`), whose default action ends the
//! process. It is ignored, and sent to one thread that waits for nothing else and rings the budget's bell; who waits
//! there asks for its lease again. A capture program that takes up an old capture, as tcpdump -W does, is held up
//! for as long as a step takes, and not until a waiting worker looks around by itself, which is what remains where no
//! thread can be had. Whether a lease is whole is asked of the kernel alone, by [`super::Lease`].

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

use crate::budget::bell;

/// Who is told of something about a file; include/uapi/asm-generic/fcntl.h.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// One thread.
const OWNER_IS_A_THREAD: libc::c_int = 0;
const SET_OWNER: libc::c_int = 15;

/// The thread that listens for all leases; `None` where there can be none. From then on SIGIO is ignored.
pub(super) fn listener() -> Option<libc::pid_t> {
    static LISTENER: OnceLock<Option<libc::pid_t>> = OnceLock::new();
    *LISTENER.get_or_init(|| {
        // SAFETY: ignoring a signal installs no handler, so no code of ours can run at a bad moment. Whoever embeds
        // this library and handles SIGIO loses it.
        let _ = unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) };
        start(bell::ring)
    })
}

/// Has the kernel tell a thread where the lease on `file` is to be broken.
pub(super) fn announce(file: BorrowedFd<'_>, thread: libc::pid_t) {
    let owner = Owner {
        kind: OWNER_IS_A_THREAD,
        id: thread,
    };
    // SAFETY: F_SETOWN_EX reads one f_owner_ex, which `owner` is; the descriptor is open. Where the kernel refuses, the
    // signal goes to the process, which ignores it.
    unsafe { libc::fcntl(file.as_raw_fd(), SET_OWNER, &raw const owner) };
}

/// Starts a thread that calls `ring` at each announcement.
fn start(ring: impl Fn() + Send + 'static) -> Option<libc::pid_t> {
    let (tell, told) = mpsc::channel();
    let listen = move || {
        let mut announcements = SigSet::empty();
        announcements.add(Signal::SIGIO);
        // A thread that blocks a signal is given it although the process ignores it.
        if announcements.thread_block().is_ok() && tell.send(nix::unistd::gettid().as_raw()).is_ok() {
            while announcements.wait().is_ok() {
                ring();
            }
        }
    };
    thread::Builder::new()
        .name("leases".to_owned())
        .spawn(listen)
        .ok()?;
    told.recv().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::lease::Lease;

    fn leased(directory: &tempfile::TempDir) -> Option<Lease> {
        let path = directory.path().join("a.pcap");
        fs::write(&path, b"capture").unwrap();
        let lease = Lease::take(&File::open(path).unwrap()).ok();
        if lease.is_none() {
            eprintln!("left out: no leases on this file system");
        }
        lease
    }

    #[test]
    fn a_thread_is_told_as_soon_as_somebody_wants_a_leased_capture() {
        let directory = tempfile::tempdir().unwrap();
        let Some(lease) = leased(&directory) else { return };
        let (bell, rung) = mpsc::channel();
        let thread = start(move || bell.send(()).unwrap()).unwrap();
        announce(lease.file.as_fd(), thread);
        assert!(rung.try_recv().is_err());
        thread::scope(|scope| {
            let writer = scope.spawn(|| File::options().append(true).open(directory.path().join("a.pcap")));
            let told = rung.recv_timeout(Duration::from_secs(60));
            let is_whole = lease.is_whole();
            drop(lease);
            writer.join().unwrap().unwrap();
            assert_eq!((told, is_whole), (Ok(()), false));
        });
    }

    #[test]
    fn every_lease_is_listened_for() {
        const GET_OWNER: libc::c_int = 16;
        let directory = tempfile::tempdir().unwrap();
        let Some(lease) = leased(&directory) else { return };
        let mut owner = Owner { kind: -1, id: -1 };
        // SAFETY: F_GETOWN_EX writes one f_owner_ex.
        unsafe { libc::fcntl(lease.file.as_raw_fd(), GET_OWNER, &raw mut owner) };
        assert_eq!((owner.kind, Some(owner.id)), (OWNER_IS_A_THREAD, listener()));
    }
}
