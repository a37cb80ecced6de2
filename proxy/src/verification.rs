//! A verification as JSON: what is asked for, and what it has found. For the admin port and the CLI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_routing::{Difference, ServerKeys, Side, Tally, Verification, VerifyOptions, VerifyStage};
use serde::{Deserialize, Serialize};

/// What is to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Per cent of the keys, 1..=100, chosen by a hash of the key.
    pub(crate) sample: u8,
    /// Whether only the numbers of keys that the servers tell are compared.
    pub(crate) quick: bool,
    /// Whether keys that differ are repaired, and compared again.
    pub(crate) repair: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        let VerifyOptions { sample, quick, repair } = VerifyOptions::default();
        Self { sample, quick, repair }
    }
}

impl From<Wanted> for VerifyOptions {
    fn from(Wanted { sample, quick, repair }: Wanted) -> Self {
        Self { sample, quick, repair }
    }
}

/// How far a verification has come, or how it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What it does: counting, scanning the source or target, rechecking, repairing; or how it has ended: done, cancelled, failed.
    pub(crate) state: String,
    /// Why it has failed.
    pub(crate) reason: Option<String>,
    /// Why it waits now.
    pub(crate) waits_for: Option<String>,
    /// Whether both sides hold the same; null before it is done.
    pub(crate) equal: Option<bool>,
    /// The numbers below in one line.
    pub(crate) line: String,
    /// Equal keys.
    pub(crate) ok: u64,
    /// Keys of both sides with other values.
    pub(crate) value: u64,
    /// Keys that only the source has.
    pub(crate) only_source: u64,
    /// Keys that only the target has.
    pub(crate) only_target: u64,
    /// Equal keys that expire at another time.
    pub(crate) ttl: u64,
    /// Keys whose values cannot be compared.
    pub(crate) unknown: u64,
    /// Keys that expired meanwhile: no difference.
    pub(crate) expired: u64,
    /// Keys that were dirty to the end, so that they may differ.
    pub(crate) dirty: u64,
    /// Keys that differed and were repaired.
    pub(crate) repaired: u64,
    /// Keys of which something is known.
    pub(crate) keys: u64,
    /// About how many that will be, if the servers tell.
    pub(crate) keys_expected: Option<u64>,
    /// Keys that were dirty, and wait to be compared.
    pub(crate) waiting: u64,
    /// How long it has taken so far.
    pub(crate) elapsed_ms: u64,
    /// What was asked for.
    pub(crate) wanted: Wanted,
    /// What the source told of its keys at the beginning.
    pub(crate) source: Option<Counts>,
    /// What the target told.
    pub(crate) target: Option<Counts>,
}

/// What a server tells of its keys by INFO. Those that are expired and not yet removed count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// The databases that are not empty.
    pub(crate) databases: Vec<DbCounts>,
    /// Bytes of memory that the server uses.
    pub(crate) used_memory: u64,
}

/// The same of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DbCounts {
    /// Its number.
    pub(crate) db: u32,
    /// Keys.
    pub(crate) keys: u64,
    /// Those of them that expire.
    pub(crate) expires: u64,
}

impl From<&ServerKeys> for Counts {
    fn from(told: &ServerKeys) -> Self {
        let databases = told.databases.iter().map(|db| DbCounts { db: db.db, keys: db.keys, expires: db.expires }).collect();
        Self { databases, used_memory: told.used_memory }
    }
}

impl Report {
    /// What there is to say of `verification` now.
    pub(crate) fn new(verification: &Verification, now_ms: u64) -> Self {
        let tally = verification.tally();
        let (state, reason) = match verification.stage() {
            VerifyStage::Counting => ("counting", None),
            VerifyStage::Scanning(Side::Source) => ("scanning the source", None),
            VerifyStage::Scanning(Side::Target) => ("scanning the target", None),
            VerifyStage::Rechecking => ("rechecking", None),
            VerifyStage::Repairing => ("repairing", None),
            VerifyStage::Done => ("done", None),
            VerifyStage::Cancelled => ("cancelled", None),
            VerifyStage::Failed(reason) => ("failed", Some(reason.clone())),
        };
        let VerifyOptions { sample, quick, repair } = verification.options();
        let Tally { equal, value, only_source, only_target, ttl, unknown, expired, dirty, repaired } = tally;
        Self {
            state: state.to_owned(),
            reason,
            waits_for: verification.waits_for().map(str::to_owned),
            equal: verification.is_equal(),
            line: tally.to_string(),
            ok: equal,
            value,
            only_source,
            only_target,
            ttl,
            unknown,
            expired,
            dirty,
            repaired,
            keys: tally.keys(),
            keys_expected: verification.expected_keys(),
            waiting: verification.waiting(),
            elapsed_ms: verification.elapsed_ms(now_ms),
            wanted: Wanted { sample, quick, repair },
            source: verification.counted(Side::Source).map(Counts::from),
            target: verification.counted(Side::Target).map(Counts::from),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        ["done", "cancelled", "failed"].contains(&&*self.state)
    }
}

/// A key that differs: a line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DifferingKey {
    /// Its database.
    pub(crate) db: u32,
    /// The key, if it is text.
    pub(crate) key: Option<String>,
    /// The key, whatever it is.
    pub(crate) key_base64: String,
    /// How it differs.
    pub(crate) kind: String,
    /// The same in words, as far as there is more to say.
    pub(crate) detail: String,
}

impl From<Difference> for DifferingKey {
    fn from(Difference { db, key, kind, detail }: Difference) -> Self {
        let key_base64 = STANDARD.encode(&key);
        Self { db, key: String::from_utf8(key.into()).ok(), key_base64, kind: kind.name().to_owned(), detail }
    }
}
