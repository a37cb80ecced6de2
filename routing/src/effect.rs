//! What a write becomes on the secondary: one table, one row a command.
//!
//! In this version an effect is the request itself (*verbatim*). A write that is not a function of the state alone
//! cannot be repeated so: its keys are marked dirty. The table knows the commands of Redis 7.0; a command that
//! writes and has no row is never guessed, it is [`Why::NoRule`].

use interlay_resp::Request;

/// What the secondary gets for a write that the authority has answered without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: with these arguments the command only reads.
    Nothing,
    /// The same bytes, and the same reply is expected.
    Verbatim,
    /// The same bytes, with which a key reaches a database other than the client's.
    AcrossDbs,
    /// The same bytes; the reply is each server's own affair.
    Broadcast,
    /// The same bytes, which leave one database, or all of them, empty on both sides.
    Flush(Extent),
    /// The same bytes, which swap two databases.
    SwapDb,
    /// Nothing: the keys are marked dirty.
    Unrepeatable(Why),
}

/// How much a flush empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The client's database.
    Db,
    /// Every database.
    All,
}

/// Why a write cannot be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It depends on the clock: a relative expiry, a generated stream id, a delivery time.
    Clock,
    /// It depends on chance or on the inner order of a set or hash.
    Chance,
    /// It depends on how the server lays out its nodes (`~` trimming).
    Layout,
    /// A script or function may do anything, and may have done it before it failed.
    Script,
    /// It talks to a third server.
    Elsewhere,
    /// No row of the table speaks of it: a module's command, or one newer than the table.
    NoRule,
}

impl Effect {
    /// Whether keys may have another database behind it than in front of it.
    #[must_use]
    pub fn crosses_dbs(self) -> bool {
        matches!(self, Self::AcrossDbs | Self::SwapDb)
    }

    /// Whether it empties or swaps databases, and so changes what the dirty set has to say of them.
    #[must_use]
    pub fn settles(self) -> bool {
        matches!(self, Self::Flush(_) | Self::SwapDb)
    }

    /// Whether keys that the request does not name, or not with the database they are in, may be written.
    #[must_use]
    pub fn brings_what_is_not_foreseen(self) -> bool {
        self.crosses_dbs() || self.survives_an_error()
    }

    /// Whether the write may have changed something although its reply is an error.
    #[must_use]
    pub fn survives_an_error(self) -> bool {
        matches!(self, Self::Unrepeatable(Why::Script | Why::Elsewhere | Why::NoRule))
    }
}

/// Whether a request's arguments ask for the exception of its row.
type Asks = fn(Request<'_>) -> bool;

/// One command's row: its effect, unless its arguments ask for another one.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    effect: Effect,
    exception: Option<(Asks, Effect)>,
}

impl Row {
    const fn new(name: &'static str, effect: Effect) -> Self {
        Self { name, effect, exception: None }
    }

    const fn when(name: &'static str, effect: Effect, asks: Asks, then: Effect) -> Self {
        Self { name, effect, exception: Some((asks, then)) }
    }

    /// The effect of this request.
    pub(crate) fn effect(&self, request: Request<'_>) -> Effect {
        match self.exception {
            Some((asks, then)) if asks(request) => then,
            _ => self.effect,
        }
    }
}

/// The row of a write that the table does not know.
pub(crate) static NO_RULE: Row = Row::new("", Effect::Unrepeatable(Why::NoRule));

/// The row of a command.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    ROWS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| ROWS.get(at))
}

