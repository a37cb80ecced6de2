//! What an interlay takes of memory for large values and for many clients.

mod memory {
    pub(crate) mod usage;
}

use interlay_tests::{Conn, Pair, digest, eventually};
use memory::usage;
use rustix::process::{Resource, getrlimit};

const MIB: u64 = 1 << 20;

/// Files that this test process needs beside the clients' sockets.
const OTHER_FILES: u64 = 100;

#[test]
fn a_value_of_100_mb_passes_without_being_kept() {
    const VALUE: u64 = 100 * MIB;
    let pair = Pair::start("source-authoritative");
    let pid = pair.interlay.pid();
    let value: Vec<u8> = (0..VALUE).map(|at| (at * 31 % 251) as u8).collect();
    let before = usage::bytes(pid, "VmRSS");
    let mut conn = pair.interlay.conn();
    assert_eq!(conn.call([b"SET", &b"large"[..], &value]), b"+OK\r\n");
    let reply = conn.call(["GET", "large"]);
    assert!(reply.get(12..12 + value.len()) == Some(&value), "the value comes back");
    drop(reply);
    pair.settled();
    assert_eq!(digest(&pair.source), digest(&pair.target));
    let grown = usage::bytes(pid, "VmHWM").saturating_sub(before);
    eprintln!("grew by {:.2} x the value", grown as f64 / VALUE as f64);
    assert!(grown <= VALUE * 5 / 2, "the process grew by {grown} bytes");
    eventually("the memory is given back", || usage::bytes(pid, "VmRSS") < before + VALUE / 10);
}

#[test]
fn many_idle_clients_cost_little() {
    let pair = Pair::start("source-authoritative");
    let pid = pair.interlay.pid();
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let clients = 2_000.min(files.saturating_sub(OTHER_FILES));
    let before = usage::bytes(pid, "VmRSS");
    // Each has done something once, as clients of a pool have.
    let mut idle: Vec<Conn> = (0..clients).map(|_| pair.interlay.conn()).collect();
    idle.iter_mut().for_each(|conn| assert_eq!(conn.call(["SET", "k", "v"]), b"+OK\r\n"));
    let each = (usage::bytes(pid, "VmRSS").saturating_sub(before)) / clients;
    eprintln!("{each} bytes for each of {clients} idle clients");
    assert!(each <= 10 * 1024, "{each} bytes for each of {clients} idle clients");
    drop(idle);
    eventually("the clients are gone", || pair.interlay.number("clients") == 0);
    pair.assert_in_step();
}
