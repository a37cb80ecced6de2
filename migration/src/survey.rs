//! The dry run: what a backfill would move, by type and by database. Nothing is written anywhere.
//!
//! ```text
//!   source ── SCAN ──▶ every k-th key ── TYPE, PTTL, MEMORY USAGE ──▶ counted ──▶ Walked, a database each ──▶ estimate ──▶ Survey
//!                                  target ── EXISTS ─────────────────────▲
//! ```
//!
//! What is asked about one page travels with the SCAN of the next, so that a page is one round trip, and the source has its other
//! clients between two. Keys are counted all; the rest is asked about every k-th one and scaled up. Past [`TIME_MAX`] the walk ends
//! where it is, and what it has not seen is taken to be as what it has seen.

use std::collections::BTreeMap;
use std::time::Duration;

use interlay_resp::Frame;
use interlay_routing::Side;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Reply, Request};
use crate::walk::{Filter, Page, TestRunError, about, databases, lost, memory_usage, millionths_behind, page, select, times};

/// How long a survey may take.
pub const TIME_MAX: Duration = Duration::from_mins(1);

/// Keys that are asked about, unless told.
pub const SAMPLE: u64 = 100_000;

/// The biggest keys are named, so many of them.
const BIGGEST: usize = 10;

/// How many keys there are of a kind, and what they are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Keys.
    pub keys: u64,
    /// Memory that the source uses for them. Unit: bytes.
    pub bytes: u64,
    /// Those that expire.
    pub with_ttl: u64,
    /// Those that the target has a key of the same name for.
    pub on_target: u64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        let Self { keys, bytes, with_ttl, on_target } = more;
        for (sum, part) in
            [(&mut self.keys, keys), (&mut self.bytes, bytes), (&mut self.with_ttl, with_ttl), (&mut self.on_target, on_target)]
        {
            *sum = sum.saturating_add(part);
        }
    }

    fn scaled(self, to: u64, from: u64) -> Self {
        let [keys, bytes, with_ttl, on_target] =
            [self.keys, self.bytes, self.with_ttl, self.on_target].map(|number| times(number, to, from));
        Self { keys, bytes, with_ttl, on_target }
    }
}

/// What there is in a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfDb {
    /// The database.
    pub db: u32,
    /// Its keys.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A big key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Big {
    /// Its database.
    pub db: u32,
    /// The key.
    pub key: Vec<u8>,
    /// What TYPE says.
    pub kind: String,
    /// What MEMORY USAGE says.
    pub bytes: u64,
}

/// What a backfill would move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// All of it, in numbers.
    pub numbers: Numbers,
    /// The biggest keys of those that were asked about, the biggest first.
    pub biggest: Vec<Big>,
}

/// The numbers of a survey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// All keys that would be copied.
    pub all: Counts,
    /// The same by type.
    pub types: BTreeMap<String, Counts>,
    /// The same by database, in their order.
    pub dbs: Vec<OfDb>,
    /// Keys that SCAN has named. Less than all if the time was up.
    pub scanned: u64,
    /// Keys that were asked about: all other numbers than counts of keys are of these, scaled up.
    pub asked: u64,
    /// Whether the time was up before every key was seen, so that the number of keys is an estimate as well.
    pub time_was_up: bool,
    /// Keys that the target has in these databases, whatever they are; none if it does not tell.
    pub target_keys: Option<u64>,
    /// Databases with keys to be copied that the target does not have.
    pub missing_dbs: Vec<u32>,
    /// Whether the source tells what memory keys use; else all bytes are 0.
    pub bytes_known: bool,
    /// Whether the target tells which keys it has; else that is 0 everywhere.
    pub target_known: bool,
    /// What a server refuses to tell, in its words.
    pub refused: Vec<String>,
}

impl Numbers {
    /// Whether numbers are scaled up.
    #[must_use]
    pub fn extrapolates(&self) -> bool {
        self.time_was_up || self.asked < self.scanned
    }
}

/// What was seen of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Walked {
    db: u32,
    /// About how many keys are meant.
    keys: u64,
    /// Keys that were asked about, by type.
    types: BTreeMap<String, Counts>,
}

