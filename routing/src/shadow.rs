//! What two servers' replies to the same read have to have in common.
//!
//! Most replies are the same bytes. Those whose elements have no defined order are compared as sets, those of scores and
//! distances as numbers, which servers of other versions write with other digits, and deadlines by what the clocks here say.
//! A reply that says something of the server, of chance, or of how a value is kept is not compared.

use interlay_resp::Limits;
use xxhash_rust::xxh3::xxh3_128;

use crate::command::{Command, Flags};
use crate::print::Print;
use crate::reply::{bulk, is_error, replies};

/// Bytes of a reply that are kept to be shown.
const HEAD_BYTES: usize = 96;

/// What deadlines may be apart without being different: an offset between clocks is known no better than this.
const DEADLINE_APART_MS: u64 = 250;

/// How a value that has counted distinct elements begins. PFCOUNT leaves in it what it has counted, on the server it is sent to.
const HYPERLOGLOG: &[u8] = b"HYLL";

/// Commands, or beginnings of their names, whose replies are not about the data alone, whatever their server's hints say.
const NOT_COMPARED: &[&str] =
    &["debug", "dump", "hexpiretime", "hpexpiretime", "hpttl", "httl", "memory|", "object|", "pttl", "ttl", "xinfo|", "xpending"];

/// How the replies to a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Byte by byte.
    Exact,
    /// As a set of elements.
    Unordered,
    /// As a set of pairs.
    Pairs,
    /// Numbers as numbers, the rest byte by byte.
    Numbers,
    /// As moments, in units of so many milliseconds.
    Deadline { unit_ms: u64 },
}

impl Way {
    /// How replies to `command` are compared; none if they cannot be.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let (name, flags) = (&*command.name, command.flags);
        let is_not = |unlike: &&str| if unlike.ends_with('|') { name.starts_with(*unlike) } else { name == *unlike };
        match name {
            "hgetall" => Some(Self::Pairs),
            "expiretime" => Some(Self::Deadline { unit_ms: 1000 }),
            "pexpiretime" => Some(Self::Deadline { unit_ms: 1 }),
            _ if flags.contains(Flags::NONDETERMINISTIC_OUTPUT) || flags.contains(Flags::MODULE) => None,
            _ if NOT_COMPARED.iter().any(is_not) => None,
            _ if flags.contains(Flags::NONDETERMINISTIC_ORDER) => Some(Self::Unordered),
            _ if name.starts_with('z') || name.starts_with("geo") => Some(Self::Numbers),
            _ => Some(Self::Exact),
        }
    }
}

/// What a reply said, in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gist {
    /// All of it.
    Whole(Print),
    /// So many elements, whose prints have this sum, in a reply of this kind.
    Elements { kind: u8, count: u64, sum: u128 },
    /// A moment, in milliseconds by the server's clock, and by the one here.
    At { there_ms: u64, here_ms: u64 },
    /// The key is of another type.
    WrongType,
    /// The server could not answer.
    Refused,
}

impl Gist {
    /// What `reply` said; none if that cannot be compared. `here` moves a moment of the server's to the clock here.
    pub(crate) fn of(way: Way, reply: &[u8], limits: &Limits, here: impl Fn(u64) -> u64) -> Option<Self> {
        if is_error(reply) {
            let text = if reply.starts_with(b"!") { body(reply) } else { reply.get(1..).unwrap_or_default() };
            return Some(if text.starts_with(b"WRONGTYPE") { Self::WrongType } else { Self::Refused });
        }
        let sum = |prints: &mut dyn Iterator<Item = u128>| {
            let (count, sum) = prints.fold((0, 0_u128), |(count, sum), print| (count + 1, sum.wrapping_add(print)));
            Self::Elements { kind: reply.first().copied().unwrap_or_default(), count, sum }
        };
        Some(match way {
            _ if bulk(reply).is_some_and(|value| value.starts_with(HYPERLOGLOG)) => return None,
            Way::Exact => Self::Whole(Print::of(reply)),
            Way::Deadline { unit_ms } => match crate::reply::number(reply) {
                Some(at) => {
                    let there_ms = at.saturating_mul(unit_ms);
                    Self::At { there_ms, here_ms: here(there_ms) }
                }
                None => Self::Whole(Print::of(reply)),
            },
            Way::Unordered => sum(&mut replies(body(reply), limits).map(|(element, _)| xxh3_128(element))),
            Way::Pairs => {
                let mut elements = replies(body(reply), limits).map(|(element, _)| element);
                sum(&mut std::iter::from_fn(|| {
                    let (key, value) = (xxh3_128(elements.next()?), xxh3_128(elements.next().unwrap_or_default()));
                    Some(xxh3_128(&[key.to_le_bytes(), value.to_le_bytes()].concat()))
                }))
            }
            Way::Numbers => {
                let mut plain = Vec::with_capacity(reply.len());
                as_numbers(reply, limits, &mut plain);
                Self::Whole(Print::of(&plain))
            }
        })
    }