/// In alphabetical order of the full names.
static ROWS: &[Row] = {
    use Effect::{AcrossDbs, Broadcast, Flush, Nothing, SwapDb, Unrepeatable, Verbatim};
    use Why::{Chance, Clock, Elsewhere, Layout, Script};
    &[
        Row::new("append", Verbatim),
        Row::new("bitfield", Verbatim),
        Row::new("bitop", Verbatim),
        Row::new("blmove", Verbatim),
        Row::new("blmpop", Verbatim),
        Row::new("blpop", Verbatim),
        Row::new("brpop", Verbatim),
        Row::new("brpoplpush", Verbatim),
        Row::new("bzmpop", Verbatim),
        Row::new("bzpopmax", Verbatim),
        Row::new("bzpopmin", Verbatim),
        Row::new("copy", AcrossDbs),
        Row::new("decr", Verbatim),
        Row::new("decrby", Verbatim),
        Row::new("del", Verbatim),
        Row::when("eval", Unrepeatable(Script), promises_no_writes, Nothing),
        Row::new("evalsha", Unrepeatable(Script)),
        Row::new("expire", Unrepeatable(Clock)),
        Row::new("expireat", Verbatim),
        Row::new("fcall", Unrepeatable(Script)),
        Row::new("flushall", Flush(Extent::All)),
        Row::new("flushdb", Flush(Extent::Db)),
        Row::new("function|delete", Verbatim),
        Row::new("function|flush", Verbatim),
        Row::new("function|load", Verbatim),
        Row::new("function|restore", Verbatim),
        Row::new("geoadd", Verbatim),
        Row::when("georadius", Nothing, stores, Verbatim),
        Row::when("georadiusbymember", Nothing, stores, Verbatim),
        Row::new("geosearchstore", Verbatim),
        Row::new("getdel", Verbatim),
        Row::when("getex", Verbatim, getex_expires_relatively, Unrepeatable(Clock)),
        Row::new("getset", Verbatim),
        Row::new("hdel", Verbatim),
        Row::new("hincrby", Verbatim),
        Row::new("hincrbyfloat", Verbatim),
        Row::new("hmset", Verbatim),
        Row::new("hset", Verbatim),
        Row::new("hsetnx", Verbatim),
        Row::new("incr", Verbatim),
        Row::new("incrby", Verbatim),
        Row::new("incrbyfloat", Verbatim),
        Row::new("linsert", Verbatim),
        Row::new("lmove", Verbatim),
        Row::new("lmpop", Verbatim),
        Row::new("lpop", Verbatim),
        Row::new("lpush", Verbatim),
        Row::new("lpushx", Verbatim),
        Row::new("lrem", Verbatim),
        Row::new("lset", Verbatim),
        Row::new("ltrim", Verbatim),
        Row::new("migrate", Unrepeatable(Elsewhere)),
        Row::new("move", AcrossDbs),
        Row::new("mset", Verbatim),
        Row::new("msetnx", Verbatim),
        Row::new("persist", Verbatim),
        Row::new("pexpire", Unrepeatable(Clock)),
        Row::new("pexpireat", Verbatim),
        Row::new("pfadd", Verbatim),
        // Reads, but may write the count it has computed into the value.
        Row::new("pfcount", Verbatim),
        Row::new("pfdebug", Verbatim),
        Row::new("pfmerge", Verbatim),
        Row::new("psetex", Unrepeatable(Clock)),
        Row::new("publish", Broadcast),
        Row::new("rename", Verbatim),
        Row::new("renamenx", Verbatim),
        Row::when("restore", Verbatim, restores_with_relative_ttl, Unrepeatable(Clock)),
        Row::when("restore-asking", Verbatim, restores_with_relative_ttl, Unrepeatable(Clock)),
        Row::new("rpop", Verbatim),
        Row::new("rpoplpush", Verbatim),
        Row::new("rpush", Verbatim),
        Row::new("rpushx", Verbatim),
        Row::new("sadd", Verbatim),
        Row::new("script|flush", Broadcast),
        Row::new("script|load", Broadcast),
        Row::new("sdiffstore", Verbatim),
        Row::when("set", Verbatim, set_expires_relatively, Unrepeatable(Clock)),
        Row::new("setbit", Verbatim),
        Row::new("setex", Unrepeatable(Clock)),
        Row::new("setnx", Verbatim),
        Row::new("setrange", Verbatim),
        Row::new("sinterstore", Verbatim),
        Row::new("smove", Verbatim),
        Row::when("sort", Nothing, stores, Unrepeatable(Chance)),
        Row::new("spop", Unrepeatable(Chance)),
        Row::new("spublish", Broadcast),
        Row::new("srem", Verbatim),
        Row::new("sunionstore", Verbatim),
        Row::new("swapdb", SwapDb),
        Row::new("unlink", Verbatim),
        Row::new("xack", Verbatim),
        Row::when("xadd", Verbatim, generates_or_approximates, Unrepeatable(Clock)),
        Row::new("xautoclaim", Unrepeatable(Clock)),
        Row::new("xclaim", Unrepeatable(Clock)),
        Row::new("xdel", Verbatim),
        Row::new("xgroup|create", Verbatim),
        Row::new("xgroup|createconsumer", Verbatim),
        Row::new("xgroup|delconsumer", Verbatim),
        Row::new("xgroup|destroy", Verbatim),
        Row::new("xgroup|setid", Verbatim),
        Row::new("xreadgroup", Unrepeatable(Clock)),
        Row::new("xsetid", Verbatim),
        Row::when("xtrim", Verbatim, approximates, Unrepeatable(Layout)),
        Row::new("zadd", Verbatim),
        Row::new("zdiffstore", Verbatim),
        Row::new("zincrby", Verbatim),
        Row::new("zinterstore", Verbatim),
        Row::new("zmpop", Verbatim),
        Row::new("zpopmax", Verbatim),
        Row::new("zpopmin", Verbatim),
        Row::new("zrangestore", Verbatim),
        Row::new("zrem", Verbatim),
        Row::new("zremrangebylex", Verbatim),
        Row::new("zremrangebyrank", Verbatim),
        Row::new("zremrangebyscore", Verbatim),
        Row::new("zunionstore", Verbatim),
    ]
};

