//! Chance that can be replayed.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator of numbers, wholly decided by its seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with a new seed, or with the one in `INTERLAY_SEED`. Prints it, which a failing test shows.
    ///
    /// # Panics
    ///
    /// If `INTERLAY_SEED` is no number.
    #[must_use]
    pub fn printed() -> Self {
        let seed = match std::env::var("INTERLAY_SEED") {
            Ok(seed) => seed.parse().expect("INTERLAY_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64),
        };
        eprintln!("seed {seed} (the same choices again: INTERLAY_SEED={seed})");
        Self(seed)
    }

    /// Another generator, decided by this one's seed and `number`: one for each thread of a test.
    #[must_use]
    pub fn fork(&self, number: u64) -> Self {
        let mut fork = Self(self.0 ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        fork.next_u64();
        fork
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
