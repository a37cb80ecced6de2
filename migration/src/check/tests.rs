use std::collections::BTreeMap;

use interlay_resp::{Frame, decode_reply};
use interlay_routing::{BySide, Side};

use super::canary::{Canary, Fate};
use super::facts::{Denial, Facts, Fields, Module, Sampled, Used, World};
use super::needs::NEEDS;
use super::report::{Acknowledged, Acknowledgements};
use super::table::CHECKS;
use super::*;
use crate::ask::{AskError, Request};

/// A server that says what it was told to, in RESP, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    replies: BTreeMap<&'static str, &'static str>,
    asked: Vec<String>,
    /// After so many requests the connection is lost.
    patience: Option<usize>,
}

impl Scripted {
    fn says(mut self, replies: &[(&'static str, &'static str)]) -> Self {
        self.replies.extend(replies.iter().copied());
        self
    }
}

impl Ask for &mut Scripted {
    async fn ask_all(&mut self, requests: &[Request]) -> Result<Vec<Frame>, AskError> {
        let mut replies = Vec::new();
        for request in requests {
            if self.patience.is_some_and(|patience| self.asked.len() >= patience) {
                return Err(AskError("gone".to_owned()));
            }
            let line = request.join(&b' ').escape_ascii().to_string();
            // The longest beginning that there is a reply for.
            let reply = self.replies.iter().filter(|(start, _)| line.starts_with(**start)).max_by_key(|(start, _)| start.len());
            let reply = reply.map_or("+QUEUED", |(_, reply)| *reply);
            self.asked.push(line);
            replies.push(decode_reply(format!("{reply}\r\n").as_bytes()).expect("a reply"));
        }
        Ok(replies)
    }
}

const SERVER: &[(&str, &str)] = &[
    ("INFO", "+redis_version:7.0.15"),
    ("MULTI", "+OK"),
    ("DISCARD", "+OK"),
    ("DEL", ":0"),
    ("SELECT", "+OK"),
    ("DUMP", "$12\r\nxx\n\0abcdefgh"),
    ("RESTORE", "+OK"),
    ("EXEC", "*0"),
    ("CONFIG", "-ERR unknown command 'CONFIG'"),
    ("TIME", "*2\r\n$1\r\n7\r\n$1\r\n5"),
];

async fn checked(source: &mut Scripted, target: &mut Scripted) -> Vec<Finding> {
    check(BySide { source: Ok(source), target: Ok(target) }, "0").await
}

fn servers() -> [Scripted; 2] {
    [(); 2].map(|()| Scripted::default().says(SERVER))
}

/// Two servers of one kind, that say nothing to worry about.
fn world() -> World {
    let facts = || Facts { info: Fields::of_info("redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\n"), ..Facts::default() };
    World { of: BySide { source: facts(), target: facts() }, ..World::default() }
}

fn info(world: &mut World, side: Side, text: &str) {
    let facts = match side {
        Source => &mut world.of.source,
        Target => &mut world.of.target,
    };
    facts.info.0.extend(Fields::of_info(text).0);
}

fn config(world: &mut World, side: Side, name: &str, value: &str) {
    let facts = match side {
        Source => &mut world.of.source,
        Target => &mut world.of.target,
    };
    facts.config.0.insert(name.to_owned(), value.to_owned());
}

/// What is found that is more than a note.
fn found(world: &World) -> Vec<(String, Severity)> {
    let all = CHECKS.iter().flat_map(|check| check.findings(world));
    all.filter(|finding| finding.severity != Severity::Note).map(|finding| (finding.name, finding.severity)).collect()
}

#[track_caller]
fn finds(change: impl FnOnce(&mut World), name: &str, severity: Severity) {
    let mut world = world();
    change(&mut world);
    assert_eq!(found(&world), [(name.to_owned(), severity)]);
}

use Severity::{Blocking, Warning};
use Side::{Source, Target};

#[test]
fn nothing_to_worry_about_is_no_finding() {
    assert_eq!(found(&world()), []);
}

#[test]
fn names_are_in_kebab_case_and_each_has_one_row() {
    let mut known: Vec<_> = names().map(|(name, _)| name).collect();
    assert!(known.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')), "{known:?}");
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), CHECKS.len());
    assert!(!known.contains(&UNREACHABLE));
}

