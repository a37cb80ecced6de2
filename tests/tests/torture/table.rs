//! What clients send: every write command of Redis 7.0, with weights. The forms are [`super::form`]'s.

use std::sync::LazyLock;

use interlay_tests::Rng;

use super::form::Form;

/// What commands of a kind have in common for whoever repeats them on another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They change nothing.
    Read,
    /// They choose the database.
    Session,
    /// What they do is a function of the state alone.
    State,
    /// They empty or swap databases.
    Databases,
    /// They depend on the clock: relative or near expiry times, ids and delivery times made by the server.
    Clock,
    /// They depend on chance.
    Chance,
    /// They depend on how the server has ordered or laid out its data, and the reply does not tell.
    Inner,
    /// They run code.
    Script,
    /// They wait.
    Wait,
}

/// Kinds of which each is a share of what clients send.
pub(crate) type Mix = &'static [(u64, Kind)];

/// Everything.
pub(crate) const WHOLE: Mix = &[
    (500, Kind::Read),
    (150, Kind::Session),
    (2750, Kind::State),
    (1, Kind::Databases),
    (1200, Kind::Clock),
    (150, Kind::Chance),
    (150, Kind::Inner),
    (250, Kind::Script),
    (20, Kind::Wait),
];

/// Everything whose reply tells how to repeat it. Few keys are dirty then, and nearly all writes are mirrored.
pub(crate) const REWRITTEN: Mix = &[
    (500, Kind::Read),
    (150, Kind::Session),
    (2750, Kind::State),
    (1, Kind::Databases),
    (1500, Kind::Clock),
    (100, Kind::Chance),
    (20, Kind::Wait),
];

/// Everything that can be repeated as it is.
pub(crate) const PLAIN: Mix = &[(500, Kind::Read), (150, Kind::Session), (4250, Kind::State), (1, Kind::Databases)];

/// Scripts for one to two keys and one argument. Some fail half way, on purpose.
pub(crate) const SCRIPTS: &[&str] = &[
    "return redis.call('SET', KEYS[1], ARGV[1])",
    "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[#KEYS])",
    "local t = redis.call('TIME') redis.call('HSET', KEYS[1], t[2] % 10, t[2]) return t",
    "return redis.pcall('SPOP', KEYS[1])",
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('PEXPIRE', KEYS[1], 500)",
    "return redis.call('DEL', unpack(KEYS))",
    "return redis.call('TYPE', KEYS[1])",
];

/// A library of functions.
pub(crate) const LIBRARY: &str = "#!lua name=TORTURE\n\
    redis.register_function('PUT', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function('MOVE', function(keys, args) return redis.call('LMOVE', keys[1], keys[#keys], 'LEFT', 'RIGHT') end)\n\
    redis.register_function{function_name='LOOK', callback=function(keys) return redis.call('TYPE', keys[1]) end, flags={'no-writes'}}";

/// Write commands that are left out, and why.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    ("FUNCTION RESTORE", "as FUNCTION LOAD"),
    ("MIGRATE", "talks to a third server"),
    ("PFDEBUG", "looks into the server"),
    ("RESTORE-ASKING", "for nodes of a cluster"),
];

