//! What the machine says about itself: processor time, load, pressure.
//!
//! Read from /proc, the cgroup and each thread's own clock (proc(5), `Documentation/accounting/psi.rst`). Everything is
//! a counter of which two readings are compared, never an average of the kernel's: `avg10` takes ten seconds to notice
//! and ten more to forget. Where the kernel does not tell, there is no answer, and the budget does without.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::governor;

/// Where cgroups of version 2 are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Everything that was counted up to one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    at: Duration,
    ticks: Option<Ticks>,
    cpu: Stall,
    io: Stall,
}

/// For how long somebody stalled: anybody, and this program; `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stall {
    all: Option<Duration>,
    own: Option<Duration>,
}

/// What there was between two readings, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    /// How busy the machine's processors were, with this program.
    pub load: Option<f64>,
    /// How much of the time somebody else waited for a processor or for I/O, whichever is more; `None` without PSI.
    pub pressure: Option<f64>,
}

impl Reading {
    /// The counters at this moment, `at` since any fixed one.
    pub(super) fn now(at: Duration, own: Option<&Path>) -> Self {
        let stall = |all: &str, name: &str| Stall {
            all: stalled(Path::new(all)),
            own: own.and_then(|directory| stalled(&directory.join(name))),
        };
        Self {
            at,
            ticks: Ticks::now(),
            cpu: stall("/proc/pressure/cpu", "cpu.pressure"),
            io: stall("/proc/pressure/io", "io.pressure"),
        }
    }

    /// How long ago it was.
    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.at)
    }

    /// What there was since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Weather {
        let elapsed = self.at.saturating_sub(earlier.at);
        let pressure = |now: Stall, then: Stall| now.since(then, elapsed);
        let (cpu, io) = (pressure(self.cpu, earlier.cpu), pressure(self.io, earlier.io));
        Weather {
            load: self
                .ticks
                .zip(earlier.ticks)
                .and_then(|(now, then)| now.load_since(then)),
            pressure: cpu.into_iter().chain(io).reduce(f64::max),
        }
    }
}

impl Stall {
    fn since(self, earlier: Self, elapsed: Duration) -> Option<f64> {
        let percent = |now: Option<Duration>, then: Option<Duration>| {
            let share = now?.checked_sub(then?)?.as_secs_f64() / elapsed.as_secs_f64();
            share.is_finite().then_some((share * 100.0).min(100.0))
        };
        let all = percent(self.all, earlier.all)?;
        let own = percent(self.own, earlier.own).unwrap_or(0.0);
        Some(governor::pressure_of_others(all, own))
    }
}

/// Processor time of the machine since it started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Ticks {
    /// Now, from /proc/stat.
    fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line
            .split_ascii_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = *fields else {
            return None;
        };
        let busy = user + nice + system + irq + softirq + steal;
        Some(Self {
            busy,
            all: busy + idle + iowait,
        })
    }

    /// The load between `earlier` and this moment, in percent of the whole machine.
    fn load_since(self, earlier: Self) -> Option<f64> {
        let (busy, all) = (
            self.busy.checked_sub(earlier.busy)?,
            self.all.checked_sub(earlier.all)?,
        );
        (all > 0).then(|| busy as f64 * 100.0 / all as f64)
    }
}

/// The cgroup of this process, where nobody else is in it: what is counted there is its own.
pub(super) fn own_cgroup() -> Option<PathBuf> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let directory = Path::new(CGROUPS).join(below_root(&cgroups)?);
    let processes = fs::read_to_string(directory.join("cgroup.procs")).ok()?;
    (processes.trim() == std::process::id().to_string()).then_some(directory)
}

/// The path of the cgroup of version 2, unless it is the root, which is everybody's.
fn below_root(cgroups: &str) -> Option<&str> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    (!path.is_empty()).then_some(path)
}

/// For how long somebody stalled, by one PSI file.
fn stalled(path: &Path) -> Option<Duration> {
    total(&fs::read_to_string(path).ok()?)
}

fn total(text: &str) -> Option<Duration> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let microseconds = some.split(' ').find_map(|field| field.strip_prefix("total="))?;
    microseconds.parse().ok().map(Duration::from_micros)
}

/// Processor time that this thread has used.
pub(super) fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// How many processors there are.
pub(super) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_what_was_not_idle() {
        let before = Ticks::parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        let after = Ticks::parse("cpu  150 0 125 775 100 0 0 0 0 0\n").unwrap();
        assert_eq!(after.load_since(before), Some(50.0));
        assert_eq!(before.load_since(after), None);
        assert_eq!(Ticks::parse("intr 1 2 3"), None);
    }

    #[test]
    fn pressure_is_counted_by_the_total_of_some() {
        let text = "some avg10=12.50 avg60=1.55 avg300=0.69 total=3040463\nfull avg10=99.00 avg60=0 avg300=0 total=0\n";
        assert_eq!(total(text), Some(Duration::from_micros(3_040_463)));
        assert_eq!(total(""), None);
    }

    #[test]
    fn pressure_is_the_share_of_the_time_in_which_others_stalled() {
        let stall = |all, own| Stall {
            all: Some(Duration::from_millis(all)),
            own: Some(Duration::from_millis(own)),
        };
        let second = Duration::from_secs(1);
        assert_eq!(stall(1600, 500).since(stall(1000, 0), second), Some(20.0));
        assert_eq!(Stall::default().since(Stall::default(), second), None);
        assert_eq!(stall(1, 0).since(stall(1, 0), Duration::ZERO), None);
    }

    #[test]
    fn the_root_cgroup_is_not_our_own() {
        assert_eq!(
            below_root("1:cpu:/\n0::/system.slice/a.service\n"),
            Some("system.slice/a.service")
        );
        assert_eq!(below_root("0::/\n"), None);
        assert_eq!(below_root("1:cpu:/a\n"), None);
    }
}
