//! A backfill as JSON: what is asked for, and how far it has come. For the admin port, the CLI, and the state directory.

use interlay_routing::{BackfillLimits, BackfillOptions, BackfillProgress, BackfillState, Conflict};
use serde::{Deserialize, Serialize};

/// Bytes of a pattern, so that what is kept on disk has a bound.
pub(crate) const PATTERN_BYTES_MAX: usize = 512;

/// Databases that can be named.
pub(crate) const DBS_MAX: usize = 256;

/// What a backfill is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Only keys that match this glob, as SCAN understands it.
    #[serde(rename = "match")]
    pub(crate) pattern: Option<String>,
    /// Only keys of this type, as TYPE names it.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Only these databases; all if there are none.
    pub(crate) dbs: Vec<u32>,
    /// What becomes of keys that the target has already.
    #[serde(with = "conflict_name")]
    pub(crate) conflict: Conflict,
    /// How fast.
    #[serde(flatten)]
    pub(crate) limits: Limits,
}

/// How fast a backfill may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    /// Keys in a second; 0 for no limit.
    pub(crate) keys_per_s: u64,
    /// Bytes of values in a second; 0 for no limit.
    pub(crate) bytes_per_s: u64,
    /// Whether to copy as much at once as there is room for, however long the source takes to answer.
    pub(crate) no_auto_limit: bool,
}

impl From<Limits> for BackfillLimits {
    fn from(Limits { keys_per_s, bytes_per_s, no_auto_limit }: Limits) -> Self {
        Self { keys_per_s, bytes_per_s, greedy: no_auto_limit }
    }
}

impl From<BackfillLimits> for Limits {
    fn from(BackfillLimits { keys_per_s, bytes_per_s, greedy }: BackfillLimits) -> Self {
        Self { keys_per_s, bytes_per_s, no_auto_limit: greedy }
    }
}

impl From<Wanted> for BackfillOptions {
    fn from(Wanted { pattern, kind, dbs, conflict, limits }: Wanted) -> Self {
        let pattern = pattern.map(|pattern| pattern.into_bytes().into());
        Self { pattern, kind: kind.map(Into::into), dbs, conflict, limits: limits.into() }
    }
}

impl From<BackfillOptions> for Wanted {
    fn from(BackfillOptions { pattern, kind, dbs, conflict, limits }: BackfillOptions) -> Self {
        let pattern = pattern.map(|pattern| String::from_utf8_lossy(&pattern).into_owned());
        Self { pattern, kind: kind.map(Into::into), dbs, conflict, limits: limits.into() }
    }
}

/// How far a backfill has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// `none`, `running`, `paused`, `ended`, `cancelled` or `failed`.
    #[serde(with = "state_name")]
    pub(crate) state: BackfillState,
    /// What it is to do.
    pub(crate) options: Wanted,
    /// About how many keys there are to look at.
    pub(crate) keys_expected: u64,
    /// About how many of these it has looked at.
    pub(crate) keys_seen: u64,
    /// Keys that it has found to copy.
    pub(crate) keys_named: u64,
    /// Keys that are named and wait to be copied.
    pub(crate) keys_waiting: u64,
    /// Keys copied since it began, the same one perhaps more than once.
    pub(crate) keys_copied: u64,
    /// Bytes of the requests that have copied them.
    pub(crate) bytes_copied: u64,
    /// Keys that the target had already, and that are kept.
    pub(crate) keys_kept: u64,
    /// Keys of which the source's elements were put on top of the target's.
    pub(crate) keys_merged: u64,
    /// Keys removed because only the target had them.
    pub(crate) keys_removed: u64,
    /// Keys that keep failing to be copied.
    pub(crate) errors: u64,
    /// Whether every key is named.
    pub(crate) swept: bool,
    /// Whether it looks for keys that only the target has by now.
    pub(crate) looks_for_strangers: bool,
    /// How often it went on in another process.
    pub(crate) resumed: u64,
    /// When it began, in ms since 1970.
    pub(crate) started_ms: u64,
    /// When it ended; absent while it is under way.
    pub(crate) ended_ms: Option<u64>,
    /// Why it could not go on.
    pub(crate) reason: Option<String>,
    /// Why no key can be copied now, whatever the key.
    pub(crate) waits_for: Option<String>,
    /// What time it is for the interlay, in ms since 1970.
    pub(crate) now_ms: u64,
}

