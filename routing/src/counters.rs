//! What the lane pair counts: one table gives the fields, their names in the API and the metrics, and their meaning.

use crate::effect::Effect;
use crate::rewrite::Outcome;

macro_rules! counters {
    ($($name:ident: $meaning:literal,)*) => {
        /// Totals since the start. Plain integers: the data plane adds, the control side takes copies.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $meaning] pub $name: u64,)*
        }

        impl Counters {
            /// Every counter as name, meaning and value.
            pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $meaning, self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    requests: "Requests put onto a lane for clients.",
    target_reads: "Reads sent to the target, by the split or because it is the authority.",
    writes: "Writes that the authority has carried out.",
    effects: "Effects put onto the secondary's lane.",
    effects_agreed: "Effects that the secondary answered as the authority did.",
    effects_verbatim: "Writes put onto the secondary's lane as they are.",
    effects_rewritten: "Writes put onto the secondary's lane in other words: with a deadline, or naming what the reply named.",
    effects_broadcast: "Writes put onto the secondary's lane whose reply is each server's own affair.",
    effects_none: "Writes whose reply says that nothing has changed, so that nothing was to be mirrored.",
    effects_repaired: "Writes whose keys were left to repair, because they are not a function of the state alone.",
    mismatches: "Effects that the secondary answered otherwise than the authority did.",
    effects_lost: "Effects without an answer when the secondary's lane was lost.",
    skipped_down: "Writes not mirrored because the secondary was not connected.",
    skipped_full: "Writes not mirrored because the effect queue was full.",
    skipped_dirty: "Writes not mirrored because a key of theirs was dirty.",
    skipped_suspect: "Writes of several keys not mirrored because a server had restarted and any key may differ.",
    skipped_unrepeatable: "Writes not mirrored because they are not a function of the state alone.",
    forgotten: "Failures on the secondary that best-effort forgot.",
    refused_writes: "Writes refused by both-required before the authority saw them.",
    failed_writes: "Writes that both-required failed after the authority had applied them.",
    unknown_outcomes: "Requests whose answer was lost with the authority's lane.",
    unsent_requests: "Requests refused because the authority was not connected, or was lost before they were sent.",
    rerouted_reads: "Reads of the split that the authority answered, because the secondary was lost or a key was in doubt.",
    shadow_reads: "Reads of the authority put onto the secondary's lane too, to compare the answers.",
    shadow_mismatches: "Shadow reads that the secondary answered otherwise than the authority did.",
    shadow_refused: "Shadow reads that the secondary answered with an error.",
    shadow_skipped: "Reads of the sample that were not compared: of dirty keys, by chance or time, too large, or of a lost lane.",
    repairs: "Keys copied from the authority to the secondary, or removed there.",
    repair_pieces: "Pieces of big keys put onto the secondary's lane, each of which is part of a copy.",
    repair_bytes: "Bytes of the requests that have put copies onto the secondary's lane.",
    repairs_failed: "Copies of keys that the secondary refused, or the authority did not give.",
    swept_keys: "Keys found by scans of both sides and copied, or looked for on the authority.",
    written_around: "Keys that the authority has reported as changed by others than the lane.",
    flushes_seen: "Databases that the authority has reported as emptied, by whomever, so that every key became dirty.",
    verified_keys: "Keys compared by verifications.",
    verified_differences: "Keys that verifications have found to differ.",
    lane_losses: "Lanes lost, of both sides.",
}

impl Counters {
    /// A write goes to the secondary.
    pub(crate) fn of_kind(&mut self, effect: Effect, outcome: Outcome) {
        match outcome {
            Outcome::Substitute => self.effects_rewritten += 1,
            _ if effect == Effect::Broadcast => self.effects_broadcast += 1,
            _ => self.effects_verbatim += 1,
        }
    }

    /// Effects that are no longer under way.
    pub(crate) fn effects_answered(&self) -> u64 {
        self.effects_agreed + self.mismatches + self.effects_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_carry_the_fields() {
        let counters = Counters { mismatches: 7, ..Counters::default() };
        let row = counters.rows().find(|(name, ..)| *name == "mismatches");
        assert_eq!(row.map(|(_, _, value)| value), Some(7));
    }
}
