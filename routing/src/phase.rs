//! How far a move has come: one table of what may follow what.
//!
//! ```text
//!   passthrough   mirroring ─▶ backfilling ─▶ synced ⇄ shifting ─▶ cutover ─▶ completed
//!                                    ▲            └──────────────────▶ │
//!                                    └── rolled-back ◀─────────────────┘
//! ```
//!
//! In: what the operator asks for, and what has happened by itself. Out: the next phase, or why there is none. A table
//! of phases alone: whether the sides are equal, the gate asks elsewhere (`pair/gate.rs`).

use std::fmt;
use std::str::FromStr;

/// How far the move has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no target.
    #[default]
    Passthrough,
    /// What changes on the source is put onto the target's lane. What was there before is not copied.
    Mirroring,
    /// Every key is being copied.
    Backfilling,
    /// Every key was copied, and the mirror has kept both sides equal since.
    Synced,
    /// The same, and a share of the reads goes to the target.
    Shifting,
    /// The target is the authority, and the source is kept in step.
    Cutover,
    /// The target is alone. The source gets nothing any more.
    Completed,
    /// The source is the authority again, and the target is kept in step.
    RolledBack,
}

impl Phase {
    /// Every phase with its name in the API, in metrics and in logs, in the order in which a move goes through them.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Passthrough, "passthrough"),
        (Self::Mirroring, "mirroring"),
        (Self::Backfilling, "backfilling"),
        (Self::Synced, "synced"),
        (Self::Shifting, "shifting"),
        (Self::Cutover, "cutover"),
        (Self::Completed, "completed"),
        (Self::RolledBack, "rolled-back"),
    ];

    /// This phase's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(phase, _)| *phase == self).map_or("", |(_, name)| name)
    }

    /// The phase that `step` leads to from here.
    ///
    /// # Errors
    ///
    /// [`Refused`] if it does not lead anywhere.
    pub fn next(self, step: Step) -> Result<Self, Refused> {
        let row = TRANSITIONS.iter().find(|(from, taken, _)| *from == self && *taken == step);
        row.map(|(_, _, to)| *to).ok_or(Refused { phase: self, step })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A phase's name that is none of [`Phase::ALL`].
#[derive(Debug, thiserror::Error)]
#[error("unknown phase {0:?}")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(name: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(phase, _)| *phase).ok_or_else(|| UnknownPhase(name.to_owned()))
    }
}

/// What leads from one phase to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operator has every key copied, or a server's restart makes that necessary.
    Backfill,
    /// Every key is copied, and both sides are equal.
    Synced,
    /// The backfill has ended otherwise: it was cancelled, or it has left keys out.
    Left,
    /// A share of the reads goes to the target.
    Shift,
    /// No read goes to the target any more.
    Unshift,
    /// The target becomes the authority.
    CutOver,
    /// The source becomes the authority again, or the move is given up before the target has become it.
    RollBack,
    /// The source is let go.
    Complete,
}

impl Step {
    /// What it is called in words.
    fn words(self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Synced => "way to be synced",
            Self::Left => "end of a backfill",
            Self::Shift => "reads from the target",
            Self::Unshift => "reads from the source alone",
            Self::CutOver => "cutover",
            Self::RollBack => "rollback",
            Self::Complete => "completion",
        }
    }
}

