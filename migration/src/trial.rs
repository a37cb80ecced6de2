//! The trial: some of the source's keys, copied to the target under scratch names, compared, and removed.
//!
//! ```text
//!   source ── SCAN, a share of each database ──▶ names ── DUMP ──▶ payloads ── RESTORE, 60 s to live ──▶ target ── DUMP ──▶ the same?
//!                                                                          unless it is, both are read, and what they hold compared
//! ```
//!
//! Nothing is written to the source. Scratch keys are named `interlay-trial:NONCE:N`, in database 0; they are deleted batch by batch,
//! whatever becomes of a batch, and what cannot be deleted is gone after a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use interlay_resp::Frame;
use interlay_routing::Side;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, AskError, Reply, Request, request};
use crate::walk::{Filter, Page, TestRunError, about, databases, lost, memory_usage, page, select, times};

/// Keys that may be tried at once.
pub const KEYS_MAX: u32 = 10_000;

/// How long keys are looked for, and then how long they are copied. Past it the report is of what was copied.
const TIME_MAX: Duration = Duration::from_secs(30);

/// How long a scratch key lives if nothing deletes it. Unit: milliseconds.
const LIFETIME_MS: &str = "60000";

/// Keys that travel together.
const BATCH_KEYS: usize = 16;

/// Memory of keys that travel together, and of the largest that is tried: DUMP blocks the source for as long as it takes.
const BATCH_BYTES: u64 = 16 << 20;

/// What became of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// The target has taken them, and held the same.
    pub same: u64,
    /// The target has taken them; whether it held the same cannot be told, because the source has changed them, or a side does not
    /// let them be read.
    pub unproved: u64,
    /// The target has taken them, and held something else.
    pub differ: u64,
    /// A server has refused them.
    pub refused: u64,
}

impl Fates {
    /// Keys that the target has taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.same + self.unproved + self.differ
    }

    fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Same => &mut self.same,
            Fate::Unproved => &mut self.unproved,
            Fate::Differs => &mut self.differ,
            Fate::Refused => &mut self.refused,
        } += 1;
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Same,
    Unproved,
    Differs,
    Refused,
}

/// Why keys of a type were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What TYPE says.
    #[serde(rename = "type")]
    pub kind: String,
    /// The command, and the server's words.
    pub reason: String,
    /// What that means for a backfill, where it is known.
    pub meaning: Option<String>,
    /// How many keys.
    pub keys: u64,
}

/// How a trial has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// All keys that were tried.
    pub all: Fates,
    /// The same by type.
    pub types: BTreeMap<String, Fates>,
    /// Why keys were refused.
    pub refusals: Vec<Refusal>,
    /// Keys that were gone before they could be read.
    pub gone: u64,
    /// Keys that are too large to be dumped at once; a backfill copies them in chunks.
    pub too_large: u64,
    /// Bytes of the payloads that the target has taken.
    pub payload_bytes: u64,
    /// How long it took to dump and restore those keys, comparing aside. Unit: microseconds.
    pub copying_us: u64,
    /// About how long that is for all keys, if there is no filter but databases. A backfill has more under way at once, and takes less.
    pub estimated_ms: Option<u64>,
    /// Whether the time was up before all were tried.
    pub time_was_up: bool,
    /// Scratch keys that the target did not delete. They are gone within a minute.
    pub left: u64,
}

/// A key to be tried.
struct Sampled {
    db: u32,
    key: Vec<u8>,
    kind: String,
    bytes: u64,
}

