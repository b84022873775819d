//! The arithmetic of the budgets: who may go on, and how long the others wait.
//!
//! Pure: the time is an argument (since any fixed moment), and so is everything that was measured. A [`Bucket`] pays
//! out at a rate and lets a taker run into debt, which it then waits off: that is fair between workers without a queue,
//! and exact over any stretch longer than what may be saved up. What a slow device or a busy processor kept takers from
//! is made up for, but not at once: never much faster than the rate. Who waits holds a [`Ticket`], so that a rate that
//! is changed meanwhile counts for it too. The same bucket counts bytes and processor seconds.

use std::time::Duration;

/// How much may be saved up, in seconds of the rate: enough to make up for a device that stalls now and then.
const SAVED_SECONDS: f64 = 0.4;

/// How much of it may be spent at once, in seconds of the rate: enough to even out the scheduler's steps, so little that
/// a capture program's writes do not wait behind it.
const BURST_SECONDS: f64 = 0.05;

/// How fast the rest of it may be spent, beside the rate. With what is saved up at most it takes more than a second, so
/// that in no second there is more than this and the burst.
const CATCH_UP: f64 = 1.25;

/// How far below the limit pressure must fall before a pause ends, as a part of the limit.
const RESUME_BELOW: f64 = 0.5;

/// Above which share of the time that we stall ourselves nothing can be said about the others, in percent.
const TOO_BUSY_TO_TELL: f64 = 90.0;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate: f64,
    /// How much may be saved up, in seconds of the rate.
    saved: f64,
    /// What may be taken by the rate; below zero is debt.
    level: f64,
    /// What may be taken by the rate of catching up.
    at_once: f64,
    /// All that was ever taken.
    taken: f64,
    at: Duration,
}

/// What a taker waits for: that everything taken up to its own part is paid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticket(f64);

impl Bucket {
    /// An empty bucket that is filled with `rate` a second from `now` on, and makes up for what was not taken lately.
    #[must_use]
    pub fn new(rate: f64, now: Duration) -> Self {
        Self::saving(SAVED_SECONDS, rate, now)
    }

    /// The same without making up for anything: there is at most `rate` in any second, and the burst.
    #[must_use]
    pub fn strict(rate: f64, now: Duration) -> Self {
        Self::saving(BURST_SECONDS, rate, now)
    }

    fn saving(saved: f64, rate: f64, now: Duration) -> Self {
        Self {
            rate: rate.max(f64::MIN_POSITIVE),
            saved,
            level: 0.0,
            at_once: 0.0,
            taken: 0.0,
            at: now,
        }
    }

    /// Changes the rate from `now` on; debts stay.
    pub fn set_rate(&mut self, rate: f64, now: Duration) {
        self.fill(now);
        self.rate = rate.max(f64::MIN_POSITIVE);
    }

    /// Takes `amount`; [`Bucket::wait`] says when the taker may go on.
    pub fn take(&mut self, amount: f64, now: Duration) -> Ticket {
        self.fill(now);
        self.level -= amount;
        self.at_once -= amount;
        self.taken += amount;
        Ticket(self.taken)
    }

    /// How long the holder of `ticket` must wait from `now` on, at the rate of now.
    pub fn wait(&mut self, ticket: Ticket, now: Duration) -> Duration {
        self.fill(now);
        let since = ticket.0 - self.taken;
        let by_rate = (since - self.level) / self.rate;
        let at_once = (since - self.at_once) / (self.rate * CATCH_UP);
        Duration::try_from_secs_f64(by_rate.max(at_once).max(0.0)).unwrap_or(Duration::MAX)
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + elapsed * self.rate).min(self.rate * self.saved);
        self.at_once = (self.at_once + elapsed * self.rate * CATCH_UP).min(self.rate * BURST_SECONDS);
    }
}

/// The part of the machine that may be used, in percent, when its load is `load` percent: `cap`, less up to `strength`
/// of it as the load rises from `above` to 100 percent.
#[must_use]
pub fn cpu_target(cap: f64, load: f64, above: f64, strength: f64) -> f64 {
    let room = (100.0 - above).max(f64::MIN_POSITIVE);
    let excess = ((load - above) / room).clamp(0.0, 1.0);
    cap * (1.0 - strength.clamp(0.0, 1.0) * excess)
}

/// Whether to pause because of pressure, given whether there is a pause now: above `limit` it begins, below half of it
/// it ends.
#[must_use]
pub fn paused(now_paused: bool, pressure: f64, limit: f64) -> bool {
    pressure > if now_paused { limit * RESUME_BELOW } else { limit }
}

