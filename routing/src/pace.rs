//! How many copies may be under way at once, so that clients do not wait for them; and how many in a second.
//!
//! In: how long the authority took to answer Interlay's own requests. Out: room, or none. As TCP does it: one more for
//! each round that went well, and a third less for one that took longer than the clients' requests should.
//!
//! A backfill's limits are buckets of tokens, one a key and one a byte. A value's size is known only when its copy has begun,
//! so the bytes may be overdrawn, and nothing begins until that is made good.

use crate::backfill::BackfillLimits;

/// Fewest and most keys under way at once.
const KEYS: std::ops::RangeInclusive<f64> = 16.0..=128.0;

/// The same where clients may feel it: the more at once, the fewer system calls and turns of the servers' event loops for each.
const GREEDY_KEYS: f64 = 1024.0;

/// Most bytes of values under way at once, where clients are not to feel it: a server carries out back to back what it has got, and
/// answers nobody meanwhile.
const POLITE_BYTES: u64 = 2 << 20;

/// A reply that takes this long, or as many times the shortest of late, says that the authority is busy.
const SLOW_MS: u64 = 2;
const SLOW_TIMES: u64 = 4;

/// After so long the shortest reply time is found anew.
const FLOOR_HOLDS_MS: u64 = 10_000;

/// A bucket holds what comes in so long.
const BURST_S: f64 = 0.1;

/// Tokens that come in at a steady rate.
#[derive(Clone, Copy, Debug, Default)]
struct Tokens {
    /// 0: as many as are wanted.
    per_s: u64,
    there: f64,
    since_ms: u64,
}

impl Tokens {
    fn set(&mut self, per_s: u64, now_ms: u64) {
        *self = Self { per_s, there: self.there.min(0.0), since_ms: now_ms };
    }

    /// Whether there is one at least.
    fn are_there(&mut self, now_ms: u64) -> bool {
        if self.per_s == 0 {
            return true;
        }
        let rate = self.per_s as f64;
        let passed_s = now_ms.saturating_sub(self.since_ms) as f64 / 1000.0;
        self.there = (self.there + passed_s * rate).min((rate * BURST_S).max(1.0));
        self.since_ms = now_ms;
        self.there >= 1.0
    }

    /// How many there were when that was asked last.
    fn whole(&self) -> usize {
        if self.per_s == 0 { usize::MAX } else { self.there as usize }
    }

    fn take(&mut self, tokens: u64) {
        if self.per_s > 0 {
            self.there -= tokens as f64;
        }
    }
}

/// Room for copies.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_max: u64,
    keys: f64,
    /// Whether there is always room for the most keys.
    greedy: bool,
    key_tokens: Tokens,
    byte_tokens: Tokens,
    under_way: usize,
    in_batches: usize,
    bytes: u64,
    floor_ms: u64,
    floor_since_ms: u64,
    slowed_ms: u64,
}

