//! Producers and consumers: every element is delivered exactly once, to whoever came first, and both servers end equal.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use interlay_tests::{Conn, Interlay, Load, Pair, Rng, eventually, is_error, mix, text};

use super::scene::{EndsWith, POLICIES, blocked, id, line, ok, patient, say, words};

/// How consumers take elements, each from lists or from sorted sets.
const TAKES: [&str; 7] = [
    "BLPOP list0 list1 list2 0",
    "BRPOP list2 list1 0",
    "BLMOVE list0 taken LEFT RIGHT 0",
    "BRPOPLPUSH list1 taken 0",
    "BLMPOP 0 3 list2 list1 list0 LEFT COUNT 3",
    "BZPOPMIN zset0 zset1 0",
    "BZMPOP 0 2 zset1 zset0 MAX COUNT 2",
];

/// Where producers put them. Elements begin with `p`.
const QUEUES: [&str; 5] = ["list0", "list1", "list2", "zset0", "zset1"];

/// Producers and consumers in two databases, each connection with a thread.
struct Market {
    producers: usize,
    each: usize,
    made: AtomicUsize,
    taken: AtomicUsize,
    ids: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Market {
    fn new(producers: usize, each: usize) -> Self {
        let [made, taken] = [0, 0].map(AtomicUsize::new);
        Self { producers, each, made, taken, ids: Mutex::default(), over: AtomicBool::new(false) }
    }

    /// Runs it to its end, `meanwhile` beside it, and asserts that every element was delivered exactly once.
    fn run(&self, interlay: &Interlay, rng: &Rng, meanwhile: impl FnOnce(&Self)) {
        let mut delivered = BTreeMap::<String, usize>::new();
        std::thread::scope(|scope| {
            let consumers: Vec<_> = (0..2 * TAKES.len()).map(|number| scope.spawn(move || self.consume(interlay, number))).collect();
            let producers: Vec<_> = (0..self.producers)
                .map(|number| {
                    let rng = rng.fork(1000 + number as u64);
                    scope.spawn(move || self.produce(interlay, number, rng))
                })
                .collect();
            meanwhile(self);
            producers.into_iter().for_each(|producer| producer.join().expect("a producer"));
            eventually("everything is taken", || {
                assert!(!consumers.iter().any(std::thread::ScopedJoinHandle::is_finished), "a consumer has failed");
                self.taken.load(Ordering::Relaxed) >= self.producers * self.each
            });
            self.over.store(true, Ordering::Relaxed);
            self.unblock(interlay);
            for consumer in consumers {
                for element in consumer.join().expect("a consumer") {
                    *delivered.entry(element).or_default() += 1;
                }
            }
        });
        let expected: BTreeMap<String, usize> =
            (0..self.producers).flat_map(|p| (0..self.each).map(move |n| (format!("p{p}-{n}"), 1))).collect();
        assert_eq!(delivered.len(), expected.len());
        assert!(delivered == expected, "{:?}", delivered.iter().find(|(_, times)| **times != 1));
    }

    /// Ends every consumer's waiting.
    fn unblock(&self, interlay: &Interlay) {
        let mut conn = interlay.conn();
        let ids = self.ids.lock().expect("nobody has failed").clone();
        for id in ids {
            assert_eq!(say(&mut conn, &format!("CLIENT UNBLOCK {id}")), r":1\r\n", "every consumer waits");
        }
    }

    fn consume(&self, interlay: &Interlay, number: usize) -> Vec<String> {
        let mut conn = interlay.conn();
        if number.is_multiple_of(3) {
            assert_eq!(conn.call(["HELLO", "3"]).first(), Some(&b'%'));
        }
        ok(&mut conn, &format!("SELECT {}", number % 2));
        self.ids.lock().expect("nobody has failed").push(id(&mut conn));
        let take = line(TAKES[number / 2]);
        let mut elements = Vec::new();
        loop {
            conn.send(&take);
            let reply = conn.reply();
            assert!(!is_error(&reply), "{}: {}", TAKES[number / 2], text(&reply));
            let before = elements.len();
            elements.extend(words(&reply).into_iter().filter(|word| word.starts_with('p')));
            self.taken.fetch_add(elements.len() - before, Ordering::Relaxed);
            if elements.len() == before {
                assert!(self.over.load(Ordering::Relaxed), "nothing came: {}", text(&reply));
                return elements;
            }
        }
    }

    fn produce(&self, interlay: &Interlay, number: usize, mut rng: Rng) {
        let mut conn = interlay.conn();
        ok(&mut conn, &format!("SELECT {}", number % 2));
        let mut n = 0;
        while n < self.each {
            let mut batch = Vec::new();
            while n < self.each && batch.len() < 8 {
                let count = (1 + rng.below(3) as usize).min(self.each - n);
                let elements: Vec<String> = (n..n + count).map(|n| format!("p{number}-{n}")).collect();
                let key = *rng.pick(&QUEUES);
                let request = if key.starts_with("zset") {
                    let scored = elements.iter().map(|element| format!("{} {element}", rng.below(50)));
                    format!("ZADD {key} {}", scored.collect::<Vec<_>>().join(" "))
                } else {
                    format!("{} {key} {}", rng.pick(&["LPUSH", "RPUSH"]), elements.join(" "))
                };
                batch.push(line(&request));
                n += count;
                if rng.below(3) == 0 {
                    break;
                }
            }
            for reply in conn.pipeline(&batch) {
                assert_eq!(reply.first(), Some(&b':'), "{}", text(&reply));
            }
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn every_element_is_delivered_exactly_once_under_every_policy() {
    for policy in POLICIES {
        let rng = Rng::printed();
        let pair = patient(policy);
        // Others write other keys of the same databases meanwhile.
        let load = Load::start(pair.interlay.port(), 4, &rng, mix::write);
        Market::new(8, 250).run(&pair.interlay, &rng, |_| {});
        load.stop_without_errors();
        pair.assert_in_step();
    }
}

#[test]
fn authority_changes_while_clients_wait_without_an_error_to_any() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let load = Load::start(pair.interlay.port(), 4, &rng, mix::read_or_write);
    Market::new(8, 500).run(&pair.interlay, &rng, |market| {
        for policy in ["target-authoritative", "source-authoritative"].iter().cycle().take(8) {
            let made = market.made.load(Ordering::Relaxed);
            load.go_on_for(300);
            pair.interlay.policy(policy);
            eventually("producers go on", || market.made.load(Ordering::Relaxed) > made || market.taken.load(Ordering::Relaxed) >= 8 * 500);
        }
    });
    load.stop_without_errors();
    pair.assert_in_step();
}

/// Waiters of one key, and one waiter of several, all parked in order.
fn parked(pair: &Pair, requests: &[&str]) -> Vec<Conn> {
    let park = |(number, request): (usize, &&str)| {
        let mut conn = pair.interlay.conn();
        conn.send(line(request));
        blocked(&pair.interlay, number + 1);
        conn
    };
    requests.iter().enumerate().map(park).collect()
}

#[test]
fn whoever_came_first_is_served_first() {
    for policy in POLICIES {
        let pair = patient(policy);
        let requests =
            ["BLPOP a 0", "BLPOP b a 0", "BRPOP a b 0", "BLMOVE a moved LEFT LEFT 0", "BLPOP b 0", "BLMPOP 0 1 a LEFT", "BLPOP a 0"];
        let mut waiters = parked(&pair, &requests);
        let mut conn = pair.interlay.conn();
        // One write has something for the first three; each next one for whoever is first then.
        assert_eq!(say(&mut conn, "RPUSH a 1 2 3"), r":3\r\n");
        assert_eq!(words(&waiters[0].reply()), ["a", "1"], "{policy}");
        assert_eq!(words(&waiters[1].reply()), ["a", "2"], "{policy}");
        assert_eq!(words(&waiters[2].reply()), ["a", "3"], "{policy}");
        say(&mut conn, "RPUSH b 4");
        assert_eq!(words(&waiters[4].reply()), ["b", "4"], "{policy}");
        conn.pipeline(&["RPUSH a 5", "RPUSH a 6", "RPUSH a 7"].map(line));
        assert_eq!(words(&waiters[3].reply()), ["5"], "{policy}");
        assert_eq!(words(&waiters[5].reply()), ["a", "6"], "{policy}");
        assert_eq!(words(&waiters[6].reply()), ["a", "7"], "{policy}");
        pair.assert_in_step();
        assert_eq!(pair.target.call(["KEYS", "*"]), b"*1\r\n$5\r\nmoved\r\n");
    }
}

#[test]
fn element_moved_by_a_waiter_serves_the_next_queue() {
    let pair = patient("source-authoritative");
    let mut waiters = parked(&pair, &["BLMOVE a b LEFT RIGHT 0", "BRPOPLPUSH b c 0", "BLPOP c 0"]);
    assert_eq!(say(&mut pair.interlay.conn(), "RPUSH a 1"), r":1\r\n");
    let replies: Vec<_> = waiters.iter_mut().map(|waiter| words(&waiter.reply()).join(" ")).collect();
    assert_eq!(replies, ["1", "1", "c 1"]);
    pair.assert_in_step();
    assert_eq!(pair.target.call(["DBSIZE"]), b":0\r\n");
}

#[test]
fn clients_that_vanish_while_they_wait_lose_no_element() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let delivered = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let vanished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let ends = EndsWith(&over);
        let stays = scope.spawn(|| {
            let mut conn = pair.interlay.conn();
            loop {
                let element = words(&conn.call(["BLPOP", "queue", "0"])).pop().expect("an element");
                if element == "end" {
                    return;
                }
                delivered.lock().expect("nobody has failed").push(element);
            }
        });
        for number in 0..4 {
            let (mut rng, interlay, over, vanished) = (rng.fork(number), &pair.interlay, &over, &vanished);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut conn = interlay.conn();
                    // Some are gone before the request is read, some once it waits.
                    conn.send(line(["BLPOP nothing queue0 0", "BLPOP nothing 0", "BRPOP nothing queue0 0"][rng.below(3) as usize]));
                    if rng.below(2) == 0 {
                        conn.request(["PING"]);
                    }
                    drop(conn);
                    vanished.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut conn = pair.interlay.conn();
        for n in 0..400 {
            let replies = conn.pipeline(&[line(&format!("RPUSH queue {n}")), line("LLEN nothing")]);
            assert_eq!(text(&replies[1]), r":0\r\n");
        }
        eventually("many have vanished", || vanished.load(Ordering::Relaxed) > 200);
        drop(ends);
        conn.call(["RPUSH", "queue", "end"]);
        stays.join().expect("a consumer");
    });
    assert_eq!(*delivered.lock().expect("nobody has failed"), (0..400).map(|n| n.to_string()).collect::<Vec<_>>());
    // They are gone from the queue too: what comes now stays there.
    blocked(&pair.interlay, 0);
    let mut conn = pair.interlay.conn();
    assert_eq!(say(&mut conn, "RPUSH nothing 1 2 3"), r":3\r\n");
    assert_eq!(say(&mut conn, "LLEN nothing"), r":3\r\n");
    pair.assert_in_step();
}

#[test]
fn waiter_that_vanished_is_passed_over() {
    for policy in POLICIES {
        let pair = patient(policy);
        let mut waiters = parked(&pair, &["BLPOP a 0", "BLPOP a 0", "BLPOP a 0"]);
        drop(waiters.remove(0));
        blocked(&pair.interlay, 2);
        say(&mut pair.interlay.conn(), "RPUSH a 1 2 3");
        assert_eq!(words(&waiters[0].reply()), ["a", "1"], "{policy}");
        assert_eq!(words(&waiters[1].reply()), ["a", "2"], "{policy}");
        assert_eq!(say(&mut pair.interlay.conn(), "LRANGE a 0 -1"), r"*1\r\n$1\r\n3\r\n");
        pair.assert_in_step();
    }
}

#[test]
fn pop_of_a_client_that_will_send_nothing_more_is_answered() {
    let pair = patient("source-authoritative");
    say(&mut pair.interlay.conn(), "RPUSH l 1 2");
    for server in [&pair.source.conn(), &pair.interlay.conn()].map(|conn| conn.socket().peer_addr().expect("an address").port()) {
        let mut conn = Conn::to(server);
        conn.send(line("BLPOP l 0"));
        conn.finish();
        assert!(text(&conn.rest()).starts_with(r"*2\r\n$1\r\nl\r\n$1\r\n"), "port {server}");
    }
}

#[test]
fn unblocked_clients_go_on() {
    let pair = patient("source-authoritative");
    let mut conn = pair.interlay.conn();
    let mut waiter = pair.interlay.conn();
    let waiting = id(&mut waiter);
    for (how, reply) in [("", r"*-1\r\n"), (" TIMEOUT", r"*-1\r\n"), (" ERROR", r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")] {
        waiter.send(line("BLPOP a b 0"));
        blocked(&pair.interlay, 1);
        assert_eq!(say(&mut conn, &format!("CLIENT UNBLOCK {waiting}{how}")), r":1\r\n");
        assert_eq!(text(&waiter.reply()), reply, "{how}");
        assert_eq!(say(&mut conn, &format!("CLIENT UNBLOCK {waiting}{how}")), r":0\r\n", "it waits no longer");
    }
    // What comes afterwards is not taken by who waited before.
    assert_eq!(say(&mut conn, "RPUSH a 1"), r":1\r\n");
    assert_eq!(say(&mut waiter, "LLEN a"), r":1\r\n");
    pair.assert_in_step();
}

#[test]
fn pops_of_long_lists_are_mirrored() {
    let pair = patient("source-authoritative");
    let mut conn = pair.interlay.conn();
    let elements: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    for chunk in elements.chunks(10_000) {
        let args = ["RPUSH", "long"].into_iter().chain(chunk.iter().map(String::as_str));
        assert_eq!(conn.call(args).first(), Some(&b':'));
    }
    let pops: Vec<_> =
        (0..2_000).map(|n| line(["BLPOP long 0", "BRPOP nothing long 0", "BLMOVE long other LEFT RIGHT 0"][n % 3])).collect();
    for (n, reply) in conn.pipeline(&pops).iter().enumerate() {
        let (turn, kind) = (n / 3, n % 3);
        let expected = [2 * turn, 100_000 - 1 - turn, 2 * turn + 1][kind].to_string();
        assert_eq!(words(reply).last(), Some(&expected), "pop {n}");
    }
    assert_eq!(say(&mut conn, "LLEN long"), r":98000\r\n");
    pair.assert_in_step();
}

#[test]
fn groups_of_a_stream_wait_each_for_itself() {
    let pair = patient("best-effort");
    let mut conn = pair.interlay.conn();
    for group in ["one", "two"] {
        ok(&mut conn, &format!("XGROUP CREATE events {group} $ MKSTREAM"));
    }
    let read = |group: &str, consumer: &str| format!("XREADGROUP GROUP {group} {consumer} COUNT 1 BLOCK 0 STREAMS events >");
    let requests = [read("one", "a"), read("one", "b"), read("two", "a"), "XREAD BLOCK 0 STREAMS events $".to_owned()];
    let mut waiters = parked(&pair, &requests.each_ref().map(String::as_str));
    for n in 1..=2 {
        assert!(say(&mut conn, &format!("XADD events {n}-1 f {n}")).contains(&format!("{n}-1")));
    }
    let ids: Vec<_> = waiters.iter_mut().map(|waiter| words(&waiter.reply())[1].clone()).collect();
    assert_eq!(ids, ["1-1", "2-1", "1-1", "1-1"]);
    assert!(say(&mut conn, "XPENDING events one").starts_with(r"*4\r\n:2\r\n"));
}
