//! The target goes down, stops, comes back empty, or talks nonsense, under `source-authoritative`: clients notice
//! nothing, and what the target has missed is known as dirty, in bounded memory, until it is copied.

use interlay_tests::{Conn, Data, Interlay, Launch, Load, Pair, Rng, Server, assert_equal, eventually, mix, text};

use super::broken_link::BrokenLink;
use super::checks::{assert_differing_keys_are_dirty, connected, held, write};
use super::usage;

const MIB: u64 = 1 << 20;

#[test]
fn target_down_at_the_start_costs_no_client_anything() {
    let (source, mut target) = (Server::start(), Server::start());
    target.kill();
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().unready().start();
    connected(&interlay, "source", true);
    let mut conn = interlay.conn();
    write(&mut conn, "early", "v", 100);
    assert_eq!((interlay.number("dirty_keys"), interlay.number("counters.skipped_down")), (100, 100));
    target.restart(Data::Lost);
    connected(&interlay, "target", true);
    assert_eq!(interlay.status()["suspect"], false, "this process is the first one known");
    write(&mut conn, "early", "w", 50);
    write(&mut conn, "late", "v", 100);
    interlay.settled();
    assert!(interlay.number("repairs") >= 50, "{:#}", interlay.status());
    assert_equal(&source, &target);
}

#[test]
fn target_that_comes_back_empty_is_no_longer_read_from_and_gets_every_key() {
    let mut pair = Pair::with_warnings("source-authoritative", &["--reconnect-backoff-max-ms", "50"]);
    let mut conn = pair.interlay.conn();
    write(&mut conn, "k", "v", 100);
    pair.settled();
    pair.interlay.split(100);
    pair.target.kill();
    for n in 0..100 {
        assert_eq!(text(&conn.call(["GET", &format!("k{n}")])), text(b"$1\r\nv\r\n"));
        assert_eq!(conn.call(["SET", &format!("missed{n}"), "v"]), b"+OK\r\n");
    }
    pair.target.restart(Data::Lost);
    eventually("the restart is noticed", || pair.interlay.number("target_read_percent") == 0);
    assert_eq!(text(&conn.call(["GET", "k1"])), text(b"$1\r\nv\r\n"), "the empty target is not asked");
    write(&mut conn, "late", "v", 100);
    pair.assert_equal();
    assert_eq!(["late", "k", "missed"].map(|prefix| held(&pair.target, prefix, "v", 100)), [100; 3]);
}

#[test]
fn frozen_target_is_given_up_and_what_it_missed_is_dirty_until_it_is_copied() {
    let pair = Pair::with_warnings("source-authoritative", &["--effect-timeout-ms", "300", "--connect-timeout-ms", "200"]);
    let mut conn = pair.interlay.conn();
    write(&mut conn, "before", "v", 100);
    pair.settled();
    pair.refuse_copies();
    pair.target.freeze();
    write(&mut conn, "sent", "v", 100);
    connected(&pair.interlay, "target", false);
    write(&mut conn, "missed", "v", 100);
    pair.target.thaw();
    connected(&pair.interlay, "target", true);
    write(&mut conn, "after", "v", 100);
    write(&mut conn, "missed", "w", 10);
    pair.interlay.answered();
    assert_eq!((held(&pair.target, "before", "v", 100), held(&pair.target, "after", "v", 100)), (100, 100));
    assert_eq!(held(&pair.source, "sent", "v", 100), 100);
    let status = pair.interlay.status();
    assert_eq!((&status["dirty_keys"], &status["suspect"]), (&200.into(), &false.into()), "{status:#}");
    assert_differing_keys_are_dirty(&pair.interlay, &pair.source, &pair.target);
    pair.take_copies();
    pair.assert_equal();
    assert!(pair.interlay.number("repairs") >= 200, "{:#}", pair.interlay.status());
}

#[test]
fn freezes_under_load_are_noticed_by_no_client() {
    let rng = Rng::printed();
    let pair = Pair::with_warnings("source-authoritative", &["--effect-timeout-ms", "300", "--connect-timeout-ms", "200"]);
    let load = Load::start(pair.interlay.port(), 10, &rng, mix::read_or_write);
    for round in 0..3 {
        load.go_on_for(2_000);
        pair.target.freeze();
        // A key that is not dirty yet, or nothing might wait for the target.
        write(&mut pair.interlay.conn(), &format!("clean{round}-"), "v", 1);
        connected(&pair.interlay, "target", false);
        load.go_on_for(2_000);
        pair.target.thaw();
        connected(&pair.interlay, "target", true);
    }
    load.stop_without_errors();
    pair.assert_equal();
}

