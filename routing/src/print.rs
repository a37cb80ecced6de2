//! What a reply looked like, in 16 bytes: enough to say later whether another reply was the same.

use xxhash_rust::xxh3::xxh3_64;

/// A reply's length with its bytes, if they are eight or fewer, or their hash.
///
/// `+OK`, small integers and nil, the answers to most writes, are held exactly. Two long replies that differ have
/// the same print with a chance of 2^-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    len: usize,
    word: u64,
}

impl Print {
    pub(crate) fn of(reply: &[u8]) -> Self {
        let word = match (reply.first_chunk::<4>(), reply.last_chunk::<4>()) {
            // The two halves overlap in a reply of fewer than eight bytes, and still hold all of it.
            (Some(first), Some(last)) if reply.len() <= 8 => {
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
            }
            _ => xxh3_64(reply),
        };
        Self { len: reply.len(), word }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_differ_have_different_prints() {
        let replies: [&[u8]; 7] = [b"+OK\r\n", b":1\r\n", b":10\r\n", b":1234\r\n", b":12345\r\n", b"$3\r\nabc\r\n", b"$3\r\nabd\r\n"];
        for (i, a) in replies.iter().enumerate() {
            for (j, b) in replies.iter().enumerate() {
                assert_eq!(Print::of(a) == Print::of(b), i == j);
            }
        }
    }
}