/// Tries about `keys` keys of the source that pass. Both servers are connected, and authenticated. `nonce` is in the scratch names: two
/// trials take different ones. `elapsed` is the time since the trial began.
///
/// # Errors
/// Every [`TestRunError`]. Then scratch keys may be left, as after a connection to the target that is lost; see [`sweep`].
pub async fn trial(
    source: &mut impl Ask,
    target: &mut impl Ask,
    filter: &Filter,
    keys: u32,
    nonce: &str,
    elapsed: impl Fn() -> Duration,
) -> Result<Trial, TestRunError> {
    let run = "INFO server";
    let here = source.ask_all(&[request(run)]).await.map_err(lost(Side::Source))?;
    let there = target.ask_all(&[request(run)]).await.map_err(lost(Side::Target))?;
    if run_id(&here).is_some_and(|id| Some(id) == run_id(&there)) {
        return Err(TestRunError::SameServer);
    }
    let dbs = databases(source, &filter.dbs).await.map_err(lost(Side::Source))?;
    let expected: u64 = dbs.iter().map(|(_, keys)| keys).sum();
    let mut report = Trial::default();
    let sampled = sample(source, filter, &dbs, keys.min(KEYS_MAX).into(), &elapsed, &mut report).await?;
    let began = elapsed();
    let mut flight = Flight { source, target, nonce, elapsed: &elapsed, used: 0, report };
    let mut rest = sampled.as_slice();
    while !rest.is_empty() && !flight.report.time_was_up {
        let (batch, behind) = rest.split_at(batch(rest));
        flight.copy(batch).await?;
        rest = behind;
        flight.report.time_was_up = !rest.is_empty() && elapsed().saturating_sub(began) >= TIME_MAX;
    }
    let mut report = flight.report;
    let taken = report.all.taken();
    if filter.takes_whole_databases() && taken > 0 {
        report.estimated_ms = Some(times(report.copying_us, expected, taken) / 1000);
    }
    Ok(report)
}

/// Deletes what a trial of so many keys may have left.
///
/// # Errors
/// [`AskError`], as of [`Ask::ask_all`].
pub async fn sweep(target: &mut impl Ask, nonce: &str, keys: u32) -> Result<(), AskError> {
    let numbers: Vec<u32> = (0..keys.min(KEYS_MAX)).collect();
    for numbers in numbers.chunks(1000) {
        let names = numbers.iter().map(|n| scratch(nonce, (*n).into()));
        target.ask_all(&[[b"DEL".to_vec()].into_iter().chain(names).collect()]).await?;
    }
    Ok(())
}

fn scratch(nonce: &str, n: u64) -> Vec<u8> {
    format!("interlay-trial:{nonce}:{n}").into_bytes()
}

/// Which process answers, if it tells.
fn run_id(info: &[Frame]) -> Option<String> {
    let info = info.first()?.text()?;
    info.lines().find_map(|line| line.trim().strip_prefix("run_id:")).map(str::to_owned)
}

/// Names keys of each database, as many as its share of all keys. SCAN goes through a table in an order that has to do with no key's
/// name, so that the first keys are as good a sample as others.
async fn sample(
    source: &mut impl Ask,
    filter: &Filter,
    dbs: &[(u32, u64)],
    wanted: u64,
    elapsed: &impl Fn() -> Duration,
    report: &mut Trial,
) -> Result<Vec<Sampled>, TestRunError> {
    let all: u64 = dbs.iter().map(|(_, keys)| keys).sum();
    let mut sampled = Vec::new();
    for (db, keys) in dbs {
        let share = times(wanted, *keys, all).max(1).min(wanted.saturating_sub(sampled.len() as u64));
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        if share == 0 || !select(source, *db).await.map_err(lost(Side::Source))? {
            continue;
        }
        let (mut names, mut cursor) = (BTreeSet::new(), Some(b"0".to_vec()));
        while let Some(at) = cursor.take().filter(|_| names.len() < share && elapsed() < TIME_MAX) {
            let replies = source.ask_all(&[filter.scan(&at)]).await.map_err(lost(Side::Source))?;
            let Page { next, keys } = page(replies.first())?;
            names.extend(keys.into_iter().take(share - names.len()));
            cursor = next;
        }
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(512) {
            let questions: Vec<_> = names.iter().flat_map(|key| [about("TYPE", key), memory_usage(key)]).collect();
            let answers = source.ask_all(&questions).await.map_err(lost(Side::Source))?;
            for (key, answers) in names.iter().zip(answers.chunks_exact(2)) {
                let kind = answers.first().and_then(Reply::text).unwrap_or_else(|| "unknown".into()).into_owned();
                let bytes = answers.last().and_then(Reply::number).unwrap_or(0);
                match (kind.as_str(), bytes) {
                    ("none", _) => report.gone += 1,
                    (_, bytes) if bytes > BATCH_BYTES => report.too_large += 1,
                    _ => sampled.push(Sampled { db: *db, key: key.clone(), kind, bytes }),
                }
            }
        }
    }
    Ok(sampled)
}

