//! What wakes those who wait for the budget before their time, so that they look around.
//!
//! Rung where something has changed that no waiting worker can see coming: somebody wants a leased capture back, the
//! program is to stop, the limits are others. One for the whole process, as signals are, and no more than a hint: whoever
//! is woken asks anew whether to go on, and whoever is not asks again soon. Apart from the budget because those who ring
//! know nothing of budgets.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static BELL: Bell = Bell::new();

/// Wakes everybody who waits.
pub fn ring() {
    BELL.ring();
}

/// How often it was rung: to be asked before the look around after which [`wait`] is called, so that no ring is missed.
#[must_use]
pub fn rings() -> u64 {
    *BELL.rings()
}

/// Waits for `most`, or until it was rung more often than `heard`; gives whether it was.
pub fn wait(heard: u64, most: Duration) -> bool {
    BELL.wait(heard, most)
}

#[derive(Debug)]
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    const fn new() -> Self {
        Self {
            rings: Mutex::new(0),
            rung: Condvar::new(),
        }
    }

    fn ring(&self) {
        *self.rings() += 1;
        self.rung.notify_all();
    }

    fn wait(&self, heard: u64, most: Duration) -> bool {
        let (rings, _) = self
            .rung
            .wait_timeout_while(self.rings(), most, |rings| *rings == heard)
            .unwrap_or_else(PoisonError::into_inner);
        *rings != heard
    }

    fn rings(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test may take: whoever is not woken fails.
    const FOREVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ring_between_the_look_around_and_the_wait_is_not_missed() {
        let bell = Bell::new();
        let heard = *bell.rings();
        bell.ring();
        assert!(bell.wait(heard, FOREVER));
    }

    #[test]
    fn everybody_who_waits_is_woken_and_who_is_not_comes_back_by_himself() {
        let bell = Bell::new();
        assert!(!bell.wait(0, Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let waiting = [0; 3].map(|heard| {
                scope.spawn({
                    let bell = &bell;
                    move || bell.wait(heard, FOREVER)
                })
            });
            bell.ring();
            for one in waiting {
                assert!(one.join().unwrap());
            }
        });
    }
}
