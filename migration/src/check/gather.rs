//! Asks both servers all that the checks look at.

use interlay_resp::Frame;
use interlay_routing::{BySide, Side};

use super::canary::{self, AskErrorOf};
use super::facts::{Denial, Facts, Fields, Module, Sampled, Used, World};
use super::needs::NEEDS;
use crate::ask::{Ask, AskError, Reply, Request, ask, request};

/// Keys of the source that are looked at for their size and type.
const SAMPLE: usize = 1000;

/// Keys of each of the target's databases of which the source is asked whether it has them.
const SAMPLED_STRANGERS: usize = 100;

/// Parameters that checks look at.
const PARAMETERS: &[&str] = &[
    "maxmemory-policy",
    "notify-keyspace-events",
    "proto-max-bulk-len",
    "min-replicas-to-write",
    "min-slaves-to-write",
    "maxclients",
    "save",
    "appendonly",
];

/// A connection that was lost.
#[derive(Debug)]
pub(super) struct Lost {
    /// To which side.
    pub(super) side: Side,
    /// How.
    pub(super) cause: AskError,
}

fn of(side: Side) -> impl Fn(AskError) -> Lost {
    move |cause| Lost { side, cause }
}

/// All of it.
///
/// # Errors
/// [`Lost`], if either connection is.
pub(super) async fn world(source: &mut impl Ask, target: &mut impl Ask, nonce: &str) -> Result<World, Lost> {
    let mut refused = Vec::new();
    let of_source = facts(source, Side::Source, nonce, &mut refused).await.map_err(of(Side::Source))?;
    let of_target = facts(target, Side::Target, nonce, &mut refused).await.map_err(of(Side::Target))?;
    let databases: Vec<u32> = of_source.keyspace().map(|(db, _)| db).collect();
    let clock_ahead_us = clocks(source, target).await?;
    let used = used(source, target, &of_source, &of_target, &mut refused).await?;
    let missing_databases = missing_databases(target, &databases).await.map_err(of(Side::Target))?;
    let sample = sample(source, &databases, &mut refused).await.map_err(of(Side::Source))?;
    let suspects = suspects(source, target, &of_target).await?;
    let (canaries, source_refused_canaries) = canary::fly(source, target, nonce, &sample).await;
    let canaries = canaries.map_err(|lost| match lost {
        AskErrorOf::Source(cause) => Lost { side: Side::Source, cause },
        AskErrorOf::Target(cause) => Lost { side: Side::Target, cause },
    })?;
    // By now a mirror has done on the target what had been done on the source.
    let strangers = still_there(target, suspects).await.map_err(of(Side::Target))?;
    let of = BySide { source: of_source, target: of_target };
    Ok(World { of, used, missing_databases, clock_ahead_us, canaries, source_refused_canaries, sample, strangers, refused })
}

type Refused = Vec<(Side, &'static str, String)>;

/// What one server says of itself.
async fn facts(server: &mut impl Ask, side: Side, nonce: &str, refused: &mut Refused) -> Result<Facts, AskError> {
    let mut note = |command: &'static str, reply: &Frame| {
        if let Some(error) = reply.error() {
            refused.push((side, command, error.into_owned()));
        }
    };
    let mut info = ask(server, "INFO everything").await?;
    if info.error().is_some() {
        info = ask(server, "INFO").await?;
    }
    note("INFO", &info);
    let is_refused = info.error().is_some();
    let info = Fields::of_info(&info.text().unwrap_or_default());
    let mut facts = Facts { info, ..Facts::default() };
    if is_refused {
        facts.info = introduction(server).await?;
    }
    // One by one: servers before 7.0 take one pattern, and managed ones hide some.
    let requests: Vec<Request> = PARAMETERS.iter().map(|name| request(&format!("CONFIG GET {name}"))).collect();
    let replies = server.ask_all(&requests).await?;
    replies.first().inspect(|reply| note("CONFIG", reply));
    for reply in &replies {
        if let [name, value] = &*flat(reply) {
            facts.config.0.extend(name.text().zip(value.text()).map(|(name, value)| (name.into_owned(), value.into_owned())));
        }
    }
    facts.user = ask(server, "ACL WHOAMI").await?.text().map(std::borrow::Cow::into_owned);
    facts.denied = denied(server, side, facts.major(), nonce).await?;
    let modules = ask(server, "MODULE LIST").await?;
    note("MODULE LIST", &modules);
    for module in modules.entries() {
        let mut module = of_module(module);
        if facts.major() >= 7 {
            let commands = ask(server, &format!("COMMAND LIST FILTERBY MODULE {}", module.name)).await?;
            module.commands = commands.entries().iter().filter_map(|name| Some(name.text()?.to_lowercase())).collect();
        }
        facts.modules.push(module);
    }
    if facts.major() >= 7 {
        let libraries = ask(server, "FUNCTION LIST").await?;
        note("FUNCTION LIST", &libraries);
        facts.libraries = libraries.entries().len();
    }
    Ok(facts)
}