/// Whether any argument from the `from`-th on is one of `words`, in any case.
fn has_word(request: Request<'_>, from: usize, words: &[&str]) -> bool {
    request.args().skip(from).any(|arg| words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes())))
}

/// SET with a time to live rather than a deadline.
fn set_expires_relatively(request: Request<'_>) -> bool {
    request.argc() > 3 && has_word(request, 3, &["ex", "px"])
}

/// GETEX with a time to live rather than a deadline.
fn getex_expires_relatively(request: Request<'_>) -> bool {
    has_word(request, 2, &["ex", "px"])
}

/// EVAL of a script whose first line says that it does not write, which the server holds it to.
fn promises_no_writes(request: Request<'_>) -> bool {
    let first_line = request.arg(1).unwrap_or_default().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let flags = first_line.strip_prefix(b"#!lua").and_then(|line| std::str::from_utf8(line).ok()?.split_once("flags="));
    flags.is_some_and(|(_, flags)| flags.split([',', ' ', '\r']).any(|flag| flag == "no-writes"))
}

fn stores(request: Request<'_>) -> bool {
    has_word(request, 2, &["store", "storedist"])
}

/// RESTORE key ttl payload \[options\]: a time to live other than 0 without ABSTTL.
fn restores_with_relative_ttl(request: Request<'_>) -> bool {
    request.arg(2) != Some(b"0") && !has_word(request, 4, &["absttl"])
}

fn approximates(request: Request<'_>) -> bool {
    has_word(request, 2, &["~"])
}

/// XADD whose id the server completes (`*`, `ms-*`), or that trims approximately. The id is the first argument that
/// is no option; fields and values behind it may well be `*` or `~`.
fn generates_or_approximates(request: Request<'_>) -> bool {
    let mut args = request.args().skip(2);
    while let Some(arg) = args.next() {
        let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
        if is("nomkstream") {
            continue;
        }
        if is("limit") {
            args.next();
            continue;
        }
        if !is("maxlen") && !is("minid") {
            return arg.last() == Some(&b'*');
        }
        match args.next() {
            Some(b"~") => return true,
            Some(b"=") => args.next(),
            _ => continue,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Nothing, Unrepeatable, Verbatim};
    use Why::{Chance, Clock, Layout};

    fn effect_of(line: &str) -> Effect {
        let mut bytes = Vec::new();
        let args: Vec<&str> = line.split(' ').collect();
        interlay_resp::encode_request(&args, &mut bytes);
        row(&args[0].to_ascii_lowercase()).expect("a row").effect(Request::new(&bytes, args.len()))
    }

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(ROWS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn arguments_decide_what_can_be_repeated() {
        for (line, effect) in [
            ("SET k v", Verbatim),
            ("SET ex px", Verbatim),
            ("SET k v NX PXAT 99", Verbatim),
            ("set k v eX 10", Unrepeatable(Clock)),
            ("EVAL return 0", Unrepeatable(Why::Script)),
            ("EVAL #!lua\tflags=no-writes\nreturn", Nothing),
            ("GETEX k", Verbatim),
            ("GETEX ex PERSIST", Verbatim),
            ("GETEX k PX 1", Unrepeatable(Clock)),
            ("RESTORE k 0 payload", Verbatim),
            ("RESTORE k 5 absttl", Unrepeatable(Clock)),
            ("RESTORE k 5 payload REPLACE ABSTTL", Verbatim),
            ("SORT store", Nothing),
            ("SORT k BY w STORE d", Unrepeatable(Chance)),
            ("XADD k 1-1 f *", Verbatim),
            ("XADD k * f v", Unrepeatable(Clock)),
            ("XADD k 5-* f v", Unrepeatable(Clock)),
            ("XADD k NOMKSTREAM MAXLEN = 10 1-1 * ~", Verbatim),
            ("XADD k MAXLEN 10 * f v", Unrepeatable(Clock)),
            ("XADD k MINID ~ 10 LIMIT 5 1-1 f v", Unrepeatable(Clock)),
            ("XTRIM k MAXLEN ~ 10", Unrepeatable(Layout)),
            ("GEORADIUS k 1 1 5 km", Nothing),
            ("GEORADIUS k 1 1 5 km STOREDIST d", Verbatim),
        ] {
            assert_eq!(effect_of(line), effect, "{line}");
        }
    }
}
