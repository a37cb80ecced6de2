//! What Interlay says of its own to the servers: copies of keys, and effects in other words than the client's.

use std::collections::{HashMap, HashSet, VecDeque};

use interlay_routing::Side;

use super::{Checker, Index, Instant, Record, Run, Verdict, shown};
use crate::sim::server::{Part, Server, Tag};
use crate::sim::store::{Key, Store};
use crate::sim::workload::Args;

/// What servers have been asked for copies.
#[derive(Default)]
pub(super) struct Copies {
    /// What was read for a copy, by the payload's number: its key, and when.
    read: HashMap<(&'static str, u64), (u32, Key, Index)>,
    /// When a key was last copied.
    made: HashMap<(u32, Key), Index>,
    /// Strings that were read for a batch, by their value: by whom, and when.
    strings: HashMap<(&'static str, u32, Key, Vec<u8>), VecDeque<Index>>,
    /// The key of a batch that was written last.
    brought: Option<(u32, Key)>,
    /// Keys of which pieces are copied, and whether none was refused so far.
    pieces: HashMap<(u32, Key), bool>,
    /// When the secondary's databases were last emptied.
    pub(super) emptied: HashMap<u32, Index>,
    /// When the authority has swapped which databases, oldest first.
    pub(super) swapped: Vec<((Index, Tag), u32, u32)>,
    /// When scans of the secondary's databases have begun that are under way.
    scanning: HashMap<u32, Index>,
    /// When a scan has begun that came to its end, and the keys of the database by then.
    scanned: HashMap<u32, (Index, HashSet<Key>)>,
}

impl Copies {
    /// Whether `args` are another way to say what `record` came to on the authority.
    pub(super) fn stands_for(&self, args: &Args, record: &Record, authority: Side, apart: Instant) -> bool {
        let Some(Run { reply, at, .. }) = &record.ran[authority] else { return false };
        if args.len() < 3 || record.args.get(1) != Some(&args[1]) {
            return false;
        }
        let near =
            |deadline: Option<u64>, asked: &[u8]| deadline.zip(number(asked)).is_some_and(|(one, other)| one.abs_diff(other) <= apart);
        let relative = |unit: u64| number(&record.args[2]).map(|ttl| at + unit * ttl);
        match (&*args[0], &*record.args[0]) {
            (b"SREM", b"SPOP") => reply.strip_suffix(b"\r\n").is_some_and(|reply| reply.ends_with(&[b"\r\n", &*args[2]].concat())),
            (b"PEXPIREAT", b"EXPIRE") => near(relative(1000), &args[2]),
            (b"PEXPIREAT", b"PEXPIRE") => near(relative(1), &args[2]),
            (b"PEXPIREAT", b"PEXPIREAT") => args[2] == record.args[2],
            // No value is written twice; and one with a deadline is not written without.
            (b"SET", b"SET") => args[2] == record.args[2] && expires(args) == expires(&record.args),
            _ => false,
        }
    }

    /// The secondary has answered a SCAN.
    pub(super) fn scanned(&mut self, now: Index, part: &Part, store: &Store) {
        let db = part.session.db;
        if part.args[1] == b"0" {
            self.scanning.insert(db, now);
        }
        if part.reply.starts_with(b"*2\r\n$1\r\n0\r\n")
            && let Some(begun) = self.scanning.remove(&db)
        {
            let keys = store.keys().filter(|(of, _)| *of == db).map(|(_, key)| key.clone());
            self.scanned.insert(db, (begun, keys.collect()));
        }
    }

    /// Whether every key of a write was copied after it or found to be gone, wherever its database has gone since.
    pub(super) fn have_brought(&self, tag: Tag, record: &Record, since: Index) -> bool {
        let keys: &[Vec<u8>] = match &*record.args[0] {
            b"EVAL" => &record.args[3..],
            b"RENAME" | b"SMOVE" | b"LMOVE" | b"BLMOVE" | b"RPOPLPUSH" | b"BRPOPLPUSH" => &record.args[1..3],
            b"DEL" => &record.args[1..],
            _ => &record.args[1..2],
        };
        // Where MOVE has moved it.
        let goal = record.args.get(2).filter(|_| record.args[0] == b"MOVE").and_then(|db| number(db)).map(|db| db as u32);
        let mut db = goal.unwrap_or(record.session.db);
        let later = self.swapped.iter().filter(|(at, ..)| *at > (since, tag)).map(|(_, a, b)| {
            db = if db == *a {
                *b
            } else if db == *b {
                *a
            } else {
                db
            };
            db
        });
        let dbs: Vec<u32> = std::iter::once(goal.unwrap_or(record.session.db)).chain(later).collect();
        let emptied = dbs.iter().any(|db| self.emptied.get(db).is_some_and(|emptied| *emptied > since));
        let is_made = |key: &Key| dbs.iter().any(|db| self.made.get(&(*db, key.clone())).is_some_and(|made| *made > since));
        let is_gone = |key: &Key| dbs.iter().any(|db| self.scanned.get(db).is_some_and(|(at, held)| *at > since && !held.contains(key)));
        emptied || keys.iter().all(|key| is_made(key) || is_gone(key))
    }
}

/// Whether what was executed together is a copy of a key.
pub(super) fn is_rebuilt(parts: &[Part]) -> bool {
    parts.len() > 1 && parts.iter().all(|part| part.tag.is_none()) && parts[0].args[0] == b"DEL"
}

impl Checker {
    /// Finds whose request a server has executed. None if it was Interlay's own.
    pub(super) fn known(&mut self, side: Side, authority: Side, part: Part) -> Result<Option<(Tag, Part)>, String> {
        if let Some(tag) = part.tag {
            return Ok(Some((tag, part)));
        }
        let db = part.session.db;
        let key = part.args.get(1).cloned().unwrap_or_default();
        match &*part.args[0] {
            b"MEMORY" | b"PEXPIRETIME" | b"PTTL" | b"TYPE" | b"GET" | b"LRANGE" | b"SMEMBERS" | b"SCAN" | b"EXISTS" | b"TIME" => Ok(None),
            b"GETRANGE" => {
                if let Some(value) = text(&part.reply) {
                    self.copies.strings.entry((name(side), db, key, value)).or_default().push_back(self.executions);
                }
                Ok(None)
            }
            b"INFO" if side != authority && !part.reply.windows(5).any(|bytes| bytes == b"keys=") => {
                (0..16).for_each(|db| _ = self.copies.emptied.insert(db, self.executions));
                Ok(None)
            }
            b"STRLEN" | b"LLEN" | b"SCARD" | b"SSCAN" | b"SISMEMBER" | b"INFO" | b"PING" => Ok(None),
            b"FUNCTION" if (key == b"DUMP") == (side == authority) => Ok(None),
            b"DUMP" => {
                if let Some(serial) = serial(&part.reply) {
                    self.copies.read.insert((name(side), serial), (db, key, self.executions));
                }
                Ok(None)
            }
            _ if side == authority => Err(format!("{} was executed by the {side}, which is in charge", shown(&part.args))),
            b"DEL" => {
                self.copies.pieces.insert((db, key), true);
                Ok(None)
            }
            b"SETRANGE" | b"RPUSH" | b"SADD" | b"PERSIST" | b"PEXPIREAT" if self.copies.pieces.contains_key(&(db, key.clone())) => {
                let place = (db, key);
                if part.failed {
                    self.copies.pieces.insert(place, false);
                } else if matches!(&*part.args[0], b"PERSIST" | b"PEXPIREAT") && self.copies.pieces.remove(&place) == Some(true) {
                    self.copies.made.insert(place, self.executions);
                }
                Ok(None)
            }
            b"RESTORE" if part.failed => Ok(None),
            b"RESTORE" => {
                let serial = part.args[3].get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes).unwrap_or_default();
                let Some((of_db, of_key, index)) = self.copies.read.get(&(name(authority), serial)) else {
                    return Err(format!("{} was never dumped", shown(&part.args)));
                };
                if (*of_db, of_key) != (db, &key) {
                    return Err(format!("{} is a copy of another key", shown(&part.args)));
                }
                // Effects ahead of it are of earlier changes, effects behind it of later ones.
                if *index < self.last_effect.0 {
                    return Err(format!("{} is older than an effect ahead of it", shown(&part.args)));
                }
                self.last_effect = (*index, Tag::MAX);
                self.copies.pieces.remove(&(db, key.clone()));
                self.copies.made.insert((db, key), self.executions);
                Ok(None)
            }
            b"UNLINK" => {
                self.copies.pieces.remove(&(db, key.clone()));
                self.copies.made.insert((db, key), self.executions);
                Ok(None)
            }
            _ => {
                let after = self.last_effect.0;
                let candidates = self.records.iter().enumerate().filter(|(tag, record)| {
                    let index = record.ran[authority].as_ref().filter(|run| !run.failed).map_or(0, |run| run.index);
                    record.session.db == db
                        && record.ran[side].is_none()
                        && (index, *tag) > (after, if index == after { self.last_effect.1 } else { 0 })
                        && self.copies.stands_for(&part.args, record, authority, self.apart)
                });
                let first = candidates.min_by_key(|(tag, record)| (record.ran[authority].as_ref().map(|run| run.index), *tag));
                match first.map(|(tag, _)| tag) {
                    Some(tag) => {
                        // It may as well belong to a batch, whose deadline follows.
                        self.copies.brought = (*part.args[0] == *b"SET").then(|| (db, part.args[1].clone()));
                        Ok(Some((tag, part)))
                    }
                    None if self.is_brought(authority, &part) => Ok(None),
                    None => Err(format!("{} was executed by the {side} for nobody", shown(&part.args))),
                }
            }
        }
    }

    /// Whether this belongs to a batch of strings.
    fn is_brought(&mut self, authority: Side, part: &Part) -> bool {
        let place = (part.session.db, part.args[1].clone());
        match &*part.args[0] {
            b"PEXPIREAT" => self.copies.brought.as_ref() == Some(&place),
            b"SET" => {
                let read = (name(authority), place.0, place.1.clone(), part.args[2].clone());
                // Effects ahead of it are of earlier changes, effects behind it of later ones.
                let Some(reads) = self.copies.strings.get_mut(&read) else { return false };
                while reads.pop_front_if(|index| *index < self.last_effect.0).is_some() {}
                let Some(index) = reads.pop_front() else { return false };
                self.last_effect = (index, Tag::MAX);
                self.copies.brought = Some(place.clone());
                if !part.failed {
                    self.copies.pieces.remove(&place);
                    self.copies.made.insert(place, self.executions);
                }
                true
            }
            _ => false,
        }
    }

    /// A copy by type was made.
    pub(super) fn rebuilt(&mut self, _side: Side, _server: &Server, parts: &[Part]) -> Verdict {
        let (db, key) = (parts[0].session.db, parts[0].args[1].clone());
        if parts.iter().any(|part| part.args.get(1) != Some(&key)) {
            return Err(format!("a copy of {} writes other keys", shown(&[&key])));
        }
        if parts.iter().all(|part| !part.failed) {
            self.copies.pieces.remove(&(db, key.clone()));
            self.copies.made.insert((db, key), self.executions);
        }
        Ok(())
    }
}

/// The bytes of a bulk string.
fn text(reply: &[u8]) -> Option<Vec<u8>> {
    let head = reply.iter().position(|byte| *byte == b'\n').filter(|_| reply.starts_with(b"$"))? + 1;
    Some(reply.get(head..reply.len() - 2)?.to_vec())
}

/// The number of a payload in DUMP's reply.
fn serial(reply: &[u8]) -> Option<u64> {
    let head = reply.iter().position(|byte| *byte == b'\n')? + 1;
    reply.get(head + 1..head + 9)?.try_into().ok().map(u64::from_le_bytes)
}

/// Whether a SET gives a deadline.
fn expires(args: &Args) -> bool {
    args[3..].iter().any(|arg| matches!(&**arg, b"EX" | b"PX" | b"PXAT"))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn name(side: Side) -> &'static str {
    if side == Side::Source { "source" } else { "target" }
}
