//! What a key holds, as a print that does not depend on the order in which a server keeps it.
//!
//! In: a server's replies to the reads of [`crate::copy::reads`], in either protocol. Out: how many elements there are, and a
//! print of them. Left out is what no command can set: how a value is encoded, and when consumers were last seen and pending
//! entries were delivered.

use xxhash_rust::xxh3::Xxh3;

use crate::copy::{CopyError, Kind, Position, StreamId, Value, Values};

/// Stands for an element that has nothing but its name.
const MEMBER: u128 = 1;

/// How much a key holds, and a print of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Bytes of a string, entries of a stream, elements of anything else.
    pub(crate) len: u64,
    pub(crate) print: u128,
}

impl Contents {
    /// What the replies to the reads of a key of `kind` say; of streams the counters too, if both servers have them. None if there
    /// is no such key.
    pub(crate) fn of(kind: Kind, replies: &[u8], counters: bool) -> Result<Option<Self>, CopyError> {
        let value = Values(replies).needed("what a key holds")?;
        Ok(match (kind, value) {
            (_, Value::Nil) => None,
            (_, Value::Error(text)) if text == b"ERR no such key" => None,
            (Kind::String, value) => {
                let text = value.text()?;
                Some(Self { len: text.len() as u64, print: Print::default().text(text).done() })
            }
            (_, Value::Many(values)) if values.is_empty() => None,
            (Kind::List, value) => {
                let (mut len, mut print) = (0, Print::default());
                for element in value.many()? {
                    print = print.text(element.text()?);
                    len += 1;
                }
                Some(Self { len, print: print.done() })
            }
            (Kind::Set, value) => Some(unordered(value.many()?.map(|member| Ok(Print::default().text(member.text()?).done())))?),
            (Kind::Hash, value) => Some(unordered(pairs(value.many()?).map(|pair| {
                let [field, value] = pair?;
                Ok(Print::default().text(field).text(value).done())
            }))?),
            (Kind::Zset, value) => Some(unordered(pairs(value.many()?).map(|pair| {
                let [member, score] = pair?;
                Ok(Print::default().text(member).score(score).done())
            }))?),
            (Kind::Stream, value) => Some(stream(value.many()?, counters)?),
        })
    }
}

/// What a piece of a big value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It stands at the same place on both sides: its print.
    InPlace(u128),
    /// These elements, which the other side is asked for one by one, and the print of what each of them has.
    Elements(Vec<Box<[u8]>>, Vec<u128>),
}

/// What the replies to the read of a piece say, and where the next one begins; none behind the last one.
pub(crate) fn piece(at: Position, count: u32, replies: &[u8], counters: bool) -> Result<(Piece, Option<Position>), CopyError> {
    let mut values = Values(replies);
    let first = values.needed("a piece of the key")?;
    let full = |read: usize| read as u64 >= u64::from(count);
    Ok(match at {
        Position::String(at) => {
            let text = first.text()?;
            let next = full(text.len()).then(|| Position::String(at + text.len() as u64));
            (Piece::InPlace(Print::default().text(text).done()), next)
        }
        Position::List(at) => {
            let (mut read, mut print) = (0, Print::default());
            for element in first.many()? {
                print = print.text(element.text()?);
                read += 1;
            }
            (Piece::InPlace(print.done()), full(read).then(|| Position::List(at + read as u64)))
        }
        Position::Set(_) => {
            let (next, found) = scanned(first)?;
            let names: Result<Vec<Box<[u8]>>, CopyError> = found.map(|member| Ok(member.text()?.into())).collect();
            let names = names?;
            let prints = vec![MEMBER; names.len()];
            (Piece::Elements(names, prints), next.map(Position::Set))
        }
        Position::Hash(_) | Position::Zset(_) => {
            let (next, found) = scanned(first)?;
            let (mut names, mut prints) = (Vec::new(), Vec::new());
            for pair in pairs(found) {
                let [name, value] = pair?;
                names.push(name.into());
                prints.push(of_element(matches!(at, Position::Zset(_)), value));
            }
            let next = next.map(|cursor| if matches!(at, Position::Hash(_)) { Position::Hash(cursor) } else { Position::Zset(cursor) });
            (Piece::Elements(names, prints), next)
        }
        Position::Stream(after) => {
            let (print, read, last) = entries(Print::default(), first.many()?, after)?;
            let next = if full(read) { Position::Stream(last) } else { Position::Groups(last, u64::from(count)) };
            (Piece::InPlace(print.done()), Some(next))
        }
        Position::Groups(after, listed) => {
            let (print, _, last) = entries(Print::default(), first.many()?, after)?;
            let info = values.needed("what the stream is")?.many()?;
            let mut most = 0;
            for group in info.field("groups")?.many()? {
                most = most.max(group.many()?.field("pel-count")?.number()?);
            }
            let contents = stream(info, counters)?;
            // Twice as many, for those that come meanwhile.
            let next = (most > listed).then(|| Position::Groups(last, most.saturating_mul(2)));
            (Piece::InPlace(print.number(contents.len).text(&contents.print.to_le_bytes()).done()), next)
        }
    })
}

