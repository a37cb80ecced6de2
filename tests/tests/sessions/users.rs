//! Users other than the lane's: the server's rules hold for them, and their writes are mirrored in order with everybody's.

use interlay_tests::{Conn, Pair, Rng, is_error, text};

use super::scene::{POLICIES, blocked, line, ok, patient, say, warned, words};

/// Users and their rules.
const USERS: [(&str, &str); 3] = [
    ("app", "on >pw ~app:* &app:* +@all -@admin -@dangerous"),
    ("reader", "on >pw ~* resetchannels +@read +@connection"),
    ("writer", "on >pw ~* &* +@all"),
];

/// A pair whose servers both know the users.
fn with_users(policy: &str) -> Pair {
    let pair = patient(policy);
    know_users(&pair);
    pair
}

fn know_users(pair: &Pair) {
    for server in [&pair.source, &pair.target] {
        for (user, rules) in USERS {
            ok(&mut server.conn(), &format!("ACL SETUSER {user} {rules}"));
        }
    }
}

/// A connection authenticated as `user`.
fn user(pair: &Pair, user: &str) -> Conn {
    let mut conn = pair.interlay.conn();
    ok(&mut conn, &format!("AUTH {user} pw"));
    conn
}

#[test]
fn user_s_rules_hold_in_the_server_s_own_words() {
    let pair = with_users("source-authoritative");
    let requests = [
        "SET app:k v",
        "SET other v",
        "GET app:k",
        "GET other",
        "MGET app:k other",
        "FLUSHALL",
        "CONFIG GET maxmemory",
        "ACL WHOAMI",
        "NOSUCH",
        "GET",
        "DEL app:k",
        "MULTI",
        "SET app:m v",
        "SET other v",
        "EXEC",
        "MULTI",
        "SET app:m v",
        "EXEC",
        "WATCH other",
        "WATCH app:w",
        "UNWATCH",
        "BLPOP other 0",
        "RPUSH app:l x",
        "BLPOP app:l 0",
        "EVAL return(1) 0",
        "PUBLISH other x",
        "PUBLISH app:c x",
        "SELECT 1",
        "SET app:one v",
        "SELECT 0",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "PING",
        "ECHO x",
        "AUTH app wrong",
        "ACL WHOAMI",
        "AUTH reader pw",
        "ACL WHOAMI",
        "GET app:m",
        "SET app:m w",
        "RESET",
        "ACL WHOAMI",
        "SET other v",
        "CLIENT GETNAME",
    ];
    for hello in ["AUTH app pw", "HELLO 2 AUTH app pw SETNAME me"] {
        let mut direct = interlay_tests::Server::start();
        for (user, rules) in USERS {
            ok(&mut direct.conn(), &format!("ACL SETUSER {user} {rules}"));
        }
        let [through, expected] = [pair.interlay.conn(), direct.conn()].map(|mut conn| {
            assert!(!is_error(&conn.call(hello.split(' '))), "{hello}");
            requests.map(|request| format!("{request}: {}", say(&mut conn, request)))
        });
        for (got, expected) in through.iter().zip(&expected) {
            assert_eq!(got, expected, "after {hello}");
        }
        direct.kill();
        pair.interlay.conn().call(["FLUSHALL"]);
    }
    pair.assert_in_step();
}

#[test]
fn colliding_writes_of_several_users_leave_both_servers_equal() {
    for policy in POLICIES {
        let rng = Rng::printed();
        let pair = with_users(policy);
        std::thread::scope(|scope| {
            for n in 0..9 {
                let (mut rng, pair) = (rng.fork(n), &pair);
                scope.spawn(move || {
                    let mut conn = match n % 3 {
                        0 => pair.interlay.conn(),
                        1 => user(pair, "app"),
                        _ => user(pair, "writer"),
                    };
                    for _ in 0..25 {
                        let batch: Vec<_> = (0..1 + rng.below(12)).map(|_| colliding(&mut rng, n)).map(|request| line(&request)).collect();
                        for reply in conn.pipeline(&batch) {
                            assert!(!is_error(&reply), "{policy}: {}", text(&reply));
                        }
                    }
                });
            }
        });
        pair.assert_in_step();
        assert_ne!(pair.target.call(["DBSIZE"]), b":0\r\n");
    }
}

/// A write that another user makes to the same key at the same time.
fn colliding(rng: &mut Rng, by: u64) -> String {
    let key = rng.below(3);
    let n = rng.below(100);
    match rng.below(6) {
        0 => format!("SET app:s{key} {by}-{n}"),
        1 => format!("RPUSH app:l{key} {by}-{n}"),
        2 => format!("LPOP app:l{key}"),
        3 => format!("INCR app:n{key}"),
        4 => format!("APPEND app:s{key} {by}"),
        _ => format!("HSET app:h{key} f{} {by}-{n}", n % 3),
    }
}

#[test]
fn user_of_the_lane_is_back_after_auth_and_reset() {
    let pair = with_users("source-authoritative");
    for back in ["AUTH default any", "RESET"] {
        let mut conn = user(&pair, "reader");
        ok(&mut conn, "SELECT 2");
        assert_eq!(say(&mut conn, "SET k v"), r"-NOPERM this user has no permissions to run the \'set\' command\r\n");
        assert!(!is_error(&conn.call(back.split(' '))));
        assert_eq!(words(&conn.call(["ACL", "WHOAMI"])), ["default"]);
        // AUTH leaves the database as it was, RESET does not.
        ok(&mut conn, "SET k v");
        let db = if back == "RESET" { "0" } else { "2" };
        let mut target = pair.target.conn();
        ok(&mut target, &format!("SELECT {db}"));
        pair.settled();
        assert_eq!(say(&mut target, "GET k"), r"$1\r\nv\r\n", "{back}");
    }
    pair.assert_in_step();
}

#[test]
fn refused_credentials_leave_the_user_as_it_was() {
    let pair = with_users("source-authoritative");
    let mut conn = user(&pair, "app");
    let refused = r"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for wrong in ["AUTH app wrong", "AUTH nobody pw", "AUTH reader wrong", "HELLO 3 AUTH reader wrong"] {
        assert_eq!(say(&mut conn, wrong), refused);
        assert_eq!(say(&mut conn, "ACL WHOAMI"), r"$3\r\napp\r\n", "{wrong}");
    }
}

#[test]
fn consumers_of_another_user_share_queues_with_the_lane_s() {
    let pair = with_users("source-authoritative");
    let mut mine = pair.interlay.conn();
    mine.send(line("BLPOP app:q 0"));
    blocked(&pair.interlay, 1);
    let mut other = user(&pair, "app");
    other.send(line("BLPOP app:q 0"));
    blocked(&pair.interlay, 2);
    assert_eq!(say(&mut user(&pair, "writer"), "RPUSH app:q 1 2 3"), r":3\r\n");
    let mut got = [words(&mine.reply())[1].clone(), words(&other.reply())[1].clone()];
    got.sort();
    assert_eq!(got, ["1", "2"]);
    // A pop that has waited on a connection of its own has no place in the lane's order: its key is copied.
    pair.assert_in_step();
    assert!(pair.interlay.number("repairs") >= 1, "{:#}", pair.interlay.status());
}

#[test]
fn user_s_connection_that_the_source_loses_is_told_of() {
    let mut pair = warned("source-authoritative");
    know_users(&pair);
    let mut conn = user(&pair, "app");
    ok(&mut conn, "SET app:k v");
    pair.source.kill();
    // A server that goes away closes the connections of those who have one of their own.
    assert_eq!(text(&conn.rest()), "");
}
