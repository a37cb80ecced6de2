//! What a write becomes on the secondary: one table, one row a command.
//!
//! A write that is a function of the state alone is repeated as it is (*verbatim*), its reply telling whether the state was
//! the same. One that depends on the clock, on chance or on what the server knows alone is *rewritten* with the help of the
//! authority's reply, as `rewrite.rs` says. What cannot be is [`Effect::Unrepeatable`]: its keys become dirty, and are
//! repaired. A command that writes and has no row is never guessed, it is [`Why::NoRule`].
//!
//! Rows name the writes of Redis up to 8.4, of Valkey up to 9, and those of modules of which it is documented that they are a
//! function of the state.

use interlay_resp::Request;

use crate::rewrite::{Fields, Rule, Unit};

/// What the secondary gets for a write that the authority has answered without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: with these arguments the command only reads.
    Nothing,
    /// The same bytes, and the same reply is expected.
    Verbatim,
    /// The same bytes, unless a reply of 0, nil or nothing at all has said that nothing has changed.
    VerbatimUnlessNone,
    /// What this rule makes of the request and its reply.
    Rewritten(Rule),
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

    /// Whether the write may have changed something although its reply is this error: PFADD and PFMERGE do, up to where they
    /// find a value corrupted.
    #[must_use]
    pub fn survives(self, error: &[u8]) -> bool {
        self.survives_an_error() || error.starts_with(b"-INVALIDOBJ")
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
    exception: Exception,
}

