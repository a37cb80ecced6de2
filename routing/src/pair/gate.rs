//! The gate: the moment at which the authority changes.
//!
//! ```text
//!   conditions met, or forced ─▶ requests wait in their sockets ─▶ both lanes run empty, the last dirty keys are copied ─▶ flip
//!                                                             └─▶ not in time, or a lane is lost: on as before
//! ```
//!
//! In: what has to hold, which [`LanePair::conditions`] tells one by one. Out: the other authority, at a moment at which both
//! sides hold the same and nothing is under way. A forced one may leave dirty keys behind, if they cannot be copied in time.

use super::{Clients, LanePair};
use crate::backfill::BackfillState;
use crate::dirty::DirtySet;
use crate::policy::Policy;
use crate::repairs::Repairs;
use crate::side::Side;
use crate::verify::VerifyStage;

/// Dirty keys that the gate waits for. They are copied while requests are held.
const DIRTY_MAX: usize = 1000;

/// How old the oldest effect may be that the secondary has not answered. Unit: milliseconds.
const LAG_MAX_MS: u64 = 1000;

/// What has to hold before the authority changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There are two sides.
    Target,
    /// No other change is under way.
    Free,
    /// The side that is to be in charge is connected.
    SecondaryConnected,
    /// The side in charge is connected. Without it, what it had not answered is lost, and its dirty keys stay behind.
    AuthorityConnected,
    /// Every key was copied.
    Synced,
    /// No server has come back as another process since then.
    Trusted,
    /// `best-effort` has forgotten nothing since then.
    Remembered,
    /// The last verification has found no difference that was not repaired.
    Verified,
    /// So few keys are dirty that they are copied while requests are held.
    Clean,
    /// No key keeps failing to be copied.
    NoErrorKeys,
    /// The secondary keeps up.
    Lag,
}

impl Condition {
    /// Every condition, its name in the API, and whether force overrides it.
    pub const ALL: [(Self, &'static str, bool); 11] = [
        (Self::Target, "target", false),
        (Self::Free, "no-other-change", false),
        (Self::SecondaryConnected, "secondary-connected", false),
        (Self::AuthorityConnected, "authority-connected", true),
        (Self::Synced, "synced", true),
        (Self::Trusted, "no-restart", true),
        (Self::Remembered, "nothing-forgotten", true),
        (Self::Verified, "no-known-difference", true),
        (Self::Clean, "few-dirty-keys", true),
        (Self::NoErrorKeys, "no-error-keys", true),
        (Self::Lag, "small-lag", true),
    ];

    fn row(self) -> (&'static str, bool) {
        // Every condition has a row: the test below holds it to that.
        Self::ALL.iter().find(|(condition, ..)| *condition == self).map_or(("", false), |(_, name, force)| (name, *force))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether it comes to hold by itself, in a moment, when there is nothing else in the way.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Clean | Self::Lag)
    }

    /// Whether it may be overridden.
    #[must_use]
    pub fn yields_to_force(self) -> bool {
        self.row().1
    }
}

/// A condition, and how it stands with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub condition: Condition,
    /// What is the matter, and what to do about it, in words for a person; none if it holds.
    pub unmet: Option<String>,
}

/// A change of the authority under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) policy: Policy,
    /// It was forced.
    forced: bool,
    /// Dirty keys are copied, and waited for.
    cleans: bool,
}

impl LanePair {
    // === What it is like ===

