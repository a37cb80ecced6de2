//! How an interlay is doing: what the data plane reports, the admin port serves as JSON and the CLI reads back.
//!
//! The JSON names are part of what users build upon: they are added to, never changed.

use std::collections::BTreeMap;
use std::fmt;

use interlay_routing::{Counters, OnLag, Phase, Policy, Side};
use serde::{Deserialize, Serialize};

/// A clock that is off by less needs no word.
const CLOCK_OFFSET_SHOWN_MS: i64 = 100;

/// One look at an interlay, taken by the data plane at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// How far the move has come.
    #[serde(with = "phase_name")]
    pub(crate) phase: Phase,
    /// The side in charge.
    #[serde(with = "SideName")]
    pub(crate) authority: Side,
    /// The policy of the next write.
    #[serde(with = "policy_name")]
    pub(crate) policy: Policy,
    /// Share of the reads that goes to the target, 0..=100 per cent.
    pub(crate) target_read_percent: u8,
    /// Share of the reads that both sides answer, to be compared, 0..=100 per cent.
    pub(crate) shadow_percent: u8,
    /// Such reads that the secondary answered otherwise than the authority did, since the start, by their command.
    pub(crate) shadow_mismatches_by_command: BTreeMap<String, u64>,
    /// Clients connected now.
    pub(crate) clients: u64,
    /// Effects not yet answered by the secondary.
    pub(crate) lag_effects: u64,
    /// Bytes of effects not yet answered by the secondary.
    pub(crate) lag_bytes: u64,
    /// How old the oldest of these effects is, within some 10 ms.
    pub(crate) lag_ms: u64,
    /// What happens while the secondary is too slow for the writes.
    #[serde(with = "on_lag_name")]
    pub(crate) on_lag: OnLag,
    /// That the secondary is slower than the writes, in words for a person; absent while it keeps up.
    pub(crate) behind: Option<String>,
    /// Keys that may differ: those known by name, those whose copy is not confirmed, and at least one for each of
    /// `dirty_buckets`.
    pub(crate) dirty_keys: u64,
    /// Hash buckets of keys that may differ and are no longer known by name.
    pub(crate) dirty_buckets: u64,
    /// Any key may differ, because a server has come back as another process, or the operator has asked to copy all: until
    /// every key was scanned and copied.
    pub(crate) suspect: bool,
    /// Effects that the secondary answered otherwise than the authority did, since the start.
    pub(crate) mismatches: u64,
    /// The same by the effect's command.
    pub(crate) mismatches_by_command: BTreeMap<String, u64>,
    /// Keys copied to end their being dirty, since the start.
    pub(crate) repairs: u64,
    /// Keys whose repair keeps failing.
    pub(crate) error_keys: u64,
    /// Keys that are being copied.
    pub(crate) copies_under_way: u64,
    /// Both sides are being scanned for keys to copy, or are to be.
    pub(crate) sweeping: bool,
    /// Why no key could be copied of late, whatever the key.
    pub(crate) repair_paused_for: Option<String>,
    /// Whether writes around Interlay are noticed: `off`, `on`, or what is the matter, in words for a person.
    pub(crate) watch: String,
    /// How long the last change of authority held requests back, in ms; none has happened yet if absent.
    pub(crate) last_pause_ms: Option<u64>,
    /// Time since the start, in ms.
    pub(crate) uptime_ms: u64,
    /// Interlay's version.
    pub(crate) version: String,
    /// The lane to the source.
    pub(crate) source: SideStatus,
    /// The lane to the target, if there is one.
    pub(crate) target: Option<SideStatus>,
    /// Every one of [`Counters::rows`] by name.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// How one side's lane is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SideStatus {
    /// `host:port`.
    pub(crate) address: String,
    /// Whether the lane takes requests now.
    pub(crate) connected: bool,
    /// The server's version, once it has been connected to.
    pub(crate) version: Option<String>,
    /// The server's `run_id`, once it has been connected to.
    pub(crate) run_id: Option<String>,
    /// Why the lane could last not be connected, or was lost.
    pub(crate) last_error: Option<String>,
    /// How far the server's clock is ahead of ours, in ms.
    pub(crate) clock_offset_ms: i64,
    /// How long the lane's answers take; absent while no read is split.
    pub(crate) reply_ms: Option<ReplyMs>,
}

