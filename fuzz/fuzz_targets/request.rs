//! Whatever a client sends, and however it is cut: the same requests are found, no byte is lost, and a rewritten
//! request is canonical and says the same.
//!
//! Input: one byte for the sizes of the pieces, then the client's bytes.
#![no_main]

use interlay_resp::{Form, Limits, Request, RequestError, RequestScanner, Scan, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    // Small limits, so that the fuzzer reaches them.
    let limits = Limits {
        bulk_bytes_max: 64,
        inline_bytes_max: 32,
        request_bytes_max: 256,
        unauthenticated_multibulk_len_max: 2,
        unauthenticated_bulk_bytes_max: 8,
        ..Limits::default()
    };
    let authenticated = size & 1 == 0;
    let whole = scan(bytes, usize::MAX, &limits, authenticated);
    assert_eq!(whole, scan(bytes, usize::from(size >> 1) + 1, &limits, authenticated));

    let mut start = 0;
    for (len, argc, form) in whole.0 {
        check_canonical(&bytes[start..start + len], argc, form);
        start += len;
    }
});

/// The requests in `bytes`, given `size` bytes at a time, and the error that ends them.
fn scan(bytes: &[u8], size: usize, limits: &Limits, authenticated: bool) -> (Vec<(usize, usize, Form)>, Option<RequestError>) {
    let mut scanner = RequestScanner::default();
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match scanner.scan(&bytes[start..end], limits, authenticated) {
            Ok(Scan::Found { len, argc, form }) => {
                assert!(len > 0 && start + len <= end);
                found.push((len, argc, form));
                start += len;
            }
            Ok(Scan::NeedMore { missing }) => {
                assert!(missing > 0);
                if end == bytes.len() {
                    return (found, None);
                }
                end = bytes.len().min(usize::saturating_add(end, size));
            }
            Err(error) => return (found, Some(error)),
        }
    }
}

fn check_canonical(request: &[u8], argc: usize, form: Form) {
    let mut rewritten = Vec::new();
    assert_eq!(canonical(request, form, &mut rewritten), Ok(argc));
    if form == Form::Canonical {
        assert_eq!(request, rewritten);
    }
    let (found, error) = scan(&rewritten, usize::MAX, &Limits::default(), true);
    assert_eq!(error, None);
    if form == Form::Empty {
        assert_eq!((argc, found.len()), (0, 0));
    } else {
        assert_eq!(found, [(rewritten.len(), argc, Form::Canonical)]);
        assert_eq!(Request::new(&rewritten, argc).args().count(), argc);
    }
}
