//! The backfill: every key of the source is on the target, exactly, whatever goes on meanwhile; and nothing more than was asked for.

use std::path::Path;

use interlay_tests::{Data, Interlay, Load, Pair, Rng, Server, assert_equal, dataset, digest, eventually, is_error, mix, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const BACKFILL: &str = "/api/v1/backfill";

fn say(server: &Server, line: &str) -> Vec<u8> {
    let reply = server.call(line.split(' '));
    assert!(!is_error(&reply), "{line}: {}", text(&reply));
    reply
}

/// Fills a server with so many keys of so many bytes.
fn populate(server: &Server, keys: u64, prefix: &str, bytes: u64) {
    say(server, &format!("DEBUG POPULATE {keys} {prefix} {bytes}"));
}

fn progress(interlay: &Interlay) -> Value {
    interlay.get(BACKFILL).json()
}

fn number(progress: &Value, name: &str) -> u64 {
    progress[name].as_u64().unwrap_or_else(|| panic!("no {name} in {progress:#}"))
}

fn begin(interlay: &Interlay, wanted: &Value) {
    let answer = interlay.put(BACKFILL, wanted);
    assert_eq!(answer.code, 200, "{}", answer.body);
}

/// Waits for the end, which has to be a good one.
fn ended(interlay: &Interlay) -> Value {
    eventually("the backfill ends", || !["running", "paused"].contains(&progress(interlay)["state"].as_str().unwrap_or_default()));
    let progress = progress(interlay);
    assert_eq!((&progress["state"], &progress["errors"]), (&json!("ended"), &json!(0)), "{progress:#}");
    progress
}

/// Every key of `source` that is on `target` is the same there, and these are as many as `keys`.
fn has(server: &Server, db: u64, keys: u64) {
    let mut conn = server.conn();
    conn.call(["SELECT", &db.to_string()]);
    assert_eq!(conn.call(["DBSIZE"]), format!(":{keys}\r\n").into_bytes(), "database {db}");
}

#[test]
fn all_types_names_deadlines_and_functions_of_sixteen_databases_arrive_exactly() {
    let pair = Pair::start("source-authoritative");
    dataset::fill(&pair.source);
    assert_eq!(pair.source.call([b"SET".as_slice(), b"big", &vec![b'x'; 64 << 20]]), b"+OK\r\n");
    say(&pair.target, "SET stranger x");
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert!(!is_error(&pair.source.call(["FUNCTION", "LOAD", library])));
    let said = pair.interlay.cli(&["backfill"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("backfill ended; ") && said.stdout.contains("1 removed"), "{said:?}");
    assert_equal(&pair.source, &pair.target);
    assert_eq!(pair.target.call(["FCALL", "f", "0"]), b":1\r\n");
    let progress = ended(&pair.interlay);
    assert!(number(&progress, "bytes_copied") > 64 << 20, "{progress:#}");
    assert_eq!(number(&progress, "keys_expected"), number(&progress, "keys_seen"), "{progress:#}");
}

#[test]
fn under_load_of_twenty_writers_both_servers_are_equal_behind_it() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 10_000, "old", 50);
    let rng = Rng::printed();
    let load = Load::start(pair.interlay.port(), 20, &rng, mix::write);
    begin(&pair.interlay, &json!({}));
    let progress = ended(&pair.interlay);
    assert!(number(&progress, "keys_copied") >= 10_000, "{progress:#}");
    load.stop_without_errors();
    pair.settled();
    assert_eq!(digest(&pair.source), digest(&pair.target));
}

