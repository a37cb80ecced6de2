//! The mailbox of the data plane.
//!
//! In: questions and orders from the admin port, on any runtime. Out: [`Order`]s on a bounded channel, which the data
//! plane answers between two batches. An order that is answered with `Ok` has taken effect.

use std::time::Duration;

use interlay_routing::{ErrorKey, Policy};
use tokio::sync::{mpsc, oneshot};

use crate::status::Status;

/// Orders that may wait. Past it a caller waits, within [`ANSWER_WAIT`].
const ORDERS_WAITING_MAX: usize = 64;

/// How long a caller waits for the data plane: well above the longest `max_pause_ms`, so that only a data plane that
/// is stuck is given up on.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

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
    /// Write by this policy.
    SetPolicy {
        /// The policy of the next write.
        policy: Policy,
        /// Do it even though the sides may differ.
        force: bool,
        /// Answered when the policy holds, or with the reason why not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
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

    /// Changes the policy. Dropped half way, the order may still be carried out.
    ///
    /// # Errors
    /// Every [`ControlError`].
    pub(crate) async fn set_policy(&self, policy: Policy, force: bool) -> Result<(), ControlError> {
        Ok(self.ask(|reply| Order::SetPolicy { policy, force, reply }).await??)
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
