//! One complete request: reading its arguments in place, and writing requests.
//!
//! In: bytes whose end a [`RequestScanner`](crate::RequestScanner) found. Out: slices of them, or new requests in
//! canonical form (multibulk, every line end exactly `\r\n`). Bytes that are not a request give fewer arguments or
//! none; they never panic.

use crate::decimal::{push_decimal, short_header};
use crate::inline;
use crate::request_scanner::{Form, RequestError};

/// A view of one complete canonical request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    argc: usize,
}

impl<'a> Request<'a> {
    /// A view of `bytes`, which the scanner reported as one [`Form::Canonical`] request of `argc` arguments.
    #[must_use]
    pub fn new(bytes: &'a [u8], argc: usize) -> Self {
        Self { bytes, argc }
    }

    /// The whole request, as it goes onto a lane.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of arguments, the command's name among them.
    #[must_use]
    pub fn argc(&self) -> usize {
        self.argc
    }

    /// The command's name as the client wrote it, in any case. Empty if there is none.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.arg(0).unwrap_or_default()
    }

    /// Argument `index`; 0 is the command's name. Walks over the headers of those before it.
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<&'a [u8]> {
        self.args().nth(index)
    }

    /// All arguments in order, the command's name first.
    #[must_use]
    pub fn args(&self) -> Args<'a> {
        if let Some((_, behind)) = short_header(self.bytes, 0, b'*') {
            return Args { rest: self.bytes.get(behind..).unwrap_or_default(), left: self.argc };
        }
        let count_line = self.bytes.iter().position(|byte| *byte == b'\r');
        let rest = count_line.and_then(|end| self.bytes.get(end + 2..)).unwrap_or_default();
        Args { rest, left: self.argc }
    }
}

/// The requests that stand back to back in `bytes`, each in canonical form. Ends where the bytes are no whole request.
pub fn requests(mut bytes: &[u8]) -> impl Iterator<Item = Request<'_>> {
    std::iter::from_fn(move || {
        let head = bytes.split(|byte| *byte == b'\r').next()?.strip_prefix(b"*")?;
        let argc = std::str::from_utf8(head).ok()?.parse().ok()?;
        let mut args = Request::new(bytes, argc).args();
        if args.by_ref().count() < argc {
            return None;
        }
        let (request, rest) = bytes.split_at(bytes.len() - args.rest.len());
        bytes = rest;
        Some(Request::new(request, argc))
    })
}

/// Iterator over the arguments of a [`Request`]; copying it is a cheap bookmark.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        if let Some((len, payload)) = short_header(self.rest, 0, b'$') {
            let (arg, behind) = self.rest.get(payload..)?.split_at_checked(len)?;
            self.rest = behind.get(2..)?;
            return Some(arg);
        }
        let mut len = 0usize;
        let mut at = 1; // behind the '$'
        loop {
            match *self.rest.get(at)? {
                b'\r' => break,
                digit @ b'0'..=b'9' => len = len.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?,
                _ => return None,
            }
            at += 1;
        }
        // The bytes behind '\r' and behind the payload are skipped unseen, so loose requests are walked as well.
        let (arg, behind) = self.rest.get(at + 2..)?.split_at_checked(len)?;
        self.rest = behind.get(2..)?;
        Some(arg)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// Appends the request `bytes`, of the `form` the scanner reported, to `out` in canonical form. Gives its number
/// of arguments; 0 for [`Form::Empty`], of which nothing is appended.
///
/// # Errors
///
/// [`RequestError::UnbalancedQuotes`] for an inline request with such; the scanner has refused it before.
pub fn canonical(bytes: &[u8], form: Form, out: &mut Vec<u8>) -> Result<usize, RequestError> {
    match form {
        Form::Empty => Ok(0),
        Form::Inline => {
            let words = inline::split(bytes).ok_or(RequestError::UnbalancedQuotes)?;
            encode_request(&words, out);
            Ok(words.len())
        }
        Form::Canonical | Form::Loose => {
            let args: Vec<&[u8]> = Request::new(bytes, usize::MAX).args().collect();
            encode_request(&args, out);
            Ok(args.len())
        }
    }
}

/// Appends a request made of `args`, the command's name first, to `out` in canonical form.
pub fn encode_request(args: impl IntoIterator<Item = impl AsRef<[u8]>, IntoIter: ExactSizeIterator>, out: &mut Vec<u8>) {
    let args = args.into_iter();
    out.push(b'*');
    push_decimal(args.len(), out);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        let arg = arg.as_ref();
        out.push(b'$');
        push_decimal(arg.len(), out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
