//! Connections to the servers are cut at random bytes, under load: clients see documented answers only, nothing is
//! carried out twice, and both servers are equal in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use interlay_tests::{Conn, Interlay, Launch, Rng, Server, eventually, text};

use super::broken_link::BrokenLink;
use super::checks::{DOCUMENTED, UNKNOWN, connected};

const WRITERS: u64 = 10;
const ROUNDS: u64 = 12;

/// Bytes after which a cut comes at the latest: a few thousand requests.
const CUT_WITHIN_BYTES: u64 = 300_000;

/// What one writer knows of its own counter.
struct Tally {
    acknowledged: u64,
    /// Increments that may have been carried out: told so, or the connection ended before the answer.
    unknown: u64,
}

#[test]
fn cuts_of_the_target_s_connection_are_noticed_by_no_client() {
    for tally in survive(&["target"]) {
        assert_eq!(tally.unknown, 0, "every write was acknowledged");
    }
}

#[test]
fn cuts_of_the_source_s_connection_leave_both_servers_equal() {
    survive(&["source"]);
}

#[test]
fn cuts_of_both_connections_leave_both_servers_equal() {
    survive(&["source", "target"]);
}

fn survive(sides: &[&str]) -> Vec<Tally> {
    let mut rng = Rng::printed();
    let (source, target) = (Server::start(), Server::start());
    let links = [("source", BrokenLink::to(&source)), ("target", BrokenLink::to(&target))];
    let args = ["--source", &links[0].1.url(), "--target", &links[1].1.url(), "--reconnect-backoff-max-ms", "50"];
    let interlay = Launch::default().args(args).expect_warnings().start();
    let writers = Writers::start(&interlay, &rng);
    for _ in 0..ROUNDS {
        for (side, link) in links.iter().filter(|(side, _)| sides.contains(side)) {
            link.cut_after(rng.below(CUT_WITHIN_BYTES));
            eventually("the connection is cut", || link.is_cut());
            // Other keys while it is down, and others again afterwards: or every key would be dirty, and proof of little.
            writers.round.fetch_add(1, Ordering::Relaxed);
            // Perhaps it was cut in the handshake; it is connected again in any case.
            connected(&interlay, side, true);
            writers.round.fetch_add(1, Ordering::Relaxed);
        }
    }
    let tallies = writers.stop();
    for side in ["source", "target"] {
        connected(&interlay, side, true);
    }
    assert!(interlay.number("counters.lane_losses") > 0);
    interlay.assert_equal(&source, &target);
    for (writer, Tally { acknowledged, unknown }) in tallies.iter().enumerate() {
        let value = text(&source.call(["GET", &format!("n{writer}")]));
        let value: u64 = value.split("\\r\\n").nth(1).and_then(|value| value.parse().ok()).expect("a counter");
        let possible = *acknowledged..=acknowledged + unknown;
        assert!(possible.contains(&value), "writer {writer}: {value} increments were carried out, {possible:?} asked for");
    }
    tallies
}

/// Connections that write, each from a thread, and go on with a new one when theirs ends.
struct Writers {
    round: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Writers {
    fn start(interlay: &Interlay, rng: &Rng) -> Self {
        let (round, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let port = interlay.port();
        let threads = (0..WRITERS).map(|writer| {
            let (round, stop, mut rng) = (Arc::clone(&round), Arc::clone(&stop), rng.fork(writer));
            thread::spawn(move || {
                let mut tally = Tally { acknowledged: 0, unknown: 0 };
                let mut conn = Conn::to(port);
                while !stop.load(Ordering::Relaxed) {
                    let round = round.load(Ordering::Relaxed);
                    if !one_batch(&mut conn, writer, round, &mut rng, &mut tally) {
                        conn = Conn::to(port);
                    }
                }
                tally
            })
        });
        Self { threads: threads.collect(), round, stop }
    }

    fn stop(self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a writer sees documented answers only")).collect()
    }
}

/// Sends a pipeline with one increment in it; false if the connection has ended.
fn one_batch(conn: &mut Conn, writer: u64, round: u64, rng: &mut Rng, tally: &mut Tally) -> bool {
    let counter = Conn::encode(["INCR", &format!("n{writer}")]);
    let mut requests = vec![counter];
    requests.extend((0..rng.below(20)).map(|_| Conn::encode(line(rng, round).split(' '))));
    let sent = conn.try_send(requests.concat()).is_ok();
    for n in 0..requests.len() {
        let Ok(reply) = conn.try_reply() else {
            tally.unknown += u64::from(n == 0);
            return false;
        };
        let reply = text(&reply);
        let known = |answer: &str| reply == text(answer.as_bytes());
        assert!(!reply.contains("interlay") || DOCUMENTED.iter().any(|answer| known(answer)), "not documented: {reply}");
        if n == 0 {
            tally.acknowledged += u64::from(reply.starts_with(':'));
            tally.unknown += u64::from(known(UNKNOWN));
        }
    }
    sent
}

/// A write to one of some hundred keys of this round.
fn line(rng: &mut Rng, round: u64) -> String {
    let (n, value) = (rng.below(200), rng.next_u64());
    let key = format!("{round}:{n}");
    match rng.below(8) {
        0 => format!("SET s{key} {value}"),
        1 => format!("APPEND s{key} {value}"),
        2 => format!("INCR c{key}"),
        3 => format!("RPUSH l{key} {value}"),
        4 => format!("LPOP l{key}"),
        5 => format!("HSET h{key} {} {value}", value % 5),
        6 => format!("DEL s{key} c{key}"),
        _ => format!("RENAME s{key} s{round}:{}", rng.below(200)),
    }
}
