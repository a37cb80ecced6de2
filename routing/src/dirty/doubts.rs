//! Keys whose effects may have met another value: what one wrong effect passes on.

use std::collections::{HashMap, VecDeque};

/// Keys that may have differed when effects that are on the secondary's lane were carried out. Without their databases: keys
/// may have been moved between them since.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Up to which effect.
    pub(super) by_key: HashMap<Box<[u8]>, u64>,
    /// The same, in the order of the effects.
    in_order: VecDeque<(u64, Box<[u8]>)>,
    pub(super) everything_until: u64,
}

impl Doubts {
    pub(super) fn add(&mut self, key: &[u8], until: u64) {
        match self.by_key.get_mut(key) {
            Some(known) if *known >= until => return,
            Some(known) => *known = until,
            None => _ = self.by_key.insert(key.into(), until),
        }
        self.in_order.push_back((until, key.into()));
    }

    pub(super) fn end(&mut self, answered: u64) {
        if self.everything_until < answered {
            self.everything_until = 0;
        }
        while let Some((_, key)) = self.in_order.pop_front_if(|(until, _)| *until < answered) {
            if self.by_key.get(&key).is_some_and(|until| *until < answered) {
                self.by_key.remove(&key);
            }
        }
    }
}
