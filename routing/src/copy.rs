//! Copying one key by what is in it, for servers that refuse each other's DUMP payloads.
//!
//! In: a key's type and the authority's replies to reads of it, in RESP2 or RESP3. Out: those reads, and the requests
//! that make the key anew on the secondary. A key is copied whole, by [`reads`] and [`rebuild`], or in pieces, by
//! [`Position`].
//!
//! Complete: order and elements of lists, scores to the last bit, expiry; of streams entries, ids, last id, counters,
//! groups, consumers and pending entries, those of deleted entries too. What no command can set stays behind: when a
//! consumer was last seen, and on servers before 7.0 a stream's counters.

mod chunk;
mod requests;
mod stream;
mod value;

pub use chunk::Position;
pub use stream::StreamId;

use requests::Requests;
pub(crate) use value::{Value, Values};

/// What a key holds, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string; also what PFADD and SETBIT make.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A hash.
    Hash,
    /// A sorted set; also what GEOADD makes.
    Zset,
    /// A stream.
    Stream,
}

impl Kind {
    /// The word for it in TYPE's reply.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }

    /// What TYPE's reply says. None for no key, and for types of modules, which only DUMP can copy.
    #[must_use]
    pub fn of(type_reply: &[u8]) -> Option<Self> {
        Some(match type_reply {
            b"+string\r\n" => Self::String,
            b"+list\r\n" => Self::List,
            b"+set\r\n" => Self::Set,
            b"+hash\r\n" => Self::Hash,
            b"+zset\r\n" => Self::Zset,
            b"+stream\r\n" => Self::Stream,
            _ => return None,
        })
    }
}

/// What a copy must know of the server that it is made on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Whether XSETID takes ENTRIESADDED and MAXDELETEDID, and XGROUP CREATE takes ENTRIESREAD: since Redis 7.0.
    pub stream_counters: bool,
    /// How far its clock is ahead of the clock of the server that was read. Unit: milliseconds.
    pub clock_ahead_ms: i64,
}

/// Why a key cannot be copied from what was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// To be begun anew, with TYPE.
    #[error("the key is gone, or has another type than before")]
    Changed,
    /// To be copied whole.
    #[error("a stream whose pending entries may be deleted has no copy in pieces")]
    Indivisible,
    /// An error, or a reply that is none to such a read.
    #[error("{found} where {expected} was expected")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// The beginning of what came.
        found: String,
    },
}

/// Appends the requests that read all of `key`, and says how many they are. Their replies are given to [`rebuild`] back to
/// back.
pub fn reads(kind: Kind, key: &[u8], out: &mut Vec<u8>) -> u32 {
    let args: &[&[u8]] = match kind {
        Kind::String => &[b"GET", key],
        Kind::List => &[b"LRANGE", key, b"0", b"-1"],
        Kind::Set => &[b"SMEMBERS", key],
        Kind::Hash => &[b"HGETALL", key],
        Kind::Zset => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        // COUNT 0 is for all entries, and all that are pending.
        Kind::Stream => &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"],
    };
    interlay_resp::encode_request(args, out);
    1
}

/// Appends the transaction that makes `key` anew from the `replies` to [`reads`], and says how many replies it gets; the
/// last of them is for [`refusal`]. `deadline_ms` is when the key expires by the destination's clock, in milliseconds since
/// 1970; 0 for never.
///
/// # Errors
///
/// [`CopyError`]; then nothing is appended.
pub fn rebuild(
    kind: Kind,
    key: &[u8],
    deadline_ms: u64,
    replies: &[u8],
    destination: &Destination,
    out: &mut Vec<u8>,
) -> Result<u32, CopyError> {
    let start = out.len();
    let mut requests = Requests { out, count: 0 };
    let made = make(kind, key, deadline_ms, replies, destination, &mut requests);
    let count = requests.count;
    if made.is_err() {
        out.truncate(start);
    }
    made.map(|()| count)
}

fn make(
    kind: Kind,
    key: &[u8],
    deadline_ms: u64,
    replies: &[u8],
    destination: &Destination,
    requests: &mut Requests<'_>,
) -> Result<(), CopyError> {
    let value = held(replies)?;
    requests.send(&[b"MULTI"]);
    requests.send(&[b"DEL", key]);
    match kind {
        Kind::String => requests.send(&[b"SET", key, value.text()?]),
        Kind::List => elements(b"RPUSH", key, value.many()?, requests)?,
        Kind::Set => elements(b"SADD", key, value.many()?, requests)?,
        Kind::Hash => fields(key, value.many()?, requests)?,
        Kind::Zset => scores(key, value.many()?, requests)?,
        Kind::Stream => stream::whole(key, value.many()?, destination, requests)?,
    }
    if deadline_ms > 0 {
        requests.send(&[b"PEXPIREAT", key, deadline_ms.to_string().as_bytes()]);
    }
    requests.send(&[b"EXEC"]);
    Ok(())
}

/// What a server says against the transaction of [`rebuild`], by its reply to EXEC. None if it was carried out.
#[must_use]
pub fn refusal(exec_reply: &[u8]) -> Option<String> {
    match Values(exec_reply).next() {
        Some(Value::Many(mut values)) => values.find_map(|value| match value {
            Value::Error(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }),
        Some(Value::Error(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => Some("no reply of EXEC".to_owned()),
    }
}

/// The first reply, if it says that there is a key of the type that was read.
fn held(replies: &[u8]) -> Result<Value<'_>, CopyError> {
    let value = Values(replies).needed("a reply")?;
    match value {
        Value::Nil => Err(CopyError::Changed),
        Value::Many(values) if values.is_empty() => Err(CopyError::Changed),
        // XINFO has no code of its own for it.
        Value::Error(text) if text.starts_with(b"WRONGTYPE ") || text == b"ERR no such key" => Err(CopyError::Changed),
        Value::Error(_) => Err(value.unexpected("what the key holds")),
        _ => Ok(value),
    }
}

fn elements<'a>(command: &'a [u8], key: &'a [u8], values: Values<'a>, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    requests.batches(&[command, key], values.map(|value| Ok([value.text()?])), &[])
}

fn fields(key: &[u8], values: Values<'_>, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    requests.batches(&[b"HSET", key], pairs(values), &[])
}

fn scores(key: &[u8], values: Values<'_>, requests: &mut Requests<'_>) -> Result<(), CopyError> {
    let scored = pairs(values).map(|pair| pair.map(|[member, score]| [score, member]));
    requests.batches(&[b"ZADD", key], scored, &[])
}

/// Two and two: flat in RESP2 and in maps, each pair an array of its own in other replies of RESP3.
fn pairs<'a>(mut values: Values<'a>) -> impl Iterator<Item = Result<[&'a [u8]; 2], CopyError>> {
    std::iter::from_fn(move || {
        let first = values.next()?;
        let mut pair = |mut rest: Value<'a>| {
            if let Value::Many(mut inner) = rest {
                rest = inner.needed("a member")?;
                return Ok([rest.text()?, inner.needed("its score")?.text()?]);
            }
            Ok([rest.text()?, values.needed("a value")?.text()?])
        };
        Some(pair(first))
    })
}

#[cfg(test)]
mod tests;