#[test]
fn a_filter_leaves_out_what_it_does_not_name() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 300, "user", 10);
    populate(&pair.source, 200, "other", 10);
    for n in 0..50 {
        say(&pair.source, &format!("HSET user:hash:{n} f v"));
    }
    let mut third = pair.source.conn();
    third.call(["SELECT", "3"]);
    (0..40).for_each(|n| assert_eq!(third.call(["SET", &format!("user:{n}"), "v"]), b"+OK\r\n"));
    let left = |wanted: Value| {
        say(&pair.target, "FLUSHALL");
        say(&pair.target, "SET elsewhere x");
        begin(&pair.interlay, &wanted);
        ended(&pair.interlay)
    };
    left(json!({"match": "user:*"}));
    has(&pair.target, 0, 351);
    has(&pair.target, 3, 40);
    left(json!({"match": "user:*", "type": "hash"}));
    has(&pair.target, 0, 51);
    has(&pair.target, 3, 0);
    left(json!({"dbs": [3]}));
    has(&pair.target, 0, 1);
    has(&pair.target, 3, 40);
    let status = pair.interlay.status();
    assert_ne!(status["phase"], "synced", "what is left out is not in sync: {status:#}");
    let answer = pair.interlay.put(BACKFILL, &json!({"dbs": [99]}));
    assert_eq!(answer.code, 409, "{}", answer.body);
    left(json!({}));
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn a_server_that_does_not_filter_by_type_is_told_of() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 10, "k", 10);
    begin(&pair.interlay, &json!({"type": "no\ttype"}));
    // 7.0 finds nothing of an unknown type, newer ones refuse it.
    eventually("it ends", || progress(&pair.interlay)["state"] != "running");
    assert_eq!(number(&progress(&pair.interlay), "keys_copied"), 0);
}

/// Both sides have some of the same keys, with other values.
fn conflicting() -> Pair {
    let pair = Pair::start("source-authoritative");
    for (server, value) in [(&pair.source, "source"), (&pair.target, "target")] {
        say(server, &format!("SET both:string {value}"));
        say(server, &format!("HSET both:hash same {value} {value} {value}"));
        say(server, &format!("SADD both:set same {value}"));
        say(server, &format!("ZADD both:zset {} same 1 {value}", value.len() + value.bytes().map(usize::from).sum::<usize>()));
        say(server, &format!("RPUSH both:list {value}"));
        say(server, &format!("SET only:{value} {value}"));
    }
    say(&pair.source, "SADD both:mixed x");
    say(&pair.target, "SET both:mixed target");
    populate(&pair.source, 2000, "bulk", 20);
    pair
}

#[test]
fn with_replace_the_source_wins_and_what_only_the_target_has_goes() {
    let pair = conflicting();
    begin(&pair.interlay, &json!({"conflict": "replace"}));
    let progress = ended(&pair.interlay);
    assert_eq!((number(&progress, "keys_kept"), number(&progress, "keys_removed")), (0, 1), "{progress:#}");
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn with_none_the_targets_keys_are_kept_and_listed() {
    let pair = conflicting();
    begin(&pair.interlay, &json!({"conflict": "none"}));
    let progress = ended(&pair.interlay);
    assert_eq!((number(&progress, "keys_kept"), number(&progress, "keys_removed")), (6, 0), "{progress:#}");
    assert_eq!(say(&pair.target, "GET both:string"), b"$6\r\ntarget\r\n");
    assert_eq!(say(&pair.target, "HGET both:hash same"), b"$6\r\ntarget\r\n");
    assert_eq!(say(&pair.target, "GET only:source"), b"$6\r\nsource\r\n");
    has(&pair.target, 0, 2008);
    let listed = pair.interlay.cli(&["backfill", "kept"]);
    let mut keys: Vec<String> =
        listed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].to_string()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["hash", "list", "mixed", "set", "string", "zset"].map(|kind| format!("\"both:{kind}\"")));
    assert_ne!(pair.interlay.status()["phase"], "synced");
    // A kept key is mirrored as any other.
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["SET", "both:string", "new"]), b"+OK\r\n");
    pair.interlay.answered();
    assert_eq!(say(&pair.target, "GET both:string"), b"$3\r\nnew\r\n");
    // A whole copy makes an end of it.
    begin(&pair.interlay, &json!({}));
    ended(&pair.interlay);
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn with_merge_the_sources_elements_are_put_on_top_of_the_targets() {
    let pair = conflicting();
    for n in 0..3000 {
        say(&pair.source, &format!("HSET both:hash {n} source"));
    }
    begin(&pair.interlay, &json!({"conflict": "merge"}));
    let progress = ended(&pair.interlay);
    assert_eq!((number(&progress, "keys_merged"), number(&progress, "keys_kept")), (3, 3), "{progress:#}");
    assert_eq!(
        say(&pair.target, "HMGET both:hash same source target 2999"),
        b"*4\r\n$6\r\nsource\r\n$6\r\nsource\r\n$6\r\ntarget\r\n$6\r\nsource\r\n"
    );
    assert_eq!(say(&pair.target, "SCARD both:set"), b":3\r\n");
    assert_eq!(say(&pair.target, "ZSCORE both:zset same"), say(&pair.source, "ZSCORE both:zset same"));
    assert_eq!(say(&pair.target, "GET both:mixed"), b"$6\r\ntarget\r\n");
    assert_eq!(say(&pair.target, "LRANGE both:list 0 -1"), b"*1\r\n$6\r\ntarget\r\n");
}

