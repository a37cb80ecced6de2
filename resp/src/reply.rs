//! Finding the end of a server's reply while its bytes stream by.
//!
//! In: the bytes a server sends, each exactly once, cut anyhow. Out: where the reply ends and of which
//! [`ReplyKind`] it is. Invariant: no byte is looked at twice and no payload of a bulk string is looked at at
//! all; what is kept between calls is one stage and one counter for each open aggregate.
//!
//! All types of RESP2 and RESP3 are known, at any level, except streamed ones (`$?`, `*?`), which no
//! Redis-compatible server sends; they are refused. An attribute is part of the reply that follows it.

use crate::decimal::{Decimal, short_header};
use crate::limits::Limits;

/// What [`ReplyScanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyScan {
    /// All bytes given belong to the reply, and it goes on.
    NeedMore,
    /// The reply is complete; the scanner is ready for the next one.
    Complete {
        /// How many of the bytes given on this call belong to the reply.
        len: usize,
        /// What kind of reply it is.
        kind: ReplyKind,
    },
}

/// What a reply is, as far as its first header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// `+`
    Simple,
    /// `-` or `!`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `$-1`, `*-1` or `_`
    Nil,
    /// `*`
    Array,
    /// `>`: out of band, answers no request.
    Push,
    /// Any other type of RESP3: `#`, `,`, `(`, `=`, `%`, `~`.
    Other,
}

/// Bytes that are no reply, or break a limit. Nothing can be said about what follows them: the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A reply begins with a byte that stands for no type.
    #[error("reply begins with '{}'", .byte.escape_ascii())]
    UnknownType {
        /// The byte found.
        byte: u8,
    },
    /// The length behind a type byte is no plain number, or a negative one where that is not allowed.
    #[error("invalid length behind '{}'", char::from(*.of))]
    InvalidLength {
        /// The type byte.
        of: u8,
    },
    /// A string or aggregate of unknown length, which no Redis-compatible server sends.
    #[error("streamed '{}' is not supported", char::from(*.of))]
    Streamed {
        /// The type byte.
        of: u8,
    },
    /// A length or a payload is not followed by `\r\n`.
    #[error("'{}' where a line must end", .byte.escape_ascii())]
    LineEnd {
        /// The byte found.
        byte: u8,
    },
    /// A bulk string or text line above [`Limits::bulk_bytes_max`].
    #[error("string of {len} bytes or more is above the limit of {max}")]
    StringTooLong {
        /// Its length as far as known, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// An aggregate above [`Limits::multibulk_len_max`].
    #[error("aggregate of {len} entries is above the limit of {max}")]
    AggregateTooLong {
        /// Its length, in entries.
        len: usize,
        /// The limit, in entries.
        max: usize,
    },
    /// Aggregates nested deeper than [`Limits::nesting_max`].
    #[error("aggregates are nested deeper than {max} levels")]
    TooDeep {
        /// The limit, in levels.
        max: usize,
    },
    /// A push inside an aggregate.
    #[error("push inside another reply")]
    NestedPush,
    /// Given to [`decode_reply`](crate::decode_reply): less or more than one whole reply.
    #[error("not exactly one reply")]
    NotOneReply,
    /// The reply is whole, but what is in it is not what its type says (`:x`), or is nothing a
    /// [`Frame`](crate::Frame) can hold.
    #[error("reply cannot be decoded: {reason}")]
    Undecodable {
        /// What the decoder says.
        reason: String,
    },
}

/// Finds where replies end. Keeps its place between reads; holds no bytes.
#[derive(Clone, Debug, Default)]
pub struct ReplyScanner {
    stage: Stage,
    kind: Option<ReplyKind>,
    /// Aggregates whose end is not reached, outermost first.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// Before a type byte.
    #[default]
    Type,
    /// In a text line, which ends at its first `\r\n`.
    Text { len: usize, cr: bool },
    /// In the length behind the type byte `of`.
    Length { of: u8, number: Decimal },
    /// Before the `\n` behind a length.
    LengthEnd { of: u8, number: Decimal },
    /// In a bulk string's payload.
    Payload { missing: usize },
    /// Before the `\r` behind a payload.
    PayloadEnd,
    /// Before the `\n` behind a payload.
    PayloadEndLf,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Elements not complete; keys and values count one each. Never 0.
    left: usize,
    /// An attribute is no element of what it stands in.
    attribute: bool,
}

