//! When keys expire, as far as Interlay has seen: in bounded memory.
//!
//! Both servers expire a key by themselves, and not at the same instant. A write that reaches the key in between finds it on
//! one side only, and its reply need not show that (SADD, HSET). So each deadline that Interlay sets is noted, and a write
//! to a key that is *near* its deadline calls for a repair.
//!
//! In: deadlines of keys ([`Deadlines::note`]), and what time it is ([`Deadlines::advance`]). Out: whether a key is near one
//! ([`Deadlines::is_near`]).
//!
//! Invariant: a key is near whenever the time is within the window of a deadline that was noted of it. The converse holds
//! but for a slot's length, keys with equal hashes, and what follows.
//!
//! ```text
//!            now - window   now   now + window
//!   past, dropped |─────── near ───────|── ahead: hashes by slot ──|▒▒▒▒ folded: every key ▒▒▒▒|
//! ```
//!
//! Past the bound the farthest slots fold into ranges of slots in which every key counts as near. So memory ends, nothing
//! is forgotten, and what is next stays exact. A deadline that is moved or removed leaves its note behind: a repair too many.
//! Notes do not know databases. If the clock goes back, what was dropped stays dropped.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::split::key_hash;

/// Length of a slot. A write near a deadline costs a repair, so that a few tenths of a second more do not matter.
const SLOT_MS: u64 = 256;

/// What a slot costs beside its hashes: its place in a half-full tree, and an allocation.
const SLOT_BYTES: usize = 96;

/// What a hash costs that is near, for each place of the table: the entry and a byte of the table's own.
const NEAR_BYTES: usize = 20;

/// Ranges of folded slots; past it the farthest two become one.
const RANGES_MAX: usize = 64;

/// Places of the table of near hashes that stay when it has emptied.
const NEAR_KEPT: usize = 1024;

/// The deadlines of keys.
#[derive(Debug)]
pub(crate) struct Deadlines {
    bytes_max: usize,
    /// The slots that the window touches: first and last.
    window: (u64, u64),
    /// Hashes with a deadline up to the window's end, and the last slot of each.
    near: HashMap<u32, u64, BuildHasherDefault<AsIs>>,
    /// Hashes with a deadline behind the window's end. A hash may stand in a slot more than once.
    ahead: BTreeMap<u64, Vec<u32>>,
    /// What the slots ahead take.
    ahead_bytes: usize,
    /// First and last slots of ranges, apart from each other, that stand for every key.
    folded: BTreeMap<u64, u64>,
}

