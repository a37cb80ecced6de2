//! Copying a big key in pieces: each read is short, and what it gives is put onto the secondary's lane at once.
//!
//! The other writes of the key go on meanwhile, and these effects have to reach the secondary in between for the copy to be
//! exact, although their replies may differ there until it is whole:
//!
//! | type | effects meanwhile |
//! |---|---|
//! | string, set, hash, sorted set | those to named elements, in their order: a piece overwrites what came of less than all of it |
//! | list | none: a write begins the copy anew, because it moves the elements that are not yet read |
//! | stream | XDEL and XTRIM; nothing of XADD, XSETID and groups, which come with the last piece |
//!
//! So what takes elements by rank (ZPOPMIN, ZPOPMAX, ZREMRANGEBYRANK) goes there as ZREM of those taken, and what a command
//! computes from the key and stores elsewhere (COPY, BITOP, *STORE) is to be copied from there. DEL, SET and their like end
//! the copy or go on as effects: what is read after them is what they have left.
//!
//! Pending entries of a stream whose entry was deleted cannot be claimed. Where there may be such, the stream is to be copied
//! whole.

use super::requests::Requests;
use super::stream::{self, StreamId};
use super::value::{Value, Values};
use super::{CopyError, Destination, Kind, elements, fields, held, scores};

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// From this byte on.
    String(u64),
    /// From this index on.
    List(u64),
    /// From this cursor of SSCAN on.
    Set(u64),
    /// From this cursor of HSCAN on.
    Hash(u64),
    /// From this cursor of ZSCAN on.
    Zset(u64),
    /// Behind this entry.
    Stream(StreamId),
    /// The rest behind this entry, and the groups with at most so many pending entries each.
    Groups(StreamId, u64),
}

