//! Calls whose replies depend on what the connection has been sent before: nothing stands between them, and the whole
//! stream of replies is compared. Each is sent in one write, and again in pieces.

use interlay_tests::Conn;

use super::compare::Likeness;
use super::row::calls;
use super::worlds::Protocol::{Resp2, Resp3};
use super::worlds::{Batch, Sent, Worlds};

/// Bytes of a piece: neither words nor requests end with one.
const PIECE: usize = 7;

const TRANSACTIONS: &[&str] = &[
    "MULTI; SET str v; GET str; EXEC; GET str",
    "MULTI; MULTI; GET str; EXEC",
    "MULTI; WATCH str; GET str; EXEC",
    "EXEC; DISCARD; GET str",
    "MULTI; NOSUCH; GET str; EXEC; GET str",
    "MULTI; GET; EXEC",
    "MULTI; GET a b c; SET str v; EXEC; GET str",
    "MULTI; SET str v; DISCARD; GET str; EXEC",
    "MULTI; NOSUCH; DISCARD; EXEC",
    "MULTI; EXEC x; EXEC",
    "MULTI; DISCARD x; EXEC",
    "MULTI x; EXEC",
    "MULTI; LPUSH str x; SET str v; INCR str; EXEC",
    "WATCH str; SET str v; MULTI; SET str w; EXEC; GET str",
    "WATCH none; MULTI; SET none w; EXEC; GET none",
    "WATCH str; SET str v; UNWATCH; MULTI; GET str; EXEC",
    "WATCH str; SET str v; DISCARD; MULTI; GET str; EXEC",
    "WATCH str; MULTI; GET str; DISCARD; SET str v; MULTI; GET str; EXEC",
    "WATCH str; FLUSHALL; MULTI; GET str; EXEC",
    "WATCH none; FLUSHALL; MULTI; GET str; EXEC",
    "WATCH str; SELECT 1; SET str v; MULTI; GET str; EXEC",
    "WATCH str; MULTI; NOSUCH; EXEC; MULTI; GET str; EXEC",
    "MULTI; SELECT 1; SET k v; EXEC; GET k; SELECT 0; GET k",
    "MULTI; SELECT 99; GET str; EXEC; GET str",
    "MULTI; SELECT 1; DISCARD; GET str",
    "MULTI; BLPOP none 0; BLPOP list 0; BRPOPLPUSH none new 0; XREAD BLOCK 0 STREAMS none $; WAIT 1 0; EXEC",
    "MULTI; BLPOP list x; EXEC",
    "MULTI; PING; ECHO x; PING x; TIME x; EXEC",
    "MULTI; CLIENT SETNAME me; CLIENT GETNAME; EXEC; CLIENT GETNAME",
    "MULTI; AUTH x; EXEC",
    "MULTI; UNWATCH; EXEC",
    "MULTI; RESET; EXEC; GET str",
    "MULTI; HELLO 3; GET none; HELLO 2; GET none; EXEC; GET none",
    "MULTI; SUBSCRIBE a; EXEC; PING",
    "MULTI; MONITOR; EXEC",
    "MULTI; SYNC; EXEC",
    "MULTI; EVAL \"return redis.call('incr', KEYS[1])\" 1 num; EXEC; GET num",
    "MULTI; FLUSHALL; DBSIZE; EXEC; DBSIZE",
    "MULTI; SAVE; EXEC",
    "MULTI; SWAPDB 0 1; DBSIZE; EXEC; DBSIZE; SWAPDB 0 1",
    "MULTI; CLIENT REPLY OFF; GET str; EXEC; GET str; CLIENT REPLY ON; GET str",
    "MULTI; CLIENT REPLY SKIP; GET str; EXEC; GET str; GET num",
    "MULTI; QUIT; EXEC",
    "MULTI; GET str; MULTI; DISCARD; MULTI; GET num; EXEC",
    "MULTI; EXEC; MULTI; EXEC",
    "MULTI; GET str",
    "WATCH str",
];

