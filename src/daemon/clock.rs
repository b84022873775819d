//! An alarm by the wall clock.
//!
//! Ages count from file times, so the next due capture is due by the wall clock, which may be set while the daemon
//! sleeps. A timerfd on the real-time clock (`timerfd_create`(2)) rings on time whatever happens to the clock, says when
//! it was set, and costs no wake-up in between.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// When an alarm without a time rings: not in this life, but it still says when the clock was set.
const NEVER: i64 = 1 << 40;

/// The alarm.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<Timer>,
    set_to: Option<TimeSpec>,
}

/// The timer, as tokio takes it.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Why the alarm woke somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rang {
    /// It is time.
    Due,
    /// The clock was set.
    ClockSet,
}

impl Alarm {
    /// An alarm that is not set. Must be called inside a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        #[allow(
            deprecated,
            reason = "what takes its place is unsafe, and our descriptor is that of one open timer"
        )]
        let timer = AsyncFd::new(Timer(TimerFd::new(ClockId::CLOCK_REALTIME, flags)?))?;
        Ok(Self { timer, set_to: None })
    }

    /// Waits until the wall clock says `time`, or is set. Safe to cancel.
    pub(super) async fn rings_at(&mut self, time: Option<SystemTime>) -> io::Result<Rang> {
        let wanted = time.map_or(TimeSpec::new(NEVER, 0), of);
        if self.set_to != Some(wanted) {
            let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            self.timer.get_ref().0.set(Expiration::OneShot(wanted), flags)?;
            self.set_to = Some(wanted);
        }
        loop {
            let mut ready = self.timer.readable().await?;
            // Not `TimerFd::wait`, which does not tell the two apart.
            let read = ready.try_io(|timer| Ok(nix::unistd::read(timer.get_ref(), &mut [0; 8])?));
            let rang = match read {
                // It was another's wake-up.
                Err(_) => continue,
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::ECANCELED as i32) => Rang::ClockSet,
                Ok(read) => read.map(|_| Rang::Due)?,
            };
            self.set_to = None;
            return Ok(rang);
        }
    }
}

/// A time as the timer takes it; zero would switch it off.
fn of(time: SystemTime) -> TimeSpec {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimeSpec::from_duration(since_epoch.max(std::time::Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_time_and_at_once_when_that_has_passed() {
        let mut alarm = Alarm::new().unwrap();
        let soon = SystemTime::now() + Duration::from_millis(50);
        for time in [soon, soon, SystemTime::UNIX_EPOCH - Duration::from_secs(1)] {
            assert_eq!(alarm.rings_at(Some(time)).await.unwrap(), Rang::Due);
            assert!(SystemTime::now() >= soon);
        }
    }

    #[tokio::test]
    async fn a_later_time_takes_the_place_of_an_earlier_one() {
        let mut alarm = Alarm::new().unwrap();
        let wait = Duration::from_millis(20);
        for time in [Some(SystemTime::now() + Duration::from_millis(1)), None] {
            let _ = timeout(Duration::ZERO, alarm.rings_at(time)).await;
        }
        timeout(wait, alarm.rings_at(None)).await.expect_err("never");
    }
}
