//! What all workers together may use of the machine: I/O, processors, and when to give way.
//!
//! A worker says before each step how many bytes it will move; the budget lets it go at once or holds it back, and
//! keeps asking it meanwhile whether it still wants to wait. No lock is held while waiting or while the kernel is asked,
//! limits may change meanwhile, and whoever waits is woken for what cannot wait ([`bell`]). Each worker has a [`Budget`]
//! of its own that shares everything but the count of how often it asked, by which one that is held back can be told from
//! one that hangs. Only the processor time of workers counts: what other threads use, for the events of watched
//! directories, must not hold the workers back. The arithmetic is in [`governor`] and pure; `machine` reads what the
//! kernel tells.

pub mod bell;
pub mod governor;
mod machine;

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::{Bucket, Ticket};
use machine::Reading;

pub use machine::Weather;

/// What all workers together may use. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Bytes a second, reads and writes together.
    pub io_bytes_per_second: Option<u64>,
    /// Percent of the whole machine's processors, above 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Machine load in percent above which to give way.
    pub backoff_above: Option<f64>,
    /// By how much the CPU target shrinks at full load: 0 not at all, 1 to nothing.
    pub backoff_strength: f64,
    /// Percent of the last second in which somebody else waited for a processor or for I/O (`some` of
    /// /proc/pressure/cpu or /proc/pressure/io) above which to pause.
    pub pressure_above: Option<f64>,
}

/// How long a waiting worker sleeps at most before it looks around again, unless it is woken: less than the 100 ms within
/// which a lease is given back.
const LOOK_AROUND: Duration = Duration::from_millis(80);

/// How often load and pressure are read while somebody works.
const SAMPLE: Duration = Duration::from_millis(250);

/// Over how long load and pressure are taken.
const WINDOW: Duration = Duration::from_secs(1);

thread_local! {
    /// Whose work this thread does, and up to which processor time of the thread it is counted.
    static COUNTED: Cell<Option<(u64, Duration)>> = const { Cell::new(None) };
}

/// The shared budget, as one worker has it.
#[derive(Debug)]
pub struct Budget {
    shared: Arc<Shared>,
    asked: AtomicU64,
    /// Tells the workers apart.
    worker: u64,
}

/// A thread that does the work of one worker. Dropped, what it has used since it last asked is counted too.
#[derive(Debug)]
#[must_use]
pub struct AtWork<'a>(Option<&'a Budget>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    own_cgroup: Option<PathBuf>,
    /// How often anybody was let go on.
    let_through: AtomicU64,
    /// How many are held back at the moment.
    held_back: AtomicUsize,
    state: Mutex<State>,
}

/// What the budget remembers between steps.
#[derive(Debug)]
struct State {
    limits: Limits,
    io: Option<Bucket>,
    cpu: Option<Bucket>,
    /// When a reading was begun last.
    observed: Option<Duration>,
    /// Of the last second, the oldest first.
    readings: VecDeque<Reading>,
    /// The reading of the last time that somebody wanted to know the weather.
    shown: Option<Reading>,
    weather: Weather,
    paused: bool,
    throttled: Throttled,
}

/// How long workers were held back, all together, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttled {
    /// By the I/O budget.
    pub io: Duration,
    /// By the CPU budget, shrunk by load or not.
    pub cpu: Duration,
    /// By pressure.
    pub pressure: Duration,
}

/// Whoever waited did not want to wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp;

/// What holds a worker back.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Io,
    Cpu,
    Pressure,
}

