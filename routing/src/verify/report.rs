//! What can be asked of a verification, and what it says.

use std::fmt;

use crate::side::Side;

/// What of the keys is to be compared, and what is to be done about those that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Per cent of the keys, 1..=100, chosen by their hashes: the same ones each time.
    pub sample: u8,
    /// Only the numbers of keys that the servers tell are compared.
    pub quick: bool,
    /// Keys that differ become dirty, so that they are copied, and are then compared again.
    pub repair: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { sample: 100, quick: false, repair: false }
    }
}

/// Why a verification cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefused {
    /// There is one side only.
    #[error("there is no target to compare with: start with --target")]
    NoTarget,
    /// One is under way.
    #[error("a verification is under way: wait for its end, or cancel it")]
    UnderWay,
}

/// How a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Both sides have it, with other values.
    Value,
    /// Only the source has it.
    OnlySource,
    /// Only the target has it.
    OnlyTarget,
    /// The values are equal, and it expires at another time.
    Ttl,
    /// The value is of a module's type, and the servers' payloads cannot be compared.
    Unknown,
}

impl Differs {
    pub(super) fn only(side: Side) -> Self {
        match side {
            Side::Source => Self::OnlySource,
            Side::Target => Self::OnlyTarget,
        }
    }

    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::OnlySource => "only_source",
            Self::OnlyTarget => "only_target",
            Self::Ttl => "ttl",
            Self::Unknown => "unknown",
        }
    }
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// How it differs.
    pub kind: Differs,
    /// The same in words, as far as there is more to say.
    pub detail: String,
}

/// How many keys were found to be how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Equal, with the same deadline.
    pub equal: u64,
    /// On both sides, with other values.
    pub value: u64,
    /// Only on the source.
    pub only_source: u64,
    /// Only on the target.
    pub only_target: u64,
    /// Equal, but for when they expire.
    pub ttl: u64,
    /// Not to be compared: [`Differs::Unknown`].
    pub unknown: u64,
    /// On one side only because their time was up, or nearly: no difference.
    pub expired: u64,
    /// Dirty to the end, so that they may differ.
    pub dirty: u64,
    /// Repaired: they differed, and no longer do.
    pub repaired: u64,
}

impl Tally {
    pub(super) fn of(&mut self, kind: Differs) -> &mut u64 {
        match kind {
            Differs::Value => &mut self.value,
            Differs::OnlySource => &mut self.only_source,
            Differs::OnlyTarget => &mut self.only_target,
            Differs::Ttl => &mut self.ttl,
            Differs::Unknown => &mut self.unknown,
        }
    }

    /// Keys that differ.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.value + self.only_source + self.only_target + self.ttl
    }

    /// Whether nothing differs, or may.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differing() + self.unknown + self.dirty == 0
    }

    /// Keys of which something is known.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.equal + self.differing() + self.unknown + self.expired + self.dirty
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equal, value, only_source, only_target, ttl, .. } = self;
        write!(f, "OK:{equal} V:{value} >:{only_source} <:{only_target} T:{ttl}")
    }
}

/// Keys of one database, as a server counts them: those whose time is up and that it has not removed yet, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbKeys {
    /// Its number.
    pub db: u32,
    /// Keys.
    pub keys: u64,
    /// Those of them that expire.
    pub expires: u64,
}

impl DbKeys {
    /// What the text of INFO keyspace says: a line for each database that is not empty.
    pub(crate) fn told(text: &[u8]) -> impl Iterator<Item = Self> {
        text.split(|byte| *byte == b'\n').filter_map(|line| {
            let (db, counts) = str::from_utf8(line).ok()?.trim().strip_prefix("db")?.split_once(':')?;
            let count = |name: &str| counts.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
            Some(Self { db: db.parse().ok()?, keys: count("keys").unwrap_or(0), expires: count("expires").unwrap_or(0) })
        })
    }
}

/// What a server tells of its data by INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerKeys {
    /// The databases that are not empty.
    pub databases: Vec<DbKeys>,
    /// All memory that it uses. Unit: bytes.
    pub used_memory: u64,
}

impl ServerKeys {
    /// Keys of all databases.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.databases.iter().map(|db| db.keys).sum()
    }

    /// What the text of INFO keyspace and INFO memory says; none if that is not there.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let used = |line: &[u8]| str::from_utf8(line).ok()?.strip_prefix("used_memory:")?.trim().parse().ok();
        let used_memory = text.split(|byte| *byte == b'\n').find_map(used)?;
        Some(Self { databases: DbKeys::told(text).collect(), used_memory })
    }
}

/// How far a verification has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyStage {
    /// The servers are asked how many keys they have.
    Counting,
    /// This side's keys are being scanned.
    Scanning(Side),
    /// Keys that were dirty are compared.
    Rechecking,
    /// Keys that differed are being repaired, and compared again.
    Repairing,
    /// It has come to its end.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It could not go on: why.
    Failed(String),
}

impl VerifyStage {
    /// Whether it is the last one.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_as_users_know_it() {
        let tally = Tally { equal: 5, value: 4, only_source: 3, only_target: 2, ttl: 1, expired: 7, ..Tally::default() };
        assert_eq!((tally.to_string().as_str(), tally.differing(), tally.keys()), ("OK:5 V:4 >:3 <:2 T:1", 10, 22));
        assert!(Tally { equal: 1, expired: 2, repaired: 3, ..Tally::default() }.is_equal());
        assert!(!Tally { dirty: 1, ..Tally::default() }.is_equal() && !Tally { unknown: 1, ..Tally::default() }.is_equal());
    }

    #[test]
    fn what_servers_tell_of_their_keys_is_read() {
        let text = b"$9\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb11:keys=2,expires=0,avg_ttl=0\r\n\r\n$9\r\n# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\n\r\n";
        let told = ServerKeys::parse(text).expect("numbers");
        let databases = vec![DbKeys { db: 0, keys: 3, expires: 1 }, DbKeys { db: 11, keys: 2, expires: 0 }];
        assert_eq!((told.keys(), &told), (5, &ServerKeys { databases, used_memory: 1000 }));
        assert_eq!(ServerKeys::parse(b"-NOPERM no\r\n-NOPERM no\r\n"), None);
    }
}