/// What the other side has of an element of a hash, set or sorted set, by its reply; none if it does not have it.
pub(crate) fn element(kind: Kind, reply: &[u8]) -> Result<Option<u128>, CopyError> {
    Ok(match (kind, Values(reply).needed("an element")?) {
        (_, Value::Nil) => None,
        (Kind::Set, value) => (value.text()? == b"1").then_some(MEMBER),
        (kind, value) => Some(of_element(kind == Kind::Zset, value.text()?)),
    })
}

/// Appends the request for one element of a hash, set or sorted set.
pub(crate) fn ask_element(kind: Kind, key: &[u8], name: &[u8], out: &mut Vec<u8>) {
    let command: &[u8] = match kind {
        Kind::Hash => b"HGET",
        Kind::Zset => b"ZSCORE",
        _ => b"SISMEMBER",
    };
    interlay_resp::encode_request([command, key, name], out);
}

fn of_element(is_score: bool, value: &[u8]) -> u128 {
    if is_score { Print::default().score(value).done() } else { Print::default().text(value).done() }
}

fn scanned(reply: Value<'_>) -> Result<(Option<u64>, Values<'_>), CopyError> {
    let mut reply = reply.many()?;
    let next = reply.needed("a cursor")?.number()?;
    Ok(((next > 0).then_some(next), reply.needed("what a scan finds")?.many()?))
}

/// The print of entries, how many they are, and the last one's id.
fn entries(mut print: Print, entries: Values<'_>, after: StreamId) -> Result<(Print, usize, StreamId), CopyError> {
    let (mut read, mut last) = (0, after);
    for entry in entries {
        let mut parts = entry.many()?;
        let id = parts.needed("an id")?;
        last = StreamId::of(id)?;
        print = print.text(id.text()?).number(u64::MAX);
        for field in parts.needed("fields")?.many()? {
            print = print.text(field.text()?);
        }
        read += 1;
    }
    Ok((print, read, last))
}

/// Elements in any order: equal prints have equal sums.
fn unordered(prints: impl Iterator<Item = Result<u128, CopyError>>) -> Result<Contents, CopyError> {
    let mut all = Contents::default();
    for print in prints {
        all.print = all.print.wrapping_add(print?);
        all.len += 1;
    }
    Ok(all)
}

/// Two and two: flat in RESP2 and in maps, each pair an array of its own in other replies of RESP3.
fn pairs<'a>(mut values: Values<'a>) -> impl Iterator<Item = Result<[&'a [u8]; 2], CopyError>> {
    std::iter::from_fn(move || {
        let first = values.next()?;
        let mut pair = |first: Value<'a>| {
            if let Value::Many(mut inner) = first {
                return Ok([inner.needed("a member")?.text()?, inner.needed("its score")?.text()?]);
            }
            Ok([first.text()?, values.needed("a value")?.text()?])
        };
        Some(pair(first))
    })
}

