//! Subscribers: each message once, in its publisher's order, on both servers; and what ends a subscriber.

use std::collections::BTreeMap;

use interlay_tests::{Conn, Data, Pair, eventually, text};

use super::scene::{line, number, ok, patient, say, warned, words};

/// How a client subscribes to what is published on `news` and `sports`; the last one hears of shards' messages only.
const WAYS: [&str; 4] = ["SUBSCRIBE news sports", "PSUBSCRIBE n* s*", "SUBSCRIBE sports other news", "SSUBSCRIBE news sports"];

/// Subscribes and waits for every confirmation.
fn subscribed(mut conn: Conn, way: &str, resp3: bool) -> Conn {
    if resp3 {
        assert_eq!(conn.call(["HELLO", "3"]).first(), Some(&b'%'));
    }
    conn.send(line(way));
    for count in 1..way.split(' ').count() {
        assert!(text(&conn.reply()).ends_with(&format!(r":{count}\r\n")));
    }
    conn
}

/// Reads messages until `count` have come of every one of `publishers`, and asserts that each came once and in order.
fn follow(conn: &mut Conn, publishers: usize, count: usize, resp3: bool) {
    let mut next = BTreeMap::<String, usize>::new();
    for _ in 0..publishers * count {
        let push = conn.reply();
        assert_eq!(push.first(), Some(if resp3 { &b'>' } else { &b'*' }), "{}", text(&push));
        let message = words(&push).pop().expect("a message");
        let (publisher, n) = message.split_once('-').expect("a publisher and a number");
        let next = next.entry(publisher.to_owned()).or_default();
        assert_eq!(n.parse(), Ok(*next), "of {publisher}");
        *next += 1;
    }
    assert!(next.len() == publishers && next.values().all(|next| *next == count), "{next:?}");
}

/// Publishes `count` messages, half of them in pipelines; every reply is `receivers`.
fn publish(mut conn: Conn, publisher: &str, count: usize, receivers: i64) {
    let requests: Vec<_> = (0..count).map(|n| line(&format!("PUBLISH {} {publisher}-{n}", ["news", "sports"][n % 2]))).collect();
    for batch in requests.chunks(7) {
        for reply in conn.pipeline(batch) {
            assert_eq!(number(&reply), receivers);
        }
    }
}

#[test]
fn each_message_comes_once_and_in_its_publisher_s_order() {
    const COUNT: usize = 70;
    for policy in ["source-authoritative", "both-required", "best-effort"] {
        let pair = patient(policy);
        let subscribe = |n: usize| (subscribed(pair.interlay.conn(), WAYS[n % 3], n.is_multiple_of(2)), n.is_multiple_of(2));
        let mut subscribers: Vec<_> = (0..20).map(subscribe).collect();
        let mut on_target = subscribed(pair.target.conn(), WAYS[0], true);
        std::thread::scope(|scope| {
            for publisher in ["a", "b", "c", "d"] {
                let conn = pair.interlay.conn();
                scope.spawn(move || publish(conn, publisher, COUNT, 20));
            }
            let around = pair.source.conn();
            scope.spawn(move || publish(around, "e", COUNT, 20));
            for (subscriber, resp3) in &mut subscribers {
                scope.spawn(move || follow(subscriber, 5, COUNT, *resp3));
            }
            // What goes around the interlay does not reach the target.
            scope.spawn(|| follow(&mut on_target, 4, COUNT, true));
        });
        // Nothing came twice: the next thing to come is the answer to the next request.
        for (subscriber, resp3) in &mut subscribers {
            let pong = if *resp3 { r"+PONG\r\n" } else { r"*2\r\n$4\r\npong\r\n$0\r\n\r\n" };
            assert_eq!(say(subscriber, "PING"), pong);
        }
        assert_eq!(say(&mut on_target, "PING"), r"+PONG\r\n");
        pair.assert_in_step();
    }
}

#[test]
fn messages_of_shards_and_patterns_come_to_whom_they_are_for() {
    let pair = patient("source-authoritative");
    let mut shard = subscribed(pair.interlay.conn(), WAYS[3], true);
    let mut pattern = subscribed(pair.interlay.conn(), "PSUBSCRIBE n?ws", false);
    let mut conn = pair.interlay.conn();
    assert_eq!(say(&mut conn, "SPUBLISH news of-shard"), r":1\r\n");
    assert_eq!(say(&mut conn, "PUBLISH news to-all"), r":1\r\n");
    assert_eq!(words(&shard.reply()), ["smessage", "news", "of-shard"]);
    assert_eq!(words(&pattern.reply()), ["pmessage", "n?ws", "news", "to-all"]);
    assert_eq!(say(&mut shard, "ECHO x"), r"$1\r\nx\r\n");
}

