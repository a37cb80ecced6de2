//! Checks of the data: whether and how it fits.

use super::*;
use crate::check::canary::{Canary, Fate};

/// A key above this takes long to move. Unit: bytes.
const BIG: u64 = 64 << 20;

/// Of the target's memory so much is to be spare. Unit: per cent.
const SPARE: u64 = 20;

pub(super) fn payloads(world: &World) -> Vec<Found> {
    let those = |fate: fn(&Fate) -> bool| {
        let names: Vec<_> = world.canaries.iter().filter(|canary| fate(&canary.fate)).map(|canary| canary.what.as_str()).collect();
        (names.len(), listed(names))
    };
    let version = world.canaries.iter().find_map(|canary| canary.payload_version);
    let version = version.map_or_else(String::new, |version| format!(" (version {version})"));
    let mut all = Vec::new();
    let (foreign, names) = those(|fate| matches!(fate, Fate::Refused(reply) if is_about_format(reply)));
    if foreign > 0 {
        let what = format!(
            "the target refuses the source's DUMP payloads{version}: {names}; Interlay copies such keys by what is in them, which is \
             slower, and cannot copy values of modules and times to live of hash fields"
        );
        all.push(found(Warning, "target", what, "nothing, if neither is in use; else a target of the source's kind and version or newer"));
    }
    let (differ, names) = those(|fate| *fate == Fate::Differs);
    if differ > 0 {
        let what = format!("the target takes these and holds something else then: {names}");
        all.push(found(Blocking, "target", what, "use another target: this one does not understand the source's values"));
    }
    let refusal = |canary: &Canary| match &canary.fate {
        Fate::Refused(reply) if !is_about_format(reply) => Some(format!("{} ({reply})", canary.what)),
        _ => None,
    };
    let refused: Vec<_> = world.canaries.iter().filter_map(refusal).collect();
    if !refused.is_empty() {
        let what = format!("the target refused to restore {}, so it is not known whether payloads fit", listed(refused));
        all.push(found(Warning, "target", what, "see to what it says, and check again"));
    }
    let (same, _) = those(|fate| *fate == Fate::Same);
    if let Some(why) = &world.source_refused_canaries {
        let what = format!("the source took no canaries ({why}); {same} of its own keys were dumped and restored on the target instead");
        all.push(found(
            if same == 0 { Warning } else { Note },
            "source",
            what,
            "check with a user that may write scratch keys, for certainty",
        ));
    } else if all.is_empty() && same == 0 && !world.canaries.is_empty() {
        let what = "what was restored on the target could not be read there, so it is not known whether payloads fit";
        all.push(found(Warning, "target", what, "check with a user that may read and write scratch keys"));
    } else if all.is_empty() {
        let what = format!("DUMP and RESTORE{version} take over every type that was tried ({same})");
        all.push(found(Note, "both", what, "nothing"));
    }
    all
}

/// Whether RESTORE refuses the payload as such, and not the user, or for want of memory.
fn is_about_format(reply: &str) -> bool {
    reply.contains("DUMP payload version") || reply.contains("Bad data format")
}

pub(super) fn modules(world: &World) -> Vec<Found> {
    let typed: BTreeSet<&str> = world.sample.iter().filter(|key| key.is_of_a_module()).map(|key| key.kind.as_str()).collect();
    let mut all = Vec::new();
    for module in &world.of.source.modules {
        let name = &module.name;
        match world.of.target.modules.iter().find(|other| other.name == *name) {
            Some(other) if other.version < module.version => {
                let what = format!(
                    "module {name} has version {} on the source and {} on the target: its values may not load",
                    module.version, other.version
                );
                all.push(found(Warning, name, what, "give the target the source's version of the module or newer"));
            }
            Some(_) => {}
            None => {
                // Where a server does not tell which module a command is of, a dot in its name is as much as can be known.
                let is_its = |command: &str| {
                    if module.commands.is_empty() { command.contains('.') } else { module.commands.iter().any(|its| its == command) }
                };
                let used: Vec<_> = world.used.iter().filter(|used| is_its(&used.name)).map(|used| used.name.as_str()).collect();
                let mut why = Vec::new();
                if !used.is_empty() {
                    why.push(format!("its commands are in use ({})", listed(used)));
                }
                if !typed.is_empty() {
                    why.push(format!("there are keys of modules' types ({})", listed(&typed)));
                }
                let severity = if why.is_empty() { Warning } else { Blocking };
                let why = if why.is_empty() { "nothing shows that it is in use".to_owned() } else { why.join(", and ") };
                let what = format!("the target does not have the source's module {name}: {why}; its values cannot be copied");
                all.push(found(severity, name, what, "load the module on the target"));
            }
        }
    }
    all
}

