//! Writes that go to the authority around Interlay: with `watch` they are noticed and copied, without it they are not.

use std::sync::atomic::{AtomicBool, Ordering};

use interlay_tests::{Conn, Interlay, Load, Pair, Rng, Server, eventually, mix, text};

fn watched(policy: &str) -> Pair {
    let pair = Pair::with_args(policy, &["--watch", "true"]);
    watch_is(&pair.interlay, "on");
    pair
}

fn watch(interlay: &Interlay) -> String {
    interlay.status()["watch"].as_str().expect("the status has it").to_owned()
}

fn watch_is(interlay: &Interlay, is: &str) {
    eventually(&format!("the watch is {is:?}"), || watch(interlay).starts_with(is));
}

/// Writes around Interlay once more, and waits until that has been copied: so has all that was written before.
fn noticed(from: &Server, to: &Server) {
    assert_eq!(from.call(["SET", "last", "v"]), b"+OK\r\n");
    eventually("what was written last is copied", || to.call(["GET", "last"]) == b"$1\r\nv\r\n");
}

fn in_db(server: &Server, db: &str) -> Conn {
    let mut conn = server.conn();
    assert_eq!(conn.call(["SELECT", db]), b"+OK\r\n");
    conn
}

#[test]
fn keys_of_every_kind_and_database_are_copied_and_removed() {
    let pair = watched("source-authoritative");
    let mut through = pair.interlay.conn();
    assert_eq!(through.call(["SADD", "both", "a"]), b":1\r\n");
    for db in ["0", "3", "15"] {
        let mut around = in_db(&pair.source, db);
        for line in ["SET s v", "HSET h f 1", "SADD both b", "RPUSH l a b", "ZADD z 1 a", "XADD x 1-1 f v", "SET gone v", "SET soon v"] {
            around.call(line.split(' '));
        }
    }
    noticed(&pair.source, &pair.target);
    pair.assert_equal();
    assert_eq!(in_db(&pair.target, "15").call(["DBSIZE"]), b":8\r\n");
    for db in ["0", "15"] {
        let mut around = in_db(&pair.source, db);
        assert_eq!((around.call(["DEL", "gone"]), around.call(["PEXPIRE", "soon", "50"])), (b":1\r\n".to_vec(), b":1\r\n".to_vec()));
        assert_eq!(around.call(["RENAME", "s", "t"]), b"+OK\r\n");
    }
    assert_eq!(in_db(&pair.source, "3").call(["FLUSHDB"]), b"+OK\r\n");
    assert_eq!(pair.source.call(["DEL", "last"]), b":1\r\n");
    eventually("the key has expired", || pair.source.call(["EXISTS", "soon"]) == b":0\r\n");
    eventually("the flush is noticed", || pair.interlay.number("counters.flushes_seen") > 0);
    noticed(&pair.source, &pair.target);
    pair.assert_equal();
    assert_eq!(in_db(&pair.target, "3").call(["DBSIZE"]), b":0\r\n");
    assert!(pair.interlay.number("counters.written_around") >= 30, "{:#}", pair.interlay.status());
}

#[test]
fn writes_through_interlay_are_not_taken_for_others() {
    let pair = watched("source-authoritative");
    let mut conn = pair.interlay.conn();
    for n in 0..100 {
        let session: &[&str] = if n % 2 == 0 { &["HELLO", "3"] } else { &["HELLO", "2"] };
        conn.call(session);
        assert_eq!(conn.call(["SET", &format!("k{n}"), "v"]), b"+OK\r\n");
        conn.pipeline(&[Conn::encode(["MULTI"]), Conn::encode(["INCR", "n"]), Conn::encode(["EXEC"])]);
    }
    noticed(&pair.source, &pair.target);
    pair.assert_equal();
    assert_eq!(pair.interlay.number("counters.written_around"), 1, "{:#}", pair.interlay.status());
}