/// What a server without INFO says of itself, as INFO would.
async fn introduction(server: &mut impl Ask) -> Result<Fields, AskError> {
    let [hello, keys] = [ask(server, "HELLO").await?, ask(server, "DBSIZE").await?];
    let said =
        hello.entries().chunks_exact(2).filter_map(|pair| Some((pair.first()?.text()?.into_owned(), pair.get(1)?.text()?.into_owned())));
    let mut fields = Fields::default();
    for (name, value) in said {
        let as_info = match name.as_str() {
            "version" => "redis_version",
            "mode" => "redis_mode",
            "role" => "role",
            _ => continue,
        };
        fields.0.insert(as_info.to_owned(), value);
    }
    if let Some(keys) = keys.number() {
        fields.0.insert("db0".to_owned(), format!("keys={keys}"));
    }
    Ok(fields)
}

/// The entries of an array.
fn flat(reply: &Frame) -> Vec<&Frame> {
    reply.entries().iter().collect()
}

fn of_module(reply: &Frame) -> Module {
    let field = |name: &str| {
        let pairs = reply.entries().chunks_exact(2);
        pairs.into_iter().find_map(|pair| pair.first()?.text().filter(|text| text == name).and_then(|_| pair.get(1)))
    };
    let name = field("name").and_then(Reply::text).unwrap_or_default().into_owned();
    Module { name, version: field("ver").and_then(Reply::number).unwrap_or(0), commands: Vec::new() }
}

/// Which needed commands the server refuses. They are queued in a transaction that is thrown away: the server looks at the rights
/// when it queues, so nothing is executed, and no right to ACL DRYRUN is needed.
async fn denied(
    server: &mut impl Ask,
    side: Side,
    major: u64,
    nonce: &str,
) -> Result<Vec<(&'static super::needs::Need, Denial)>, AskError> {
    let begun = ask(server, "MULTI").await?;
    if let Some(error) = begun.error() {
        // Without a transaction these commands would run.
        let denial = denial(&error).unwrap_or(Denial::Command);
        return Ok(vec![(&MULTI, denial)]);
    }
    let needs: Vec<_> = NEEDS.iter().filter(|need| need.concerns(side, major)).collect();
    let key = canary::scratch(nonce, 0);
    let spelled = |line: &str| request(&line.split(' ').map(|word| if word == "$" { &key } else { word }).collect::<Vec<_>>().join(" "));
    let requests: Vec<_> = needs.iter().map(|need| spelled(need.line)).chain([request("DISCARD")]).collect();
    let replies = server.ask_all(&requests).await?;
    Ok(needs.into_iter().zip(&replies).filter_map(|(need, reply)| Some((need, denial(&reply.error()?)?))).collect())
}

