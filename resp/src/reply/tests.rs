use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Ends and kinds of all replies in `bytes`, given in pieces of the given sizes.
fn scan_pieces(bytes: &[u8], sizes: &[usize], limits: &Limits) -> (Vec<(usize, ReplyKind)>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::default();
    let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
    let (mut ends, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let until = bytes.len().min(at + sizes.next().unwrap_or(bytes.len()));
        let mut piece = &bytes[at..until];
        at = until;
        while !piece.is_empty() {
            match scanner.scan(piece, limits) {
                Ok(ReplyScan::NeedMore) => piece = &[],
                Ok(ReplyScan::Complete { len, kind }) => {
                    piece = &piece[len..];
                    ends.push((at - piece.len(), kind));
                    assert_eq!(scanner.kind(), None);
                }
                Err(error) => return (ends, Some(error)),
            }
        }
    }
    (ends, None)
}

#[track_caller]
fn assert_reply(bytes: &str, kind: ReplyKind) {
    for size in [1, 2, 3, usize::MAX / 2] {
        let (ends, error) = scan_pieces(bytes.as_bytes(), &[size], &Limits::default());
        assert_eq!((ends.as_slice(), error), ([(bytes.len(), kind)].as_slice(), None), "{bytes:?} by {size}");
    }
}

#[track_caller]
fn assert_refused(bytes: &str, limits: &Limits, expected: &ReplyError) {
    for size in [1, usize::MAX / 2] {
        let (_, error) = scan_pieces(bytes.as_bytes(), &[size], limits);
        assert_eq!(error.as_ref(), Some(expected), "{bytes:?} by {size}");
    }
}

#[test]
fn every_type_ends_where_it_ends() {
    assert_reply("+OK\r\n", ReplyKind::Simple);
    assert_reply("+\r\n", ReplyKind::Simple);
    assert_reply("+a\rb\nc\r\r\n", ReplyKind::Simple);
    assert_reply("-ERR no\r\n", ReplyKind::Error);
    assert_reply("!3\r\nERR\r\n", ReplyKind::Error);
    assert_reply(":-12\r\n", ReplyKind::Integer);
    assert_reply("$5\r\na\r\nbc\r\n", ReplyKind::Bulk);
    assert_reply("$0\r\n\r\n", ReplyKind::Bulk);
    assert_reply("$-1\r\n", ReplyKind::Nil);
    assert_reply("*-1\r\n", ReplyKind::Nil);
    assert_reply("_\r\n", ReplyKind::Nil);
    assert_reply("*0\r\n", ReplyKind::Array);
    assert_reply("*3\r\n*2\r\n$-1\r\n*0\r\n*-1\r\n_\r\n", ReplyKind::Array);
    assert_reply("#t\r\n", ReplyKind::Other);
    assert_reply(",inf\r\n", ReplyKind::Other);
    assert_reply("(12345678901234567890123\r\n", ReplyKind::Other);
    assert_reply("=7\r\ntxt:abc\r\n", ReplyKind::Other);
    assert_reply("%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n", ReplyKind::Other);
    assert_reply("~2\r\n:1\r\n:2\r\n", ReplyKind::Other);
    assert_reply(">2\r\n$7\r\nmessage\r\n$1\r\nm\r\n", ReplyKind::Push);
}

#[test]
fn an_attribute_belongs_to_the_reply_behind_it() {
    assert_reply("|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n", ReplyKind::Bulk);
    assert_reply("|0\r\n:1\r\n", ReplyKind::Integer);
    assert_reply("|1\r\n+a\r\n*1\r\n|1\r\n+b\r\n:1\r\n:2\r\n-ERR x\r\n", ReplyKind::Error);
    assert_reply("*2\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n", ReplyKind::Array);
}

