//! Several connections at once: what one does reaches the others as it does on a server.

use interlay_tests::{Conn, eventually};

use super::compare::Likeness::{self, Bytes, Names, Shape};
use super::row::calls;
use super::worlds::Protocol::{self, Resp2, Resp3};
use super::worlds::{self, Worlds, joined};

/// What happens in a scene, step by step.
type Scene = fn(&mut Stage);

#[test]
fn blocked_clients() {
    assert_alike(&[
        ("a push wakes the one who waits", |stage| {
            let [mut waiting, mut other] = stage.conns();
            stage.block(&mut waiting, "BLPOP q 0");
            stage.call(&mut other, "RPUSH q a b; LRANGE q 0 -1");
            stage.take(&mut waiting, 1);
            stage.call(&mut waiting, "LLEN q; SET after v");
        }),
        ("those who wait are served in the order of their arrival", |stage| {
            let [mut first, mut second, mut third, mut other] = stage.conns();
            stage.block(&mut first, "BLPOP q 0");
            stage.block(&mut second, "BRPOP p q 0");
            stage.block(&mut third, "BLMPOP 0 2 q p LEFT COUNT 5");
            stage.call(&mut other, "RPUSH q a; RPUSH q b; RPUSH q c d; EXISTS q");
            for conn in [&mut first, &mut second, &mut third] {
                stage.take(conn, 1);
            }
        }),
        ("one push of many serves many", |stage| {
            let [mut first, mut second, mut other] = stage.conns();
            stage.block(&mut first, "BLPOP q 0");
            stage.block(&mut second, "BLPOP q 0");
            stage.call(&mut other, "RPUSH q a b c; LRANGE q 0 -1");
            stage.take(&mut first, 1);
            stage.take(&mut second, 1);
        }),
        ("a chain of moves", |stage| {
            let [mut first, mut second, mut other] = stage.conns();
            stage.block(&mut first, "BLMOVE q p LEFT LEFT 0");
            stage.block(&mut second, "BRPOPLPUSH p o 0");
            stage.call(&mut other, "RPUSH q a");
            stage.take(&mut first, 1);
            stage.take(&mut second, 1);
            stage.call(&mut other, "LRANGE o 0 -1; EXISTS q p");
        }),
        ("databases do not mix", |stage| {
            let [mut waiting, mut other] = stage.conns();
            stage.call(&mut waiting, "SELECT 1");
            stage.block(&mut waiting, "BLPOP q 0");
            stage.call(&mut other, "RPUSH q zero; SELECT 1; RPUSH q one; EXISTS q; SELECT 0; LRANGE q 0 -1");
            stage.take(&mut waiting, 1);
        }),
        ("a key of another type wakes nobody", |stage| {
            let [mut waiting, mut other] = stage.conns();
            stage.block(&mut waiting, "BLPOP q 0");
            stage.call(&mut other, "SET q v; DEL q; ZADD q 1 a; DEL q; RPUSH q x; EXISTS q");
            stage.take(&mut waiting, 1);
        }),
        ("elements that come in other ways", |stage| {
            for way in [
                "RENAME list q",
                "COPY list q",
                "SORT list ALPHA STORE q",
                "EVAL \"redis.call('rpush', KEYS[1], 'x')\" 1 q",
                "LMOVE list q LEFT LEFT",
            ] {
                let [mut waiting, mut other] = stage.conns();
                stage.call(&mut other, "DEL q list; RPUSH list a b");
                stage.block(&mut waiting, "BLPOP q 0");
                stage.call(&mut other, way);
                stage.take(&mut waiting, 1);
                stage.call(&mut other, "LRANGE q 0 -1");
            }
        }),
        ("a transaction wakes when it is over", |stage| {
            let [mut waiting, mut other] = stage.conns();
            stage.block(&mut waiting, "BRPOP q 0");
            stage.call(&mut other, "MULTI; LPUSH q a; LPUSH q b; LLEN q; EXEC; LRANGE q 0 -1");
            stage.take(&mut waiting, 1);
            stage.block(&mut waiting, "BRPOP p 0");
            stage.call(&mut other, "MULTI; LPUSH p a; DEL p; EXEC; LPUSH p late");
            stage.take(&mut waiting, 1);
        }),
        ("sorted sets", |stage| {
            let [mut first, mut second, mut third, mut other] = stage.conns();
            stage.block(&mut first, "BZPOPMIN q 0");
            stage.block(&mut second, "BZPOPMAX p q 0");
            stage.block(&mut third, "BZMPOP 0 1 q MIN COUNT 2");
            stage.call(&mut other, "ZADD q 1 a 2 b 3 c 4 d; ZRANGE q 0 -1");
            for conn in [&mut first, &mut second, &mut third] {
                stage.take(conn, 1);
            }
        }),
        ("streams", |stage| {
            let [mut reader, mut member, mut other] = stage.conns();
            stage.call(&mut other, "XGROUP CREATE s g $ MKSTREAM");
            stage.block(&mut reader, "XREAD BLOCK 0 STREAMS s $");
            stage.block(&mut member, "XREADGROUP GROUP g me BLOCK 0 STREAMS s >");
            stage.call(&mut other, "XADD s 1-1 f v; XADD s 1-2 f w");
            stage.take(&mut reader, 1);
            stage.take(&mut member, 1);
            stage.call(&mut member, "XREADGROUP GROUP g me BLOCK 0 STREAMS s >");
            stage.block(&mut member, "XREADGROUP GROUP g me BLOCK 0 STREAMS s >");
            stage.call(&mut other, "XGROUP DESTROY s g");
            stage.take(&mut member, 1);
            stage.call(&mut member, "ECHO alive");
        }),
        ("CLIENT UNBLOCK", |stage| {
            let [mut waiting, mut other] = stage.conns();
            let id = Stage::id(&mut waiting);
            stage.call(&mut other, &format!("CLIENT UNBLOCK {id}"));
            for (call, how) in
                [("BLPOP q 0", ""), ("BLPOP q 0", "TIMEOUT"), ("BLMOVE q p LEFT LEFT 0", "ERROR"), ("XREAD BLOCK 0 STREAMS s $", "")]
            {
                stage.block(&mut waiting, call);
                stage.call(&mut other, &format!("CLIENT UNBLOCK {id} {how}"));
                stage.take(&mut waiting, 1);
                stage.call(&mut other, &format!("CLIENT UNBLOCK {id}; RPUSH q x; DEL q"));
            }
            stage.call(&mut waiting, "GET str");
        }),
        ("what comes behind a blocked call waits for it", |stage| {
            let [mut waiting, mut other] = stage.conns();
            stage.block(&mut waiting, "BLPOP q 0; SET behind v; GET behind; BLPOP p 0; LLEN p");
            stage.call(&mut other, "EXISTS behind; RPUSH q a");
            stage.take(&mut waiting, 3);
            stage.call(&mut other, "EXISTS behind; RPUSH p b c");
            stage.take(&mut waiting, 2);
        }),
        ("CLIENT KILL of one who waits", |stage| {
            let [mut waiting, mut other] = stage.conns();
            let id = Stage::id(&mut waiting);
            stage.block(&mut waiting, "BLPOP q 0");
            stage.call(&mut other, &format!("CLIENT KILL ID {id}; RPUSH q a; LRANGE q 0 -1"));
            stage.take(&mut waiting, 1);
        }),
    ]);
}