/// What the mirror brings to the target while a backfill begins is not the target's own.
#[test]
fn with_none_under_load_what_the_mirror_brings_meanwhile_is_copied_nevertheless() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.target, 20_000, "own", 10);
    let mut source = pair.source.conn();
    let sets = 500;
    for n in 0..sets {
        let add: Vec<_> = (0..20).map(|member| format!("m{member}")).collect();
        source.call(["SADD".to_owned(), format!("set:{n}")].into_iter().chain(add));
    }
    begin(&pair.interlay, &json!({"conflict": "none", "keys_per_s": 2000}));
    let mut conn = pair.interlay.conn();
    for n in 0..sets {
        assert_eq!(conn.call(["SADD", &format!("set:{n}"), "new"]), b":1\r\n");
    }
    let progress = ended(&pair.interlay);
    assert_eq!(number(&progress, "keys_kept"), 0, "{progress:#}");
    pair.settled();
    for n in 0..sets {
        assert_eq!(say(&pair.target, &format!("SCARD set:{n}")), b":21\r\n", "set:{n}");
    }
    has(&pair.target, 0, 20_000 + sets);
}

#[test]
fn paused_it_names_no_more_and_limits_change_while_it_runs() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 20_000, "k", 10);
    begin(&pair.interlay, &json!({"keys_per_s": 500}));
    eventually("it copies", || number(&progress(&pair.interlay), "keys_copied") > 50);
    assert_eq!(pair.interlay.cli(&["backfill", "pause"]).code, 0);
    eventually("what is named is copied", || {
        assert_eq!(pair.interlay.put(&format!("{BACKFILL}/limits"), &json!({})).code, 200);
        number(&progress(&pair.interlay), "keys_waiting") == 0 && pair.interlay.number("dirty_keys") == 0
    });
    let copied = number(&progress(&pair.interlay), "keys_copied");
    assert!(copied < 10_000, "{copied}");
    let mut conn = pair.interlay.conn();
    (0..500).for_each(|n| assert_eq!(conn.call(["SET", &format!("new{n}"), "v"]), b"+OK\r\n"));
    assert_eq!(number(&progress(&pair.interlay), "keys_copied"), copied, "paused");
    let again = pair.interlay.put(BACKFILL, &json!({}));
    assert_eq!(again.code, 409, "{}", again.body);
    assert_eq!(pair.interlay.cli(&["backfill", "resume"]).code, 0);
    let said = pair.interlay.cli(&["backfill", "wait"]);
    assert_eq!(said.code, 0, "{said:?}");
    pair.settled();
    assert_equal(&pair.source, &pair.target);
    assert_eq!(pair.interlay.cli(&["backfill", "cancel"]).code, 1, "none is under way");
}

#[test]
fn a_limit_bounds_the_keys_of_a_second() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 3_000, "k", 10);
    begin(&pair.interlay, &json!({"keys_per_s": 2000, "no_auto_limit": true}));
    let progress = ended(&pair.interlay);
    let ms = number(&progress, "ended_ms") - number(&progress, "started_ms");
    assert!(ms >= 1_300, "3000 keys at 2000 a second took {ms} ms");
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn cancelled_it_leaves_the_mirror_as_it_was() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 20_000, "k", 10);
    begin(&pair.interlay, &json!({"keys_per_s": 500}));
    assert_eq!(pair.interlay.cli(&["backfill", "cancel"]).code, 0);
    assert_eq!(progress(&pair.interlay)["state"], "cancelled");
    pair.settled();
    assert!(number(&progress(&pair.interlay), "keys_copied") < 10_000);
    assert_eq!(pair.interlay.conn().call(["SET", "k:1", "new"]), b"+OK\r\n");
    pair.interlay.answered();
    assert_eq!(say(&pair.target, "GET k:1"), b"$3\r\nnew\r\n");
}

