//! The checks: one row each, and a pure function that says what of two servers is worth knowing.

use std::collections::BTreeSet;

use interlay_routing::Side;

use super::facts::{Denial, Facts, World};
use super::needs::Weight;
use super::report::{Finding, Severity};

mod data;
mod load;
mod servers;

use Severity::{Blocking, Note, Warning};

/// A row of the table.
pub(super) struct Check {
    /// The name of its findings. Operators acknowledge by it, so it stays.
    pub(super) name: &'static str,
    /// What it looks at, for people.
    pub(super) looks_at: &'static str,
    /// What it finds.
    find: fn(&World) -> Vec<Found>,
}

/// A finding without the name of its check.
struct Found {
    severity: Severity,
    subject: String,
    meaning: String,
    advice: String,
}

fn found(severity: Severity, subject: impl ToString, meaning: impl Into<String>, advice: impl Into<String>) -> Found {
    Found { severity, subject: subject.to_string(), meaning: meaning.into(), advice: advice.into() }
}

impl Check {
    /// What there is to say.
    pub(super) fn findings(&self, world: &World) -> Vec<Finding> {
        let named = |found: Found| Finding {
            name: self.name.to_owned(),
            severity: found.severity,
            subject: found.subject,
            meaning: found.meaning,
            advice: found.advice,
            acknowledged: None,
        };
        (self.find)(world).into_iter().map(named).collect()
    }
}

const fn row(name: &'static str, looks_at: &'static str, find: fn(&World) -> Vec<Found>) -> Check {
    Check { name, looks_at, find }
}

/// Every check.
pub(super) const CHECKS: &[Check] = &[
    row("same-server", "whether both URLs lead to one server", servers::same_server),
    row("server-version", "kinds and versions of both servers", servers::versions),
    row("cluster-mode", "whether either server is part of a cluster, or a sentinel", servers::cluster),
    row("replica", "whether either server is a replica", servers::replica),
    row("missing-commands", "commands that Interlay needs and a server does not have", servers::missing_commands),
    row("missing-rights", "commands and keys that the URLs' users have no right to", servers::missing_rights),
    row("payload-format", "a canary of each type, by DUMP and RESTORE", data::payloads),
    row("modules", "modules of the source", data::modules),
    row("databases", "databases in use against those of the target", data::databases),
    row("target-not-empty", "keys and functions that are on the target already", data::target_not_empty),
    row("memory", "the target's maxmemory against the size of the data", data::memory),
    row("eviction", "what either server evicts", data::eviction),
    row("big-keys", "the sizes of a sample of keys", data::big_keys),
    row("unknown-commands", "commands in use that the target does not have", load::unknown_commands),
    row("scripts", "scripts in use", load::scripts),
    row("functions", "libraries of functions", load::functions),
    row("clocks", "the clocks of both servers", load::clocks),
    row("keyspace-events", "notifications of keyspace events", load::keyspace_events),
    row("watch", "whether writes around Interlay can be noticed", load::watch),
    row("durability", "append-only file, snapshots and replicas", load::durability),
    row("replicas-to-write", "replicas without which the target takes no writes", load::replicas_to_write),
    row("clients", "the target's maxclients against the clients", load::clients),
    row("not-checked", "what the servers refuse to tell", load::not_checked),
];

/// What is said of each side.
fn each(world: &World, find: impl Fn(Side, &Facts) -> Option<Found>) -> Vec<Found> {
    Side::BOTH.into_iter().filter_map(|side| find(side, &world.of[side])).collect()
}

/// Names one behind the other; of many, the first.
fn listed<S: ToString>(names: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.split_at_checked(SHOWN) {
        Some((shown, more)) if !more.is_empty() => format!("{} and {} more", shown.join(", "), more.len()),
        _ => names.join(", "),
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit))
}

/// A key for people.
fn shown(key: &[u8]) -> String {
    const SHOWN: usize = 64;
    key.get(..SHOWN).map_or_else(|| key.escape_ascii().to_string(), |start| format!("{}...", start.escape_ascii()))
}