#[test]
fn the_kind_is_known_once_the_first_header_settles_it() {
    let mut scanner = ReplyScanner::default();
    let mut kind_after = |bytes: &str| {
        assert_eq!(scanner.scan(bytes.as_bytes(), &Limits::default()), Ok(ReplyScan::NeedMore));
        scanner.kind()
    };
    assert_eq!(kind_after("|1\r\n+key\r\n"), None);
    assert_eq!(kind_after("$1\r\n"), None);
    assert_eq!(kind_after("v\r\n*"), None);
    assert_eq!(kind_after("2\r\n"), Some(ReplyKind::Array));
    assert_eq!(kind_after(":1\r\n+"), Some(ReplyKind::Array));
    assert_eq!(scanner.scan(b"\r\n+OK\r\n", &Limits::default()), Ok(ReplyScan::Complete { len: 2, kind: ReplyKind::Array }));
}

#[test]
fn bytes_that_are_no_reply_are_refused() {
    let limits = Limits::default();
    assert_refused("x", &limits, &ReplyError::UnknownType { byte: b'x' });
    assert_refused("*1\r\n\r", &limits, &ReplyError::UnknownType { byte: b'\r' });
    for length in ["", "+1", "01", "-2", "-", "1x", "99999999999999999999"] {
        assert_refused(&format!("${length}\r\n"), &limits, &ReplyError::InvalidLength { of: b'$' });
    }
    for of in *b"%~>|!=" {
        assert_refused(&format!("{}-1\r\n", char::from(of)), &limits, &ReplyError::InvalidLength { of });
    }
    assert_refused("$?\r\n", &limits, &ReplyError::Streamed { of: b'$' });
    assert_refused("*?\r\n", &limits, &ReplyError::Streamed { of: b'*' });
    assert_refused("*1\rx", &limits, &ReplyError::LineEnd { byte: b'x' });
    assert_refused("$1\r\nabc", &limits, &ReplyError::LineEnd { byte: b'b' });
    assert_refused("$1\r\na\rc", &limits, &ReplyError::LineEnd { byte: b'c' });
    assert_refused("*1\r\n>1\r\n:1\r\n", &limits, &ReplyError::NestedPush);
}

#[test]
fn limits_hold_before_the_bytes_arrive() {
    let limits = Limits { bulk_bytes_max: 5, multibulk_len_max: 3, nesting_max: 2, ..Limits::default() };
    assert_refused("$6\r\n", &limits, &ReplyError::StringTooLong { len: 6, max: 5 });
    assert_refused("*4\r\n", &limits, &ReplyError::AggregateTooLong { len: 4, max: 3 });
    assert_refused("*1\r\n%1\r\n:1\r\n*1\r\n", &limits, &ReplyError::TooDeep { max: 2 });
    assert_eq!(scan_pieces(b"$5\r\nabcde\r\n+abcde\r\n*1\r\n*3\r\n*0\r\n:1\r\n:2\r\n", &[], &limits).1, None);
    let (_, error) = scan_pieces(b"+abcdef\r\n", &[], &limits);
    assert!(matches!(error, Some(ReplyError::StringTooLong { max: 5, .. })), "{error:?}");
}

#[test]
fn long_text_is_read_once_however_it_is_cut() {
    let text = format!("-ERR {}\r\n", "x\r".repeat(5000));
    assert_reply(&text, ReplyKind::Error);
}

proptest! {
    #[test]
    fn random_bytes_give_the_same_however_they_are_cut(
        bytes in vec(prop_oneof![
            4 => prop::sample::select(b"+-:$*_#,(!=%~>|?\r\n".as_slice()),
            2 => prop::sample::select(b"0123".as_slice()),
            1 => any::<u8>(),
            3 => Just(b'\n'),
            3 => Just(b'\r'),
        ], 0..80),
        sizes in vec(0usize..5, 0..5),
    ) {
        let limits = Limits { nesting_max: 4, ..Limits::default() };
        prop_assert_eq!(scan_pieces(&bytes, &sizes, &limits), scan_pieces(&bytes, &[], &limits));
    }
}