impl ReplyScanner {
    /// Looks for the end of the reply in `bytes`, which follow those given before.
    ///
    /// After [`ReplyScan::Complete`] the rest of `bytes` has not been looked at and is to be given again.
    ///
    /// # Errors
    ///
    /// A [`ReplyError`] as soon as the bytes seen cannot become a reply. The scanner is of no use after that.
    #[inline]
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<ReplyScan, ReplyError> {
        match short_line(bytes, limits) {
            Some((len, kind)) if self.is_between_replies() => Ok(ReplyScan::Complete { len, kind }),
            _ => self.scan_on(bytes, limits),
        }
    }

    fn scan_on(&mut self, bytes: &[u8], limits: &Limits) -> Result<ReplyScan, ReplyError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let element_ends = match self.stage {
                Stage::Type => {
                    if let Some(end) = short_bulk(bytes, at, limits) {
                        self.settle(ReplyKind::Bulk);
                        at = end;
                        true
                    } else {
                        at += 1;
                        self.begin(byte)?;
                        false
                    }
                }
                Stage::Text { len, cr } => {
                    let (read, ends) = text_line(&bytes[at..], cr);
                    let len = len + read;
                    // The limit is for the text; `len` counts its line end, or its '\r', too.
                    if len > limits.bulk_bytes_max.saturating_add(2) {
                        return Err(ReplyError::StringTooLong { len, max: limits.bulk_bytes_max });
                    }
                    at += read;
                    self.stage = Stage::Text { len, cr: bytes[..at].ends_with(b"\r") };
                    ends
                }
                Stage::Length { of, mut number } => {
                    at += 1;
                    self.stage = if byte == b'\r' {
                        Stage::LengthEnd { of, number }
                    } else if byte == b'?' {
                        return Err(ReplyError::Streamed { of });
                    } else {
                        number.push(byte);
                        Stage::Length { of, number }
                    };
                    false
                }
                Stage::LengthEnd { of, number } => {
                    at += 1;
                    expect(byte, b'\n')?;
                    self.sized(of, number.value(), limits)?
                }
                Stage::Payload { missing } => {
                    let jump = missing.min(bytes.len() - at);
                    at += jump;
                    self.stage = match missing - jump {
                        0 => Stage::PayloadEnd,
                        missing => Stage::Payload { missing },
                    };
                    false
                }
                Stage::PayloadEnd => {
                    at += 1;
                    expect(byte, b'\r')?;
                    self.stage = Stage::PayloadEndLf;
                    false
                }
                Stage::PayloadEndLf => {
                    at += 1;
                    expect(byte, b'\n')?;
                    true
                }
            };
            if element_ends {
                self.stage = Stage::Type;
                if self.close_completed()
                    && let Some(kind) = self.kind.take()
                {
                    return Ok(ReplyScan::Complete { len: at, kind });
                }
            }
        }
        Ok(ReplyScan::NeedMore)
    }

    /// The kind of the reply in progress, once its first header has settled it: `None` between replies, inside an
    /// attribute in front of a reply, and until a length has arrived that may turn out to be that of a nil.
    #[must_use]
    pub fn kind(&self) -> Option<ReplyKind> {
        self.kind
    }

    fn is_between_replies(&self) -> bool {
        matches!(self.stage, Stage::Type) && self.kind.is_none() && self.open.is_empty()
    }

    /// Takes a type byte.
    fn begin(&mut self, byte: u8) -> Result<(), ReplyError> {
        let text = Stage::Text { len: 0, cr: false };
        let length = Stage::Length { of: byte, number: Decimal::default() };
        let (kind, stage) = match byte {
            b'+' => (Some(ReplyKind::Simple), text),
            b'-' => (Some(ReplyKind::Error), text),
            b':' => (Some(ReplyKind::Integer), text),
            b'_' => (Some(ReplyKind::Nil), text),
            b'#' | b',' | b'(' => (Some(ReplyKind::Other), text),
            b'!' => (Some(ReplyKind::Error), length),
            b'=' | b'%' | b'~' => (Some(ReplyKind::Other), length),
            b'>' if !self.open.is_empty() => return Err(ReplyError::NestedPush),
            b'>' => (Some(ReplyKind::Push), length),
            b'$' | b'*' | b'|' => (None, length),
            byte => return Err(ReplyError::UnknownType { byte }),
        };
        if let Some(kind) = kind {
            self.settle(kind);
        }
        self.stage = stage;
        Ok(())
    }

    /// Takes the length behind the type byte `of`. True if the element is complete with it.
    fn sized(&mut self, of: u8, number: Option<i64>, limits: &Limits) -> Result<bool, ReplyError> {
        let invalid = ReplyError::InvalidLength { of };
        let len = match number {
            Some(-1) if matches!(of, b'$' | b'*') => {
                self.settle(ReplyKind::Nil);
                return Ok(true);
            }
            Some(number) => usize::try_from(number).map_err(|_| invalid)?,
            None => return Err(invalid),
        };
        match of {
            b'$' | b'=' | b'!' => {
                self.settle(ReplyKind::Bulk);
                let max = limits.bulk_bytes_max;
                if len > max {
                    return Err(ReplyError::StringTooLong { len, max });
                }
                self.stage = if len == 0 { Stage::PayloadEnd } else { Stage::Payload { missing: len } };
                Ok(false)
            }
            _ => {
                self.open_aggregate(of, len, limits)?;
                // An empty attribute is followed by the element it belongs to.
                Ok(len == 0 && of != b'|')
            }
        }
    }

    fn open_aggregate(&mut self, of: u8, len: usize, limits: &Limits) -> Result<(), ReplyError> {
        let attribute = of == b'|';
        if !attribute {
            self.settle(ReplyKind::Array);
        }
        let max = limits.multibulk_len_max;
        if len > max {
            return Err(ReplyError::AggregateTooLong { len, max });
        }
        self.stage = Stage::Type;
        if len == 0 {
            return Ok(());
        }
        if self.open.len() >= limits.nesting_max {
            return Err(ReplyError::TooDeep { max: limits.nesting_max });
        }
        let left = if matches!(of, b'%' | b'|') { len.saturating_mul(2) } else { len };
        self.open.push(Open { left, attribute });
        Ok(())
    }

    /// The first header outside of attributes and aggregates says what the reply is.
    fn settle(&mut self, kind: ReplyKind) {
        if self.open.is_empty() && self.kind.is_none() {
            self.kind = Some(kind);
        }
    }

    /// An element is complete: closes the aggregates it completes. True if none is left open.
    fn close_completed(&mut self) -> bool {
        while let Some(inner) = self.open.last_mut() {
            inner.left -= 1;
            if inner.left > 0 {
                return false;
            }
            let attribute = inner.attribute;
            self.open.pop();
            if attribute {
                return false;
            }
        }
        true
    }
}