/// Looks at the source's keys that pass, and at which of them the target has. Both are connected, and authenticated. `sample` is how
/// many keys are asked about, about; `elapsed` is the time since the survey began.
///
/// # Errors
/// Every [`TestRunError`] but `SameServer`.
pub async fn survey(
    source: &mut impl Ask,
    target: &mut impl Ask,
    filter: &Filter,
    sample: u64,
    elapsed: impl Fn() -> Duration,
) -> Result<Survey, TestRunError> {
    let dbs = databases(source, &filter.dbs).await.map_err(lost(Side::Source))?;
    let there = databases(target, &filter.dbs).await.map_err(lost(Side::Target))?;
    let stride = dbs.iter().map(|(_, keys)| keys).sum::<u64>().div_ceil(sample.max(1)).max(1);
    let mut tally = Tally { stride, ..Tally::default() };
    tally.numbers.target_keys = Some(there.iter().map(|(_, keys)| keys).sum());
    (tally.numbers.bytes_known, tally.numbers.target_known) = (true, true);
    let mut walked = Vec::new();
    // Keys of the databases that were walked: those that pass, and all.
    let (mut passed, mut held) = (0_u64, 0_u64);
    for (db, keys) in dbs {
        if tally.numbers.time_was_up {
            let keys = if filter.takes_whole_databases() { keys } else { times(keys, passed, held) };
            walked.push(Walked { db, keys, ..Walked::default() });
            continue;
        }
        if !select(source, db).await.map_err(lost(Side::Source))? {
            continue;
        }
        let on_target = select(target, db).await.map_err(lost(Side::Target))?;
        let mut seen = tally.walk(source, on_target.then_some(&mut *target), db, filter, &elapsed).await?;
        if tally.numbers.time_was_up && filter.takes_whole_databases() {
            seen.keys = seen.keys.max(keys);
        }
        (passed, held) = (passed + seen.keys, held + keys);
        if !on_target && seen.keys > 0 {
            tally.numbers.missing_dbs.push(db);
        }
        walked.push(seen);
    }
    let (all, types, dbs) = estimate(&walked);
    (tally.numbers.all, tally.numbers.types) = (all, types);
    tally.numbers.dbs = dbs.into_iter().map(|(db, counts)| OfDb { db, counts }).collect();
    tally.biggest.truncate(BIGGEST);
    Ok(Survey { numbers: tally.numbers, biggest: tally.biggest })
}

/// What has been counted so far.
#[derive(Default)]
struct Tally {
    numbers: Numbers,
    biggest: Vec<Big>,
    /// Of so many keys one is asked about.
    stride: u64,
}

impl Tally {
    /// Walks the database that both servers are in; `target` is none if it does not have it.
    async fn walk<T: Ask>(
        &mut self,
        source: &mut impl Ask,
        mut target: Option<&mut T>,
        db: u32,
        filter: &Filter,
        elapsed: &impl Fn() -> Duration,
    ) -> Result<Walked, TestRunError> {
        let mut walked = Walked { db, ..Walked::default() };
        let mut cursor = Some(b"0".to_vec());
        let mut chosen: Vec<Vec<u8>> = Vec::new();
        let mut behind = None;
        while cursor.is_some() || !chosen.is_empty() {
            let scan = cursor.take().map(|cursor| filter.scan(&cursor));
            let scans = scan.is_some();
            let questions = chosen.iter().flat_map(|key| [about("TYPE", key), about("PTTL", key), memory_usage(key)]);
            let requests: Vec<Request> = scan.into_iter().chain(questions).collect();
            let replies = source.ask_all(&requests).await.map_err(lost(Side::Source))?;
            let (scanned, answers) = replies.split_at(replies.len().min(usize::from(scans)));
            let exists: Vec<Request> = chosen.iter().map(|key| about("EXISTS", key)).collect();
            let there = match &mut target {
                Some(target) if !exists.is_empty() => target.ask_all(&exists).await.map_err(lost(Side::Target))?,
                _ => Vec::new(),
            };
            for (n, (key, answers)) in chosen.drain(..).zip(answers.chunks_exact(3)).enumerate() {
                self.count(&mut walked, key, answers, there.get(n));
            }
            if !scans {
                continue;
            }
            let Page { next, keys } = page(scanned.first())?;
            for key in keys {
                if self.numbers.scanned.is_multiple_of(self.stride) {
                    chosen.push(key);
                }
                self.numbers.scanned += 1;
                walked.keys += 1;
            }
            if let Some(next) = &next
                && elapsed() >= TIME_MAX
            {
                self.numbers.time_was_up = true;
                behind = Some(millionths_behind(next));
            } else {
                cursor = next;
            }
        }
        if let Some(behind) = behind.filter(|behind| *behind > 0 && !filter.takes_whole_databases()) {
            walked.keys = walked.keys.max(times(walked.keys, 1_000_000, behind));
        }
        Ok(walked)
    }

