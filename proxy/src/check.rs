//! The compatibility check on real connections, asked for by the admin port or, without a process that serves, by the CLI.
//!
//! In: orders from the admin routes through [`Checks`]. Out: a [`Report`] each, of which the last is kept. The [`Desk`] obeys
//! them one at a time, on the operator's thread, with connections of its own: the data plane has no part in it. Beside it, for the same
//! servers and in the same way, works the desk of [`test_run`].
//!
//! What the operator has acknowledged is kept in the state directory, if there is one, in `acknowledged.json`, which is
//! replaced as a whole and on disk before it counts.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use interlay_migration::check::{self, Acknowledged, Acknowledgements, Finding, Report};
use interlay_migration::{Ask, AskError, Request};
use interlay_resp::Frame;
use interlay_routing::BySide;
use tokio::sync::{mpsc, oneshot};

use crate::dial::{Connection, DialError, Dialer};
use crate::kept::{self, unix_ms};
use crate::test_run::{self, TestRuns};

/// The file of the state directory that holds what is acknowledged.
const FILE: &str = "acknowledged.json";

/// The name of the check's connections.
const NAME: &str = "interlay-check";

/// Time for the replies to one batch of requests. A sample of a thousand keys is the longest one.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Checks that wait for the one that runs.
const ORDERS_MAX: usize = 8;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Nothing is mirrored, so there is nothing to check.
    #[error("there is no target, so there is nothing to check it for")]
    NoTarget,
    /// A name that no finding can have.
    #[error("{0:?} is not the name of a check, and nothing has been acknowledged")]
    NoSuchName(String),
    /// The acknowledgements cannot be kept.
    #[error("{FILE} in the state directory cannot be written, and nothing has been acknowledged: {0}")]
    Unkept(#[source] io::Error),
    /// The process is ending, or too much waits.
    #[error("no check can be made now")]
    Gone,
}

/// What the operator acknowledges: a finding's name, and why.
pub(crate) type Note = (String, String);

struct Order {
    notes: Vec<Note>,
    reply_tx: oneshot::Sender<Result<Report, CheckError>>,
}

type Last = Arc<Mutex<Option<Report>>>;

/// Asks for checks, and knows the last one.
#[derive(Clone)]
pub(crate) struct Checks {
    orders_tx: mpsc::Sender<Order>,
    last: Last,
    /// Test runs of a backfill between the same servers.
    pub(crate) test_runs: TestRuns,
}

impl Checks {
    /// Acknowledges, and checks.
    ///
    /// # Errors
    /// Every [`CheckError`]. Dropped half way, the check is made all the same.
    pub(crate) async fn run(&self, notes: Vec<Note>) -> Result<Report, CheckError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.orders_tx.try_send(Order { notes, reply_tx }).map_err(|_| CheckError::Gone)?;
        reply_rx.await.map_err(|_| CheckError::Gone)?
    }

    /// The last report; none if there was no check since the start.
    pub(crate) fn last(&self) -> Option<Report> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes the checks that are asked for.
pub(crate) struct Desk {
    dialers: BySide<Option<Dialer>>,
    orders_rx: mpsc::Receiver<Order>,
    last: Last,
    acknowledgements: Acknowledgements,
    state_dir: Option<PathBuf>,
    test_runs: Option<test_run::Desk>,
}

/// The two ends. `state_dir` is open by now: what was acknowledged in it holds on.
pub(crate) fn desk(dialers: BySide<Option<Dialer>>, state_dir: Option<PathBuf>) -> (Checks, Desk) {
    let (orders_tx, orders_rx) = mpsc::channel(ORDERS_MAX);
    let last = Last::default();
    let acknowledgements = state_dir.as_deref().and_then(|dir| kept::read(dir, FILE)).unwrap_or_default();
    let (test_runs, desk) = test_run::desk(dialers.clone());
    let checks = Checks { orders_tx, last: Arc::clone(&last), test_runs };
    (checks, Desk { dialers, orders_rx, last, acknowledgements, state_dir, test_runs: Some(desk) })
}

