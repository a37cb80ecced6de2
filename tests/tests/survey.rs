//! Test runs of a backfill: what they tell is so, and they leave both servers as they were.

use interlay_tests::{Interlay, Pair, Said, Server, digest, is_error, text};
use serde_json::{Value, json};

fn say(conn: &mut interlay_tests::Conn, line: &str) {
    let reply = conn.call(line.split(' '));
    assert!(!is_error(&reply), "{line}: {}", text(&reply));
}

/// Keys of every type in two databases; large collections are held in tables, whose order is each server's own.
fn fill(server: &Server) {
    let mut conn = server.conn();
    for db in [0, 3] {
        say(&mut conn, &format!("SELECT {db}"));
        for n in 0..20 {
            say(&mut conn, &format!("SET string:{n} {n}"));
        }
        say(&mut conn, "SETEX short-lived 10000 x");
        say(&mut conn, "RPUSH list a b c");
        say(&mut conn, "ZADD zset 1.1 a 3.14 b -inf c");
        say(&mut conn, "XADD stream 1-1 f v");
        say(&mut conn, "XGROUP CREATE stream g 0");
        for n in 0..1000 {
            say(&mut conn, &format!("HSET hash f{n} {n}"));
            say(&mut conn, &format!("SADD set m{n}"));
        }
        assert_eq!(conn.call([&b"SET"[..], b"\xff\0\r\n", b"odd"]), b"+OK\r\n");
    }
}

fn put(interlay: &Interlay, what: &str, wanted: &Value) -> Value {
    let answer = interlay.put(&format!("/api/v1/backfill/{what}"), wanted);
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()
}

/// Runs a command that leaves both servers as they are.
fn harmless(interlay: &Interlay, [source, target]: [&Server; 2], args: &[&str]) -> Said {
    let before = [digest(source), digest(target)];
    let said = interlay.cli(&[&["backfill"], args].concat());
    assert_eq!([digest(source), digest(target)], before, "{said:?}");
    said
}