#[test]
fn what_the_servers_are() {
    finds(|world| Side::BOTH.into_iter().for_each(|side| info(world, side, "run_id:abc")), "same-server", Blocking);
    finds(|world| info(world, Source, "redis_version:4.0.14"), "server-version", Blocking);
    finds(|world| info(world, Target, "redis_version:6.2.14"), "server-version", Warning);
    finds(|world| info(world, Target, "dragonfly_version:1.0"), "server-version", Warning);
    finds(|world| info(world, Target, "cluster_enabled:1"), "cluster-mode", Blocking);
    finds(|world| info(world, Source, "redis_mode:sentinel"), "cluster-mode", Blocking);
    finds(|world| info(world, Source, "role:slave\nmaster_host:h"), "replica", Blocking);
}

#[test]
fn refused_commands_weigh_by_what_they_are_for() {
    let deny = |line: &str, denial| {
        let need = NEEDS.iter().find(|need| need.line == line).expect("a need");
        move |world: &mut World| world.of.target.denied.push((need, denial))
    };
    finds(deny("DUMP $", Denial::Command), "missing-rights", Blocking);
    finds(deny("DUMP $", Denial::Missing), "missing-commands", Blocking);
    finds(deny("DUMP $", Denial::Key), "missing-rights", Blocking);
    finds(deny("PUBLISH $ x", Denial::Key), "missing-rights", Warning);
    finds(deny("TIME", Denial::Command), "missing-rights", Warning);
    finds(deny("LPUSH $ x", Denial::Command), "missing-rights", Warning);
    let used = |world: &mut World| {
        deny("LPUSH $ x", Denial::Command)(world);
        world.used.push(Used { name: "lpush".to_owned(), calls: 1, of_data: true, on_target: true });
    };
    finds(used, "missing-rights", Blocking);
}

#[test]
fn every_need_is_a_request_of_its_own_name() {
    for need in NEEDS {
        assert!(need.line.starts_with(&need.command()), "{need:?}");
    }
}

#[test]
fn canaries_tell_formats_from_refusals() {
    let with = |fate| {
        let canary = Canary { what: "hash".to_owned(), fate, payload_version: Some(12) };
        move |world: &mut World| world.canaries.push(canary)
    };
    let reply = |text: &str| Fate::Refused(text.to_owned());
    finds(with(reply("ERR DUMP payload version or checksum are wrong")), "payload-format", Warning);
    finds(with(reply("ERR Bad data format")), "payload-format", Warning);
    finds(with(reply("OOM command not allowed")), "payload-format", Warning);
    finds(with(Fate::Differs), "payload-format", Blocking);
    let mut same = world();
    with(Fate::Same)(&mut same);
    assert_eq!(found(&same), []);
    finds(|world| world.source_refused_canaries = Some("READONLY".to_owned()), "payload-format", Warning);
}

#[test]
fn modules_block_when_something_shows_that_they_are_in_use() {
    let module = |version, commands: &[&str]| {
        let commands = commands.iter().map(|name| (*name).to_owned()).collect();
        Module { name: "ReJSON".to_owned(), version, commands }
    };
    let used = |name: &str| Used { name: name.to_owned(), calls: 1, of_data: true, on_target: false };
    finds(|world| world.of.source.modules.push(module(2, &[])), "modules", Warning);
    for commands in [&["json.set"][..], &[]] {
        let of_json = |world: &mut World| {
            world.of.source.modules.push(module(2, commands));
            world.used.push(used("json.set"));
        };
        finds(of_json, "modules", Blocking);
    }
    let of_another = |world: &mut World| {
        world.of.source.modules.push(module(2, &["json.set"]));
        world.used.push(used("bf.add"));
    };
    finds(of_another, "modules", Warning);
    let keys = |world: &mut World| {
        world.of.source.modules.push(module(2, &[]));
        world.sample.push(Sampled { kind: "ReJSON-RL".to_owned(), ..Sampled::default() });
    };
    finds(keys, "modules", Blocking);
    let older = |world: &mut World| {
        world.of.source.modules.push(module(2, &[]));
        world.of.target.modules.push(module(1, &[]));
    };
    finds(older, "modules", Warning);
}