/// The share of the time in which somebody else stalls, when somebody stalls for `all` percent of it and this program for
/// `own`: both are taken to stall at times that have nothing to do with each other. A program that stalls nearly always
/// cannot tell, and gives way.
#[must_use]
pub fn pressure_of_others(all: f64, own: f64) -> f64 {
    if own >= TOO_BUSY_TO_TELL {
        return all;
    }
    ((all - own) / (100.0 - own) * 100.0).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)] // the figures are chosen so that they come out exactly

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Takes, and waits as long as that needs.
    fn take(bucket: &mut Bucket, amount: f64, now: Duration) -> Duration {
        let ticket = bucket.take(amount, now);
        bucket.wait(ticket, now)
    }

    #[test]
    fn takers_in_debt_get_the_rate_exactly() {
        let mut bucket = Bucket::new(50e6, Duration::ZERO);
        let (mut now, mut taken) = (Duration::ZERO, 0.0);
        while now < seconds(10.0) {
            now += take(&mut bucket, 1e6, now);
            taken += 1e6;
        }
        assert!(
            (taken / now.as_secs_f64() / 50e6 - 1.0).abs() < 0.001,
            "{taken} in {now:?}"
        );
    }

    /// What is taken from `from` to `to` by someone who takes whenever he may, 10 ms worth of it at a time.
    fn taken_between(bucket: &mut Bucket, from: f64, to: f64) -> f64 {
        let (mut now, mut taken, step) = (seconds(from), 0.0, bucket.rate * 0.01);
        while now < seconds(to) {
            taken += step;
            now += take(bucket, step, now);
        }
        taken
    }

    #[test]
    fn an_idle_hour_saves_up_no_more_than_is_made_up_for() {
        let mut bucket = Bucket::new(50e6, Duration::ZERO);
        let taken = taken_between(&mut bucket, 3600.0, 3610.0) / 50e6;
        assert!((10.0..=10.0 + SAVED_SECONDS + 0.02).contains(&taken), "{taken}");
    }

    #[test]
    fn after_an_idle_hour_only_the_burst_goes_at_once() {
        let mut bucket = Bucket::new(50e6, Duration::ZERO);
        let now = seconds(3600.0);
        assert_eq!(take(&mut bucket, 50e6 * BURST_SECONDS, now), Duration::ZERO);
        assert!(take(&mut bucket, 1e6, now) >= seconds(0.015));
    }

    #[test]
    fn no_second_has_more_than_a_quarter_above_the_rate_and_the_burst() {
        let mut bucket = Bucket::new(50e6, Duration::ZERO);
        let taken = taken_between(&mut bucket, 3600.0, 3601.0) / 50e6;
        assert!(taken <= CATCH_UP + BURST_SECONDS + 0.02, "{taken}");
    }

    #[test]
    fn a_strict_bucket_makes_up_for_nothing() {
        let mut bucket = Bucket::strict(50e6, Duration::ZERO);
        let taken = taken_between(&mut bucket, 3600.0, 3601.0) / 50e6;
        assert!((1.0..=1.0 + BURST_SECONDS + 0.02).contains(&taken), "{taken}");
    }

    #[test]
    fn stalls_of_the_device_cost_nothing_of_the_rate() {
        let mut bucket = Bucket::new(50e6, Duration::ZERO);
        let taken: f64 = (0..10)
            .map(f64::from)
            .map(|second| taken_between(&mut bucket, second + 0.15, second + 1.0))
            .sum();
        assert!((taken / 50e7 - 1.0).abs() < 0.03, "{taken}");
    }

    #[test]
    fn four_takers_share_what_one_would_get() {
        let mut bucket = Bucket::new(1e6, Duration::ZERO);
        let mut ready = [Duration::ZERO; 4];
        let mut taken = [0.0; 4];
        for _ in 0..4000 {
            let next = (0..4).min_by_key(|&taker| ready[taker]).unwrap();
            ready[next] += take(&mut bucket, 1e4, ready[next]);
            taken[next] += 1e4;
        }
        let end = ready.iter().max().unwrap().as_secs_f64();
        assert!((taken.iter().sum::<f64>() / end / 1e6 - 1.0).abs() < 0.01);
        assert!(
            taken.iter().all(|&part| (part / 1e7 - 1.0).abs() < 0.01),
            "{taken:?}"
        );
    }

    #[test]
    fn a_new_rate_counts_from_now_on_for_those_who_wait_already() {
        let mut bucket = Bucket::new(1.0, Duration::ZERO);
        let ticket = bucket.take(10.0, Duration::ZERO);
        bucket.set_rate(5.0, seconds(5.0));
        assert_eq!(bucket.wait(ticket, seconds(5.0)), seconds(1.0));
    }

    #[test]
    fn who_came_first_does_not_wait_for_what_others_took_since() {
        let mut bucket = Bucket::new(1.0, Duration::ZERO);
        let first = bucket.take(2.0, Duration::ZERO);
        let second = bucket.take(3.0, Duration::ZERO);
        assert_eq!(bucket.wait(first, seconds(1.0)), seconds(1.0));
        assert_eq!(bucket.wait(second, seconds(1.0)), seconds(4.0));
    }

    #[test]
    fn a_clock_that_stands_still_or_runs_back_pays_nothing_out() {
        let mut bucket = Bucket::new(1.0, seconds(100.0));
        assert_eq!(take(&mut bucket, 1.0, seconds(50.0)), seconds(1.0));
        assert_eq!(take(&mut bucket, 0.0, seconds(100.0)), seconds(1.0));
    }

    #[test]
    fn the_cpu_target_shrinks_with_load_and_comes_back() {
        assert_eq!(cpu_target(25.0, 70.0, 70.0, 0.5), 25.0);
        assert_eq!(cpu_target(25.0, 85.0, 70.0, 0.5), 18.75);
        assert_eq!(cpu_target(25.0, 100.0, 70.0, 0.5), 12.5);
        assert_eq!(cpu_target(25.0, 100.0, 100.0, 0.5), 25.0);
        assert_eq!(cpu_target(25.0, 100.0, 70.0, 1.0), 0.0);
    }

    #[test]
    fn a_pause_ends_at_half_the_limit() {
        assert!(!paused(false, 10.0, 10.0));
        assert!(paused(false, 10.1, 10.0));
        assert!(paused(true, 7.0, 10.0));
        assert!(!paused(true, 5.0, 10.0));
    }

    #[test]
    fn pressure_that_is_our_own_is_no_reason_to_give_way() {
        assert_eq!(pressure_of_others(30.0, 30.0), 0.0);
        assert_eq!(pressure_of_others(30.0, 0.0), 30.0);
        assert_eq!(pressure_of_others(60.0, 50.0), 20.0);
        assert_eq!(pressure_of_others(20.0, 25.0), 0.0);
        assert_eq!(pressure_of_others(100.0, 95.0), 100.0);
    }
}
