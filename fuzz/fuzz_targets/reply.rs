//! Whatever a server sends, and however it is cut: the same replies are found, no byte is lost, and each either
//! decodes or holds what no frame can, while without its last byte it is no reply.
//!
//! Input: one byte for the size of the pieces, then the server's bytes.
#![no_main]

use interlay_resp::{Limits, ReplyError, ReplyKind, ReplyScan, ReplyScanner, decode_reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    // Small limits, so that the fuzzer reaches them.
    let limits = Limits { bulk_bytes_max: 64, multibulk_len_max: 32, nesting_max: 6, ..Limits::default() };
    let whole = scan(bytes, usize::MAX, &limits);
    assert_eq!(whole, scan(bytes, usize::from(*size) + 1, &limits));

    let mut start = 0;
    for (len, _) in whole.0 {
        check_decoded(&bytes[start..start + len]);
        start += len;
    }
});

/// The replies in `bytes`, given `size` bytes at a time, and the error that ends them. Of an overlong text line
/// only the limit counts: how much of it was seen depends on the pieces.
fn scan(bytes: &[u8], size: usize, limits: &Limits) -> (Vec<(usize, ReplyKind)>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::default();
    let (mut found, mut reply_len) = (Vec::new(), 0);
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            match scanner.scan(piece, limits) {
                Ok(ReplyScan::NeedMore) => {
                    reply_len += piece.len();
                    piece = &[];
                }
                Ok(ReplyScan::Complete { len, kind }) => {
                    assert!(len > 0);
                    assert_eq!(scanner.kind(), None);
                    found.push((reply_len + len, kind));
                    reply_len = 0;
                    piece = &piece[len..];
                }
                Err(ReplyError::StringTooLong { max, .. }) => {
                    return (found, Some(ReplyError::StringTooLong { len: 0, max }));
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn check_decoded(reply: &[u8]) {
    let decoded = decode_reply(reply);
    // The decoder takes a verbatim string without its format for one that goes on: that is no whole reply either.
    assert!(matches!(decoded, Ok(_) | Err(ReplyError::Undecodable { .. } | ReplyError::NotOneReply)), "{decoded:?}");
    assert_eq!(decode_reply(&reply[..reply.len() - 1]), Err(ReplyError::NotOneReply));
}
