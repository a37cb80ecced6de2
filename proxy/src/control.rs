//! The mailbox of the data plane.
//!
//! In: questions and orders from the admin port, on any runtime. Out: [`Order`]s on a bounded channel, which the data
//! plane answers between two batches. An order that is answered with `Ok` has taken effect.

use std::time::Duration;

use interlay_routing::{Difference, ErrorKey, Finding, KeptKey, Phase, Policy, ShadowMismatch, VerifyOptions};
use tokio::sync::{mpsc, oneshot};

use crate::backfill::Progress;
use crate::plane::{BackfillChange, BackfillOrder, Passed, Verdict, VerifyOrder};
use crate::status::Status;
use crate::verification::Report;

/// Orders that may wait. Past it a caller waits, within [`ANSWER_WAIT`].
const ORDERS_WAITING_MAX: usize = 64;

/// How long a caller waits for the data plane: well above twice the longest `max_pause_ms`, so that only a data plane that
/// is stuck is given up on.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What the data plane can be asked to do.
pub(crate) enum Order {
    /// Say how things are.
    Status(oneshot::Sender<Status>),
    /// Send this share of the reads to the target.
    SetTraffic {
        /// Per cent of the reads, 0..=100.
        percent: u8,
        /// Do it even though nothing has proved the target to be in sync.
        force: bool,
        /// Answered when reads are split so, or with the reason why not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Compare this share of the reads.
    SetShadow {
        /// Per cent of the reads, 0..=100.
        percent: u8,
        /// As of [`Order::SetTraffic`].
        force: bool,
        /// Answered when they are, or with the reason why not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Say which reads the sides have last answered differently.
    ShadowMismatches(oneshot::Sender<Vec<ShadowMismatch>>),
    /// Write by this policy.
    SetPolicy {
        /// The policy of the next write.
        policy: Policy,
        /// Do it even though the sides may differ.
        force: bool,
        /// Answered when the policy holds, or with the reason why not.
        reply: oneshot::Sender<Verdict>,
    },
    /// Make the target the authority.
    CutOver {
        /// Do it whatever conditions yield to that.
        force: bool,
        /// Answered when it has come to pass, or cannot any more.
        reply: oneshot::Sender<Verdict>,
    },
    /// Make the source the authority again, or give the move up.
    RollBack {
        /// As of [`Order::CutOver`].
        force: bool,
        /// As of [`Order::CutOver`].
        reply: oneshot::Sender<Verdict>,
    },
    /// Let the source go.
    Complete(oneshot::Sender<Verdict>),
    /// Say the phase, and what has to hold before the authority changes.
    Conditions(oneshot::Sender<(Phase, Vec<Finding>)>),
    /// Copy every key that is dirty, those that keep failing too.
    Repair {
        /// Copy every key that there is.
        all: bool,
        /// Answered with how things are when it has begun, or with the reason why not.
        reply: oneshot::Sender<Result<Status, Refusal>>,
    },
    /// Say which keys keep failing to be copied.
    Errors {
        /// Name no more than so many.
        limit: usize,
        /// Answered with these, and with how many there are.
        reply: oneshot::Sender<(Vec<ErrorKey>, usize)>,
    },
    /// Something about backfills, or keys to be copied.
    Backfill(BackfillOrder),
    /// Something about verifications.
    Verify(VerifyOrder),
}

/// Why the interlay did not do what it was asked to, and what to do about it, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// Why an order has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The data plane has ended.
    #[error("the data plane has stopped")]
    Gone,
    /// The data plane did not answer in time; whether it acts on the order later is not known.
    #[error("the data plane did not answer within {} s", ANSWER_WAIT.as_secs())]
    Late,
    /// The data plane answered no; nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Sends orders to the data plane. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    orders: mpsc::Sender<Order>,
}

/// A handle, and the mailbox that the data plane reads.
pub(crate) fn channel() -> (Control, mpsc::Receiver<Order>) {
    let (orders, mailbox) = mpsc::channel(ORDERS_WAITING_MAX);
    (Control { orders }, mailbox)
}

impl Control {
    /// How things are now.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn status(&self) -> Result<Status, ControlError> {
        self.ask(Order::Status).await
    }

