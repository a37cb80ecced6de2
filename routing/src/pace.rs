//! How many copies may be under way at once, so that clients do not wait for them.
//!
//! In: how long the authority took to answer Interlay's own requests. Out: room, or none. As TCP does it: one more for
//! each round that went well, and a third less for one that took longer than the clients' requests should.

/// Fewest and most keys under way at once.
const KEYS: std::ops::RangeInclusive<f64> = 16.0..=128.0;

/// A reply that takes this long, or as many times the shortest of late, says that the authority is busy.
const SLOW_MS: u64 = 2;
const SLOW_TIMES: u64 = 4;

/// After so long the shortest reply time is found anew.
const FLOOR_HOLDS_MS: u64 = 10_000;

/// Room for copies.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_max: u64,
    keys: f64,
    under_way: usize,
    bytes: u64,
    floor_ms: u64,
    floor_since_ms: u64,
    slowed_ms: u64,
}

impl Pace {
    /// Room for values of `bytes_max` bytes together, or for a single one.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, keys: *KEYS.start(), under_way: 0, bytes: 0, floor_ms: u64::MAX, floor_since_ms: 0, slowed_ms: 0 }
    }

    /// Whether another copy may begin.
    pub(crate) fn has_room(&self) -> bool {
        (self.under_way as f64) < self.keys
    }

    /// Whether the value of one of those under way, which takes so many bytes, may be asked for.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// A copy has begun.
    pub(crate) fn began(&mut self) {
        self.under_way += 1;
    }

    /// A value of so many bytes is asked for.
    pub(crate) fn asked(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// A piece of so many bytes is there, and the next one not asked for.
    pub(crate) fn answered_in_part(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A copy has ended, whose value took so many bytes.
    pub(crate) fn ended(&mut self, bytes: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.answered_in_part(bytes);
    }

    /// The authority has answered at `now_ms` what it was asked at `asked_ms`.
    pub(crate) fn answered(&mut self, asked_ms: u64, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(asked_ms);
        if took_ms <= self.floor_ms || now_ms.saturating_sub(self.floor_since_ms) > FLOOR_HOLDS_MS {
            self.floor_ms = took_ms;
            self.floor_since_ms = now_ms;
        }
        if took_ms <= SLOW_MS.max(self.floor_ms.saturating_mul(SLOW_TIMES)) {
            self.keys = (self.keys + 1.0 / self.keys).min(*KEYS.end());
        } else if asked_ms >= self.slowed_ms {
            // Once for all that were under way together.
            self.slowed_ms = now_ms;
            self.keys = (self.keys * 2.0 / 3.0).max(*KEYS.start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_replies_are_quick_and_yields_when_they_are_not() {
        let mut pace = Pace::new(1000);
        (0..2000).for_each(|at| pace.answered(at, at + 1));
        let quick = pace.keys;
        assert!(quick > 60.0, "{quick}");
        // Many slow replies of one round count once.
        (0..30).for_each(|_| pace.answered(2000, 2100));
        assert!((pace.keys - quick * 2.0 / 3.0).abs() < 0.1);
        (0..100).for_each(|round| pace.answered(3000 + round * 200, 3100 + round * 200));
        assert!(pace.keys >= *KEYS.start());
    }

    #[test]
    fn one_value_of_any_size_has_room() {
        let mut pace = Pace::new(1000);
        assert!(pace.has_room_for(5000));
        pace.began();
        pace.asked(5000);
        assert!(!pace.has_room_for(1));
        pace.ended(5000);
        assert!(pace.has_room_for(1));
    }
}
