//! What was read and is not recorded yet: a bounded buffer between the reading and the recording thread.
//!
//! Apart so that a slow disk holds up nobody until [`LIMIT`] bytes wait: the reader appends, the recorder takes all that
//! is there at once. Two buffers change places, so nothing is allocated once both have grown.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many bytes may wait to be recorded. Beyond it the reader waits, and with it whoever writes to us.
pub(super) const LIMIT: usize = 64 << 20;

/// The buffer, shared by both threads.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Nothing more will be appended.
    is_ended: bool,
    /// Nothing more will be taken.
    is_closed: bool,
}

impl Backlog {
    /// Appends bytes, and waits for room first. What comes after the end, or after nobody takes any more, is dropped.
    pub(super) fn append(&self, bytes: &[u8]) {
        let mut state = self.state();
        while state.bytes.len() + bytes.len() > LIMIT && !state.bytes.is_empty() && !state.is_over() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_over() {
            state.bytes.extend_from_slice(bytes);
            self.changed.notify_all();
        }
    }

    /// Waits for bytes and exchanges all of them for `taken`, which is emptied. `false` once the end is reached.
    pub(super) fn take(&self, taken: &mut Vec<u8>) -> bool {
        taken.clear();
        let mut state = self.state();
        while state.bytes.is_empty() && !state.is_ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.bytes, taken);
        self.changed.notify_all();
        !taken.is_empty()
    }

    /// Nothing more comes; what waits can still be taken.
    pub(super) fn end(&self) {
        self.state().is_ended = true;
        self.changed.notify_all();
    }

    /// Nobody takes any more; what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.bytes = Vec::new();
        self.changed.notify_all();
    }

    /// Whether nobody takes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.is_ended || self.is_closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn everything_comes_out_once_and_in_order() {
        let backlog = Arc::new(Backlog::default());
        let writer = thread::spawn({
            let backlog = Arc::clone(&backlog);
            move || {
                for n in 0..1000u32 {
                    backlog.append(&n.to_be_bytes());
                }
                backlog.end();
            }
        });
        let (mut all, mut taken) = (Vec::new(), Vec::new());
        while backlog.take(&mut taken) {
            all.extend_from_slice(&taken);
        }
        writer.join().unwrap();
        assert_eq!(all, (0..1000u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_waits_than_the_limit_and_a_closed_backlog_holds_up_nobody() {
        let backlog = Arc::new(Backlog::default());
        let writer = thread::spawn({
            let backlog = Arc::clone(&backlog);
            move || {
                for _ in 0..3 {
                    backlog.append(&vec![7; LIMIT / 2 + 1]);
                }
            }
        });
        let mut taken = Vec::new();
        assert!(backlog.take(&mut taken));
        assert_eq!(taken.len(), LIMIT / 2 + 1);
        backlog.close();
        writer.join().unwrap();
        backlog.end();
        assert!(!backlog.take(&mut taken));
    }
}