/// The length and kind of a whole reply of one short line, as most replies to writes are.
///
/// `None` says nothing about the bytes; the caller then reads them one by one.
#[inline]
fn short_line(bytes: &[u8], limits: &Limits) -> Option<(usize, ReplyKind)> {
    /// `:` with the longest number, and any usual status.
    const LEN_MAX: usize = 24;
    let (kind, end) = match bytes {
        [b'+', b'O', b'K', b'\r', ..] => (ReplyKind::Simple, 3),
        [b':', _, b'\r', ..] => (ReplyKind::Integer, 2),
        [b'+', text @ ..] => (ReplyKind::Simple, 1 + text.iter().take(LEN_MAX).position(|byte| *byte == b'\r')?),
        [b':', text @ ..] => (ReplyKind::Integer, 1 + text.iter().take(LEN_MAX).position(|byte| *byte == b'\r')?),
        _ => return None,
    };
    (end <= limits.bulk_bytes_max && bytes.get(end + 1) == Some(&b'\n')).then_some((end + 2, kind))
}

/// The end of the bulk string at `at`, if it is short, plain and all there: the hot path.
#[inline]
fn short_bulk(bytes: &[u8], at: usize, limits: &Limits) -> Option<usize> {
    let (len, payload) = short_header(bytes, at, b'$')?;
    let end = payload + len + 2;
    (len <= limits.bulk_bytes_max && bytes.get(end - 2..end)? == b"\r\n").then_some(end)
}

/// How many of `bytes` belong to the text line in progress, and if it ends there. `cr`: the byte before was `\r`.
fn text_line(bytes: &[u8], cr: bool) -> (usize, bool) {
    if cr && bytes.first() == Some(&b'\n') {
        return (1, true);
    }
    let end = memchr::memchr_iter(b'\n', bytes).find(|lf| bytes[..*lf].ends_with(b"\r"));
    end.map_or((bytes.len(), false), |lf| (lf + 1, true))
}

fn expect(byte: u8, expected: u8) -> Result<(), ReplyError> {
    if byte == expected { Ok(()) } else { Err(ReplyError::LineEnd { byte }) }
}

#[cfg(test)]
mod tests;
