//! Which reads go to the target: n % of the keys, by a hash of the key.

use xxhash_rust::xxh3::xxh3_64;

/// The hash of a key behind the split and the dirty buckets. Stable across processes and versions.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The share of reads that goes to the target. As it grows, keys only ever move to the target, never back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    percent: u8,
}

impl Split {
    /// A split that sends `percent` of the keys to the target; `None` above 100.
    #[must_use]
    pub fn new(percent: u8) -> Option<Self> {
        (percent <= 100).then_some(Self { percent })
    }

    /// The share in percent, 0..=100.
    #[must_use]
    pub fn percent(self) -> u8 {
        self.percent
    }

    /// Whether reads of `key` go to the target.
    #[must_use]
    pub fn takes(self, key: &[u8]) -> bool {
        // The upper bits: the dirty buckets use the lower ones.
        (key_hash(key) >> 32) % 100 < u64::from(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_moves_to_the_target_once_as_the_share_grows(key in prop::collection::vec(any::<u8>(), 0..40)) {
            let taken: Vec<bool> = (0..=100).map(|percent| Split { percent }.takes(&key)).collect();
            prop_assert!(!taken[0] && taken[100]);
            prop_assert!(taken.is_sorted());
        }
    }

    #[test]
    fn a_share_is_about_what_it_says() {
        let split = Split::new(25).unwrap();
        let taken = (0..10_000_u32).filter(|n| split.takes(format!("key:{n}").as_bytes())).count();
        assert!((2300..2700).contains(&taken), "{taken} of 10,000 keys at 25 %");
        assert!(Split::new(101).is_none());
    }
}
