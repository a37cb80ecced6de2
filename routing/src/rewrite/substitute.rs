//! The requests that the secondary gets instead of the client's, and the replies that they should get.

use std::io::Write;

use super::Arg;

/// Requests and their replies, each back to back, in buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Substitute {
    pub(crate) bytes: Vec<u8>,
    pub(crate) requests: u32,
    pub(crate) expected: Vec<u8>,
}

/// Bytes that stay with an emptied buffer: more than nearly every write has.
const KEPT_BYTES: usize = 64 * 1024;

impl Substitute {
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.bytes, &mut self.expected] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        self.requests = 0;
    }

    /// Adds a request. `fill` says its arguments: once to have them counted, and once more.
    pub(super) fn request(&mut self, fill: impl Fn(Arg<'_>) -> Option<()>) -> Option<()> {
        let mut argc = 0;
        fill(&mut |_| argc += 1)?;
        header(b'*', argc, &mut self.bytes);
        self.requests += 1;
        fill(&mut |arg| {
            header(b'$', arg.len(), &mut self.bytes);
            self.bytes.extend_from_slice(arg);
            self.bytes.extend_from_slice(b"\r\n");
        })
    }

    /// The last request's reply.
    pub(super) fn answered_by(&mut self, reply: &[u8]) {
        self.expected.extend_from_slice(reply);
    }

    /// The last request's reply is a number.
    pub(super) fn expect_number(&mut self, number: u64) {
        write!(self.expected, ":{number}\r\n").expect("a vector takes everything");
    }

    /// The last request's reply is an array of as many ones.
    pub(super) fn expect_ones(&mut self, count: usize) {
        header(b'*', count, &mut self.expected);
        (0..count).for_each(|_| self.expected.extend_from_slice(b":1\r\n"));
    }
}

fn header(sigil: u8, len: usize, out: &mut Vec<u8>) {
    out.push(sigil);
    write!(out, "{len}\r\n").expect("a vector takes everything");
}

/// A number as an argument.
pub(super) struct Digits {
    text: [u8; 20],
    len: usize,
}

impl Digits {
    pub(super) fn of(number: u64) -> Self {
        let mut text = [0; 20];
        let mut rest = &mut text[..];
        write!(rest, "{number}").expect("no number is longer than 20 digits");
        let len = 20 - rest.len();
        Self { text, len }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}