/// A row is a weight within its kind, and a form.
pub(crate) static TABLE: &[(Kind, &[(u64, &str)])] = &[
    (
        Kind::Read,
        &[
            (9, "GET skey"),
            (3, "STRLEN skey"),
            (3, "MGET { skey }"),
            (3, "BITCOUNT skey"),
            (5, "LRANGE lkey 0 -1"),
            (3, "LLEN lkey"),
            (5, "SMEMBERS ukey"),
            (3, "SISMEMBER ukey m"),
            (5, "ZRANGE zkey 0 -1 WITHSCORES"),
            (3, "ZSCORE zkey m"),
            (5, "HGETALL hkey"),
            (3, "HGET hkey f"),
            (5, "XRANGE xkey - +"),
            (3, "XPENDING xkey group"),
            (3, "XINFO STREAM xkey"),
            (3, "GEOSEARCH gkey FROMLONLAT lon lat BYRADIUS 900 KM"),
            (3, "SORT_RO lkey ALPHA"),
            (15, "DUMP key"),
            (3, "TYPE key"),
            (5, "PTTL key"),
            (3, "EXISTS { key }"),
            (2, "TOUCH { key }"),
            (2, "OBJECT ENCODING key"),
            (1, "RANDOMKEY"),
            (1, "SCAN 0 COUNT 100"),
            (1, "DBSIZE"),
        ],
    ),
    (Kind::Session, &[(2, "SELECT 0"), (1, "SELECT db")]),
    (
        Kind::State,
        &[
            // Strings
            (12, "SET skey v [ NX | XX ] [ GET ] [ KEEPTTL | PXAT far ]"),
            (2, "SETNX skey v"),
            (3, "GETSET skey v"),
            (4, "MSET { skey v }"),
            (2, "MSETNX { skey v }"),
            (4, "APPEND skey short"),
            (3, "SETRANGE skey bit short"),
            (3, "( INCR | DECR ) skey"),
            (3, "( INCRBY | DECRBY ) skey n"),
            (3, "INCRBYFLOAT skey float"),
            (3, "GETDEL skey"),
            (3, "GETEX skey ( PERSIST | PXAT far )"),
            (4, "SETBIT skey bit ( 0 | 1 )"),
            (3, "BITOP ( AND | OR | XOR ) skey { skey }"),
            (1, "BITOP NOT skey skey"),
            (4, "BITFIELD skey [ OVERFLOW ( WRAP | SAT | FAIL ) ] { ( SET bits bit n | INCRBY bits bit n | GET bits bit ) }"),
            (5, "PFADD pkey { m }"),
            (3, "PFMERGE pkey { pkey }"),
            (3, "PFCOUNT { pkey }"),
            // Lists
            (12, "( LPUSH | RPUSH ) lkey { m }"),
            (3, "( LPUSHX | RPUSHX ) lkey { v }"),
            (6, "( LPOP | RPOP ) lkey [ few ]"),
            (3, "LINSERT lkey ( BEFORE | AFTER ) m v"),
            (3, "LSET lkey at v"),
            (3, "LREM lkey at m"),
            (4, "LTRIM lkey at len"),
            (3, "LMOVE lkey lkey ( LEFT | RIGHT ) ( LEFT | RIGHT )"),
            (2, "RPOPLPUSH lkey lkey"),
            (3, "LMPOP 2 lkey lkey ( LEFT | RIGHT ) [ COUNT 3 ]"),
            // Sets
            (10, "SADD ukey { m }"),
            (5, "SREM ukey { m }"),
            (3, "SMOVE ukey ukey m"),
            (3, "( SUNIONSTORE | SINTERSTORE | SDIFFSTORE ) ukey { ukey }"),
            // Sorted sets
            (10, "ZADD zkey [ NX | XX | GT | LT | XX GT ] [ CH ] { score m }"),
            (3, "ZADD zkey [ NX | XX | GT ] INCR score m"),
            (3, "ZINCRBY zkey score m"),
            (4, "ZREM zkey { m }"),
            (2, "ZREMRANGEBYRANK zkey at at"),
            (2, "ZREMRANGEBYSCORE zkey few few"),
            (1, "ZREMRANGEBYLEX zkey lex lex"),
            (4, "( ZPOPMIN | ZPOPMAX ) zkey [ few ]"),
            (3, "ZMPOP 2 zkey zkey ( MIN | MAX ) [ COUNT 3 ]"),
            (3, "( ZUNIONSTORE | ZINTERSTORE ) zkey 2 zkey ( zkey | ukey ) [ WEIGHTS score few ] [ AGGREGATE ( SUM | MIN | MAX ) ]"),
            (2, "ZDIFFSTORE zkey 2 zkey zkey"),
            (3, "ZRANGESTORE zkey zkey ( at at [ REV ] | few few BYSCORE [ LIMIT 0 5 ] )"),
            // Hashes
            (10, "HSET hkey { f v }"),
            (2, "HMSET hkey { f v }"),
            (2, "HSETNX hkey f v"),
            (5, "HDEL hkey { f }"),
            (3, "HINCRBY hkey f n"),
            (3, "HINCRBYFLOAT hkey f float"),
            // Places
            (6, "GEOADD gkey [ NX | XX ] [ CH ] { lon lat m }"),
            (2, "GEOSEARCHSTORE gkey gkey FROMLONLAT lon lat BYBOX 300 200 KM ( ASC | DESC ) [ COUNT 3 [ ANY ] ]"),
            (2, "GEOSEARCHSTORE zkey gkey FROMMEMBER m BYRADIUS 200 KM STOREDIST"),
            (1, "GEORADIUS gkey lon lat 200 KM ( STORE | STOREDIST ) gkey"),
            (1, "GEORADIUSBYMEMBER gkey m 200 KM STORE gkey"),
            // Streams
            (8, "XADD xkey [ NOMKSTREAM ] [ MAXLEN len | MAXLEN = len | MINID id ] id { f v }"),
            (2, "XTRIM xkey ( MAXLEN len | MINID id )"),
            (4, "XDEL xkey { id }"),
            (5, "XGROUP CREATE xkey group ( id | 0 | $ ) [ MKSTREAM ] [ ENTRIESREAD few ]"),
            (1, "XGROUP SETID xkey group ( id | 0 | $ ) [ ENTRIESREAD few ]"),
            (1, "XGROUP DESTROY xkey group"),
            (2, "XGROUP CREATECONSUMER xkey group consumer"),
            (1, "XGROUP DELCONSUMER xkey group consumer"),
            (4, "XACK xkey group { id }"),
            (2, "XSETID xkey id [ ENTRIESADDED len MAXDELETEDID id ]"),
            // Any key
            (5, "DEL { key }"),
            (3, "UNLINK { key }"),
            (3, "RENAME key key"),
            (2, "RENAMENX key key"),
            (5, "COPY key key [ DB db ] [ REPLACE ]"),
            (3, "MOVE key db"),
            (4, "PERSIST key"),
            (4, "PEXPIREAT key far [ NX | XX | GT | LT ]"),
            (1, "EXPIREAT key 1"),
        ],
    ),
    (Kind::Databases, &[(4, "FLUSHDB [ ASYNC | SYNC ]"), (1, "FLUSHALL [ ASYNC | SYNC ]"), (6, "SWAPDB db db")]),
    (
        Kind::Clock,
        &[
            (4, "EXPIRE key ttls [ NX | XX | GT | LT ]"),
            (10, "PEXPIRE key ttl [ NX | XX | GT | LT ]"),
            (3, "EXPIREAT key soons [ NX | XX | GT | LT ]"),
            (6, "PEXPIREAT key soon [ NX | XX | GT | LT ]"),
            (3, "SETEX skey ttls v"),
            (5, "PSETEX skey ttl v"),
            (14, "SET skey v [ NX | XX ] [ GET ] ( EX ttls | PX ttl | EXAT soons | PXAT soon )"),
            (8, "GETEX skey ( EX ttls | PX ttl | EXAT soons | PXAT soon )"),
            (6, "RESTORE key ( 0 | ttl ) payload [ REPLACE ] [ IDLETIME 5 ]"),
            (3, "RESTORE key ( 0 | soon | far ) payload [ REPLACE ] ABSTTL"),
            (16, "XADD xkey [ NOMKSTREAM ] [ MAXLEN len | MINID id ] ( * | partial ) { f v }"),
            (14, "XREADGROUP GROUP group consumer [ COUNT few ] [ NOACK ] STREAMS xkey ( > | > | id )"),
            (4, "XREADGROUP GROUP group consumer COUNT 2 STREAMS xkey xkey > >"),
            (2, "XREADGROUP GROUP group consumer COUNT 1 BLOCK waitms STREAMS xkey >"),
            (6, "XCLAIM xkey group consumer idle { id } [ IDLE few | TIME ago ] [ RETRYCOUNT few ] [ FORCE ] [ JUSTID ]"),
            (1, "XCLAIM xkey group consumer 0 id LASTID id"),
            (6, "XAUTOCLAIM xkey group consumer idle ( 0 | id ) [ COUNT 3 ] [ JUSTID ]"),
        ],
    ),
    (Kind::Chance, &[(1, "SPOP ukey [ few ]")]),
    (
        Kind::Inner,
        &[
            (5, "XADD xkey ( MAXLEN ~ len | MINID ~ id ) [ LIMIT 10 ] * f v"),
            (3, "XTRIM xkey ( MAXLEN ~ len | MINID ~ id ) [ LIMIT 10 ]"),
            (3, "SORT ( lkey | ukey | zkey ) [ ALPHA ] [ LIMIT 0 5 ] [ DESC ] STORE lkey"),
            (2, "SORT ( lkey | ukey | zkey ) BY NOSORT STORE lkey"),
        ],
    ),
    (
        Kind::Script,
        &[
            (10, "EVAL script 1 key v"),
            (10, "EVAL script 2 key key v"),
            (2, "EVAL_RO script 1 key v"),
            (4, "EVALSHA sha 1 key v"),
            (2, "SCRIPT LOAD script"),
            (8, "FCALL ( PUT | MOVE ) 2 lkey lkey v"),
            (2, "FCALL_RO LOOK 1 key"),
            (8, "FUNCTION LOAD REPLACE library"),
            (1, "FUNCTION DELETE TORTURE"),
            (1, "FUNCTION FLUSH [ ASYNC | SYNC ]"),
        ],
    ),
    (
        Kind::Wait,
        &[
            (5, "( BLPOP | BRPOP ) { lkey } wait"),
            (3, "BLMOVE lkey lkey ( LEFT | RIGHT ) ( LEFT | RIGHT ) wait"),
            (2, "BRPOPLPUSH lkey lkey wait"),
            (3, "BLMPOP wait 2 lkey lkey ( LEFT | RIGHT ) [ COUNT 2 ]"),
            (4, "( BZPOPMIN | BZPOPMAX ) { zkey } wait"),
            (3, "BZMPOP wait 2 zkey zkey ( MIN | MAX ) [ COUNT 2 ]"),
        ],
    ),
];

