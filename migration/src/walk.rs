//! Which keys of the source are meant, and how they are found: SCAN, a page at a time, never KEYS.

use interlay_resp::Frame;
use interlay_routing::Side;

use crate::ask::{Ask, AskError, Reply, Request, request};

/// How many keys a SCAN is asked to look at.
const PAGE: &str = "512";

/// Which keys are meant: all of them, or those that pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only keys that match this glob, as SCAN understands it.
    pub pattern: Option<String>,
    /// Only keys of this type, as TYPE names it.
    pub kind: Option<String>,
    /// Only these databases; all if there are none.
    pub dbs: Vec<u32>,
}

impl Filter {
    /// Whether every key of a database passes.
    pub(crate) fn takes_whole_databases(&self) -> bool {
        self.pattern.is_none() && self.kind.is_none()
    }

    /// The SCAN that goes on at a cursor.
    pub(crate) fn scan(&self, cursor: &[u8]) -> Request {
        let mut args: Request = [b"SCAN", cursor, b"COUNT", PAGE.as_bytes()].map(<[u8]>::to_vec).into();
        for (word, value) in [("MATCH", &self.pattern), ("TYPE", &self.kind)] {
            if let Some(value) = value {
                args.extend([word.as_bytes().to_vec(), value.as_bytes().to_vec()]);
            }
        }
        args
    }
}

/// Why there is nothing to report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestRunError {
    /// A side does not answer, or no longer.
    #[error("the {side} does not answer: {cause}")]
    Lost {
        /// Which.
        side: Side,
        /// Why.
        #[source]
        cause: AskError,
    },
    /// The source refuses what nothing can be found without.
    #[error("the source refuses {command}: {reply}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The server's words.
        reply: String,
    },
    /// What is written to the target would be written to the source.
    #[error("the source and the target are one server")]
    SameServer,
}

/// That the connection to a side was lost.
pub(crate) fn lost(side: Side) -> impl Fn(AskError) -> TestRunError {
    move |cause| TestRunError::Lost { side, cause }
}

/// The databases that hold keys and are meant, and how many keys they hold. A server that refuses INFO is asked for each database.
pub(crate) async fn databases(server: &mut impl Ask, dbs: &[u32]) -> Result<Vec<(u32, u64)>, AskError> {
    let replies = server.ask_all(&[request("INFO keyspace")]).await?;
    let Some(info) = replies.first().and_then(Reply::text) else {
        let dbs = if dbs.is_empty() { &[0] } else { dbs };
        let about = |db: &u32| [request(&format!("SELECT {db}")), request("DBSIZE")];
        let replies = server.ask_all(&dbs.iter().flat_map(about).collect::<Vec<_>>()).await?;
        let sizes = replies.chunks_exact(2).map(|of| of.iter().all(|reply| reply.error().is_none()).then(|| of.last()?.number()).flatten());
        return Ok(dbs.iter().copied().zip(sizes.map(Option::unwrap_or_default)).filter(|(_, keys)| *keys > 0).collect());
    };
    let lines = info.lines().filter_map(|line| {
        let (db, fields) = line.trim().strip_prefix("db")?.split_once(':')?;
        let keys = fields.split(',').find_map(|field| field.strip_prefix("keys="))?.parse().ok()?;
        Some((db.parse().ok()?, keys))
    });
    Ok(lines.filter(|(db, _)| dbs.is_empty() || dbs.contains(db)).collect())
}

/// Goes to a database; false if the server does not have it.
pub(crate) async fn select(server: &mut impl Ask, db: u32) -> Result<bool, AskError> {
    let replies = server.ask_all(&[request(&format!("SELECT {db}"))]).await?;
    Ok(replies.first().is_some_and(|reply| reply.error().is_none()))
}

/// What a SCAN has answered.
pub(crate) struct Page {
    /// Where to go on, unless that was all.
    pub(crate) next: Option<Vec<u8>>,
    /// Keys, perhaps one twice.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// Reads a SCAN's reply.
pub(crate) fn page(reply: Option<&Frame>) -> Result<Page, TestRunError> {
    let refused = |reply: String| TestRunError::Refused { command: "SCAN", reply };
    match reply.map(|reply| (reply.error(), reply.entries())) {
        Some((Some(error), _)) => Err(refused(error.into_owned())),
        Some((None, [cursor, keys])) => {
            let next = cursor.bytes().filter(|cursor| *cursor != b"0").map(<[u8]>::to_vec);
            Ok(Page { next, keys: keys.entries().iter().filter_map(|key| Some(key.bytes()?.to_vec())).collect() })
        }
        _ => Err(refused("no cursor".to_owned())),
    }
}

/// How much of a database is behind a cursor, in millionths. Servers count a cursor's bits up from the highest one, so that read
/// backwards it is the part of the table that is done, whatever the table's size.
pub(crate) fn millionths_behind(cursor: &[u8]) -> u64 {
    let cursor = std::str::from_utf8(cursor).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    u64::try_from((u128::from(cursor.reverse_bits()) * 1_000_000) >> 64).unwrap_or(1_000_000)
}

/// The command and key as a request.
pub(crate) fn about(command: &str, key: &[u8]) -> Request {
    let mut args = request(command);
    args.push(key.to_vec());
    args
}

/// What MEMORY USAGE is asked with: a few elements of a collection stand for all.
pub(crate) fn memory_usage(key: &[u8]) -> Request {
    let mut args = about("MEMORY USAGE", key);
    args.extend(request("SAMPLES 5"));
    args
}

/// A part of a number, without overflow.
pub(crate) fn times(number: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(numerator)).checked_div(u128::from(denominator)).unwrap_or(0);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
