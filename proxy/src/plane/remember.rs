//! What the data plane keeps beyond its process, in the state directory.

use std::time::{Duration, Instant};

use interlay_routing::{Phase, Side, Split};

use super::Plane;
use crate::state::{Bitmap, Found, Standing, State, StateError};

/// How often what is settled is forgotten.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// The same while every key is copied: what was copied since would be copied again after a crash.
const SETTLE_EVERY_SWEEPING: Duration = Duration::from_millis(100);

/// The state directory, if there is one.
#[derive(Debug)]
pub(super) struct Memory {
    state: State,
    settled: Instant,
}

impl Plane {
    /// How far the move has come.
    fn standing(&self) -> Standing {
        Standing {
            phase: self.phase,
            policy: self.pair.policy(),
            former_policy: self.former_policy,
            in_sync: self.pair.is_in_sync(),
            suspect: self.pair.is_suspect(),
            target_read_percent: self.pair.split().percent(),
        }
    }

    /// Records how far the move has come, and what is about to `change` of it.
    ///
    /// # Errors
    ///
    /// As of [`State::record_standing`].
    pub(super) fn remember_standing(&mut self, change: impl FnOnce(&mut Standing)) -> Result<(), StateError> {
        let mut standing = self.standing();
        change(&mut standing);
        self.memory.as_mut().map_or(Ok(()), |memory| memory.state.record_standing(standing))
    }

    /// Gets ready to record how far the move will have come when what is about to `change` has come to pass.
    ///
    /// # Errors
    ///
    /// As of [`State::record_standing`].
    pub(super) fn prepare_standing(&mut self, change: impl FnOnce(&mut Standing)) -> Result<(), StateError> {
        let mut standing = self.standing();
        change(&mut standing);
        self.memory.as_mut().map_or(Ok(()), |memory| memory.state.prepare(standing))
    }

    /// Goes on where an earlier process has stopped.
    fn go_on_from(&mut self, Standing { phase, former_policy, in_sync, target_read_percent, .. }: Standing) {
        (self.phase, self.former_policy) = (phase, former_policy);
        if in_sync {
            self.pair.was_in_sync();
        }
        self.pair.set_split(Split::new(target_read_percent).unwrap_or_default());
        if phase == Phase::Completed {
            self.let_source_go();
        }
    }
}

impl Plane {
    /// Goes on from what an earlier process has left in the state directory, and keeps it from now on.
    pub(crate) fn remember(&mut self, state: State, bitmap: Bitmap, found: Found) {
        if let Found::Left(left) = found {
            let marked = left.buckets.len();
            tracing::info!(marked_buckets = marked, suspect = left.suspect, clean = left.clean, "going on from the state directory");
            self.go_on_from(left.standing);
            let goes_on = self.remember_sweeps(&state, !left.went_down && left.standing.phase != Phase::Completed);
            if left.suspect && !goes_on && left.standing.phase != Phase::Completed {
                self.pair.restarted();
            }
            self.pair.mark_buckets(left.buckets);
            for side in Side::BOTH {
                self.lanes[side].status.run_id.clone_from(&left.run_ids[side]);
            }
        }
        if !self.pair.remembers_sweeps() {
            self.remember_sweeps(&state, false);
        }
        self.pair.remember(Box::new(bitmap));
        self.memory = Some(Memory { state, settled: self.now });
    }

    /// Keeps how far sweeps and backfills come, and goes on from what is left if that is usable. True if every key is being copied.
    fn remember_sweeps(&mut self, state: &State, usable: bool) -> bool {
        match state.position(usable) {
            Ok((position, saved)) => {
                if let Some(place) = &saved.place {
                    tracing::info!(db = place.db, strangers = place.strangers, "a sweep goes on where it was");
                }
                self.pair.go_on(Box::new(position), saved)
            }
            Err(error) => {
                tracing::error!(%error, "how far a backfill comes cannot be recorded: after a crash it would begin anew");
                false
            }
        }
    }

    /// Records which process a side's server is.
    pub(super) fn remember_run_id(&mut self, side: Side, run_id: Option<&str>) {
        let (Some(memory), Some(run_id)) = (&mut self.memory, run_id) else { return };
        if let Err(error) = memory.state.record_run_id(side, run_id) {
            // A process that comes after this one will find another server than it knows, and suspect every key.
            tracing::error!(%side, %error, "which process the server is cannot be recorded");
        }
    }

    /// Records at once whether every key is suspect, or all are in sync; and, now and then, forgets what is settled.
    pub(super) fn settle_memory(&mut self, now: Instant) {
        if let Err(error) = self.remember_standing(|_| ()) {
            tracing::error!(%error, "how far the move has come cannot be recorded; it is tried again");
        }
        let Some(memory) = &mut self.memory else { return };
        let every = if self.pair.is_sweeping() { SETTLE_EVERY_SWEEPING } else { SETTLE_EVERY };
        if now.duration_since(memory.settled) < every {
            return;
        }
        memory.settled = now;
        if !self.pins.owe_writes() {
            self.pair.settle_intent();
        }
    }

    /// Closes the state directory: what is dirty stays marked in it.
    pub(crate) fn close_memory(&mut self) {
        self.pair.settle_intent();
        let Some(Memory { state, .. }) = self.memory.take() else { return };
        if let Err(error) = state.close() {
            tracing::error!(%error, "the state directory could not be closed; the next start takes it as after a crash");
        }
    }

    /// Whether there is a state directory.
    pub(crate) fn has_memory(&self) -> bool {
        self.memory.is_some()
    }
}
