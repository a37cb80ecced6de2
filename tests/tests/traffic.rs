//! Reads are split between the sides by their keys, and never see less than what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use interlay_tests::{Conn, Load, Pair, Rng, eventually, mix, text};
use serde_json::json;

const KEYS: usize = 400;

/// A script that sets its key to its argument, which leaves the key dirty until it is copied.
const SETS: &str = "return redis.call('SET', KEYS[1], ARGV[1])";

fn key(number: usize) -> String {
    format!("key:{number}")
}

/// Gives every key another value on either side, around the interlay: a read's reply then says where it was read.
fn tell_sides_apart(pair: &Pair) {
    for (server, value) in [(&pair.source, "source"), (&pair.target, "target")] {
        let mut conn = server.conn();
        let sets: Vec<_> = (0..KEYS).map(|number| Conn::encode(["SET", &key(number), value])).collect();
        conn.pipeline(&sets);
    }
}

/// Which keys are read on the target. One request at a time: what stands behind an unanswered request of its client's
/// on the source is read on the source.
fn read_on_target(conn: &mut Conn) -> Vec<bool> {
    (0..KEYS).map(|number| conn.call(["GET", &key(number)]) == b"$6\r\ntarget\r\n").collect()
}

#[test]
fn shift_is_refused_without_force() {
    let pair = Pair::start("source-authoritative");
    let answer = pair.interlay.put("/api/v1/traffic", &json!({"target_read_percent": 50}));
    assert!(answer.code == 409 && answer.body.contains("not every key was copied"), "{answer:?}");
    let said = pair.interlay.cli(&["traffic", "50"]);
    assert!(said.code == 1 && said.stderr.contains("not every key was copied"), "{said:?}");
    assert_eq!(pair.interlay.number("target_read_percent"), 0);

    let said = pair.interlay.cli(&["traffic", "50", "--force"]);
    assert_eq!((said.code, said.stdout.trim_end()), (0, "50 % of the reads go to the target"), "{said:?}");
    assert_eq!(pair.interlay.number("target_read_percent"), 50);
    assert_eq!(pair.interlay.cli(&["traffic", "0"]).code, 0, "back needs no force");
}

#[test]
fn half_of_the_keys_are_read_on_the_target_and_always_the_same_ones() {
    let pair = Pair::start("source-authoritative");
    tell_sides_apart(&pair);
    pair.interlay.split(50);
    let first = read_on_target(&mut pair.interlay.conn());
    let on_target = first.iter().filter(|on_target| **on_target).count();
    assert!((KEYS / 3..=KEYS * 2 / 3).contains(&on_target), "{on_target} of {KEYS}");
    assert_eq!(read_on_target(&mut pair.interlay.conn()), first);
    let calls = (pair.source.calls_of("get"), pair.target.calls_of("get"));
    assert_eq!(calls, (2 * (KEYS - on_target) as u64, 2 * on_target as u64));
    assert_eq!(pair.interlay.number("counters.target_reads"), 2 * on_target as u64);
}

#[test]
fn growing_share_moves_no_key_back() {
    let pair = Pair::start("source-authoritative");
    tell_sides_apart(&pair);
    let mut before = vec![false; KEYS];
    for percent in [1, 10, 50, 90, 100] {
        pair.interlay.split(percent);
        let now = read_on_target(&mut pair.interlay.conn());
        let moved_back = (0..KEYS).filter(|number| before[*number] && !now[*number]).count();
        assert_eq!(moved_back, 0, "at {percent} %");
        before = now;
    }
    assert_eq!(before, [true; KEYS]);
    pair.interlay.split(0);
    assert_eq!(read_on_target(&mut pair.interlay.conn()), [false; KEYS]);
}

#[test]
fn dirty_keys_are_read_on_the_source() {
    let pair = Pair::start("source-authoritative");
    pair.refuse_copies();
    let mut conn = pair.interlay.conn();
    conn.call(["MSET", "dirty", "old", "clean", "v"]);
    assert_eq!(conn.call(["EVAL", SETS, "1", "dirty", "new"]), b"+OK\r\n");
    pair.interlay.split(100);
    assert_eq!(conn.call(["GET", "dirty"]), b"$3\r\nnew\r\n");
    assert_eq!(conn.call(["MGET", "clean", "dirty"]), b"*2\r\n$1\r\nv\r\n$3\r\nnew\r\n");
    // Behind a copy on its way the target is asked, and its answer not believed when it refuses the copy.
    let asked = || pair.target.calls_of("get") + pair.target.calls_of("mget");
    assert_eq!(asked(), pair.interlay.number("counters.rerouted_reads"), "{:#}", pair.interlay.status());
    let before = asked();
    assert_eq!(conn.call(["GET", "clean"]), b"$1\r\nv\r\n");
    assert_eq!(asked(), before + 1);
}

