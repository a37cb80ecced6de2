//! Checks of what the servers are, and of the users' rights.

use super::*;

/// The oldest source. Unit: major version of Redis.
const OLDEST_SOURCE: u64 = 5;

pub(super) fn same_server(world: &World) -> Vec<Found> {
    let [source, target] = Side::BOTH.map(|side| world.of[side].info.text("run_id"));
    let same = source.is_some() && source == target;
    let meaning = "both URLs lead to one server (they have one run_id): each write would be applied twice";
    same.then(|| found(Blocking, "target", meaning, "name another server as the target")).into_iter().collect()
}

pub(super) fn versions(world: &World) -> Vec<Found> {
    let (source, target) = (&world.of.source, &world.of.target);
    let names = format!("{} {} to {} {}", source.kind(), source.version(), target.kind(), target.version());
    let mut all = Vec::new();
    if source.major() < OLDEST_SOURCE {
        let what = format!("{names}: sources before Redis {OLDEST_SOURCE} are not supported, or the server does not tell its version");
        all.push(found(Blocking, "source", what, format!("upgrade the source to {OLDEST_SOURCE} or newer first")));
    }
    for (side, facts) in [(Side::Source, source), (Side::Target, target)] {
        if !matches!(facts.kind(), "Redis" | "Valkey") {
            let what = format!("the {side} is {} {}: Interlay is tried with Redis and Valkey", facts.kind(), facts.version());
            all.push(found(Warning, side, what, "try it with a copy of the data before"));
        }
    }
    if target.major() < source.major() {
        let what = format!("{names}: the target is the older one; what is newer on the source cannot be taken over");
        all.push(found(
            Warning,
            "target",
            what,
            "use a target of the same version or newer, or see what `payload-format` and `unknown-commands` say",
        ));
    }
    if all.is_empty() {
        all.push(found(Note, "both", names, "nothing"));
    }
    all
}

pub(super) fn cluster(world: &World) -> Vec<Found> {
    each(world, |side, facts| {
        let mode = facts.info.text("redis_mode").unwrap_or_default();
        let is = mode == "cluster" || mode == "sentinel" || facts.info.number("cluster_enabled") == Some(1);
        let what = if mode == "sentinel" { "a sentinel" } else { "a node of a cluster" };
        let advice = if mode == "sentinel" { "name the server that it watches" } else { "use a server with cluster-enabled no" };
        is.then(|| found(Blocking, side, format!("the {side} is {what}; Interlay speaks to one server a side"), advice))
    })
}

pub(super) fn replica(world: &World) -> Vec<Found> {
    each(world, |side, facts| {
        let of = facts.info.text("master_host").unwrap_or("another server");
        let what = format!("the {side} is a replica of {of}, so writes to it fail");
        let advice = match side {
            Side::Source => "name its master as the source",
            Side::Target => "name its master as the target, or end the replication with REPLICAOF NO ONE",
        };
        matches!(facts.info.text("role"), Some("slave" | "replica")).then(|| found(Blocking, side, what, advice))
    })
}

pub(super) fn missing_commands(world: &World) -> Vec<Found> {
    denials(world, Denial::Missing, |side, commands, _| {
        let what = format!("the {side} does not have what Interlay needs: {commands}");
        (side.to_string(), what, "take away rename-command for these, or use a server that has them".to_owned())
    })
}

pub(super) fn missing_rights(world: &World) -> Vec<Found> {
    let mut all = denials(world, Denial::Command, |side, commands, user| {
        let advice = format!("give {user} the right to these on the {side} (ACL SETUSER), or name another user in the {side}'s URL");
        (format!("{side}: {user}"), format!("{user} may not run on the {side}: {commands}"), advice)
    });
    all.extend(each(world, |side, facts| {
        let keys = facts.denied.iter().any(|(need, denial)| *denial == Denial::Key && need.weight != Weight::IfUsed);
        let user = user(facts);
        let what = format!("{user} has no right to all keys of the {side}: others cannot be copied or mirrored");
        let advice = format!("give {user} all keys on the {side} (ACL SETUSER ... allkeys), or name another user in the {side}'s URL");
        keys.then(|| found(Blocking, format!("{side}: {user}"), what, advice))
    }));
    all.extend(each(world, |side, facts| {
        let channels = facts.denied.iter().any(|(need, denial)| *denial == Denial::Key && need.line.starts_with("PUBLISH"));
        let user = user(facts);
        let what = format!("{user} has no right to all channels of the {side}: messages to others are refused");
        channels.then(|| {
            found(Warning, format!("{side}: {user}"), what, "give it all channels (ACL SETUSER ... allchannels) if applications publish")
        })
    }));
    all
}

fn user(facts: &Facts) -> String {
    format!("user {}", facts.user.as_deref().unwrap_or("default"))
}

/// What is refused in a way, by severity: one finding a side for each.
fn denials(world: &World, kind: Denial, words: impl Fn(Side, &str, &str) -> (String, String, String)) -> Vec<Found> {
    let calls: BTreeSet<&str> = world.used.iter().filter(|used| used.calls > 0).map(|used| used.name.as_str()).collect();
    let mut all = Vec::new();
    for side in Side::BOTH {
        let facts = &world.of[side];
        for severity in [Blocking, Warning] {
            let mut purposes: Vec<(&str, Vec<String>)> = Vec::new();
            for (need, _) in facts.denied.iter().filter(|(_, denial)| *denial == kind) {
                let is_used = calls.contains(need.command().to_lowercase().as_str());
                let weighs = match need.weight {
                    Weight::Always => Blocking,
                    Weight::IfUsed if is_used => Blocking,
                    Weight::IfUsed | Weight::Useful => Warning,
                };
                if weighs == severity {
                    match purposes.iter_mut().find(|(purpose, _)| *purpose == need.purpose) {
                        Some((_, commands)) => commands.push(need.command()),
                        None => purposes.push((need.purpose, vec![need.command()])),
                    }
                }
            }
            if !purposes.is_empty() {
                let commands: Vec<_> = purposes.iter().map(|(purpose, commands)| format!("{} (for {purpose})", listed(commands))).collect();
                let (subject, meaning, advice) = words(side, &commands.join("; "), &user(facts));
                all.push(found(severity, subject, meaning, advice));
            }
        }
    }
    all
}