#[test]
fn cancelled_it_leaves_a_repair_and_what_was_in_sync_as_they_were() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 5_000, "k", 10);
    begin(&pair.interlay, &json!({}));
    ended(&pair.interlay);
    eventually("it is synced", || pair.interlay.status()["phase"] == "synced");
    let cancelled = || {
        begin(&pair.interlay, &json!({"keys_per_s": 100}));
        assert_eq!(pair.interlay.cli(&["backfill", "cancel"]).code, 0);
    };
    cancelled();
    eventually("it is synced as before", || pair.interlay.status()["phase"] == "synced");
    let copied = pair.interlay.number("repairs");
    assert_eq!(pair.interlay.cli(&["repair", "--all", "--detach"]).code, 0);
    cancelled();
    eventually("the repair has gone on", || pair.interlay.status()["phase"] == "synced");
    assert!(pair.interlay.number("repairs") >= copied + 5_000, "{:#}", pair.interlay.status());
}

fn with_state(source: &Server, target: &Server, state: &Path) -> Interlay {
    let state = state.to_str().expect("a path in ASCII");
    Interlay::mirroring(source, target).args(["--state-dir", state]).expect_warnings().start()
}

#[test]
fn killed_again_and_again_it_goes_on_where_it_was() {
    let (source, target, folder) = (Server::start(), Server::start(), TempDir::new().expect("a folder"));
    let keys = 60_000;
    populate(&source, keys, "k", 20);
    let mut interlay = with_state(&source, &target, &folder.path().join("state"));
    begin(&interlay, &json!({"keys_per_s": 30_000}));
    for kill in 1..=4 {
        let until = kill * keys / 6;
        eventually("it comes on", || {
            let now = progress(&interlay);
            number(&now, "keys_seen") >= until || now["state"] == "ended"
        });
        let before = progress(&interlay);
        assert_eq!(before["state"], "running", "{before:#}");
        interlay.restart();
        let after = progress(&interlay);
        assert!(number(&after, "keys_seen") + 2_048 >= number(&before, "keys_seen"), "{before:#} {after:#}");
        assert_eq!((number(&after, "resumed"), &after["state"]), (kill, &json!("running")), "{after:#}");
    }
    let progress = ended(&interlay);
    // Behind each kill a few thousand keys had been named, and the keys of their buckets are copied again.
    assert!(number(&progress, "keys_seen") <= keys + 4 * 2_048, "{progress:#}");
    assert!(number(&progress, "keys_copied") <= keys * 2, "{progress:#}");
    interlay.settled();
    assert_equal(&source, &target);
}

#[test]
fn killed_it_still_keeps_what_the_target_had() {
    let (source, target, folder) = (Server::start(), Server::start(), TempDir::new().expect("a folder"));
    populate(&source, 30_000, "k", 20);
    for n in 0..100 {
        say(&target, &format!("SET k:{n} own"));
        say(&target, &format!("SET mine:{n} own"));
    }
    let mut interlay = with_state(&source, &target, &folder.path().join("state"));
    begin(&interlay, &json!({"conflict": "none", "keys_per_s": 10_000}));
    eventually("it comes on", || number(&progress(&interlay), "keys_copied") > 5_000);
    interlay.restart();
    ended(&interlay);
    interlay.settled();
    has(&target, 0, 30_100);
    let kept = (0..100).filter(|n| say(&target, &format!("GET k:{n}")) == b"$3\r\nown\r\n").count();
    // Keys that share a bucket with one that was being copied when the process died are copied over.
    assert!(kept >= 70, "{kept}");
    assert!((0..100).all(|n| say(&target, &format!("GET mine:{n}")) == b"$3\r\nown\r\n"));
}

