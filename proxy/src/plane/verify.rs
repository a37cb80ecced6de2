//! The operator's orders about verifications.

use interlay_routing::{Difference, VerifyOptions};
use tokio::sync::oneshot;

use super::Plane;
use crate::control::Refusal;
use crate::verification::Report;

/// What the data plane is asked about verifications.
pub(crate) enum Order {
    /// Begin one.
    Begin {
        /// What is to be compared.
        options: VerifyOptions,
        /// Answered with how far it has come then, or with the reason why not.
        reply: oneshot::Sender<Result<Report, Refusal>>,
    },
    /// Say how far the one under way has come, or how the last one has ended; if there was any.
    Report(oneshot::Sender<Option<Report>>),
    /// End the one under way.
    Cancel(oneshot::Sender<Result<Report, Refusal>>),
    /// Say which keys differ.
    Differences {
        /// Name no more than so many.
        limit: usize,
        /// Answered with these.
        reply: oneshot::Sender<Vec<Difference>>,
    },
}

impl Plane {
    pub(super) fn obey_verify(&mut self, order: Order) {
        match order {
            // A caller that has gone away needs no answer.
            Order::Begin { options, reply } => drop(reply.send(self.verify(options))),
            Order::Report(reply) => drop(reply.send(self.verification())),
            Order::Cancel(reply) => drop(reply.send(self.cancel_verification())),
            Order::Differences { limit, reply } => {
                let differences = self.pair.verification().map(|last| last.differences().take(limit).collect());
                drop(reply.send(differences.unwrap_or_default()));
            }
        }
    }

    fn verify(&mut self, options: VerifyOptions) -> Result<Report, Refusal> {
        self.pair.verify(options).map_err(|refused| Refusal(refused.to_string()))?;
        tracing::info!(?options, "verification begins");
        self.verification().ok_or_else(|| Refusal("the verification has ended at once".to_owned()))
    }

    fn cancel_verification(&mut self) -> Result<Report, Refusal> {
        if !self.pair.verify_cancel() {
            return Err(Refusal("no verification is under way".to_owned()));
        }
        tracing::info!("verification cancelled");
        self.verification().ok_or_else(|| Refusal("no verification is under way".to_owned()))
    }

    pub(super) fn verification(&self) -> Option<Report> {
        let now_ms = self.pair.clock().now().mono_ms;
        self.pair.verification().map(|verification| Report::new(verification, now_ms))
    }
}
