//! Test runs of a backfill on real connections, asked for by the admin port: the dry run and the trial.
//!
//! In: orders from the admin routes through [`TestRuns`]. Out: a report each. The [`Desk`] obeys them one at a time, on the operator's
//! thread, with connections of its own: the data plane has no part in it.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_migration::survey::{self, Big, Numbers, Survey};
use interlay_migration::trial::{self, Trial};
use interlay_migration::{AskError, Filter, TestRunError};
use interlay_routing::{BySide, Side};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::check::{Asker, nonce};
use crate::dial::Dialer;

/// The name of its connections.
const NAME: &str = "interlay-test-run";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing is mirrored, so nothing would be copied.
    #[error("there is no target, so there is nothing to copy to")]
    NoTarget,
    /// What the servers say, or do not.
    #[error(transparent)]
    Servers(#[from] TestRunError),
    /// The process is ending, or one is under way and another waits.
    #[error("no test run can be made now")]
    Gone,
}

/// What would be moved: the body of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surveyed {
    /// All of it, in numbers.
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
    /// Whether numbers are scaled up from a part of the keys.
    pub(crate) extrapolates: bool,
    /// The biggest keys, the biggest first.
    pub(crate) biggest: Vec<BigKey>,
    /// How long it took. Unit: milliseconds.
    pub(crate) took_ms: u64,
}

/// A big key, as text and as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BigKey {
    /// Its database.
    pub(crate) db: u32,
    /// The key, if it is text.
    pub(crate) key: Option<String>,
    /// The key, whatever it is.
    pub(crate) key_base64: String,
    /// What TYPE says.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What MEMORY USAGE says.
    pub(crate) bytes: u64,
}

impl From<Big> for BigKey {
    fn from(Big { db, key, kind, bytes }: Big) -> Self {
        let key_base64 = STANDARD.encode(&key);
        Self { db, key: String::from_utf8(key).ok(), key_base64, kind, bytes }
    }
}

type Reply<T> = oneshot::Sender<Result<T, Failure>>;

enum Order {
    Survey { filter: Filter, sample: u64, reply_tx: Reply<Surveyed> },
    Trial { filter: Filter, keys: u32, reply_tx: Reply<Trial> },
}

/// Asks for test runs.
#[derive(Clone)]
pub(crate) struct TestRuns {
    orders_tx: mpsc::Sender<Order>,
}

impl TestRuns {
    /// Looks at what a backfill would move, and asks about `sample` keys, about.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn survey(&self, filter: Filter, sample: u64) -> Result<Surveyed, Failure> {
        self.order(|reply_tx| Order::Survey { filter, sample, reply_tx }).await
    }

    /// Tries so many keys.
    ///
    /// # Errors
    /// Every [`Failure`]. Dropped half way, it is made all the same, and cleaned up.
    pub(crate) async fn trial(&self, filter: Filter, keys: u32) -> Result<Trial, Failure> {
        self.order(|reply_tx| Order::Trial { filter, keys, reply_tx }).await
    }

    async fn order<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Failure> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.orders_tx.try_send(order(reply_tx)).map_err(|_| Failure::Gone)?;
        reply_rx.await.map_err(|_| Failure::Gone)?
    }
}

/// Makes the test runs that are asked for.
pub(crate) struct Desk {
    dialers: BySide<Option<Dialer>>,
    orders_rx: mpsc::Receiver<Order>,
}

/// The two ends.
pub(crate) fn desk(dialers: BySide<Option<Dialer>>) -> (TestRuns, Desk) {
    let (orders_tx, orders_rx) = mpsc::channel(1);
    (TestRuns { orders_tx }, Desk { dialers, orders_rx })
}

impl Desk {
    /// Obeys until nobody can ask any more.
    pub(crate) async fn keep(mut self) {
        while let Some(order) = self.orders_rx.recv().await {
            // Who has hung up needs no answer.
            match order {
                Order::Survey { filter, sample, mut reply_tx } => {
                    let surveyed = tokio::select! {
                        surveyed = self.survey(&filter, sample) => surveyed,
                        () = reply_tx.closed() => continue,
                    };
                    reply_tx.send(surveyed).ok();
                }
                Order::Trial { filter, keys, reply_tx } => drop(reply_tx.send(self.trial(&filter, keys).await)),
            }
        }
    }

    async fn survey(&self, filter: &Filter, sample: u64) -> Result<Surveyed, Failure> {
        let (mut source, mut target) = self.connect().await?;
        let began = Instant::now();
        let Survey { numbers, biggest } = survey::survey(&mut source, &mut target, filter, sample, || began.elapsed()).await?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(keys = numbers.all.keys, bytes = numbers.all.bytes, took_ms, "dry run of a backfill");
        let biggest = biggest.into_iter().map(BigKey::from).collect();
        Ok(Surveyed { extrapolates: numbers.extrapolates(), numbers, biggest, took_ms })
    }

    async fn trial(&self, filter: &Filter, keys: u32) -> Result<Trial, Failure> {
        let (mut source, mut target) = self.connect().await?;
        let (began, nonce) = (Instant::now(), nonce());
        let trial = trial::trial(&mut source, &mut target, filter, keys, &nonce, || began.elapsed()).await;
        if let Err(TestRunError::Lost { side: Side::Target, .. }) = trial {
            self.sweep(&nonce, keys).await;
        }
        let trial = trial?;
        tracing::info!(taken = trial.all.taken(), refused = trial.all.refused, differ = trial.all.differ, "trial of a backfill");
        Ok(trial)
    }

    /// Deletes scratch keys on a new connection. If there is none, the server deletes them when their minute is over.
    async fn sweep(&self, nonce: &str, keys: u32) {
        let Some(dialer) = &self.dialers.target else { return };
        if let Ok(mut target) = Asker::open(dialer, NAME).await {
            trial::sweep(&mut target, nonce, keys).await.ok();
        }
    }

    async fn connect(&self) -> Result<(Asker, Asker), Failure> {
        let (Some(source), Some(target)) = (&self.dialers.source, &self.dialers.target) else { return Err(Failure::NoTarget) };
        let (source, target) = tokio::join!(Asker::open(source, NAME), Asker::open(target, NAME));
        let lost = |side| move |cause: crate::dial::DialError| TestRunError::Lost { side, cause: AskError(cause.to_string()) };
        Ok((source.map_err(lost(Side::Source))?, target.map_err(lost(Side::Target))?))
    }
}
