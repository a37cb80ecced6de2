//! What the lane pair counts: one table gives the fields, their names in the API and the metrics, and their meaning.

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
    mismatches: "Effects that the secondary answered otherwise than the authority did.",
    effects_lost: "Effects without an answer when the secondary's lane was lost.",
    skipped_down: "Writes not mirrored because the secondary was not connected.",
    skipped_full: "Writes not mirrored because the effect queue was full.",
    skipped_dirty: "Writes not mirrored because a key of theirs was dirty.",
    skipped_unrepeatable: "Writes not mirrored because they are not a function of the state alone.",
    forgotten: "Failures on the secondary that best-effort forgot.",
    refused_writes: "Writes refused by both-required before the authority saw them.",
    failed_writes: "Writes that both-required failed after the authority had applied them.",
    unknown_outcomes: "Requests whose answer was lost with the authority's lane.",
    unsent_requests: "Requests refused because the authority was not connected, or was lost before they were sent.",
    rerouted_reads: "Reads of the split that the authority answered, because the secondary was lost or a key was in doubt.",
    lane_losses: "Lanes lost, of both sides.",
}

impl Counters {
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