    fn count(&mut self, walked: &mut Walked, key: Vec<u8>, answers: &[Frame], there: Option<&Frame>) {
        let [kind, ttl, bytes] = answers else { return };
        if let Some(error) = bytes.error() {
            self.numbers.bytes_known = false;
            self.refuse("source", "MEMORY USAGE", &error);
        }
        if let Some(error) = there.and_then(Reply::error) {
            self.numbers.target_known = false;
            self.refuse("target", "EXISTS", &error);
        }
        let kind = match kind.error() {
            Some(error) => {
                self.refuse("source", "TYPE", &error);
                "unknown".into()
            }
            None => kind.text().unwrap_or_default(),
        };
        if kind == "none" {
            // Gone since SCAN has named it.
            walked.keys = walked.keys.saturating_sub(1);
            self.numbers.scanned = self.numbers.scanned.saturating_sub(1);
            return;
        }
        self.numbers.asked += 1;
        let bytes = bytes.number().unwrap_or(0);
        // Negative: it has none, or is gone; read as a number it is none.
        let with_ttl = u64::from(ttl.number().is_some());
        let on_target = u64::from(there.and_then(Reply::number) == Some(1));
        walked.types.entry(kind.clone().into_owned()).or_default().add(Counts { keys: 1, bytes, with_ttl, on_target });
        // SCAN may name a key twice.
        let known = self.biggest.iter().any(|big| big.db == walked.db && big.key == key);
        let at = self.biggest.partition_point(|big| big.bytes >= bytes);
        if at < BIGGEST && bytes > 0 && !known {
            self.biggest.insert(at, Big { db: walked.db, key, kind: kind.into_owned(), bytes });
            self.biggest.truncate(BIGGEST);
        }
    }

    fn refuse(&mut self, side: &str, command: &str, error: &str) {
        let words = format!("{side}: {command}: {error}");
        // One of each: errors may hold a key's name.
        if !self.numbers.refused.iter().any(|known| known.starts_with(&format!("{side}: {command}: "))) {
            self.numbers.refused.push(words);
        }
    }
}

/// Scales what was asked about up to what there is. A database of which no key was asked about is as the others are, on average.
fn estimate(walked: &[Walked]) -> (Counts, BTreeMap<String, Counts>, BTreeMap<u32, Counts>) {
    let sum = |counts: &mut dyn Iterator<Item = Counts>| {
        counts.fold(Counts::default(), |mut sum, counts| {
            sum.add(counts);
            sum
        })
    };
    let (mut known, mut types, mut dbs) = (Counts::default(), BTreeMap::<String, Counts>::new(), BTreeMap::new());
    for Walked { db, keys, types: seen } in walked {
        let asked = sum(&mut seen.values().copied()).keys;
        if asked == 0 {
            continue;
        }
        for (kind, counts) in seen {
            types.entry(kind.clone()).or_default().add(counts.scaled(*keys, asked));
        }
        let scaled = Counts { keys: *keys, ..sum(&mut seen.values().copied()).scaled(*keys, asked) };
        known.add(scaled);
        dbs.insert(*db, scaled);
    }
    let mut all = known;
    for Walked { db, keys, .. } in walked.iter().filter(|walked| walked.keys > 0) {
        dbs.entry(*db).or_insert_with(|| {
            let scaled = Counts { keys: *keys, ..known.scaled(*keys, known.keys) };
            all.add(scaled);
            scaled
        });
    }
    for counts in types.values_mut() {
        *counts = counts.scaled(all.keys, known.keys);
    }
    dbs.retain(|_, counts| counts.keys > 0);
    (all, types, dbs)
}

#[cfg(test)]
mod tests;
