//! Clients that break off, vanish, do not read, or send far too much at once.

use std::io::{Read, Write};
use std::thread;

use interlay_tests::{Conn, Load, PATIENCE, Pair, Rng, eventually, is_error, mix, text};

use super::usage;

const MIB: u64 = 1 << 20;

#[test]
fn half_a_request_at_the_end_of_a_connection_reaches_neither_server() {
    let pair = Pair::start("source-authoritative");
    let whole = Conn::encode(["SET", "whole", "v"]);
    let cut = Conn::encode(["SET", "cut", "value"]);
    for len in 1..cut.len() {
        let mut conn = pair.interlay.conn();
        conn.send([&whole, &cut[..len]].concat());
        conn.finish();
        assert_eq!(text(&conn.rest()), text(b"+OK\r\n"), "with {len} bytes of the cut request");
    }
    pair.assert_in_step();
    assert_eq!(pair.source.call(["DBSIZE"]), b":1\r\n");
}

#[test]
fn client_that_has_closed_its_end_gets_every_reply() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    conn.send(Conn::encode(["INCR", "n"]).repeat(10_000));
    conn.finish();
    let replies: String = (1..=10_000).map(|n| format!(":{n}\r\n")).collect();
    assert!(conn.rest() == replies.as_bytes(), "every reply comes, in order");
    pair.assert_in_step();
}

#[test]
fn quit_in_a_pipeline_ends_it_there() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    let requests = [["SET", "k", "1"].as_slice(), &["GET", "k"], &["QUIT"], &["SET", "k", "2"]];
    conn.send(requests.map(Conn::encode).concat());
    assert_eq!(text(&conn.rest()), text(b"+OK\r\n$1\r\n1\r\n+OK\r\n"));
    pair.assert_in_step();
    assert_eq!(pair.target.call(["GET", "k"]), b"$1\r\n1\r\n");
}

#[test]
fn clients_that_vanish_in_mid_pipeline_leave_both_servers_equal() {
    let pair = Pair::start("source-authoritative");
    let mut rng = Rng::printed();
    for _ in 0..100 {
        let mut conn = pair.interlay.conn();
        let requests: Vec<_> = (0..200).map(|_| Conn::encode(mix::write(&mut rng))).collect();
        let mut bytes = requests.concat();
        bytes.truncate(1 + rng.below(bytes.len() as u64) as usize);
        conn.send(bytes);
        if rng.below(2) == 0 {
            // Dropped with a reply unread, a socket is not closed but reset.
            conn.send(Conn::encode(["PING"]));
            conn.socket().peek(&mut [0]).ok();
        }
    }
    eventually("the vanished clients are gone", || pair.interlay.number("clients") == 0);
    pair.assert_in_step();
}

#[test]
fn broken_clients_cost_nobody_else_anything() {
    let rng = Rng::printed();
    let pair = Pair::start("source-authoritative");
    let load = Load::start(pair.interlay.port(), 10, &rng, mix::write);
    let mut rng = rng.fork(99);
    let broken: [&[u8]; 6] = [b"*1\r\n:1\r\n", b"*-\r\n", b"*1\r\n$-1\r\n", b"\"\r\n", b"*9\r\n$1\r\na", b"\x00\xff\n*1\r\n$999999999\r\n"];
    for _ in 0..300 {
        let mut conn = pair.interlay.conn();
        conn.send(Conn::encode(mix::write(&mut rng)));
        conn.send(rng.pick(&broken));
        if rng.below(2) == 0 {
            conn.finish();
            conn.rest();
        }
    }
    load.go_on_for(5_000);
    load.stop_without_errors();
    pair.assert_in_step();
}

#[test]
fn client_that_never_reads_large_replies_is_closed_and_its_memory_is_bounded() {
    let limits = ["--client-output-bytes-max", "8MiB", "--client-output-pause-bytes", "64KiB"];
    let pair = Pair::with_warnings("source-authoritative", &limits);
    let (pid, rng) = (pair.interlay.pid(), Rng::printed());
    assert_eq!(pair.source.call(["SET", "large", &"x".repeat(MIB as usize)]), b"+OK\r\n");
    let load = Load::start(pair.interlay.port(), 3, &rng, mix::write);
    load.go_on_for(1_000);
    let before = usage::bytes(pid, "VmHWM");
    let mut conn = pair.interlay.conn();
    conn.send(Conn::encode(["GET", "large"]).repeat(1_000));
    eventually("the client that does not read is closed", || pair.interlay.number("clients") == 3);
    load.go_on_for(1_000);
    load.stop_without_errors();
    let grown = usage::bytes(pid, "VmHWM").saturating_sub(before);
    // A buffer of twice the bound while it grows, the old one beside it, and what the load took.
    assert!(grown < 40 * MIB, "the process grew by {grown} bytes for one client");
    assert!(conn.rest().len() < 1_000 * MIB as usize, "the client was closed, not served");
}

