//! Canaries: one key of each type and encoding, taken over as DUMP and RESTORE do it.

use super::facts::Sampled;
use crate::ask::{Ask, AskError, Reply, Request, request};

/// How long a canary lives if nothing deletes it. Unit: milliseconds.
const LIFETIME_MS: &str = "60000";

/// Bytes of the source's own keys that are dumped: what costs a server no time that others notice.
const DUMPED_BYTES_MAX: u64 = 256 * 1024;

/// Of each type so many of the source's own keys are dumped.
const OWN_KEYS_EACH: usize = 3;

/// A key that was to be taken over, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canary {
    /// Its type and encoding.
    pub(super) what: String,
    /// What became of it.
    pub(super) fate: Fate,
    /// The version that its payload bears.
    pub(super) payload_version: Option<u16>,
}

/// What became of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The target holds the same.
    Same,
    /// The target refused it, in these words.
    Refused(String),
    /// The target took it, and holds something else.
    Differs,
    /// The source has no such thing, or it was gone: nothing is known.
    Unknown,
}

/// A type and encoding, how it is made, and how it is read.
struct Kind {
    what: &'static str,
    /// Lines, `$` being the key; `*N` is so many different arguments, `#N` so many with numbers before them, `=N` is N bytes.
    make: &'static [&'static str],
    /// Reads whose replies have no order of their own.
    read: &'static str,
}

/// Small values have encodings of their own, large ones others.
const KINDS: &[Kind] = &[
    Kind { what: "string", make: &["SET $ canary"], read: "GET $" },
    Kind { what: "string of an integer", make: &["SET $ 12345"], read: "GET $" },
    Kind { what: "string, compressible", make: &["SET $ =20000"], read: "GET $" },
    Kind { what: "list", make: &["RPUSH $ b a b 1"], read: "LRANGE $ 0 -1" },
    Kind { what: "list, large", make: &["RPUSH $ *2000"], read: "LRANGE $ 0 -1" },
    Kind { what: "set of integers", make: &["SADD $ 1 2 300000"], read: "SISMEMBER $ 300000" },
    Kind { what: "set", make: &["SADD $ a b c"], read: "SCARD $" },
    Kind { what: "set, large", make: &["SADD $ *1000"], read: "SCARD $" },
    Kind { what: "hash", make: &["HSET $ f 1 g 2"], read: "HMGET $ f g" },
    Kind { what: "hash, large", make: &["HSET $ *2000"], read: "HMGET $ member-0 member-1998" },
    Kind { what: "sorted set", make: &["ZADD $ 1.5 a -2 b"], read: "ZRANGE $ 0 -1 WITHSCORES" },
    Kind { what: "sorted set, large", make: &["ZADD $ #500"], read: "ZRANGE $ 0 -1 WITHSCORES" },
    Kind {
        what: "stream with a group",
        make: &["XADD $ 1-1 f v", "XADD $ 2-1 f v", "XGROUP CREATE $ g 0", "XREADGROUP GROUP g c COUNT 1 STREAMS $ >"],
        read: "XPENDING $ g",
    },
    Kind { what: "HyperLogLog", make: &["PFADD $ a b c"], read: "PFCOUNT $" },
    Kind { what: "bitmap", make: &["SETBIT $ 1000 1"], read: "BITCOUNT $" },
];

/// The scratch key of a check; all of one are in one slot.
pub(super) fn scratch(nonce: &str, n: usize) -> String {
    format!("{{interlay-check:{nonce}}}:{n}")
}

/// A line of a [`Kind`] as a request.
fn spelled(line: &str, key: &str) -> Request {
    let mut args = Vec::new();
    for word in line.split(' ') {
        let n = word.get(1..).and_then(|n| n.parse::<usize>().ok());
        match (word.as_bytes().first(), n) {
            (Some(b'$'), None) => args.push(key.as_bytes().to_vec()),
            (Some(b'*'), Some(n)) => args.extend((0..n).map(|n| format!("member-{n}").into_bytes())),
            (Some(b'#'), Some(n)) => args.extend((0..n).flat_map(|n| [n.to_string().into_bytes(), format!("member-{n}").into_bytes()])),
            (Some(b'='), Some(n)) => args.push(vec![b'x'; n]),
            _ => args.push(word.as_bytes().to_vec()),
        }
    }
    args
}

/// What flies from one side to the other.
struct Payload {
    what: String,
    /// What DUMP gave, or nothing.
    dump: Option<Vec<u8>>,
    /// What must be read of it on both sides.
    read: &'static str,
    expected: Option<interlay_resp::Frame>,
}

/// Makes canaries on the source and takes them to the target; deletes them on both sides, whatever happens. If the source takes
/// none, says why, and takes some keys of `sample`.
///
/// # Errors
/// [`AskError`] of the source, or else of the target.
pub(super) async fn fly(
    source: &mut impl Ask,
    target: &mut impl Ask,
    nonce: &str,
    sample: &[Sampled],
) -> (Result<Vec<Canary>, AskErrorOf>, Option<String>) {
    let made = make(source, nonce).await;
    // Deleted as soon as they are dumped; what is not goes by itself within a minute.
    let swept = source.ask_all(&[sweep(nonce, KINDS.len())]).await;
    let (payloads, refused) = match (made, swept) {
        (Ok(Ok(payloads)), Ok(_)) => (payloads, None),
        (Ok(Err(refused)), Ok(_)) => match dump_own(source, sample).await {
            Ok(payloads) => (payloads, Some(refused)),
            Err(error) => return (Err(AskErrorOf::Source(error)), Some(refused)),
        },
        (Err(error), _) | (_, Err(error)) => return (Err(AskErrorOf::Source(error)), None),
    };
    let count = payloads.len();
    // Another name than on the source, from where a mirror may bring the first one.
    let nonce = format!("{nonce}:target");
    let landed = land(target, &nonce, payloads).await;
    let swept = target.ask_all(&[sweep(&nonce, count)]).await;
    (swept.and(landed).map_err(AskErrorOf::Target), refused)
}