#[test]
fn a_dry_run_tells_what_would_move_and_writes_nothing() {
    let pair = Pair::start("source-authoritative");
    fill(&pair.source);
    pair.target.call(["SET", "list", "mine"]);
    pair.target.call(["SET", "other", "mine"]);
    let sides = [&pair.source, &pair.target];

    let said = harmless(&pair.interlay, sides, &["--dry-run", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let survey: Value = serde_json::from_str(&said.stdout).expect("a survey");
    let all = &survey["all"];
    assert_eq!((&all["keys"], &all["with_ttl"], &all["on_target"]), (&json!(54), &json!(2), &json!(1)), "{survey:#}");
    assert_eq!((&survey["extrapolates"], &survey["target_keys"], &survey["refused"]), (&json!(false), &json!(2), &json!([])), "{survey:#}");
    for (kind, keys) in [("string", 44), ("list", 2), ("zset", 2), ("stream", 2), ("hash", 2), ("set", 2)] {
        assert_eq!(survey["types"][kind]["keys"], keys, "{survey:#}");
    }
    for (at, db) in [0, 3].into_iter().enumerate() {
        assert_eq!((&survey["dbs"][at]["db"], &survey["dbs"][at]["keys"]), (&json!(db), &json!(27)), "{survey:#}");
    }
    let biggest: Vec<_> = survey["biggest"].as_array().expect("a list").iter().map(|big| big["type"].as_str().expect("a type")).collect();
    assert_eq!(biggest.len(), 10);
    assert!(biggest[..4].iter().all(|kind| ["hash", "set"].contains(kind)), "{biggest:?}");

    for (filter, keys) in [
        (vec!["--match", "string:*"], 40),
        (vec!["--type", "hash"], 2),
        (vec!["--db", "3"], 27),
        (vec!["--db", "3", "--match", "string:1*", "--type", "string"], 11),
        (vec!["--type", "none-such"], 0),
        (vec!["--db", "5"], 0),
    ] {
        let said = harmless(&pair.interlay, sides, &[&["--dry-run", "--json"], filter.as_slice()].concat());
        let survey: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        assert_eq!(survey["all"]["keys"], keys, "{filter:?}: {survey:#}");
    }

    let said = harmless(&pair.interlay, sides, &["--dry-run", "--sample", "6", "--conflict", "none"]);
    assert!(said.stdout.starts_with("a backfill would copy about 54 keys, "), "{said:?}");
    assert!(said.stdout.contains("\nextrapolated: ") && said.stdout.contains(" of 54 keys were asked about\n"), "{said:?}");
    assert_eq!(interlay_commands(&pair.target), 0, "something was written");
    for wrong in [&["--sample", "5"][..], &["--dry-run", "--detach"], &["--dry-run", "--trial", "5"], &["--trial", "0"]] {
        assert_eq!(pair.interlay.cli(&[&["backfill"], wrong].concat()).code, 2, "{wrong:?}");
    }
}

/// How often the server was told to take or delete keys under scratch names.
fn interlay_commands(server: &Server) -> u64 {
    server.calls_of("restore") + server.calls_of("del")
}

#[test]
fn a_trial_copies_keys_of_every_type_and_leaves_none() {
    let pair = Pair::start("source-authoritative");
    fill(&pair.source);
    pair.target.call(["SET", "other", "mine"]);
    let sides = [&pair.source, &pair.target];
    let writes = ["restore", "del", "set", "hset"].map(|command| pair.source.calls_of(command));

    let said = harmless(&pair.interlay, sides, &["--trial", "1000", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let trial: Value = serde_json::from_str(&said.stdout).expect("a trial");
    assert_eq!(trial["all"], json!({"same": 54, "unproved": 0, "differ": 0, "refused": 0}), "{trial:#}");
    assert_eq!((&trial["left"], trial["types"].as_object().map(serde_json::Map::len)), (&json!(0), Some(6)), "{trial:#}");
    assert!(trial["estimated_ms"].is_u64(), "{trial:#}");
    assert_eq!(pair.target.calls_of("restore"), 54);
    assert_eq!(pair.target.call(["DBSIZE"]), b":1\r\n");
    assert_eq!(["restore", "del", "set", "hset"].map(|command| pair.source.calls_of(command)), writes);

    let trial = put(&pair.interlay, "trial", &json!({"keys": 100, "type": "hash", "dbs": [3]}));
    assert_eq!((&trial["all"]["same"], &trial["estimated_ms"]), (&json!(1), &Value::Null), "{trial:#}");
    let said = harmless(&pair.interlay, sides, &["--trial", "10"]);
    assert!(said.code == 0 && said.stdout.starts_with("10 keys tried: 10 restored ("), "{said:?}");

    // What runs full is told, too.
    pair.target.call(["CONFIG", "SET", "maxmemory", "1"]);
    let said = harmless(&pair.interlay, sides, &["--trial", "10"]);
    pair.target.call(["CONFIG", "SET", "maxmemory", "0"]);
    assert!(said.code == 1 && said.stdout.contains("raise its maxmemory"), "{said:?}");
}

#[test]
fn an_older_target_refuses_payloads_and_is_told_to_get_them_by_type() {
    let (source, target) = (Server::start(), Server::old());
    fill(&source);
    let interlay = Interlay::mirroring(&source, &target).start();
    let said = harmless(&interlay, [&source, &target], &["--trial", "100"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("RESTORE: ERR DUMP payload version or checksum are wrong"), "{said:?}");
    assert!(said.stdout.contains("copies such keys by type"), "{said:?}");
    assert_eq!(target.call(["DBSIZE"]), b":0\r\n");
}

#[test]
fn an_older_source_is_tried_by_what_its_keys_hold() {
    let (source, target) = (Server::old(), Server::start());
    fill(&source);
    let interlay = Interlay::mirroring(&source, &target).start();
    let said = harmless(&interlay, [&source, &target], &["--trial", "100", "--json"]);
    let trial: Value = serde_json::from_str(&said.stdout).expect("a trial");
    assert_eq!(trial["all"], json!({"same": 54, "unproved": 0, "differ": 0, "refused": 0}), "{trial:#}");
}

#[test]
fn users_with_few_rights_are_told_what_the_target_refuses() {
    let (source, target) = (Server::start(), Server::with_args(&["--databases", "3"]));
    fill(&source);
    assert_eq!(target.call(["ACL", "SETUSER", "lane", "on", ">pw", "~*", "+@all", "-restore", "-exists"]), b"+OK\r\n");
    let url = format!("redis://lane:pw@127.0.0.1:{}", target.port());
    let interlay = Interlay::passthrough(&source).args(["--target", &url]).expect_warnings().start();
    let said = harmless(&interlay, [&source, &target], &["--trial", "20"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("RESTORE: NOPERM") && said.stdout.contains("the target's user has not the rights"), "{said:?}");

    let survey = put(&interlay, "survey", &json!({}));
    assert_eq!(
        (&survey["all"]["keys"], &survey["target_known"], &survey["missing_dbs"]),
        (&json!(54), &json!(false), &json!([3])),
        "{survey:#}"
    );
    assert!(survey["refused"][0].as_str().is_some_and(|words| words.starts_with("target: EXISTS: NOPERM")), "{survey:#}");

    // Some names only, and no deleting: what is left goes by itself.
    assert_eq!(target.call(["ACL", "SETUSER", "lane", "resetkeys", "~app:*", "+restore", "+exists"]), b"+OK\r\n");
    let said = harmless(&interlay, [&source, &target], &["--trial", "20"]);
    assert!(said.code == 1 && said.stdout.contains("interlay-trial:*"), "{said:?}");
    assert_eq!(target.call(["ACL", "SETUSER", "lane", "~*", "-del"]), b"+OK\r\n");
    let trial = put(&interlay, "trial", &json!({"keys": 5}));
    let same = trial["all"]["same"].as_u64().expect("a number");
    assert_eq!((&trial["left"], trial["all"]["refused"].as_u64()), (&json!(same), Some(0)), "{trial:#}");
    let name: String = redis::cmd("RANDOMKEY").query(&mut target.client()).expect("a key");
    assert!(name.starts_with("interlay-trial:"), "{name}");
    let ttl: i64 = redis::cmd("TTL").arg(&name).query(&mut target.client()).expect("a time to live");
    assert!((0..=60).contains(&ttl), "{ttl}");
}

#[test]
fn without_a_target_or_with_it_in_charge_there_is_no_trial() {
    let source = Server::start();
    let interlay = Interlay::passthrough(&source).start();
    for what in ["survey", "trial"] {
        assert_eq!(interlay.put(&format!("/api/v1/backfill/{what}"), &json!({"keys": 5})).code, if what == "trial" { 409 } else { 400 });
    }
    assert_eq!(interlay.put("/api/v1/backfill/survey", &json!({})).code, 409);

    let target = Server::start();
    let interlay = Interlay::mirroring(&source, &target).start();
    assert_eq!(interlay.cli(&["cutover", "--force"]).code, 0);
    let answer = interlay.put("/api/v1/backfill/trial", &json!({"keys": 5}));
    assert!(answer.code == 409 && answer.body.contains("the target is in charge"), "{}", answer.body);
    assert_eq!(put(&interlay, "survey", &json!({}))["all"]["keys"], 0);
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let (source, mut target) = (Server::start(), Server::start());
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
    target.kill();
    let answer = interlay.put("/api/v1/backfill/survey", &json!({}));
    assert!(answer.code == 503 && answer.body.contains("the target does not answer"), "{}", answer.body);
}
