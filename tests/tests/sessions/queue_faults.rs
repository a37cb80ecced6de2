//! Clients that wait while a server is lost, stopped or comes back: they go on waiting or are told, and nothing that was
//! acknowledged is lost.

use interlay_tests::{Conn, Data, Pair, eventually, text};

use super::scene::{blocked, is_own_error, line, say, warned, words};

/// Clients that wait for `queue`.
fn waiters(pair: &Pair, count: usize) -> Vec<Conn> {
    let park = |number| {
        let mut conn = pair.interlay.conn();
        conn.send(line("BLPOP queue 0"));
        blocked(&pair.interlay, number + 1);
        conn
    };
    (0..count).map(park).collect()
}

/// Waits until a side is connected, or is not.
fn connected(pair: &Pair, side: &str, is: bool) {
    eventually(&format!("the {side} is connected: {is}"), || pair.interlay.status()[side]["connected"] == is);
}

#[test]
fn waiters_do_not_notice_that_the_target_is_killed_and_comes_back() {
    for policy in ["source-authoritative", "best-effort"] {
        let mut pair = warned(policy);
        let mut waiting = waiters(&pair, 3);
        let mut conn = pair.interlay.conn();
        pair.target.kill();
        connected(&pair, "target", false);
        say(&mut conn, "RPUSH queue 0");
        assert_eq!(words(&waiting[0].reply()), ["queue", "0"], "{policy}");
        assert_eq!(pair.interlay.number("dirty_keys"), u64::from(policy == "source-authoritative"));
        pair.target.restart(Data::Lost);
        connected(&pair, "target", true);
        say(&mut conn, "RPUSH queue 1 2 3");
        assert_eq!(words(&waiting[1].reply()), ["queue", "1"], "{policy}");
        assert_eq!(words(&waiting[2].reply()), ["queue", "2"], "{policy}");
        assert_eq!(say(&mut pair.source.conn(), "LRANGE queue 0 -1"), r"*1\r\n$1\r\n3\r\n", "{policy}");
        if policy == "source-authoritative" {
            pair.assert_equal();
        }
    }
}

#[test]
fn waiters_do_not_notice_that_the_target_is_stopped() {
    let pair = warned("source-authoritative");
    let mut waiting = waiters(&pair, 2);
    let mut conn = pair.interlay.conn();
    pair.target.freeze();
    say(&mut conn, "RPUSH queue 0 1 2");
    for (n, waiter) in waiting.iter_mut().enumerate() {
        assert_eq!(words(&waiter.reply()), ["queue", &n.to_string()]);
    }
    pair.target.thaw();
    pair.assert_in_step();
}

#[test]
fn both_required_waiter_is_told_that_the_target_is_down_and_takes_nothing() {
    let mut pair = warned("both-required");
    let mut waiting = waiters(&pair, 1);
    pair.target.kill();
    connected(&pair, "target", false);
    // The element comes around the interlay, which would refuse it.
    assert_eq!(say(&mut pair.source.conn(), "RPUSH queue 0"), r":1\r\n");
    let told = waiting[0].reply();
    assert!(told.starts_with(b"-ERR interlay: target unavailable and the policy is both-required"), "{}", text(&told));
    assert_eq!(say(&mut waiting[0], "LLEN queue"), r":1\r\n", "the connection goes on");
    let refused = say(&mut waiting[0], "BLPOP queue 0");
    assert!(refused.starts_with("-ERR interlay: target unavailable"), "{refused}");
    assert_eq!(say(&mut pair.source.conn(), "LLEN queue"), r":1\r\n");
}

#[test]
fn waiters_of_a_source_that_is_killed_and_comes_back_are_served_or_told() {
    let mut pair = warned("source-authoritative");
    let mut conn = pair.interlay.conn();
    say(&mut conn, "RPUSH kept 1 2 3");
    pair.source.save();
    let mut waiting = waiters(&pair, 3);
    pair.source.kill();
    connected(&pair, "source", false);
    pair.source.restart(Data::Kept);
    connected(&pair, "source", true);
    assert_eq!(say(&mut conn, "LRANGE kept 0 -1"), r"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(say(&mut conn, "RPUSH queue 0 1 2"), r":3\r\n");
    let mut served = 0;
    for waiter in &mut waiting {
        let reply = waiter.reply();
        if !is_own_error(&reply) {
            assert_eq!(words(&reply), ["queue", &served.to_string()], "{}", text(&reply));
            served += 1;
        }
        assert_eq!(say(waiter, "PING"), r"+PONG\r\n", "the connection goes on");
    }
    assert_eq!(say(&mut conn, "LLEN queue"), format!(r":{}\r\n", 3 - served), "what nobody got is there");
    pair.assert_in_step();
}

#[test]
fn acknowledged_elements_outlive_a_source_that_is_stopped_while_clients_wait() {
    let pair = warned("source-authoritative");
    let mut waiting = waiters(&pair, 4);
    let mut conn = pair.interlay.conn();
    say(&mut conn, "RPUSH queue 0 1");
    for (n, mut waiter) in waiting.drain(..2).enumerate() {
        assert_eq!(words(&waiter.reply()), ["queue", &n.to_string()]);
    }
    // Behind the last try on the lane, so that no waiter is being tried when the source stops.
    assert_eq!(say(&mut conn, "PING"), r"+PONG\r\n");
    pair.source.freeze();
    let mut late = pair.interlay.conn();
    late.send([line("RPUSH queue 2 3 4"), line("LLEN queue")].concat());
    pair.source.thaw();
    assert_eq!(text(&late.reply()), r":3\r\n");
    for (n, waiter) in waiting.iter_mut().enumerate() {
        assert_eq!(words(&waiter.reply()), ["queue", &(n + 2).to_string()]);
    }
    assert_eq!(text(&late.reply()), r":1\r\n");
    pair.assert_in_step();
}