#[test]
fn transactions_of_two() {
    assert_alike(&[
        ("a watched key that another one changes", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut conn, "WATCH str; GET str");
            stage.call(&mut other, "SET str theirs");
            stage.call(&mut conn, "MULTI; SET str mine; EXEC; GET str; MULTI; SET str mine; EXEC; GET str");
        }),
        ("a watched key that nobody changes", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut conn, "WATCH str none");
            stage.call(&mut other, "SET num 1; GET str; DEL none; SELECT 1; SET str v");
            stage.call(&mut conn, "MULTI; SET str mine; EXEC; GET str");
        }),
        ("changes of every kind", |stage| {
            for change in [
                "DEL str",
                "EXPIRE str 100",
                "FLUSHALL",
                "FLUSHDB",
                "RENAME list str",
                "SWAPDB 0 1",
                "EVAL \"redis.call('set', KEYS[1], 'x')\" 1 str",
            ] {
                let [mut conn, mut other] = stage.conns();
                stage.call(&mut other, "SET str v; RPUSH list a");
                stage.call(&mut conn, "WATCH str; MULTI; PING");
                stage.call(&mut other, change);
                stage.call(&mut conn, "EXEC; EXISTS str");
            }
        }),
        ("others go on between MULTI and EXEC", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut conn, "MULTI; INCR num; GET str");
            stage.call(&mut other, "SET str theirs; INCR num; MULTI; INCR num; EXEC");
            stage.call(&mut conn, "EXEC; GET num");
        }),
        ("two transactions at once", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut conn, "MULTI; RPUSH log a");
            stage.call(&mut other, "MULTI; RPUSH log x");
            stage.call(&mut conn, "RPUSH log b; EXEC");
            stage.call(&mut other, "RPUSH log y; EXEC; LRANGE log 0 -1");
        }),
        ("the last of two who watch loses", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut conn, "WATCH num; MULTI; INCR num");
            stage.call(&mut other, "WATCH num; MULTI; INCR num; EXEC");
            stage.call(&mut conn, "EXEC; GET num");
        }),
    ]);
}