impl Position {
    /// Where the copy of a key begins.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::String(0),
            Kind::List => Self::List(0),
            Kind::Set => Self::Set(0),
            Kind::Hash => Self::Hash(0),
            Kind::Zset => Self::Zset(0),
            Kind::Stream => Self::Stream(StreamId::default()),
        }
    }

    /// Whether that is where it begins.
    pub(crate) fn is_start(self) -> bool {
        match self {
            Self::String(at) | Self::List(at) | Self::Set(at) | Self::Hash(at) | Self::Zset(at) => at == 0,
            Self::Stream(after) => after == StreamId::default(),
            Self::Groups(..) => false,
        }
    }

    /// Appends the requests that read the next piece of `key`, about `count` elements, or bytes of a string; and says how many
    /// they are. `count` is at least 1, and the same until the end.
    pub fn read(self, key: &[u8], count: u32, out: &mut Vec<u8>) -> u32 {
        let mut requests = Requests { out, count: 0 };
        let n = count.to_string();
        let n = n.as_bytes();
        let last = |from: u64| from.saturating_add(u64::from(count)).saturating_sub(1).to_string();
        match self {
            Self::String(from) => requests.send(&[b"GETRANGE", key, from.to_string().as_bytes(), last(from).as_bytes()]),
            Self::List(from) => requests.send(&[b"LRANGE", key, from.to_string().as_bytes(), last(from).as_bytes()]),
            Self::Set(cursor) => requests.send(&[b"SSCAN", key, cursor.to_string().as_bytes(), b"COUNT", n]),
            Self::Hash(cursor) => requests.send(&[b"HSCAN", key, cursor.to_string().as_bytes(), b"COUNT", n]),
            Self::Zset(cursor) => requests.send(&[b"ZSCAN", key, cursor.to_string().as_bytes(), b"COUNT", n]),
            Self::Stream(after) => {
                let [first, last] = after.behind();
                requests.send(&[b"XRANGE", key, first.as_bytes(), last.as_bytes(), b"COUNT", n]);
            }
            Self::Groups(after, pending) => {
                let [first, last] = after.behind();
                requests.send(&[b"XRANGE", key, first.as_bytes(), last.as_bytes()]);
                requests.send(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", pending.to_string().as_bytes()]);
            }
        }
        requests.count
    }

    /// Appends the requests that add to the copy what [`Self::read`] has found, and says how many they are, and where the
    /// next piece begins; none if the copy is whole, but for the key's expiry. The first piece deletes what was there.
    ///
    /// # Errors
    ///
    /// [`CopyError`]; then nothing is appended.
    pub fn apply(
        self,
        key: &[u8],
        count: u32,
        replies: &[u8],
        destination: &Destination,
        out: &mut Vec<u8>,
    ) -> Result<(u32, Option<Self>), CopyError> {
        let start = out.len();
        let mut requests = Requests { out, count: 0 };
        if self.is_start() {
            requests.send(&[b"DEL", key]);
        }
        let next = self.piece(key, count, replies, destination, &mut requests);
        let written = requests.count;
        if next.is_err() {
            out.truncate(start);
        }
        next.map(|next| (written, next))
    }

    fn piece(
        self,
        key: &[u8],
        count: u32,
        replies: &[u8],
        destination: &Destination,
        requests: &mut Requests<'_>,
    ) -> Result<Option<Self>, CopyError> {
        let mut values = Values(replies);
        let first = values.needed("a piece of the key")?;
        // Nothing at all: behind the end, or the key is gone.
        let found = match held(replies) {
            Err(CopyError::Changed) if !matches!(first, Value::Error(_)) => false,
            Err(error) => return Err(error),
            Ok(_) => !matches!(self, Self::String(_)) || !first.text()?.is_empty(),
        };
        if !found && self.is_start() && !matches!(self, Self::Stream(_)) {
            return Err(CopyError::Changed);
        }
        let full = |read: usize| read as u64 >= u64::from(count);
        Ok(match self {
            Self::String(at) if found => {
                let bytes = first.text()?;
                requests.send(&[b"SETRANGE", key, at.to_string().as_bytes(), bytes]);
                full(bytes.len()).then(|| Self::String(at + bytes.len() as u64))
            }
            Self::List(at) if found => {
                let values = first.many()?;
                elements(b"RPUSH", key, values, requests)?;
                let read = values.count();
                full(read).then(|| Self::List(at + read as u64))
            }
            Self::String(_) | Self::List(_) => None,
            Self::Set(at) => scanned(at, first.many()?, |values| elements(b"SADD", key, values, requests))?.map(Self::Set),
            Self::Hash(at) => scanned(at, first.many()?, |values| fields(key, values, requests))?.map(Self::Hash),
            Self::Zset(at) => scanned(at, first.many()?, |values| scores(key, values, requests))?.map(Self::Zset),
            Self::Stream(after) => {
                let mut last = after;
                let mut read = 0;
                for entry in first.many()? {
                    last = stream::add(key, entry, requests)?;
                    read += 1;
                }
                Some(if full(read) { Self::Stream(last) } else { Self::Groups(last, u64::from(count)) })
            }
            Self::Groups(after, listed) => {
                let info = held(values.0)?.many()?;
                let mut last = after;
                for entry in first.many()? {
                    last = stream::add(key, entry, requests)?;
                }
                if let Some(most) = stream::pending_beyond(listed, info)? {
                    // Twice as many, for those that come meanwhile.
                    return Ok(Some(Self::Groups(last, most.saturating_mul(2))));
                }
                if last == StreamId::default() {
                    stream::make_empty(key, requests);
                }
                if stream::may_pend_deleted(info)? {
                    return Err(CopyError::Indivisible);
                }
                stream::groups(key, info, destination, requests)?;
                stream::counters(key, info, destination, requests)?;
                None
            }
        })
    }
}

/// Hands on what a scan has found, and says where it goes on.
fn scanned<'a>(
    cursor: u64,
    mut reply: Values<'a>,
    write: impl FnOnce(Values<'a>) -> Result<(), CopyError>,
) -> Result<Option<u64>, CopyError> {
    let next = reply.needed("a cursor")?.number()?;
    let found = reply.needed("what a scan finds")?.many()?;
    // Of a sparse table the first scan may find nothing, and goes on; only that of no key is over as well.
    if cursor == 0 && next == 0 && found.is_empty() {
        return Err(CopyError::Changed);
    }
    write(found)?;
    Ok((next > 0).then_some(next))
}
