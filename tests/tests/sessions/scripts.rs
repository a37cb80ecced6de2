//! Scripts and functions exist on both sides; one that does not end keeps others informed, and can be ended.

use interlay_tests::{Conn, eventually, text};

use super::scene::{line, number, ok, patient, say, warned, words};

#[test]
fn script_cache_and_functions_are_on_both_sides() {
    for policy in ["source-authoritative", "target-authoritative", "best-effort"] {
        let pair = patient(policy);
        let mut conn = pair.interlay.conn();
        let sha = words(&conn.call(["SCRIPT", "LOAD", "return {KEYS[1], ARGV[1]}"])).pop().expect("a digest");
        assert_eq!(words(&conn.call(["EVALSHA", &sha, "1", "k", "v"])), ["k", "v"]);
        let library = "#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}";
        assert_eq!(words(&conn.call(["FUNCTION", "LOAD", library])), ["lib"]);
        ok(&mut conn, "SET read v");
        assert_eq!(say(&mut conn, "FCALL_RO f 1 read"), r"$1\r\nv\r\n");
        pair.settled();
        for server in [&pair.source, &pair.target] {
            assert_eq!(text(&server.call(["SCRIPT", "EXISTS", &sha])), r"*1\r\n:1\r\n", "{policy}");
            assert_eq!(text(&server.call(["FCALL_RO", "f", "1", "read"])), r"$1\r\nv\r\n", "{policy}");
        }
        assert_eq!(pair.interlay.number("mismatches"), 0);
        ok(&mut conn, "SCRIPT FLUSH");
        ok(&mut conn, "FUNCTION DELETE lib");
        pair.settled();
        for server in [&pair.source, &pair.target] {
            assert_eq!(text(&server.call(["SCRIPT", "EXISTS", &sha])), r"*1\r\n:0\r\n", "{policy}");
            assert_eq!(text(&server.call(["FUNCTION", "LIST"])), r"*0\r\n", "{policy}");
        }
        assert!(say(&mut conn, &format!("EVALSHA {sha} 1 k v")).starts_with("-NOSCRIPT"));
    }
}

#[test]
fn script_that_does_not_end_is_told_of_and_killed() {
    for (kind, kill, own) in [("EVAL", "SCRIPT KILL", false), ("FCALL", "FUNCTION KILL", false), ("EVAL", "SCRIPT KILL", true)] {
        eprintln!("{kind}, {kill}, on a connection of its own: {own}");
        let pair = warned("source-authoritative");
        let mut conn = pair.interlay.conn();
        ok(&mut conn, "SET k v");
        ok(&mut conn, "CONFIG SET lua-time-limit 20");
        let library = "#!lua name=lib\nredis.register_function('f', function() while true do end end)";
        assert_eq!(words(&conn.call(["FUNCTION", "LOAD", library])), ["lib"]);
        let mut looping = pair.interlay.conn();
        if own {
            // On a connection of its own.
            ok(&mut looping, "WATCH k");
        }
        let endless = ["EVAL", "while true do end", "0"];
        looping.request(if kind == "EVAL" { endless } else { ["FCALL", "f", "0"] });
        // Others wait first, as with a server, and are told then.
        let mut told = String::new();
        eventually("the server is busy", || {
            told = say(&mut conn, "GET k");
            told != r"$1\r\nv\r\n"
        });
        assert!(told.starts_with("-BUSY "), "{told}");
        assert!(say(&mut pair.interlay.conn(), "SET k w").starts_with("-BUSY "));
        assert_eq!(say(&mut pair.interlay.conn(), kill), r"+OK\r\n", "{kind} {own}");
        let killed = text(&looping.reply());
        assert!(killed.starts_with("-ERR Error running script") || killed.contains("Script killed"), "{killed}");
        eventually("it serves again", || say(&mut conn, "GET k") == r"$1\r\nv\r\n");
        assert_eq!(say(&mut looping, "PING"), r"+PONG\r\n");
        ok(&mut looping, "SET k after");
        pair.settled();
        assert_eq!((pair.interlay.number("dirty_keys"), pair.interlay.number("mismatches")), (0, 0), "{kind} {own}");
        assert_eq!(pair.target.call(["GET", "k"]), b"$5\r\nafter\r\n");
    }
}

#[test]
fn script_that_writes_has_its_keys_copied_and_no_reply_differs() {
    let pair = patient("source-authoritative");
    let mut conn = pair.interlay.conn();
    let script = "local n = redis.call('INCR', KEYS[1]); redis.call('RPUSH', KEYS[2], n); return n";
    let replies = conn.pipeline(&(0..20).map(|_| Conn::encode(["EVAL", script, "2", "n", "l"])).collect::<Vec<_>>());
    assert_eq!(replies.iter().map(|reply| number(reply)).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    let inside = conn.pipeline(&[line("MULTI"), Conn::encode(["EVAL", script, "2", "n", "l"]), line("SET clean v"), line("EXEC")]);
    assert_eq!(text(&inside[3]), r"*2\r\n:21\r\n+OK\r\n");
    pair.assert_in_step();
    assert!(pair.interlay.number("repairs") >= 2, "{:#}", pair.interlay.status());
    assert_eq!(pair.target.call(["GET", "clean"]), b"$1\r\nv\r\n");
}
