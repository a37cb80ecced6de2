//! A whole move from 6.2 to 7.0, and from 7.0 back to 6.2, whose DUMP payloads do not fit: with keys of every type, under load, there
//! and back and there again.

use interlay_tests::{Interlay, Load, Rng, Server, dataset, digest, eventually, is_error, mix, text};

/// Clients at once, and how many replies they get before and after each step.
const CLIENTS: u64 = 16;
const REPLIES: u64 = 3_000;

/// Runs a command, which has to do what it says.
fn run(interlay: &Interlay, command: &str) -> String {
    let said = interlay.cli(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(said.code, 0, "{command}: {said:?}");
    said.stdout
}

/// Both hold the same, whichever is the newer one. When a key expires is compared as it is told by either.
fn are_equal(interlay: &Interlay, source: &Server, target: &Server) {
    interlay.settled();
    assert_eq!(digest(source), digest(target));
    let left_ms = |server: &Server, key: &str| -> u64 {
        text(&server.call(["PTTL", key])).trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a time to live")
    };
    for key in ["expires", "hash", "stream", "list"] {
        // Both are asked one after the other.
        let apart = left_ms(source, key).abs_diff(left_ms(target, key));
        assert!(apart < 30_000, "{key} expires {apart} ms apart");
    }
}

fn moves(source: &Server, target: &Server) {
    dataset::fill(source);
    let interlay = Interlay::mirroring(source, target).start();
    run(&interlay, "check");
    let rng = Rng::printed();
    let under_load = |steps: &[&str]| {
        let load = Load::start(interlay.port(), CLIENTS, &rng, mix::read_or_write);
        load.go_on_for(REPLIES);
        steps.iter().for_each(|step| drop(run(&interlay, step)));
        load.go_on_for(REPLIES);
        load.stop_without_errors();
        are_equal(&interlay, source, target);
    };
    under_load(&["backfill"]);
    under_load(&["verify"]);
    // Reads that the target does not know stay with the source.
    run(&interlay, "traffic 100");
    let mut conn = interlay.conn();
    for read in [&["PEXPIRETIME", "plain"][..], &["LCS", "plain", "plain"], &["SINTERCARD", "1", "set"], &["GET", "plain"]] {
        let expected = source.call(read);
        assert!(is_error(&expected) || text(&conn.call(read)) == text(&expected), "{read:?}");
    }
    assert!(target.calls_of("get") > 0, "reads are shifted");
    run(&interlay, "traffic 0");
    assert!(run(&interlay, "verify").contains(" V:0 >:0 <:0 T:0"));
    for change in ["cutover", "rollback", "cutover"] {
        under_load(&[change]);
        run(&interlay, "verify");
    }
    let serves = || text(&source.call(["CLIENT", "LIST"])).contains("name=interlay");
    assert!(serves());
    run(&interlay, "complete");
    let load = Load::start(interlay.port(), CLIENTS, &rng, mix::read_or_write);
    load.go_on_for(REPLIES);
    load.stop_without_errors();
    assert_eq!(interlay.status()["phase"], "completed");
    eventually("the source is let go", || !serves());
}

#[test]
fn from_an_older_server_to_a_newer_one() {
    moves(&Server::old(), &Server::start());
}

#[test]
fn from_a_newer_server_to_an_older_one() {
    moves(&Server::start(), &Server::old());
}