const SUBSCRIPTIONS: &[&str] = &[
    "SUBSCRIBE a; GET str; SET str v; PING; PING x; ECHO x; UNSUBSCRIBE a; GET str",
    "SUBSCRIBE a b; PSUBSCRIBE c*; SSUBSCRIBE d; UNSUBSCRIBE a; UNSUBSCRIBE; PUNSUBSCRIBE; PING; SUNSUBSCRIBE; PING; GET str",
    "SUBSCRIBE a; MULTI; EXEC; WATCH str; BLPOP list 1; CLIENT ID x; SELECT 1; HELLO 4; RESET; GET str",
    "SUBSCRIBE a; nosuch; GET; SUBSCRIBE; SUBSCRIBE a; UNSUBSCRIBE nosuch",
    "SUBSCRIBE a; PUBLISH a x; UNSUBSCRIBE; PUBLISH a x",
    "UNSUBSCRIBE; PUNSUBSCRIBE; SUNSUBSCRIBE; UNSUBSCRIBE a; GET str",
    "SUBSCRIBE a; QUIT; GET str",
    "SSUBSCRIBE a; GET str; SPUBLISH a x; SUNSUBSCRIBE; GET str",
    "PSUBSCRIBE *; PUBLISH a x; GET str; PUNSUBSCRIBE *; GET str",
    "SELECT 1; SUBSCRIBE a; UNSUBSCRIBE; SET k v; SELECT 0; EXISTS k",
    "SET str v; SUBSCRIBE a; UNSUBSCRIBE a; GET str; SUBSCRIBE a; UNSUBSCRIBE a; GET str",
];

const SESSIONS: &[&str] = &[
    "CLIENT REPLY OFF; GET str; NOSUCH; PING; CLIENT REPLY ON; GET str",
    "CLIENT REPLY SKIP; GET str; GET num",
    "CLIENT REPLY SKIP; CLIENT REPLY SKIP; GET str; GET num",
    "CLIENT REPLY SKIP; CLIENT REPLY ON; GET str",
    "CLIENT REPLY SKIP; NOSUCH; GET str",
    "CLIENT REPLY SKIP; MULTI; GET str; EXEC; PING",
    "CLIENT REPLY OFF; CLIENT REPLY SKIP; GET str; CLIENT REPLY ON; GET num",
    "CLIENT REPLY OFF; SET str v; RESET; GET str",
    "CLIENT REPLY OFF; SELECT 1; SET k v; CLIENT REPLY ON; GET k; SELECT 0; GET k",
    "CLIENT REPLY OFF; BLPOP none 0.01; BLPOP list 0; CLIENT REPLY ON; LRANGE list 0 -1",
    "CLIENT REPLY OFF; MULTI; SET str v; EXEC; CLIENT REPLY ON; GET str",
    "CLIENT REPLY SKIP; HELLO 3; GET none",
    "CLIENT REPLY OFF; SUBSCRIBE a; CLIENT REPLY ON; PING",
    "SELECT 1; SET k v; RESET; GET k; SELECT 1; GET k",
    "SELECT 15; SELECT 16; SELECT x; SELECT; SET k v; SELECT 0; GET k",
    "CLIENT SETNAME me; RESET; CLIENT GETNAME",
    "HELLO 3; GET none; HELLO 2; GET none; HELLO 3; HGETALL hash; RESET; HGETALL hash",
    "HELLO 4; HELLO x; HELLO 3 SETNAME; HELLO 3 AUTH a; GET none",
    "QUIT; GET str",
    "GET str; QUIT",
    "QUIT x; GET str",
    "BLPOP none 0.01; GET str",
    "BLPOP list 0; BLPOP list 0; BLPOP list 0; BLPOP list 0.01; RPUSH list z; BLPOP list 0; LLEN list",
    "BLPOP none 0.01; MULTI; BLPOP none 0; EXEC; BLPOP list x; BLPOP list -1; BLPOP str 0; GET str",
    "SET a 1; BLPOP none 0.01; SUBSCRIBE x; UNSUBSCRIBE x; MULTI; GET a; EXEC; WATCH a; INCR a; MULTI; GET a; EXEC; NOSUCH; GET a",
    "GET str; MULTI; INCR num; EXEC; BRPOP none 0.01; EVAL \"return redis.call('get', 'num')\" 0; SELECT 1; GET num; SELECT 0; GET num",
    "XREAD BLOCK 10 STREAMS stream $; XADD stream 5-5 f v; XREAD BLOCK 10 STREAMS stream 4; WAIT 0 0; GET str",
    "CLIENT TRACKING ON; CLIENT TRACKINGINFO; CLIENT TRACKING OFF; CLIENT GETREDIR; CLIENT TRACKINGINFO",
    "CLIENT NO-EVICT ON; CLIENT PAUSE 1; CLIENT UNPAUSE; RESET; GET str",
    "AUTH x; AUTH default x; ACL WHOAMI; GET str",
    "MONITOR; RESET; GET str",
];

