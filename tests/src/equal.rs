//! Whether two servers hold the same, and where they differ if not.

use std::collections::BTreeMap;
use std::fmt::Write;

use redis::{Connection, Value};

use crate::conn::text;
use crate::server::Server;

/// Differing keys that are shown; more are counted.
const SHOWN: usize = 20;

/// Where a key is: its database and its name.
type Place = (i64, Vec<u8>);

/// `DEBUG DIGEST` of a server.
///
/// # Panics
///
/// If the server does not answer.
#[must_use]
pub fn digest(server: &Server) -> String {
    let digest = server.call(["DEBUG", "DIGEST"]);
    assert_eq!((digest.first(), digest.len()), (Some(&b'+'), 43), "{}", text(&digest));
    text(&digest[1..41])
}

/// Asserts that both servers hold the same keys, with the same values and expiry times.
///
/// # Panics
///
/// If not, with every differing key's type, value and expiry time on either side.
pub fn assert_equal(source: &Server, target: &Server) {
    let (mut on_source, mut on_target) = (source.client(), target.client());
    let same_values = digest(source) == digest(target);
    let (source_keys, target_keys) = (expiry_times(&mut on_source), expiry_times(&mut on_target));
    if same_values && source_keys == target_keys {
        return;
    }
    let mut places: Vec<&Place> = source_keys.keys().chain(target_keys.keys()).collect();
    places.sort_unstable();
    places.dedup();
    let mut differing = 0;
    let mut report = String::new();
    for place in places {
        let (left, right) = (describe(&mut on_source, place), describe(&mut on_target, place));
        if left != right {
            differing += 1;
            if differing <= SHOWN {
                _ = write!(report, "\ndb {} key {}\n  source {left}\n  target {right}", place.0, text(&place.1));
            }
        }
    }
    panic!("source and target differ in {differing} keys; the first of them:{report}");
}

/// Every key of a server with its expiry time in ms, -1 without one.
fn expiry_times(connection: &mut Connection) -> BTreeMap<Place, i64> {
    let keyspace: String = redis::cmd("INFO").arg("keyspace").query(connection).expect("INFO");
    let dbs = keyspace.lines().filter_map(|line| line.strip_prefix("db")?.split(':').next()?.parse::<i64>().ok());
    let mut times = BTreeMap::new();
    for db in dbs {
        redis::cmd("SELECT").arg(db).exec(connection).expect("SELECT");
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(connection).expect("KEYS");
        for keys in keys.chunks(1000) {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.cmd("PEXPIRETIME").arg(key);
            }
            let expiries: Vec<i64> = pipeline.query(connection).expect("PEXPIRETIME");
            times.extend(keys.iter().map(|key| (db, key.clone())).zip(expiries));
        }
    }
    times
}

/// A key's type, value and expiry time.
fn describe(connection: &mut Connection, (db, key): &Place) -> String {
    redis::cmd("SELECT").arg(db).exec(connection).expect("SELECT");
    let kind: String = redis::cmd("TYPE").arg(key).query(connection).expect("TYPE");
    let read: &[&str] = match &*kind {
        "string" => &["GET"],
        "list" => &["LRANGE", "0", "-1"],
        "set" => &["SORT", "ALPHA"],
        "hash" => &["HGETALL"],
        "zset" => &["ZRANGE", "0", "-1", "WITHSCORES"],
        "stream" => &["XRANGE", "-", "+"],
        _ => return kind,
    };
    let value: Value = redis::cmd(read[0]).arg(key).arg(&read[1..]).query(connection).expect("a value");
    let value = if let Value::Array(parts) = value {
        let mut parts: Vec<_> = parts.iter().map(shown).collect();
        // A hash has no order.
        if kind == "hash" {
            let mut fields: Vec<_> = parts.chunks(2).map(|field| field.join(": ")).collect();
            fields.sort_unstable();
            parts = fields;
        }
        parts.join(", ")
    } else {
        shown(&value)
    };
    let expiry: i64 = redis::cmd("PEXPIRETIME").arg(key).query(connection).expect("PEXPIRETIME");
    format!("{kind}, expires {expiry}, {value}")
}

fn shown(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => text(bytes),
        other => format!("{other:?}"),
    }
}