impl Deadlines {
    /// No deadlines. Those that are noted take `bytes_max` bytes at most, and a few KiB.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, window: (0, 0), near: HashMap::default(), ahead: BTreeMap::new(), ahead_bytes: 0, folded: BTreeMap::new() }
    }

    /// Whether no key is near its deadline. The hot path asks nothing else while none is.
    pub(crate) fn is_quiet(&self) -> bool {
        self.near.is_empty() && !self.is_folded_near()
    }

    /// Whether `key` is near a deadline of its.
    pub(crate) fn is_near(&self, key: &[u8]) -> bool {
        self.is_folded_near() || (!self.near.is_empty() && self.near.contains_key(&short_hash(key)))
    }

    /// Whether no deadline is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.near.is_empty() && self.ahead.is_empty() && self.folded.is_empty()
    }

    /// Memory that the deadlines take which are held one by one.
    fn bytes(&self) -> usize {
        self.ahead_bytes + self.near_bytes()
    }

    /// `key` expires at `deadline_unix_ms`, as the servers' clocks have it.
    pub(crate) fn note(&mut self, key: &[u8], deadline_unix_ms: u64) {
        let slot = deadline_unix_ms / SLOT_MS;
        let (first, last) = self.window;
        if slot < first || self.folded.range(..=slot).next_back().is_some_and(|(_, end)| slot <= *end) {
            return;
        }
        if slot <= last {
            self.note_near(short_hash(key), slot);
        } else {
            let hashes = self.ahead.entry(slot).or_insert_with(|| {
                self.ahead_bytes += SLOT_BYTES;
                Vec::new()
            });
            let before = hashes.capacity();
            push(hashes, short_hash(key));
            self.ahead_bytes += (hashes.capacity() - before) * size_of::<u32>();
        }
        self.fold_down();
    }

    /// It is `now_unix_ms` on the servers, and deadlines as far as `window_ms` from that are near. The window covers what
    /// the servers may be apart in expiring a key, and the time until the next call.
    pub(crate) fn advance(&mut self, now_unix_ms: u64, window_ms: u64) {
        let window = (now_unix_ms.saturating_sub(window_ms) / SLOT_MS, now_unix_ms.saturating_add(window_ms) / SLOT_MS);
        if window == self.window {
            return;
        }
        self.window = window;
        let (first, last) = window;
        self.near.retain(|_, slot| *slot >= first);
        if self.near.capacity() > NEAR_KEPT && self.near.len() < self.near.capacity() / 8 {
            self.near.shrink_to(self.near.len() * 2);
        }
        while self.folded.first_key_value().is_some_and(|(_, end)| *end < first) {
            self.folded.pop_first();
        }
        while let Some(entry) = self.ahead.first_entry().filter(|entry| *entry.key() <= last) {
            let (slot, hashes) = entry.remove_entry();
            self.ahead_bytes -= slot_bytes(&hashes);
            for hash in hashes.into_iter().filter(|_| slot >= first) {
                self.note_near(hash, slot);
            }
        }
        self.fold_down();
    }

    fn note_near(&mut self, hash: u32, slot: u64) {
        let until = self.near.entry(hash).or_default();
        *until = slot.max(*until);
    }

    fn is_folded_near(&self) -> bool {
        // Ranges that lie before the window are gone.
        self.folded.first_key_value().is_some_and(|(start, _)| *start <= self.window.1)
    }

    fn near_bytes(&self) -> usize {
        self.near.capacity() * NEAR_BYTES
    }

    /// Folds the farthest slots until the bound holds, and what is near last of all.
    fn fold_down(&mut self) {
        while self.bytes() > self.bytes_max {
            if let Some((slot, hashes)) = self.ahead.pop_last() {
                self.ahead_bytes -= slot_bytes(&hashes);
                self.fold(slot, slot);
            } else if let Some(last) = self.near.values().max().copied() {
                self.near = HashMap::default();
                self.fold(self.window.0, last);
            } else {
                self.near = HashMap::default();
            }
        }
    }

    /// From `start` to `end` every key counts as near.
    fn fold(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        // One that reaches up to here, and then all that begin within it or right behind.
        while let Some((&from, &to)) = self.folded.range(..=end.saturating_add(1)).next_back()
            && to.saturating_add(1) >= start
        {
            self.folded.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.folded.insert(start, end);
        if self.folded.len() > RANGES_MAX
            && let (Some((_, end)), Some((start, _))) = (self.folded.pop_last(), self.folded.pop_last())
        {
            self.folded.insert(start, end);
            // What stood between them one by one is of no use now.
            let mut between = self.ahead.split_off(&start);
            let mut behind = between.split_off(&end.saturating_add(1));
            self.ahead.append(&mut behind);
            self.ahead_bytes -= between.values().map(slot_bytes).sum::<usize>();
        }
    }
}

fn slot_bytes(hashes: &Vec<u32>) -> usize {
    SLOT_BYTES + hashes.capacity() * size_of::<u32>()
}

/// Adds a hash. Where that needs more memory, repeated hashes go first: a hot key is noted with every write of it.
fn push(hashes: &mut Vec<u32>, hash: u32) {
    if hashes.last() == Some(&hash) {
        return;
    }
    if hashes.len() == hashes.capacity() {
        hashes.sort_unstable();
        hashes.dedup();
        // If few have gone, the next time is far enough for the sorting to pay.
        if hashes.len() > hashes.capacity() / 2 {
            hashes.reserve(hashes.len());
        }
    }
    hashes.push(hash);
}

fn short_hash(key: &[u8]) -> u32 {
    // Truncation is the point: a key in four billion is repaired for nothing.
    key_hash(key) as u32
}

