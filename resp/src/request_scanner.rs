//! Finding the end of a client's request without building anything.
//!
//! In: a client's bytes, from the first of the unfinished request on. Out: the request's length, its number of
//! arguments and its [`Form`], or how many bytes are missing, or the error Redis 7.0 gives for the same bytes.
//! Invariant: bytes before `pos` are never looked at again, and the payload of an argument is jumped over; so the
//! work is linear in the bytes that are not payload, however they are cut into reads.

use crate::decimal::{Decimal, short_header};
use crate::inline;
use crate::limits::Limits;

/// What [`RequestScanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The request is not complete.
    NeedMore {
        /// At least so many more bytes are needed; exact to the end of an argument whose payload has begun.
        missing: usize,
    },
    /// The request is complete; the scanner is ready for the next one.
    Found {
        /// Bytes of the request, its last line end included.
        len: usize,
        /// Number of arguments, the command's name among them.
        argc: usize,
        /// How the request is written.
        form: Form,
    },
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Multibulk, every line end exactly `\r\n`: safe to pass on byte for byte.
    Canonical,
    /// Multibulk that Redis takes although a line end is not `\r\n`: it checks neither the byte behind the `\r` of a
    /// header nor the two behind a payload. Other servers may read it otherwise, so
    /// [`canonical`](crate::canonical) must rewrite it before it shares a lane.
    Loose,
    /// A line of text; [`canonical`](crate::canonical) splits it.
    Inline,
    /// A blank line or a count of zero or less: gets no reply, to be skipped.
    Empty,
}

/// A request that Redis refuses. The text is what Redis 7.0 puts behind `-ERR `, and the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An inline request longer than [`Limits::inline_bytes_max`].
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// An inline request with a quote that is not closed, or not closed at the end of a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A `*` line longer than [`Limits::inline_bytes_max`].
    #[error("Protocol error: too big mbulk count string")]
    CountTooBig,
    /// A `*` line without a plain number, or with one above [`Limits::multibulk_len_max`].
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// More than [`Limits::unauthenticated_multibulk_len_max`] arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// A `$` line longer than [`Limits::inline_bytes_max`].
    #[error("Protocol error: too big bulk count string")]
    LengthTooBig,
    /// Something else where an argument must begin.
    #[error("Protocol error: expected '$', got '{}'", printed(*got))]
    ExpectedBulk {
        /// The byte found there.
        got: u8,
    },
    /// A `$` line without a plain number, or with one that is negative or above [`Limits::bulk_bytes_max`].
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// An argument above [`Limits::unauthenticated_bulk_bytes_max`] before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,
    /// A request longer than [`Limits::request_bytes_max`]. Redis closes such a connection without a word.
    #[error("Protocol error: request is longer than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
}

impl RequestError {
    /// The reply that Redis gives before it closes the connection: a byte that is no text stands there as it came.
    #[must_use]
    pub fn to_reply(&self) -> Vec<u8> {
        let mut text = format!("ERR {self}").into_bytes();
        if let Self::ExpectedBulk { got: got @ 0x80.. } = self {
            let quoted = text.len() - char::from(*got).len_utf8() - 1;
            text.splice(quoted..text.len() - 1, [*got]);
        }
        let mut reply = Vec::with_capacity(text.len() + 3);
        crate::frame::error(text, &mut reply);
        reply
    }
}

/// Redis replaces line ends in the text of an error by spaces. A byte that is not ASCII becomes a character.
fn printed(byte: u8) -> char {
    if matches!(byte, b'\r' | b'\n') { ' ' } else { char::from(byte) }
}

/// Finds where requests end. Keeps its place between reads; holds no bytes.
#[derive(Clone, Debug, Default)]
pub struct RequestScanner {
    stage: Stage,
    /// Everything before was looked at or jumped over. In [`Stage::Payload`]: the end of the argument.
    pos: usize,
    /// Start of the header line in progress.
    line: usize,
    argc: usize,
    args_left: usize,
    loose: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// Nothing seen of the request.
    #[default]
    Start,
    Inline,
    Count(Header),
    Length(Header),
    Payload,
}