/// What Interlay needs before anything else can be tried.
static MULTI: super::needs::Need =
    super::needs::Need { line: "MULTI", side: None, weight: super::needs::Weight::Always, purpose: "several changes as one", since: 0 };

/// What an error says of rights; none if it is about something else.
fn denial(error: &str) -> Option<Denial> {
    if error.starts_with("ERR unknown command") || error.starts_with("ERR unknown subcommand") {
        return Some(Denial::Missing);
    }
    let reason = error.strip_prefix("NOPERM")?;
    Some(if reason.contains("to run") { Denial::Command } else { Denial::Key })
}

/// The target's clock against the source's: the target is asked between two askings of the source.
async fn clocks(source: &mut impl Ask, target: &mut impl Ask) -> Result<Option<(i64, u64)>, Lost> {
    let before = time(source).await.map_err(of(Side::Source))?;
    let between = time(target).await.map_err(of(Side::Target))?;
    let after = time(source).await.map_err(of(Side::Source))?;
    let (Some(before), Some(between), Some(after)) = (before, between, after) else { return Ok(None) };
    let within = after.saturating_sub(before) / 2;
    Ok(Some((between - (before + within), within.unsigned_abs())))
}

async fn time(server: &mut impl Ask) -> Result<Option<i64>, AskError> {
    let reply = ask(server, "TIME").await?;
    let parts: Vec<_> = reply.entries().iter().filter_map(|part| i64::try_from(part.number()?).ok()).collect();
    Ok(match *parts {
        [seconds, micros] => seconds.checked_mul(1_000_000).and_then(|seconds| seconds.checked_add(micros)),
        _ => None,
    })
}

/// The commands that the source has been asked, as both servers know them.
async fn used(
    source: &mut impl Ask,
    target: &mut impl Ask,
    of_source: &Facts,
    of_target: &Facts,
    refused: &mut Refused,
) -> Result<Vec<Used>, Lost> {
    // Subcommands are commands since 7.0.
    let subcommands = of_source.major() >= 7 && of_target.major() >= 7;
    let names: Vec<(&str, u64)> = of_source.calls().filter(|(name, calls)| *calls > 0 && (subcommands || !name.contains('|'))).collect();
    let requests: Vec<Request> = names.iter().map(|(name, _)| request(&format!("COMMAND INFO {name}"))).collect();
    let here = source.ask_all(&requests).await.map_err(of(Side::Source))?;
    let there = target.ask_all(&requests).await.map_err(of(Side::Target))?;
    if let Some(error) = there.first().and_then(Reply::error) {
        refused.push((Side::Target, "COMMAND", error.into_owned()));
    }
    let used = names.into_iter().zip(here.iter().zip(&there)).map(|((name, calls), (here, there))| {
        // A server that does not tell is not one that has none.
        let on_target = !matches!(there.entries().first(), Some(Frame::Null));
        Used { name: name.to_owned(), calls, of_data: is_of_data(here), on_target }
    });
    Ok(used.collect())
}

/// Whether COMMAND INFO's reply is of a command that reads or writes data, or of one that nobody knows.
fn is_of_data(info: &Frame) -> bool {
    let Some(command) = info.entries().first() else { return true };
    let flags = command.entries().get(2).map(Reply::entries).unwrap_or_default();
    let has = |names: &[&str]| flags.iter().filter_map(Reply::text).any(|flag| names.contains(&&*flag));
    flags.is_empty() || (has(&["write", "readonly"]) && !has(&["admin"]))
}

/// Which of these databases the target does not have.
async fn missing_databases(target: &mut impl Ask, databases: &[u32]) -> Result<Vec<u32>, AskError> {
    let requests: Vec<Request> = databases.iter().chain([&0]).map(|db| request(&format!("SELECT {db}"))).collect();
    let replies = target.ask_all(&requests).await?;
    Ok(databases.iter().zip(&replies).filter(|(_, reply)| reply.error().is_some()).map(|(db, _)| *db).collect())
}

