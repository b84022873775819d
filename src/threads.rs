//! Threads and tokio runtimes that are errors, and not panics, where the system refuses them.
//!
//! A limit on processes (`RLIMIT_NPROC`, `pids.max`) or on memory may refuse a thread at any time, and `RLIMIT_NOFILE`
//! the descriptors of a runtime. `std::thread::spawn`, scoped threads, tokio's blocking pool and its signal driver panic
//! then. Here parallel work goes on with the threads that there are, and a runtime is only built if it has what it needs.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use tokio::runtime::{Builder, Runtime};

/// Descriptors that an event loop needs, and a few more.
const DESCRIPTORS: usize = 8;

/// Longer than any process runs.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why work cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A thread cannot be created.
    #[error("cannot start a thread; see the limits on processes (ulimit -u, pids.max, TasksMax)")]
    Thread(#[source] io::Error),
    /// There are not enough descriptors.
    #[error("too few open files are allowed; see ulimit -n")]
    Descriptors(#[source] io::Error),
    /// The event loop cannot be built for another reason.
    #[error("cannot wait for events")]
    Events(#[source] io::Error),
}

/// Runs `work` for each item, on as many threads as there are items and the system allows, the calling one among them.
/// Results are in the order of the items.
///
/// # Panics
/// When `work` does, with the same payload.
pub fn each<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let left = Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let take = || {
        let mut done = Vec::new();
        while let Some((index, item)) = next() {
            done.push((index, work(item)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, take).ok();
        let helpers: Vec<_> = (1..count).map_while(spawn).collect();
        let mut done = take();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs `work` on a new thread.
///
/// # Errors
/// When it cannot be created.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new().spawn(work).map_err(Error::Thread)
}

/// A runtime on the calling thread, for everything but blocking tasks, which need [`runtime`].
///
/// # Errors
/// When there are not enough descriptors.
pub fn event_loop() -> Result<Runtime, Error> {
    // Tokio panics when there is none left for its signal driver.
    let spare: Result<Vec<File>, _> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    drop(spare.map_err(Error::Descriptors)?);
    Builder::new_current_thread()
        .enable_all()
        // Once there is a thread for blocking tasks it stays, and tasks wait for it when there can be no other.
        .thread_keep_alive(FOR_EVER)
        .build()
        .map_err(Error::Events)
}

/// A runtime on the calling thread with at least one thread for blocking tasks. Call it before other threads are
/// started: the panic hook is replaced for a moment.
///
/// # Errors
/// When there are not enough descriptors, or no thread can be created.
pub fn runtime() -> Result<Runtime, Error> {
    let runtime = event_loop()?;
    // Tokio panics when the first thread cannot be created; the message would be printed beside the error.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let first = panic::catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(|| {})));
    panic::set_hook(hook);
    match first {
        Ok(_) => Ok(runtime),
        Err(_) => Err(Error::Thread(Errno::EAGAIN.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(
            each(items.clone(), |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        assert!(each(Vec::<u32>::new(), |item| item).is_empty());
    }

    #[test]
    fn a_panic_is_passed_on_as_it_was() {
        let panic = panic::catch_unwind(|| each(vec![1, 2, 3], |item| assert!(item != 2, "two")));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"two"));
    }

    #[test]
    fn blocking_tasks_run_on_a_thread_that_stays() {
        let runtime = runtime().unwrap();
        let name = || thread::current().id();
        let first = runtime.block_on(runtime.spawn_blocking(name)).unwrap();
        assert_ne!(first, thread::current().id());
    }
}