/// How long a lane has taken of late to answer a PING of Interlay's own, whatever was ahead of it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyMs {
    /// Half of the answers came within this.
    pub(crate) median: u64,
    /// The slowest of some fifty, or the one that is waited for now.
    pub(crate) worst: u64,
}

impl Status {
    /// The status of one side's lane; none for a target that is not configured.
    pub(crate) fn side(&self, side: Side) -> Option<&SideStatus> {
        match side {
            Side::Source => Some(&self.source),
            Side::Target => self.target.as_ref(),
        }
    }

    /// What [`Status::counters`] holds.
    pub(crate) fn counted(counters: &Counters) -> BTreeMap<String, u64> {
        counters.rows().map(|(name, _, value)| (name.to_owned(), value)).collect()
    }
}

impl fmt::Display for Status {
    /// A table for a person: one line a fact, and no line for a counter that has not moved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{:<22}{value}", name.replace('_', " "));
        row("phase", &self.phase)?;
        row("authority", &self.authority)?;
        row("policy", &self.policy)?;
        row("target reads", &format_args!("{} %", self.target_read_percent))?;
        if self.shadow_percent > 0 {
            row("compared reads", &format_args!("{} %", self.shadow_percent))?;
        }
        row("clients", &self.clients)?;
        row("lag", &format_args!("{} effects, {} bytes, {} ms", self.lag_effects, self.lag_bytes, self.lag_ms))?;
        row("on lag", &self.on_lag.name())?;
        if let Some(behind) = &self.behind {
            row("behind", behind)?;
        }
        row("dirty keys", &self.dirty_keys)?;
        row("dirty buckets", &self.dirty_buckets)?;
        row("suspect", &if self.suspect { "yes: any key may differ until all are copied" } else { "no" })?;
        row("mismatches", &self.mismatches)?;
        row("repairs", &self.repairs)?;
        row("error keys", &self.error_keys)?;
        row("copies under way", &format_args!("{}{}", self.copies_under_way, if self.sweeping { ", both sides are scanned" } else { "" }))?;
        if let Some(reason) = &self.repair_paused_for {
            row("repair paused", reason)?;
        }
        row("watch", &self.watch)?;
        match self.last_pause_ms {
            Some(pause_ms) => row("last pause", &format_args!("{pause_ms} ms"))?,
            None => row("last pause", &"none yet")?,
        }
        row("source", &self.source)?;
        match &self.target {
            Some(target) => row("target", target)?,
            None => row("target", &"none")?,
        }
        row("uptime", &format_args!("{} s", self.uptime_ms / 1000))?;
        row("version", &self.version)?;
        // Those that have a line already.
        let has_line = |name: &str| matches!(name, "mismatches" | "repairs");
        for (name, value) in self.counters.iter().filter(|(name, value)| **value > 0 && !has_line(name)) {
            row(name, value)?;
        }
        Ok(())
    }
}

impl fmt::Display for SideStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, if self.connected { "connected" } else { "not connected" })?;
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        match &self.last_error {
            Some(error) if !self.connected => write!(f, ", {error}"),
            _ if self.clock_offset_ms.abs() >= CLOCK_OFFSET_SHOWN_MS => write!(f, ", clock {:+} ms", self.clock_offset_ms),
            _ => Ok(()),
        }
    }
}

/// [`Side`] in JSON; `routing` itself knows no serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Side", rename_all = "lowercase")]
pub(crate) enum SideName {
    Source,
    Target,
}