#[test]
fn writes_around_are_copied_while_others_write_through_interlay() {
    let rng = Rng::printed();
    let pair = watched("source-authoritative");
    let load = Load::start(pair.interlay.port(), 8, &rng, mix::write);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for db in ["0", "9"] {
            let (mut around, stop) = (in_db(&pair.source, db), &stop);
            scope.spawn(move || {
                for n in (0..100).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    around.call(["SADD", &format!("around{}", n % 7), &n.to_string()]);
                    around.call(["HINCRBY", "around-hash", &(n % 5).to_string(), "1"]);
                    around.call(["DEL", &format!("around{}", n % 11)]);
                    around.call(["SET", &format!("around-short{n}"), "v", "PX", "20"]);
                }
            });
        }
        load.go_on_for(20_000);
        stop.store(true, Ordering::Relaxed);
    });
    load.stop_without_errors();
    noticed(&pair.source, &pair.target);
    // SCAN has the server drop what has expired, where the digest would still have it.
    let scan = ["SCAN", "0", "MATCH", "around-short*", "COUNT", "1000000"];
    let none = |server, db| text(&in_db(server, db).call(scan)) == text(b"*2\r\n$1\r\n0\r\n*0\r\n");
    let short = || [&pair.source, &pair.target].iter().all(|server| none(server, "0") && none(server, "9"));
    eventually("short-lived keys have expired", short);
    pair.assert_equal();
}

#[test]
fn without_the_watch_nothing_is_noticed() {
    let pair = Pair::start("source-authoritative");
    assert_eq!(pair.source.call(["SET", "around", "v"]), b"+OK\r\n");
    assert_eq!(pair.interlay.conn().call(["SET", "through", "v"]), b"+OK\r\n");
    pair.settled();
    assert_eq!((pair.target.call(["EXISTS", "around"]), watch(&pair.interlay)), (b":0\r\n".to_vec(), "off".to_owned()));
}

#[test]
fn a_server_that_does_not_report_is_named_until_it_does() {
    let (source, target) = (Server::start(), Server::start());
    assert_eq!(source.call(["ACL", "SETUSER", "default", "-client|tracking"]), b"+OK\r\n");
    let interlay = Interlay::mirroring(&source, &target).args(["--watch", "true"]).expect_warnings().start();
    watch_is(&interlay, "unavailable: CLIENT TRACKING: NOPERM");
    eventually("the log says it too", || interlay.log().contains("writes around Interlay are not noticed"));
    assert_eq!(source.call(["ACL", "SETUSER", "default", "+client|tracking"]), b"+OK\r\n");
    watch_is(&interlay, "on");
    noticed(&source, &target);
}

#[test]
fn an_interruption_is_said_until_all_is_copied() {
    let pair = Pair::with_warnings("source-authoritative", &["--watch", "true"]);
    for name in ["name=interlay-watch ", "name=interlay-source-lane "] {
        watch_is(&pair.interlay, "on");
        let clients = text(&pair.source.call(["CLIENT", "LIST"]));
        let line = clients.split("id=").find(|line| line.contains(name)).expect("it is connected");
        let id = line.split(' ').next().expect("a line begins with an id");
        assert_eq!(pair.source.call(["CLIENT", "KILL", "ID", id]), b":1\r\n", "{line}");
        watch_is(&pair.interlay, "on; was interrupted");
        noticed(&pair.source, &pair.target);
        assert_eq!(pair.source.call(["DEL", "last"]), b":1\r\n");
        assert_eq!(pair.interlay.cli(&["repair", "--all"]).code, 0);
        eventually("nothing is missed any more", || watch(&pair.interlay) == "on");
    }
    pair.assert_equal();
}

#[test]
fn the_watch_follows_the_authority() {
    let pair = watched("source-authoritative");
    noticed(&pair.source, &pair.target);
    pair.settled();
    for (policy, from, to) in [("target-authoritative", &pair.target, &pair.source), ("source-authoritative", &pair.source, &pair.target)] {
        pair.interlay.policy(policy);
        watch_is(&pair.interlay, "on");
        assert_eq!(from.call(["SET", "last", "w"]), b"+OK\r\n");
        eventually("it is copied the other way", || to.call(["GET", "last"]) == b"$1\r\nw\r\n");
        assert_eq!(from.call(["DEL", "last"]), b":1\r\n");
        eventually("it is removed as well", || to.call(["EXISTS", "last"]) == b":0\r\n");
        pair.settled();
    }
}
