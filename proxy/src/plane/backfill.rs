//! The operator's orders about backfills and error keys.

use interlay_routing::{BackfillLimits, BackfillOptions, KeptKey};
use tokio::sync::oneshot;

use super::Plane;
use crate::backfill::Progress;
use crate::control::Refusal;

/// An order about the backfill.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Begin one.
    Begin(BackfillOptions),
    /// Name no more keys.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
    /// Change its speed.
    Limit(BackfillLimits),
}

/// What the data plane is asked about backfills.
pub(crate) enum Order {
    /// Say how far it has come.
    Progress(oneshot::Sender<Progress>),
    /// Do something about it.
    Change {
        /// What.
        change: Change,
        /// Answered with how far it has come then, or with the reason why not.
        reply: oneshot::Sender<Result<Progress, Refusal>>,
    },
    /// Say which keys it has kept as the target has them.
    Kept(oneshot::Sender<Vec<KeptKey>>),
    /// Copy these keys, whether they are known to differ or not.
    Copy {
        /// With their databases.
        keys: Vec<(u32, Vec<u8>)>,
        /// Answered when they are marked, or with the reason why not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
}

impl Plane {
    pub(super) fn obey_backfill(&mut self, order: Order) {
        match order {
            // A caller that has gone away needs no answer.
            Order::Progress(reply) => drop(reply.send(self.backfill_progress())),
            Order::Change { change, reply } => {
                let answer = self.change_backfill(change);
                self.settle_memory(self.now);
                drop(reply.send(answer));
            }
            Order::Kept(reply) => drop(reply.send(self.pair.kept_keys().to_vec())),
            Order::Copy { keys, reply } => drop(reply.send(self.copy(&keys))),
        }
    }

    fn backfill_progress(&self) -> Progress {
        let progress = self.pair.backfill_progress();
        let under_way = progress.state.is_under_way();
        let waits_for = self.pair.repair_paused_for().filter(|_| under_way).map(str::to_owned);
        let keys_waiting = if under_way { self.pair.dirty().waiting() as u64 } else { 0 };
        Progress { keys_waiting, waits_for, now_ms: self.pair.clock().now().unix_ms, ..Progress::from(progress) }
    }

    fn change_backfill(&mut self, change: Change) -> Result<Progress, Refusal> {
        tracing::info!(?change, "backfill");
        let changed = match change {
            Change::Begin(options) => self.pair.backfill(options),
            Change::Pause => self.pair.pause_backfill(),
            Change::Resume => self.pair.resume_backfill(),
            Change::Cancel => self.pair.cancel_backfill(),
            Change::Limit(limits) => self.pair.limit_backfill(limits),
        };
        changed.map_err(|refused| Refusal(refused.to_string()))?;
        Ok(self.backfill_progress())
    }

    fn copy(&mut self, keys: &[(u32, Vec<u8>)]) -> Result<(), Refusal> {
        if !self.has_target() {
            return Err(Refusal("there is no target to copy to: start with --target".to_owned()));
        }
        keys.iter().for_each(|(db, key)| self.pair.repair_key(*db, key));
        self.pair.pump();
        Ok(())
    }
}
