//! `interlay verify`: every planted difference is found by its name, and nothing else, whatever is written meanwhile.

use std::collections::BTreeMap;

use interlay_tests::{Data, Interlay, Load, Pair, Rng, Said, Server, digest, eventually, mix};
use serde_json::{Value, json};

/// Members of a collection that a server keeps in a hash table, in an order of its own.
const MANY: usize = 700;

/// Somewhere in the year 2100, in ms.
const FAR_AWAY_MS: u64 = 4_102_444_800_000;

/// Keys of every type, small ones and such that are kept in hash tables. `backwards` they are filled in the opposite order.
fn fill(server: &Server, backwards: bool) {
    let mut client = server.client();
    let mut pipeline = redis::pipe();
    let mut order: Vec<usize> = (0..MANY).collect();
    if backwards {
        order.reverse();
    }
    for n in &order {
        pipeline.cmd("SADD").arg("set").arg(format!("m{n}")).ignore();
        pipeline.cmd("HSET").arg("hash").arg(format!("f{n}")).arg(n * 3).ignore();
        pipeline.cmd("ZADD").arg("zset").arg(*n as f64 / 7.0).arg(format!("m{n}")).ignore();
        pipeline.cmd("SET").arg(format!("string:{n}")).arg(format!("value {n}")).ignore();
    }
    for n in 0..MANY {
        pipeline.cmd("RPUSH").arg("list").arg(n).ignore();
        pipeline.cmd("XADD").arg("stream").arg(format!("{}-1", n + 1)).arg("f").arg(n).ignore();
    }
    for (key, small) in [("small:set", "SADD"), ("small:list", "RPUSH")] {
        pipeline.cmd(small).arg(key).arg("a").arg("b").ignore();
    }
    pipeline.cmd("XGROUP").arg("CREATE").arg("stream").arg("g").arg("0").ignore();
    pipeline.cmd("XREADGROUP").arg("GROUP").arg("g").arg("c").arg("COUNT").arg(5).arg("STREAMS").arg("stream").arg(">").ignore();
    pipeline.cmd("SET").arg("expires").arg("x").arg("PXAT").arg(FAR_AWAY_MS).ignore();
    pipeline.cmd("SET").arg(b"\xff\0\r\n\"binary").arg("x").ignore();
    pipeline.cmd("SET").arg("").arg("the empty key").ignore();
    for db in 1..16 {
        pipeline.cmd("SELECT").arg(db).ignore();
        pipeline.cmd("SET").arg("k").arg(db).ignore();
    }
    pipeline.exec(&mut client).expect("a filled server");
}

/// Keys that [`fill`] makes.
const FILLED: u64 = MANY as u64 + 5 + 2 + 3 + 15;

fn verify(interlay: &Interlay, args: &[&str]) -> (Said, Value) {
    let said = interlay.cli(&[&["verify", "--json"], args].concat());
    let report = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said, report)
}

fn report(interlay: &Interlay) -> Value {
    let answer = interlay.get("/api/v1/verify");
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()
}

/// Database and key of each difference, with its kind.
fn differences(interlay: &Interlay) -> BTreeMap<(u64, String), String> {
    let answer = interlay.get("/api/v1/verify/differences");
    let lines = answer.body.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let of = |line: &Value| {
        let key = line["key"].as_str().map_or_else(|| line["key_base64"].as_str().expect("base64").to_owned(), str::to_owned);
        ((line["db"].as_u64().expect("a number"), key), line["kind"].as_str().expect("a kind").to_owned())
    };
    lines.map(|line| of(&line)).collect()
}

/// Begins a verification of many keys, and waits until some of them are compared.
fn begin(interlay: &Interlay) {
    let answer = interlay.put("/api/v1/verify", &json!({}));
    assert_eq!(answer.code, 200, "{}", answer.body);
    eventually("some keys are compared", || report(interlay)["keys"].as_u64().is_some_and(|keys| keys > 1000));
}

fn ended(interlay: &Interlay) -> Value {
    eventually("the verification ends", || {
        let state = report(interlay)["state"].clone();
        ["done", "failed", "cancelled"].iter().any(|end| state == **end)
    });
    report(interlay)
}

