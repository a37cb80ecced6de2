//! Checks of what applications do, and of how the servers are run.

use super::*;
use crate::check::needs::NEEDS;

/// Above this clocks are worth a note. Unit: microseconds.
const CLOCKS_NOTE_US: u64 = 100_000;

/// Above this they are worth a warning. Unit: microseconds.
const CLOCKS_WARNING_US: u64 = 1_000_000;

pub(super) fn unknown_commands(world: &World) -> Vec<Found> {
    // A command of a module that is missing is said there, and what Interlay itself asks newer servers is no loss.
    let own = |name: &str| NEEDS.iter().any(|need| need.since > 0 && need.command().eq_ignore_ascii_case(name));
    let unknown = |of_data| {
        let those = world.used.iter().filter(move |used| {
            used.calls > 0 && !used.on_target && used.of_data == of_data && !used.name.contains('.') && !own(&used.name)
        });
        those.map(|used| format!("{} ({} calls)", used.name, used.calls)).collect::<Vec<_>>()
    };
    let of = |severity, commands: Vec<String>, why: &str| {
        let what = format!("the source has been asked commands that the target does not have: {}; {why}", listed(&commands));
        (!commands.is_empty()).then(|| {
            found(
                severity,
                "target",
                what,
                "see that applications do without them, or use a newer target; CONFIG RESETSTAT on the source counts anew",
            )
        })
    };
    let data = of(Blocking, unknown(true), "they fail after the cutover, and their writes are copied key by key before");
    let others = of(Warning, unknown(false), "they fail after the cutover");
    data.into_iter().chain(others).collect()
}

pub(super) fn scripts(world: &World) -> Vec<Found> {
    let calls = |names: &[&str]| world.used.iter().filter(|used| names.contains(&used.name.as_str())).map(|used| used.calls).sum::<u64>();
    let scripts = calls(&["eval", "evalsha", "eval_ro", "evalsha_ro"]);
    let functions = calls(&["fcall", "fcall_ro"]);
    let cached = world.of.source.info.number("number_of_cached_scripts").unwrap_or(0);
    let mut all = Vec::new();
    if scripts + functions > 0 {
        let what = format!(
            "scripts have been run {scripts} times and functions {functions} times: the keys that they declare are copied after each run; \
             a script that writes keys it does not declare is not noticed"
        );
        all.push(found(Warning, "source", what, "see that scripts declare their keys"));
    }
    if cached > 0 {
        let what = format!(
            "{cached} scripts are cached on the source: what was loaded before goes to no other server, so EVALSHA may answer NOSCRIPT after the cutover"
        );
        all.push(found(Note, "source", what, "nothing if the clients load scripts again, as most libraries do"));
    }
    all
}

pub(super) fn functions(world: &World) -> Vec<Found> {
    let n = world.of.source.libraries;
    let said = if n == 0 {
        None
    } else if world.of.target.major() < 7 {
        let what = format!("the source has {n} libraries of functions, and the target knows no functions");
        Some(found(Blocking, "target", what, "use a target of version 7.0 or newer"))
    } else {
        Some(found(Note, "source", format!("the source has {n} libraries of functions; they are copied"), "nothing"))
    };
    said.into_iter().collect()
}

pub(super) fn clocks(world: &World) -> Vec<Found> {
    let Some((ahead, within)) = world.clock_ahead_us else { return Vec::new() };
    // Only what is certain: the way to the servers takes time too.
    let off = ahead.unsigned_abs().saturating_sub(within);
    let severity = match off {
        CLOCKS_WARNING_US.. => Warning,
        CLOCKS_NOTE_US.. => Note,
        _ => return Vec::new(),
    };
    let ms = off / 1000;
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("the target's clock is {ms} ms {direction} the source's: deadlines are moved by it, ids that XADD * makes are not");
    vec![found(severity, "both", what, "set both clocks (NTP)")]
}