#[test]
fn a_server_that_restarts_half_way_has_every_key_copied() {
    for (lost_source, data) in [(false, Data::Lost), (true, Data::Kept), (true, Data::Lost)] {
        let mut pair = Pair::with_warnings("source-authoritative", &[]);
        populate(&pair.source, 20_000, "k", 20);
        pair.source.save();
        begin(&pair.interlay, &json!({"keys_per_s": 20_000}));
        eventually("it copies", || number(&progress(&pair.interlay), "keys_copied") > 5_000);
        if lost_source {
            pair.source.restart(data)
        } else {
            pair.target.restart(data)
        }
        eventually("both are connected again", || {
            let status = pair.interlay.status();
            status["source"]["connected"] == true && status["target"]["connected"] == true
        });
        ended(&pair.interlay);
        pair.settled();
        assert_equal(&pair.source, &pair.target);
    }
}

#[test]
fn a_full_target_is_waited_for() {
    let pair = Pair::with_warnings("source-authoritative", &[]);
    populate(&pair.source, 20_000, "k", 500);
    say(&pair.target, "CONFIG SET maxmemory 4mb");
    begin(&pair.interlay, &json!({}));
    eventually("the target is full", || progress(&pair.interlay)["waits_for"].as_str().is_some_and(|reason| reason.starts_with("OOM")));
    assert_eq!(progress(&pair.interlay)["state"], "running");
    say(&pair.target, "CONFIG SET maxmemory 0");
    ended(&pair.interlay);
    pair.settled();
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn a_password_that_is_wrong_half_way_is_waited_for() {
    let pair = Pair::with_warnings("source-authoritative", &[]);
    populate(&pair.source, 20_000, "k", 20);
    begin(&pair.interlay, &json!({"keys_per_s": 10_000}));
    eventually("it copies", || number(&progress(&pair.interlay), "keys_copied") > 3_000);
    let mut operator = pair.target.conn();
    assert_eq!(operator.call(["CONFIG", "SET", "requirepass", "secret"]), b"+OK\r\n");
    operator.call(["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("the lane is lost", || pair.interlay.status()["target"]["connected"] == false);
    assert_eq!(progress(&pair.interlay)["state"], "running");
    assert_eq!(operator.call(["CONFIG", "SET", "requirepass", ""]), b"+OK\r\n");
    ended(&pair.interlay);
    pair.settled();
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn between_versions_every_type_arrives() {
    for newer_source in [false, true] {
        let (old, new) = (Server::old(), Server::start());
        let (source, target) = if newer_source { (new, old) } else { (old, new) };
        dataset::fill(&source);
        let interlay = Interlay::mirroring(&source, &target).start();
        begin(&interlay, &json!({}));
        ended(&interlay);
        interlay.settled();
        assert_eq!(digest(&source), digest(&target), "newer source: {newer_source}");
    }
}

#[test]
fn strings_of_every_length_arrive_whether_they_can_be_read_in_batches_or_not() {
    for rights in ["+getrange", "-getrange"] {
        let pair = Pair::start("source-authoritative");
        assert_eq!(pair.source.call(["ACL", "SETUSER", "default", rights]), b"+OK\r\n");
        let lengths = [0, 1, 16_382, 16_383, 16_384, 16_385, 100_000];
        for length in lengths {
            let value = vec![b'v'; length];
            assert_eq!(pair.source.call([b"SET".as_slice(), format!("lasts:{length}").as_bytes(), &value]), b"+OK\r\n");
            let set = [b"SET".as_slice(), &[b"ends:", length.to_string().as_bytes()].concat(), &value, b"PX", b"1000000007"];
            assert_eq!(pair.source.call(set), b"+OK\r\n");
        }
        say(&pair.target, "SET stranger v");
        begin(&pair.interlay, &json!({}));
        let progress = ended(&pair.interlay);
        pair.settled();
        assert_equal(&pair.source, &pair.target);
        assert!(number(&progress, "keys_copied") >= 2 * lengths.len() as u64, "{progress:#}");
        // What is short, and not empty, is written by a batch; beside the stranger.
        assert_eq!(pair.target.calls_of("set") > 1, rights == "+getrange");
        let alone = lengths.iter().filter(|length| rights == "-getrange" || !(1..16_384).contains(*length)).count();
        assert_eq!(pair.target.calls_of("restore"), 2 * alone as u64, "{rights}");
        assert!(pair.target.calls_of("scan") > 0, "strangers are looked for");
        for length in lengths {
            let ends = |server: &Server| say(server, &format!("PEXPIRETIME ends:{length}"));
            assert_eq!(ends(&pair.source), ends(&pair.target), "{rights} {length}");
        }
    }
}

#[test]
fn a_target_that_was_empty_is_not_scanned_whatever_comes_there_meanwhile() {
    let pair = Pair::start("source-authoritative");
    populate(&pair.source, 3_000, "k", 10);
    begin(&pair.interlay, &json!({"keys_per_s": 3_000}));
    let mut conn = pair.interlay.conn();
    (0..200).for_each(|n| assert_eq!(conn.call(["RPUSH", &format!("new:{n}"), "v"]), b":1\r\n"));
    (0..100).for_each(|n| assert_eq!(conn.call(["DEL", &format!("new:{n}"), &format!("k:{n}")]), b":2\r\n"));
    ended(&pair.interlay);
    pair.settled();
    assert_eq!(pair.target.calls_of("scan"), 0);
    assert_equal(&pair.source, &pair.target);
}

#[test]
fn error_keys_are_exported_imported_and_retried() {
    let pair = Pair::with_warnings("source-authoritative", &[]);
    assert_eq!(pair.source.call([b"RPUSH".as_slice(), b"bad\xff\n", b"v"]), b":1\r\n");
    say(&pair.source, "RPUSH good v");
    pair.refuse_copies();
    let said = pair.interlay.cli(&["backfill"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("2 cannot be copied"), "{said:?}");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("errors.jsonl");
    let file = file.to_str().expect("a path in ASCII");
    assert_eq!(pair.interlay.cli(&["errors", "--export", file]).code, 0);
    assert_eq!(std::fs::read_to_string(file).expect("the export").lines().count(), 2);
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "+restore"]), b"+OK\r\n");
    let said = pair.interlay.cli(&["errors", "--retry", "--match", "go*"]);
    assert_eq!((said.code, said.stdout.trim()), (0, "1 keys are tried again"), "{said:?}");
    assert_eq!(pair.interlay.cli(&["errors", "--import", file]).code, 0);
    pair.settled();
    assert_equal(&pair.source, &pair.target);
    assert_eq!(pair.interlay.cli(&["errors", "--import", "/no/such/file"]).code, 2);
}

#[test]
fn error_keys_with_awkward_names_of_sixteen_databases_are_listed_exported_and_imported() {
    let pair = Pair::with_warnings("source-authoritative", &[]);
    dataset::fill(&pair.source);
    let keys = 16 * dataset::KEYS_OF_A_DATABASE;
    let strings = |rule: &str| say(&pair.target, &format!("ACL SETUSER default {rule}"));
    strings("-set");
    pair.refuse_copies();
    assert_eq!(pair.interlay.cli(&["backfill"]).code, 1);
    eventually("every key is an error key", || pair.interlay.number("error_keys") == keys);
    // A line each, whatever is in their names; the first one says what the columns are.
    let listed = pair.interlay.cli(&["errors"]);
    assert_eq!((listed.code, listed.stdout.lines().count() as u64), (0, 1 + keys), "{listed:?}");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("errors.jsonl");
    let file = file.to_str().expect("a path in ASCII");
    assert_eq!(pair.interlay.cli(&["errors", "--export", file]).code, 0);
    strings("+set");
    pair.take_copies();
    assert_equal(&pair.source, &pair.target);

    // What nobody knows to be missing is copied by name, and only that.
    say(&pair.target, "FLUSHALL");
    say(&pair.source, "SET another v");
    let said = pair.interlay.cli(&["errors", "--import", file]);
    assert_eq!(said.code, 0, "{said:?}");
    pair.settled();
    let said = pair.interlay.cli(&["verify"]);
    assert_eq!((said.code, said.stdout.lines().last()), (1, Some(&*format!("OK:{keys} V:0 >:1 <:0 T:0"))), "{said:?}");
    say(&pair.source, "DEL another");
    assert_equal(&pair.source, &pair.target);
}