/// Hashes what is a hash already. The upper bits are spread, since tables look at both ends.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash) << 32 | u64::from(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_key_is_near_within_the_window_and_not_far_from_it() {
        let mut deadlines = Deadlines::new(1 << 20);
        deadlines.advance(HOUR_MS, 1000);
        deadlines.note(b"k", HOUR_MS + 10_000);
        for (now_ms, is_near) in [(0, false), (8_500, false), (9_000, true), (10_000, true), (11_000, true), (11_500, false)] {
            deadlines.advance(HOUR_MS + now_ms, 1000);
            assert_eq!((deadlines.is_near(b"k"), deadlines.is_quiet()), (is_near, !is_near), "at {now_ms} ms");
            assert!(!deadlines.is_near(b"other"));
        }
        assert!(deadlines.is_empty());
    }

    #[test]
    fn a_deadline_noted_within_the_window_is_near_at_once() {
        let mut deadlines = Deadlines::new(1 << 20);
        deadlines.advance(HOUR_MS, 1000);
        deadlines.note(b"k", HOUR_MS + 500);
        deadlines.note(b"past", HOUR_MS - 5_000);
        assert!(deadlines.is_near(b"k") && !deadlines.is_near(b"past"));
    }

    #[test]
    fn a_hot_key_is_held_a_few_times_however_often_it_is_noted() {
        let mut deadlines = Deadlines::new(1 << 20);
        for n in 0..10_000_u32 {
            deadlines.note(if n % 2 == 0 { b"a" } else { b"b" }, HOUR_MS);
        }
        assert!(deadlines.bytes() < SLOT_BYTES + 64, "{} bytes", deadlines.bytes());
    }

    #[test]
    fn past_the_bound_the_farthest_fold_and_the_next_stay_exact() {
        let mut deadlines = Deadlines::new(100_000);
        for second in 0..10_000_u64 {
            deadlines.note(&second.to_le_bytes(), HOUR_MS + second * 1000);
        }
        assert!(!deadlines.folded.is_empty() && deadlines.bytes() <= 100_000);
        deadlines.advance(HOUR_MS, 500);
        assert!(deadlines.is_near(&0_u64.to_le_bytes()) && !deadlines.is_near(&1_u64.to_le_bytes()));
        deadlines.advance(HOUR_MS + 9_000_000, 500);
        assert!(deadlines.is_near(b"any"));
        deadlines.advance(HOUR_MS + 10_001_000, 500);
        assert!(deadlines.is_empty() && deadlines.is_quiet());
    }

    #[test]
    fn a_deadline_at_the_end_of_time_is_held() {
        let mut deadlines = Deadlines::new(0);
        deadlines.note(b"k", u64::MAX);
        deadlines.note(b"l", u64::MAX - 10 * SLOT_MS);
        deadlines.advance(u64::MAX - 1, 1000);
        assert!(deadlines.is_near(b"k"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Time goes by in steps, deadlines are noted meanwhile, and nothing is missed whatever the bound.
        #[test]
        fn a_key_is_near_whenever_its_deadline_is(
            bytes_max in prop_oneof![0..3_000_usize, 100_000..200_000_usize],
            window_ms in 0..2_000_u64,
            steps in prop::collection::vec((0..400_u64, 0..40_u16, prop_oneof![4 => 0..20_000_u64, 1 => 0..u64::MAX / 2]), 1..300),
        ) {
            let mut deadlines = Deadlines::new(bytes_max);
            let mut noted: Vec<(u16, u64)> = Vec::new();
            let mut now_ms = HOUR_MS;
            for (passed_ms, key, ahead_ms) in steps {
                now_ms += passed_ms;
                deadlines.advance(now_ms, window_ms);
                let deadline_ms = now_ms + ahead_ms - ahead_ms.min(300);
                deadlines.note(&key.to_le_bytes(), deadline_ms);
                noted.push((key, deadline_ms));
                for (key, deadline_ms) in &noted {
                    let is_near = deadlines.is_near(&key.to_le_bytes());
                    prop_assert!(is_near || now_ms.abs_diff(*deadline_ms) > window_ms, "{key} at {deadline_ms} is missed at {now_ms}");
                    prop_assert!(!is_near || !deadlines.is_quiet());
                }
                prop_assert!(deadlines.bytes() <= bytes_max && deadlines.folded.len() <= RANGES_MAX);
                let ahead_bytes: usize = deadlines.ahead.values().map(slot_bytes).sum();
                prop_assert_eq!(deadlines.ahead_bytes, ahead_bytes);
                let exact = |key: &u16| noted.iter().any(|(noted, at)| noted == key && now_ms.abs_diff(*at) <= window_ms + SLOT_MS);
                prop_assert!(!deadlines.folded.is_empty() || (0..40).all(|key: u16| exact(&key) || !deadlines.is_near(&key.to_le_bytes())));
            }
        }
    }
}
