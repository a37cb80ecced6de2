//! What the live load consists of: one table, one row a kind of request.
//!
//! A row turns chance into requests, one a line, words separated by blanks. No row can be answered by an error, whatever
//! the other clients do.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Keys of each type in a database: few, so that clients collide.
const KEYS: u64 = 40;

/// Members, fields, offsets and the like in one key.
const MEMBERS: u64 = 200;

/// One kind of request.
pub(super) struct Row {
    /// The line of the final table that counts it.
    pub(super) family: &'static str,
    /// How often it is drawn, beside the other rows.
    weight: u64,
    /// Requests that belong together, one a line.
    pub(super) make: fn(&mut Dice) -> String,
}

const fn row(family: &'static str, weight: u64, make: fn(&mut Dice) -> String) -> Row {
    Row { family, weight, make }
}

/// The load.
static ROWS: &[Row] = &[
    row("strings", 8, |d| format!("SET {} {}", d.key("string"), d.value())),
    row("strings", 2, |d| format!("MSET {} {} {} {}", d.key("string"), d.value(), d.key("string"), d.value())),
    row("strings", 1, |d| format!("SETNX {} {}", d.key("string"), d.value())),
    row("strings", 1, |d| format!("GETSET {} {}", d.key("string"), d.value())),
    row("strings", 1, |d| format!("GETDEL {}", d.key("string"))),
    row("strings", 1, |d| format!("SETRANGE {} {} {}", d.key("string"), d.member(), d.value())),
    row("counters", 6, |d| format!("INCR {}", d.key("counter"))),
    row("counters", 2, |d| format!("INCRBY {} {}", d.key("counter"), d.member())),
    row("counters", 2, |d| format!("DECRBY {} {}", d.key("counter"), d.member())),
    row("appends", 3, |d| format!("APPEND {} {}", d.key("append"), d.value())),
    row("counters", 1, |d| format!("EVAL return(redis.call('incr',KEYS[1])) 1 {}", d.key("counter"))),
    row("lists", 4, |d| format!("LPUSH {} {} {}", d.key("list"), d.value(), d.member())),
    row("lists", 4, |d| format!("RPUSH {} {}", d.key("list"), d.value())),
    row("lists", 2, |d| format!("LPOP {}", d.key("list"))),
    row("lists", 2, |d| format!("RPOP {} 2", d.key("list"))),
    row("lists", 1, |d| format!("LMOVE {} {} LEFT RIGHT", d.key("list"), d.key("list"))),
    row("lists", 1, |d| format!("LREM {} 1 {}", d.key("list"), d.member())),
    row("lists", 1, |d| format!("LINSERT {} BEFORE {} {}", d.key("list"), d.member(), d.value())),
    row("lists", 2, |d| format!("LTRIM {} 0 {MEMBERS}", d.key("list"))),
    row("hashes", 4, |d| format!("HSET {} {} {} {} {}", d.key("hash"), d.member(), d.value(), d.member(), d.value())),
    row("hashes", 2, |d| format!("HDEL {} {}", d.key("hash"), d.member())),
    row("hashes", 1, |d| format!("HSETNX {} {} {}", d.key("hash"), d.member(), d.value())),
    row("hashes", 2, |d| format!("HINCRBY {} {} {}", d.key("tally"), d.member(), d.member())),
    row("sets", 4, |d| format!("SADD {} {} {}", d.key("set"), d.member(), d.member())),
    row("sets", 2, |d| format!("SREM {} {}", d.key("set"), d.member())),
    row("sets", 1, |d| format!("SPOP {} 2", d.key("set"))),
    row("sets", 1, |d| format!("SMOVE {} {} {}", d.key("set"), d.key("set"), d.member())),
    row("sets", 1, |d| format!("SUNIONSTORE {} {} {}", d.key("set"), d.key("set"), d.key("set"))),
    row("sets", 1, |d| format!("SINTERSTORE {} {} {}", d.key("set"), d.key("set"), d.key("set"))),
    row("sorted sets", 4, |d| format!("ZADD {} {} {}", d.key("zset"), d.member(), d.member())),
    row("sorted sets", 3, |d| format!("ZINCRBY {} {} {}", d.key("zset"), d.member(), d.member())),
    row("sorted sets", 1, |d| format!("ZREM {} {}", d.key("zset"), d.member())),
    row("sorted sets", 1, |d| format!("ZPOPMIN {} 2", d.key("zset"))),
    row("sorted sets", 1, |d| format!("ZRANGESTORE {} {} 0 50", d.key("zset"), d.key("zset"))),
    row("sorted sets", 1, |d| format!("ZREMRANGEBYRANK {} 100 -1", d.key("zset"))),
    // Ids must grow: a client numbers those of its own streams.
    row("streams", 4, |d| format!("XADD {} MAXLEN = {MEMBERS} {}-1 field {}", d.own_key("stream"), d.next(), d.value())),
    row("streams", 1, |d| format!("XTRIM {} MAXLEN = 50", d.own_key("stream"))),
    row("streams", 2, |d| format!("XADD {} MAXLEN = {MEMBERS} * field {}", d.key("log"), d.value())),
    row("bitmaps", 3, |d| format!("SETBIT {} {} {}", d.key("bitmap"), d.member(), d.below(2))),
    row("bitmaps", 1, |d| format!("BITOP XOR {} {} {}", d.key("bitmap"), d.key("bitmap"), d.key("bitmap"))),
    row("bitmaps", 1, |d| format!("BITFIELD {} INCRBY u8 #{} 7", d.key("bitmap"), d.below(20))),
    row("hyperloglogs", 3, |d| format!("PFADD {} {} {}", d.key("hll"), d.value(), d.value())),
    row("hyperloglogs", 1, |d| format!("PFMERGE {} {}", d.key("hll"), d.key("hll"))),
    row("hyperloglogs", 1, |d| format!("PFCOUNT {}", d.key("hll"))),
    row("geo", 3, |d| format!("GEOADD {} {}.5 {}.25 {}", d.key("geo"), d.below(180), d.below(80), d.member())),
    row("geo", 1, |d| format!("GEOSEARCHSTORE {} {} FROMLONLAT 90 40 BYRADIUS 3000 km", d.key("geo"), d.key("geo"))),
    row("deletes", 1, |d| format!("DEL {} {} {}", d.key("string"), d.key("append"), d.key("list"))),
    row("deletes", 1, |d| format!("UNLINK {} {} {}", d.key("hash"), d.key("set"), d.key("zset"))),
    row("deletes", 1, |d| format!("DEL {} {} {}", d.own_key("stream"), d.key("bitmap"), d.key("geo"))),
    // What is renamed is nobody else's, so that it is there.
    row("renames", 2, |d| {
        let draft = d.new_key("draft");
        format!("SET {draft} {}\nRENAME {draft} {}", d.value(), d.key("string"))
    }),
    row("renames", 1, |d| format!("COPY {} {} REPLACE", d.key("list"), d.key("copy"))),
    // What expires is not touched again: each server's clock decides when it is gone.
    row("expiries", 3, |d| format!("SET {} {} PXAT {}", d.new_key("brief"), d.value(), d.soon())),
    row("expiries", 2, |d| {
        let brief = d.new_key("brief");
        format!("RPUSH {brief} {} {}\nPEXPIREAT {brief} {}", d.value(), d.value(), d.soon())
    }),
    row("expiries", 3, |d| format!("SET {} {} PX {}", d.new_key("brief"), d.value(), 300 + d.below(900))),
    row("reads", 8, |d| format!("GET {}", d.key("string"))),
    row("reads", 2, |d| format!("MGET {} {}", d.key("string"), d.key("counter"))),
    row("reads", 2, |d| format!("LRANGE {} 0 5", d.key("list"))),
    row("reads", 2, |d| format!("HGET {} {}", d.key("hash"), d.member())),
    row("reads", 2, |d| format!("SISMEMBER {} {}", d.key("set"), d.member())),
    row("reads", 2, |d| format!("ZRANGE {} 0 5 WITHSCORES", d.key("zset"))),
    row("reads", 1, |d| format!("XLEN {}", d.own_key("stream"))),
];