/// All of a stream that commands can set, as XINFO STREAM FULL tells it.
fn stream(info: Values<'_>, counters: bool) -> Result<Contents, CopyError> {
    let (mut print, len, _) = entries(Print::default(), info.field("entries")?.many()?, StreamId::default())?;
    print = print.text(info.field("last-generated-id")?.text()?);
    let named = |print: Print, values: Values<'_>, name: &'static str| match values.named(name) {
        Some(Value::Text(text)) if counters => print.text(text),
        _ => print.number(0),
    };
    for counter in ["entries-added", "max-deleted-entry-id"] {
        print = named(print, info, counter);
    }
    for group in info.field("groups")?.many()? {
        let group = group.many()?;
        print = print.text(group.field("name")?.text()?).text(group.field("last-delivered-id")?.text()?);
        print = named(print, group, "entries-read");
        for consumer in group.field("consumers")?.many()? {
            print = print.text(consumer.many()?.field("name")?.text()?);
        }
        print = print.number(u64::MAX);
        for pending in group.field("pending")?.many()? {
            let mut parts = pending.many()?;
            print = print.text(parts.needed("an id")?.text()?).text(parts.needed("a consumer")?.text()?);
            parts.needed("a time")?;
            print = print.text(parts.needed("a number of deliveries")?.text()?);
        }
        print = print.number(u64::MAX);
    }
    Ok(Contents { len: len as u64, print: print.done() })
}

/// The print of one element: of its parts, each with its length.
#[derive(Default)]
pub(crate) struct Print(Xxh3);

impl Print {
    pub(crate) fn text(self, text: &[u8]) -> Self {
        let mut print = self.number(text.len() as u64);
        print.0.update(text);
        print
    }

    /// A score as the number that it is: servers and protocols write it in their own ways.
    pub(crate) fn score(self, text: &[u8]) -> Self {
        let score: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        match score {
            // Plus zero, because -0 is 0.
            Some(score) => self.number((score + 0.0).to_bits()),
            None => self.text(text),
        }
    }

    fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(crate) fn done(self) -> u128 {
        self.0.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, reply: &str) -> Contents {
        Contents::of(kind, reply.as_bytes(), true).expect("a reply that reads").expect("a key")
    }

    #[test]
    fn order_counts_where_it_is_part_of_the_value() {
        let (ab, ba) = ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
        assert_eq!(of(Kind::Set, ab), of(Kind::Set, ba));
        assert_eq!(of(Kind::Set, ab), of(Kind::Set, &ba.replace('*', "~")));
        assert_ne!(of(Kind::List, ab), of(Kind::List, ba));
        assert_ne!(of(Kind::Hash, ab), of(Kind::Hash, ba));
        let fields = "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n";
        assert_eq!(of(Kind::Hash, fields), of(Kind::Hash, "%2\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n1\r\n"));
        assert_ne!(of(Kind::Hash, fields), of(Kind::Hash, "*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n1\r\n"));
    }

    #[test]
    fn where_an_element_ends_counts() {
        let (left, right) = ("*2\r\n$2\r\nab\r\n$1\r\nc\r\n", "*2\r\n$1\r\na\r\n$2\r\nbc\r\n");
        for kind in [Kind::List, Kind::Set, Kind::Hash] {
            assert_ne!(of(kind, left), of(kind, right), "{kind:?}");
        }
    }

