//! What clients ask for: requests on few keys, so that they collide, with values that are never used twice, so that a
//! stale one gives itself away.

use super::agenda::Instant;
use super::rng::Rng;
use super::scenario::Scenario;

/// Beyond the end of every run.
pub(crate) const FAR: Instant = 100_000_000_000;

/// The arguments of a request, the command's name first.
pub(crate) type Args = Vec<Vec<u8>>;

/// What a client asks for at once.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    One(Args),
    /// MULTI ... EXEC in one batch; without the two.
    Together(Vec<Args>),
    /// Waits so many milliseconds at most for an element. Its last argument, the time limit, is left out.
    Waiting(Args, Option<u64>),
    /// On a connection of the client's own; a single request may be no transaction.
    Own {
        requests: Vec<Args>,
        transaction: bool,
    },
}

impl Ask {
    pub(crate) fn requests(&self) -> usize {
        match self {
            Self::One(_) | Self::Waiting(..) => 1,
            Self::Together(requests) | Self::Own { requests, .. } => requests.len(),
        }
    }
}

pub(crate) struct Workload {
    rng: Rng,
    keys: u64,
    databases: u64,
    unrepeatable: bool,
    unknown: bool,
    deadlines: bool,
    expiring: bool,
    calm: bool,
    /// Of 1000 asks: those of each kind, in the order of [`Ask`] from the second on.
    shares: [u64; 3],
    values: u64,
}

impl Workload {
    pub(crate) fn new(rng: Rng, scenario: &Scenario) -> Self {
        let databases = u64::from(scenario.abilities.source.databases);
        let Scenario { keys, unrepeatable, unknown, deadlines, expiring, calm, transactions, waiting, sections, .. } = *scenario;
        let shares = [u64::from(transactions) * 120, u64::from(waiting) * 150, u64::from(sections) * 60];
        Self { rng, keys, databases, unrepeatable, unknown, deadlines, expiring, calm, shares, values: 0 }
    }

    pub(crate) fn next(&mut self, now: Instant) -> Ask {
        let [together, waiting, own] = self.shares;
        let draw = self.rng.between(0, 1000);
        if draw < together {
            let requests = self.rng.between(1, 6);
            return Ask::Together((0..requests).map(|_| self.inner(now, false)).collect());
        }
        if draw < together + waiting {
            let patience = self.rng.pick(&[Some(5), Some(40), Some(200), None]);
            return Ask::Waiting(args(&self.waiting()), patience);
        }
        if draw < together + waiting + own {
            let transaction = self.rng.chance(80);
            let requests = if transaction { self.rng.between(1, 6) } else { 1 };
            return Ask::Own { requests: (0..requests).map(|at| self.inner(now, at > 0)).collect(), transaction };
        }
        Ask::One(self.one(now))
    }

    /// A request of a transaction.
    fn inner(&mut self, now: Instant, may_select: bool) -> Args {
        let line = match self.rng.between(0, 100) {
            0..10 => self.read(),
            10..25 => self.text(),
            25..35 => self.counter(),
            35..60 => self.list(),
            60..70 => self.set(),
            70..74 if self.deadlines => self.racing(now),
            70..74 => self.expiry(),
            74..80 => self.across_keys(),
            80..88 => self.waiting(),
            88..91 if self.unrepeatable => self.unrepeatable(),
            91..93 if self.unknown => format!("FROB {} {}", self.key("s"), self.value()),
            93..94 if !self.calm => format!("NOSUCH {}", self.key("s")),
            94..96 => "FLUSHDB".into(),
            96..99 if may_select => format!("SELECT {}", self.rng.between(0, self.databases)),
            99 if may_select => "SELECT 99".into(),
            _ => self.text(),
        };
        args(&line)
    }