/// A kind's rows, read.
struct Rows {
    kind: Kind,
    weight: u64,
    rows: Vec<(u64, Form)>,
}

static READ: LazyLock<Vec<Rows>> = LazyLock::new(|| {
    let read = |(kind, rows): &(Kind, &[(u64, &'static str)])| {
        let rows: Vec<_> = rows.iter().map(|(weight, form)| (*weight, Form::of(form))).collect();
        Rows { kind: *kind, weight: rows.iter().map(|(weight, _)| weight).sum(), rows }
    };
    TABLE.iter().map(read).collect()
});

/// One of the forms of a mix.
pub(crate) fn pick(mix: Mix, rng: &mut Rng) -> &'static Form {
    let all: u64 = mix.iter().map(|(share, _)| share).sum();
    let kind = weighted(mix.iter().map(|(share, kind)| (*share, *kind)), rng.below(all));
    let rows = READ.iter().find(|rows| rows.kind == kind).expect("every kind has rows");
    weighted(rows.rows.iter().map(|(weight, form)| (*weight, form)), rng.below(rows.weight))
}

/// The item in which the number `at` falls, when each takes as many numbers as it weighs.
fn weighted<T>(items: impl IntoIterator<Item = (u64, T)>, mut at: u64) -> T {
    for (weight, item) in items {
        if at < weight {
            return item;
        }
        at -= weight;
    }
    unreachable!("the number is less than all weights together")
}