    /// Whether both say the same.
    pub(crate) fn agrees(self, other: Self) -> bool {
        match (self, other) {
            // One that a client has given is the same number on both, and one that a server has reckoned the same moment.
            (Self::At { there_ms, here_ms }, Self::At { there_ms: other_there_ms, here_ms: other_here_ms }) => {
                there_ms.abs_diff(other_there_ms).min(here_ms.abs_diff(other_here_ms)) <= DEADLINE_APART_MS
            }
            _ => self == other,
        }
    }
}

/// What stands behind the first line of a reply.
fn body(reply: &[u8]) -> &[u8] {
    reply.iter().position(|byte| *byte == b'\n').and_then(|end| reply.get(end + 1..)).unwrap_or_default()
}

/// Writes `reply` with every number in it as the bits of it.
fn as_numbers(reply: &[u8], limits: &Limits, out: &mut Vec<u8>) {
    let text = match reply.first() {
        Some(b'*' | b'~' | b'%') => {
            out.extend_from_slice(reply.split(|byte| *byte == b'\n').next().unwrap_or_default());
            return replies(body(reply), limits).for_each(|(element, _)| as_numbers(element, limits, out));
        }
        Some(b'$') => bulk(reply),
        Some(b',') => reply.get(1..).map(<[u8]>::trim_ascii_end),
        _ => None,
    };
    match text.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse::<f64>().ok()) {
        Some(number) => out.extend_from_slice(&number.to_bits().to_le_bytes()),
        None => out.extend_from_slice(reply),
    }
}

/// A reply's beginning, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    bytes: Box<[u8]>,
    len: usize,
}

impl Head {
    pub(crate) fn of(reply: &[u8]) -> Self {
        Self { bytes: reply.get(..HEAD_BYTES).unwrap_or(reply).into(), len: reply.len() }
    }

    /// On one line, for a person.
    pub(crate) fn shown(&self) -> String {
        let text = self.bytes.escape_ascii().to_string();
        if self.len > self.bytes.len() { format!("{text}... ({} bytes)", self.len) } else { text }
    }
}

/// A read that is on the secondary's lane to be compared: what the authority has replied.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) way: Way,
    pub(crate) expected: Gist,
    pub(crate) head: Head,
    /// When the authority may have carried it out, at the earliest.
    pub(crate) since_ms: u64,
}

