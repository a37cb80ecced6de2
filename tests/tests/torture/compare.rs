//! Whether two servers hold the same once all is quiet: every value, every expiry time, every consumer group; and if not,
//! which keys differ and what was done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use interlay_tests::{Server, digest, eventually, text};
use redis::{Connection, Value};

use super::diary::Diary;
use super::form::SHORT_TTL_MS;

/// Expiry times on both sides may differ by this much, in ms.
const EXPIRY_SLACK_MS: u64 = 1_000;

/// Differing keys that are shown; more are counted.
const SHOWN: usize = 5;

/// Characters shown of a value.
const VALUE_SHOWN: usize = 1_500;

/// So many buckets of a server are looked at by one SCAN: all that there are.
const EVERY_KEY: u64 = 1 << 30;

/// Where a key is: its database and its name.
type Place = (i64, Vec<u8>);

/// What a server holds at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    digest: String,
    /// In ms of Unix time; none if it stays.
    expires: Option<u64>,
    /// A stream's ids and groups, which the digest leaves out.
    stream: String,
}

impl Held {
    fn is_as(&self, other: &Self) -> bool {
        let expires_alike = match (self.expires, other.expires) {
            (Some(one), Some(two)) => one.abs_diff(two) <= EXPIRY_SLACK_MS,
            (one, two) => one == two,
        };
        expires_alike && self.digest == other.digest && self.stream == other.stream
    }
}