/// Every transition there is. From `mirroring` and `backfilling` a cutover takes force, and so does a shift of reads, which does not
/// make them synced.
const TRANSITIONS: &[(Phase, Step, Phase)] = {
    use Phase::{Backfilling, Completed, Cutover, Mirroring, RolledBack, Shifting, Synced};
    use Step::{Backfill, Complete, CutOver, Left, RollBack, Shift, Unshift};
    &[
        (Mirroring, Backfill, Backfilling),
        (Mirroring, Shift, Mirroring),
        (Mirroring, Unshift, Mirroring),
        (Mirroring, CutOver, Cutover),
        (Mirroring, RollBack, RolledBack),
        (Backfilling, Backfill, Backfilling),
        (Backfilling, Step::Synced, Synced),
        (Backfilling, Left, Mirroring),
        (Backfilling, Shift, Backfilling),
        (Backfilling, Unshift, Backfilling),
        (Backfilling, CutOver, Cutover),
        (Backfilling, RollBack, RolledBack),
        (Synced, Backfill, Backfilling),
        (Synced, Shift, Shifting),
        (Synced, Unshift, Synced),
        (Synced, CutOver, Cutover),
        (Synced, RollBack, RolledBack),
        (Shifting, Backfill, Backfilling),
        (Shifting, Shift, Shifting),
        (Shifting, Unshift, Synced),
        (Shifting, CutOver, Cutover),
        (Shifting, RollBack, RolledBack),
        (Cutover, RollBack, RolledBack),
        (Cutover, Complete, Completed),
        (RolledBack, Backfill, Backfilling),
        (RolledBack, Shift, Shifting),
        (RolledBack, Unshift, RolledBack),
        (RolledBack, CutOver, Cutover),
    ]
};

/// Why a step leads nowhere from a phase, and what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The phase it is.
    pub phase: Phase,
    /// The step that was wanted.
    pub step: Step,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, step } = self;
        let why = match (phase, step) {
            (Phase::Passthrough, _) => "there is no target: start with --target",
            (Phase::Completed, Step::RollBack) => "the source has got no write since the completion, so that there is no way back",
            (Phase::Completed, _) => "the target is alone: repoint the applications to it, and end this process",
            (Phase::Cutover, Step::CutOver) => "the target is the authority already",
            (Phase::Cutover, Step::Shift | Step::Unshift) => "every read goes to the target already, because it is the authority",
            (Phase::Cutover, Step::Backfill) => {
                "the target is the authority: `interlay repair --all` copies its keys to the source, `interlay rollback` goes back"
            }
            (Phase::RolledBack, Step::RollBack) => "the source is the authority already",
            (_, Step::Complete) => "the target has to be the authority first: `interlay cutover`",
            _ => "that does not follow upon this phase",
        };
        write!(f, "no {} in phase {phase}: {why}", step.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 8] =
        [Step::Backfill, Step::Synced, Step::Left, Step::Shift, Step::Unshift, Step::CutOver, Step::RollBack, Step::Complete];

    #[test]
    fn a_whole_move_and_a_way_back() {
        let mut phase = Phase::Mirroring;
        for (step, to) in [
            (Step::Backfill, Phase::Backfilling),
            (Step::Synced, Phase::Synced),
            (Step::Shift, Phase::Shifting),
            (Step::CutOver, Phase::Cutover),
            (Step::RollBack, Phase::RolledBack),
            (Step::CutOver, Phase::Cutover),
            (Step::Complete, Phase::Completed),
        ] {
            phase = phase.next(step).unwrap();
            assert_eq!(phase, to);
        }
    }

    #[test]
    fn no_phase_has_two_ways_for_a_step_and_every_refusal_says_why() {
        for (at, (from, step, _)) in TRANSITIONS.iter().enumerate() {
            assert!(!TRANSITIONS[..at].iter().any(|(other, taken, _)| other == from && taken == step), "{from} {step:?}");
        }
        for (phase, _) in Phase::ALL {
            for step in STEPS {
                if let Err(refused) = phase.next(step) {
                    let said = refused.to_string();
                    assert!(said.contains(phase.name()) && said.len() > 40, "{said}");
                }
            }
        }
    }

    #[test]
    fn the_ends_are_ends() {
        for step in STEPS {
            assert!(Phase::Completed.next(step).is_err(), "{step:?}");
            assert!(Phase::Passthrough.next(step).is_err(), "{step:?}");
        }
    }

    #[test]
    fn a_rollback_is_possible_from_every_phase_but_the_ends() {
        for (phase, _) in Phase::ALL {
            let is_end = matches!(phase, Phase::Passthrough | Phase::Completed | Phase::RolledBack);
            assert_eq!(phase.next(Step::RollBack).is_err(), is_end, "{phase}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        for (phase, name) in Phase::ALL {
            assert_eq!(name.parse::<Phase>().unwrap(), phase);
        }
    }
}