/// How many of the first of these travel together: of one database, few, and not too large together.
fn batch(keys: &[Sampled]) -> usize {
    let mut bytes = 0_u64;
    let first = keys.first().map(|key| key.db);
    let fit = keys.iter().take(BATCH_KEYS).take_while(|key| {
        bytes = bytes.saturating_add(key.bytes);
        Some(key.db) == first && bytes <= BATCH_BYTES
    });
    fit.count().max(1)
}

/// A trial under way.
struct Flight<'a, S, T, E> {
    source: &'a mut S,
    target: &'a mut T,
    nonce: &'a str,
    elapsed: &'a E,
    /// Scratch names so far.
    used: u64,
    report: Trial,
}

/// A key that the target has been sent.
struct Landed<'a> {
    key: &'a Sampled,
    name: Vec<u8>,
    payload: Vec<u8>,
}

impl<S: Ask, T: Ask, E: Fn() -> Duration> Flight<'_, S, T, E> {
    /// Copies keys of one database, compares them and removes them.
    async fn copy(&mut self, keys: &[Sampled]) -> Result<(), TestRunError> {
        let began = (self.elapsed)();
        let Some(db) = keys.first().map(|key| key.db) else { return Ok(()) };
        let dumps = [request(&format!("SELECT {db}"))].into_iter().chain(keys.iter().map(|key| about("DUMP", &key.key)));
        let dumps = self.source.ask_all(&dumps.collect::<Vec<_>>()).await.map_err(lost(Side::Source))?;
        let mut landed = Vec::new();
        for (key, dump) in keys.iter().zip(dumps.into_iter().skip(1)) {
            match (dump.error(), dump.bytes()) {
                (Some(error), _) => self.refuse(&key.kind, "DUMP", &error),
                (None, Some(payload)) => {
                    landed.push(Landed { key, name: scratch(self.nonce, self.used), payload: payload.to_vec() });
                    self.used += 1;
                }
                (None, None) => self.report.gone += 1,
            }
        }
        if landed.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = landed.iter().map(|key| key.name.clone()).collect();
        let compared = self.land_and_compare(landed, began).await;
        let delete: Request = [b"DEL".to_vec()].into_iter().chain(names.iter().cloned()).collect();
        let exist: Vec<_> = [delete].into_iter().chain(names.iter().map(|name| about("EXISTS", name))).collect();
        let swept = self.target.ask_all(&exist).await;
        compared?;
        let swept = swept.map_err(lost(Side::Target))?;
        self.report.left += swept.iter().skip(1).filter(|reply| reply.number() == Some(1)).count() as u64;
        Ok(())
    }

    async fn land_and_compare(&mut self, landed: Vec<Landed<'_>>, began: Duration) -> Result<(), TestRunError> {
        let restore = |key: &Landed<'_>| [b"RESTORE", key.name.as_slice(), LIFETIME_MS.as_bytes(), &key.payload].map(<[u8]>::to_vec).into();
        let restores: Vec<Request> = landed.iter().map(restore).collect();
        let replies = self.target.ask_all(&restores).await.map_err(lost(Side::Target))?;
        let took = (self.elapsed)().saturating_sub(began);
        self.report.copying_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut taken = Vec::new();
        for (key, reply) in landed.into_iter().zip(&replies) {
            match reply.error() {
                Some(error) => self.refuse(&key.key.kind, "RESTORE", &error),
                None => {
                    self.report.payload_bytes += key.payload.len() as u64;
                    taken.push(key);
                }
            }
        }
        let dumps: Vec<_> = taken.iter().map(|key| about("DUMP", &key.name)).collect();
        let dumps = self.target.ask_all(&dumps).await.map_err(lost(Side::Target))?;
        for (key, dump) in taken.iter().zip(&dumps) {
            let fate = if dump.bytes().is_some_and(|dump| value_of(dump) == value_of(&key.payload)) {
                Fate::Same
            } else {
                self.compare(key).await?
            };
            self.note(&key.key.kind, fate);
        }
        Ok(())
    }

    /// Compares what a key holds: the payloads are not the same, because a table has another order there, or a value another encoding.
    async fn compare(&mut self, Landed { key, name, payload }: &Landed<'_>) -> Result<Fate, TestRunError> {
        let kind = key.kind.as_str();
        let Some((command, more)) = read(kind) else { return Ok(Fate::Unproved) };
        let reading = |key: &[u8]| {
            let mut args = about(command, key);
            args.extend(more.iter().map(|arg| arg.as_bytes().to_vec()));
            args
        };
        let here = self.source.ask_all(&[reading(&key.key), about("DUMP", &key.key)]).await.map_err(lost(Side::Source))?;
        let there = self.target.ask_all(&[reading(name)]).await.map_err(lost(Side::Target))?;
        Ok(match (here.as_slice(), there.first()) {
            ([here, dump], Some(there)) if here.error().is_none() && there.error().is_none() => {
                if same(kind, here, there) {
                    Fate::Same
                } else if dump.bytes() == Some(payload) {
                    Fate::Differs
                } else {
                    Fate::Unproved
                }
            }
            _ => Fate::Unproved,
        })
    }

    fn note(&mut self, kind: &str, fate: Fate) {
        self.report.all.add(fate);
        self.report.types.entry(kind.to_owned()).or_default().add(fate);
    }

    fn refuse(&mut self, kind: &str, command: &str, error: &str) {
        self.note(kind, Fate::Refused);
        let reason = format!("{command}: {error}");
        let refusals = &mut self.report.refusals;
        if let Some(known) = refusals.iter_mut().find(|known| known.kind == kind && known.reason == reason) {
            known.keys += 1;
        } else {
            refusals.push(Refusal { kind: kind.to_owned(), meaning: meaning(command, error).map(str::to_owned), reason, keys: 1 });
        }
    }
}