    fn waiting(&mut self) -> String {
        let key = self.key("l");
        match self.rng.between(0, 10) {
            0..4 => format!("BLPOP {key}"),
            4 => format!("BRPOP {key}"),
            5 | 6 => format!("BLPOP {key} {}", self.key("l")),
            7 => format!("BRPOPLPUSH {key} {}", self.key("l")),
            _ => format!("BLMOVE {key} {} LEFT RIGHT", self.key("l")),
        }
    }

    fn one(&mut self, now: Instant) -> Args {
        let line = match self.rng.between(0, 1000) {
            0..320 => self.read(),
            320..450 => self.text(),
            450..510 => self.counter(),
            510..640 => self.list(),
            640..760 => self.set(),
            760..820 if self.deadlines => self.racing(now),
            760..820 => self.text(),
            820..850 => self.expiry(),
            850..920 => self.across_keys(),
            920..930 if self.rng.chance(80) => "FLUSHDB".into(),
            920..930 => self.read(),
            930..932 => "FLUSHALL".into(),
            932..972 if self.unrepeatable => self.unrepeatable(),
            932..972 => self.list(),
            972..975 if self.unknown => format!("FROB {} {}", self.key("s"), self.value()),
            972..978 => format!("NOSUCH {}", self.key("s")),
            978..994 => format!("SELECT {}", self.rng.between(0, self.databases)),
            994..995 => "SELECT 99".into(),
            995..997 => format!("PUBLISH channel {}", self.value()),
            _ => format!("HELLO {}", self.rng.between(2, 4)),
        };
        let mut args = args(&line);
        // Large enough to be shared between the lanes instead of copied.
        if matches!(&*args[0], b"SET" | b"RPUSH") && self.rng.chance(1) {
            args[2].resize(self.rng.between(17_000, 20_000) as usize, b'.');
        }
        args
    }

    fn read(&mut self) -> String {
        match self.rng.between(0, 10) {
            0..3 => format!("GET {}", self.key("s")),
            3 => format!("GET {}", self.key("c")),
            4 if self.deadlines => format!("GET {}", self.key("x")),
            4 => format!("STRLEN {}", self.key("s")),
            5 => format!("LRANGE {} 0 -1", self.key("l")),
            6 => format!("SMEMBERS {}", self.key("t")),
            7 => format!("MGET {} {} {}", self.key("s"), self.key("c"), self.key("s")),
            8 => format!("PEXPIRETIME {}", self.any_key()),
            _ if self.rng.chance(50) => format!("SCARD {}", self.key("t")),
            _ => format!("EXISTS {}", self.any_key()),
        }
    }

    fn text(&mut self) -> String {
        let (key, value) = (self.key("s"), self.value());
        match self.rng.between(0, 14) {
            0..3 => format!("SET {key} {value}"),
            3 => format!("SET {key} {value} NX"),
            4 => format!("SET {key} {value} XX"),
            5 => format!("SET {key} {value} XX GET"),
            6 => format!("SET {key} {value} PXAT {FAR}"),
            7 => format!("SET {key} {value} PXAT 0"),
            8 | 9 => format!("APPEND {key} {value}"),
            10 => format!("GETSET {key} {value}"),
            11 => format!("GETDEL {key}"),
            12 => format!("MSET {key} {value} {} {}", self.key("s"), self.value()),
            _ => format!("DEL {key} {}", self.any_key()),
        }
    }

    fn counter(&mut self) -> String {
        let key = self.key("c");
        if self.rng.chance(60) { format!("INCR {key}") } else { format!("DECRBY {key} {}", self.rng.between(1, 9)) }
    }

    fn list(&mut self) -> String {
        let (key, value) = (self.key("l"), self.value());
        match self.rng.between(0, 10) {
            0..3 => format!("RPUSH {key} {value}"),
            3..5 => format!("LPUSH {key} {value} {}", self.value()),
            5 => format!("LPOP {key}"),
            6 => format!("RPOP {key}"),
            7 => format!("RPOPLPUSH {key} {}", self.key("l")),
            _ => format!("LMOVE {key} {} {} {}", self.key("l"), self.rng.pick(&["LEFT", "RIGHT"]), self.rng.pick(&["LEFT", "RIGHT"])),
        }
    }

