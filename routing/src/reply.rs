//! What whole replies say, read from their bytes.

use interlay_resp::{Limits, ReplyKind, ReplyScan, ReplyScanner};

/// The elements of an array's bytes, which a scanner has found to be whole. None of anything else.
pub fn elements<'a>(reply: &'a [u8], limits: &Limits) -> impl Iterator<Item = (&'a [u8], ReplyKind)> {
    let head = reply.iter().position(|byte| *byte == b'\n').map_or(reply.len(), |end| end + 1);
    replies(if reply.first() == Some(&b'*') { reply.get(head..).unwrap_or_default() } else { &[] }, limits)
}

/// Replies that stand back to back.
pub(crate) fn replies<'a>(mut rest: &'a [u8], limits: &Limits) -> impl Iterator<Item = (&'a [u8], ReplyKind)> {
    std::iter::from_fn(move || {
        let Ok(ReplyScan::Complete { len, kind }) = ReplyScanner::default().scan(rest, limits) else { return None };
        let (element, behind) = rest.split_at(len);
        rest = behind;
        Some((element, kind))
    })
}

/// Nil, which every protocol writes in its own way.
pub(crate) fn is_nil(reply: &[u8]) -> bool {
    matches!(reply, b"_\r\n" | b"$-1\r\n" | b"*-1\r\n")
}

pub(crate) fn is_error(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'-' | b'!'))
}

/// The first error among replies that stand back to back.
pub(crate) fn first_error<'a>(back_to_back: &'a [u8], limits: &Limits) -> Option<&'a [u8]> {
    replies(back_to_back, limits).find(|(_, kind)| *kind == ReplyKind::Error).map(|(reply, _)| reply)
}

/// The bytes of a bulk string.
pub(crate) fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let head = reply.iter().position(|byte| *byte == b'\n')? + 1;
    reply.strip_prefix(b"$")?;
    reply.get(head..reply.len().checked_sub(2)?)
}

/// A number that is not negative, as an integer or in a string.
pub(crate) fn number(reply: &[u8]) -> Option<u64> {
    let digits = if reply.first() == Some(&b'$') { bulk(reply)? } else { reply.strip_prefix(b":")?.strip_suffix(b"\r\n")? };
    std::str::from_utf8(digits).ok()?.parse().ok()
}
