//! Hash buckets of keys, whatever their database: a bit each.

use crate::split::key_hash;

/// Buckets that keys fold into. 65,536 bits are 8 KiB; at a million keys a bucket is 15 of them.
pub(crate) const BUCKETS: usize = 1 << 16;

/// One bit a bucket; empty until the first bit is set.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    words: Box<[u64]>,
    count: usize,
}

impl Buckets {
    pub(crate) fn contains(&self, bucket: usize) -> bool {
        self.count > 0 && self.words.get(bucket / 64).is_some_and(|word| word >> (bucket % 64) & 1 == 1)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// True if it was not there.
    pub(crate) fn insert(&mut self, bucket: usize) -> bool {
        if self.words.is_empty() {
            self.words = vec![0; BUCKETS / 64].into();
        }
        let bit = 1 << (bucket % 64);
        let Some(word) = self.words.get_mut(bucket / 64).filter(|word| **word & bit == 0) else { return false };
        *word |= bit;
        self.count += 1;
        true
    }

    /// Buckets `64 * n` and up, the lowest first.
    pub(crate) fn word(&self, n: usize) -> u64 {
        self.words.get(n).copied().unwrap_or_default()
    }

    pub(crate) fn from_words(words: &[u64]) -> Self {
        let mut words = words.to_vec();
        words.resize(BUCKETS / 64, 0);
        Self { count: words.iter().map(|word| word.count_ones() as usize).sum(), words: words.into() }
    }

    pub(crate) fn fill(&mut self) {
        *self = Self { words: vec![u64::MAX; BUCKETS / 64].into(), count: BUCKETS };
    }
}

/// The bucket of a key.
pub(crate) fn bucket_of(key: &[u8]) -> usize {
    // Truncation is the point: the bucket is the hash's low 16 bits.
    key_hash(key) as usize % BUCKETS
}