/// A module for `serde(with)` that reads and writes a choice of `routing`'s by its name.
macro_rules! by_name {
    ($module:ident, $choice:ident) => {
        #[doc = concat!("[`", stringify!($choice), "`] in JSON: its name.")]
        pub(crate) mod $module {
            use interlay_routing::$choice;
            use serde::de::{Deserialize, Deserializer, Error};
            use serde::ser::Serializer;

            /// Writes the name.
            pub(crate) fn serialize<S: Serializer>(choice: &$choice, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(choice.name())
            }

            /// Reads a name.
            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$choice, D::Error> {
                let name = String::deserialize(deserializer)?;
                let names = || $choice::ALL.map(|(_, name)| name).join(", ");
                let found = $choice::ALL.iter().find(|(_, known)| *known == name);
                found.map(|(choice, _)| *choice).ok_or_else(|| D::Error::custom(format!("{name:?} is none of {}", names())))
            }
        }
    };
}

by_name!(phase_name, Phase);
by_name!(policy_name, Policy);
by_name!(on_lag_name, OnLag);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An interlay with a source that is connected and a target that is not.
    pub(crate) fn mirroring() -> Status {
        let refused = Some("connection refused".to_owned());
        Status {
            phase: Phase::Mirroring,
            authority: Side::Source,
            policy: Policy::SourceAuthoritative,
            target_read_percent: 25,
            shadow_percent: 0,
            shadow_mismatches_by_command: BTreeMap::new(),
            clients: 3,
            lag_effects: 2,
            lag_bytes: 70,
            lag_ms: 40,
            on_lag: OnLag::Fold,
            behind: None,
            dirty_keys: 5,
            dirty_buckets: 0,
            suspect: false,
            mismatches: 1,
            mismatches_by_command: [("sadd".to_owned(), 1)].into(),
            repairs: 0,
            error_keys: 0,
            copies_under_way: 2,
            sweeping: false,
            repair_paused_for: None,
            watch: "off".to_owned(),
            last_pause_ms: None,
            uptime_ms: 61_000,
            version: "0.1.0".into(),
            source: SideStatus {
                address: "10.0.0.1:6379".into(),
                connected: true,
                version: Some("7.0.15".into()),
                ..SideStatus::default()
            },
            target: Some(SideStatus { address: "10.0.0.2:6379".into(), last_error: refused, ..SideStatus::default() }),
            counters: Status::counted(&Counters { writes: 9, ..Counters::default() }),
        }
    }

    #[test]
    fn json_names_are_those_that_users_build_upon() {
        let json = serde_json::to_value(mirroring()).unwrap();
        for (name, value) in [
            ("phase", "\"mirroring\""),
            ("authority", "\"source\""),
            ("policy", "\"source-authoritative\""),
            ("target_read_percent", "25"),
            ("clients", "3"),
            ("lag_effects", "2"),
            ("lag_ms", "40"),
            ("on_lag", "\"fold\""),
            ("behind", "null"),
            ("dirty_keys", "5"),
            ("mismatches", "1"),
            ("repairs", "0"),
            ("error_keys", "0"),
            ("copies_under_way", "2"),
            ("sweeping", "false"),
            ("repair_paused_for", "null"),
            ("watch", "\"off\""),
            ("last_pause_ms", "null"),
        ] {
            assert_eq!(json[name].to_string(), value, "{name}");
        }
        assert_eq!(json["counters"]["writes"], 9);
        assert_eq!(json["target"]["last_error"], "connection refused");
    }

    #[test]
    fn json_reads_back_as_the_same_status() {
        let json = serde_json::to_string(&mirroring()).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), mirroring());
    }

    #[test]
    fn table_has_one_aligned_line_for_each_fact() {
        let table = mirroring().to_string();
        for line in [
            "phase                 mirroring",
            "target reads          25 %",
            "lag                   2 effects, 70 bytes, 40 ms",
            "last pause            none yet",
            "source                10.0.0.1:6379 connected, version 7.0.15",
            "target                10.0.0.2:6379 not connected, connection refused",
            "uptime                61 s",
            "writes                9",
        ] {
            assert!(table.lines().any(|row| row == line), "{line:?} in\n{table}");
        }
        assert!(!table.contains("lane losses"), "a counter that has not moved is left out");
    }
}