    /// Sends `percent` (0..=100) of the reads to the target. Dropped half way, the order may still be carried out.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn set_traffic(&self, percent: u8, force: bool) -> Result<(), ControlError> {
        Ok(self.ask(|reply| Order::SetTraffic { percent, force, reply }).await??)
    }

    /// Compares `percent` (0..=100) of the reads. Dropped half way, the order may still be carried out.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn set_shadow(&self, percent: u8, force: bool) -> Result<(), ControlError> {
        Ok(self.ask(|reply| Order::SetShadow { percent, force, reply }).await??)
    }

    /// The last reads that the sides have answered differently.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn shadow_mismatches(&self) -> Result<Vec<ShadowMismatch>, ControlError> {
        self.ask(Order::ShadowMismatches).await
    }

    /// Changes the policy. Dropped half way, the order may still be carried out.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn set_policy(&self, policy: Policy, force: bool) -> Result<Passed, ControlError> {
        Ok(self.ask(|reply| Order::SetPolicy { policy, force, reply }).await??)
    }

    /// Makes the target the authority. Dropped half way, the order may still be carried out; as of the next two.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn cut_over(&self, force: bool) -> Result<Passed, ControlError> {
        Ok(self.ask(|reply| Order::CutOver { force, reply }).await??)
    }

    /// Makes the source the authority again, or gives the move up.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn roll_back(&self, force: bool) -> Result<Passed, ControlError> {
        Ok(self.ask(|reply| Order::RollBack { force, reply }).await??)
    }

    /// Lets the source go.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn complete(&self) -> Result<Passed, ControlError> {
        Ok(self.ask(Order::Complete).await??)
    }

    /// The phase, and what has to hold before the authority changes, one by one.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn conditions(&self) -> Result<(Phase, Vec<Finding>), ControlError> {
        self.ask(Order::Conditions).await
    }

    /// How far the backfill has come.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn backfill(&self) -> Result<Progress, ControlError> {
        self.ask(|reply| Order::Backfill(BackfillOrder::Progress(reply))).await
    }

    /// Does something about the backfill, and says how far it has come then.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn change_backfill(&self, change: BackfillChange) -> Result<Progress, ControlError> {
        Ok(self.ask(|reply| Order::Backfill(BackfillOrder::Change { change, reply })).await??)
    }

    /// Keys that the last backfill has kept as the target has them.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn kept_keys(&self) -> Result<Vec<KeptKey>, ControlError> {
        self.ask(|reply| Order::Backfill(BackfillOrder::Kept(reply))).await
    }

    /// Copies these keys, whether they are known to differ or not.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn copy(&self, keys: Vec<(u32, Vec<u8>)>) -> Result<(), ControlError> {
        Ok(self.ask(|reply| Order::Backfill(BackfillOrder::Copy { keys, reply })).await??)
    }

    /// Begins to copy every dirty key, or every key, and says how things are then.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn repair(&self, all: bool) -> Result<Status, ControlError> {
        Ok(self.ask(|reply| Order::Repair { all, reply }).await??)
    }

    /// At most `limit` of the keys that keep failing to be copied, and how many there are.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn errors(&self, limit: usize) -> Result<(Vec<ErrorKey>, usize), ControlError> {
        self.ask(|reply| Order::Errors { limit, reply }).await
    }

    /// Begins to compare the keys of both sides.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn verify(&self, options: VerifyOptions) -> Result<Report, ControlError> {
        Ok(self.ask(|reply| Order::Verify(VerifyOrder::Begin { options, reply })).await??)
    }

    /// How the verification under way is doing, or the last one has ended.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn verification(&self) -> Result<Option<Report>, ControlError> {
        self.ask(|reply| Order::Verify(VerifyOrder::Report(reply))).await
    }

    /// Ends the verification under way.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn cancel_verification(&self) -> Result<Report, ControlError> {
        Ok(self.ask(|reply| Order::Verify(VerifyOrder::Cancel(reply))).await??)
    }

    /// At most `limit` of the keys that were found to differ.
    ///
    /// # Errors
    /// [`ControlError::Gone`] and [`ControlError::Late`].
    pub(crate) async fn differences(&self, limit: usize) -> Result<Vec<Difference>, ControlError> {
        self.ask(|reply| Order::Verify(VerifyOrder::Differences { limit, reply })).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, ControlError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let answer = async {
            self.orders.send(order(reply_tx)).await.map_err(|_| ControlError::Gone)?;
            reply_rx.await.map_err(|_| ControlError::Gone)
        };
        tokio::time::timeout(ANSWER_WAIT, answer).await.unwrap_or(Err(ControlError::Late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ended_data_plane_is_reported_not_waited_for() {
        let (control, mailbox) = channel();
        drop(mailbox);
        assert!(matches!(control.status().await, Err(ControlError::Gone)));
    }

    #[tokio::test]
    async fn dropped_order_is_a_data_plane_that_has_gone() {
        let (control, mut mailbox) = channel();
        let (answer, order) = tokio::join!(control.set_traffic(1, true), async { mailbox.recv().await.map(drop) });
        assert!(order.is_some());
        assert!(matches!(answer, Err(ControlError::Gone)));
    }
}
