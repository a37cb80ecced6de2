use super::*;
use crate::request::encode_request;
use proptest::collection::vec;
use proptest::prelude::*;

/// Scans a whole connection's bytes, arriving in pieces of the given sizes, as a session does.
fn scan_pieces(bytes: &[u8], sizes: &[usize], limits: &Limits) -> (Vec<Scan>, Option<RequestError>) {
    let mut scanner = RequestScanner::default();
    let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match scanner.scan(&bytes[start..end], limits, true) {
            Ok(scan @ Scan::Found { len, .. }) => {
                found.push(scan);
                start += len;
                assert!(start <= end, "found more than was given");
            }
            Ok(Scan::NeedMore { missing }) => {
                assert!(missing > 0);
                if end == bytes.len() {
                    return (found, None);
                }
                end = bytes.len().min(end + sizes.next().unwrap_or(usize::MAX / 2));
            }
            Err(error) => return (found, Some(error)),
        }
    }
}

fn scan_whole(bytes: &[u8]) -> Result<Scan, RequestError> {
    RequestScanner::default().scan(bytes, &Limits::default(), true)
}

fn found(len: usize, argc: usize, form: Form) -> Result<Scan, RequestError> {
    Ok(Scan::Found { len, argc, form })
}

#[track_caller]
fn assert_refused(authenticated: bool, bytes: &[u8], text: &str) {
    for size in [1, usize::MAX] {
        let mut scanner = RequestScanner::default();
        let mut end = 0usize;
        let error = loop {
            end = bytes.len().min(end.saturating_add(size));
            match scanner.scan(&bytes[..end], &Limits::default(), authenticated) {
                Err(error) => break error,
                Ok(scan) => assert!(end < bytes.len(), "{} gave {scan:?}", bytes[..end.min(40)].escape_ascii()),
            }
        };
        assert_eq!(error.to_string(), text, "{}", bytes[..bytes.len().min(40)].escape_ascii());
    }
}