#[test]
fn data_that_does_not_fit() {
    finds(|world| world.missing_databases = vec![3, 15], "databases", Blocking);
    finds(|world| info(world, Target, "db3:keys=1,expires=0,avg_ttl=0"), "target-not-empty", Blocking);
    let mirrored = |world: &mut World| {
        info(world, Target, "db3:keys=1,expires=0,avg_ttl=0");
        world.strangers = vec![(3, 0)];
    };
    finds(mirrored, "target-not-empty", Warning);
    finds(|world| world.of.target.libraries = 1, "target-not-empty", Warning);
    let memory = |used: u64, policy: &'static str| {
        move |world: &mut World| {
            info(world, Source, &format!("used_memory:{}\nmem_clients_normal:5000", used + 5000));
            info(world, Target, &format!("maxmemory:1000\nmaxmemory_policy:{policy}"));
        }
    };
    finds(memory(1001, "noeviction"), "memory", Blocking);
    finds(memory(801, "noeviction"), "memory", Warning);
    finds(memory(800, "allkeys-lru"), "eviction", Warning);
    let mut fits = world();
    memory(800, "noeviction")(&mut fits);
    assert_eq!(found(&fits), []);
    let string = |bytes| Sampled { key: b"k\n".to_vec(), kind: "string".to_owned(), bytes, ..Sampled::default() };
    finds(|world| world.sample.push(string(65 << 20)), "big-keys", Warning);
    let refused = |world: &mut World| {
        world.sample.push(string(2 << 20));
        config(world, Target, "proto-max-bulk-len", "1048576");
    };
    finds(refused, "big-keys", Blocking);
}

#[test]
fn what_applications_do() {
    let used = |name: &str, of_data| Used { name: name.to_owned(), calls: 7, of_data, on_target: false };
    finds(|world| world.used.push(used("lmpop", true)), "unknown-commands", Blocking);
    finds(|world| world.used.push(used("latency|histogram", false)), "unknown-commands", Warning);
    // What Interlay itself has asked.
    let mut own = world();
    own.used.push(used("pexpiretime", true));
    assert_eq!(found(&own), []);
    finds(|world| world.used.push(Used { on_target: true, ..used("evalsha", true) }), "scripts", Warning);
    let old = |world: &mut World| {
        world.of.source.libraries = 2;
        info(world, Source, "redis_version:7.0.0");
        info(world, Target, "redis_version:6.2.0");
    };
    let mut functions = world();
    old(&mut functions);
    assert!(found(&functions).contains(&("functions".to_owned(), Blocking)));
}

#[test]
fn how_the_servers_are_run() {
    finds(|world| world.clock_ahead_us = Some((-1_300_000, 200_000)), "clocks", Warning);
    let mut near = world();
    near.clock_ahead_us = Some((1_300_000, 400_000));
    assert_eq!(found(&near), [], "what may be the way to the server is no offset");
    let events = |target: &'static str| {
        move |world: &mut World| {
            config(world, Source, "notify-keyspace-events", "AKE");
            config(world, Target, "notify-keyspace-events", target);
        }
    };
    finds(events(""), "keyspace-events", Warning);
    finds(|world| info(world, Source, "connected_slaves:1"), "durability", Warning);
    finds(|world| info(world, Source, "aof_enabled:1"), "durability", Warning);
    let saves = |world: &mut World| {
        config(world, Source, "save", "3600 1");
        config(world, Target, "save", "");
    };
    finds(saves, "durability", Warning);
    finds(|world| config(world, Target, "min-replicas-to-write", "1"), "replicas-to-write", Blocking);
    let clients = |world: &mut World| {
        info(world, Source, "connected_clients:11");
        info(world, Target, "maxclients:10");
    };
    finds(clients, "clients", Warning);
}

#[test]
fn acknowledged_findings_do_not_count_as_blocking() {
    let finding = |name: &str, severity| Finding {
        name: name.to_owned(),
        severity,
        subject: String::new(),
        meaning: String::new(),
        advice: String::new(),
        acknowledged: None,
    };
    let findings =
        vec![finding("memory", Blocking), finding("memory", Blocking), finding("databases", Blocking), finding("memory", Warning)];
    let acknowledged = Acknowledged { note: "why not".to_owned(), at_unix_ms: 5 };
    let acknowledgements = Acknowledgements([("memory".to_owned(), acknowledged.clone())].into());
    let report = Report::new(findings, &acknowledgements, 6);
    assert_eq!((report.blocking, report.acknowledged, report.warnings, report.notes), (1, 2, 1, 0));
    assert_eq!(report.findings[0].acknowledged, Some(acknowledged));
    assert_eq!(report.findings[3].acknowledged, None);
}

