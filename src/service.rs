//! What the service manager is told: that the daemon is ready, what it does, that it is alive (`sd_notify`(3)).
//!
//! The home of the `sd-notify` crate. Without `NOTIFY_SOCKET`, from a terminal for instance, nothing is told and nothing
//! is computed for it. When something is worth telling, and whether the workers are alive, is decided by `daemon`; here
//! is only how often it may be told.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

/// How often the status may change.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// The service manager, where there is one.
#[derive(Debug)]
pub struct Service {
    is_there: bool,
    /// `WATCHDOG_USEC`: a service that is silent for longer is ended.
    watchdog: Option<Duration>,
    next_alive: Instant,
    status: String,
    status_at: Option<Instant>,
    is_refusal_told: bool,
}

impl Service {
    /// The one that the environment names.
    #[must_use]
    pub fn from_environment() -> Self {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self {
            is_there,
            watchdog: sd_notify::watchdog_enabled().filter(|time| is_there && !time.is_zero()),
            next_alive: Instant::now(),
            status: String::new(),
            status_at: None,
            is_refusal_told: false,
        }
    }

    /// Whether there is anybody to tell.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// After so long without a sign of life the service is ended.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service does its work, be it for the first time or with new settings.
    pub fn ready(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// New settings are read; [`Service::ready`] must follow.
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => warn!("the service manager cannot be told of the reload: {error}"),
        }
    }

    /// The service is about to end.
    pub fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// Starting or stopping goes on for so long from now, whatever time the unit grants for it.
    pub fn extend(&mut self, by: Duration) {
        let microseconds = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(microseconds)]);
    }

    /// When a sign of life is due: at half of the time after which the service is ended.
    #[must_use]
    pub fn alive_due(&self) -> Option<Instant> {
        self.watchdog.map(|_| self.next_alive)
    }

    /// Gives a sign of life if `is_alive`; the next one is due half the watchdog's time from `now`.
    pub fn alive(&mut self, is_alive: bool, now: Instant) {
        let Some(watchdog) = self.watchdog else {
            return;
        };
        self.next_alive = now + watchdog / 2;
        if is_alive {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// From when on a new status may be told.
    #[must_use]
    pub fn status_due(&self) -> Option<Instant> {
        self.status_at.map(|at| at + STATUS_PAUSE)
    }

    /// Tells the status, one line, if it is a new one.
    pub fn status(&mut self, status: String, now: Instant) {
        if status != self.status {
            self.tell(&[NotifyState::Status(&status)]);
            (self.status, self.status_at) = (status, Some(now));
        }
    }

    fn tell(&mut self, state: &[NotifyState<'_>]) {
        if !self.is_there {
            return;
        }
        if let Err(error) = sd_notify::notify(state)
            && !self.is_refusal_told
        {
            warn!("the service manager cannot be told anything: {error}");
            self.is_refusal_told = true;
        }
    }
}
