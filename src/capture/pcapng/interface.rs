//! Interface descriptions: what the frames of one interface begin with, how much of each was captured, and when.
//!
//! Source: draft-ietf-opsawg-pcapng section 4.2. A packet block names its interface by its number in the section, so
//! the reader keeps them in a table. Everything else that a description says is copied and not looked at.

use std::time::Duration;

use super::super::LinkType;
use super::super::order::Order;
use super::{HEADER, TRAILER, option};

/// Where in the block the options begin.
const OPTIONS: usize = HEADER + 8;
/// The options that say what a timestamp means.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
/// Says that the resolution is a power of two, not of ten.
const POWER_OF_TWO: u8 = 0x80;
/// Timestamps count microseconds where nothing else is said.
const MICROSECONDS: u8 = 6;
const NANOSECONDS: u8 = 9;
/// How many nanoseconds a second has.
const SECOND: u128 = 1_000_000_000;

/// One interface of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// What its frames begin with.
    pub link_type: LinkType,
    /// How much of a frame was captured at most, in bytes; 0 for all of it.
    pub snaplen: u32,
    /// How finely timestamps count, as `if_tsresol` says it.
    resolution: u8,
    /// What is added to timestamps, in seconds, as `if_tsoffset` says it.
    offset: i64,
}

impl Interface {
    /// Reads a whole interface description block; `None` where it is too short for one.
    #[must_use]
    pub fn parse(order: Order, block: &[u8]) -> Option<Self> {
        let &[l0, l1, _, _, s0, s1, s2, s3] = block.get(HEADER..OPTIONS)?.first_chunk()?;
        let options = block.get(OPTIONS..block.len().checked_sub(TRAILER)?)?;
        let mut interface = Self {
            link_type: LinkType(order.u16([l0, l1])),
            snaplen: order.u32([s0, s1, s2, s3]),
            resolution: MICROSECONDS,
            offset: 0,
        };
        for entry in option::entries(order, options) {
            match (entry.code, entry.value) {
                (RESOLUTION, &[resolution]) => interface.resolution = resolution,
                (OFFSET, value) => {
                    if let Ok(value) = value.try_into() {
                        interface.offset = order.u64(value).cast_signed();
                    }
                }
                _ => {}
            }
        }
        Some(interface)
    }

    /// What a timestamp of this interface means, in nanoseconds since the epoch; 0 where that is no such number.
    #[inline]
    #[must_use]
    pub fn time_ns(&self, timestamp: u64) -> u64 {
        // Asked for each packet, and nearly always one of these.
        match (self.resolution, self.offset) {
            (MICROSECONDS, 0) => timestamp.saturating_mul(1000),
            (NANOSECONDS, 0) => timestamp,
            _ => self
                .time(timestamp)
                .and_then(|time| u64::try_from(time.as_nanos()).ok())
                .unwrap_or_default(),
        }
    }

    /// The timestamp of this interface that means `time`, since the epoch, or the nearest that there is.
    #[must_use]
    pub fn ticks(&self, time: Duration) -> u64 {
        let seconds = i128::from(time.as_secs()) - i128::from(self.offset);
        let Ok(seconds) = u128::try_from(seconds) else {
            return 0;
        };
        let fraction = |units: u128| units.checked_mul(time.subsec_nanos().into()).map(|n| n / SECOND);
        let ticks = self.units().and_then(|units| {
            let whole = seconds.checked_mul(units)?;
            whole.checked_add(fraction(units)?)
        });
        ticks.and_then(|ticks| ticks.try_into().ok()).unwrap_or(u64::MAX)
    }

    /// Into how many units a second is divided; `None` where that is more than 128 bits can count.
    fn units(&self) -> Option<u128> {
        let base: u128 = if self.resolution & POWER_OF_TWO == 0 {
            10
        } else {
            2
        };
        base.checked_pow(u32::from(self.resolution & !POWER_OF_TWO))
    }

    /// What a timestamp of this interface means, since the epoch; `None` where that is no time after it.
    #[must_use]
    pub fn time(&self, timestamp: u64) -> Option<Duration> {
        // Finer than what 128 bits can count: all of the timestamp is a fraction of a second.
        let (seconds, nanoseconds) = match self.units() {
            Some(units) => {
                let fraction = u128::from(timestamp) % units;
                let nanoseconds = fraction.checked_mul(SECOND).map_or(0, |scaled| scaled / units);
                (u128::from(timestamp) / units, nanoseconds)
            }
            None => (0, 0),
        };
        let seconds = i128::try_from(seconds).ok()?.checked_add(self.offset.into())?;
        Some(Duration::new(
            seconds.try_into().ok()?,
            nanoseconds.try_into().ok()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(order: Order, options: &[u8]) -> Interface {
        let mut block = vec![0; HEADER];
        block.extend_from_slice(&[0; 8]);
        block.extend_from_slice(options);
        block.extend_from_slice(&[0; TRAILER]);
        Interface::parse(order, &block).unwrap()
    }

    #[test]
    fn timestamps_count_microseconds_unless_told_otherwise() {
        let time = described(Order::Little, &[]).time(1_700_000_000_123_456);
        assert_eq!(time, Some(Duration::new(1_700_000_000, 123_456_000)));
    }

    #[test]
    fn timestamps_count_powers_of_ten_and_of_two() {
        let nanoseconds = described(Order::Little, &[9, 0, 1, 0, 9, 0, 0, 0]);
        assert_eq!(
            nanoseconds.time(1_500_000_007),
            Some(Duration::new(1, 500_000_007))
        );
        let halves = described(Order::Big, &[0, 9, 0, 1, 0x81, 0, 0, 0]);
        assert_eq!(halves.time(5), Some(Duration::from_millis(2500)));
        let seconds = described(Order::Big, &[0, 9, 0, 1, 0, 0, 0, 0]);
        assert_eq!(seconds.time(5), Some(Duration::from_secs(5)));
        let finest = described(Order::Big, &[0, 9, 0, 1, 0xff, 0, 0, 0]);
        assert!(finest.time(u64::MAX).is_some());
    }

    #[test]
    fn a_time_becomes_the_timestamp_that_means_it() {
        let time = Duration::new(1_700_000_000, 123_456_789);
        for (options, exact) in [
            (&[][..], Duration::new(1_700_000_000, 123_456_000)),
            (&[9, 0, 1, 0, 9, 0, 0, 0], time),
            (&[9, 0, 1, 0, 0, 0, 0, 0], Duration::from_secs(1_700_000_000)),
            (&[9, 0, 1, 0, 0x81, 0, 0, 0], Duration::from_secs(1_700_000_000)),
            (
                &[14, 0, 8, 0, 100, 0, 0, 0, 0, 0, 0, 0],
                Duration::new(1_700_000_000, 123_456_000),
            ),
        ] {
            let interface = described(Order::Little, options);
            assert_eq!(interface.time(interface.ticks(time)), Some(exact));
        }
        let finest = described(Order::Little, &[9, 0, 1, 0, 0xff, 0, 0, 0]);
        assert_eq!(finest.ticks(time), u64::MAX);
        let late = described(Order::Little, &[14, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(late.ticks(time), 0);
    }

    #[test]
    fn the_offset_is_added_in_the_byte_order_of_the_section() {
        let big = described(Order::Big, &[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 100]);
        assert_eq!(big.time(1_000_000), Some(Duration::from_secs(101)));
        let before = described(
            Order::Little,
            &[14, 0, 8, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        );
        assert_eq!(before.time(3_000_000), Some(Duration::from_secs(1)));
        assert_eq!(before.time(1_000_000), None);
    }
}
