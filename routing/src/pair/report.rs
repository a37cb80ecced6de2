//! What the operator is told beyond the counters: whether the secondary keeps up, and whose effects it answers otherwise.

use std::collections::BTreeMap;

use super::LanePair;
use crate::keys::view;
use crate::policy::OnLag;

/// How long a full queue is spoken of after it was full. Unit: milliseconds.
const LATELY_MS: u64 = 10_000;

/// How the secondary is behind the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Its queue fills up: it is half full, or clients are made to wait for it.
    Filling,
    /// Its queue was full of late, and effects were not put onto its lane.
    Full,
}

/// What is remembered for the operator.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Mismatches by the command of the effect, which the command table bounds.
    mismatches: BTreeMap<Box<str>, u64>,
    /// The last known [`crate::Counters::skipped_full`], and when it last grew.
    full: (u64, Option<u64>),
}

impl LanePair {
    /// Whether the secondary keeps up with the writes; none if it does, or is not connected.
    #[must_use]
    pub fn behind(&self) -> Option<Behind> {
        let now_ms = self.clock.now().mono_ms;
        if self.report.full.1.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < LATELY_MS) {
            return Some(Behind::Full);
        }
        let secondary = &self.lanes[!self.authority];
        // Where clients are made to wait the queue is kept at about a half.
        let parts = if self.limits.on_lag == OnLag::Throttle { 4 } else { 2 };
        let fills = secondary.is_up() && secondary.queued_bytes().saturating_mul(parts) >= self.limits.effect_queue_bytes_max;
        fills.then_some(Behind::Filling)
    }

    /// What becomes of effects that the secondary is too slow for.
    #[must_use]
    pub fn on_lag(&self) -> OnLag {
        self.limits.on_lag
    }

    /// Mismatches by the name of the effect's command; a transaction counts as its MULTI.
    pub fn mismatches(&self) -> impl Iterator<Item = (&str, u64)> {
        self.report.mismatches.iter().map(|(name, count)| (&**name, *count))
    }

    /// Whether requests wait because the secondary is slow. One that is not connected is not waited for.
    ///
    /// What the authority has not answered counts, because it may all become effects: so the queue never gets full.
    pub(super) fn throttles(&self) -> bool {
        let (authority, secondary) = (&self.lanes[self.authority], &self.lanes[!self.authority]);
        let queued = || authority.queued_bytes() + secondary.queued_bytes();
        self.limits.on_lag == OnLag::Throttle && secondary.is_up() && queued().saturating_mul(2) >= self.limits.effect_queue_bytes_max
    }

    /// Remembers when the queue was full last.
    pub(super) fn note_fullness(&mut self, now_ms: u64) {
        let skipped = self.counters.skipped_full;
        if skipped > self.report.full.0 {
            self.report.full = (skipped, Some(now_ms));
        }
    }

    /// The secondary has answered its oldest effect, of `len` bytes, otherwise than the authority.
    pub(super) fn note_mismatch(&mut self, len: usize) {
        let request = view(self.lanes[!self.authority].log.front(len));
        let name = self.keys.catalog.conduct(request).0.map_or("unknown", |command| &*command.name);
        match self.report.mismatches.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.report.mismatches.insert(name.into(), 1)),
        }
    }
}