#[test]
fn early_replies_of_a_client_are_bounded_as_the_others_are() {
    let limits = ["--client-output-bytes-max", "8MiB", "--client-output-pause-bytes", "64KiB", "--effect-timeout-ms", "0"];
    let pair = Pair::with_warnings("source-authoritative", &limits);
    let pid = pair.interlay.pid();
    let mut writer = pair.interlay.conn();
    assert_eq!(writer.call(["SET", "clean", "v"]), b"+OK\r\n");
    // A script leaves its key dirty, so that it is read on the authority.
    pair.refuse_copies();
    let sets = "return redis.call('SET', KEYS[1], ARGV[1])";
    assert_eq!(writer.call(["EVAL", sets, "1", "dirty", &"x".repeat(MIB as usize)]), b"+OK\r\n");
    pair.interlay.answered();
    pair.interlay.split(100);
    pair.target.freeze();
    let before = usage::bytes(pid, "VmHWM");
    let mut conn = pair.interlay.conn();
    conn.send([Conn::encode(["GET", "clean"]), Conn::encode(["GET", "dirty"]).repeat(200)].concat());
    eventually("the client is closed, or the authority has answered it", || {
        pair.interlay.number("clients") == 1 || pair.source.calls_of("get") == 200
    });
    assert_eq!(writer.call(["PING"]), b"+PONG\r\n", "behind the last of the replies");
    let grown = usage::bytes(pid, "VmHWM").saturating_sub(before);
    pair.target.thaw();
    assert!(grown < 40 * MIB, "the process grew by {grown} bytes for one client");
}

#[test]
fn client_that_reads_late_is_not_read_from_and_loses_nothing() {
    const REQUESTS: usize = 100_000;
    let pair = Pair::with_args("source-authoritative", &["--client-output-bytes-max", "16MiB", "--client-output-pause-bytes", "64KiB"]);
    let before = usage::bytes(pair.interlay.pid(), "VmHWM");
    let value = "x".repeat(200);
    assert_eq!(pair.interlay.conn().call(["SET", "k", &value]), b"+OK\r\n");
    let conn = pair.interlay.conn();
    let mut sender = conn.socket().try_clone().expect("a second handle");
    let sending = thread::spawn(move || sender.write_all(&Conn::encode(["GET", "k"]).repeat(REQUESTS)));
    let mut seen = 0;
    eventually("no more is read from the client", || {
        let before = std::mem::replace(&mut seen, pair.interlay.number("counters.requests"));
        before == seen && seen > 10_000
    });
    assert_eq!(pair.interlay.conn().call(["GET", "k"]).len(), 208, "others are served meanwhile");
    let mut replies = vec![0; REQUESTS * 208];
    let mut socket = conn.socket();
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    socket.read_exact(&mut replies).expect("every reply");
    sending.join().expect("no panic").expect("every request is taken");
    let reply = format!("$200\r\n{value}\r\n");
    assert!(replies.chunks(208).all(|one| one == reply.as_bytes()));
    let grown = usage::bytes(pair.interlay.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 16 * MIB, "the process grew by {grown} bytes for one client");
}

#[test]
fn pipeline_of_10_000_keeps_the_order_of_its_replies() {
    let pair = Pair::start("source-authoritative");
    let mut rng = Rng::printed();
    let mut conn = pair.interlay.conn();
    pair.interlay.split(50);
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for n in 0..10_000 {
        let number = n.to_string();
        let (request, reply) = match rng.below(8) {
            0 | 1 => (vec!["ECHO", &*number], format!("${}\r\n{number}\r\n", number.len())),
            2 | 3 => (vec!["SET", "k", "v"], "+OK\r\n".to_owned()),
            4 => (vec!["GETRANGE", "missing", "0", &*number], "$0\r\n\r\n".to_owned()),
            5 => (vec!["CLIENT", "SETNAME", &*number], "+OK\r\n".to_owned()),
            6 => (vec!["SELECT", if n % 2 == 0 { "0" } else { "1" }], "+OK\r\n".to_owned()),
            _ => (vec!["GET"], "-ERR wrong number of arguments for 'get' command\r\n".to_owned()),
        };
        requests.push(Conn::encode(request));
        expected.push(reply.into_bytes());
    }
    for (n, (got, expected)) in conn.pipeline(&requests).iter().zip(&expected).enumerate() {
        assert_eq!(text(got), text(expected), "reply {n} to {}", text(&requests[n]));
    }
    pair.assert_in_step();
}

#[test]
fn huge_pipelines_of_many_clients_are_answered_through_a_small_backlog() {
    let pair = Pair::with_args("source-authoritative", &["--authority-backlog-bytes-max", "64KiB"]);
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let mut conn = pair.interlay.conn();
            thread::spawn(move || {
                let requests = vec![Conn::encode(["APPEND", &format!("k{client}"), &"x".repeat(100)]); 3_000];
                let replies = conn.pipeline(&requests);
                let in_order = replies.iter().enumerate().all(|(n, reply)| *reply == format!(":{}\r\n", (n + 1) * 100).into_bytes());
                assert!(in_order && !replies.iter().any(|reply| is_error(reply)));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("every client gets its replies"));
    pair.assert_in_step();
}