impl Pace {
    /// Room for values of `bytes_max` bytes together, or for a single one.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            keys: *KEYS.start(),
            greedy: false,
            key_tokens: Tokens::default(),
            byte_tokens: Tokens::default(),
            under_way: 0,
            in_batches: 0,
            bytes: 0,
            floor_ms: u64::MAX,
            floor_since_ms: 0,
            slowed_ms: 0,
        }
    }

    /// Copies no more than so many in a second.
    pub(crate) fn limit(&mut self, limits: BackfillLimits, now_ms: u64) {
        self.greedy = limits.greedy;
        self.key_tokens.set(limits.keys_per_s, now_ms);
        self.byte_tokens.set(limits.bytes_per_s, now_ms);
    }

    /// Whether clients may feel it.
    pub(crate) fn is_greedy(&self) -> bool {
        self.greedy
    }

    /// Whether the limits let another copy begin.
    pub(crate) fn may_begin(&mut self, now_ms: u64) -> bool {
        self.key_tokens.are_there(now_ms) & self.byte_tokens.are_there(now_ms)
    }

    /// Whether another copy may begin.
    pub(crate) fn has_room(&self) -> bool {
        (self.under_way as f64) < if self.greedy { GREEDY_KEYS } else { self.keys }
    }

    /// Whether the value of one of those under way, which takes so many bytes, may be asked for.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let most = if self.greedy { self.bytes_max } else { self.bytes_max.min(POLITE_BYTES) };
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= most
    }

    /// How many keys the next batch may have, of `wanted` ones. Batches have as much room as other copies, so that neither keep the
    /// others waiting.
    pub(crate) fn batch(&mut self, wanted: usize, now_ms: u64) -> usize {
        let most = if self.greedy { GREEDY_KEYS } else { self.keys } as usize;
        let tokens = if self.may_begin(now_ms) { self.key_tokens.whole() } else { 0 };
        let keys = most.saturating_sub(self.in_batches).min(tokens).min(wanted);
        // Rather a full one a little later, if there is one to wait for.
        if keys == wanted || self.in_batches == 0 { keys } else { 0 }
    }

    /// A batch of so many keys has begun, whose values may have so many bytes each.
    pub(crate) fn batch_began(&mut self, keys: usize, bytes_each: u64) {
        self.in_batches += keys;
        self.key_tokens.take(keys as u64);
        self.bytes += keys as u64 * bytes_each;
    }

    /// A batch has turned out to have so many bytes.
    pub(crate) fn batch_read(&mut self, bytes: u64) {
        self.byte_tokens.take(bytes);
    }

    /// So many keys of batches are done with.
    pub(crate) fn batch_ended(&mut self, keys: usize, bytes_each: u64) {
        self.in_batches = self.in_batches.saturating_sub(keys);
        self.answered_in_part(keys as u64 * bytes_each);
    }

    /// A copy has begun.
    pub(crate) fn began(&mut self) {
        self.under_way += 1;
        self.key_tokens.take(1);
    }

    /// A value of so many bytes is asked for.
    pub(crate) fn asked(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.byte_tokens.take(bytes);
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
    fn limits_hold_over_time_and_a_large_value_is_paid_off() {
        let mut pace = Pace::new(u64::MAX);
        pace.limit(BackfillLimits { keys_per_s: 100, ..BackfillLimits::default() }, 0);
        let mut began = 0;
        for now_ms in (0..=10_000).step_by(20) {
            while pace.may_begin(now_ms) {
                pace.began();
                began += 1;
            }
        }
        assert!((1000..=1011).contains(&began), "{began}");
        pace.limit(BackfillLimits { bytes_per_s: 1000, ..BackfillLimits::default() }, 10_000);
        assert!(pace.may_begin(10_100));
        pace.asked(5000);
        assert!(!pace.may_begin(14_900) && pace.may_begin(15_100));
        pace.limit(BackfillLimits::default(), 15_100);
        assert!((0..1000).all(|_| pace.may_begin(15_100)));
    }

    #[test]
    fn a_greedy_one_does_not_yield() {
        let mut pace = Pace::new(1000);
        pace.limit(BackfillLimits { greedy: true, ..BackfillLimits::default() }, 0);
        pace.answered(0, 1000);
        let begun = std::iter::from_fn(|| pace.has_room().then(|| pace.began())).count();
        assert_eq!((begun, pace.is_greedy()), (GREEDY_KEYS as usize, true));
        pace.limit(BackfillLimits::default(), 0);
        pace.ended(0);
        assert!(!pace.has_room());
    }

    #[test]
    fn batches_are_full_or_alone_and_have_room_of_their_own() {
        let mut pace = Pace::new(1 << 20);
        (0..16).for_each(|_| pace.began());
        assert_eq!((pace.has_room(), pace.batch(10, 0)), (false, 10));
        pace.batch_began(10, 1000);
        assert_eq!((pace.batch(10, 0), pace.batch(6, 0)), (0, 6), "of 16 keys");
        pace.batch_ended(10, 1000);
        assert_eq!(pace.batch(64, 0), 16);
        pace.limit(BackfillLimits { keys_per_s: 100, ..BackfillLimits::default() }, 0);
        assert_eq!((pace.batch(64, 0), pace.batch(64, 50)), (0, 5));
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
