//! What the data plane keeps beyond its process, in the state directory.

use std::time::{Duration, Instant};

use interlay_routing::{Policy, Side};

use super::Plane;
use crate::state::{Bitmap, Found, State, StateError};

/// How often what is settled is forgotten.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// The state directory, if there is one.
#[derive(Debug)]
pub(super) struct Memory {
    state: State,
    settled: Instant,
    /// What the directory says of all keys.
    suspect: bool,
}

impl Plane {
    /// Goes on from what an earlier process has left in the state directory, and keeps it from now on.
    pub(crate) fn remember(&mut self, state: State, bitmap: Bitmap, found: Found) {
        let mut suspect = false;
        if let Found::Left(left) = found {
            let marked = left.buckets.len();
            tracing::info!(marked_buckets = marked, suspect = left.suspect, clean = left.clean, "going on from the state directory");
            suspect = left.suspect;
            if suspect {
                self.pair.restarted();
            }
            self.pair.mark_buckets(left.buckets);
            for side in Side::BOTH {
                self.lanes[side].status.run_id.clone_from(&left.run_ids[side]);
            }
        }
        self.pair.remember(Box::new(bitmap));
        self.memory = Some(Memory { state, settled: self.now, suspect });
    }

    /// Records which process a side's server is.
    pub(super) fn remember_run_id(&mut self, side: Side, run_id: Option<&str>) {
        let (Some(memory), Some(run_id)) = (&mut self.memory, run_id) else { return };
        match memory.state.record_run_id(side, run_id) {
            Ok(restarted) => memory.suspect |= restarted,
            // A process that comes after this one will find another server than it knows, and suspect every key.
            Err(error) => tracing::error!(%side, %error, "which process the server is cannot be recorded"),
        }
    }

    /// Records the policy, before any request is sent by it.
    ///
    /// # Errors
    ///
    /// As of [`State::record_policy`].
    pub(super) fn remember_policy(&mut self, policy: Policy) -> Result<(), StateError> {
        self.memory.as_mut().map_or(Ok(()), |memory| memory.state.record_policy(policy))
    }

    /// Records at once whether every key is suspect; and, now and then, forgets what is settled.
    pub(super) fn settle_memory(&mut self, now: Instant) {
        let suspect = self.pair.is_suspect();
        let Some(memory) = &mut self.memory else { return };
        if memory.suspect != suspect {
            match memory.state.record_suspect(suspect) {
                Ok(()) => memory.suspect = suspect,
                Err(error) => tracing::error!(suspect, %error, "whether every key is suspect cannot be recorded; it is tried again"),
            }
        }
        if now.duration_since(memory.settled) < SETTLE_EVERY {
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