fn populate(server: &Server, keys: usize) {
    assert_eq!(server.call(["DEBUG", "POPULATE", &keys.to_string()]), b"+OK\r\n");
}

fn two_filled() -> (Server, Server) {
    let (source, target) = (Server::start(), Server::start());
    fill(&source, false);
    fill(&target, true);
    (source, target)
}

#[test]
fn what_is_equal_is_found_equal_whatever_order_a_server_keeps_it_in() {
    let (source, target) = two_filled();
    let interlay = Interlay::mirroring(&source, &target).start();
    let said = interlay.cli(&["verify"]);
    assert_eq!((said.code, said.stdout.trim_end()), (0, &*format!("OK:{FILLED} V:0 >:0 <:0 T:0")), "{said:?}");
}

#[test]
fn every_planted_difference_is_found_by_its_name() {
    let (source, target) = two_filled();
    let mut planted = BTreeMap::new();
    let mut plant = |server: &Server, db: u64, request: &[&[u8]], key: &str, kind: &str| {
        let mut conn = server.conn();
        conn.call(["SELECT", &db.to_string()]);
        let reply = conn.call(request);
        assert_ne!(reply.first(), Some(&b'-'), "{key}: {}", String::from_utf8_lossy(&reply));
        planted.insert((db, key.to_owned()), kind.to_owned());
    };
    plant(&target, 0, &[b"SET", b"string:5", b"other"], "string:5", "value");
    plant(&target, 0, &[b"SADD", b"set", b"one more"], "set", "value");
    plant(&source, 0, &[b"HSET", b"hash", b"f5", b"other"], "hash", "value");
    plant(&target, 0, &[b"ZADD", b"zset", b"0.125", b"m5"], "zset", "value");
    plant(&target, 0, &[b"LSET", b"list", b"5", b"other"], "list", "value");
    plant(&target, 0, &[b"XACK", b"stream", b"g", b"2-1"], "stream", "value");
    plant(&source, 0, &[b"SET", b"string:6", b"another type"], "string:6", "value");
    plant(&target, 0, &[b"DEL", b"string:6"], "string:6", "value");
    plant(&target, 0, &[b"LPUSH", b"string:6", b"x"], "string:6", "value");
    plant(&target, 0, &[b"PEXPIREAT", b"expires", b"4102444805000"], "expires", "ttl");
    plant(&source, 0, &[b"PEXPIREAT", b"string:7", b"4102444805000"], "string:7", "ttl");
    plant(&target, 0, &[b"DEL", b"string:8"], "string:8", "only_source");
    plant(&source, 0, &[b"DEL", b"string:9"], "string:9", "only_target");
    plant(&source, 0, &[b"SET", b"\xff\0\r\n\"binary", b"y"], "/wANCiJiaW5hcnk=", "value");
    plant(&target, 0, &[b"DEL", b""], "", "only_source");
    plant(&target, 15, &[b"SET", b"k", b"y"], "k", "value");
    plant(&source, 14, &[b"DEL", b"k"], "k", "only_target");
    plant(&target, 13, &[b"DEL", b"k"], "k", "only_source");
    let interlay = Interlay::mirroring(&source, &target).start();
    let (said, report) = verify(&interlay, &[]);
    assert_eq!(differences(&interlay), planted, "{report:#}");
    assert_eq!((said.code, &report["equal"]), (1, &json!(false)));
    let ok = FILLED - planted.len() as u64;
    assert_eq!(report["line"], json!(format!("OK:{ok} V:9 >:3 <:2 T:2")));
    let said = interlay.cli(&["verify"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!((said.code, lines.len(), *lines.last().expect("lines")), (1, 17, &*format!("OK:{ok} V:9 >:3 <:2 T:2")), "{said:?}");
    assert!(said.stdout.contains(r#"db 0 key "string:6" differs: string on the source, list on the target"#), "{said:?}");
    assert!(said.stdout.contains(r#"db 0 key "set" differs: 700 members on the source, 701 on the target"#), "{said:?}");

    // Repaired, all of them are compared again.
    let (said, repaired) = verify(&interlay, &["--repair"]);
    assert_eq!((said.code, &repaired["repaired"]), (0, &json!(16)), "{repaired:#}");
    assert_eq!(digest(&source), digest(&target));
    assert_eq!(interlay.cli(&["verify"]).code, 0);
}

#[test]
fn nothing_differs_while_twenty_clients_write() {
    let (source, target) = two_filled();
    let interlay = Interlay::mirroring(&source, &target).start();
    let load = Load::start(interlay.port(), 20, &Rng::printed(), mix::write);
    load.go_on_for(2000);
    for round in 0..5 {
        let (said, report) = verify(&interlay, &[]);
        assert_eq!(said.code, 0, "round {round}: {report:#}\n{:#?}", differences(&interlay));
        assert!(report["ok"].as_u64().is_some_and(|ok| ok >= FILLED - 10), "{report:#}");
    }
    load.stop_without_errors();
    interlay.settled();
    assert_eq!(digest(&source), digest(&target));
}

#[test]
fn a_difference_is_found_while_twenty_clients_write() {
    let (source, target) = two_filled();
    target.call(["HSET", "hash", "f5", "other"]);
    let interlay = Interlay::mirroring(&source, &target).start();
    let load = Load::start(interlay.port(), 20, &Rng::printed(), mix::write);
    load.go_on_for(2000);
    let (said, report) = verify(&interlay, &[]);
    assert_eq!((said.code, &report["value"], report["ok"].as_u64() > Some(FILLED - 10)), (1, &json!(1), true), "{report:#}");
    assert_eq!(differences(&interlay).into_keys().collect::<Vec<_>>(), [(0, "hash".to_owned())]);
    load.stop_without_errors();
}

#[test]
fn keys_that_expire_meanwhile_are_no_difference() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    let mut at = 0;
    for _ in 0..10 {
        let requests: Vec<_> = (0..3000)
            .map(|_| {
                at += 1;
                interlay_tests::Conn::encode(["SET", &format!("k{at}"), "v", "PX", &(1 + at % 700).to_string()])
            })
            .collect();
        conn.pipeline(&requests);
        let (said, report) = verify(&pair.interlay, &[]);
        assert_eq!(said.code, 0, "{report:#}\n{:#?}", differences(&pair.interlay));
    }
}

#[test]
fn a_target_killed_midway_is_compared_once_it_is_repaired() {
    let (source, mut target) = (Server::start(), Server::start());
    populate(&source, 40_000);
    populate(&target, 40_000);
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
    begin(&interlay);
    target.kill();
    target.restart(Data::Lost);
    let report = ended(&interlay);
    assert_eq!((&report["state"], &report["line"]), (&json!("done"), &json!("OK:40000 V:0 >:0 <:0 T:0")), "{report:#}");
}

#[test]
fn a_side_that_stands_still_midway_is_waited_for() {
    let (source, target) = (Server::start(), Server::start());
    populate(&source, 50_000);
    populate(&target, 50_000);
    target.call(["SET", "key:49999", "other"]);
    for frozen in [&target, &source] {
        let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
        begin(&interlay);
        frozen.freeze();
        let before = report(&interlay)["keys"].clone();
        eventually("nothing is under way", || {
            let now = report(&interlay);
            now["keys"] == before || now["keys"] == report(&interlay)["keys"]
        });
        frozen.thaw();
        let report = ended(&interlay);
        assert_eq!(report["line"], json!("OK:49999 V:1 >:0 <:0 T:0"), "{report:#}");
    }
}

#[test]
fn a_lane_cut_midway_is_made_good() {
    let (source, target) = (Server::start(), Server::start());
    populate(&source, 50_000);
    populate(&target, 50_000);
    for cut in [&target, &source] {
        let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
        begin(&interlay);
        cut.call(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let report = ended(&interlay);
        assert_eq!(report["line"], json!("OK:50000 V:0 >:0 <:0 T:0"), "{report:#}");
    }
}

#[test]
fn a_change_of_the_authority_ends_it_with_a_reason() {
    let (source, target) = (Server::start(), Server::start());
    populate(&source, 100_000);
    populate(&target, 100_000);
    let interlay = Interlay::mirroring(&source, &target).start();
    begin(&interlay);
    let answer = interlay.put("/api/v1/verify", &json!({}));
    assert_eq!(answer.code, 409, "{}", answer.body);
    let answer = interlay.put("/api/v1/policy", &json!({"policy": "target-authoritative", "force": true}));
    assert_eq!(answer.code, 200, "{}", answer.body);
    let report = ended(&interlay);
    assert_eq!((&report["state"], &report["equal"]), (&json!("failed"), &Value::Null));
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("authority")), "{report:#}");

    // The other way round sides are named as before.
    target.call(["SET", "only", "here"]);
    let (said, report) = verify(&interlay, &[]);
    assert_eq!((said.code, &report["line"]), (1, &json!("OK:100000 V:0 >:0 <:1 T:0")));
}

#[test]
fn an_older_target_is_compared_by_what_keys_hold() {
    let (source, target) = (Server::start(), Server::old());
    fill(&source, false);
    fill(&target, true);
    target.call(["ZADD", "zset", "0.5", "m5"]);
    target.call(["SET", "string:5", "other"]);
    let interlay = Interlay::mirroring(&source, &target).start();
    let (said, report) = verify(&interlay, &[]);
    let found: Vec<_> = differences(&interlay).into_keys().map(|(_, key)| key).collect();
    assert_eq!((said.code, found), (1, vec!["string:5".to_owned(), "zset".to_owned()]), "{report:#}");
    let (said, report) = verify(&interlay, &["--repair"]);
    assert_eq!((said.code, &report["repaired"]), (0, &json!(2)), "{report:#}");
}

#[test]
fn a_sample_is_the_same_each_time_and_about_as_large_as_it_says() {
    let (source, target) = (Server::start(), Server::start());
    populate(&source, 20_000);
    populate(&target, 20_000);
    let interlay = Interlay::mirroring(&source, &target).start();
    let sampled = || verify(&interlay, &["--sample", "10"]).1["ok"].as_u64().expect("a number");
    let first = sampled();
    assert!((1600..2400).contains(&first), "{first}");
    assert_eq!(sampled(), first);
    assert_eq!(interlay.cli(&["verify", "--sample", "0"]).code, 2);
}

#[test]
fn the_quick_one_compares_the_servers_own_numbers() {
    let (source, target) = two_filled();
    let interlay = Interlay::mirroring(&source, &target).start();
    let said = interlay.cli(&["verify", "--quick"]);
    assert_eq!(said.code, 0, "{said:?}");
    target.call(["DEL", "set"]);
    let said = interlay.cli(&["verify", "--quick"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("db 0 keys") && said.stdout.contains("used memory"), "{said:?}");
}

#[test]
fn a_big_value_is_compared_in_pieces() {
    let (source, target) = two_filled();
    let interlay = Interlay::mirroring(&source, &target).args(["--repair-chunk-from-bytes", "4KiB"]).start();
    let load = Load::start(interlay.port(), 4, &Rng::printed(), mix::write);
    let (said, report) = verify(&interlay, &[]);
    assert_eq!(said.code, 0, "{report:#}\n{:#?}", differences(&interlay));
    load.stop_without_errors();
    interlay.settled();
    for (key, request) in [
        ("hash", &["HSET", "hash", "f5", "other"][..]),
        ("list", &["LSET", "list", "600", "other"]),
        ("set", &["SADD", "set", "one more"]),
        ("stream", &["XACK", "stream", "g", "3-1"]),
        ("zset", &["ZADD", "zset", "0.5", "m600"]),
    ] {
        target.call(request);
        let (said, report) = verify(&interlay, &[]);
        assert_eq!((said.code, &report["value"]), (1, &json!(1)), "{key}: {report:#}");
        assert_eq!(differences(&interlay).into_keys().map(|(_, key)| key).collect::<Vec<_>>(), [key]);
        assert_eq!(verify(&interlay, &["--repair"]).0.code, 0);
    }
    assert_eq!(digest(&source), digest(&target));
}