#[test]
fn keyspace_notifications_of_the_source_come_once() {
    let pair = patient("source-authoritative");
    for server in [&pair.source, &pair.target] {
        assert_eq!(server.call(["CONFIG", "SET", "notify-keyspace-events", "KEA"]), b"+OK\r\n");
    }
    let mut subscriber = subscribed(pair.interlay.conn(), "PSUBSCRIBE __key*__:*", false);
    ok(&mut pair.interlay.conn(), "SET k v");
    let channels: Vec<_> = (0..2).map(|_| words(&subscriber.reply())[2].clone()).collect();
    assert_eq!(channels, ["__keyspace@0__:k", "__keyevent@0__:set"]);
    pair.settled();
    assert_eq!(say(&mut subscriber, "PING"), r"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
}

#[test]
fn messages_inside_transactions_reach_both_servers() {
    let pair = patient("source-authoritative");
    let mut through = subscribed(pair.interlay.conn(), "SUBSCRIBE news", false);
    let mut on_target = subscribed(pair.target.conn(), "SUBSCRIBE news", false);
    let mut conn = pair.interlay.conn();
    let replies = conn.pipeline(&["MULTI", "INCR n", "PUBLISH news batch", "EXEC"].map(line));
    assert_eq!(text(&replies[3]), r"*2\r\n:1\r\n:1\r\n");
    for request in ["WATCH n", "MULTI", "PUBLISH news interactive"] {
        say(&mut conn, request);
    }
    assert_eq!(say(&mut conn, "EXEC"), r"*1\r\n:1\r\n");
    for subscriber in [&mut through, &mut on_target] {
        for message in ["batch", "interactive"] {
            assert_eq!(words(&subscriber.reply()), ["message", "news", message]);
        }
    }
    pair.assert_in_step();
}

#[test]
fn subscriber_that_never_reads_is_closed_at_its_bound_without_harm_to_others() {
    let pair = Pair::with_warnings("source-authoritative", &["--client-output-bytes-max", "1MiB", "--client-output-pause-bytes", "64KiB"]);
    let mut slow = subscribed(pair.interlay.conn(), "SUBSCRIBE news", false);
    let mut reads = subscribed(pair.interlay.conn(), "SUBSCRIBE news", true);
    let mut conn = pair.interlay.conn();
    let message = "x".repeat(100_000);
    let mut published = 0;
    while number(&conn.call(["PUBLISH", "news", &message])) == 2 {
        published += 1;
        assert!(published < 1000, "nobody closes who does not read");
        assert_eq!(words(&reads.reply())[2].len(), message.len());
    }
    assert_eq!(words(&reads.reply())[2].len(), message.len());
    // What had been sent before can still be read, and then it is over.
    assert!(slow.rest().len() <= published * (message.len() + 100) + 1000);
    assert_eq!(say(&mut reads, "PING"), r"+PONG\r\n");
    assert_eq!(say(&mut conn, "PUBSUB NUMSUB news"), r"*2\r\n$4\r\nnews\r\n:1\r\n");
}

#[test]
fn restart_of_the_source_closes_subscribers_and_nobody_else() {
    let mut pair = warned("source-authoritative");
    let mut conn = pair.interlay.conn();
    ok(&mut conn, "SET k v");
    let subscribers: Vec<_> = WAYS.iter().map(|way| subscribed(pair.interlay.conn(), way, false)).collect();
    pair.source.save();
    pair.source.restart(Data::Kept);
    for mut subscriber in subscribers {
        assert_eq!(text(&subscriber.rest()), "");
    }
    eventually("the source is back", || pair.interlay.status()["source"]["connected"] == true);
    assert_eq!(say(&mut conn, "GET k"), r"$1\r\nv\r\n");
    let mut again = subscribed(pair.interlay.conn(), WAYS[0], false);
    assert_eq!(say(&mut conn, "PUBLISH news again"), r":1\r\n");
    assert_eq!(words(&again.reply()), ["message", "news", "again"]);
}

#[test]
fn subscribers_stay_through_a_kill_of_the_target() {
    let mut pair = warned("source-authoritative");
    let mut subscriber = subscribed(pair.interlay.conn(), "SUBSCRIBE news", false);
    pair.target.kill();
    eventually("the target's loss is noticed", || pair.interlay.status()["target"]["connected"] == false);
    assert_eq!(say(&mut pair.interlay.conn(), "PUBLISH news x"), r":1\r\n");
    assert_eq!(words(&subscriber.reply()), ["message", "news", "x"]);
}
