//! Big collections are copied in pieces, whatever is written to them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use interlay_tests::{Interlay, Rng, Server, assert_equal, digest, eventually};

/// Elements of each big key; together some MB.
const ELEMENTS: usize = 60_000;

/// A key of every type, each many times as large as a piece. The stream has groups with pending entries.
const KEYS: [&str; 6] = ["string", "list", "set", "hash", "zset", "stream"];

/// Clients that write to them.
const WRITERS: u64 = 8;

fn fill(server: &Server) {
    let mut client = server.client();
    let noise = |n: usize| format!("{n}:{}", "x".repeat(n % 97));
    let mut pipeline = redis::pipe();
    pipeline.cmd("SETRANGE").arg("string").arg(4_000_000).arg("the end").ignore();
    for n in 0..ELEMENTS {
        pipeline.cmd("RPUSH").arg("list").arg(noise(n)).ignore();
        pipeline.cmd("SADD").arg("set").arg(noise(n)).ignore();
        pipeline.cmd("HSET").arg("hash").arg(n).arg(noise(n)).ignore();
        pipeline.cmd("ZADD").arg("zset").arg(n as f64 / 7.0).arg(noise(n)).ignore();
        pipeline.cmd("XADD").arg("stream").arg(format!("{}-{n}", n / 5 + 1)).arg("f").arg(noise(n)).ignore();
    }
    pipeline.cmd("XGROUP").arg("CREATE").arg("stream").arg("g").arg("0").ignore();
    for consumer in ["a", "b"] {
        pipeline
            .cmd("XREADGROUP")
            .arg("GROUP")
            .arg("g")
            .arg(consumer)
            .arg("COUNT")
            .arg(2_000)
            .arg("STREAMS")
            .arg("stream")
            .arg(">")
            .ignore();
    }
    pipeline.cmd("PEXPIREAT").arg("hash").arg(4_102_444_800_000_u64).ignore();
    pipeline.exec(&mut client).expect("a filled server");
}

/// One write of any kind to one of the keys.
fn write(rng: &mut Rng) -> Vec<String> {
    let n = rng.below(ELEMENTS as u64 * 2);
    let lines = [
        format!("SETRANGE string {} {n}", n * 30),
        format!("SETBIT string {n} 1"),
        format!("LPUSH list {n}"),
        "RPOP list".to_owned(),
        format!("LSET list {} new", n % 50_000),
        format!("SADD set {n}"),
        "SPOP set".to_owned(),
        format!("HSET hash {n} new {n}new new"),
        format!("HDEL hash {n}"),
        format!("HINCRBY hash {n}:count 1"),
        format!("ZADD zset {n} {n}"),
        format!("ZINCRBY zset 1.5 {n}"),
        "ZPOPMIN zset".to_owned(),
        format!("XADD stream * f {n}"),
        format!("XDEL stream {}-{n}", n / 5 + 1),
        format!("XREADGROUP GROUP g c{} COUNT 3 STREAMS stream >", n % 3),
    ];
    rng.pick(&lines).split(' ').map(str::to_owned).collect()
}

#[test]
fn big_keys_come_in_pieces() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source);
    target.call(["SADD", "hash", "another type"]);
    let interlay = Interlay::mirroring(&source, &target).args(["--repair-chunk-from-bytes", "64KiB"]).start();
    let said = interlay.cli(&["repair", "--all"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_equal(&source, &target);
    // Each of them has some MB.
    assert!(interlay.number("counters.repair_pieces") >= 6 * 20, "{:#}", interlay.status());
    assert_eq!(target.calls_of("restore"), 0);
}

#[test]
fn big_keys_are_copied_while_they_are_written() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source);
    let interlay = Interlay::mirroring(&source, &target).args(["--repair-chunk-from-bytes", "64KiB"]).start();
    let stop = Arc::new(AtomicBool::new(false));
    let seed = Rng::printed();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (mut conn, stop) = (interlay.conn(), Arc::clone(&stop));
            let mut rng = seed.fork(writer);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    conn.call(write(&mut rng));
                }
            })
        })
        .collect();
    let said = interlay.cli(&["repair", "--all", "--detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    eventually("every key is copied once, some in pieces", || {
        interlay.number("repairs") >= KEYS.len() as u64 && interlay.number("counters.repair_pieces") > 0
    });
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
    interlay.settled();
    assert_eq!(digest(&source), digest(&target));
}
