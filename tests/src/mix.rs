//! Random requests on the same few keys, so that connections collide.
//!
//! All of them are functions of the state alone, so that they are mirrored: expiries are absolute, stream ids are given,
//! nothing is left to chance.

use crate::rng::Rng;

/// The databases in use.
const DBS: [&str; 4] = ["0", "1", "2", "9"];

/// Somewhere in the year 2100, in ms: absolute expiry times lie behind it.
const FAR_AWAY_MS: u64 = 4_102_444_800_000;

/// A write, of any type, or now and then a SELECT.
pub fn write(rng: &mut Rng) -> Vec<Vec<u8>> {
    let line = line(rng);
    line.split(' ').map(|arg| arg.as_bytes().to_vec()).collect()
}

/// A write, or as often a read.
pub fn read_or_write(rng: &mut Rng) -> Vec<Vec<u8>> {
    if rng.below(2) == 0 {
        return write(rng);
    }
    let (family, reads) = *rng.pick(&[
        ('s', &["GET", "STRLEN", "PEXPIRETIME"][..]),
        ('l', &["LLEN"]),
        ('u', &["SCARD"]),
        ('h', &["HLEN"]),
        ('z', &["ZCARD"]),
        ('x', &["XLEN"]),
    ]);
    let read = *rng.pick(reads);
    vec![read.into(), key(rng, family).into()]
}

/// A write, and now and then one that concerns whole databases, or moves a key to another one.
pub fn write_or_flush(rng: &mut Rng) -> Vec<Vec<u8>> {
    let words: Vec<String> = match rng.below(300) {
        0 => vec!["FLUSHALL".into()],
        1..=3 => vec!["FLUSHDB".into()],
        4..=8 => vec!["SWAPDB".into(), (*rng.pick(&DBS)).into(), (*rng.pick(&DBS)).into()],
        9..=25 => {
            let family = *rng.pick(&['s', 'l', 'u', 'h', 'z']);
            vec!["MOVE".into(), key(rng, family), (*rng.pick(&DBS)).into()]
        }
        _ => return write(rng),
    };
    words.into_iter().map(String::into_bytes).collect()
}

/// One of four keys of a type, or, so that types collide too, now and then of any.
fn key(rng: &mut Rng, family: char) -> String {
    let family = if rng.below(40) == 0 { *rng.pick(&['s', 'l', 'u', 'h', 'z', 'x', 'p']) } else { family };
    format!("{family}{}", rng.below(4))
}

/// One request as words.
fn line(rng: &mut Rng) -> String {
    let n = rng.below(1000);
    let family = *rng.pick(&['s', 's', 's', 'l', 'l', 'u', 'h', 'z', 'x', 'p', '*']);
    let (k, other) = (key(rng, family), key(rng, family));
    let expiry = FAR_AWAY_MS + n;
    let choices = match family {
        's' => vec![
            format!("SET {k} v{n}"),
            format!("SET {k} {n} PXAT {expiry}"),
            format!("SET {k} {n} NX GET"),
            format!("INCR {k}"),
            format!("INCRBY {k} {n}"),
            format!("DECRBY {k} 3"),
            format!("INCRBYFLOAT {k} 0.1"),
            format!("APPEND {k} {n}"),
            format!("SETRANGE {k} {} xyz", n % 64),
            format!("SETBIT {k} {n} 1"),
            format!("GETSET {k} {n}"),
            format!("GETDEL {k}"),
            format!("GETEX {k} PXAT {expiry}"),
            format!("MSET {k} {n} {other} {n}"),
            format!("MSETNX {k} {n} {other} {n}"),
            format!("BITOP XOR {k} {other} {k}"),
        ],
        'l' => vec![
            format!("LPUSH {k} {n} a b"),
            format!("RPUSH {k} {n}"),
            format!("RPUSHX {k} {n}"),
            format!("LPOP {k}"),
            format!("RPOP {k} 3"),
            format!("LMOVE {k} {other} LEFT RIGHT"),
            format!("RPOPLPUSH {k} {other}"),
            format!("LMPOP 2 {k} {other} RIGHT COUNT 2"),
            format!("LINSERT {k} BEFORE a {n}"),
            format!("LREM {k} 1 b"),
            format!("LSET {k} 0 {n}"),
            format!("LTRIM {k} 0 50"),
        ],
        'u' => vec![
            format!("SADD {k} {n} {}", n % 7),
            format!("SREM {k} {}", n % 7),
            format!("SMOVE {k} {other} {}", n % 7),
            format!("SUNIONSTORE {k} {k} {other}"),
            format!("SINTERSTORE {k} {k} {other}"),
            format!("SDIFFSTORE {k} {other} {k}"),
        ],
        'h' => vec![
            format!("HSET {k} f{} {n} g {n}", n % 9),
            format!("HSETNX {k} f{} {n}", n % 9),
            format!("HDEL {k} f{}", n % 9),
            format!("HINCRBY {k} f{} {n}", n % 9),
            format!("HINCRBYFLOAT {k} f{} 0.3", n % 9),
        ],
        'z' => vec![
            format!("ZADD {k} {n} m{}", n % 9),
            format!("ZADD {k} GT CH {n} m{}", n % 9),
            format!("ZADD {k} INCR 1.5 m{}", n % 9),
            format!("ZINCRBY {k} 0.1 m{}", n % 9),
            format!("ZREM {k} m{}", n % 9),
            format!("ZPOPMIN {k}"),
            format!("ZMPOP 2 {k} {other} MAX"),
            format!("ZUNIONSTORE {k} 2 {k} {other}"),
            format!("ZRANGESTORE {k} {other} 0 5"),
            format!("ZREMRANGEBYRANK {k} 6 -1"),
        ],
        'x' => vec![
            format!("XADD {k} {}-{n} f {n}", rng.below(1000)),
            format!("XTRIM {k} MAXLEN 20"),
            format!("XDEL {k} {n}-{n}"),
            format!("XGROUP CREATE {k} g{} $ MKSTREAM", n % 3),
        ],
        'p' => vec![format!("PFADD {k} {n}"), format!("PFMERGE {k} {other}"), format!("PFCOUNT {k}")],
        _ => {
            let family = *rng.pick(&['s', 'l', 'u', 'h', 'z']);
            let (k, other) = (key(rng, family), key(rng, family));
            vec![
                format!("DEL {k} {other}"),
                format!("UNLINK {k}"),
                format!("RENAME {k} {other}"),
                format!("RENAMENX {k} {other}"),
                format!("COPY {k} {other} REPLACE"),
                format!("COPY {k} {other} DB {} REPLACE", rng.pick(&DBS)),
                format!("PEXPIREAT {k} {expiry}"),
                format!("EXPIREAT {k} 1"),
                format!("PERSIST {k}"),
                format!("SELECT {}", rng.pick(&DBS)),
                format!("SELECT {}", rng.pick(&DBS)),
            ]
        }
    };
    rng.pick(&choices).clone()
}
