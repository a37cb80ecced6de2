//! What the source holds before the move: keys of every type, some of which expire, in several databases.

use std::io;

use super::connection::{Connection, encode};

/// Keys of each kind in each database.
const KEYS: u64 = 500;

/// Databases that have them.
const DBS: u64 = 4;

/// Keys that expire: in each database as many as of a kind. Far from now, so that none does during the demo.
pub(super) const EXPIRING: u64 = KEYS * DBS;

/// Replies that are waited for at once.
const BATCH: usize = 500;

/// One kind of key: the request that makes number `n` of it.
static KINDS: &[fn(u64) -> String] = &[
    |n| format!("SET before:string:{n} value-{n}"),
    |n| format!("SET before:brief:{n} value-{n} EX {}", 3600 + n),
    |n| format!("RPUSH before:list:{n} a b c d {n}"),
    |n| format!("SADD before:set:{n} a b c d {n}"),
    |n| format!("HSET before:hash:{n} a 1 b 2 c {n}"),
    |n| format!("ZADD before:zset:{n} 1 a 2.5 b {n} c"),
    |n| format!("XADD before:stream:{n} 1-{} field value", n + 1),
    |n| format!("PFADD before:hll:{n} a b {n}"),
];

/// All of them.
pub(super) const TOTAL: u64 = KINDS.len() as u64 * KEYS * DBS;

/// Puts them into the server at `port`.
pub(super) async fn fill(port: u16) -> io::Result<()> {
    let mut connection = Connection::to(port).await?;
    for db in 0..DBS {
        connection.call(&format!("SELECT {db}")).await?;
        for kind in KINDS {
            let lines: Vec<_> = (0..KEYS).map(kind).collect();
            for batch in lines.chunks(BATCH) {
                let mut bytes = Vec::new();
                batch.iter().for_each(|line| encode(line, &mut bytes));
                connection.send(&bytes).await?;
                for _ in batch {
                    connection.reply().await?;
                }
            }
        }
    }
    Ok(())
}
