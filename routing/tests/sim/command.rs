//! What a model server does with a request.

use std::collections::BTreeMap;

use super::reply::Reply;
use super::rng::Rng;
use super::store::{Item, List, Set, Store, Value};

/// The reply to a command that only reads, given the items of its keys; none if it is no such command. Pure, so
/// that the checker can ask what an older state would have answered.
pub(crate) fn read<'a>(args: &[&[u8]], item: impl Fn(&[u8]) -> Option<&'a Item>) -> Option<Reply> {
    let key = args.get(1).copied().unwrap_or_default();
    let value = |key| item(key).map(|item| &item.value);
    Some(match (*args.first()?, value(key)) {
        (b"EXISTS", _) => Reply::count(args[1..].iter().filter(|key| item(key).is_some()).count()),
        (b"MGET", _) => Reply::Array(
            args[1..]
                .iter()
                .map(|key| match value(key) {
                    Some(Value::Text(text)) => Reply::Bulk(text.clone()),
                    _ => Reply::Nil,
                })
                .collect(),
        ),
        (b"PEXPIRETIME", None) => Reply::Int(-2),
        (b"PEXPIRETIME", _) => Reply::Int(item(key)?.deadline.map_or(-1, |deadline| deadline as i64)),
        (b"GET", None) => Reply::Nil,
        (b"GET", Some(Value::Text(text))) => Reply::Bulk(text.clone()),
        (b"STRLEN" | b"SCARD", None) => Reply::Int(0),
        (b"STRLEN", Some(Value::Text(text))) => Reply::count(text.len()),
        (b"SCARD", Some(Value::Set(set))) => Reply::count(set.len()),
        (b"LRANGE", None) => Reply::Array(Vec::new()),
        (b"LRANGE", Some(Value::List(list))) => Reply::Array(list.iter().cloned().map(Reply::Bulk).collect()),
        (b"SMEMBERS", None) => Reply::Set(Vec::new()),
        (b"SMEMBERS", Some(Value::Set(set))) => Reply::Set(set.iter().cloned().collect()),
        (b"GET" | b"STRLEN" | b"SCARD" | b"LRANGE" | b"SMEMBERS", _) => Reply::WRONG_TYPE,
        _ => return None,
    })
}

/// Whether a server without memory refuses the command.
pub(crate) fn needs_memory(name: &[u8]) -> bool {
    const NAMES: [&str; 16] = [
        "SET",
        "APPEND",
        "INCR",
        "DECRBY",
        "GETSET",
        "MSET",
        "LPUSH",
        "RPUSH",
        "RPOPLPUSH",
        "LMOVE",
        "SADD",
        "BLMOVE",
        "BRPOPLPUSH",
        "RESTORE",
        "SETRANGE",
        "EVAL",
    ];
    NAMES.iter().any(|known| known.as_bytes() == name)
}

/// Whether a server knows the command at all.
pub(crate) fn is_known(name: &[u8]) -> bool {
    name != b"NOSUCH"
}

