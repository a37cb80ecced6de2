//! Transactions of many clients: atomic on both sides, in one order with everybody's other writes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use interlay_tests::{Conn, Interlay, Load, Rng, eventually, is_error, mix, text};

use super::scene::{EndsWith, POLICIES, line, number, ok, patient, say, words};

/// Databases in which transactions leave their client.
const DBS: [&str; 3] = ["0", "1", "2"];

/// A transaction in one batch: two keys that have to stay equal, a list, perhaps other databases and failing commands,
/// and colliding writes of any kind. The requests between MULTI and EXEC.
fn whole(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut requests = vec![line("INCR twin{a}"), line("INCR twin{b}")];
    for _ in 0..rng.below(4) {
        requests.push(mixed(rng));
    }
    if rng.below(3) == 0 {
        requests.push(line("LPUSH twin{a} x"));
    }
    if rng.below(3) == 0 {
        requests.push(line(&format!("SELECT {}", rng.pick(&DBS))));
        requests.push(line("INCR elsewhere"));
        requests.push(line(&format!("RPUSH l0 {}", rng.below(100))));
        requests.push(line("SELECT 0"));
    }
    if rng.below(3) == 0 {
        requests.push(line("BLPOP l0 l1 0"));
    }
    requests
}

/// Sends whole transactions; returns how many were carried out.
fn batches(interlay: &Interlay, mut rng: Rng, count: usize) -> usize {
    let mut conn = interlay.conn();
    let mut executed = 0;
    for _ in 0..count {
        let mut batch = vec![line("MULTI")];
        batch.extend(whole(&mut rng));
        let aborts = rng.below(5) == 0;
        if aborts {
            batch.push(line("GET"));
        }
        let discards = rng.below(6) == 0;
        batch.push(line(if discards { "DISCARD" } else { "EXEC" }));
        let replies = conn.pipeline(&batch);
        assert_eq!(text(&replies[0]), r"+OK\r\n");
        let last = text(&replies[replies.len() - 1]);
        match (discards, aborts) {
            (true, _) => assert_eq!(last, r"+OK\r\n"),
            (_, true) => assert_eq!(last, r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
            _ => {
                assert!(last.starts_with(&format!(r"*{}\r\n:", batch.len() - 2)), "{last}");
                executed += 1;
            }
        }
    }
    executed
}

/// A request of the mix that leaves its client in its database.
fn mixed(rng: &mut Rng) -> Vec<u8> {
    loop {
        let request = mix::read_or_write(rng);
        if request[0] != b"SELECT" {
            return Conn::encode(request);
        }
    }
}

/// Counts up what it has read, if nobody else has written it meanwhile; returns how often that was so.
fn count_up(interlay: &Interlay, db: &str, rounds: usize) -> usize {
    let mut conn = interlay.conn();
    ok(&mut conn, &format!("SELECT {db}"));
    let mut executed = 0;
    for _ in 0..rounds {
        ok(&mut conn, "WATCH counter");
        let seen = words(&conn.call(["GET", "counter"])).pop().map_or(0, |seen| seen.parse::<usize>().expect("a number"));
        ok(&mut conn, "MULTI");
        assert_eq!(say(&mut conn, &format!("SET counter {}", seen + 1)), r"+QUEUED\r\n");
        assert_eq!(say(&mut conn, "INCR executed"), r"+QUEUED\r\n");
        let reply = conn.call(["EXEC"]);
        assert!(!is_error(&reply), "{}", text(&reply));
        executed += usize::from(reply.starts_with(b"*2\r\n+OK"));
    }
    executed
}

#[test]
fn transactions_of_many_clients_leave_both_servers_equal_under_every_policy() {
    for policy in POLICIES {
        let rng = Rng::printed();
        let pair = patient(policy);
        let load = Load::start(pair.interlay.port(), 6, &rng, mix::write);
        let (mut whole, mut optimistic) = (0, [0, 0]);
        std::thread::scope(|scope| {
            let interlay = &pair.interlay;
            let batching: Vec<_> =
                (0..8).map(|n| (n, rng.fork(500 + n))).map(|(_, rng)| scope.spawn(|| batches(interlay, rng, 40))).collect();
            let counting: Vec<_> = (0..6).map(|n| (n % 2, scope.spawn(move || count_up(interlay, DBS[n % 2], 15)))).collect();
            whole += batching.into_iter().map(|thread| thread.join().expect("a client")).sum::<usize>();
            for (db, thread) in counting {
                optimistic[db] += thread.join().expect("a client");
            }
        });
        load.stop_without_errors();
        pair.assert_in_step();
        for server in [&pair.source, &pair.target] {
            let mut conn = server.conn();
            for twin in ["twin{a}", "twin{b}"] {
                assert_eq!(words(&conn.call(["GET", twin])), [whole.to_string()], "{policy}");
            }
            for (db, executed) in optimistic.iter().enumerate() {
                ok(&mut conn, &format!("SELECT {db}"));
                assert_eq!(words(&conn.call(["MGET", "counter", "executed"])), [executed.to_string(), executed.to_string()], "{policy}");
                assert!(*executed > 0, "{policy}");
            }
        }
    }
}

#[test]
fn transactions_are_never_seen_by_half() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let over = AtomicBool::new(false);
    let looked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let _ends = EndsWith(&over);
        for server in [&pair.source, &pair.target] {
            let (over, looked) = (&over, &looked);
            scope.spawn(move || {
                let mut conn = server.conn();
                while !over.load(Ordering::Relaxed) {
                    let twins = words(&conn.call(["MGET", "twin{a}", "twin{b}"]));
                    assert!(twins.is_empty() || twins[0] == twins[1], "{twins:?}");
                    looked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..4).map(|n| rng.fork(n)).map(|rng| scope.spawn(|| batches(&pair.interlay, rng, 100))).collect();
        writers.into_iter().for_each(|writer| _ = writer.join().expect("a client"));
        eventually("both were looked at", || looked.load(Ordering::Relaxed) > 200);
    });
    pair.assert_in_step();
}

#[test]
fn failing_commands_inside_leave_what_the_others_did() {
    for policy in POLICIES {
        let pair = patient(policy);
        let mut conn = pair.interlay.conn();
        let requests = ["MULTI", "SET s v", "INCR s", "RPUSH l 1 2", "LPUSH s 1", "SELECT 1", "SET t w", "SELECT 99", "HSET t f v", "EXEC"];
        // In one batch and request by request.
        for batch in [true, false] {
            let replies =
                if batch { conn.pipeline(&requests.map(line)) } else { requests.map(|request| conn.call(request.split(' '))).into() };
            let got = text(&replies[9]);
            assert!(got.starts_with(r"*8\r\n+OK\r\n-ERR value is not an integer or out of range\r\n:"), "{policy}: {got}");
            assert_eq!(got.matches("-WRONGTYPE").count(), 2, "{policy}: {got}");
            assert!(got.contains(r"-ERR DB index is out of range\r\n"), "{policy}: {got}");
            assert_eq!(say(&mut conn, "GET t"), r"$1\r\nw\r\n", "the client is in the database that the transaction selected");
            ok(&mut conn, "SELECT 0");
        }
        assert_eq!(say(&mut conn, "LLEN l"), r":4\r\n");
        pair.assert_in_step();
    }
}

#[test]
fn watcher_that_never_finishes_holds_nobody_up() {
    for policy in POLICIES {
        let pair = patient(policy);
        let mut idle = pair.interlay.conn();
        ok(&mut idle, "WATCH k");
        ok(&mut idle, "MULTI");
        assert_eq!(say(&mut idle, "SET k mine"), r"+QUEUED\r\n");
        let mut conn = pair.interlay.conn();
        for n in 1..=100 {
            let reply = conn.pipeline(&["MULTI", "INCR k", "EXEC"].map(line)).pop().expect("a reply");
            assert_eq!(text(&reply), format!(r"*1\r\n:{n}\r\n"));
        }
        assert_eq!(count_up(&pair.interlay, "0", 3), 3, "{policy}");
        assert_eq!(say(&mut idle, "EXEC"), r"*-1\r\n", "the key was written");
        pair.assert_in_step();
        assert_eq!(pair.target.call(["GET", "k"]), b"$3\r\n100\r\n");
    }
}

#[test]
fn clients_that_vanish_while_they_wait_for_their_turn_hold_nobody_up() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let load = Load::start(pair.interlay.port(), 4, &rng, mix::write);
    for _ in 0..150 {
        let mut conn = pair.interlay.conn();
        ok(&mut conn, "WATCH untouched");
        ok(&mut conn, "MULTI");
        assert_eq!(say(&mut conn, "INCR n"), r"+QUEUED\r\n");
        conn.send(line("EXEC"));
    }
    load.go_on_for(200);
    load.stop_without_errors();
    pair.assert_in_step();
}

#[test]
fn nothing_is_mirrored_of_a_client_that_vanishes_before_exec() {
    for policy in POLICIES {
        let pair = patient(policy);
        for requests in [&["MULTI", "SET k v"][..], &["WATCH k", "MULTI", "SET k v", "INCR n"]] {
            let mut conn = pair.interlay.conn();
            requests.iter().for_each(|request| _ = say(&mut conn, request));
            drop(conn);
            let mut conn = pair.interlay.conn();
            conn.send(requests.iter().map(|request| line(request)).collect::<Vec<_>>().concat());
            drop(conn);
        }
        let mut conn = pair.interlay.conn();
        eventually("only this client is left", || words(&conn.call(["CLIENT", "LIST"])).concat().lines().count() == 1);
        ok(&mut conn, "SET after v");
        pair.assert_in_step();
        assert_eq!((number(&pair.source.call(["DBSIZE"])), number(&pair.target.call(["DBSIZE"]))), (1, 1), "{policy}");
    }
}