impl Desk {
    /// Obeys until nobody can ask any more.
    pub(crate) async fn keep(mut self) {
        let test_runs = self.test_runs.take();
        tokio::join!(self.keep_checking(), async {
            if let Some(desk) = test_runs {
                desk.keep().await;
            }
        });
    }

    async fn keep_checking(&mut self) {
        while let Some(Order { notes, reply_tx }) = self.orders_rx.recv().await {
            // Whoever has hung up has asked for it all the same.
            reply_tx.send(self.obey(notes).await).ok();
        }
    }

    async fn obey(&mut self, notes: Vec<Note>) -> Result<Report, CheckError> {
        let (Some(source), Some(target)) = (&self.dialers.source, &self.dialers.target) else { return Err(CheckError::NoTarget) };
        if !notes.is_empty() {
            let next = acknowledge(&self.acknowledgements, notes)?;
            if let Some(dir) = &self.state_dir {
                kept::write(dir, FILE, &next).map_err(CheckError::Unkept)?;
            }
            self.acknowledgements = next;
        }
        let report = Report::new(findings(source, target).await, &self.acknowledgements, unix_ms());
        tracing::info!(blocking = report.blocking, warnings = report.warnings, acknowledged = report.acknowledged, "checked");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        Ok(report)
    }
}

/// Checks two servers that nothing serves yet.
///
/// # Errors
/// [`CheckError::NoSuchName`].
pub(crate) async fn once(source: &Dialer, target: &Dialer, notes: Vec<Note>) -> Result<Report, CheckError> {
    let acknowledgements = acknowledge(&Acknowledgements::default(), notes)?;
    Ok(Report::new(findings(source, target).await, &acknowledgements, unix_ms()))
}

fn acknowledge(now: &Acknowledgements, notes: Vec<Note>) -> Result<Acknowledgements, CheckError> {
    let mut all: BTreeMap<_, _> = now.0.clone();
    for (name, note) in notes {
        if !check::names().any(|(known, _)| known == name) {
            return Err(CheckError::NoSuchName(name));
        }
        all.insert(name, Acknowledged { note, at_unix_ms: unix_ms() });
    }
    Ok(Acknowledgements(all))
}

async fn findings(source: &Dialer, target: &Dialer) -> Vec<Finding> {
    let (source, target) = tokio::join!(Asker::open(source, NAME), Asker::open(target, NAME));
    let why = |error: DialError| error.to_string();
    check::check(BySide { source: source.map_err(why), target: target.map_err(why) }, &nonce()).await
}

/// What is in the names of scratch keys, so that nobody else's are the same.
pub(crate) fn nonce() -> String {
    format!("{:016x}", RandomState::new().hash_one(unix_ms()))
}

/// A connection of the operator's own, beside the data plane.
pub(crate) struct Asker(Connection);

impl Asker {
    /// Opens one that is authenticated, in database 0 and RESP2, with a name in the server's list of clients.
    ///
    /// # Errors
    /// Every [`DialError`].
    pub(crate) async fn open(dialer: &Dialer, name: &str) -> Result<Self, DialError> {
        let open = async {
            let mut connection = Connection::open(&dialer.endpoint, dialer.tls.as_ref()).await?;
            connection.authenticate(&dialer.endpoint).await?;
            match connection.call(&["PING"]).await? {
                // A right is missing, no more; that is for the check to say.
                Frame::SimpleError { data, .. } if !data.starts_with("NOPERM") => {
                    return Err(DialError::Refused { command: "PING", reply: data });
                }
                _ => {}
            }
            connection.call(&["CLIENT", "SETNAME", name]).await?;
            Ok(Self(connection))
        };
        tokio::time::timeout(dialer.timeout, open).await.unwrap_or_else(|_| Err(DialError::Io(ErrorKind::TimedOut.into())))
    }
}

impl Ask for Asker {
    async fn ask_all(&mut self, requests: &[Request]) -> Result<Vec<Frame>, AskError> {
        let asked = tokio::time::timeout(ANSWER_WAIT, self.0.call_all(requests)).await;
        let lost = |why: String| AskError(format!("connection lost: {why}"));
        asked.map_err(|_| lost(format!("no reply within {} s", ANSWER_WAIT.as_secs())))?.map_err(|error| lost(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
