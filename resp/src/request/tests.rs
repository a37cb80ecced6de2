use super::*;
use crate::limits::Limits;
use crate::request_scanner::{RequestScanner, Scan};
use proptest::collection::vec;
use proptest::prelude::*;

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n";

fn scan(bytes: &[u8]) -> (usize, Form) {
    match RequestScanner::default().scan(bytes, &Limits::default(), true) {
        Ok(Scan::Found { len, argc, form }) if len == bytes.len() => (argc, form),
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

fn canonical_of(bytes: &[u8]) -> Vec<u8> {
    let (argc, form) = scan(bytes);
    let mut out = Vec::new();
    assert_eq!(canonical(bytes, form, &mut out), Ok(argc));
    out
}

#[test]
fn arguments_are_read_in_place() {
    let request = Request::new(SET, 3);
    assert_eq!((request.bytes(), request.argc(), request.name()), (SET, 3, b"SET".as_slice()));
    assert_eq!(request.args().collect::<Vec<_>>(), [b"SET".as_slice(), b"k", b"hello\r\nworld"]);
    assert_eq!(request.arg(1), Some(b"k".as_slice()));
    assert_eq!(request.arg(3), None);
    let mut args = request.args();
    args.next();
    let bookmark = args;
    assert_eq!(args.next(), bookmark.clone().next());
}

#[test]
fn a_loose_request_is_rewritten_without_touching_its_arguments() {
    assert_eq!(canonical_of(b"*3\rX$3\rYSETzz$1\r\nkzz$12\rZhello\r\nworldzz"), SET);
    assert_eq!(canonical_of(SET), SET);
}

#[test]
fn an_inline_request_is_rewritten_as_multibulk() {
    assert_eq!(canonical_of(b"SET k \"hello\\r\\nworld\"\r\n"), SET);
    assert_eq!(canonical_of(b"''\n"), b"*1\r\n$0\r\n\r\n");
}

#[test]
fn nothing_is_written_for_an_empty_request() {
    assert_eq!(canonical_of(b"*-1\r\n"), b"");
    assert_eq!(canonical_of(b" \r\n"), b"");
}

#[test]
fn unbalanced_quotes_are_refused() {
    assert_eq!(canonical(b"GET 'k\r\n", Form::Inline, &mut Vec::new()), Err(RequestError::UnbalancedQuotes));
}

#[test]
fn bytes_that_are_no_request_have_no_arguments() {
    for bytes in ["", "*", "*1", "*1\r", "*1\r\n", "*1\r\n$", "*1\r\n$4\r\nPIN", "*1\r\n$99999999999999999999\r\n", "*1\r\n$x\r\n"] {
        assert_eq!(Request::new(bytes.as_bytes(), 1).arg(0), None, "{bytes:?}");
        assert_eq!(Request::new(bytes.as_bytes(), 1).name(), b"");
    }
}

/// An argument in double quotes, every byte of it escaped.
fn quoted(arg: &[u8]) -> String {
    let escaped: String = arg.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

proptest! {
    #[test]
    fn arguments_written_are_the_arguments_read(args in vec(vec(any::<u8>(), 0..40), 1..6)) {
        let mut bytes = Vec::new();
        encode_request(&args, &mut bytes);
        prop_assert_eq!(scan(&bytes), (args.len(), Form::Canonical));
        let read: Vec<_> = Request::new(&bytes, args.len()).args().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(read, args);
    }

    #[test]
    fn a_quoted_line_says_the_same_as_multibulk(args in vec(vec(any::<u8>(), 0..10), 1..6)) {
        let line = args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ") + "\r\n";
        let mut multibulk = Vec::new();
        encode_request(&args, &mut multibulk);
        prop_assert_eq!(canonical_of(line.as_bytes()), multibulk);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'$'), Just(b'1'), Just(b'"')], 0..60)) {
        Request::new(&bytes, 3).args().for_each(drop);
        for form in [Form::Canonical, Form::Loose, Form::Inline, Form::Empty] {
            let _ = canonical(&bytes, form, &mut Vec::new());
        }
    }
}