#[test]
fn publishers_and_subscribers() {
    assert_alike(&[
        ("each message once", |stage| {
            let [mut subscriber, mut other] = stage.conns();
            stage.call(&mut subscriber, "SUBSCRIBE a; PSUBSCRIBE a*; PSUBSCRIBE b*; SSUBSCRIBE s");
            stage.call(
                &mut other,
                "PUBLISH a 1; PUBLISH b 2; PUBLISH c 3; SPUBLISH s 4; SPUBLISH a 5; EVAL \"return redis.call('publish', 'b', '6')\" 0",
            );
            stage.take(&mut subscriber, 5);
            stage.quiet(&mut subscriber);
            stage.call(&mut other, "PUBSUB CHANNELS; PUBSUB NUMSUB a b; PUBSUB NUMPAT; PUBSUB SHARDCHANNELS; PUBSUB SHARDNUMSUB s");
            stage.call(&mut subscriber, "UNSUBSCRIBE a");
            stage.call(&mut other, "PUBLISH a 7; PUBSUB NUMSUB a");
            stage.take(&mut subscriber, 1);
            stage.quiet(&mut subscriber);
        }),
        ("a transaction publishes when it is carried out", |stage| {
            let [mut subscriber, mut other] = stage.conns();
            stage.call(&mut subscriber, "SUBSCRIBE a");
            stage.call(&mut other, "MULTI; PUBLISH a 1; DISCARD; MULTI; PUBLISH a 2; PUBLISH a 3; EXEC");
            stage.take(&mut subscriber, 2);
            stage.quiet(&mut subscriber);
        }),
        ("keyspace notifications", |stage| {
            let [mut subscriber, mut other] = stage.conns();
            stage.call(&mut other, "CONFIG SET notify-keyspace-events KEA");
            stage.call(&mut subscriber, "PSUBSCRIBE __key*__:*");
            stage.call(&mut other, "SET k v; DEL k; LPUSH l a; LPOP l; SELECT 1; INCR n; FLUSHALL");
            stage.take(&mut subscriber, 12);
            stage.quiet(&mut subscriber);
            stage.call(&mut other, "CONFIG SET notify-keyspace-events \"\"");
        }),
        ("a subscriber of RESP3 works on", |stage| {
            let [mut subscriber, mut other] = stage.conns();
            if stage.protocol == Resp3 {
                stage.call(&mut subscriber, "SUBSCRIBE a; SET k v; GET k; MULTI; INCR num; EXEC; BLPOP list 0");
                stage.call(&mut other, "PUBLISH a 1");
                stage.take(&mut subscriber, 1);
                stage.call(&mut subscriber, "GET k");
                stage.block(&mut subscriber, "BLPOP q 0");
                stage.call(&mut other, "PUBLISH a 2");
                stage.take(&mut subscriber, 1);
                stage.call(&mut other, "RPUSH q x");
                stage.take(&mut subscriber, 1);
                stage.quiet(&mut subscriber);
            }
        }),
    ]);
}