/// Draws a row by its weight.
pub(super) fn draw(dice: &mut Dice) -> &'static Row {
    let mut left = dice.below(ROWS.iter().map(|row| row.weight).sum());
    let drawn = ROWS.iter().find(|row| {
        let here = left < row.weight;
        left = left.saturating_sub(row.weight);
        here
    });
    drawn.expect("what is below the sum of all weights falls into one of them")
}

/// One client's chance, wholly decided by its seed (SplitMix64), save for deadlines, and what it needs to make keys of
/// its own.
pub(super) struct Dice {
    state: u64,
    client: u64,
    /// Numbers given out.
    count: u64,
}

impl Dice {
    /// The dice of one client.
    pub(super) fn new(seed: u64, client: u64) -> Self {
        Self { state: seed ^ client.wrapping_mul(0xd134_2543_de82_ef95), client, count: 0 }
    }

    /// The seed in `INTERLAY_SEED`, or else a new one.
    ///
    /// # Errors
    /// If what is there is no number.
    pub(super) fn seed() -> io::Result<u64> {
        match env::var("INTERLAY_SEED") {
            Ok(seed) => seed.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
            // Short enough to be typed.
            Err(_) => Ok(RandomState::new().hash_one(()) >> 32),
        }
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A key that every client of the database uses.
    fn key(&mut self, kind: &str) -> String {
        format!("{kind}:{}", self.below(KEYS))
    }

    /// A key that only this client uses, and uses again.
    fn own_key(&mut self, kind: &str) -> String {
        let number = self.below(4);
        format!("{kind}:{}:{number}", self.client)
    }

    /// A key that nobody has used yet.
    fn new_key(&mut self, kind: &str) -> String {
        let number = self.next();
        format!("{kind}:{}:{number}", self.client)
    }

    /// A number larger than any before.
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn member(&mut self) -> u64 {
        self.below(MEMBERS)
    }

    /// Text of up to a hundred bytes, now and then of some thousands.
    fn value(&mut self) -> String {
        let copies = if self.below(100) == 0 { 500 } else { 1 + self.below(10) };
        format!("{:x}.", self.below(1 << 32)).repeat(copies as usize)
    }

    /// A deadline some hundred milliseconds from now, in Unix time.
    fn soon(&mut self) -> u128 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_millis() + u128::from(300 + self.below(900))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use interlay_resp::{Form, Limits, Request, RequestScanner, Scan};
    use interlay_routing::command::CommandTable;
    use interlay_routing::{Catalog, Conduct, Work};

    use super::*;
    use crate::demo::connection::encode;

    #[test]
    fn every_row_makes_requests_that_are_reads_or_writes_of_the_lane() {
        let catalog = Catalog::new(CommandTable::builtin());
        let mut dice = Dice::new(1, 1);
        for row in ROWS {
            for line in (0..50).flat_map(|_| (row.make)(&mut dice).lines().map(str::to_owned).collect::<Vec<_>>()) {
                let mut bytes = Vec::new();
                encode(&line, &mut bytes);
                let scan = RequestScanner::default().scan(&bytes, &Limits::default(), true);
                let Ok(Scan::Found { len, argc, form: Form::Canonical }) = scan else { panic!("{line}: {scan:?}") };
                assert_eq!(len, bytes.len(), "{line}");
                let (command, conduct) = catalog.conduct(Request::new(&bytes, argc));
                assert!(command.is_some_and(|command| command.arity_ok(argc)), "{line}");
                let known = match conduct {
                    Conduct::Lane(Work::Read) => row.family == "reads",
                    Conduct::Lane(Work::Write(_)) => row.family != "reads",
                    _ => false,
                };
                assert!(known, "{line}: {conduct:?}");
            }
        }
    }

    #[test]
    fn every_row_is_drawn() {
        let mut dice = Dice::new(7, 0);
        let drawn: HashSet<*const Row> = (0..10_000).map(|_| std::ptr::from_ref(draw(&mut dice))).collect();
        assert_eq!(drawn.len(), ROWS.len());
    }

    #[test]
    fn seed_decides_what_a_client_draws() {
        let drawn = |seed, client| {
            let mut dice = Dice::new(seed, client);
            (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(2, 2));
    }
}
