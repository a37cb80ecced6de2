//! The letters that CLIENT LIST has for a client's state.

use std::fmt::{self, Display, Formatter, Write};

/// What state a client is in, as far as it has a letter for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// In MONITOR.
    pub(crate) monitor: bool,
    /// With a subscription of any sort.
    pub(crate) pubsub: bool,
    /// In MULTI.
    pub(crate) multi: bool,
    /// In a blocking command.
    pub(crate) blocked: bool,
    /// With CLIENT TRACKING on.
    pub(crate) tracking: bool,
    /// The client that its invalidations go to has gone.
    pub(crate) redirect_broken: bool,
    /// Tracking in broadcasting mode.
    pub(crate) broadcast: bool,
    /// A key it watches has changed, so that EXEC will fail.
    pub(crate) dirty: bool,
    /// Gets its last replies and no new ones.
    pub(crate) closing: bool,
    /// With CLIENT NO-EVICT on.
    pub(crate) no_evict: bool,
    /// With CLIENT NO-TOUCH on.
    pub(crate) no_touch: bool,
}

impl Display for Flags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.monitor, 'O'),
            (self.pubsub, 'P'),
            (self.multi, 'x'),
            (self.blocked, 'b'),
            (self.tracking, 't'),
            (self.redirect_broken, 'R'),
            (self.broadcast, 'B'),
            (self.dirty, 'd'),
            (self.closing, 'c'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ];
        if *self == Self::default() {
            return f.write_char('N');
        }
        letters.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| f.write_char(*letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_in_redis_s_order() {
        let none = Flags::default();
        let tracking = Flags { pubsub: true, tracking: true, broadcast: true, ..none };
        for (flags, letters) in [
            (none, "N"),
            (Flags { no_evict: true, ..none }, "e"),
            // Those below were seen with 7.0.15, and the last one with 8.2.3.
            (Flags { monitor: true, pubsub: true, ..none }, "OP"),
            (Flags { multi: true, dirty: true, ..tracking }, "PxtBd"),
            (Flags { blocked: true, ..tracking }, "PbtB"),
            (Flags { redirect_broken: true, no_evict: true, ..tracking }, "PtRBe"),
            (Flags { no_evict: true, no_touch: true, ..none }, "eT"),
        ] {
            assert_eq!(flags.to_string(), letters);
        }
    }
}
