//! The proof: what both servers say of all they hold, and the table that is shown for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::DemoError;
use super::stage::Server;
use super::writers::{Counts, Tally};
use crate::status::Status;

/// How many keys there are, by database.
pub(super) type Keys = BTreeMap<u32, KeyCount>;

/// Keys of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyCount {
    /// All of them.
    pub(super) keys: u64,
    /// Those that will expire.
    pub(super) expires: u64,
}

/// Reads the answer to `INFO keyspace`: a line `db0:keys=3,expires=1,...` for each database that is not empty.
pub(super) fn keys(info: &str) -> Keys {
    let db = |line: &str| {
        let (db, counts) = line.strip_prefix("db")?.split_once(':')?;
        let count = |name| counts.split(',').find_map(|count| count.strip_prefix(name)?.parse().ok());
        Some((db.parse().ok()?, KeyCount { keys: count("keys=")?, expires: count("expires=")? }))
    };
    info.lines().filter_map(db).collect()
}

/// All that a server holds, in short.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// A hash of every key, value and database, by the server itself.
    pub(super) digest: String,
    pub(super) keys: Keys,
}

impl Proof {
    pub(super) async fn of(server: &Server) -> Result<Self, DemoError> {
        Ok(Self { digest: server.ask("DEBUG DIGEST").await?, keys: server.keys().await? })
    }
}

/// What the demo did, and what came of it.
pub(super) struct Report {
    pub(super) tally: Tally,
    /// Most effects that were seen waiting for the target.
    pub(super) lag_max: u64,
    pub(super) status: Status,
    pub(super) source: Proof,
    pub(super) target: Proof,
}

impl Report {
    /// Whether both servers are equal, no request went wrong and no key is dirty.
    pub(super) fn proved(&self) -> bool {
        self.source == self.target && self.tally.total().errors == 0 && self.status.dirty_keys == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, lag_max, status, source, target } = self;
        writeln!(f, "{:<20}{:>12}{:>12}", "what clients did", "requests", "errors")?;
        let counted =
            |f: &mut fmt::Formatter<'_>, name: &str, Counts { requests, errors }| writeln!(f, "{name:<20}{requests:>12}{errors:>12}");
        for (family, counts) in &tally.families {
            counted(f, family, *counts)?;
        }
        counted(f, "all", tally.total())?;
        for complaint in &tally.complaints {
            writeln!(f, "  {complaint}")?;
        }

        writeln!(f, "\nwhat the interlay did")?;
        let counter = |name| status.counters.get(name).copied().unwrap_or_default();
        for (name, value) in [
            ("effects mirrored", counter("effects")),
            ("effects agreed", counter("effects_agreed")),
            ("mismatches", status.mismatches),
            ("dirty keys", status.dirty_keys),
            ("highest lag seen", *lag_max),
            ("reads by the target", counter("target_reads")),
        ] {
            writeln!(f, "{name:<20}{value:>12}")?;
        }

        writeln!(f, "\n{:<20}{:>12}{:>12}", "what came of it", "source", "target")?;
        for db in source.keys.keys().chain(target.keys.keys()).collect::<BTreeSet<_>>() {
            let count = |proof: &Proof| proof.keys.get(db).map_or(0, |count| count.keys);
            writeln!(f, "{:<20}{:>12}{:>12}", format!("keys of database {db}"), count(source), count(target))?;
        }
        writeln!(f, "digest of source    {}", source.digest)?;
        writeln!(f, "digest of target    {}", target.digest)?;
        write!(f, "equal               {}", if source == target { "yes" } else { "NO" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::mirroring;

    fn proof(digest: &str) -> Proof {
        Proof { digest: digest.into(), keys: keys("# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=9\r\ndb12:keys=4,expires=0,avg_ttl=0\r\n") }
    }

    fn report(target: &str, errors: u64, dirty_keys: u64) -> Report {
        let families = BTreeMap::from([("sets", Counts { requests: 9, errors })]);
        Report {
            tally: Tally { families, complaints: Vec::new() },
            lag_max: 0,
            status: Status { dirty_keys, ..mirroring() },
            source: proof("a"),
            target: proof(target),
        }
    }

    #[test]
    fn keys_are_counted_by_database() {
        let keys = proof("a").keys;
        assert_eq!(keys, BTreeMap::from([(0, KeyCount { keys: 3, expires: 1 }), (12, KeyCount { keys: 4, expires: 0 })]));
    }

    #[test]
    fn one_difference_error_or_dirty_key_is_enough_to_prove_nothing() {
        assert!(report("a", 0, 0).proved());
        assert!(!report("b", 0, 0).proved());
        assert!(!report("a", 1, 0).proved());
        assert!(!report("a", 0, 1).proved());
        let mut fewer = report("a", 0, 0);
        fewer.target.keys.remove(&12);
        assert!(!fewer.proved());
    }

    #[test]
    fn table_says_whether_both_are_equal() {
        assert!(report("a", 0, 0).to_string().ends_with("equal               yes"));
        let table = report("b", 0, 0).to_string();
        assert!(table.ends_with("equal               NO") && table.contains("keys of database 12"), "{table}");
    }
}
