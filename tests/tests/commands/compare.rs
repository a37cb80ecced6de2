//! How far two replies have to be alike.

/// What of a reply counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Every byte, but a client's id in HELLO's reply.
    Bytes,
    /// Every byte, but not the order of the parts of an aggregate.
    Unordered,
    /// The types, the lengths of aggregates, and errors.
    Shape,
    /// The shape, and of texts made of `name=value` fields the names.
    Names,
}

impl Likeness {
    /// What counts of one whole reply.
    pub(crate) fn essence(self, reply: &[u8]) -> Vec<u8> {
        if self == Self::Bytes { without_id(reply) } else { self.part(&mut &*reply) }
    }

    /// What counts of the first value of `rest`, which is moved behind it.
    fn part(self, rest: &mut &[u8]) -> Vec<u8> {
        let line = take_line(rest);
        let len = line.get(1..line.len().saturating_sub(2)).and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok());
        let values = match (line.first(), len) {
            (Some(b'*' | b'~' | b'>'), Some(len)) => (len, 1),
            (Some(b'%'), Some(len)) => (len, 2),
            // Attributes stand before the value that they belong to.
            (Some(b'|'), Some(len)) => {
                let attributes: Vec<u8> = (0..2 * len).flat_map(|_| self.part(rest)).collect();
                return [line, attributes, self.part(rest)].concat();
            }
            (Some(b'$' | b'=' | b'!'), Some(len)) => {
                let (text, after) = rest.split_at((len + 2).min(rest.len()));
                *rest = after;
                return if self == Self::Unordered || line[0] == b'!' { [&line, text].concat() } else { self.scalar(line[0], text) };
            }
            // Errors and what is nothing count as they are.
            _ if self == Self::Unordered
                || matches!(line.first(), Some(b'-' | b'_'))
                || line.starts_with(b"$-")
                || line.starts_with(b"*-") =>
            {
                return line;
            }
            (Some(kind), _) => return self.scalar(*kind, &line[1..]),
            (None, _) => return line,
        };
        let mut parts: Vec<Vec<u8>> = (0..values.0).map(|_| (0..values.1).flat_map(|_| self.part(rest)).collect()).collect();
        if self == Self::Unordered {
            parts.sort_unstable();
        }
        [line, parts.concat()].concat()
    }

    fn scalar(self, kind: u8, text: &[u8]) -> Vec<u8> {
        let names = text.split(u8::is_ascii_whitespace).filter_map(|field| field.split_inclusive(|byte| *byte == b'=').next());
        let names = names.filter(|name| self == Self::Names && name.ends_with(b"="));
        [&[kind], &*names.collect::<Vec<_>>().concat(), b"\r\n"].concat()
    }
}

/// A reply without the client's id, which is nobody else's.
fn without_id(reply: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = reply.windows(FIELD.len()).position(|window| window == FIELD) else { return reply.to_vec() };
    let (before, id) = reply.split_at(at + FIELD.len());
    let digits = id.iter().take_while(|byte| byte.is_ascii_digit()).count();
    [before, &id[digits..]].concat()
}

fn take_line(rest: &mut &[u8]) -> Vec<u8> {
    let len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    let (line, after) = rest.split_at(len);
    *rest = after;
    line.to_vec()
}

#[test]
fn likeness_keeps_what_counts() {
    let reply = b"%1\r\n$1\r\nb\r\n*3\r\n:2\r\n$1\r\na\r\n-ERR x\r\n";
    assert_eq!(Likeness::Bytes.essence(reply), reply);
    assert_eq!(Likeness::Shape.essence(reply), b"%1\r\n$\r\n*3\r\n:\r\n$\r\n-ERR x\r\n");
    assert_eq!(Likeness::Unordered.essence(b"*2\r\n$1\r\nb\r\n:1\r\n"), Likeness::Unordered.essence(b"*2\r\n:1\r\n$1\r\nb\r\n"));
    assert_eq!(Likeness::Names.essence(b"$7\r\na=1 b=2\r\n"), b"$a=b=\r\n");
    assert_eq!(Likeness::Shape.essence(b"$-1\r\n"), b"$-1\r\n");
}
