//! Pipelines of every kind of request in one write: each reply comes in its place, as a server gives it.

use interlay_tests::{Conn, Rng, Server, text};

use super::scene::{POLICIES, id, line, ok, patient};

/// Pieces of pipelines; each may follow each. What a server answers to them is a function of the state.
const PIECES: [&[&str]; 26] = [
    &["SET s v"],
    &["INCR n"],
    &["GET s", "MGET s n", "STRLEN s"],
    &["NOSUCH a b", "GET", "CLIENT NOSUCH"],
    &["LPUSH s x"],
    &["RPUSH l a b c", "BLPOP l 0.01"],
    &["BLPOP nothing 0.01"],
    &["BRPOP l 0.01", "BLMOVE l m LEFT RIGHT 0.01", "BLPOP s 0.01"],
    &["BLPOP l x", "BLPOP l -1", "BLPOP"],
    &["ZADD z 1 a", "BZPOPMIN z 0.01", "BZPOPMAX z 0.01"],
    &["MULTI", "INCR n", "GET n", "EXEC"],
    &["MULTI", "INCR s", "BLPOP l 0", "SELECT 1", "INCR n", "EXEC"],
    &["MULTI", "INCR n", "NOSUCH", "EXEC"],
    &["MULTI", "INCR n", "DISCARD"],
    &["MULTI", "MULTI", "WATCH s", "EXEC"],
    &["EXEC", "DISCARD", "UNWATCH"],
    &["WATCH s", "GET s", "MULTI", "APPEND s x", "EXEC"],
    &["WATCH s", "SET s w", "MULTI", "APPEND s x", "EXEC"],
    &["SELECT 1", "SET s one"],
    &["SELECT 0", "SELECT 99", "SELECT x"],
    &["SUBSCRIBE c", "UNSUBSCRIBE c"],
    &["PSUBSCRIBE p*", "PUNSUBSCRIBE"],
    &["PING", "ECHO x", "CLIENT SETNAME me", "CLIENT GETNAME"],
    &["XADD x 1-1 f v", "XREAD BLOCK 10 STREAMS x 0", "XREAD BLOCK 10 STREAMS x 5"],
    &["CLIENT REPLY SKIP", "INCR n", "PING"],
    &["EVAL_RO return(1) 0", "SCRIPT EXISTS x", "WAIT 0 0"],
];

#[test]
fn replies_keep_their_order_whatever_is_mixed() {
    for (turn, policy) in POLICIES.iter().enumerate() {
        let mut rng = Rng::printed();
        let pair = patient(policy);
        let alone = Server::start();
        for round in 0..12 {
            let hello = if (turn + round) % 2 == 0 { "HELLO 3" } else { "HELLO 2" };
            let lines: Vec<&str> = (0..20).flat_map(|_| PIECES[rng.below(26) as usize]).copied().chain(["ECHO last"]).collect();
            let bytes: Vec<u8> = lines.iter().flat_map(|request| line(request)).collect();
            let [got, expected] = [pair.interlay.conn(), alone.conn()].map(|mut conn| {
                conn.call(hello.split(' '));
                conn.send(&bytes);
                let mut replies = Vec::new();
                while replies.last().is_none_or(|last| last != r"$4\r\nlast\r\n") {
                    replies.push(text(&conn.reply()));
                }
                replies
            });
            let differs = got.iter().zip(&expected).position(|(got, expected)| got != expected);
            assert!(got == expected, "{policy}, {hello}: {lines:?}\n{differs:?}\n{got:?}\n{expected:?}");
        }
        pair.assert_in_step();
    }
}

#[test]
fn pipelines_of_many_clients_keep_their_order() {
    let rng = Rng::printed();
    let pair = patient("source-authoritative");
    std::thread::scope(|scope| {
        for client in 0..12 {
            let (mut rng, pair) = (rng.fork(client), &pair);
            scope.spawn(move || {
                let mut conn = pair.interlay.conn();
                let own = id(&mut conn);
                for round in 0..12 {
                    let mut requests = Vec::new();
                    for n in 0..10 {
                        let piece: &[&str] = PIECES[rng.below(19) as usize];
                        requests.extend(piece.iter().map(|request| line(request)));
                        requests.extend([Conn::encode(["ECHO", &format!("{client}-{round}-{n}")]), line("CLIENT ID")]);
                    }
                    // What others write decides the other replies; these come in their places.
                    let replies: Vec<_> = conn.pipeline(&requests).iter().map(|reply| text(reply)).collect();
                    for (request, reply) in requests.iter().zip(&replies) {
                        let request = text(request);
                        if let Some((_, echoed)) = request.split_once(r"ECHO\r\n") {
                            assert_eq!(echoed, reply);
                        } else if request.contains(r"\r\nID\r\n") {
                            assert_eq!(*reply, format!(r":{own}\r\n"));
                        }
                    }
                }
                ok(&mut conn, "SELECT 0");
            });
        }
    });
    pair.assert_in_step();
}