/// A payload without its version and checksum: ten bytes at its end.
fn value_of(payload: &[u8]) -> &[u8] {
    payload.len().checked_sub(10).and_then(|end| payload.get(..end)).unwrap_or(payload)
}

/// How a key of a type is read as a whole: what is before its name, and behind it.
fn read(kind: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match kind {
        "string" => ("GET", &[]),
        "list" => ("LRANGE", &["0", "-1"]),
        "set" => ("SMEMBERS", &[]),
        "hash" => ("HGETALL", &[]),
        "zset" => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
        "stream" => ("XRANGE", &["-", "+"]),
        _ => return None,
    })
}

/// Whether two reads say the same. Members and fields have no order; a score may be spelled in several ways.
fn same(kind: &str, here: &Frame, there: &Frame) -> bool {
    fn sorted<T: Ord>(parts: impl Iterator<Item = T>) -> Vec<T> {
        let mut parts: Vec<_> = parts.collect();
        parts.sort_unstable();
        parts
    }
    let members = |frame: &Frame| sorted(frame.entries().iter().map(|member| member.bytes().map(<[u8]>::to_vec)));
    let pairs = |frame: &Frame| {
        sorted(frame.entries().chunks(2).map(|pair| pair.iter().map(|part| part.bytes().map(<[u8]>::to_vec)).collect::<Vec<_>>()))
    };
    let scores = |frame: &Frame| {
        let pair = |pair: &[Frame]| {
            let score = pair.get(1).and_then(Reply::text).and_then(|score| score.parse::<f64>().ok());
            (pair.first().and_then(Reply::bytes).map(<[u8]>::to_vec), score.map(f64::to_bits))
        };
        frame.entries().chunks(2).map(pair).collect::<Vec<_>>()
    };
    match kind {
        "set" => members(here) == members(there),
        "hash" => pairs(here) == pairs(there),
        "zset" => scores(here) == scores(there),
        _ => here == there,
    }
}

/// What a refusal means for a backfill.
fn meaning(command: &str, error: &str) -> Option<&'static str> {
    Some(match error.split(' ').next()? {
        _ if error.contains("payload version") || error.contains("Bad data format") => {
            "the target does not know this version of payloads: a backfill copies such keys by type, with commands that it knows"
        }
        "NOPERM" if command == "DUMP" => "the source's user has not the rights to it, and a backfill has the same user",
        "NOPERM" => "the target's user has not the rights to it, or not to keys named interlay-trial:*; a backfill has the same user",
        "OOM" => "the target has no room: raise its maxmemory",
        "READONLY" => "the target is a replica: no backfill can write to it",
        "MOVED" | "CLUSTERDOWN" => "the target is in cluster mode",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