/// A read that the sides have answered differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowMismatch {
    /// When that was noticed, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Its database.
    pub db: u32,
    /// The command's name.
    pub command: Box<str>,
    /// Its first key.
    pub key: Box<[u8]>,
    /// The beginning of the source's reply, on one line.
    pub source: String,
    /// The same of the target's.
    pub target: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    fn way(name: &str) -> Option<Way> {
        let request: Vec<&str> = name.split('|').chain(["k", "x", "y"]).collect();
        let mut bytes = Vec::new();
        interlay_resp::encode_request(&request, &mut bytes);
        let table = CommandTable::builtin();
        Way::of(table.lookup(crate::keys::view(&bytes)).expect("a command of the built-in table"))
    }

    fn gist(way: Way, reply: &str) -> Option<Gist> {
        Gist::of(way, reply.as_bytes(), &Limits::default(), |at| at)
    }

    #[test]
    fn each_reads_replies_are_compared_as_suits_them() {
        for (names, expected) in [
            (
                &["get", "mget", "exists", "strlen", "lrange", "xrange", "type", "hget", "hmget", "smismember", "getbit"][..],
                Some(Way::Exact),
            ),
            (&["smembers", "sinter", "sunion", "sdiff", "hkeys", "hvals"], Some(Way::Unordered)),
            (&["hgetall"], Some(Way::Pairs)),
            (&["zrange", "zscore", "zmscore", "geopos", "geodist"], Some(Way::Numbers)),
            (&["expiretime"], Some(Way::Deadline { unit_ms: 1000 })),
            (&["pexpiretime"], Some(Way::Deadline { unit_ms: 1 })),
            (
                &[
                    "srandmember",
                    "hrandfield",
                    "zrandmember",
                    "randomkey",
                    "ttl",
                    "pttl",
                    "dump",
                    "object|encoding",
                    "memory|usage",
                    "xinfo|stream",
                    "xpending",
                    "scan",
                    "sscan",
                ],
                None,
            ),
        ] {
            for name in names {
                assert_eq!(way(name), expected, "{name}");
            }
        }
    }

    #[test]
    fn order_matters_where_there_is_one() {
        let (ab, ba) = ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
        assert_ne!(gist(Way::Exact, ab), gist(Way::Exact, ba));
        assert_eq!(gist(Way::Unordered, ab), gist(Way::Unordered, ba));
        assert_ne!(gist(Way::Unordered, ab), gist(Way::Unordered, "*2\r\n$1\r\na\r\n$1\r\na\r\n"));
        assert_ne!(gist(Way::Unordered, ab), gist(Way::Unordered, "*0\r\n"));
        assert_ne!(gist(Way::Pairs, ab), gist(Way::Pairs, ba), "a field is not its value");
        let pairs = |one: &str, two: &str| gist(Way::Pairs, &format!("%2\r\n{one}{two}"));
        let (one, two) = ("$1\r\na\r\n$1\r\n1\r\n", "$1\r\nb\r\n$1\r\n2\r\n");
        assert_eq!(pairs(one, two), pairs(two, one));
        assert_ne!(pairs(one, two), pairs("$1\r\na\r\n$1\r\n2\r\n", "$1\r\nb\r\n$1\r\n1\r\n"));
    }

    #[test]
    fn scores_are_numbers_and_deadlines_moments() {
        let scores = |digits: &str| gist(Way::Numbers, &format!("*2\r\n$1\r\nm\r\n${}\r\n{digits}\r\n", digits.len()));
        assert_eq!(scores("0.1"), scores("0.10000000000000001"));
        assert_ne!(scores("0.1"), scores("0.2"));
        assert_eq!(gist(Way::Numbers, ",1e3\r\n"), gist(Way::Numbers, ",1000\r\n"));
        let at = |reply| gist(Way::Deadline { unit_ms: 1 }, reply).expect("comparable");
        assert!(at(":1000\r\n").agrees(at(":1200\r\n")) && !at(":1000\r\n").agrees(at(":1300\r\n")));
        let ahead = |by| Gist::of(Way::Deadline { unit_ms: 1 }, b":5000\r\n", &Limits::default(), |at| at - by).expect("comparable");
        assert!(ahead(2000).agrees(ahead(0)) && ahead(2000).agrees(at(":3000\r\n")) && !ahead(2000).agrees(at(":4000\r\n")));
        assert!(at(":-1\r\n").agrees(at(":-1\r\n")) && !at(":-1\r\n").agrees(at(":-2\r\n")) && !at(":-1\r\n").agrees(at(":5\r\n")));
    }

    #[test]
    fn what_is_no_answer_is_no_difference_but_another_type_is() {
        for refused in ["-LOADING wait\r\n", "-NOPERM no\r\n", "!9\r\nBUSY wait\r\n"] {
            assert_eq!(gist(Way::Exact, refused), Some(Gist::Refused), "{refused:?}");
        }
        let wrong = Some(Gist::WrongType);
        assert_eq!((gist(Way::Pairs, "-WRONGTYPE one\r\n"), gist(Way::Exact, "!14\r\nWRONGTYPE text\r\n")), (wrong, wrong));
        assert_eq!(gist(Way::Exact, "$8\r\nHYLL\0\0\0\0\r\n"), None);
    }

    #[test]
    fn what_is_shown_is_short() {
        assert_eq!(Head::of(b"$1\r\na\r\n").shown(), r"$1\r\na\r\n");
        let long = Head::of(&[b'x'; 5000]).shown();
        assert!(long.len() < 200 && long.ends_with("... (5000 bytes)"), "{long}");
    }
}
