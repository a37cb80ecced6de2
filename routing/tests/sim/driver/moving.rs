//! A run that begins as a move does: with keys on one side.

use interlay_routing::{BackfillLimits, BackfillOptions, Split};

use super::Driver;
use crate::sim::store::{Item, Value};
use crate::sim::workload::FAR;

impl Driver {
    /// The side in charge has keys, and perhaps the other one has some of its own; they are to be made equal.
    pub(super) fn begin_move(&mut self) {
        let authority = self.pair.authority();
        for (side, percent) in [(authority, 80), (!authority, self.rng.pick(&[0, 0, 30]))] {
            let keys = ["s", "c", "l", "t"].into_iter().flat_map(|kind| (0..self.scenario.keys).map(move |at| (kind, at)));
            let keys: Vec<_> = (0..self.scenario.abilities[side].databases).flat_map(|db| keys.clone().map(move |key| (db, key))).collect();
            for (db, (kind, at)) in keys {
                if !self.rng.chance(percent) {
                    continue;
                }
                let text = format!("{side}{db}{kind}{at}").into_bytes();
                let value = match kind {
                    "s" => Value::Text(text),
                    "c" => Value::Text(b"7".to_vec()),
                    "l" => Value::List([text].into()),
                    _ => Value::Set([text].into()),
                };
                let deadline = self.rng.chance(20).then_some(FAR);
                self.servers[side].store.put(db, format!("{kind}{at}").as_bytes(), Item { value, deadline });
            }
        }
        self.checker.restarted(&self.servers[authority].store);
        // Until every key was looked at the operator lets nobody read from the other side; nor if the backfill is cancelled.
        self.pair.set_split(Split::default());
        self.pair.repair(true);
        let limits = BackfillLimits { greedy: self.rng.chance(50), ..BackfillLimits::default() };
        self.pair.backfill(BackfillOptions { limits, ..BackfillOptions::default() }).expect("there is a target");
    }
}
