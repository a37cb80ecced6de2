//! Replies as they must be understood to copy what is in them: in place, in either protocol.

use interlay_resp::{Limits, ReplyScan, ReplyScanner};

use super::CopyError;

/// Of an unexpected reply this much is quoted. Unit: bytes.
const QUOTED: usize = 100;

/// One reply or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// A string, or a number as the server wrote it.
    Text(&'a [u8]),
    Nil,
    Error(&'a [u8]),
    /// An array, a set, or a map with its keys and values in turn.
    Many(Values<'a>),
}

impl<'a> Value<'a> {
    pub(crate) fn text(self) -> Result<&'a [u8], CopyError> {
        if let Self::Text(text) = self { Ok(text) } else { Err(self.unexpected("a string")) }
    }

    pub(crate) fn number(self) -> Result<u64, CopyError> {
        let number = std::str::from_utf8(self.text()?).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.unexpected("a number"))
    }

    pub(crate) fn many(self) -> Result<Values<'a>, CopyError> {
        if let Self::Many(values) = self { Ok(values) } else { Err(self.unexpected("an array")) }
    }

    /// What has come instead of `expected`.
    pub(crate) fn unexpected(self, expected: &'static str) -> CopyError {
        let found = match self {
            Self::Text(text) | Self::Error(text) => text.get(..QUOTED).unwrap_or(text).escape_ascii().to_string(),
            Self::Nil => "nil".to_owned(),
            Self::Many(values) => format!("{} elements", values.count()),
        };
        CopyError::Unexpected { expected, found }
    }
}

/// Replies that stand back to back, or the elements of one. Ends where the bytes are no whole reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a>(pub(crate) &'a [u8]);

impl<'a> Values<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next one, which has to be there.
    pub(crate) fn needed(&mut self, expected: &'static str) -> Result<Value<'a>, CopyError> {
        self.next().ok_or_else(|| CopyError::Unexpected { expected, found: "nothing".to_owned() })
    }

    /// The value behind `name`, where names and values stand in turn.
    pub(crate) fn named(mut self, name: &str) -> Option<Value<'a>> {
        while let (Some(key), Some(value)) = (self.next(), self.next()) {
            if matches!(key, Value::Text(text) if text == name.as_bytes()) {
                return Some(value);
            }
        }
        None
    }

    /// The same, which has to be there.
    pub(crate) fn field(self, name: &'static str) -> Result<Value<'a>, CopyError> {
        self.named(name).ok_or_else(|| Value::Many(self).unexpected(name))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let Ok(ReplyScan::Complete { len, .. }) = ReplyScanner::default().scan(self.0, &Limits::of_replies()) else { return None };
        let (reply, behind) = self.0.split_at_checked(len)?;
        let head = reply.iter().position(|byte| *byte == b'\n')? + 1;
        let (line, body) = reply.split_at_checked(head)?;
        let line = line.get(1..head.checked_sub(2)?)?;
        let payload = body.strip_suffix(b"\r\n");
        self.0 = behind;
        Some(match reply.first()? {
            b'$' | b'*' if line == b"-1" => Value::Nil,
            b'_' => Value::Nil,
            b'-' => Value::Error(line),
            b'!' => Value::Error(payload?),
            b'$' => Value::Text(payload?),
            b'*' | b'~' | b'%' => Value::Many(Self(body)),
            b'+' | b':' | b',' => Value::Text(line),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_both_protocols_are_read_alike() {
        let shown = |bytes: &'static str| Values(bytes.as_bytes()).map(|value| format!("{value:?}")).collect::<Vec<_>>();
        assert_eq!(shown("$1\r\na\r\n:-1\r\n,inf\r\n+x\r\n"), ["Text([97])", "Text([45, 49])", "Text([105, 110, 102])", "Text([120])"]);
        assert_eq!(shown("$-1\r\n*-1\r\n_\r\n$0\r\n\r\n"), ["Nil", "Nil", "Nil", "Text([])"]);
        for many in ["*2\r\n:1\r\n:2\r\n", "~2\r\n:1\r\n:2\r\n", "%1\r\n:1\r\n:2\r\n"] {
            let value = Values(many.as_bytes()).next().expect("a reply");
            assert_eq!(value.many().expect("many").named("1").expect("a value").number(), Ok(2));
        }
        for broken in ["", "$5\r\nab", "*2\r\n:1\r\n", "?", "$x\r\n", "\r\n"] {
            assert!(Values(broken.as_bytes()).next().is_none(), "{broken:?}");
        }
    }
}