    fn set(&mut self) -> String {
        let (key, member) = (self.key("t"), self.rng.between(0, 6));
        match self.rng.between(0, 10) {
            0..6 => format!("SADD {key} {member} {}", self.rng.between(0, 6)),
            6..8 => format!("SREM {key} {member}"),
            _ => format!("SMOVE {key} {} {member}", self.key("t")),
        }
    }

    /// Deadlines that pass while a write or its effect is under way. Unless `expiring`, only commands whose reply tells
    /// whether the key was there.
    fn racing(&mut self, now: Instant) -> String {
        if self.expiring && self.rng.chance(50) {
            let (key, one, other) = (self.key("y"), self.rng.between(0, 60), self.rng.between(0, 60));
            return match self.rng.between(0, 10) {
                0..6 => format!("SADD {key} {one} {other}"),
                _ => format!("PEXPIRE {key} {}", self.rng.between(1, 80)),
            };
        }
        let (key, value, soon) = (self.key("x"), self.value(), now + self.rng.between(1, 80));
        match self.rng.between(0, 10) {
            9 => format!("SET {key} {value} PX {}", self.rng.between(1, 80)),
            0..3 => format!("SET {key} {value} PXAT {soon}"),
            3 => format!("PEXPIREAT {key} {soon}"),
            4 => format!("APPEND {key} {value}"),
            5 => format!("SET {key} {value} NX"),
            6 => format!("GETSET {key} {value}"),
            7 => format!("PERSIST {key}"),
            _ => format!("GETDEL {key}"),
        }
    }

    fn expiry(&mut self) -> String {
        if self.expiring && self.rng.chance(50) {
            return format!("PEXPIRE {} {}", self.any_key(), self.rng.between(1, 300));
        }
        match self.rng.between(0, 4) {
            0 => format!("PERSIST {}", self.any_key()),
            1 => format!("PEXPIREAT {} 0", self.any_key()),
            _ => format!("PEXPIREAT {} {}", self.any_key(), FAR + self.rng.between(0, 1000)),
        }
    }

    fn across_keys(&mut self) -> String {
        let db = self.rng.between(0, self.databases);
        if self.rng.chance(40) {
            let kind = self.rng.pick(&["s", "c", "l", "t"]);
            return format!("RENAME {} {}", self.key(kind), self.key(kind));
        }
        if self.rng.chance(70) {
            format!("MOVE {} {db}", self.any_key())
        } else {
            format!("SWAPDB {db} {}", self.rng.between(0, self.databases))
        }
    }

    fn unrepeatable(&mut self) -> String {
        match self.rng.between(0, 8) {
            0 if self.expiring => format!("SET {} {} EX 1", self.key("s"), self.value()),
            1 if self.expiring => format!("EXPIRE {} 1", self.any_key()),
            0..2 => format!("EVAL set 1 {}", self.key("s")),
            2 => format!("EVAL grow 1 {}", self.key("t")),
            3 => format!("EVAL {} 1 {}", self.rng.pick(&["fail", "remove", if self.expiring { "expire" } else { "set" }]), self.any_key()),
            _ => format!("SPOP {}", self.key("t")),
        }
    }

    /// A key whose values are usually of the type that its first letter stands for.
    fn key(&mut self, kind: &str) -> String {
        let kind = if kind != "x" && self.rng.chance(3) { self.rng.pick(&["s", "c", "l", "t"]) } else { kind };
        format!("{kind}{}", self.rng.between(0, self.keys))
    }

    fn any_key(&mut self) -> String {
        let kind = self.rng.pick(&["s", "c", "l", "t"]);
        self.key(kind)
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("v{}", self.values)
    }
}

fn args(line: &str) -> Args {
    line.split(' ').map(|arg| arg.as_bytes().to_vec()).collect()
}