#[test]
fn dirty_keys_fold_into_buckets_past_their_bound() {
    let mut pair = Pair::with_warnings("source-authoritative", &["--dirty-keys-max", "100"]);
    let mut conn = pair.interlay.conn();
    write(&mut conn, "warm", "v", 1_000);
    pair.settled();
    let before = usage::bytes(pair.interlay.pid(), "VmRSS");
    pair.target.kill();
    for round in 0..20 {
        write(&mut conn, &format!("missed{round}-"), &"x".repeat(1_000), 1_000);
    }
    let status = pair.interlay.status();
    let [keys, buckets] = ["dirty_keys", "dirty_buckets"].map(|name| status[name].as_u64().expect("a number"));
    assert!(buckets > 1_000 && keys == 100 + buckets, "{status:#}");
    let grown = usage::bytes(pair.interlay.pid(), "VmRSS").saturating_sub(before);
    assert!(grown < 8 * MIB, "the process grew by {grown} bytes for 20,000 dirty keys");
    pair.target.restart(Data::Lost);
    connected(&pair.interlay, "target", true);
    pair.interlay.split(100);
    for n in 0..1_000 {
        assert_eq!(conn.call(["GET", &format!("missed7-{n}")]).len(), 1_009, "a folded key is still read on the source");
    }
    pair.assert_equal();
    assert!(pair.interlay.number("repairs") >= 20_000, "{:#}", pair.interlay.status());
}

#[test]
fn effects_queue_in_bounded_memory_for_a_frozen_target() {
    const QUEUE: u64 = 64 * 1024;
    let pair = Pair::with_warnings("source-authoritative", &["--effect-queue-bytes-max", "64KiB", "--effect-timeout-ms", "0"]);
    let mut conn = pair.interlay.conn();
    let value = "x".repeat(1_000);
    write(&mut conn, "before", &value, 50);
    pair.settled();
    let before = usage::bytes(pair.interlay.pid(), "VmRSS");
    pair.target.freeze();
    for round in 0..20 {
        write(&mut conn, &format!("k{round}-"), &value, 1_000);
    }
    let status = pair.interlay.status();
    let number = |name: &str| name.split('.').fold(&status, |value, part| &value[part]).as_u64().expect("a number");
    // What is noted of each effect counts too.
    assert!((QUEUE * 9 / 10..QUEUE).contains(&number("lag_bytes")), "{status:#}");
    assert_eq!(number("counters.skipped_full") + number("lag_effects"), 20_000, "{status:#}");
    assert_eq!(number("dirty_keys"), number("counters.skipped_full"), "{status:#}");
    let grown = usage::bytes(pair.interlay.pid(), "VmRSS").saturating_sub(before);
    assert!(grown < 10 * MIB, "the process grew by {grown} bytes");
    pair.target.thaw();
    pair.settled();
    write(&mut conn, "after", &value, 50);
    pair.assert_equal();
}

#[test]
fn reads_shifted_to_a_target_that_is_killed_or_frozen_go_on_without_an_error() {
    let args = ["--effect-timeout-ms", "300", "--connect-timeout-ms", "200", "--reconnect-backoff-max-ms", "50"];
    let mut pair = Pair::with_warnings("source-authoritative", &args);
    write(&mut pair.interlay.conn(), "k", "value", 100);
    pair.settled();
    let rng = Rng::printed();
    let read: fn(&mut Rng) -> Vec<Vec<u8>> =
        |rng| vec![b"GETRANGE".into(), format!("k{}", rng.below(100)).into(), b"0".into(), b"9".into()];
    pair.interlay.split(100);
    let load = Load::start(pair.interlay.port(), 5, &rng, read);
    load.go_on_for(1_000);
    let on_target = pair.interlay.number("counters.target_reads");
    assert!(on_target > 0, "reads go to the target");
    pair.target.freeze();
    load.go_on_for(1_000);
    connected(&pair.interlay, "target", false);
    assert!(pair.interlay.number("counters.rerouted_reads") > 0, "reads that waited there went to the source");
    pair.target.thaw();
    connected(&pair.interlay, "target", true);
    load.go_on_for(1_000);
    pair.target.kill();
    load.go_on_for(1_000);
    let errors = load.stop();
    assert!(errors.is_empty(), "readers got errors: {errors:#?}");
}

#[test]
fn what_a_lost_connection_still_holds_is_never_carried_out_behind_newer_effects() {
    let (source, target) = (Server::start(), Server::start());
    let link = BrokenLink::to(&target);
    let interlay = linked(&source.url(), &link.url());
    let mut conn = interlay.conn();
    write(&mut conn, "k", "first", 1);
    interlay.settled();
    let lane = || target.call(["CLIENT", "LIST"]).windows(25).filter(|name| name == b"name=interlay-target-lane").count();
    assert_eq!(lane(), 1);
    link.hold();
    write(&mut conn, "k", "held back", 1);
    link.hang_up();
    eventually("the effect is lost", || interlay.number("counters.effects_lost") == 1);
    connected(&interlay, "target", true);
    assert_eq!(lane(), 1, "the old connection is ended on the server");
    interlay.settled();
    assert_eq!(held(&target, "k", "held back", 1), 1, "by its copy");
    write(&mut conn, "k", "newest", 1);
    interlay.settled();
    link.release();
    write(&mut conn, "behind", "v", 100);
    interlay.settled();
    assert_equal(&source, &target);
}

