//! What keeps a write from the secondary's lane, and what becomes of its keys then.

use interlay_resp::Request;

use super::LanePair;
use crate::dirty::DirtySet;
use crate::effect::Effect;
use crate::keys::{Keys, Place, view};
use crate::lane::Lane;
use crate::policy::Policy;
use crate::rewrite::Outcome;

/// Dirty keys that wait to be copied from which on those that clients use come first.
const HURRY_FROM: usize = 1000;

/// What keeps a write from the secondary's lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The secondary is not connected, or does not have the database.
    Down,
    /// Its queue is full.
    Full,
    /// Nobody knows what would do the same there.
    Unrepeatable,
    /// A key may differ there.
    Dirty,
    /// Any key may differ there, so that what the write brings from one key to another may.
    Suspect,
}

/// What has to be known of the secondary for that.
#[derive(Clone, Copy)]
pub(super) struct Outlook<'a> {
    pub(super) secondary: &'a Lane,
    pub(super) dirty: &'a DirtySet,
    /// Bytes that its queue may hold.
    pub(super) queue_max: usize,
    /// Whether any key may differ.
    pub(super) suspect: bool,
}

impl Outlook<'_> {
    /// What keeps a write from the secondary's lane, if anything does.
    pub(super) fn obstacle(self, keys: &mut Keys, db: u32, request: &[u8], effect: Effect, outcome: Outcome) -> Option<Obstacle> {
        if !self.secondary.is_up() || !self.secondary.has_db(db) {
            Some(Obstacle::Down)
        } else if self.secondary.queued_bytes() >= self.queue_max {
            Some(Obstacle::Full)
        } else if outcome == Outcome::Repair {
            Some(Obstacle::Unrepeatable)
        } else if effect.settles() {
            None
        } else if !self.dirty.is_empty()
            && (keys.any_dirty(self.dirty, db, view(request)) || (effect.crosses_dbs() && keys.any_dirty_there(self.dirty, view(request))))
        {
            Some(Obstacle::Dirty)
        } else {
            (self.suspect && (effect.crosses_dbs() || keys.are_several(view(request)))).then_some(Obstacle::Suspect)
        }
    }
}

impl LanePair {
    /// A write that the authority has just answered does not go onto the secondary's lane: its keys are dirty.
    pub(super) fn leave_dirty(&mut self, db: u32, request: Request<'_>, effect: Effect, obstacle: Obstacle) {
        *match obstacle {
            Obstacle::Down => &mut self.counters.skipped_down,
            Obstacle::Full => &mut self.counters.skipped_full,
            Obstacle::Unrepeatable => &mut self.counters.skipped_unrepeatable,
            Obstacle::Dirty => &mut self.counters.skipped_dirty,
            Obstacle::Suspect => &mut self.counters.skipped_suspect,
        } += 1;
        self.counters.effects_repaired += u64::from(obstacle == Obstacle::Unrepeatable);
        if effect == Effect::Broadcast {
            return;
        }
        if self.policy == Policy::BestEffort && matches!(obstacle, Obstacle::Down | Obstacle::Full) {
            self.counters.forgotten += 1;
            return;
        }
        self.keys.mark_written(&mut self.dirty, db, request.bytes(), Place::Here);
        if obstacle == Obstacle::Dirty && self.dirty.waiting() >= HURRY_FROM {
            self.keys.hurry(&mut self.repairs, db, request);
        }
    }
}
