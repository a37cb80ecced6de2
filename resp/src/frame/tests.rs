use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::types::Resp2Frame as _;
use redis_protocol::resp3::encode::complete::encode as peer_encode;
use redis_protocol::resp3::types::{FrameMap, VerbatimStringFormat};

#[track_caller]
fn assert_decoded(bytes: &[u8], frame: Frame) {
    assert_eq!(decode_reply(bytes), Ok(frame), "{}", bytes.escape_ascii());
}

fn number(data: i64) -> Frame {
    Frame::Number { data, attributes: None }
}

#[test]
fn each_type_of_resp2_is_the_frame_of_that_name() {
    let attributes = None;
    assert_decoded(b"+OK\r\n", Frame::SimpleString { data: b"OK".to_vec(), attributes: None });
    assert_decoded(b"-ERR x\r\n", Frame::SimpleError { data: "ERR x".to_owned(), attributes: None });
    assert_decoded(b":-1\r\n", number(-1));
    assert_decoded(b"$3\r\na\r\n\r\n", Frame::BlobString { data: b"a\r\n".to_vec(), attributes: None });
    let error = Frame::SimpleError { data: "ERR y".to_owned(), attributes: None };
    assert_decoded(b"*2\r\n-ERR y\r\n:2\r\n", Frame::Array { data: vec![error, number(2)], attributes });
}

#[test]
fn both_nils_of_resp2_are_null() {
    let data = vec![Frame::Null, Frame::Null, number(1)];
    assert_decoded(b"*3\r\n$-1\r\n*-1\r\n:1\r\n", Frame::Array { data, attributes: None });
}