/// Whether the command waits where it stands alone.
pub(crate) fn waits(name: &[u8]) -> bool {
    matches!(name, b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH")
}

/// Executes a command in database `db`. `rng` is the server's own chance, for SPOP.
pub(crate) fn execute(store: &mut Store, db: u32, args: &[&[u8]], rng: &mut Rng) -> Reply {
    if let Some(reply) = read(args, |key| store.get(db, key)) {
        return reply;
    }
    match args {
        [] => Reply::Error("ERR no command"),
        [name, args @ ..] => write(store, db, name, args, rng).unwrap_or_else(|error| error),
    }
}

fn write(store: &mut Store, db: u32, name: &[u8], args: &[&[u8]], rng: &mut Rng) -> Result<Reply, Reply> {
    Ok(match (name, args) {
        (b"SET", [key, value, options @ ..]) => set(store, db, key, value, options)?,
        // A write that the command table has never heard of, as a module's would be.
        (b"FROB", [key, value]) => {
            store.put_text(db, key, value, None);
            Reply::Ok
        }
        (b"APPEND", [key, more]) => store.edit(db, key, |text: &mut Vec<u8>| {
            text.extend_from_slice(more);
            Reply::count(text.len())
        })?,
        (b"INCR", [key]) => add(store, db, key, 1)?,
        (b"DECRBY", [key, by]) => add(store, db, key, -number(by)?)?,
        (b"GETSET", [key, value]) => {
            let old = text(store, db, key)?;
            store.put_text(db, key, value, None);
            Reply::bulk_or_nil(old)
        }
        (b"GETDEL", [key]) => {
            let old = text(store, db, key)?;
            store.remove(db, key);
            Reply::bulk_or_nil(old)
        }
        (b"MSET", pairs) => {
            pairs.chunks_exact(2).for_each(|pair| store.put_text(db, pair[0], pair[1], None));
            Reply::Ok
        }
        (b"DEL" | b"UNLINK", keys) => Reply::count(keys.iter().filter(|key| store.remove(db, key).is_some()).count()),
        (b"LPUSH" | b"RPUSH", [key, values @ ..]) => store.edit(db, key, |list: &mut List| {
            values.iter().for_each(|value| push(list, name == b"LPUSH", value.to_vec()));
            Reply::count(list.len())
        })?,
        (b"LPOP" | b"RPOP", [key]) => Reply::bulk_or_nil(store.edit(db, key, |list: &mut List| pop(list, name == b"LPOP"))?),
        // Where a command that waits has its time limit, the tag is.
        (b"BLPOP" | b"BRPOP", keys) => pop_first(store, db, keys, name == b"BLPOP")?,
        (b"RPOPLPUSH" | b"BRPOPLPUSH", [from, to]) => move_element(store, db, (from, false), (to, true))?,
        (b"LMOVE" | b"BLMOVE", [from, to, pop, push]) => move_element(store, db, (from, *pop == b"LEFT"), (to, *push == b"LEFT"))?,
        (b"SADD", [key, members @ ..]) => {
            store.edit(db, key, |set: &mut Set| Reply::count(members.iter().filter(|member| set.insert(member.to_vec())).count()))?
        }
        (b"SREM", [key, members @ ..]) => {
            store.edit(db, key, |set: &mut Set| Reply::count(members.iter().filter(|member| set.remove(**member)).count()))?
        }
        (b"SPOP", [key]) => Reply::bulk_or_nil(store.edit(db, key, |set: &mut Set| {
            let member = set.iter().nth(rng.index(set.len().max(1))).cloned()?;
            set.take(&member)
        })?),
        (b"SMOVE", [from, to, member]) => move_member(store, db, from, to, member)?,
        (b"PEXPIREAT", [key, at]) => expire(store, db, key, number(at)?.unsigned_abs()),
        (b"EXPIRE", [key, seconds]) => expire(store, db, key, store.now() + 1000 * number(seconds)?.unsigned_abs()),
        (b"PEXPIRE", [key, millis]) => expire(store, db, key, store.now() + number(millis)?.unsigned_abs()),
        (b"PUBLISH", [_, _]) => Reply::Int(rng.between(0, 3) as i64),
        (b"EVAL", [script, _, key, ..]) => eval(store, db, script, key, rng)?,
        (b"PERSIST", [key]) => match store.get(db, key).cloned() {
            Some(item @ Item { deadline: Some(_), .. }) => {
                store.put(db, key, Item { deadline: None, ..item });
                Reply::Int(1)
            }
            _ => Reply::Int(0),
        },
        // Carries a value along whole, and its reply says nothing of it.
        (b"RENAME", [from, to]) => {
            let item = store.remove(db, from).ok_or(Reply::Error("ERR no such key"))?;
            store.put(db, to, item);
            Reply::Ok
        }
        (b"MOVE", [key, to]) => move_key(store, db, key, number(to)? as u32)?,
        (b"SWAPDB", [a, b]) => {
            let (a, b) = (number(a)? as u32, number(b)? as u32);
            if !store.has_db(a) || !store.has_db(b) {
                return Err(Reply::NO_DB);
            }
            store.swap(a, b);
            Reply::Ok
        }
        (b"FLUSHDB", _) => {
            store.flush(db);
            Reply::Ok
        }
        (b"FLUSHALL", _) => {
            store.flush_all();
            Reply::Ok
        }
        _ => return Err(Reply::UNKNOWN),
    })
}

fn set(store: &mut Store, db: u32, key: &[u8], value: &[u8], options: &[&[u8]]) -> Result<Reply, Reply> {
    let has = |word: &[u8]| options.contains(&word);
    let after = |word: &[u8]| options.iter().skip_while(|option| **option != word).nth(1);
    let old = if has(b"GET") { Some(Reply::bulk_or_nil(text(store, db, key)?)) } else { None };
    let exists = store.get(db, key).is_some();
    if (has(b"NX") && exists) || (has(b"XX") && !exists) {
        return Ok(old.unwrap_or(Reply::Nil));
    }
    let deadline = match (after(b"PXAT"), after(b"EX"), after(b"PX")) {
        (Some(at), ..) => Some(number(at)?.unsigned_abs()),
        (_, Some(seconds), _) => Some(store.now() + 1000 * number(seconds)?.unsigned_abs()),
        (.., Some(millis)) => Some(store.now() + number(millis)?.unsigned_abs()),
        _ => None,
    };
    store.put_text(db, key, value, deadline);
    Ok(old.unwrap_or(Reply::Ok))
}

/// A script: nobody knows what it does, and an error of it does not undo what it has done.
fn eval(store: &mut Store, db: u32, script: &[u8], key: &[u8], rng: &mut Rng) -> Result<Reply, Reply> {
    let chance = format!("r{}", rng.between(0, 1000)).into_bytes();
    match script {
        b"grow" => store.edit(db, key, |set: &mut Set| _ = set.insert(chance))?,
        b"expire" => _ = expire(store, db, key, store.now() + rng.between(1, 200)),
        b"remove" => _ = store.remove(db, key),
        _ => store.put_text(db, key, &chance, None),
    }
    if script == b"fail" { Err(Reply::Error("ERR the script failed half way")) } else { Ok(Reply::Bulk(b"done".to_vec())) }
}

/// What Interlay asks for itself: reads, and copies of keys. `format` is the newest format of payloads that the server knows.
/// None if it is no such request.
pub(crate) fn errand(store: &mut Store, db: u32, args: &[&[u8]], format: u8, serial: u64, rng: &mut Rng) -> Option<Reply> {
    let item = |key: &[u8]| store.get(db, key);
    Some(match args {
        [b"MEMORY", b"USAGE", key] => item(key).map_or(Reply::Nil, |item| Reply::count(50 + item.value.bytes())),
        [b"PTTL", key] => match item(key) {
            None => Reply::Int(-2),
            Some(item) => Reply::Int(item.deadline.map_or(-1, |deadline| (deadline - store.now()) as i64)),
        },
        [b"TYPE", key] => Reply::Status(item(key).map_or("none", |item| item.value.kind())),
        [b"LLEN", key] => match item(key).map(|item| &item.value) {
            None => Reply::Int(0),
            Some(Value::List(list)) => Reply::count(list.len()),
            Some(_) => Reply::WRONG_TYPE,
        },
        [b"GETRANGE", key, from, to] => match item(key).map(|item| &item.value) {
            None => Reply::Bulk(Vec::new()),
            Some(Value::Text(text)) => Reply::Bulk(page(text.iter().copied(), from, to)),
            Some(_) => Reply::WRONG_TYPE,
        },
        [b"LRANGE", key, from, to] if *to != b"-1" => match item(key).map(|item| &item.value) {
            None => Reply::Array(Vec::new()),
            Some(Value::List(list)) => Reply::Array(page(list.iter().cloned().map(Reply::Bulk), from, to)),
            Some(_) => Reply::WRONG_TYPE,
        },
        // As of a table of 64 buckets: an element stays in its own, whatever comes and goes.
        [b"SSCAN", key, cursor, b"COUNT", count] => {
            let set = match item(key).map(|item| &item.value) {
                None => Set::new(),
                Some(Value::Set(set)) => set.clone(),
                Some(_) => return Some(Reply::WRONG_TYPE),
            };
            let (mut at, count) = (number(cursor).unwrap_or_default() as usize, number(count).unwrap_or(1) as usize);
            let bucket = |element: &[u8]| element.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 64;
            let mut found = Vec::new();
            while at < 64 && found.len() < count {
                found.extend(set.iter().filter(|element| bucket(element) == at).cloned().map(Reply::Bulk));
                at += 1;
            }
            let next = if at < 64 { at } else { 0 };
            Reply::Array(vec![Reply::Bulk(next.to_string().into_bytes()), Reply::Array(found)])
        }
        [b"SISMEMBER", key, member] => match item(key).map(|item| &item.value) {
            None => Reply::Int(0),
            Some(Value::Set(set)) => Reply::count(usize::from(set.contains(*member))),
            Some(_) => Reply::WRONG_TYPE,
        },
        [b"SETRANGE", key, at, bytes] => {
            let at = number(at).unwrap_or_default() as usize;
            let added = store.edit(db, key, |text: &mut Vec<u8>| {
                text.truncate(at);
                text.extend_from_slice(bytes);
                Reply::count(text.len())
            });
            added.unwrap_or_else(|error| error)
        }
        [b"DUMP", key] => match item(key) {
            None => Reply::Nil,
            Some(item) => {
                let mut payload = vec![format];
                payload.extend_from_slice(&serial.to_le_bytes());
                payload.extend(item.value.dump());
                Reply::Bulk(payload)
            }
        },
        [b"RESTORE", key, ttl, payload, b"REPLACE", b"ABSTTL"] => {
            let Some((of, rest)) = payload.split_first() else { return Some(Reply::BAD_PAYLOAD) };
            let value = rest.get(8..).filter(|_| *of <= format).and_then(Value::load);
            let (Some(value), Ok(ttl)) = (value, number(ttl)) else { return Some(Reply::BAD_PAYLOAD) };
            store.put(db, key, Item { value, deadline: (ttl > 0).then_some(ttl.unsigned_abs()) });
            Reply::Ok
        }
        [b"SCAN", cursor, b"COUNT", _, kind @ ..] => {
            let cursor = std::str::from_utf8(cursor).ok().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            let (next, mut keys) = store.scan(db, cursor, rng.between(1, 5) as usize);
            if rng.chance(10) {
                keys.extend(keys.first().cloned());
            }
            if let [b"TYPE", kind] = kind {
                keys.retain(|key| store.get(db, key).is_some_and(|item| item.value.kind().as_bytes() == *kind));
            }
            Reply::Array(vec![Reply::Bulk(next.to_string().into_bytes()), Reply::Array(keys.into_iter().map(Reply::Bulk).collect())])
        }
        [b"FUNCTION", b"DUMP"] => Reply::Bulk(b"functions".to_vec()),
        [b"FUNCTION", b"RESTORE", b"functions", b"FLUSH"] => Reply::Ok,
        [b"PING"] => Reply::Status("PONG"),
        [b"INFO", b"keyspace"] => {
            let mut counts = BTreeMap::<u32, u32>::new();
            store.keys().for_each(|(db, _)| *counts.entry(db).or_default() += 1);
            let lines = counts.iter().map(|(db, keys)| format!("db{db}:keys={keys},expires=0,avg_ttl=0\r\n"));
            Reply::Bulk(std::iter::once("# Keyspace\r\n".to_owned()).chain(lines).collect::<String>().into_bytes())
        }
        [b"TIME"] => {
            let (seconds, micros) = (store.now() / 1000, store.now() % 1000 * 1000);
            Reply::Array([seconds, micros].map(|number| Reply::Bulk(number.to_string().into_bytes())).to_vec())
        }
        _ => return None,
    })
}

/// Elements `from` to `to`.
fn page<T>(elements: impl Iterator<Item = T>, from: &[u8], to: &[u8]) -> Vec<T> {
    let (from, to) = (number(from).unwrap_or_default() as usize, number(to).unwrap_or_default() as usize);
    elements.take(to + 1).skip(from).collect()
}

fn add(store: &mut Store, db: u32, key: &[u8], by: i64) -> Result<Reply, Reply> {
    let old = text(store, db, key)?.map_or(Ok(0), |text| number(&text))?;
    let new = old.checked_add(by).ok_or(Reply::NO_INTEGER)?;
    store.edit(db, key, |text: &mut Vec<u8>| *text = new.to_string().into_bytes())?;
    Ok(Reply::Int(new))
}

fn text(store: &Store, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>, Reply> {
    let text = store.copy(db, key)?;
    Ok(store.get(db, key).is_some().then_some(text))
}

/// Whether a command that waits would find something, so that it need not wait.
pub(crate) fn would_find(store: &Store, db: u32, args: &[Vec<u8>]) -> bool {
    let list = |key: &Vec<u8>| store.copy::<List>(db, key).ok();
    let has_elements = |key: &Vec<u8>| list(key).is_none_or(|list| !list.is_empty());
    match &*args[0] {
        b"BLMOVE" | b"BRPOPLPUSH" => list(&args[1]).is_some_and(|from| !from.is_empty()) && list(&args[2]).is_some(),
        // An error at the first key that is no list.
        _ => args[1..].iter().find(|key| has_elements(key)).is_some_and(|key| list(key).is_some()),
    }
}

fn pop_first(store: &mut Store, db: u32, keys: &[&[u8]], left: bool) -> Result<Reply, Reply> {
    for key in keys {
        if !store.copy::<List>(db, key)?.is_empty() {
            let element = store.edit(db, key, |list: &mut List| pop(list, left))?.unwrap_or_default();
            return Ok(Reply::Array(vec![Reply::Bulk(key.to_vec()), Reply::Bulk(element)]));
        }
    }
    Ok(Reply::NilArray)
}

fn move_element(store: &mut Store, db: u32, from: (&[u8], bool), to: (&[u8], bool)) -> Result<Reply, Reply> {
    let old: List = store.copy(db, from.0)?;
    if old.is_empty() {
        return Ok(Reply::Nil);
    }
    store.copy::<List>(db, to.0)?;
    let element = store.edit(db, from.0, |list: &mut List| pop(list, from.1))?.unwrap_or_default();
    store.edit(db, to.0, |list: &mut List| push(list, to.1, element.clone()))?;
    Ok(Reply::Bulk(element))
}

fn move_member(store: &mut Store, db: u32, from: &[u8], to: &[u8], member: &[u8]) -> Result<Reply, Reply> {
    let old: Set = store.copy(db, from)?;
    if old.is_empty() {
        return Ok(Reply::Int(0));
    }
    store.copy::<Set>(db, to)?;
    if old.contains(member) {
        store.edit(db, from, |set: &mut Set| set.remove(member))?;
        store.edit(db, to, |set: &mut Set| set.insert(member.to_vec()))?;
    }
    Ok(Reply::flag(old.contains(member)))
}

fn move_key(store: &mut Store, db: u32, key: &[u8], to: u32) -> Result<Reply, Reply> {
    if !store.has_db(to) || to == db {
        return Err(Reply::NO_DB);
    }
    if store.get(to, key).is_some() {
        return Ok(Reply::Int(0));
    }
    let Some(item) = store.remove(db, key) else { return Ok(Reply::Int(0)) };
    store.put(to, key, item);
    Ok(Reply::Int(1))
}

fn expire(store: &mut Store, db: u32, key: &[u8], at: u64) -> Reply {
    let item = store.get(db, key).cloned();
    let exists = item.is_some();
    if let Some(item) = item {
        store.put(db, key, Item { deadline: Some(at), ..item });
    }
    Reply::flag(exists)
}

fn push(list: &mut List, left: bool, value: Vec<u8>) {
    if left { list.push_front(value) } else { list.push_back(value) }
}

fn pop(list: &mut List, left: bool) -> Option<Vec<u8>> {
    if left { list.pop_front() } else { list.pop_back() }
}

fn number(text: &[u8]) -> Result<i64, Reply> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Reply::NO_INTEGER)
}