#[tokio::test]
async fn servers_that_tell_almost_nothing_are_checked_all_the_same() {
    let [mut source, mut target] = servers();
    let findings = checked(&mut source, &mut target).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.name == "not-checked" && finding.subject == "target: CONFIG"), "{findings:#?}");
    // What could be a reply to a refused MULTI would be executed.
    let multi = source.asked.iter().position(|line| line == "MULTI").expect("a transaction");
    let discard = source.asked.iter().position(|line| line == "DISCARD").expect("its end");
    let queued = NEEDS.iter().filter(|need| need.concerns(Source, 7)).count();
    assert_eq!(discard - multi, queued + 1);
}

#[tokio::test]
async fn without_transactions_nothing_is_tried() {
    let refusal = [("MULTI", "-NOPERM User a has no permissions to run the 'multi' command")];
    let [source, target] = servers();
    let (mut source, mut target) = (source.says(&refusal), target.says(&refusal));
    let findings = checked(&mut source, &mut target).await;
    assert!(findings.iter().any(|finding| finding.name == "missing-rights" && finding.severity == Blocking), "{findings:#?}");
    let wrote =
        |server: &Scripted| server.asked.iter().any(|line| ["SET ", "RPUSH ", "RESTORE "].iter().any(|write| line.starts_with(write)));
    assert!(!wrote(&source) && !wrote(&target), "{:?} {:?}", source.asked, target.asked);
}

#[tokio::test]
async fn source_that_takes_no_canary_has_its_own_keys_dumped() {
    let [source, mut target] = servers();
    let mut source = source.says(&[
        ("INFO", "$44\r\nredis_version:7.0.15\r\ndb2:keys=1,expires=0\r\n"),
        ("EXEC", "-EXECABORT Transaction discarded"),
        ("SET", "-READONLY You can't write against a read only replica."),
        ("SCAN", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nown"),
        ("TYPE own", "+hash"),
        ("MEMORY USAGE own", ":99"),
    ]);
    target.replies.insert("TYPE", "+hash");
    let findings = checked(&mut source, &mut target).await;
    let format = findings.iter().find(|finding| finding.name == "payload-format").expect("a finding");
    assert!(format.meaning.contains("READONLY") && format.meaning.contains("1 of its own keys"), "{format:?}");
    assert!(source.asked.windows(2).any(|pair| pair[0] == "SELECT 2" && pair[1] == "DUMP own"), "{:?}", source.asked);
    let last = target.asked.iter().rposition(|line| line.starts_with("DEL {interlay-check:0:target}:0")).expect("a clean-up");
    assert!(target.asked.iter().rposition(|line| line.starts_with("RESTORE")).is_some_and(|restore| restore < last));
}

#[tokio::test]
async fn a_connection_lost_at_any_moment_is_a_finding_and_the_target_is_cleaned_up() {
    let [mut source, mut target] = servers();
    checked(&mut source, &mut target).await;
    let asked = source.asked.len();
    for patience in 0..asked {
        let [mut source, mut target] = servers();
        source.patience = Some(patience);
        let findings = checked(&mut source, &mut target).await;
        assert!(findings.len() == 1 && findings[0].name == UNREACHABLE && findings[0].subject == "source", "{patience}: {findings:#?}");
        // Others are queued only.
        let restored = target.asked.iter().any(|line| line.starts_with("RESTORE") && line.contains(" 60000 "));
        assert!(!restored || target.asked.last().is_some_and(|line| line.starts_with("DEL")), "{patience}");
    }
}

#[tokio::test]
async fn clocks_are_compared_with_what_the_way_takes_taken_off() {
    let [mut source, target] = servers();
    let mut target = target.says(&[("TIME", "*2\r\n$1\r\n9\r\n$1\r\n5")]);
    let findings = checked(&mut source, &mut target).await;
    let clocks = findings.iter().find(|finding| finding.name == "clocks").expect("a finding");
    assert!(clocks.severity == Warning && clocks.meaning.contains("2000 ms ahead of"), "{clocks:?}");
}
