//! Reply times of both sides, while reads are split: each lane carries a PING now and then.

use super::{Errand, LanePair, ReplyTimes};
use crate::probe::Probe;
use crate::side::{BySide, Side};

/// How often that is.
const EVERY_MS: u64 = 100;

/// What is known of both sides.
#[derive(Debug, Default)]
pub(super) struct Probing {
    sides: BySide<Probe>,
    due_ms: u64,
}

impl LanePair {
    /// How long a side has taken to answer of late, its lane's queue included; none while no read is split.
    #[must_use]
    pub fn reply_times(&self, side: Side) -> Option<ReplyTimes> {
        self.probing.sides[side].times(self.clock.now().mono_ms)
    }

    /// Asks both sides, if it is time.
    pub(super) fn ask_probes(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if self.split.percent() == 0 {
            self.probing = Probing::default();
            return;
        }
        if now_ms < self.probing.due_ms {
            return;
        }
        self.probing.due_ms = now_ms + EVERY_MS;
        for side in Side::BOTH {
            if self.probing.sides[side].sent_ms.is_none() {
                self.probing.sides[side].sent_ms = Some(now_ms);
                self.scratch.clear();
                interlay_resp::encode_request(["PING"], &mut self.scratch);
                let db = self.lanes[side].db().unwrap_or(0);
                self.ask(side, db, 1, Errand::Probe { sent_mono_ms: now_ms });
            }
        }
    }

    /// A side has answered what was asked at that moment.
    pub(super) fn probed(&mut self, side: Side, sent_mono_ms: u64) {
        self.probing.sides[side].answered(sent_mono_ms, self.clock.now().mono_ms);
    }

    /// The answer will not come.
    pub(super) fn probe_lost(&mut self, side: Side) {
        self.probing.sides[side].sent_ms = None;
    }
}