/// Waits until no key is about to expire, on either server.
pub(crate) fn short_lives_are_over(servers: [&Server; 2]) {
    for server in servers {
        let mut client = server.client();
        eventually("short-lived keys have expired", || {
            let soon = now_ms() + 2 * SHORT_TTL_MS;
            held(&mut client).values().all(|held| held.expires.is_none_or(|expires| expires > soon))
        });
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// How the servers differ; none if they do not. With `all`, keys that are about to expire count too.
pub(crate) fn difference(source: &Server, target: &Server, diary: &Diary, all: bool) -> Option<String> {
    let (mut on_source, mut on_target) = (source.client(), target.client());
    let (left, right) = (held(&mut on_source), held(&mut on_target));
    let soon = if all { 0 } else { now_ms() + EXPIRY_SLACK_MS };
    let expires_soon = |held: Option<&Held>| held.and_then(|held| held.expires).is_some_and(|expires| expires < soon);
    let places: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differs = |place: &&&Place| match (left.get(**place), right.get(**place)) {
        (one, two) if expires_soon(one) || expires_soon(two) => false,
        (Some(one), Some(two)) => !one.is_as(two),
        _ => true,
    };
    let differing: Vec<_> = places.iter().filter(differs).collect();
    let digests = [source, target].map(digest);
    if differing.is_empty() && (digests[0] == digests[1] || !all) {
        if all {
            eprintln!("{} keys are equal", places.len());
        }
        return None;
    }
    let mut report = format!("{} of {} keys differ; the digests are {digests:?}", differing.len(), places.len());
    for place in differing.into_iter().take(SHOWN) {
        _ = writeln!(report, "\n\ndb {} key {}", place.0, text(&place.1));
        for (side, client, held) in [("source", &mut on_source, left.get(place)), ("target", &mut on_target, right.get(place))] {
            _ = writeln!(report, "  {side} {}", describe(client, place, held));
        }
        _ = write!(report, "  the last requests for keys of that name:\n{}", diary.page(&place.1));
    }
    Some(report)
}

/// Everything that a server holds.
fn held(client: &mut Connection) -> BTreeMap<Place, Held> {
    let keyspace: String = redis::cmd("INFO").arg("keyspace").query(client).expect("INFO");
    let dbs = keyspace.lines().filter_map(|line| line.strip_prefix("db")?.split(':').next()?.parse::<i64>().ok());
    let mut all = BTreeMap::new();
    for db in dbs {
        redis::cmd("SELECT").arg(db).exec(client).expect("SELECT");
        // Other than KEYS, SCAN drops the expired keys that it meets; the digest would still count them.
        let (_, keys): (Vec<u8>, Vec<Vec<u8>>) = redis::cmd("SCAN").arg(0).arg("COUNT").arg(EVERY_KEY).query(client).expect("SCAN");
        for key in keys {
            let mut pipeline = redis::pipe();
            pipeline.cmd("DEBUG").arg("DIGEST-VALUE").arg(&key).cmd("PEXPIRETIME").arg(&key).cmd("TYPE").arg(&key);
            let (digests, expires, kind): (Vec<String>, i64, String) = pipeline.query(client).expect("a key's facts");
            let stream = if kind == "stream" { groups(client, &key) } else { String::new() };
            // Keys that are just expiring are none.
            if expires != -2 {
                let digest = digests.into_iter().next().unwrap_or_default();
                all.insert((db, key), Held { digest, expires: u64::try_from(expires).ok(), stream });
            }
        }
    }
    all
}

/// What XINFO says of a stream but for times and the inner layout.
fn groups(client: &mut Connection, key: &[u8]) -> String {
    let info = redis::cmd("XINFO").arg("STREAM").arg(key).arg("FULL").arg("COUNT").arg(0).query(client);
    let mut out = String::new();
    info.map(|info| write_facts(&info, false, &mut out)).ok();
    out
}

fn write_facts(value: &Value, pending: bool, out: &mut String) {
    match value {
        Value::Array(parts) => {
            out.push('[');
            let mut name = String::new();
            for (at, part) in parts.iter().enumerate() {
                let hidden = matches!(&*name, "seen-time" | "active-time" | "radix-tree-keys" | "radix-tree-nodes");
                // The last but one part of a pending entry is when it was delivered.
                let delivery = pending && parts.len() >= 3 && at == parts.len() - 2 && matches!(part, Value::Int(_));
                if !hidden && !delivery {
                    write_facts(part, pending || name == "pending", out);
                    out.push(' ');
                }
                name = if at % 2 == 0 && !pending { plain(part) } else { String::new() };
            }
            out.push(']');
        }
        other => out.push_str(&plain(other)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => text(bytes),
        Value::SimpleString(words) => words.clone(),
        Value::Int(number) => number.to_string(),
        Value::Array(parts) => format!("[{}]", parts.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// A key for the report.
fn describe(client: &mut Connection, (db, key): &Place, held: Option<&Held>) -> String {
    let Some(Held { digest, expires, stream }) = held else {
        return "has no such key".to_owned();
    };
    redis::cmd("SELECT").arg(db).exec(client).expect("SELECT");
    let kind: String = redis::cmd("TYPE").arg(key).query(client).expect("TYPE");
    let read: &[&str] = match &*kind {
        "string" => &["GET"],
        "list" => &["LRANGE", "0", "-1"],
        "set" => &["SORT", "ALPHA"],
        "hash" => &["HGETALL"],
        "zset" => &["ZRANGE", "0", "-1", "WITHSCORES"],
        "stream" => &["XRANGE", "-", "+"],
        _ => return format!("had it until now, {digest}"),
    };
    let encoding: Option<String> = redis::cmd("OBJECT").arg("ENCODING").arg(key).query(client).expect("OBJECT ENCODING");
    let value: Value = redis::cmd(read[0]).arg(key).arg(&read[1..]).query(client).expect("a value");
    let mut value = plain(&value);
    if kind == "hash" {
        // A hash has no order.
        let words: Vec<_> = value.trim_matches(['[', ']']).split(", ").collect();
        let mut fields: Vec<_> = words.chunks(2).map(|field| field.join(": ")).collect();
        fields.sort_unstable();
        value = fields.join(", ");
    }
    let shown = |all: &str| all.chars().take(VALUE_SHOWN).collect::<String>();
    let encoding = encoding.unwrap_or_default();
    format!("{kind} ({encoding}), expires {expires:?}, digest {digest}\n    {}\n    {}", shown(&value), shown(stream))
}
