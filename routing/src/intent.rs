//! The write-intent bitmap: which buckets of keys may differ between the sides if this process dies now.
//!
//! In: every key before its write is sent, every bucket that becomes dirty, and about once a second how far both lanes
//! have got. Out: one bit a bucket, in a store that outlives the process. What is in memory only, the lanes and the dirty
//! set, may then be lost: whoever comes next repairs the marked buckets and nothing else.
//!
//! A key is *open* from the moment its write is sent to the authority until the write is known to have changed nothing or
//! the secondary has acknowledged its effect; while it is dirty; and while a copy of it is on the secondary's lane.
//!
//! **Invariant: the bucket of every open key is marked in the store.** Bits are cleared by the generation:
//!
//! ```text
//!   intend ──▶ current ──sealed──▶ draining ──1──▶ draining ──2──▶ cleared, unless intended again since
//!               store == current | draining
//!   1. the authority has answered every write sent before the seal; what the caller keeps goes back to current
//!   2. the secondary has answered every effect enqueued before 1
//! ```
//!
//! Why no open key is cleared:
//!
//! - Its write was sent before the seal: step 1 waits for the reply. If that reply has an effect, it was enqueued before
//!   step 1, and step 2 waits for it.
//! - Its write was sent after the seal: [`Intent::intend`] asks `current` alone, so the bucket was marked in it again, and
//!   what is in `current` is not cleared. So too for a key that becomes dirty after step 1 ([`Intent::mark`]).
//! - It is dirty at step 1: the caller keeps its bucket, which goes back to `current`. However soon after it is copied, that
//!   generation is sealed later, and its step 2 waits for the copy.
//! - It was dirty, and copied before step 1: step 2 waits for the copy. If the copy fails the key is dirty again: marked.
//!
//! This leans on the caller in four points. A write is intended and counted as sent in one event, without
//! [`Intent::rotate`] in between. Answers and effects come in the order of the lanes, and those that never come (a lane
//! lost) count when their keys have been marked. A write whose answer is outside of that order (a client's own connection,
//! no exclusive section) is kept until it is answered, and marked then. An effect whose key was neither intended for it nor
//! dirty just before (a copy made for another reason) is intended when it is enqueued.

use std::fmt;

use crate::dirty::{BUCKETS, bucket_of};

/// Words of 64 buckets in the bitmap.
pub const INTENT_WORDS: usize = BUCKETS / 64;

/// Where the bits are kept. What is set must survive the process from the moment [`IntentStore::set_word`] returns.
pub trait IntentStore: fmt::Debug {
    /// The bits of buckets `64 * n` and up, the lowest first. `n` is below [`INTENT_WORDS`].
    fn word(&self, n: usize) -> u64;

    /// Replaces them.
    fn set_word(&mut self, n: usize, bits: u64);
}

/// A store that does not outlive the process: for interlays without a state directory, and for tests.
#[derive(Debug)]
pub struct MemoryStore(Box<[u64]>);

impl Default for MemoryStore {
    fn default() -> Self {
        Self(vec![0; INTENT_WORDS].into())
    }
}

impl IntentStore for MemoryStore {
    fn word(&self, n: usize) -> u64 {
        self.0.get(n).copied().unwrap_or_default()
    }

    fn set_word(&mut self, n: usize, bits: u64) {
        if let Some(word) = self.0.get_mut(n) {
            *word = bits;
        }
    }
}

/// How far the lanes have got: totals that never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Writes sent to the authority.
    pub sent: u64,
    /// Of these, in their order, the ones that are answered or lost.
    pub answered: u64,
    /// Effects and copies put onto the secondary's lane.
    pub effects: u64,
    /// Of these, in their order, the ones that are answered or lost.
    pub effects_answered: u64,
}

/// What the generation before the present one waits for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// There is none.
    Cleared,
    /// The authority's answers to this many writes.
    Authority(u64),
    /// The secondary's answers to this many effects.
    Secondary(u64),
}

/// The write-intent bitmap.
#[derive(Debug)]
pub(crate) struct Intent {
    store: Box<dyn IntentStore>,
    current: Box<[u64]>,
    draining: Box<[u64]>,
    stage: Stage,
}

impl Intent {
    /// A bitmap with the bits that are in `store`: they are cleared once the caller has no reason to keep them.
    pub(crate) fn new(store: Box<dyn IntentStore>) -> Self {
        let current = (0..INTENT_WORDS).map(|n| store.word(n)).collect();
        Self { store, current, draining: vec![0; INTENT_WORDS].into(), stage: Stage::Cleared }
    }

    /// A write of `key` is about to be sent to the authority.
    pub(crate) fn intend(&mut self, key: &[u8]) {
        self.mark(bucket_of(key));
    }

    /// A key of `bucket` is about to be written, has become dirty, or is about to be copied.
    pub(crate) fn mark(&mut self, bucket: usize) {
        let (n, bit) = (bucket / 64, 1 << (bucket % 64));
        if let (Some(current), Some(draining)) = (self.current.get_mut(n), self.draining.get(n))
            && *current & bit == 0
        {
            *current |= bit;
            if draining & bit == 0 {
                self.store.set_word(n, *current | draining);
            }
        }
    }

    /// Any key is about to be written, or may differ.
    pub(crate) fn mark_everything(&mut self) {
        self.current.fill(u64::MAX);
        self.put();
    }

    /// Buckets that are marked.
    pub(crate) fn marked(&self) -> usize {
        self.current.iter().zip(&self.draining).map(|(current, draining)| (current | draining).count_ones() as usize).sum()
    }

    /// Ends generations as far as `progress` allows; to be called about once a second. `keeps` says whether a bucket holds a
    /// dirty key, or one whose write is under way outside of the order that `progress` counts.
    pub(crate) fn rotate(&mut self, progress: Progress, keeps: impl Fn(usize) -> bool) {
        self.drain(progress, &keeps);
        if matches!(self.stage, Stage::Cleared) && self.current.iter().any(|word| *word != 0) {
            std::mem::swap(&mut self.current, &mut self.draining);
            self.stage = Stage::Authority(progress.sent);
            self.drain(progress, &keeps);
        }
    }

    fn drain(&mut self, progress: Progress, keeps: &impl Fn(usize) -> bool) {
        if let Stage::Authority(sent) = self.stage
            && progress.answered >= sent
        {
            for (n, (current, draining)) in self.current.iter_mut().zip(&self.draining).enumerate() {
                *current |= bits(draining & !*current).filter(|bit| keeps(n * 64 + bit)).fold(0, |kept, bit| kept | 1 << bit);
            }
            self.stage = Stage::Secondary(progress.effects);
        }
        if let Stage::Secondary(effects) = self.stage
            && progress.effects_answered >= effects
        {
            self.draining.fill(0);
            self.put();
            self.stage = Stage::Cleared;
        }
    }

    /// Brings the store to what is known here, a word at a time and only where it differs.
    fn put(&mut self) {
        for (n, (current, draining)) in self.current.iter().zip(&self.draining).enumerate() {
            let word = current | draining;
            if self.store.word(n) != word {
                self.store.set_word(n, word);
            }
        }
    }
}

/// The places of the bits that are set, the lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests;