#[test]
fn lane_that_is_refused_its_database_leaves_no_key_wrong_and_clean() {
    let pair = Pair::with_warnings("source-authoritative", &["--reconnect-backoff-max-ms", "50"]);
    let mut conn = pair.interlay.conn();
    write(&mut conn, "k", "zero", 1);
    pair.settled();
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "-select"]), b"+OK\r\n");
    assert_eq!(conn.call(["SELECT", "1"]), b"+OK\r\n");
    write(&mut conn, "k", "one", 1);
    eventually("the lane is lost", || pair.interlay.number("counters.lane_losses") == 1);
    assert_eq!(pair.target.call(["ACL", "SETUSER", "default", "+@all"]), b"+OK\r\n");
    connected(&pair.interlay, "target", true);
    assert!(pair.interlay.number("counters.effects_lost") > 0, "the effect in database 1 is lost");
    pair.assert_equal();
}

#[test]
fn nonsense_from_a_server_costs_the_lane_its_connection_and_nothing_else() {
    let (source, target) = (Server::start(), Server::start());
    let links = [BrokenLink::to(&source), BrokenLink::to(&target)];
    let interlay = linked(&links[0].url(), &links[1].url());
    let mut conn = interlay.conn();
    write(&mut conn, "before", "v", 100);
    interlay.settled();
    let resident = usage::bytes(interlay.pid(), "VmHWM");
    let nested = b"*1\r\n".repeat(100_000);
    let nonsense: [&[u8]; 6] = [b"+unasked\r\n", b"@?\r\n", b"$99999999999999999999\r\n", b"*-7\r\n", b"\x00\x01\x02\r\n", &nested];
    let mut losses = 0;
    for (side, link) in ["source", "target"].into_iter().zip(&links) {
        for bytes in nonsense {
            interlay.settled();
            link.say(bytes);
            losses += 1;
            eventually("the lane is lost", || interlay.number("counters.lane_losses") == losses);
            connected(&interlay, side, true);
            write(&mut conn, &format!("after{losses}-"), "v", 10);
        }
    }
    interlay.settled();
    assert_equal(&source, &target);
    let grown = usage::bytes(interlay.pid(), "VmHWM").saturating_sub(resident);
    assert!(grown < 8 * MIB, "the process grew by {grown} bytes");
}

#[test]
fn announced_reply_that_never_comes_costs_no_memory() {
    let (source, target) = (Server::start(), Server::start());
    let link = BrokenLink::to(&target);
    let interlay = linked(&source.url(), &link.url());
    let resident = usage::bytes(interlay.pid(), "VmHWM");
    link.say(b"*2147483647\r\n$536870912\r\nabc");
    // Whatever the lane makes of it, clients are served.
    let mut conn = interlay.conn();
    write(&mut conn, "k", "v", 1_000);
    let grown = usage::bytes(interlay.pid(), "VmHWM").saturating_sub(resident);
    assert!(grown < 8 * MIB, "the process grew by {grown} bytes");
}

#[test]
fn half_given_reply_ends_its_connection_and_is_never_completed_from_elsewhere() {
    let (source, target) = (Server::start(), Server::start());
    let link = BrokenLink::to(&target);
    let interlay = linked(&source.url(), &link.url());
    let value = "x".repeat(20 * MIB as usize);
    let mut conn = interlay.conn();
    assert_eq!(conn.call(["SET", "large", &value]), b"+OK\r\n");
    interlay.settled();
    interlay.split(100);
    link.cut_after(5 * MIB);
    conn.send([Conn::encode(["GET", "large"]), Conn::encode(["PING"])].concat());
    let got = conn.rest();
    let whole = format!("${}\r\n{value}\r\n", value.len());
    assert!(got.len() < whole.len() && whole.as_bytes().starts_with(&got), "{} bytes: a part of the reply and nothing else", got.len());
    assert_eq!(interlay.conn().call(["GET", "large"]).len(), whole.len(), "others are served");
}

fn linked(source: &str, target: &str) -> Interlay {
    let args = ["--source", source, "--target", target, "--reconnect-backoff-max-ms", "50"];
    Launch::default().args(args).expect_warnings().start()
}

#[test]
fn trickle_of_writes_does_not_keep_a_stalled_target_alive() {
    let pair = Pair::with_warnings("both-required", &["--effect-timeout-ms", "300", "--connect-timeout-ms", "200"]);
    pair.target.freeze();
    let (mut first, mut trickle) = (pair.interlay.conn(), pair.interlay.conn());
    first.request(["SET", "first", "v"]);
    let reply = std::thread::spawn(move || first.reply());
    eventually("the first writer is told", || {
        trickle.request(["SET", "small", "v"]);
        reply.is_finished()
    });
    let reply = text(&reply.join().expect("a reply"));
    assert!(reply.starts_with("-ERR interlay: the target has not confirmed a write that the source has applied"), "{reply}");
    let carried_out = pair.source.calls_of("set");
    assert!(carried_out > 2, "a trickle: {carried_out} writes");
    pair.target.thaw();
}
