//! What clients do to each other: pauses, kills, lists.

use std::collections::BTreeSet;

use interlay_tests::{Load, Rng, eventually, mix, text};

use super::scene::{blocked, id, line, ok, patient, say, words};

/// CLIENT LIST as the values of one field, by the lines' order.
fn listed(list: &[u8], field: &str) -> Vec<String> {
    let prefix = format!("{field}=");
    let lines = words(list).concat();
    lines.lines().map(|line| line.split(' ').find_map(|word| word.strip_prefix(&prefix)).expect("the field").to_owned()).collect()
}

#[test]
fn paused_writes_wait_and_reads_go_on() {
    let pair = patient("source-authoritative");
    let mut conn = pair.interlay.conn();
    ok(&mut conn, "SET k v");
    let mut transaction = pair.interlay.conn();
    ok(&mut transaction, "MULTI");
    assert_eq!(say(&mut transaction, "INCR n"), r"+QUEUED\r\n");
    ok(&mut conn, "CLIENT PAUSE 1000000 WRITE");
    let mut waiting: Vec<_> = ["SET k w", "INCR n", "RPUSH l x", "BLPOP l 0", "EVAL return(redis.call('incr',KEYS[1])) 1 e", "PUBLISH c x"]
        .map(|request| {
            let mut conn = pair.interlay.conn();
            conn.send(line(request));
            conn
        })
        .into();
    transaction.send(line("EXEC"));
    for _ in 0..50 {
        assert_eq!(say(&mut conn, "GET k"), r"$1\r\nv\r\n");
        assert_eq!(say(&mut conn, "EXISTS n l e"), r":0\r\n");
    }
    ok(&mut conn, "CLIENT UNPAUSE");
    let replies: Vec<_> = waiting.iter_mut().map(|conn| text(&conn.reply())).collect();
    let exec = text(&transaction.reply());
    assert_eq!((&*replies[0], &*replies[2], &*replies[3]), (r"+OK\r\n", r":1\r\n", r"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"));
    let mut counted = [replies[1].trim_start_matches(':').to_owned(), exec.trim_start_matches(r"*1\r\n:").to_owned()];
    counted.sort();
    assert_eq!(counted, [r"1\r\n", r"2\r\n"]);
    pair.settled();
    assert_eq!(pair.interlay.number("mismatches"), 0);
    assert_eq!(pair.target.call(["GET", "k"]), b"$1\r\nw\r\n");
}

#[test]
fn pauses_under_load_are_noticed_by_nobody_but_for_the_wait() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    let load = Load::start(pair.interlay.port(), 12, &rng, mix::read_or_write);
    let mut conn = pair.interlay.conn();
    for kind in ["WRITE", "ALL", "WRITE", "ALL"] {
        load.go_on_for(500);
        ok(&mut conn, &format!("CLIENT PAUSE 60 {kind}"));
        // All of it waits until the pause is over.
        load.go_on_for(500);
    }
    load.stop_without_errors();
    pair.assert_in_step();
}

#[test]
fn killed_clients_are_closed_whatever_they_do() {
    let pair = patient("source-authoritative");
    let mut conn = pair.interlay.conn();
    ok(&mut conn, "SET k v");
    let doing = ["PING", "SUBSCRIBE c", "MULTI", "WATCH k", "MONITOR", "CLIENT TRACKING ON REDIRECT 0"];
    for (n, request) in doing.iter().enumerate() {
        let mut victim = pair.interlay.conn();
        let victims = id(&mut victim);
        say(&mut victim, request);
        let kill = if n % 2 == 0 { format!("CLIENT KILL ID {victims}") } else { format!("CLIENT KILL ID {victims} SKIPME no") };
        assert_eq!(say(&mut conn, &kill), r":1\r\n", "{request}");
        victim.rest();
        assert!(!listed(&conn.call(["CLIENT", "LIST"]), "id").contains(&victims), "{request}");
    }
    let mut waiting = pair.interlay.conn();
    let waits = id(&mut waiting);
    waiting.send(line("BLPOP l 0"));
    blocked(&pair.interlay, 1);
    assert_eq!(say(&mut conn, &format!("CLIENT KILL ID {waits}")), r":1\r\n");
    assert_eq!(text(&waiting.rest()), "");
    assert_eq!(say(&mut conn, "RPUSH l 1"), r":1\r\n");
    assert_eq!(say(&mut conn, "LLEN l"), r":1\r\n", "it took nothing");
    assert_eq!(say(&mut conn, &format!("CLIENT KILL ID {waits}")), r":0\r\n");
    pair.assert_in_step();
}

#[test]
fn clients_are_listed_with_their_own_ids_names_and_addresses() {
    let pair = patient("source-authoritative");
    let mut conns: Vec<_> = (0..12).map(|_| pair.interlay.conn()).collect();
    let mut expected = BTreeSet::new();
    for (n, conn) in conns.iter_mut().enumerate() {
        ok(conn, &format!("CLIENT SETNAME name{n}"));
        ok(conn, &format!("SELECT {}", n % 3));
        // Some have a connection of their own.
        match n % 4 {
            0 => ok(conn, "MULTI"),
            1 => ok(conn, "WATCH k"),
            2 => assert!(say(conn, "SUBSCRIBE c").ends_with(r":1\r\n")),
            _ => {}
        }
        let address = conn.socket().local_addr().expect("an address").to_string();
        expected.insert((format!("name{n}"), address, (n % 3).to_string()));
    }
    let mut conn = pair.interlay.conn();
    let own = id(&mut conn);
    let list = conn.call(["CLIENT", "LIST"]);
    let [ids, names, addresses, dbs] = ["id", "name", "addr", "db"].map(|field| listed(&list, field));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 13, "{ids:?}");
    assert!(ids.contains(&own));
    let got: BTreeSet<_> = names
        .into_iter()
        .zip(addresses)
        .zip(dbs)
        .map(|((name, address), db)| (name, address, db))
        .filter(|row| !row.0.is_empty())
        .collect();
    assert_eq!(got, expected);
    drop(conns);
    eventually("the others are gone", || listed(&conn.call(["CLIENT", "LIST"]), "id") == [own.clone()]);
}
