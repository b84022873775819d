//! The reading thread: takes bytes as they come, forwards them unchanged and at once, and hands them on to be recorded.
//!
//! Forwarding comes first and never waits for a disk. Bytes are not looked at here, so that what is forwarded is what
//! came, whatever it is. A reader that goes away ends the forwarding, not the recording.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::backlog::Backlog;
use super::{named, warn};

/// How many bytes are read at a time, and how many a pipe on either side should hold: the most that a process without
/// privileges may ask for (`/proc/sys/fs/pipe-max-size`).
const PIECE: usize = 1 << 20;
/// How often a reader that waits looks whether it was told to stop, in milliseconds.
const LOOK_AROUND: u16 = 100;
/// How long what still comes is taken after the order to stop: whoever writes to us was told to stop as well, and
/// empties its buffers.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where bytes come from and go to.
#[derive(Debug)]
pub(super) struct Pump {
    input: File,
    /// And its name.
    forward: Option<(File, PathBuf)>,
}

impl Pump {
    pub(super) fn new(input: File, forward: Option<(File, PathBuf)>) -> Self {
        let out = forward.as_ref().map(|(file, _)| file);
        for pipe in [Some(&input), out].into_iter().flatten() {
            // Of something that is no pipe, or where the limit is lower, the size stays.
            let size = i32::try_from(PIECE).unwrap_or(i32::MAX);
            let _ = fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(size));
        }
        Self { input, forward }
    }

    /// Pumps until the input ends, `stop` is set, or nobody wants the bytes any more.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub(super) fn run(mut self, backlog: &Backlog, stop: &AtomicBool) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        let mut stopped_at = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                let since = stopped_at.get_or_insert_with(Instant::now);
                if since.elapsed() > LAST_WORDS {
                    return Ok(());
                }
            }
            let patience = if stopped_at.is_some() { 0 } else { LOOK_AROUND };
            if !is_ready(&self.input, patience)? {
                if stopped_at.is_some() {
                    return Ok(());
                }
                continue;
            }
            let length = match self.input.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = piece.get(..length).unwrap_or_default();
            self.forward(bytes);
            backlog.append(bytes);
            if self.forward.is_none() && backlog.is_closed() {
                return Ok(());
            }
        }
    }

    fn forward(&mut self, bytes: &[u8]) {
        let Some((to, path)) = &mut self.forward else {
            return;
        };
        if let Err(error) = to.write_all(bytes) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                warn("the reader of the forwarded packets went away; recording goes on");
            } else {
                let name = named(path);
                warn(&format!("cannot forward to {name}, recording goes on: {error}"));
            }
            self.forward = None;
        }
    }
}

/// Whether there is something to read, or the end, within so many milliseconds.
fn is_ready(input: &File, milliseconds: u16) -> io::Result<bool> {
    let mut wanted = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    match poll(&mut wanted, PollTimeout::from(milliseconds)) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