/// Requests as lines of text, which a person types.
const LINES: &[&str] = &[
    "PING\r\nget str\r\n  SET  k  \"a b\"  \r\nGET k\nGET 'k'\r\n",
    "\r\n\r\nPING\r\n   \r\nPING x\r\n",
    "MULTI\r\nSET str v\r\nGET str\r\nEXEC\r\n",
    "MULTI\r\nNOSUCH\r\nEXEC\r\n",
    "SUBSCRIBE a\r\nPING\r\nUNSUBSCRIBE\r\nPING\r\n",
    "BLPOP none 0.01\r\nBLPOP list 0\r\nGET str\r\n",
    "CLIENT REPLY SKIP\r\nGET str\r\nGET num\r\n",
    "MULTI\r\n*2\r\n$3\r\nGET\r\n$3\r\nstr\r\nEXEC\r\n",
    "*0\r\nPING\r\n*-1\r\nPING\r\n",
    "MULTI\r\n*0\r\n\r\nEXEC\r\n",
    "EVAL \"return 'a b'\" 0\r\nnosuch 'a b'\r\nGET\r\n",
    "MULTI\r\nGET \"unbalanced\r\n",
    "SUBSCRIBE a\r\n*x\r\n",
    "MULTI\r\n*1\r\n+PING\r\n",
];

#[test]
fn transactions() {
    assert_alike(&requests(TRANSACTIONS));
}

#[test]
fn subscriptions() {
    assert_alike(&requests(SUBSCRIPTIONS));
}

#[test]
fn sessions() {
    assert_alike(&requests(SESSIONS));
}

#[test]
fn lines() {
    let lines: Vec<_> = LINES.iter().map(|line| vec![line.as_bytes().to_vec()]).collect();
    assert_alike(&lines);
}

/// A sequence's calls as bytes.
fn requests(sequences: &[&str]) -> Vec<Vec<Vec<u8>>> {
    sequences.iter().map(|sequence| calls(sequence).iter().map(Conn::encode).collect()).collect()
}

fn assert_alike(sequences: &[Vec<Vec<u8>>]) {
    let ways = [Sent::Whole, Sent::Pieces(PIECE)];
    let batches: Vec<_> = sequences
        .iter()
        .flat_map(|calls| {
            let calls = vec![calls.concat()];
            ways.map(|sent| Batch { name: format!("{sent:?}"), calls: calls.clone(), likeness: Likeness::Bytes, sent })
        })
        // What comes behind a QUIT in pieces may or may not cost the connection its last reply.
        .filter(|batch| batch.sent == Sent::Whole || !batch.calls[0].windows(4).any(|window| window == b"QUIT"))
        .collect();
    Worlds::start().assert_alike(&[Resp2, Resp3], &batches);
}
