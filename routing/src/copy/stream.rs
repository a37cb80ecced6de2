//! Streams: what XINFO STREAM FULL says of one, and the requests that make the same.
//!
//! Commands claim pending entries only while the stream has the entry, but an entry may be deleted while it is pending. So
//! such entries are added as well, in their place, and removed when they are claimed; XSETID then sets the counters right.

use std::collections::BTreeSet;
use std::fmt;

use super::requests::Requests;
use super::value::{Value, Values};
use super::{CopyError, Destination};

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds since 1970, by custom.
    pub ms: u64,
    /// Its number among the entries of that millisecond.
    pub seq: u64,
}

impl StreamId {
    fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }

    /// The range of all ids behind this one; an empty one if this is the highest.
    pub(super) fn behind(self) -> [String; 2] {
        let next = self.seq.checked_add(1).map(|seq| Self { seq, ..self });
        let next = next.or_else(|| Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }));
        next.map_or_else(|| ["+".to_owned(), "-".to_owned()], |next| [next.to_string(), "+".to_owned()])
    }

    pub(crate) fn of(value: Value<'_>) -> Result<Self, CopyError> {
        Self::parse(value.text()?).ok_or_else(|| value.unexpected("an id"))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// All of the stream of which `info` speaks.
pub(super) fn whole(key: &[u8], info: Values<'_>, destination: &Destination, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    let entries = info.field("entries")?.many()?;
    let deleted = deleted(entries, info)?;
    let empty = entries.is_empty() && deleted.is_empty();
    let mut missing = deleted.iter().peekable();
    for entry in entries {
        let id = entry_id(entry)?;
        while let Some(earlier) = missing.next_if(|missing| **missing < id) {
            stand_in(key, *earlier, requests);
        }
        add(key, entry, requests)?;
    }
    missing.for_each(|id| stand_in(key, *id, requests));
    if empty {
        make_empty(key, requests);
    }
    groups(key, info, destination, requests)?;
    remove(key, entries, &deleted, requests)?;
    counters(key, info, destination, requests)
}

/// What is pending in a group although the stream does not have it any more.
fn deleted(entries: Values<'_>, info: Values<'_>) -> Result<BTreeSet<StreamId>, CopyError> {
    let mut ids = BTreeSet::new();
    for group in info.field("groups")?.many()? {
        for pending in group.many()?.field("pending")?.many()? {
            ids.insert(entry_id(pending)?);
        }
    }
    for entry in entries {
        if ids.is_empty() {
            break;
        }
        ids.remove(&entry_id(entry)?);
    }
    Ok(ids)
}

/// A stream without entries comes into being with a group.
pub(super) fn make_empty(key: &[u8], requests: &mut Requests<'_>) {
    requests.send(&[b"XGROUP", b"CREATE", key, b"-", b"0", b"MKSTREAM"]);
    requests.send(&[b"XGROUP", b"DESTROY", key, b"-"]);
}

fn stand_in(key: &[u8], id: StreamId, requests: &mut Requests<'_>) {
    requests.send(&[b"XADD", key, id.to_string().as_bytes(), b"", b""]);
}

/// Removes the stand-ins. Those in front of all entries are trimmed off, because XSETID cannot undo what XDEL notes in a stream
/// that knew only XTRIM.
fn remove(key: &[u8], entries: Values<'_>, deleted: &BTreeSet<StreamId>, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    let Some(highest) = deleted.last() else { return Ok(()) };
    let first = { entries }.next().map(entry_id).transpose()?;
    if first.is_none_or(|first| *highest < first) {
        requests.send(&[b"XTRIM", key, b"MAXLEN", entries.count().to_string().as_bytes()]);
        return Ok(());
    }
    let deleted: Vec<String> = deleted.iter().map(StreamId::to_string).collect();
    requests.batches(&[b"XDEL", key], deleted.iter().map(|id| Ok([id.as_bytes()])), &[])
}

/// The id of an entry, or of what is pending.
fn entry_id(entry: Value<'_>) -> Result<StreamId, CopyError> {
    StreamId::of(entry.many()?.needed("an id")?)
}

/// Adds an entry of XRANGE or XINFO; its id.
pub(super) fn add(key: &[u8], entry: Value<'_>, requests: &mut Requests<'_>) -> Result<StreamId, CopyError> {
    let mut parts = entry.many()?;
    let id = parts.needed("an id")?;
    let mut args: Vec<&[u8]> = vec![b"XADD", key, id.text()?];
    for field in parts.needed("fields")?.many()? {
        args.push(field.text()?);
    }
    requests.send(&args);
    StreamId::of(id)
}

/// Groups with their consumers and what is pending, in a stream that has the pending entries.
pub(super) fn groups(key: &[u8], info: Values<'_>, destination: &Destination, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    for group in info.field("groups")?.many()? {
        let group = group.many()?;
        let name = group.field("name")?.text()?;
        let mut create: Vec<&[u8]> = vec![b"XGROUP", b"CREATE", key, name, group.field("last-delivered-id")?.text()?];
        if let (true, Some(Value::Text(read))) = (destination.stream_counters, group.named("entries-read")) {
            create.extend_from_slice(&[b"ENTRIESREAD", read]);
        }
        requests.send(&create);
        for consumer in group.field("consumers")?.many()? {
            requests.send(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer.many()?.field("name")?.text()?]);
        }
        claims(key, name, group.field("pending")?.many()?, destination, requests)?;
    }
    Ok(())
}