// Every text and every verdict is what Redis 7.0 answered to these bytes.
#[test]
fn errors_are_worded_as_redis_words_them() {
    for count in ["+1", "01", " 1", "1 ", "", "-0", "a", "1\n", "2147483648", "9223372036854775808", "-9223372036854775809"] {
        assert_refused(true, format!("*{count}\r\n").as_bytes(), "Protocol error: invalid multibulk length");
    }
    for length in ["", "-1", "+4", "04", " 4", "4 ", "536870913"] {
        assert_refused(true, format!("*1\r\n${length}\r\n").as_bytes(), "Protocol error: invalid bulk length");
    }
    assert_refused(true, b"*1\r\nX\r\n", "Protocol error: expected '$', got 'X'");
    assert_refused(true, b"*1\r\n'\r\n", "Protocol error: expected '$', got '''");
    assert_refused(true, b"*1\r\n\r\n", "Protocol error: expected '$', got ' '");
    assert_refused(true, b"*1\r\n\n\r\n", "Protocol error: expected '$', got ' '");
    assert_refused(true, b"ECHO \"a\n", "Protocol error: unbalanced quotes in request");
    assert_refused(true, b"ECHO 'a'b\r\n", "Protocol error: unbalanced quotes in request");
    assert_refused(true, &[b'a'; 65537], "Protocol error: too big inline request");
    assert_refused(true, &[b"*", [b'1'; 65536].as_slice()].concat(), "Protocol error: too big mbulk count string");
    assert_refused(true, &[b"*1\r\n$", [b'1'; 65536].as_slice()].concat(), "Protocol error: too big bulk count string");
    assert_refused(true, &[b"*1\r\n", [b'x'; 65537].as_slice()].concat(), "Protocol error: too big bulk count string");
    assert_refused(false, b"*11\r\n", "Protocol error: unauthenticated multibulk length");
    assert_refused(false, b"*1\r\n$16385\r\n", "Protocol error: unauthenticated bulk length");
    assert_refused(false, b"*2147483648\r\n", "Protocol error: invalid multibulk length");
    assert_refused(false, b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
}

#[test]
fn what_redis_waits_for_is_waited_for() {
    let long_line = [b'a'; 65536];
    let long_count = [b"*", [b'1'; 65535].as_slice()].concat();
    for bytes in [b"".as_slice(), b"*1\r\nX", b"*1\r\nX\r", b"*2147483647\r\n", b"*1\r\n$536870912\r\n", b"PING", &long_line, &long_count] {
        assert!(matches!(scan_whole(bytes), Ok(Scan::NeedMore { .. })), "{}", bytes.escape_ascii());
    }
    for bytes in [b"*10\r\n".as_slice(), b"*1\r\n$16384\r\n"] {
        let scan = RequestScanner::default().scan(bytes, &Limits::default(), false);
        assert!(matches!(scan, Ok(Scan::NeedMore { .. })), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_form_is_told_from_the_others() {
    assert_eq!(scan_whole(b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\nrest"), found(20, 2, Form::Canonical));
    assert_eq!(scan_whole(b"*1\rX$4\r\nPING\r\n"), found(14, 1, Form::Loose));
    assert_eq!(scan_whole(b"*1\r\n$4\rXPING\r\n"), found(14, 1, Form::Loose));
    assert_eq!(scan_whole(b"*1\r\n$4\r\nPINGab"), found(14, 1, Form::Loose));
    assert_eq!(scan_whole(b"SET k 'a b'\nPING"), found(12, 3, Form::Inline));
    for blank in ["\n", "\r\n", " \t\x0b \r\n", "*0\r\n", "*-1\r\n", "*-2147483649\r\n", "*-9223372036854775808\r\n", "*0\rX"] {
        assert_eq!(scan_whole(blank.as_bytes()), found(blank.len(), 0, Form::Empty), "{blank:?}");
    }
}

#[test]
fn a_loose_request_does_not_taint_the_next() {
    let (found, error) = scan_pieces(b"*1\rX$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", &[], &Limits::default());
    let forms = [Form::Loose, Form::Canonical].map(|form| Scan::Found { len: 14, argc: 1, form });
    assert_eq!((found.as_slice(), error), (forms.as_slice(), None));
}

#[test]
fn missing_bytes_of_an_argument_are_counted_to_its_end() {
    let mut scanner = RequestScanner::default();
    let mut scan = |bytes: &[u8]| scanner.scan(bytes, &Limits::default(), true);
    assert_eq!(scan(b"*1\r\n$5\r"), Ok(Scan::NeedMore { missing: 1 }));
    assert_eq!(scan(b"*1\r\n$5\r\n"), Ok(Scan::NeedMore { missing: 7 }));
    assert_eq!(scan(b"*1\r\n$5\r\nHELLO\r"), Ok(Scan::NeedMore { missing: 1 }));
    assert_eq!(scan(b"*1\r\n$5\r\nHELLO\r\n"), found(15, 1, Form::Canonical));
}

#[test]
fn a_request_over_its_limit_is_refused_before_its_bytes_arrive() {
    let limits = Limits { request_bytes_max: 30, ..Limits::default() };
    let scan = |bytes: &[u8]| RequestScanner::default().scan(bytes, &limits, true);
    assert_eq!(scan(b"*2\r\n$1\r\na\r\n$12\r\n"), Ok(Scan::NeedMore { missing: 14 }));
    assert_eq!(scan(b"*2\r\n$1\r\na\r\n$13\r\n"), Err(RequestError::TooLarge { max: 30 }));
    let many_empty = [b"*1000\r\n".as_slice(), &b"$0\r\n\r\n".repeat(5)].concat();
    assert_eq!(scan(&many_empty), Err(RequestError::TooLarge { max: 30 }));
}

#[test]
fn lengths_up_to_the_largest_number_do_not_overflow() {
    let limits = Limits { bulk_bytes_max: usize::MAX, request_bytes_max: usize::MAX, ..Limits::default() };
    let mut scanner = RequestScanner::default();
    let scan = scanner.scan(b"*1\r\n$9223372036854775807\r\n", &limits, true);
    assert_eq!(scan, Ok(Scan::NeedMore { missing: i64::MAX as usize + 2 }));
}

/// One request in any form, or something close to one.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let args = vec(vec(any::<u8>(), 0..20), 1..6);
    prop_oneof![
        4 => args.prop_map(|args| {
            let mut out = Vec::new();
            encode_request(&args, &mut out);
            out
        }),
        1 => r#"[a-z "'\\]{0,12}\r?\n"#.prop_map(String::into_bytes),
        1 => Just(b"*1\rX$4\rYPINGZZ".to_vec()),
        1 => Just(b"*0\r\n".to_vec()),
        1 => r"[*$][-+0-9]{0,3}\r[\n ]".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn boundaries_do_not_depend_on_how_the_bytes_are_cut(
        requests in vec(request(), 0..8),
        sizes in vec(0usize..12, 0..6),
    ) {
        let bytes = requests.concat();
        let limits = Limits { inline_bytes_max: 8, ..Limits::default() };
        prop_assert_eq!(scan_pieces(&bytes, &sizes, &limits), scan_pieces(&bytes, &[], &limits));
    }

    #[test]
    fn encoded_requests_are_found_one_by_one(requests in vec(vec(vec(any::<u8>(), 0..300), 1..5), 1..5)) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for args in &requests {
            let start = bytes.len();
            encode_request(args, &mut bytes);
            expected.push(Scan::Found { len: bytes.len() - start, argc: args.len(), form: Form::Canonical });
        }
        prop_assert_eq!(scan_pieces(&bytes, &[], &Limits::default()), (expected, None));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'*'), Just(b'$'), Just(b'1')], 0..60)) {
        scan_pieces(&bytes, &[1], &Limits::default());
    }
}