    #[test]
    fn a_score_is_the_number_that_it_is() {
        let flat = "*4\r\n$1\r\na\r\n$3\r\n0.1\r\n$1\r\nb\r\n$3\r\ninf\r\n";
        for same in [
            "*2\r\n*2\r\n$1\r\na\r\n,0.10000000000000001\r\n*2\r\n$1\r\nb\r\n,inf\r\n",
            "*4\r\n$1\r\nb\r\n$3\r\ninf\r\n$1\r\na\r\n$19\r\n0.10000000000000001\r\n",
        ] {
            assert_eq!(of(Kind::Zset, flat), of(Kind::Zset, same));
        }
        assert_ne!(of(Kind::Zset, flat), of(Kind::Zset, "*4\r\n$1\r\na\r\n$3\r\n0.1\r\n$1\r\nb\r\n$4\r\n-inf\r\n"));
    }

    #[test]
    fn no_key_is_told_from_an_error() {
        for (kind, none) in
            [(Kind::String, "$-1\r\n"), (Kind::List, "*0\r\n"), (Kind::Hash, "%0\r\n"), (Kind::Stream, "-ERR no such key\r\n")]
        {
            assert_eq!(Contents::of(kind, none.as_bytes(), true), Ok(None), "{none}");
        }
        assert!(Contents::of(Kind::List, b"-NOPERM no\r\n", true).is_err());
    }

    #[test]
    fn a_piece_says_what_it_holds_and_where_the_next_one_begins() {
        let list = "*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        let of = |at, count, reply: &str| piece(at, count, reply.as_bytes(), true).expect("a piece");
        assert_eq!(of(Position::List(4), 2, list).1, Some(Position::List(6)));
        assert_eq!(of(Position::List(4), 3, list).1, None);
        let found = "*2\r\n$1\r\n7\r\n*2\r\n$1\r\nf\r\n$3\r\n0.5\r\n";
        let print = |kind, reply: &str| element(kind, reply.as_bytes()).expect("an element").expect("it is there");
        for (at, kind, other) in [(Position::Hash(0), Kind::Hash, "$3\r\n0.5\r\n"), (Position::Zset(0), Kind::Zset, ",5e-1\r\n")] {
            let (Piece::Elements(names, prints), next) = of(at, 1, found) else { panic!("no elements") };
            assert_eq!((&*names[0], prints[0]), (&b"f"[..], print(kind, other)));
            assert!(next.is_some());
        }
        let (piece, next) = of(Position::Set(0), 1, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nm\r\n");
        assert_eq!((piece, next), (Piece::Elements(vec![b"m"[..].into()], vec![print(Kind::Set, ":1\r\n")]), None));
        assert_eq!((element(Kind::Set, b":0\r\n"), element(Kind::Hash, b"$-1\r\n")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_stream_is_compared_with_its_groups_and_not_with_its_times() {
        let info = |last: &str, deliveries: &str, time: &str, added: &str| {
            format!(
                "%4\r\n$7\r\nentries\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n$17\r\nlast-generated-id\r\n$3\r\n{last}\r\n\
                 $13\r\nentries-added\r\n:{added}\r\n$6\r\ngroups\r\n*1\r\n*8\r\n$4\r\nname\r\n$1\r\ng\r\n$17\r\nlast-delivered-id\r\n\
                 $3\r\n1-1\r\n$7\r\npending\r\n*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:{time}\r\n:{deliveries}\r\n$9\r\nconsumers\r\n*1\r\n\
                 *2\r\n$4\r\nname\r\n$1\r\nc\r\n"
            )
        };
        let one = of(Kind::Stream, &info("1-1", "1", "5", "1"));
        assert_eq!(one.len, 1);
        assert_eq!(one, of(Kind::Stream, &info("1-1", "1", "9", "1")));
        for other in [info("1-2", "1", "5", "1"), info("1-1", "2", "5", "1"), info("1-1", "1", "5", "2")] {
            assert_ne!(one, of(Kind::Stream, &other));
        }
        let without = |added| Contents::of(Kind::Stream, info("1-1", "1", "5", added).as_bytes(), false);
        assert_eq!(without("1"), without("2"));
    }
}