#[test]
fn tracked_keys() {
    assert_alike(&[
        ("a change of a key that was read", |stage| {
            let [mut conn, mut other] = stage.conns();
            if stage.protocol == Resp3 {
                stage.call(&mut conn, "CLIENT TRACKING ON; GET str; GET num");
                stage.call(&mut other, "SET str v; SET str w; SET list v");
                stage.take(&mut conn, 1);
                stage.quiet(&mut conn);
                stage.call(&mut conn, "GET str");
                stage.call(&mut other, "FLUSHALL");
                stage.take(&mut conn, 1);
                stage.quiet(&mut conn);
            }
        }),
        ("one's own change comes behind its reply", |stage| {
            let [mut conn] = stage.conns();
            if stage.protocol == Resp3 {
                stage.call(&mut conn, "CLIENT TRACKING ON; GET str; SET str v");
                stage.take(&mut conn, 1);
                stage.call(&mut conn, "CLIENT TRACKING OFF; CLIENT TRACKING ON NOLOOP; GET str; SET str w");
                stage.quiet(&mut conn);
            }
        }),
        ("prefixes", |stage| {
            let [mut conn, mut other] = stage.conns();
            if stage.protocol == Resp3 {
                stage.call(&mut conn, "CLIENT TRACKING ON BCAST PREFIX s PREFIX x; CLIENT TRACKINGINFO");
                stage.call(&mut other, "SET str v");
                stage.take(&mut conn, 1);
                stage.call(&mut other, "SET num 1; SET x 1");
                stage.take(&mut conn, 1);
                stage.quiet(&mut conn);
            }
        }),
        ("caching on request", |stage| {
            let [mut conn, mut other] = stage.conns();
            if stage.protocol == Resp3 {
                stage.call(&mut conn, "CLIENT TRACKING ON OPTIN; GET num; CLIENT CACHING YES; GET str");
                stage.call(&mut other, "SET num 1; SET str v");
                stage.take(&mut conn, 1);
                stage.quiet(&mut conn);
            }
        }),
        ("another connection is told", |stage| {
            let [mut conn, mut told, mut other] = stage.conns();
            let id = Stage::id(&mut told);
            stage.call(&mut told, "SUBSCRIBE __redis__:invalidate");
            stage.call_unseen(&mut conn, &format!("CLIENT TRACKING ON REDIRECT {id}"));
            stage.call(&mut conn, "GET str");
            stage.call(&mut other, "SET str v");
            stage.take(&mut told, 1);
            stage.quiet(&mut told);
        }),
    ]);
}

#[test]
fn clients_about_clients() {
    assert_alike(&[
        ("CLIENT KILL", |stage| {
            for filter in ["ID {id}", "ID {id} USER default TYPE normal", "TYPE normal ID {id} SKIPME yes"] {
                let [mut conn, mut other] = stage.conns();
                let kill = format!("CLIENT KILL {filter}").replace("{id}", &Stage::id(&mut conn));
                stage.call_unseen(&mut other, &kill);
                stage.take(&mut conn, 1);
                stage.call_unseen(&mut other, &kill);
            }
            let [mut conn] = stage.conns();
            let address = conn.socket().local_addr().expect("a socket's address");
            let [mut other] = stage.conns();
            stage.call_unseen(&mut other, &format!("CLIENT KILL ADDR {address}"));
            stage.take(&mut conn, 1);
            let address = other.socket().local_addr().expect("a socket's address");
            stage.call_unseen(&mut other, &format!("CLIENT KILL {address}"));
            stage.take(&mut other, 1);
        }),
        ("CLIENT LIST and INFO", |stage| {
            let [mut conn, mut other] = stage.conns();
            let id = Stage::id(&mut conn);
            stage.call(&mut conn, "CLIENT SETNAME me; SELECT 3; GET str");
            let list = Conn::call(&mut other, ["CLIENT", "LIST", "ID", &id]);
            stage.note("CLIENT LIST ID", Names, vec![list.clone()]);
            let list = String::from_utf8_lossy(&list).into_owned();
            let address = conn.socket().local_addr().expect("a socket's address");
            for field in
                [format!("id={id}"), format!("addr={address}"), "name=me".into(), "db=3".into(), "cmd=get".into(), "user=default".into()]
            {
                let has = list.split_whitespace().any(|word| word.trim_start_matches("txt:") == field);
                stage.note(field.split('=').next().expect("a name"), Bytes, vec![has.to_string().into_bytes()]);
            }
        }),
        ("CLIENT PAUSE holds writes back", |stage| {
            let [mut conn, mut other] = stage.conns();
            stage.call(&mut other, "CLIENT PAUSE 100000 WRITE");
            conn.send([Conn::encode(["ECHO", "x"]), Conn::encode(["SET", "str", "v"])].concat());
            stage.take(&mut conn, 1);
            stage.call(&mut other, "GET str; CLIENT UNPAUSE");
            stage.take(&mut conn, 1);
            stage.call(&mut other, "GET str");
        }),
        ("MONITOR", |stage| {
            let [mut monitor, mut other] = stage.conns();
            stage.call(&mut monitor, "MONITOR");
            stage.call(&mut other, "SET str v; SELECT 1; GET str");
            // A proxy's own SELECT and HELLO are among what a server is sent.
            let mut seen: Vec<Vec<u8>> = Vec::new();
            while !seen.last().is_some_and(|line| line.ends_with(b"\"GET\" \"str\"\r\n") || !line.starts_with(b"+")) {
                seen.push(stage.next(&mut monitor));
            }
            seen.retain(|line| line.windows(5).any(|word| word == b"\"str\""));
            stage.note("what it sees", Shape, seen.clone());
            let words: Vec<_> = seen.iter().map(|line| line.iter().copied().skip_while(|byte| *byte != b'"').collect()).collect();
            stage.note("its words", Bytes, words);
        }),
    ]);
}