/// Those of a sample of the target's keys that the source does not have, by database.
async fn suspects(source: &mut impl Ask, target: &mut impl Ask, of_target: &Facts) -> Result<Vec<(u32, Vec<Vec<u8>>)>, Lost> {
    let mut suspects = Vec::new();
    for (db, keys) in of_target.keyspace().filter(|(_, keys)| *keys > 0) {
        let select = request(&format!("SELECT {db}"));
        let draws = SAMPLED_STRANGERS.min(usize::try_from(keys).unwrap_or(usize::MAX));
        let requests: Vec<_> = [select.clone()].into_iter().chain((0..draws).map(|_| request("RANDOMKEY"))).collect();
        let drawn = target.ask_all(&requests).await.map_err(of(Side::Target))?;
        let keys: Vec<Vec<u8>> = drawn.iter().skip(1).filter_map(|key| Some(key.bytes()?.to_vec())).collect();
        suspects.push((db, absent(source, &select, keys).await.map_err(of(Side::Source))?));
    }
    for (side, server) in [(Side::Source, ask(source, "SELECT 0").await), (Side::Target, ask(target, "SELECT 0").await)] {
        server.map_err(of(side))?;
    }
    Ok(suspects)
}

/// How many of these keys the target has still.
async fn still_there(target: &mut impl Ask, suspects: Vec<(u32, Vec<Vec<u8>>)>) -> Result<Vec<(u32, usize)>, AskError> {
    let mut strangers = Vec::new();
    for (db, keys) in suspects {
        let asked = keys.len();
        let gone = absent(target, &request(&format!("SELECT {db}")), keys).await?.len();
        strangers.push((db, asked - gone));
    }
    ask(target, "SELECT 0").await?;
    Ok(strangers)
}

/// Those of the keys that a server does not have. What it does not tell counts as absent.
async fn absent(server: &mut impl Ask, select: &Request, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, AskError> {
    let requests: Vec<_> = [select.clone()].into_iter().chain(keys.iter().map(|key| vec![b"EXISTS".to_vec(), key.clone()])).collect();
    let replies = server.ask_all(&requests).await?;
    Ok(keys.into_iter().zip(replies.iter().skip(1)).filter(|(_, reply)| reply.number() != Some(1)).map(|(key, _)| key).collect())
}

/// Some keys of each database, with their types and sizes.
async fn sample(source: &mut impl Ask, databases: &[u32], refused: &mut Refused) -> Result<Vec<Sampled>, AskError> {
    let share = SAMPLE / databases.len().max(1);
    let mut sampled = Vec::new();
    for db in databases {
        let found = source.ask_all(&[request(&format!("SELECT {db}")), request(&format!("SCAN 0 COUNT {}", share.max(10)))]).await?;
        let keys = found.get(1).and_then(|scan| scan.entries().get(1)).map(Reply::entries).unwrap_or_default();
        let keys: Vec<Vec<u8>> = keys.iter().filter_map(|key| Some(key.bytes()?.to_vec())).take(share.max(10)).collect();
        let about = |key: &Vec<u8>| [vec![b"TYPE".to_vec(), key.clone()], vec![b"MEMORY".to_vec(), b"USAGE".to_vec(), key.clone()]];
        let requests: Vec<Request> = keys.iter().flat_map(about).collect();
        let replies = source.ask_all(&requests).await?;
        if let Some(error) = replies.get(1).and_then(Reply::error) {
            refused.push((Side::Source, "MEMORY USAGE", error.into_owned()));
        }
        for (key, replies) in keys.into_iter().zip(replies.chunks_exact(2)) {
            let kind = replies.first().and_then(Reply::text).unwrap_or_default().into_owned();
            let bytes = replies.get(1).and_then(Reply::number).unwrap_or(0);
            sampled.push(Sampled { db: *db, key, kind, bytes });
        }
    }
    source.ask_all(&[request("SELECT 0")]).await?;
    Ok(sampled)
}