impl Progress {
    /// Keys that a backfill of every key, at its end, has kept as the target has them, wholly or in part; none if it was to keep
    /// none.
    pub(crate) fn kept(&self) -> Option<u64> {
        let keeps = self.options.conflict != Conflict::Replace && !BackfillOptions::from(self.options.clone()).is_filtered();
        (keeps && self.state == BackfillState::Ended).then_some(self.keys_kept + self.keys_merged)
    }

    /// Per cent of the keys that it is done with.
    pub(crate) fn percent(&self) -> u64 {
        let done = self.keys_seen.saturating_sub(self.keys_waiting);
        match self.state {
            BackfillState::Ended => 100,
            _ => (done * 100).checked_div(self.keys_expected.max(self.keys_seen)).unwrap_or(0).min(99),
        }
    }
}

impl From<BackfillProgress> for Progress {
    fn from(from: BackfillProgress) -> Self {
        Self {
            state: from.state,
            options: from.options.into(),
            keys_expected: from.keys_expected,
            keys_seen: from.keys_seen,
            keys_named: from.keys_named,
            keys_waiting: 0,
            keys_copied: from.keys_copied,
            bytes_copied: from.bytes_copied,
            keys_kept: from.keys_kept,
            keys_merged: from.keys_merged,
            keys_removed: from.keys_removed,
            errors: from.errors,
            swept: from.swept,
            looks_for_strangers: from.looks_for_strangers,
            resumed: from.resumed,
            started_ms: from.started_ms,
            ended_ms: from.ended_ms,
            reason: from.reason,
            waits_for: None,
            now_ms: 0,
        }
    }
}

impl From<Progress> for BackfillProgress {
    fn from(from: Progress) -> Self {
        Self {
            state: from.state,
            options: from.options.into(),
            keys_expected: from.keys_expected,
            keys_seen: from.keys_seen,
            keys_named: from.keys_named,
            keys_copied: from.keys_copied,
            bytes_copied: from.bytes_copied,
            keys_kept: from.keys_kept,
            keys_merged: from.keys_merged,
            keys_removed: from.keys_removed,
            errors: from.errors,
            swept: from.swept,
            looks_for_strangers: from.looks_for_strangers,
            resumed: from.resumed,
            started_ms: from.started_ms,
            ended_ms: from.ended_ms,
            reason: from.reason,
        }
    }
}

/// A conflict policy as its name.
pub(crate) mod conflict_name {
    use interlay_routing::Conflict;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(conflict: &Conflict, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(conflict.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Conflict, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// A state as its name.
pub(crate) mod state_name {
    use interlay_routing::BackfillState;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(state: &BackfillState, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BackfillState, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = BackfillState::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(state, _)| state).ok_or_else(|| Error::custom(format!("{name:?} is no state of a backfill")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_as_the_same() {
        let options = BackfillOptions {
            pattern: Some(b"user:*"[..].into()),
            kind: Some("hash".into()),
            dbs: vec![0, 3],
            conflict: Conflict::Merge,
            limits: BackfillLimits { keys_per_s: 10, bytes_per_s: 20, greedy: true },
        };
        let progress = BackfillProgress {
            state: BackfillState::Paused,
            options,
            keys_copied: 7,
            ended_ms: Some(9),
            reason: Some("why".to_owned()),
            ..BackfillProgress::default()
        };
        let json = serde_json::to_string(&Progress::from(progress.clone())).unwrap();
        let back: Progress = serde_json::from_str(&json).unwrap();
        assert_eq!(BackfillProgress::from(back), progress);
    }

    #[test]
    fn everything_that_is_not_said_has_its_default() {
        assert_eq!(serde_json::from_str::<Wanted>("{}").unwrap(), Wanted::default());
        let wanted: Wanted = serde_json::from_str(r#"{"match": "a*", "conflict": "none", "keys_per_s": 5}"#).unwrap();
        assert_eq!((wanted.pattern.as_deref(), wanted.conflict, wanted.limits.keys_per_s), (Some("a*"), Conflict::None, 5));
    }

    #[test]
    fn it_is_done_when_it_has_ended_and_not_before() {
        let at = |keys_seen, keys_waiting, state| Progress { keys_expected: 200, keys_seen, keys_waiting, state, ..Progress::default() };
        assert_eq!(at(100, 20, BackfillState::Running).percent(), 40);
        assert_eq!(at(210, 0, BackfillState::Running).percent(), 99);
        assert_eq!(at(0, 0, BackfillState::Ended).percent(), 100);
        assert_eq!(Progress::default().percent(), 0);
    }
}