impl Budget {
    /// A budget with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut state = State {
            limits: Limits::default(),
            io: None,
            cpu: None,
            observed: None,
            readings: VecDeque::new(),
            shown: None,
            weather: Weather::default(),
            paused: false,
            throttled: Throttled::default(),
        };
        state.set_limits(limits, Duration::ZERO);
        let shared = Shared {
            begun: Instant::now(),
            own_cgroup: machine::own_cgroup(),
            let_through: AtomicU64::new(0),
            held_back: AtomicUsize::new(0),
            state: Mutex::new(state),
        };
        Self::of_worker(Arc::new(shared))
    }

    fn of_worker(shared: Arc<Shared>) -> Self {
        static WORKERS: AtomicU64 = AtomicU64::new(0);
        Self {
            shared,
            asked: AtomicU64::new(0),
            worker: WORKERS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The same budget for another worker, who has not asked yet.
    #[must_use]
    pub fn share(&self) -> Self {
        Self::of_worker(Arc::clone(&self.shared))
    }

    /// Counts the processor time of this thread as this worker's from now on. A thread that only asks is counted between
    /// the times that it asks.
    pub fn at_work(&self) -> AtWork<'_> {
        let is_counted = COUNTED.get().is_some_and(|(worker, _)| worker == self.worker);
        if !is_counted {
            self.used();
        }
        AtWork((!is_counted).then_some(self))
    }

    /// How often this worker has asked whether it may go on, which it does all the while it is held back.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How often any worker was let go on. While this stays the same, nobody who asks moves.
    #[must_use]
    pub fn let_through(&self) -> u64 {
        self.shared.let_through.load(Ordering::Relaxed)
    }

    /// How many workers are held back at the moment.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.shared.held_back.load(Ordering::Relaxed)
    }

    /// Changes the limits for everybody, also for those who wait.
    pub fn set_limits(&self, limits: Limits) {
        let now = self.now();
        self.state().set_limits(limits, now);
        bell::ring();
    }

    /// How long workers were held back until now.
    #[must_use]
    pub fn throttled(&self) -> Throttled {
        self.state().throttled
    }

    /// Load and pressure: while somebody works of the last second, else since this was asked last.
    #[must_use]
    pub fn weather(&self) -> Weather {
        let now = self.now();
        {
            let state = self.state();
            if state
                .readings
                .back()
                .is_some_and(|last| last.age(now) < 2 * SAMPLE)
            {
                return state.weather;
            }
        }
        let reading = self.reading(now);
        let earlier = self.state().shown.replace(reading);
        earlier.map_or_else(Weather::default, |earlier| reading.since(&earlier))
    }

    /// Waits until `bytes` may be moved and the processors may be used, and returns how long that was. `go_on` is asked
    /// before, whenever the bell rings, and at least every 80 ms meanwhile.
    ///
    /// # Errors
    /// [`GaveUp`] as soon as `go_on` says no.
    pub fn spend(&self, bytes: u64, mut go_on: impl FnMut() -> bool) -> Result<Duration, GaveUp> {
        let begun = self.now();
        let ticket = self.state().io.as_mut().map(|io| io.take(bytes as f64, begun));
        loop {
            let heard = bell::rings();
            self.asked.fetch_add(1, Ordering::Relaxed);
            if !go_on() {
                return Err(GaveUp);
            }
            let now = self.now();
            let Some((wait, cause)) = self.wait(ticket, now) else {
                self.shared.let_through.fetch_add(1, Ordering::Relaxed);
                return Ok(now.saturating_sub(begun));
            };
            self.shared.held_back.fetch_add(1, Ordering::Relaxed);
            bell::wait(heard, wait.min(LOOK_AROUND));
            self.shared.held_back.fetch_sub(1, Ordering::Relaxed);
            let slept = self.now().saturating_sub(now);
            self.state().throttled.add(cause, slept);
        }
    }

    /// How many bytes to move in one step so that the steps are short beside the rate: `most`, or less where that would
    /// take longer than 50 ms.
    #[must_use]
    pub fn step(&self, most: usize) -> usize {
        let least = most.min(4096);
        self.state().limits.io_bytes_per_second.map_or(most, |rate| {
            usize::try_from(rate / 20).unwrap_or(most).clamp(least, most)
        })
    }

    /// For how long to do nothing, and because of what.
    fn wait(&self, ticket: Option<Ticket>, now: Duration) -> Option<(Duration, Cause)> {
        let used = self.used();
        let mut state = self.state();
        let cpu_ticket = state.cpu.as_mut().map(|cpu| cpu.take(used.as_secs_f64(), now));
        if state.is_sample_due(now) {
            // The others do without meanwhile.
            state.observed = Some(now);
            drop(state);
            let reading = self.reading(now);
            state = self.state();
            state.sample(reading, now);
        }
        if state.paused {
            return Some((SAMPLE, Cause::Pressure));
        }
        let until_paid = |bucket: &mut Option<Bucket>, ticket: Option<Ticket>| match (bucket, ticket) {
            (Some(bucket), Some(ticket)) => bucket.wait(ticket, now),
            _ => Duration::ZERO,
        };
        let io = until_paid(&mut state.io, ticket);
        let cpu = until_paid(&mut state.cpu, cpu_ticket);
        let longest = if cpu > io {
            (cpu, Cause::Cpu)
        } else {
            (io, Cause::Io)
        };
        (!longest.0.is_zero()).then_some(longest)
    }

    /// The processor time that this thread has used as this worker since it was asked last.
    fn used(&self) -> Duration {
        let now = machine::thread_cpu_time();
        match COUNTED.replace(Some((self.worker, now))) {
            Some((worker, before)) if worker == self.worker => now.saturating_sub(before),
            _ => Duration::ZERO,
        }
    }

    /// What the kernel has counted; it may take its time, so that nobody should hold the state meanwhile.
    fn reading(&self, now: Duration) -> Reading {
        Reading::now(now, self.shared.own_cgroup.as_deref())
    }

    fn now(&self) -> Duration {
        self.shared.begun.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_limits(&mut self, limits: Limits, now: Duration) {
        let io = limits.io_bytes_per_second.map(|rate| rate as f64);
        set_rate(&mut self.io, io, now, Bucket::new);
        let cap = limits.cpu_percent.or(limits.backoff_above.map(|_| 100.0));
        set_rate(&mut self.cpu, cap.map(cpu_rate), now, Bucket::strict);
        self.paused &= limits.pressure_above.is_some();
        self.limits = limits;
        if self.is_weather_wanted() {
            self.set_by_weather(now);
        }
    }

    fn is_weather_wanted(&self) -> bool {
        self.limits.backoff_above.is_some() || self.limits.pressure_above.is_some()
    }

    fn is_sample_due(&self, now: Duration) -> bool {
        let is_new = |observed| now.saturating_sub(observed) < SAMPLE;
        self.is_weather_wanted() && !self.observed.is_some_and(is_new)
    }

    /// Takes a reading in, and sets the CPU target and the pause by it.
    fn sample(&mut self, reading: Reading, now: Duration) {
        // Half a sample more: those of a whole window are rarely on time. After a rest there is nothing to compare with.
        while self
            .readings
            .front()
            .is_some_and(|old| old.age(now) > WINDOW + SAMPLE / 2)
        {
            self.readings.pop_front();
        }
        self.weather = self
            .readings
            .front()
            .map_or_else(Weather::default, |old| reading.since(old));
        self.readings.push_back(reading);
        self.set_by_weather(now);
    }

    fn set_by_weather(&mut self, now: Duration) {
        let Limits {
            cpu_percent,
            backoff_above,
            backoff_strength,
            pressure_above,
            ..
        } = self.limits;
        let cap = cpu_percent.unwrap_or(100.0);
        if let (Some(cpu), Some(above)) = (&mut self.cpu, backoff_above) {
            let load = self.weather.load.unwrap_or(0.0);
            let target = governor::cpu_target(cap, load, above, backoff_strength);
            cpu.set_rate(cpu_rate(target), now);
        }
        if let Some(limit) = pressure_above {
            self.paused = governor::paused(self.paused, self.weather.pressure.unwrap_or(0.0), limit);
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let Some(budget) = self.0 else { return };
        let (used, now) = (budget.used(), budget.now());
        if let Some(cpu) = &mut budget.state().cpu {
            cpu.take(used.as_secs_f64(), now);
        }
        COUNTED.set(None);
    }
}

impl Throttled {
    fn add(&mut self, cause: Cause, time: Duration) {
        *match cause {
            Cause::Io => &mut self.io,
            Cause::Cpu => &mut self.cpu,
            Cause::Pressure => &mut self.pressure,
        } += time;
    }
}

fn set_rate(bucket: &mut Option<Bucket>, rate: Option<f64>, now: Duration, new: fn(f64, Duration) -> Bucket) {
    match (&mut *bucket, rate) {
        (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
        _ => *bucket = rate.map(|rate| new(rate, now)),
    }
}

/// Processor seconds a second.
fn cpu_rate(percent: f64) -> f64 {
    percent / 100.0 * machine::processors()
}

#[cfg(test)]
mod tests;
