//! The resource limits of the process (getrlimit(2)): raised where that is allowed, and errors where they are reached.
//!
//! Both programs call this once, before their first thread, because a new thread inherits the signal mask. A write
//! beyond `RLIMIT_FSIZE` raises SIGXFSZ, which kills the process by default. While the signal is blocked the write fails
//! with EFBIG instead, and the error names the file as any other does.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

/// Blocks SIGXFSZ for this thread and all that it starts, and raises the soft limit of open files to the hard limit.
pub fn prepare() {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    // Neither call fails for a process's own limits; if one does, the limits stay as they were.
    let _ = blocked.thread_block();
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
