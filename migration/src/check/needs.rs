//! The commands that Interlay sends, and for what: the rights that the users of both URLs have to have.

use interlay_routing::Side;

/// A command that Interlay sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// The command with arguments that it takes; `$` stands for a key. Queued and discarded, never executed.
    pub(super) line: &'static str,
    /// To which side; none is both.
    pub(super) side: Option<Side>,
    /// What follows if it is refused.
    pub(super) weight: Weight,
    /// What for.
    pub(super) purpose: &'static str,
    /// The first major version of Redis that has it.
    pub(super) since: u64,
}

/// What follows if a needed command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// No migration.
    Always,
    /// None if applications use it: their requests go through Interlay.
    IfUsed,
    /// One with less.
    Useful,
}

impl Need {
    /// Whether it is sent to a side, of a version.
    pub(super) fn concerns(&self, side: Side, major: u64) -> bool {
        self.side.is_none_or(|only| only == side) && self.since <= major
    }

    /// The command's name, with its subcommand if it is one that has rights of its own.
    pub(super) fn command(&self) -> String {
        let mut words = self.line.split(' ');
        let name = words.next().unwrap_or_default();
        match words.next() {
            Some(sub) if CONTAINERS.contains(&name) => format!("{name} {sub}"),
            _ => name.to_owned(),
        }
    }
}

/// Commands whose first argument names what they do.
const CONTAINERS: &[&str] = &["CLIENT", "FUNCTION", "MEMORY", "XINFO", "XGROUP"];

const COPY: &str = "copying keys";
const PIECES: &str = "copying big values in pieces, and by type where DUMP payloads do not fit";
const MIRROR: &str = "requests of applications, and mirroring them";
const LANE: &str = "the connection itself";

const fn need(line: &'static str, side: Option<Side>, weight: Weight, purpose: &'static str) -> Need {
    Need { line, side, weight, purpose, since: 0 }
}

const fn since(major: u64, need: Need) -> Need {
    Need { since: major, ..need }
}

use Weight::{Always, IfUsed, Useful};

/// Every command that Interlay sends by itself, and those that applications commonly do.
pub(super) const NEEDS: &[Need] = &[
    need("PING", None, Always, LANE),
    need("SELECT 0", None, Always, "databases"),
    need("INFO server", None, Useful, "noticing that a server has restarted"),
    need("TIME", None, Useful, "deadlines on servers whose clocks differ"),
    need("CLIENT SETNAME interlay-check", None, Useful, "naming connections"),
    need("CLIENT ID", None, Useful, "ending a lane's old connection"),
    need("CLIENT KILL ID 0", None, Useful, "ending a lane's old connection"),
    since(6, need("CLIENT TRACKING OFF", Some(Side::Source), Useful, "--watch")),
    need("COMMAND", Some(Side::Source), Useful, "knowing the server's commands; a built-in table otherwise"),
    need("SCAN 0", None, Always, COPY),
    need("TYPE $", None, Always, COPY),
    need("DUMP $", None, Always, COPY),
    need("RESTORE $ 0 x", None, Always, COPY),
    need("PTTL $", None, Always, COPY),
    need("PEXPIREAT $ 1", None, Always, COPY),
    need("PERSIST $", None, Useful, COPY),
    since(7, need("PEXPIRETIME $", None, Always, COPY)),
    need("EXISTS $", None, Always, COPY),
    need("DEL $", None, Always, COPY),
    need("UNLINK $", None, Always, COPY),
    need("MEMORY USAGE $", None, Useful, "bounding the memory of copies"),
    since(7, need("FUNCTION DUMP", None, Useful, "copying functions")),
    since(7, need("FUNCTION RESTORE x", None, Useful, "copying functions")),
    need("GETRANGE $ 0 1", None, Always, PIECES),
    need("LRANGE $ 0 1", None, Always, PIECES),
    need("SMEMBERS $", None, Always, PIECES),
    need("SSCAN $ 0", None, Always, PIECES),
    need("HGETALL $", None, Always, PIECES),
    need("HSCAN $ 0", None, Always, PIECES),
    need("ZRANGE $ 0 1", None, Always, PIECES),
    need("ZSCAN $ 0", None, Always, PIECES),
    need("XRANGE $ - +", None, Always, PIECES),
    need("XINFO STREAM $", None, Always, PIECES),
    need("SET $ x", None, Always, PIECES),
    need("SETRANGE $ 0 x", None, Always, PIECES),
    need("RPUSH $ x", None, Always, PIECES),
    need("SADD $ x", None, Always, PIECES),
    need("HSET $ x x", None, Always, PIECES),
    need("ZADD $ 1 x", None, Always, PIECES),
    need("XADD $ 1-1 x x", None, Always, PIECES),
    need("XSETID $ 1-1", None, Always, PIECES),
    need("XGROUP CREATE $ x 0", None, Always, PIECES),
    need("XCLAIM $ x x 0 1-1", None, Always, PIECES),
    need("XDEL $ 1-1", None, Always, PIECES),
    need("XTRIM $ MAXLEN 1", None, Always, PIECES),
    need("SREM $ x", None, IfUsed, MIRROR),
    need("HDEL $ x", None, IfUsed, MIRROR),
    need("HINCRBY $ x 1", None, IfUsed, MIRROR),
    need("ZREM $ x", None, IfUsed, MIRROR),
    need("ZINCRBY $ 1 x", None, IfUsed, MIRROR),
    need("LPUSH $ x", None, IfUsed, MIRROR),
    need("LPOP $", None, IfUsed, MIRROR),
    need("RPOP $", None, IfUsed, MIRROR),
    need("LREM $ 0 x", None, IfUsed, MIRROR),
    need("LSET $ 0 x", None, IfUsed, MIRROR),
    need("LTRIM $ 0 1", None, IfUsed, MIRROR),
    need("APPEND $ x", None, IfUsed, MIRROR),
    need("INCR $", None, IfUsed, MIRROR),
    need("INCRBY $ 1", None, IfUsed, MIRROR),
    need("DECR $", None, IfUsed, MIRROR),
    need("SETBIT $ 0 1", None, IfUsed, MIRROR),
    need("PFADD $ x", None, IfUsed, MIRROR),
    need("GEOADD $ 1 1 x", None, IfUsed, MIRROR),
    need("XACK $ x 1-1", None, IfUsed, MIRROR),
    need("XREADGROUP GROUP x x STREAMS $ >", None, IfUsed, MIRROR),
    need("EXPIRE $ 1", None, IfUsed, MIRROR),
    need("RENAME $ $", None, IfUsed, MIRROR),
    need("MSET $ x", None, IfUsed, MIRROR),
    need("GET $", None, IfUsed, MIRROR),
    need("MGET $", None, IfUsed, MIRROR),
    need("HGET $ x", None, IfUsed, MIRROR),
    need("EVAL return 1 $", None, IfUsed, MIRROR),
    need("PUBLISH $ x", None, IfUsed, MIRROR),
];