/// A header line that is read byte by byte.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    number: Decimal,
    /// The `\r` was seen; one more byte, whatever it is, ends the line.
    ended: bool,
}

impl RequestScanner {
    /// Looks for the end of the request at the front of `buf`.
    ///
    /// `buf` starts at the first byte of the unfinished request on every call and has only grown since the last
    /// one. After [`Scan::Found`] the caller removes the request and the next call starts a new one. `authenticated`
    /// is false while the server would answer `NOAUTH`.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] as soon as the bytes seen cannot become a request. The scanner is of no use after that.
    pub fn scan(&mut self, buf: &[u8], limits: &Limits, authenticated: bool) -> Result<Scan, RequestError> {
        if matches!(self.stage, Stage::Start)
            && let Some(found) = self.jump_request(buf, limits, authenticated)
        {
            return Ok(found);
        }
        loop {
            match self.stage {
                Stage::Start => match buf.first() {
                    None => return Ok(Scan::NeedMore { missing: 1 }),
                    Some(b'*') => self.stage = Stage::Count(Header::default()),
                    Some(_) => self.stage = Stage::Inline,
                },
                Stage::Inline => return self.scan_inline(buf, limits),
                Stage::Count(header) => {
                    let number = match self.scan_header(buf, b'*', header, limits) {
                        Line::Complete(number) => number,
                        Line::Partial(header) => {
                            self.stage = Stage::Count(header);
                            return Ok(header.need_more());
                        }
                        Line::TooLong => return Err(RequestError::CountTooBig),
                    };
                    self.argc = checked_count(number, limits, authenticated)?;
                    self.args_left = self.argc;
                    if self.argc == 0 {
                        return Ok(self.found(self.pos, Form::Empty));
                    }
                    self.next_line();
                }
                Stage::Length(header) => {
                    let number = match self.scan_header(buf, b'$', header, limits) {
                        Line::Complete(number) => number,
                        Line::Partial(header) => {
                            self.stage = Stage::Length(header);
                            return Ok(header.need_more());
                        }
                        Line::TooLong => return Err(RequestError::LengthTooBig),
                    };
                    if let Some(&got) = buf.get(self.line).filter(|first| **first != b'$') {
                        return Err(RequestError::ExpectedBulk { got });
                    }
                    let length = checked_length(number, limits, authenticated)?;
                    let max = limits.request_bytes_max;
                    let end = self.pos.checked_add(length).and_then(|end| end.checked_add(2));
                    self.pos = end.filter(|end| *end <= max).ok_or(RequestError::TooLarge { max })?;
                    self.stage = Stage::Payload;
                }
                Stage::Payload => {
                    let Some(argument) = buf.get(..self.pos) else {
                        return Ok(Scan::NeedMore { missing: self.pos - buf.len() });
                    };
                    self.loose |= !argument.ends_with(b"\r\n");
                    self.args_left -= 1;
                    if self.args_left == 0 {
                        return Ok(self.found_multibulk());
                    }
                    self.next_line();
                }
            }
        }
    }

    fn scan_inline(&mut self, buf: &[u8], limits: &Limits) -> Result<Scan, RequestError> {
        let unseen = buf.get(self.pos..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unseen).map(|offset| self.pos + offset);
        if end.unwrap_or(buf.len()) > limits.inline_bytes_max {
            return Err(RequestError::InlineTooBig);
        }
        let Some(end) = end else {
            self.pos = buf.len();
            return Ok(Scan::NeedMore { missing: 1 });
        };
        let words = inline::split(&buf[..end]).ok_or(RequestError::UnbalancedQuotes)?;
        self.argc = words.len();
        Ok(self.found(end + 1, if words.is_empty() { Form::Empty } else { Form::Inline }))
    }

    /// Reads on in the header line at `self.line`; moves `self.pos` behind what was read.
    fn scan_header(&mut self, buf: &[u8], sigil: u8, mut header: Header, limits: &Limits) -> Line {
        if self.pos == self.line
            && let Some((number, next)) = short_header(buf, self.line, sigil)
        {
            self.pos = next;
            return Line::Complete(i64::try_from(number).ok());
        }
        for &byte in buf.get(self.pos..).unwrap_or_default() {
            let first = self.pos == self.line;
            self.pos += 1;
            if header.ended {
                self.loose |= byte != b'\n';
                return Line::Complete(header.number.value());
            }
            if byte == b'\r' {
                header.ended = true;
            } else if self.pos - self.line > limits.inline_bytes_max {
                return Line::TooLong;
            } else if !first {
                header.number.push(byte);
            }
        }
        Line::Partial(header)
    }