#[test]
fn maps_and_attributes_are_in_the_order_of_the_server() {
    let numbers = |map: &FrameMap<Frame, Frame>| map.iter().map(|pair| format!("{pair:?}")).collect::<Vec<_>>();
    let expected = [(3, 1), (1, 2), (2, 3)].map(|(key, value)| format!("{:?}", (number(key), number(value))));
    let pairs = ":3\r\n:1\r\n:1\r\n:2\r\n:2\r\n:3\r\n";
    match decode_reply(format!("|3\r\n{pairs}%3\r\n{pairs}").as_bytes()) {
        Ok(Frame::Map { data, attributes: Some(attributes) }) => {
            assert_eq!(numbers(&data), expected);
            assert_eq!(numbers(&attributes), expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_that_quotes_binary_is_still_decoded() {
    let data = "ERR unknown command '\u{fffd}'".to_owned();
    assert_decoded(b"-ERR unknown command '\xff'\r\n", Frame::SimpleError { data, attributes: None });
}

#[test]
fn error_text_stays_on_its_line() {
    let mut out = Vec::new();
    error("ERR a\r\n+OK", &mut out);
    assert_eq!(out, b"-ERR a  +OK\r\n");
}

#[test]
fn anything_but_one_reply_is_refused() {
    for bytes in ["", "+OK", "+OK\r\n+OK\r\n", "*2\r\n:1\r\n"] {
        assert_eq!(decode_reply(bytes.as_bytes()), Err(ReplyError::NotOneReply), "{bytes:?}");
    }
    assert!(matches!(decode_reply(b":x\r\n"), Err(ReplyError::Undecodable { .. })));
    let deep = "*1\r\n".repeat(100_000);
    assert_eq!(decode_reply(deep.as_bytes()), Err(ReplyError::TooDeep { max: 128 }));
}

fn leaf() -> impl Strategy<Value = Frame> {
    let attributes = None;
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(|data| Frame::BlobString { data, attributes: None }),
        "[a-zA-Z ]{0,20}".prop_map(|text| Frame::SimpleString { data: text.into_bytes(), attributes: None }),
        "[A-Z]{3} [a-z\u{e9}]{0,20}".prop_map(|data| Frame::SimpleError { data, attributes: None }),
        vec(any::<u8>(), 0..20).prop_map(|data| Frame::BlobError { data, attributes: None }),
        any::<i64>().prop_map(|data| Frame::Number { data, attributes: None }),
        (-1_000_000i64..1_000_000).prop_map(|n| Frame::Double { data: n as f64 / 64.0, attributes: None }),
        any::<bool>().prop_map(|data| Frame::Boolean { data, attributes: None }),
        "-?[1-9][0-9]{20,30}".prop_map(|text| Frame::BigNumber { data: text.into_bytes(), attributes: None }),
        vec(any::<u8>(), 0..20).prop_map(|data| Frame::VerbatimString { data, format: VerbatimStringFormat::Text, attributes: None }),
        Just(Frame::Null),
        Just(Frame::Array { data: Vec::new(), attributes }),
    ]
}

/// Number keys differ, so no map or set loses an entry.
fn number_keys(values: Vec<Frame>) -> FrameMap<Frame, Frame> {
    values.into_iter().zip(0i64..).map(|(value, data)| (Frame::Number { data, attributes: None }, value)).collect()
}

fn with_attributes(mut frame: Frame, values: Vec<Frame>) -> Frame {
    if !values.is_empty() && !matches!(frame, Frame::Null) {
        frame.add_attributes(number_keys(values)).unwrap();
    }
    frame
}

fn resp3_frame() -> impl Strategy<Value = Frame> {
    let element = leaf().prop_recursive(4, 40, 5, |inner| {
        let values = vec(inner.clone(), 0..5);
        prop_oneof![
            values.clone().prop_map(|data| Frame::Array { data, attributes: None }),
            values.clone().prop_map(|values| Frame::Map { data: number_keys(values), attributes: None }),
            (0i64..5).prop_map(|len| {
                let members = (0..len).map(|data| Frame::Number { data, attributes: None });
                Frame::Set { data: members.collect(), attributes: None }
            }),
            (inner, values).prop_map(|(frame, values)| with_attributes(frame, values)),
        ]
    });
    prop_oneof![
        4 => element.clone(),
        1 => vec(element, 1..4).prop_map(|data| Frame::Push { data, attributes: None }),
    ]
}

fn resp2_frame() -> impl Strategy<Value = Resp2Frame> {
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Resp2Frame::BulkString),
        "[a-zA-Z ]{0,20}".prop_map(|text| Resp2Frame::SimpleString(text.into_bytes())),
        "[A-Z]{3} [a-z]{0,20}".prop_map(Resp2Frame::Error),
        any::<i64>().prop_map(Resp2Frame::Integer),
        Just(Resp2Frame::Null),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| vec(inner, 0..5).prop_map(Resp2Frame::Array))
}

/// Asserts that the scanner finds exactly `replies` in their concatenation, cut into pieces of `size` bytes.
#[track_caller]
fn assert_boundaries(replies: &[Vec<u8>], size: usize) {
    let mut scanner = ReplyScanner::default();
    let mut lens = Vec::new();
    let mut len = 0;
    for mut piece in replies.concat().chunks(size) {
        while !piece.is_empty() {
            match scanner.scan(piece, &Limits::default()).unwrap() {
                ReplyScan::NeedMore => {
                    len += piece.len();
                    piece = &[];
                }
                ReplyScan::Complete { len: read, .. } => {
                    lens.push(len + read);
                    len = 0;
                    piece = &piece[read..];
                }
            }
        }
    }
    assert_eq!((lens, len), (replies.iter().map(Vec::len).collect(), 0));
}

fn peer_encoded(frame: &Frame) -> Vec<u8> {
    let mut out = vec![0; frame.encode_len(false)];
    let len = peer_encode(&mut out, frame, false).unwrap();
    out.truncate(len);
    out
}

proptest! {
    #[test]
    fn scanner_and_redis_protocol_agree_on_resp3(frames in vec(resp3_frame(), 1..5), size in 1usize..50) {
        let replies: Vec<_> = frames.iter().map(peer_encoded).collect();
        assert_boundaries(&replies, size);
    }

    #[test]
    fn scanner_and_redis_protocol_agree_on_resp2(frames in vec(resp2_frame(), 1..5), size in 1usize..50) {
        let replies: Vec<_> = frames.iter().map(|frame| {
            let mut out = vec![0; frame.encode_len(false)];
            resp2::encode::encode(&mut out, frame, false).unwrap();
            out
        }).collect();
        assert_boundaries(&replies, size);
        for (frame, reply) in frames.into_iter().zip(&replies) {
            prop_assert_eq!(decode_reply(reply), Ok(from_resp2(frame)));
        }
    }

    #[test]
    fn a_decoded_frame_has_all_its_bytes_in_order(frame in resp3_frame()) {
        let bytes = peer_encoded(&frame);
        let again = peer_encoded(&decode_reply(&bytes).unwrap());
        prop_assert_eq!(again.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(prop_oneof![
        prop::sample::select(b"+-:$*_#,(!=%~>|?txt:\r\n".as_slice()),
        prop::sample::select(b"0123".as_slice()),
        Just(b'\n'),
        Just(b'\r'),
    ], 0..60)) {
        let _ = decode_reply(&bytes);
    }
}