/// Whose connection was lost.
pub(super) enum AskErrorOf {
    /// The source's.
    Source(AskError),
    /// The target's.
    Target(AskError),
}

/// Deletes all; one that is not there is no matter, so that there is always something to name.
fn sweep(nonce: &str, count: usize) -> Request {
    [b"DEL".to_vec()].into_iter().chain((0..=count).map(|n| scratch(nonce, n).into_bytes())).collect()
}

/// Makes each kind and its deadline as one transaction, so that none outlives the check. The inner error is a refusal.
async fn make(source: &mut impl Ask, nonce: &str) -> Result<Result<Vec<Payload>, String>, AskError> {
    let mut payloads = Vec::new();
    for (n, kind) in KINDS.iter().enumerate() {
        let key = scratch(nonce, n);
        // MULTI alone first: behind one that is refused, the rest would run at once.
        let begun = source.ask_all(&[request("MULTI")]).await?;
        if let Some(error) = begun.first().and_then(Reply::error) {
            return Ok(Err(error.into_owned()));
        }
        let mut requests: Vec<_> = kind.make.iter().map(|line| spelled(line, &key)).collect();
        requests.extend([format!("PEXPIRE $ {LIFETIME_MS}").as_str(), "EXEC", kind.read, "DUMP $"].map(|line| spelled(line, &key)));
        let mut replies = source.ask_all(&requests).await?;
        let (dump, expected) = (replies.pop(), replies.pop());
        let exec = replies.pop();
        // What was queued is refused for its user, or because the server takes no writes; what was run, for want of memory.
        let inner = exec.iter().flat_map(|exec| exec.entries());
        if let Some(error) = replies.iter().chain(inner).chain(&exec).find_map(Reply::error) {
            return Ok(Err(error.into_owned()));
        }
        let dump = dump.as_ref().and_then(|dump| dump.bytes()).map(<[u8]>::to_vec);
        payloads.push(Payload { what: kind.what.to_owned(), dump, read: kind.read, expected });
    }
    Ok(Ok(payloads))
}

/// Dumps some of the source's own keys.
async fn dump_own(source: &mut impl Ask, sample: &[Sampled]) -> Result<Vec<Payload>, AskError> {
    let mut payloads: Vec<Payload> = Vec::new();
    for key in sample.iter().filter(|key| key.bytes <= DUMPED_BYTES_MAX && key.kind != "none") {
        let what = format!("{} of the source's own", key.kind);
        if payloads.iter().filter(|payload| payload.what == what).count() >= OWN_KEYS_EACH {
            continue;
        }
        let select = request(&format!("SELECT {}", key.db));
        let replies = source.ask_all(&[select, vec![b"DUMP".to_vec(), key.key.clone()], request("SELECT 0")]).await?;
        let dump = replies.get(1).and_then(|dump| dump.bytes()).map(<[u8]>::to_vec);
        // Its content may change, so that only its type can be compared.
        let data = key.kind.clone().into_bytes();
        let expected = Some(interlay_resp::Frame::SimpleString { data, attributes: None });
        payloads.push(Payload { what, dump, read: "TYPE $", expected });
    }
    Ok(payloads)
}

/// Restores them on the target, and reads what is there then.
async fn land(target: &mut impl Ask, nonce: &str, payloads: Vec<Payload>) -> Result<Vec<Canary>, AskError> {
    let mut canaries = Vec::new();
    for (n, payload) in payloads.into_iter().enumerate() {
        let key = scratch(nonce, n);
        let Some(dump) = payload.dump else {
            canaries.push(Canary { what: payload.what, fate: Fate::Unknown, payload_version: None });
            continue;
        };
        let payload_version = version(&dump);
        let mut restore = spelled(&format!("RESTORE $ {LIFETIME_MS}"), &key);
        restore.push(dump);
        let replies = target.ask_all(&[restore, spelled(payload.read, &key)]).await?;
        let fate = match replies.first().and_then(Reply::error) {
            Some(error) => Fate::Refused(error.into_owned()),
            None if replies.get(1).into_iter().chain(&payload.expected).any(|read| read.error().is_some()) => Fate::Unknown,
            None if replies.get(1) == payload.expected.as_ref() => Fate::Same,
            None => Fate::Differs,
        };
        canaries.push(Canary { what: payload.what, fate, payload_version });
    }
    Ok(canaries)
}

/// The version in a payload's footer: two bytes, before the checksum of eight.
fn version(dump: &[u8]) -> Option<u16> {
    let at = dump.len().checked_sub(10)?;
    Some(u16::from_le_bytes(dump.get(at..at + 2)?.try_into().ok()?))
}
