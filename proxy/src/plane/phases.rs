//! The phase of the move, and what leads from one to the next by itself.

use interlay_routing::{Condition, Phase, Side, Split, Step};

use super::Plane;
use crate::control::Refusal;
use crate::events::Kind;

impl Plane {
    /// The move comes to another phase, or stands otherwise in the same: recorded first, then known.
    ///
    /// # Errors
    ///
    /// It cannot be recorded; then nothing has changed.
    pub(super) fn enter(&mut self, phase: Phase) -> Result<(), Refusal> {
        self.remember_standing(|standing| standing.phase = phase)
            .map_err(|error| Refusal(format!("{error}; everything goes on as it was")))?;
        if phase == self.phase {
            return Ok(());
        }
        tracing::info!(from = %self.phase, to = %phase, "phase");
        self.events.note(Kind::Phase, format!("{} -> {phase}", self.phase));
        self.phase = phase;
        Ok(())
    }

    /// Looks at what has happened by itself: every key is copied, or has to be copied again.
    pub(super) fn tend_phase(&mut self) {
        let step = match self.phase {
            Phase::Mirroring | Phase::Synced | Phase::Shifting | Phase::RolledBack if self.pair.is_suspect() && self.pair.wants_sweep() => {
                Step::Backfill
            }
            Phase::Backfilling if self.is_synced() => Step::Synced,
            Phase::Synced if self.pair.split().percent() > 0 => Step::Shift,
            Phase::Backfilling if !self.pair.wants_sweep() && !self.pair.is_in_sync() => Step::Left,
            _ => return,
        };
        if let Ok(phase) = self.phase.next(step)
            && let Err(Refusal(error)) = self.enter(phase)
        {
            tracing::error!(%error, "a phase could not be entered; it is tried again");
        }
    }

    /// Whether every key is copied, but for so few that a cutover can wait for them.
    fn is_synced(&self) -> bool {
        let holds = |condition| self.conditions().iter().all(|finding| finding.condition != condition || finding.unmet.is_none());
        self.pair.is_in_sync() && holds(Condition::Clean)
    }

    /// Sends this share of the reads to the target.
    pub(super) fn set_traffic(&mut self, percent: u8, force: bool) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal(reason.to_owned()));
        let Some(split) = Split::new(percent) else { return refuse("the share of reads is a number from 0 to 100") };
        if percent > 0 && !self.has_target() {
            return refuse("there is no target to read from: start with --target");
        }
        if self.pair.authority() == Side::Target {
            return refuse("every read goes to the target already, because it is the authority: `interlay rollback` goes back");
        }
        // Less is always allowed: it brings reads back to where the data is known to be right.
        if percent > self.pair.split().percent() && !force && !self.pair.is_in_sync() {
            return refuse(
                "not every key was copied, so reads of keys that are not dirty may be wrong on the target: run `interlay backfill` and wait for its end, or repeat with --force (JSON: \"force\": true) if you know that both sides are equal",
            );
        }
        if self.has_target() {
            let step = if percent > 0 { Step::Shift } else { Step::Unshift };
            let phase = self.phase.next(step).map_err(|refused| Refusal(refused.to_string()))?;
            let before = self.pair.split();
            // Recorded in one with the phase, or right away.
            self.pair.set_split(split);
            if let Err(refused) = self.enter(phase) {
                self.pair.set_split(before);
                return Err(refused);
            }
        }
        tracing::info!(percent, force, "reads split");
        self.events.note(Kind::Traffic, format!("{percent} % of the reads go to the target"));
        Ok(())
    }

    /// Compares this share of the reads.
    pub(super) fn set_shadow(&mut self, percent: u8, force: bool) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal(reason.to_owned()));
        if percent > 100 {
            return refuse("the share of reads is a number from 0 to 100");
        }
        if percent > 0 && !self.pair.mirrors() {
            return refuse("there is one side only: no other one can be asked");
        }
        if percent > self.pair.shadow_percent() && !force && !self.pair.is_in_sync() {
            return refuse(
                "not every key was copied, so reads of keys that were not will be found to differ: run `interlay backfill` and wait for its end, or repeat with --force (JSON: \"force\": true)",
            );
        }
        self.pair.set_shadow(percent);
        tracing::info!(percent, force, "reads compared");
        self.events.note(Kind::Traffic, format!("{percent} % of the reads are answered by both sides and compared"));
        Ok(())
    }
}