/// Claims pending entries, those together that follow each other and differ only in their ids.
fn claims(key: &[u8], group: &[u8], pending: Values<'_>, destination: &Destination, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    let mut pending = pending.map(Pending::of).peekable();
    while let Some(first) = pending.next().transpose()? {
        let mut ids = vec![first.id];
        let alike = |next: &Result<Pending<'_>, CopyError>| next.as_ref().is_ok_and(|next| Pending { id: first.id, ..*next } == first);
        while let Some(next) = pending.next_if(alike).transpose()? {
            ids.push(next.id);
        }
        let delivered = first.delivered_ms.saturating_add_signed(destination.clock_ahead_ms).to_string();
        let head = [b"XCLAIM", key, group, first.consumer, b"0"];
        let tail = [b"TIME", delivered.as_bytes(), b"RETRYCOUNT", first.deliveries, b"FORCE", b"JUSTID"];
        requests.batches(&head, ids.into_iter().map(|id| Ok([id])), &tail)?;
    }
    Ok(())
}

/// An entry that a consumer has not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pending<'a> {
    id: &'a [u8],
    consumer: &'a [u8],
    delivered_ms: u64,
    deliveries: &'a [u8],
}

impl<'a> Pending<'a> {
    fn of(value: Value<'a>) -> Result<Self, CopyError> {
        let mut parts = value.many()?;
        Ok(Self {
            id: parts.needed("an id")?.text()?,
            consumer: parts.needed("a consumer")?.text()?,
            delivered_ms: parts.needed("a time")?.number()?,
            deliveries: parts.needed("a number of deliveries")?.text()?,
        })
    }
}

/// The last id, and the counters where both servers have them. An older server's stream gets those that a newer server would
/// give it.
pub(super) fn counters(key: &[u8], info: Values<'_>, destination: &Destination, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    let mut args = vec![b"XSETID".as_slice(), key, info.field("last-generated-id")?.text()?];
    if destination.stream_counters {
        let added = info.named("entries-added").map_or_else(|| info.field("length"), Ok)?.text()?;
        let deleted = info.named("max-deleted-entry-id").map_or(Ok(b"0-0".as_slice()), Value::text)?;
        args.extend_from_slice(&[b"ENTRIESADDED", added, b"MAXDELETEDID", deleted]);
    }
    requests.send(&args);
    Ok(())
}

/// The most entries that are pending in one group, if there are more than `listed`: XINFO has left some out.
pub(super) fn pending_beyond(listed: u64, info: Values<'_>) -> Result<Option<u64>, CopyError> {
    let mut most = 0;
    for group in info.field("groups")?.many()? {
        most = most.max(group.many()?.field("pel-count")?.number()?);
    }
    Ok((most > listed).then_some(most))
}

/// Whether an entry may be pending that the stream does not have any more: one in front of all entries was trimmed, and XDEL
/// leaves its highest id.
pub(super) fn may_pend_deleted(info: Values<'_>) -> Result<bool, CopyError> {
    let first = info.field("entries")?.many()?.next().map(entry_id).transpose()?;
    let deleted = info.named("max-deleted-entry-id").map(StreamId::of).transpose()?;
    let mut lowest: Option<StreamId> = None;
    for group in info.field("groups")?.many()? {
        for pending in group.many()?.field("pending")?.many()? {
            let id = entry_id(pending)?;
            lowest = Some(lowest.map_or(id, |lowest| lowest.min(id)));
        }
    }
    // Servers before 7.0 do not tell what was deleted.
    Ok(lowest.is_some_and(|lowest| first.is_none_or(|first| lowest < first) || deleted.is_none_or(|deleted| lowest <= deleted)))
}
