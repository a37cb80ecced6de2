//! What time it is, here and on the servers.
//!
//! In: the system's clock, told once for each batch of events, and the servers' answers to TIME. Out: a server's time.

use crate::side::{BySide, Side};

/// A moment, as the system's clocks have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since a moment before the start. Never goes back.
    pub mono_ms: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// The time here, and how far the servers' clocks are from it.
#[derive(Debug, Default)]
pub struct Clock {
    now: Now,
    offsets_ms: BySide<i64>,
}

impl Clock {
    /// It is `now`.
    pub fn set(&mut self, now: Now) {
        self.now = now;
    }

    /// What time it was at the last event.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// Milliseconds since 1970 on a side's server.
    #[must_use]
    pub fn unix_ms_of(&self, side: Side) -> u64 {
        self.now.unix_ms.saturating_add_signed(self.offsets_ms[side])
    }

    /// How far a side's clock is ahead of ours. Unit: milliseconds.
    #[must_use]
    pub fn offset_ms(&self, side: Side) -> i64 {
        self.offsets_ms[side]
    }

    /// A side's server says that it is `unix_ms` there, in answer to what was sent at `sent_mono_ms`.
    pub fn sampled(&mut self, side: Side, unix_ms: u64, sent_mono_ms: u64) {
        let here = self.now.unix_ms - (self.now.mono_ms.saturating_sub(sent_mono_ms) / 2).min(self.now.unix_ms);
        self.offsets_ms[side] = i64::try_from(i128::from(unix_ms) - i128::from(here)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_way_is_taken_off() {
        let mut clock = Clock::default();
        clock.set(Now { mono_ms: 20, unix_ms: 1_000 });
        clock.sampled(Side::Target, 1_500, 10);
        assert_eq!((clock.offset_ms(Side::Target), clock.unix_ms_of(Side::Target), clock.unix_ms_of(Side::Source)), (505, 1_505, 1_000));
    }
}