    /// The hot path: finds a request that is complete and canonical. Keeps how far it came in any other.
    fn jump_request(&mut self, buf: &[u8], limits: &Limits, authenticated: bool) -> Option<Scan> {
        let (argc, pos) = short_header(buf, 0, b'*')?;
        if argc == 0 || argc > count_max(limits, authenticated) {
            return None;
        }
        let (pos, args_left) = jump_arguments(buf, pos, argc, limits, authenticated);
        if args_left == 0 {
            return Some(Scan::Found { len: pos, argc, form: Form::Canonical });
        }
        *self = Self { stage: Stage::Length(Header::default()), pos, line: pos, argc, args_left, loose: false };
        None
    }

    /// A line of a further argument begins at `self.pos`.
    fn next_line(&mut self) {
        self.line = self.pos;
        self.stage = Stage::Length(Header::default());
    }

    fn found_multibulk(&mut self) -> Scan {
        self.found(self.pos, if self.loose { Form::Loose } else { Form::Canonical })
    }

    fn found(&mut self, len: usize, form: Form) -> Scan {
        let argc = self.argc;
        *self = Self::default();
        Scan::Found { len, argc, form }
    }
}

/// What is known of a header line.
enum Line {
    /// All of it is read; `None` if there is no plain number in it.
    Complete(Option<i64>),
    Partial(Header),
    TooLong,
}

impl Header {
    fn need_more(self) -> Scan {
        Scan::NeedMore { missing: if self.ended { 1 } else { 2 } }
    }
}

/// Jumps over arguments that are complete and canonical, the first at `pos`, at most `args_left` of them.
/// Gives the position behind them and the number left.
#[inline]
fn jump_arguments(buf: &[u8], mut pos: usize, mut args_left: usize, limits: &Limits, authenticated: bool) -> (usize, usize) {
    let length_max = length_max(limits, authenticated);
    while args_left > 0
        && let Some((length, payload)) = short_header(buf, pos, b'$')
        && length <= length_max
    {
        let end = payload + length + 2;
        if end > limits.request_bytes_max || buf.get(end - 2..end) != Some(b"\r\n") {
            break;
        }
        pos = end;
        args_left -= 1;
    }
    (pos, args_left)
}

/// Number of arguments; zero for a request to be skipped.
fn checked_count(number: Option<i64>, limits: &Limits, authenticated: bool) -> Result<usize, RequestError> {
    let number = number.ok_or(RequestError::InvalidCount)?.max(0);
    let count = usize::try_from(number).map_err(|_| RequestError::InvalidCount)?;
    if count > limits.multibulk_len_max {
        Err(RequestError::InvalidCount)
    } else if count > count_max(limits, authenticated) {
        Err(RequestError::UnauthenticatedCount)
    } else {
        Ok(count)
    }
}

fn checked_length(number: Option<i64>, limits: &Limits, authenticated: bool) -> Result<usize, RequestError> {
    let length = number.and_then(|number| usize::try_from(number).ok()).ok_or(RequestError::InvalidLength)?;
    if length > limits.bulk_bytes_max {
        Err(RequestError::InvalidLength)
    } else if length > length_max(limits, authenticated) {
        Err(RequestError::UnauthenticatedLength)
    } else {
        Ok(length)
    }
}

/// Most arguments the client may send now.
fn count_max(limits: &Limits, authenticated: bool) -> usize {
    if authenticated { limits.multibulk_len_max } else { limits.multibulk_len_max.min(limits.unauthenticated_multibulk_len_max) }
}

/// Longest argument the client may send now.
fn length_max(limits: &Limits, authenticated: bool) -> usize {
    if authenticated { limits.bulk_bytes_max } else { limits.bulk_bytes_max.min(limits.unauthenticated_bulk_bytes_max) }
}

#[cfg(test)]
mod tests;