/// One scene in one world.
struct Stage {
    port: u16,
    protocol: Protocol,
    /// Whether a reply has not come.
    is_over: bool,
    /// What came back: a label, how far it has to be alike, the replies.
    seen: Vec<(String, Likeness, Vec<Vec<u8>>)>,
}

impl Stage {
    /// Connections of this world.
    fn conns<const N: usize>(&self) -> [Conn; N] {
        std::array::from_fn(|_| worlds::connect(self.port, self.protocol))
    }

    /// Makes calls one after the other, each when the one before is answered.
    fn call(&mut self, conn: &mut Conn, text: &str) {
        for call in calls(text) {
            conn.try_send(Conn::encode(&call)).ok(); // closed already: the reply says so
            let reply = self.next(conn);
            self.note(&call.join(" "), Bytes, vec![reply]);
        }
    }

    /// Makes a call that holds what is of one world only.
    fn call_unseen(&mut self, conn: &mut Conn, text: &str) {
        for call in calls(text) {
            conn.try_send(Conn::encode(&call)).ok();
            let reply = self.next(conn);
            self.note(&call[..2].join(" "), Bytes, vec![reply]);
        }
    }

    /// Makes calls the first of which blocks, and waits until CLIENT LIST says that it does.
    fn block(&mut self, conn: &mut Conn, text: &str) {
        let id = Self::id(conn);
        conn.try_send(calls(text).iter().flat_map(Conn::encode).collect::<Vec<_>>()).ok();
        let mut other = worlds::connect(self.port, self.protocol);
        eventually(&format!("{text} blocks"), || {
            let list = String::from_utf8_lossy(&other.call(["CLIENT", "LIST", "ID", &id])).into_owned();
            list.split_whitespace().any(|field| field.strip_prefix("flags=").is_some_and(|flags| flags.contains('b')))
        });
    }

    /// Takes what comes by itself.
    fn take(&mut self, conn: &mut Conn, count: usize) {
        let replies: Vec<_> = (0..count).map(|_| self.next(conn)).collect();
        self.note("what comes", Bytes, replies);
    }

    /// Nothing more may have come than what was taken.
    fn quiet(&mut self, conn: &mut Conn) {
        self.call(conn, "PING quiet");
    }

    /// The next reply; after one that does not come the scene is over, and nothing is waited for.
    fn next(&mut self, conn: &mut Conn) -> Vec<u8> {
        if self.is_over {
            return b"(the scene is over)".to_vec();
        }
        conn.try_reply().unwrap_or_else(|error| {
            let silence = worlds::silence(&error);
            self.is_over = silence == worlds::SILENT;
            silence
        })
    }

    /// The client's id.
    fn id(conn: &mut Conn) -> String {
        let id = conn.call(["CLIENT", "ID"]);
        String::from_utf8_lossy(&id[1..id.len() - 2]).into_owned()
    }

    /// Keeps what came back.
    fn note(&mut self, label: &str, likeness: Likeness, replies: Vec<Vec<u8>>) {
        self.seen.push((label.to_owned(), likeness, replies));
    }
}

/// Plays every scene in every world, and asserts that the same is seen in each of them.
fn assert_alike(scenes: &[(&str, Scene)]) {
    let worlds = Worlds::start();
    let mut reports = Vec::new();
    for (name, scene) in scenes {
        for protocol in [Resp2, Resp3] {
            let seen = worlds.each(|port| {
                worlds::fresh(&mut worlds::connect(port, protocol));
                let mut stage = Stage { port, protocol, is_over: false, seen: Vec::new() };
                scene(&mut stage);
                stage.seen
            });
            for (at, (label, likeness, expected)) in seen[0].1.iter().enumerate() {
                let essence = |replies: &[Vec<u8>]| replies.iter().map(|reply| likeness.essence(reply)).collect::<Vec<_>>();
                let others = seen[1..].iter().map(|(world, seen)| (world, &seen[at].2));
                let unlike: Vec<_> = others.filter(|(_, replies)| essence(replies) != essence(expected)).collect();
                if !unlike.is_empty() {
                    let lines = unlike.iter().map(|(world, replies)| format!("\n  {world:<15}{}", joined(replies)));
                    reports.push(format!(
                        "{name} ({protocol:?}): {label}\n  {:<15}{}{}",
                        "server",
                        joined(expected),
                        lines.collect::<String>()
                    ));
                }
            }
        }
    }
    reports.extend(worlds.out_of_step());
    assert!(reports.is_empty(), "{} differences:\n{}", reports.len(), reports.join("\n"));
}