    /// Whether a change of the authority waits for the lanes to run empty.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// Whether every key was copied, and nothing has made that doubtful since.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        self.in_sync && !self.suspect && !self.has_forgotten()
    }

    /// An earlier process had found both sides in sync.
    pub fn was_in_sync(&mut self) {
        self.in_sync = true;
    }

    pub(super) fn has_forgotten(&self) -> bool {
        self.counters.forgotten > self.forgotten_before
    }

    /// What has to hold before the authority changes, one by one.
    #[must_use]
    pub fn conditions(&self) -> Vec<Finding> {
        let dirty = self.dirty.keys() + self.dirty.buckets() + self.unplaced();
        let errors = self.error_keys().count();
        let lag_ms = self.lag_ms();
        let unmet = |condition: Condition| match condition {
            Condition::Target => (!self.has_target).then(|| "there is one side only: start with --target".to_owned()),
            Condition::Free => self.is_changing().then(|| "a change of the authority is under way: wait for it".to_owned()),
            Condition::SecondaryConnected => {
                let side = !self.authority;
                (!self.lanes[side].is_up()).then(|| format!("the {side} is not connected: `interlay status` says why"))
            }
            Condition::AuthorityConnected => {
                let side = self.authority;
                let lost = "what it has not answered, and dirty keys, would be lost";
                (!self.lanes[side].is_up()).then(|| format!("the {side} is not connected, so that its lane cannot run empty: {lost}"))
            }
            Condition::Synced => (!self.in_sync && !self.suspect)
                .then(|| "what was there before the mirror began was never copied: `interlay backfill` does that".to_owned()),
            Condition::Trusted => self.suspect.then(|| {
                let why = "any key may differ until all are copied, because a server has restarted or a backfill is under way";
                format!("{why}: wait for its end, or, if nothing is copied now, run `interlay repair --all`")
            }),
            Condition::Remembered => self.has_forgotten().then(|| {
                "best-effort has forgotten failures, so that any key may differ: change the policy and run `interlay backfill`".to_owned()
            }),
            Condition::Verified => {
                let verification = self.verification().filter(|verification| *verification.stage() == VerifyStage::Done);
                let differing = verification.map_or(0, |verification| verification.tally().differing());
                (differing > 0).then(|| format!("the last verification has found {differing} keys that differ: `interlay verify --repair`"))
            }
            Condition::Clean => match self.repair_paused_for() {
                Some(reason) if dirty > 0 => Some(format!("{dirty} keys are dirty, and cannot be copied now: {reason}")),
                // Nothing is scanned while requests wait: that may take long.
                _ if self.dirty.buckets() > 0 => Some(format!(
                    "{} hash buckets are dirty, and both sides are scanned for their keys: wait for `interlay repair`",
                    self.dirty.buckets()
                )),
                _ => (dirty > DIRTY_MAX)
                    .then(|| format!("{dirty} keys are dirty, and no more than {DIRTY_MAX} can be waited for: wait for `interlay repair`")),
            },
            Condition::NoErrorKeys => (errors > 0).then(|| {
                format!("{errors} keys are dirty and cannot be copied, so that their newest values would be lost: see `interlay errors`")
            }),
            Condition::Lag => {
                let side = !self.authority;
                (lag_ms > LAG_MAX_MS)
                    .then(|| format!("the {side} is {lag_ms} ms behind, and {LAG_MAX_MS} ms is the most that is waited for"))
            }
        };
        Condition::ALL.map(|(condition, ..)| Finding { condition, unmet: unmet(condition) }).into()
    }

    // === The operator's wishes ===

    /// Changes the policy: at once, or, if that changes the authority, when both lanes have run empty and no key is dirty.
    /// Until then requests are held. True if it is done.
    ///
    /// # Errors
    ///
    /// The conditions that are not met; with `force`, only those that do not yield to it. Whether every key was copied is not
    /// asked here: whoever changes the policy by name knows.
    pub fn set_policy(&mut self, policy: Policy, force: bool) -> Result<bool, Vec<Finding>> {
        self.begin_change(policy, force, !force)
    }

    /// As [`LanePair::set_policy`]; but a forced change copies dirty keys too, until [`LanePair::leave_dirty_behind`], if the side
    /// in charge is there.
    ///
    /// # Errors
    ///
    /// As of [`LanePair::set_policy`].
    pub fn change_cleanly(&mut self, policy: Policy, force: bool) -> Result<bool, Vec<Finding>> {
        self.begin_change(policy, force, !force || self.lanes[self.authority].is_up())
    }

    fn begin_change(&mut self, policy: Policy, force: bool, cleans: bool) -> Result<bool, Vec<Finding>> {
        if policy.authority() == self.authority && !self.is_changing() {
            if self.policy == Policy::BestEffort && policy != self.policy && self.has_forgotten() {
                // What was forgotten is to be found again.
                self.suspect_everything();
                self.wants_sweep = true;
            }
            self.policy = policy;
            return Ok(true);
        }
        let stands = |finding: &Finding| {
            finding.unmet.is_some() && finding.condition != Condition::Synced && !(force && finding.condition.yields_to_force())
        };
        let unmet: Vec<Finding> = self.conditions().into_iter().filter(stands).collect();
        if !unmet.is_empty() {
            return Err(unmet);
        }
        self.change = Some(Change { policy, forced: force, cleans });
        self.pump();
        self.change_if_drained();
        Ok(self.change.is_none())
    }

    /// A forced change waits for dirty keys no longer, only for the lanes. False if the change is not forced.
    pub fn leave_dirty_behind(&mut self) -> bool {
        let Some(change) = self.change.as_mut().filter(|change| change.forced && change.cleans) else { return false };
        change.cleans = false;
        self.change_if_drained();
        true
    }

    /// Gives up a change of the authority that has not come to pass: everything goes on as it was.
    pub fn stay(&mut self) {
        self.change = None;
    }

    /// Whether the last dirty keys are being copied for a change of the authority.
    pub(super) fn cleans_for_change(&self) -> bool {
        self.change.is_some_and(|change| change.cleans)
    }

    pub(super) fn change_if_drained(&mut self) {
        let Some(Change { policy, forced, cleans }) = self.change else { return };
        let is_empty = Side::BOTH.iter().all(|side| self.lanes[*side].awaiting.is_empty());
        let is_clean = self.dirty.is_settled() && self.unplaced() == 0;
        if self.held || !is_empty || (cleans && !is_clean) {
            return;
        }
        self.change = None;
        self.end_backfill(BackfillState::Cancelled, Some("the authority has changed".to_owned()));
        if forced {
            // Not every key may have reached the side that is in charge now: nothing is removed from the other one by itself.
            self.wants_sweep = false;
        }
        // A sweep under way was of the sides in their former roles.
        self.begin_sweep_anew();
        self.repairs.by_type = false;
        self.repairs.allows_batches = true;
        self.repairs.connections += 1;
        self.policy = policy;
        self.authority = policy.authority();
        self.reports_begin_anew();
        // Totals that one side's lane had reached are not to be waited for on the other's.
        let answered = Side::BOTH.map(|side| self.lanes[side].answered).into_iter().max().unwrap_or(0);
        Side::BOTH.into_iter().for_each(|side| self.lanes[side].answered = answered);
    }

    /// The target goes on alone: what changes there is put onto the source's lane no longer. False if the authority is the source, or
    /// something is under way.
    pub fn complete(&mut self, clients: &mut impl Clients) -> bool {
        if self.authority == Side::Source || !self.has_target || self.change.is_some() {
            return false;
        }
        self.lost(Side::Source, clients);
        self.has_target = false;
        self.end_backfill(BackfillState::Cancelled, Some("the move is completed".to_owned()));
        self.begin_sweep_anew();
        (self.wants_sweep, self.suspect) = (false, false);
        self.dirty = DirtySet::new(self.limits.dirty);
        self.repairs = Repairs::new(self.limits.copies_bytes_max);
        self.reports_end();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_name_and_what_cannot_work_yields_to_no_force() {
        for (at, (condition, name, force)) in Condition::ALL.into_iter().enumerate() {
            assert_eq!((condition.name(), condition.yields_to_force()), (name, force));
            assert_eq!(force, at >= 3, "{name}");
        }
    }
}
