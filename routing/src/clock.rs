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
    known: BySide<bool>,
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

    /// Whether a side's server has ever told its time.
    #[must_use]
    pub fn is_known(&self, side: Side) -> bool {
        self.known[side]
    }

    /// What time it is here when it is `unix_ms` on a side's server.
    #[must_use]
    pub fn here(&self, side: Side, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.offsets_ms[side].saturating_neg())
    }

    /// What time it is on a side's server when it is `unix_ms` here.
    #[must_use]
    pub fn there(&self, side: Side, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.offsets_ms[side])
    }

    /// How far a side's clock is ahead of ours. Unit: milliseconds.
    #[must_use]
    pub fn offset_ms(&self, side: Side) -> i64 {
        self.offsets_ms[side]
    }

    /// A side's server says that it is `unix_ms` there, in answer to what was sent at `sent_mono_ms`.
    pub fn sampled(&mut self, side: Side, unix_ms: u64, sent_mono_ms: u64) {
        let took_ms = self.now.mono_ms.saturating_sub(sent_mono_ms);
        // It was that time there at some moment between the two here. A server tells milliseconds that have passed.
        let least = unix_ms.cast_signed().saturating_sub_unsigned(self.now.unix_ms);
        let most = least.saturating_add_unsigned(took_ms + 1);
        self.known[side] = true;
        let offset = &mut self.offsets_ms[side];
        *offset = (*offset).clamp(least, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_moves_no_further_than_an_answer_shows() {
        let mut clock = Clock::default();
        clock.set(Now { mono_ms: 20, unix_ms: 1_000 });
        clock.sampled(Side::Source, 995, 10);
        assert_eq!((clock.offset_ms(Side::Source), clock.unix_ms_of(Side::Source)), (0, 1_000));
        clock.sampled(Side::Target, 1_500, 10);
        assert_eq!((clock.offset_ms(Side::Target), clock.unix_ms_of(Side::Target)), (500, 1_500));
        clock.sampled(Side::Target, 1_480, 10);
        assert_eq!((clock.offset_ms(Side::Target), clock.here(Side::Target, 1_491)), (491, 1_000));
    }
}