#[test]
fn pipelined_client_reads_its_own_unanswered_write() {
    let pair = Pair::start("source-authoritative");
    pair.interlay.split(100);
    let mut conn = pair.interlay.conn();
    for round in 0..50 {
        let requests: Vec<_> = (0..40)
            .flat_map(|number| {
                let (key, value) = (key(number % 7), format!("{round}-{number}"));
                [Conn::encode(["SET", &key, &value]), Conn::encode(["GET", &key])]
            })
            .collect();
        for (number, replies) in conn.pipeline(&requests).chunks(2).enumerate() {
            let value = format!("{round}-{number}");
            assert_eq!(text(&replies[1]), text(format!("${}\r\n{value}\r\n", value.len()).as_bytes()));
        }
    }
}

/// The number in a reply to GET, 0 for none.
fn number(reply: &[u8]) -> u64 {
    let digits = reply.split(|byte| *byte == b'\n').nth(1).map(<[u8]>::trim_ascii).unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Counters with a writer each, and readers on connections of their own, while the split goes up and down and other
/// connections write: no reader sees less than what a writer has been told.
fn no_acknowledged_write_is_read_stale(policy: &str) {
    const COUNTERS: usize = 8;
    const READERS: u64 = 8;
    let rng = Rng::printed();
    let pair = Pair::start(policy);
    let acknowledged: Arc<[AtomicU64; COUNTERS]> = Arc::default();
    let (stop, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let load = Load::start(pair.interlay.port(), 10, &rng, mix::read_or_write);

    let mut threads = Vec::new();
    for counter in 0..COUNTERS {
        let (mut conn, acknowledged, stop) = (pair.interlay.conn(), Arc::clone(&acknowledged), Arc::clone(&stop));
        threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let value = conn.call(["INCR", &format!("counter:{counter}")]);
                let value = text(&value[1..value.len() - 2]).parse().expect("the counter's new value");
                acknowledged[counter].store(value, Ordering::SeqCst);
            }
        }));
    }
    for reader in 0..READERS {
        let mut rng = rng.fork(1000 + reader);
        let (mut conn, acknowledged, stop, reads) =
            (pair.interlay.conn(), Arc::clone(&acknowledged), Arc::clone(&stop), Arc::clone(&reads));
        threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let counter = rng.below(COUNTERS as u64) as usize;
                let known = acknowledged[counter].load(Ordering::SeqCst);
                let read = number(&conn.call(["GET", &format!("counter:{counter}")]));
                assert!(read >= known, "counter:{counter} was read as {read} after {known} had been acknowledged");
                reads.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    for percent in [50, 100, 50, 0, 100, 0, 50, 100, 0] {
        pair.interlay.split(percent);
        let until = reads.load(Ordering::SeqCst) + 2_000;
        eventually("the readers read", || {
            reads.load(Ordering::SeqCst) >= until || threads.iter().any(std::thread::JoinHandle::is_finished)
        });
    }
    stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("no stale read");
    }
    load.stop_without_errors();
    assert!(pair.interlay.number("counters.target_reads") > 2_000, "{:#}", pair.interlay.status());
    pair.assert_in_step();
}

#[test]
fn no_acknowledged_write_is_read_stale_when_the_source_is_in_charge() {
    no_acknowledged_write_is_read_stale("source-authoritative");
}

#[test]
fn no_acknowledged_write_is_read_stale_when_both_are_required() {
    no_acknowledged_write_is_read_stale("both-required");
}

#[test]
fn read_on_the_target_gets_no_error_from_the_unrepeatable_write_pipelined_behind_it() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    let sets: Vec<_> = (0..KEYS).map(|number| Conn::encode(["SET", &key(number), "v"])).collect();
    conn.pipeline(&sets);
    pair.settled();
    pair.interlay.split(100);
    for number in 0..KEYS {
        let key = key(number);
        let replies = conn.pipeline(&[Conn::encode(["GET", &key]), Conn::encode(["EVAL", SETS, "1", &key, "w"])]);
        assert_eq!([text(&replies[0]), text(&replies[1])], [text(b"$1\r\nv\r\n"), text(b"+OK\r\n")], "{key}");
    }
    assert_eq!(pair.interlay.number("counters.target_reads"), KEYS as u64);
}

#[test]
fn unlink_of_very_many_keys_counts_them_all_while_another_key_is_dirty() {
    const MANY: usize = 50_000;
    let pair = Pair::start("source-authoritative");
    pair.refuse_copies();
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call(["EVAL", SETS, "1", "dirty", "v"]), b"+OK\r\n");
    let keys: Vec<_> = (0..MANY).map(key).collect();
    let mset = ["MSET"].into_iter().chain(keys.iter().flat_map(|key| [&**key, "v"]));
    assert_eq!(conn.call(mset), b"+OK\r\n");
    let unlink = ["UNLINK"].into_iter().chain(keys.iter().map(|key| &**key));
    assert_eq!(text(&conn.call(unlink)), format!(":{MANY}\\r\\n"));
    pair.interlay.answered();
    assert_eq!((pair.interlay.number("dirty_keys"), pair.target.call(["DBSIZE"])), (1, b":0\r\n".to_vec()));
    pair.take_copies();
    pair.assert_in_step();
}
