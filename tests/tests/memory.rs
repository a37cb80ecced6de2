//! What an interlay takes of memory for large values and for many clients.

mod memory {
    pub(crate) mod usage;
}

use interlay_tests::{Conn, Pair, digest, eventually, is_error};
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
fn values_of_64_mb_are_copied_and_compared_in_little_memory() {
    const VALUE: usize = 64_000_000;
    /// A request that puts so many elements of so many bytes there, with one argument ahead of each if it takes pairs.
    fn fill(conn: &mut Conn, request: &[&[u8]], elements: usize, pairs: bool) {
        let each = VALUE / elements;
        for first in (0..elements).step_by(1000) {
            let mut args: Vec<Vec<u8>> = request.iter().map(|arg| arg.to_vec()).collect();
            for at in first..elements.min(first + 1000) {
                args.extend(pairs.then(|| at.to_string().into_bytes()));
                let mut element = vec![(at * 31 % 251) as u8; each];
                element[..8].copy_from_slice(&at.to_le_bytes());
                args.push(element);
            }
            assert!(!is_error(&conn.call(&args)));
        }
    }
    // The last column: MiB of the whole process. One element is held whole, on its way in and on its way out.
    for (kind, request, elements, pairs, most) in [
        ("string", &[&b"SET"[..], b"large"][..], 1, false, 150),
        ("list of many", &[b"RPUSH", b"large"], 64_000, false, 150),
        ("list of few", &[b"RPUSH", b"large"], 64, false, 150),
        ("hash of many", &[b"HSET", b"large"], 64_000, true, 150),
        ("hash of one", &[b"HSET", b"large"], 1, true, 250),
    ] {
        let pair = Pair::start("source-authoritative");
        fill(&mut pair.source.conn(), request, elements, pairs);
        let pid = pair.interlay.pid();
        for (command, expected) in [("backfill", "backfill ended; "), ("verify", "OK:1 V:0 >:0 <:0 T:0")] {
            let said = pair.interlay.cli(&[command]);
            assert!(said.code == 0 && said.stdout.starts_with(expected), "{kind}: {said:?}");
            let used = usage::bytes(pid, "VmHWM") / MIB;
            eprintln!("{kind}: {used} MiB at most by the end of {command}");
            assert!(used < most, "{kind}: {used} MiB");
        }
        assert_eq!(digest(&pair.source), digest(&pair.target));
    }
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