/// When a row's effect is another one.
#[derive(Debug)]
enum Exception {
    None,
    When(Asks, Effect),
    /// The arguments decide among several.
    By(fn(Request<'_>) -> Effect),
}

impl Row {
    const fn new(name: &'static str, effect: Effect) -> Self {
        Self { name, effect, exception: Exception::None }
    }

    const fn when(name: &'static str, effect: Effect, asks: Asks, then: Effect) -> Self {
        Self { name, effect, exception: Exception::When(asks, then) }
    }

    const fn by(name: &'static str, decide: fn(Request<'_>) -> Effect) -> Self {
        Self { name, effect: Effect::Verbatim, exception: Exception::By(decide) }
    }

    /// The effect of this request.
    pub(crate) fn effect(&self, request: Request<'_>) -> Effect {
        match self.exception {
            Exception::By(decide) => decide(request),
            Exception::When(asks, then) if asks(request) => then,
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
    use Effect::{AcrossDbs, Broadcast, Flush, Nothing, Rewritten, SwapDb, Unrepeatable, Verbatim, VerbatimUnlessNone};
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
        Row::new("cms.incrby", Verbatim),
        Row::new("cms.initbydim", Verbatim),
        Row::new("cms.initbyprob", Verbatim),
        Row::new("cms.merge", Verbatim),
        Row::new("copy", AcrossDbs),
        Row::new("decr", Verbatim),
        Row::new("decrby", Verbatim),
        Row::new("del", VerbatimUnlessNone),
        Row::new("delex", VerbatimUnlessNone),
        Row::new("delifeq", VerbatimUnlessNone),
        Row::when("eval", Unrepeatable(Script), promises_no_writes, Nothing),
        Row::new("evalsha", Unrepeatable(Script)),
        Row::new("expire", Rewritten(Rule::Ttl(Unit::Seconds))),
        Row::new("expireat", Rewritten(Rule::Deadline)),
        Row::new("fcall", Unrepeatable(Script)),
        Row::new("flushall", Flush(Extent::All)),
        Row::new("flushdb", Flush(Extent::Db)),
        Row::new("ft._aliasaddifnx", Verbatim),
        Row::new("ft._aliasdelifx", Verbatim),
        Row::new("ft._alterifnx", Verbatim),
        Row::new("ft._createifnx", Verbatim),
        Row::new("ft._dropifx", Verbatim),
        Row::new("ft.aliasadd", Verbatim),
        Row::new("ft.aliasdel", Verbatim),
        Row::new("ft.aliasupdate", Verbatim),
        Row::new("ft.alter", Verbatim),
        Row::new("ft.create", Verbatim),
        Row::new("ft.dictadd", Verbatim),
        Row::new("ft.dictdel", Verbatim),
        Row::new("ft.dropindex", Verbatim),
        Row::new("ft.sugadd", Verbatim),
        Row::new("ft.sugdel", Verbatim),
        Row::new("ft.synupdate", Verbatim),
        Row::new("function|delete", Verbatim),
        Row::new("function|flush", Verbatim),
        Row::new("function|load", Verbatim),
        Row::new("function|restore", Verbatim),
        Row::new("geoadd", Verbatim),
        Row::when("georadius", Nothing, stores, Verbatim),
        Row::when("georadiusbymember", Nothing, stores, Verbatim),
        Row::new("geosearchstore", Verbatim),
        Row::new("getdel", VerbatimUnlessNone),
        Row::by("getex", getex),
        Row::new("getset", Verbatim),
        Row::new("hdel", VerbatimUnlessNone),
        Row::new("hexpire", Rewritten(Rule::Fields(Fields::Ttl(Unit::Seconds)))),
        Row::new("hexpireat", Rewritten(Rule::Fields(Fields::Deadline(Unit::Seconds)))),
        Row::new("hgetdel", Verbatim),
        Row::by("hgetex", hgetex),
        Row::new("hincrby", Verbatim),
        // Not HSET of what it replied, which would end a field's time to live.
        Row::new("hincrbyfloat", Verbatim),
        Row::new("hmset", Verbatim),
        Row::new("hpersist", Verbatim),
        Row::new("hpexpire", Rewritten(Rule::Fields(Fields::Ttl(Unit::Millis)))),
        Row::new("hpexpireat", Rewritten(Rule::Fields(Fields::Deadline(Unit::Millis)))),
        Row::new("hset", Verbatim),
        Row::new("hsetex", Rewritten(Rule::Options(2))),
        Row::new("hsetnx", VerbatimUnlessNone),
        Row::new("incr", Verbatim),
        Row::new("incrby", Verbatim),
        Row::new("incrbyfloat", Rewritten(Rule::Float)),
        Row::new("json.arrappend", Verbatim),
        Row::new("json.arrinsert", Verbatim),
        Row::new("json.arrpop", Verbatim),
        Row::new("json.arrtrim", Verbatim),
        Row::new("json.clear", Verbatim),
        Row::new("json.del", Verbatim),
        Row::new("json.forget", Verbatim),
        Row::new("json.merge", Verbatim),
        Row::new("json.mset", Verbatim),
        Row::new("json.numincrby", Verbatim),
        Row::new("json.nummultby", Verbatim),
        Row::new("json.set", Verbatim),
        Row::new("json.strappend", Verbatim),
        Row::new("json.toggle", Verbatim),
        Row::new("linsert", VerbatimUnlessNone),
        Row::new("lmove", VerbatimUnlessNone),
        Row::new("lmpop", VerbatimUnlessNone),
        Row::new("lpop", VerbatimUnlessNone),
        Row::new("lpush", Verbatim),
        Row::new("lpushx", VerbatimUnlessNone),
        Row::new("lrem", VerbatimUnlessNone),
        Row::new("lset", Verbatim),
        Row::new("ltrim", Verbatim),
        Row::new("migrate", Unrepeatable(Elsewhere)),
        Row::new("move", AcrossDbs),
        Row::new("mset", Verbatim),
        Row::new("msetex", Rewritten(Rule::OptionsBehindPairs)),
        Row::new("msetnx", VerbatimUnlessNone),
        Row::new("persist", VerbatimUnlessNone),
        Row::new("pexpire", Rewritten(Rule::Ttl(Unit::Millis))),
        Row::new("pexpireat", Rewritten(Rule::Deadline)),
        Row::new("pfadd", Verbatim),
        // Reads, but may write the count it has computed into the value.
        Row::new("pfcount", Verbatim),
        Row::new("pfdebug", Verbatim),
        Row::new("pfmerge", Verbatim),
        Row::new("psetex", Rewritten(Rule::SetWithTtl(Unit::Millis))),
        Row::new("publish", Broadcast),
        // Its reply is never none; a verbatim write takes no deadline from one key to another.
        Row::new("rename", VerbatimUnlessNone),
        Row::new("renamenx", VerbatimUnlessNone),
        Row::when("restore", Verbatim, restores_with_ttl, Rewritten(Rule::Restore)),
        Row::when("restore-asking", Verbatim, restores_with_ttl, Rewritten(Rule::Restore)),
        Row::new("rpop", VerbatimUnlessNone),
        Row::new("rpoplpush", VerbatimUnlessNone),
        Row::new("rpush", Verbatim),
        Row::new("rpushx", VerbatimUnlessNone),
        Row::new("sadd", VerbatimUnlessNone),
        Row::new("script|flush", Broadcast),
        Row::new("script|load", Broadcast),
        Row::new("sdiffstore", Verbatim),
        Row::when("set", Verbatim, set_is_conditional, Rewritten(Rule::Set)),
        Row::new("setbit", Verbatim),
        Row::new("setex", Rewritten(Rule::SetWithTtl(Unit::Seconds))),
        Row::new("setnx", VerbatimUnlessNone),
        Row::new("setrange", Verbatim),
        Row::new("sinterstore", Verbatim),
        Row::new("smove", VerbatimUnlessNone),
        Row::by("sort", sort),
        Row::new("spop", Rewritten(Rule::Popped)),
        Row::new("spublish", Broadcast),
        Row::new("srem", VerbatimUnlessNone),
        Row::new("sunionstore", Verbatim),
        Row::new("swapdb", SwapDb),
        Row::new("topk.add", Unrepeatable(Chance)),
        Row::new("topk.incrby", Unrepeatable(Chance)),
        Row::new("topk.reserve", Unrepeatable(Chance)),
        Row::when("ts.add", Verbatim, stamps, Unrepeatable(Clock)),
        Row::new("ts.alter", Verbatim),
        Row::new("ts.create", Verbatim),
        Row::new("ts.createrule", Verbatim),
        Row::when("ts.decrby", Unrepeatable(Clock), tells_its_time, Verbatim),
        Row::new("ts.del", Verbatim),
        Row::new("ts.deleterule", Verbatim),
        Row::when("ts.incrby", Unrepeatable(Clock), tells_its_time, Verbatim),
        Row::when("ts.madd", Verbatim, stamps, Unrepeatable(Clock)),
        Row::new("unlink", VerbatimUnlessNone),
        // The graph between the elements is made by chance.
        Row::new("vadd", Unrepeatable(Chance)),
        Row::new("vrem", Unrepeatable(Chance)),
        Row::new("vsetattr", Verbatim),
        Row::new("xack", VerbatimUnlessNone),
        Row::new("xackdel", Verbatim),
        Row::by("xadd", xadd),
        Row::new("xautoclaim", Rewritten(Rule::AutoClaim)),
        Row::new("xclaim", Rewritten(Rule::Claim)),
        Row::new("xdel", VerbatimUnlessNone),
        Row::new("xdelex", Verbatim),
        Row::new("xgroup|create", Verbatim),
        Row::new("xgroup|createconsumer", VerbatimUnlessNone),
        Row::new("xgroup|delconsumer", Verbatim),
        Row::new("xgroup|destroy", VerbatimUnlessNone),
        Row::new("xgroup|setid", Verbatim),
        // When something was delivered differs by moments; who claims by that age is rewritten.
        Row::when("xreadgroup", Verbatim, claims, Unrepeatable(Clock)),
        Row::new("xsetid", Verbatim),
        // Which entries a node holds is each server's own affair.
        Row::when("xtrim", VerbatimUnlessNone, approximates, Unrepeatable(Layout)),
        Row::new("zadd", Verbatim),
        Row::new("zdiffstore", Verbatim),
        Row::new("zincrby", Verbatim),
        Row::new("zinterstore", Verbatim),
        Row::new("zmpop", VerbatimUnlessNone),
        Row::new("zpopmax", VerbatimUnlessNone),
        Row::new("zpopmin", VerbatimUnlessNone),
        Row::new("zrangestore", Verbatim),
        Row::new("zrem", VerbatimUnlessNone),
        Row::new("zremrangebylex", VerbatimUnlessNone),
        Row::new("zremrangebyrank", VerbatimUnlessNone),
        Row::new("zremrangebyscore", VerbatimUnlessNone),
        Row::new("zunionstore", Verbatim),
    ]
};

/// Whether any argument from the `from`-th on is one of `words`, in any case.
fn has_word(request: Request<'_>, from: usize, words: &[&str]) -> bool {
    has_word_before(request, from, words, "")
}

/// As [`has_word`], of the arguments in front of the word `end`.
fn has_word_before(request: Request<'_>, from: usize, words: &[&str], end: &str) -> bool {
    let mut options = request.args().skip(from).take_while(|arg| end.is_empty() || !arg.eq_ignore_ascii_case(end.as_bytes()));
    options.any(|arg| words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes())))
}