pub(super) fn databases(world: &World) -> Vec<Found> {
    let missing = &world.missing_databases;
    let what = format!("the source has keys in databases that the target does not have: {}", listed(missing));
    let needed = missing.iter().max().map_or(0, |db| db + 1);
    let advice = format!("set databases to {needed} or more in the target's configuration (it takes a restart)");
    (!missing.is_empty()).then(|| found(Blocking, "target", what, advice)).into_iter().collect()
}

pub(super) fn target_not_empty(world: &World) -> Vec<Found> {
    let target = &world.of.target;
    let keys = target.keyspace().filter(|(_, keys)| *keys > 0).map(|(db, keys)| {
        let subject = format!("target: database {db}");
        let has = format!("the target has {keys} keys in database {db} already");
        match world.strangers.iter().find(|(of, _)| *of == db) {
            Some((_, 0)) => {
                let what = format!("{has}, and the source has all of a sample of them too: they are replaced");
                found(Warning, subject, what, "nothing, if they are an earlier copy, or were mirrored")
            }
            _ => {
                let what = format!("{has}: what the source has too is replaced, and what it does not have is removed");
                found(Blocking, subject, what, "empty it, or acknowledge this if these keys may go")
            }
        }
    });
    let libraries = (target.libraries > 0).then(|| {
        let what = format!("the target has {} libraries of functions already: they are replaced by the source's", target.libraries);
        found(Warning, "target: functions", what, "keep them elsewhere if they are needed")
    });
    keys.chain(libraries).collect()
}

pub(super) fn memory(world: &World) -> Vec<Found> {
    let (source, target) = (&world.of.source.info, &world.of.target.info);
    let max = target.number("maxmemory").unwrap_or(0);
    let Some(used) = source.number("used_memory").filter(|_| max > 0) else { return Vec::new() };
    // What belongs to connections, and not to the data and its tables.
    let others = ["mem_clients_normal", "mem_clients_slaves", "mem_replication_backlog", "mem_aof_buffer"];
    let data = used.saturating_sub(others.iter().filter_map(|name| source.number(name)).sum());
    let sizes = format!("the source's data takes {}, and the target's maxmemory is {}", size(data), size(max));
    if data > max {
        let what = match policy(&world.of.target) {
            "noeviction" => format!("{sizes}: it cannot hold all, and will refuse writes"),
            policy => format!("{sizes}: it cannot hold all, and will evict keys ({policy})"),
        };
        vec![found(Blocking, "target", what, "raise the target's maxmemory")]
    } else if data > max / 100 * (100 - SPARE) {
        let what = format!("{sizes}: less than {SPARE} % is spare");
        vec![found(Warning, "target", what, "raise the target's maxmemory")]
    } else {
        Vec::new()
    }
}

fn policy(facts: &Facts) -> &str {
    facts.info.text("maxmemory_policy").or_else(|| facts.config.text("maxmemory-policy")).unwrap_or("noeviction")
}

pub(super) fn eviction(world: &World) -> Vec<Found> {
    each(world, |side, facts| {
        let bounded = facts.info.number("maxmemory").unwrap_or(0) > 0;
        let policy = policy(facts);
        let found = match side {
            Side::Source => {
                let what = format!("the source evicts keys ({policy}): that is not seen without --watch, and the target keeps them");
                found(Note, side, what, "serve with --watch true, or raise the source's maxmemory meanwhile")
            }
            Side::Target => {
                let what = format!("the target evicts keys ({policy}): keys may be missing there that the source still has");
                found(Warning, side, what, "set its maxmemory-policy to noeviction until the cutover, or give it room to spare")
            }
        };
        (bounded && policy != "noeviction").then_some(found)
    })
}

pub(super) fn big_keys(world: &World) -> Vec<Found> {
    let Some(biggest) = world.sample.iter().max_by_key(|key| key.bytes).filter(|key| key.bytes > 0) else { return Vec::new() };
    let subject = format!("database {}: {}", biggest.db, shown(&biggest.key));
    let of = format!("the biggest of {} keys that were looked at, a {}, takes {}", world.sample.len(), biggest.kind, size(biggest.bytes));
    let mut all = Vec::new();
    let largest_string = world.sample.iter().filter(|key| key.kind == "string").max_by_key(|key| key.bytes);
    let bulk_max = world.of.target.config.number("proto-max-bulk-len");
    if let Some((string, max)) = largest_string.zip(bulk_max).filter(|(string, max)| string.bytes > *max) {
        let what = format!("a string takes {}, and the target takes {} at most (proto-max-bulk-len)", size(string.bytes), size(max));
        let subject = format!("database {}: {}", string.db, shown(&string.key));
        all.push(found(Blocking, subject, what, "raise the target's proto-max-bulk-len to the source's"));
    }
    if biggest.bytes > BIG {
        all.push(found(
            Warning,
            subject,
            format!("{of}: it is copied in pieces, and deleting it may hold the server up"),
            "split it, or see that repair_chunk_from_bytes is not raised",
        ));
    } else {
        all.push(found(Note, subject, of, "nothing"));
    }
    all
}