pub(super) fn keyspace_events(world: &World) -> Vec<Found> {
    let flags = |side: Side| world.of[side].config.text("notify-keyspace-events");
    let (Some(source), Some(target)) = (flags(Side::Source), flags(Side::Target)) else { return Vec::new() };
    if source.is_empty() || source == target {
        return Vec::new();
    }
    let what = format!(
        "the source notifies of keyspace events ({source}), and the target of others ({target:?}): subscribers miss them after the cutover"
    );
    vec![found(
        Warning,
        "target",
        what,
        format!("CONFIG SET notify-keyspace-events {source} on the target, if applications subscribe to them"),
    )]
}

pub(super) fn watch(world: &World) -> Vec<Found> {
    let old = world.of.source.major() < 6;
    let what = "the source has no client-side caching (Redis 6.0), so writes around Interlay cannot be noticed (--watch)";
    old.then(|| found(Note, "source", what, "see that all applications go through Interlay before the copy begins")).into_iter().collect()
}

pub(super) fn durability(world: &World) -> Vec<Found> {
    let is_on = |side: Side, name: &str| world.of[side].info.number(name).is_some_and(|n| n > 0);
    let [source_saves, target_saves] = Side::BOTH.map(|side| world.of[side].config.text("save").map(|save| !save.is_empty()));
    let mut all = Vec::new();
    for (source, target, what, how) in [
        (is_on(Side::Source, "aof_enabled"), is_on(Side::Target, "aof_enabled"), "an append-only file", "switch appendonly on"),
        (source_saves == Some(true), target_saves != Some(false) || is_on(Side::Target, "aof_enabled"), "snapshots (save)", "set save"),
        (is_on(Side::Source, "connected_slaves"), is_on(Side::Target, "connected_slaves"), "replicas", "give it replicas"),
    ] {
        if source && !target {
            let what = format!("the source has {what}, and the target has none: less would survive a failure after the cutover");
            all.push(found(Warning, "target", what, format!("{how} on the target before the cutover")));
        }
    }
    all
}

pub(super) fn replicas_to_write(world: &World) -> Vec<Found> {
    let target = &world.of.target;
    let needed = ["min-replicas-to-write", "min-slaves-to-write"].iter().find_map(|name| target.config.number(name)).unwrap_or(0);
    let has = target.info.number("connected_slaves").unwrap_or(0);
    let what = format!("the target takes no writes with fewer than {needed} replicas (min-replicas-to-write), and has {has}");
    (needed > has)
        .then(|| found(Blocking, "target", what, "connect its replicas, or set min-replicas-to-write to 0 meanwhile"))
        .into_iter()
        .collect()
}

pub(super) fn clients(world: &World) -> Vec<Found> {
    let (source, target) = (&world.of.source, &world.of.target);
    let max = target.info.number("maxclients").or_else(|| target.config.number("maxclients"));
    let clients = source.info.number("connected_clients").unwrap_or(0);
    let Some(max) = max.filter(|max| *max < clients) else { return Vec::new() };
    let what = format!(
        "the source has {clients} clients, and the target takes {max} (maxclients): those in transactions, subscribed or waiting need a connection each"
    );
    vec![found(Warning, "target", what, "raise the target's maxclients")]
}

pub(super) fn not_checked(world: &World) -> Vec<Found> {
    let what_for = |command: &str| match command {
        "INFO" => "version, role, memory, databases in use, commands in use",
        "COMMAND" => "commands in use that the target does not have",
        "CONFIG" => "persistence, replicas to write, keyspace events, the size of strings",
        "MODULE LIST" => "modules",
        "FUNCTION LIST" => "functions",
        _ => "the sizes of keys",
    };
    let of = |(side, command, reply): &(Side, &str, String)| {
        let severity = if *command == "INFO" { Blocking } else { Note };
        let what = format!("could not be checked, since the {side} refuses {command}: {} ({reply})", what_for(command));
        found(severity, format!("{side}: {command}"), what, "look there by yourself, or check with a user that has the right to it")
    };
    // A server without modules or functions does not know the command, and there is nothing to miss.
    let nothing = |command: &str, reply: &str| command.ends_with(" LIST") && reply.starts_with("ERR unknown command");
    world.refused.iter().filter(|(_, command, reply)| !nothing(command, reply)).map(of).collect()
}