/// SET with a time to live rather than a deadline, or with a condition.
fn set_is_conditional(request: Request<'_>) -> bool {
    request.argc() > 3 && has_word(request, 3, &["ex", "px", "exat", "pxat", "nx", "xx", "ifeq", "ifne", "ifdeq", "ifdne"])
}

fn getex(request: Request<'_>) -> Effect {
    match request.argc() {
        2 => Effect::Nothing,
        _ if has_word(request, 2, &["ex", "px", "exat", "pxat"]) => Effect::Rewritten(Rule::Options(2)),
        _ => Effect::VerbatimUnlessNone,
    }
}

fn hgetex(request: Request<'_>) -> Effect {
    if has_word_before(request, 2, &["ex", "px"], "fields") {
        Effect::Rewritten(Rule::Options(2))
    } else if has_word_before(request, 2, &["exat", "pxat", "persist"], "fields") {
        Effect::Verbatim
    } else {
        Effect::Nothing
    }
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

/// RESTORE key ttl payload \[options\]: a time to live or a deadline.
fn restores_with_ttl(request: Request<'_>) -> bool {
    request.arg(2) != Some(b"0")
}

fn approximates(request: Request<'_>) -> bool {
    has_word(request, 2, &["~"])
}

/// SORT ... STORE orders everything totally, by the elements themselves where weights are equal; but not where it compares
/// weights as texts.
fn sort(request: Request<'_>) -> Effect {
    if !stores(request) {
        Effect::Nothing
    } else if has_word(request, 2, &["by"]) && has_word(request, 2, &["alpha"]) {
        Effect::Unrepeatable(Why::Chance)
    } else {
        Effect::Verbatim
    }
}

/// XREADGROUP that claims what others have not acknowledged for a time.
fn claims(request: Request<'_>) -> bool {
    has_word_before(request, 4, &["claim"], "streams")
}

/// A sample of a time series at the time of the server.
fn stamps(request: Request<'_>) -> bool {
    has_word(request, 2, &["*"])
}

fn tells_its_time(request: Request<'_>) -> bool {
    has_word(request, 3, &["timestamp"]) && !stamps(request)
}

fn xadd(request: Request<'_>) -> Effect {
    match xadd_id(request) {
        None => Effect::Unrepeatable(Why::Clock),
        Some(XaddId { approximates: true, .. }) => Effect::Rewritten(Rule::Untrimmed),
        Some(XaddId { generated: true, .. }) => Effect::Rewritten(Rule::Id),
        Some(_) => Effect::VerbatimUnlessNone,
    }
}

/// What XADD says in front of its fields.
pub(crate) struct XaddId {
    /// Which argument the id is.
    pub(crate) at: usize,
    /// Whether the server completes it (`*`, `ms-*`).
    generated: bool,
    /// Whether the stream is trimmed approximately.
    approximates: bool,
    /// Which arguments trim it: the first one, and the one behind.
    pub(crate) trims: (usize, usize),
}

/// The id is the first argument that is no option; fields and values behind it may well be `*` or `~`. None if there is an
/// option that may keep the entry from being added.
pub(crate) fn xadd_id(request: Request<'_>) -> Option<XaddId> {
    let mut args = request.args().enumerate().skip(2);
    let mut approximates = false;
    let mut trims = (0, 0);
    while let Some((at, arg)) = args.next() {
        let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
        if ["nomkstream", "keepref", "delref", "acked"].into_iter().any(is) {
            continue;
        }
        if is("idmp") || is("idmpauto") {
            return None;
        }
        if is("limit") {
            args.next();
            trims.1 = at + 2;
            continue;
        }
        if !is("maxlen") && !is("minid") {
            return Some(XaddId { at, generated: arg.last() == Some(&b'*'), approximates, trims });
        }
        trims.0 = at;
        trims.1 = at + 2;
        match args.next()?.1 {
            b"~" => {
                trims.1 += 1;
                approximates = true;
                args.next();
            }
            b"=" => {
                trims.1 += 1;
                args.next();
            }
            _ => {}
        }
    }
    // The server refuses it.
    Some(XaddId { at: 0, generated: false, approximates, trims })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Nothing, Rewritten, Unrepeatable, Verbatim, VerbatimUnlessNone};
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
            ("SET k v GET PXAT 99", Rewritten(Rule::Set)),
            ("SET k v NX PXAT 99", Rewritten(Rule::Set)),
            ("set k v eX 10", Rewritten(Rule::Set)),
            ("EVAL return 0", Unrepeatable(Why::Script)),
            ("EVAL #!lua\tflags=no-writes\nreturn", Nothing),
            ("GETEX k", Nothing),
            ("GETEX ex PERSIST", VerbatimUnlessNone),
            ("GETEX k PX 1", Rewritten(Rule::Options(2))),
            ("HGETEX k FIELDS 1 ex", Nothing),
            ("HGETEX k PERSIST FIELDS 1 ex", Verbatim),
            ("HGETEX k EX 1 FIELDS 1 f", Rewritten(Rule::Options(2))),
            ("PEXPIREAT k 5", Rewritten(Rule::Deadline)),
            ("PEXPIREAT k 5 GT", Rewritten(Rule::Deadline)),
            ("RESTORE k 0 payload", Verbatim),
            ("RESTORE k 5 absttl", Rewritten(Rule::Restore)),
            ("RESTORE k 5 payload REPLACE ABSTTL", Rewritten(Rule::Restore)),
            ("SORT store", Nothing),
            ("SORT k BY w STORE d", Verbatim),
            ("SORT k ALPHA STORE d", Verbatim),
            ("SORT k BY w_* ALPHA STORE d", Unrepeatable(Chance)),
            ("XADD k 1-1 f *", VerbatimUnlessNone),
            ("XADD k * f v", Rewritten(Rule::Id)),
            ("XADD k 5-* f v", Rewritten(Rule::Id)),
            ("XADD k NOMKSTREAM MAXLEN = 10 1-1 * ~", VerbatimUnlessNone),
            ("XADD k MAXLEN 10 * f v", Rewritten(Rule::Id)),
            ("XADD k KEEPREF MAXLEN 10 * f v", Rewritten(Rule::Id)),
            ("XADD k IDMPAUTO p * f v", Unrepeatable(Clock)),
            ("XADD k MINID ~ 10 LIMIT 5 1-1 f v", Rewritten(Rule::Untrimmed)),
            ("XADD k MINID ~ 10 LIMIT 5 * f v", Rewritten(Rule::Untrimmed)),
            ("XTRIM k MAXLEN ~ 10", Unrepeatable(Layout)),
            ("XREADGROUP GROUP g claim STREAMS k >", Verbatim),
            ("XREADGROUP GROUP g c CLAIM 5 STREAMS k >", Unrepeatable(Clock)),
            ("TS.ADD k * 1", Unrepeatable(Clock)),
            ("TS.ADD k 5 1", Verbatim),
            ("TS.INCRBY k 1 TIMESTAMP 5", Verbatim),
            ("GEORADIUS k 1 1 5 km", Nothing),
            ("GEORADIUS k 1 1 5 km STOREDIST d", Verbatim),
        ] {
            assert_eq!(effect_of(line), effect, "{line}");
        }
    }
}
