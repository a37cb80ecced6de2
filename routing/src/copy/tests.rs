use super::*;

const NEW: Destination = Destination { stream_counters: true, clock_ahead_ms: 0 };
const OLD: Destination = Destination { stream_counters: false, clock_ahead_ms: 1000 };

/// Requests as lines; empty arguments as `''`.
fn lines(requests: &[u8]) -> Vec<String> {
    let word = |arg: &[u8]| if arg.is_empty() { "''".to_owned() } else { String::from_utf8_lossy(arg).into_owned() };
    interlay_resp::requests(requests).map(|request| request.args().map(word).collect::<Vec<_>>().join(" ")).collect()
}

/// What stands between MULTI and EXEC, without the DEL in front.
fn rebuilt(kind: Kind, deadline_ms: u64, replies: &str, destination: &Destination) -> Result<Vec<String>, CopyError> {
    let mut out = Vec::new();
    let result = rebuild(kind, b"k", deadline_ms, replies.as_bytes(), destination, &mut out);
    let all = lines(&out);
    assert_eq!(result.as_ref().map_or(0, |count| *count as usize), all.len());
    result.map(|_| {
        assert_eq!((all[0].as_str(), all[1].as_str(), all[all.len() - 1].as_str()), ("MULTI", "DEL k", "EXEC"));
        all[2..all.len() - 1].to_vec()
    })
}

fn error(kind: Kind, replies: &str) -> CopyError {
    rebuilt(kind, 0, replies, &NEW).expect_err("no copy")
}

#[test]
fn types_are_told_by_name() {
    assert_eq!(Kind::of(b"+zset\r\n"), Some(Kind::Zset));
    for other in ["+none\r\n", "+ReJSON-RL\r\n", "-ERR\r\n", ""] {
        assert_eq!(Kind::of(other.as_bytes()), None);
    }
}

#[test]
fn each_type_is_made_from_either_protocol() {
    let table: &[(Kind, &[&str], &str)] = &[
        (Kind::String, &["$1\r\nv\r\n"], "SET k v"),
        (Kind::String, &["$0\r\n\r\n"], "SET k ''"),
        (Kind::List, &["*2\r\n$1\r\nb\r\n$1\r\na\r\n"], "RPUSH k b a"),
        (Kind::Set, &["*1\r\n$1\r\nm\r\n", "~1\r\n$1\r\nm\r\n"], "SADD k m"),
        (Kind::Hash, &["*2\r\n$1\r\nf\r\n$1\r\nv\r\n", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n"], "HSET k f v"),
        (Kind::Zset, &["*2\r\n$1\r\nm\r\n$3\r\ninf\r\n", "*1\r\n*2\r\n$1\r\nm\r\n,inf\r\n"], "ZADD k inf m"),
    ];
    for (kind, replies, request) in table {
        for reply in *replies {
            assert_eq!(rebuilt(*kind, 0, reply, &NEW).expect("a copy"), [*request], "{reply:?}");
            assert_eq!(rebuilt(*kind, 7, reply, &NEW).expect("a copy"), [*request, "PEXPIREAT k 7"], "{reply:?}");
        }
    }
}

#[test]
fn a_key_that_has_changed_is_told_from_a_reply_that_makes_no_sense() {
    for gone in ["*0\r\n", "$-1\r\n", "_\r\n", "%0\r\n", "-WRONGTYPE of another type\r\n"] {
        assert_eq!(error(Kind::Hash, gone), CopyError::Changed, "{gone:?}");
    }
    assert_eq!(error(Kind::Stream, "-ERR no such key\r\n"), CopyError::Changed);
    let no_sense = [
        (Kind::Hash, ""),
        (Kind::Hash, "*2\r\n$1\r\nf\r\n"),
        (Kind::Hash, "*1\r\n$1\r\nf\r\n"),
        (Kind::Hash, "-LOADING\r\n"),
        (Kind::String, "*1\r\n:1\r\n"),
        (Kind::Zset, "*1\r\n*1\r\n$1\r\nm\r\n"),
        (Kind::Stream, "*2\r\n$7\r\nentries\r\n*0\r\n"),
        (Kind::Stream, "*4\r\n+entries\r\n*1\r\n:1\r\n+groups\r\n*0\r\n"),
    ];
    for (kind, replies) in no_sense {
        assert!(matches!(error(kind, replies), CopyError::Unexpected { .. }), "{replies:?}");
    }
    assert_eq!(error(Kind::Set, "-NOPERM no\r\n").to_string(), "NOPERM no where what the key holds was expected");
}

#[test]
fn what_is_pending_of_a_deleted_entry_is_added_claimed_and_deleted() {
    let info = "*12\r\n+length\r\n:1\r\n+last-generated-id\r\n+9-0\r\n+max-deleted-entry-id\r\n+3-0\r\n+entries-added\r\n:4\r\n\
                +entries\r\n*1\r\n*2\r\n+5-0\r\n*2\r\n+f\r\n+v\r\n\
                +groups\r\n*1\r\n*10\r\n+name\r\n+g\r\n+last-delivered-id\r\n+5-0\r\n+entries-read\r\n:3\r\n\
                +pending\r\n*3\r\n*4\r\n+3-0\r\n+c\r\n:70\r\n:1\r\n*4\r\n+5-0\r\n+c\r\n:70\r\n:1\r\n*4\r\n+6-0\r\n+c\r\n:70\r\n:2\r\n\
                +consumers\r\n*2\r\n*2\r\n+name\r\n+c\r\n*2\r\n+name\r\n+idle\r\n";
    let begin = ["XADD k 3-0 '' ''", "XADD k 5-0 f v", "XADD k 6-0 '' ''"];
    let consumers = ["XGROUP CREATECONSUMER k g c", "XGROUP CREATECONSUMER k g idle"];
    let new = [
        &begin[..],
        &["XGROUP CREATE k g 5-0 ENTRIESREAD 3"],
        &consumers,
        &["XCLAIM k g c 0 3-0 5-0 TIME 70 RETRYCOUNT 1 FORCE JUSTID", "XCLAIM k g c 0 6-0 TIME 70 RETRYCOUNT 2 FORCE JUSTID"],
        &["XDEL k 3-0 6-0", "XSETID k 9-0 ENTRIESADDED 4 MAXDELETEDID 3-0"],
    ];
    assert_eq!(rebuilt(Kind::Stream, 0, info, &NEW).expect("a copy"), new.concat());
    let old = [
        &begin[..],
        &["XGROUP CREATE k g 5-0"],
        &consumers,
        &["XCLAIM k g c 0 3-0 5-0 TIME 1070 RETRYCOUNT 1 FORCE JUSTID", "XCLAIM k g c 0 6-0 TIME 1070 RETRYCOUNT 2 FORCE JUSTID"],
        &["XDEL k 3-0 6-0", "XSETID k 9-0"],
    ];
    assert_eq!(rebuilt(Kind::Stream, 0, info, &OLD).expect("a copy"), old.concat());
}

#[test]
fn what_is_pending_of_trimmed_entries_is_trimmed_off_again() {
    let info = "*12\r\n+length\r\n:0\r\n+last-generated-id\r\n+3-0\r\n+max-deleted-entry-id\r\n+0-0\r\n+entries-added\r\n:1\r\n\
                +entries\r\n*0\r\n+groups\r\n*1\r\n*8\r\n+name\r\n+g\r\n+last-delivered-id\r\n+3-0\r\n\
                +pending\r\n*1\r\n*4\r\n+3-0\r\n+c\r\n:70\r\n:1\r\n+consumers\r\n*0\r\n";
    let made = [
        "XADD k 3-0 '' ''",
        "XGROUP CREATE k g 3-0",
        "XCLAIM k g c 0 3-0 TIME 70 RETRYCOUNT 1 FORCE JUSTID",
        "XTRIM k MAXLEN 0",
        "XSETID k 3-0 ENTRIESADDED 1 MAXDELETEDID 0-0",
    ];
    assert_eq!(rebuilt(Kind::Stream, 0, info, &NEW).expect("a copy"), made);
}

#[test]
fn a_stream_of_an_older_server_gets_the_counters_it_would_get_there() {
    let info = "*8\r\n+length\r\n:0\r\n+last-generated-id\r\n+9-0\r\n+entries\r\n*0\r\n+groups\r\n*0\r\n";
    let made = ["XGROUP CREATE k - 0 MKSTREAM", "XGROUP DESTROY k -", "XSETID k 9-0 ENTRIESADDED 0 MAXDELETEDID 0-0"];
    assert_eq!(rebuilt(Kind::Stream, 0, info, &NEW).expect("a copy"), made);
}

#[test]
fn a_refusal_is_found_in_the_reply_of_exec() {
    assert_eq!(refusal(b"*2\r\n:1\r\n+OK\r\n"), None);
    assert_eq!(refusal(b"*2\r\n:1\r\n-OOM no\r\n").as_deref(), Some("OOM no"));
    assert_eq!(refusal(b"-EXECABORT no\r\n").as_deref(), Some("EXECABORT no"));
    assert!(refusal(b"").is_some());
}

#[test]
fn a_stream_is_read_on_behind_the_last_id() {
    let behind = |ms, seq| StreamId { ms, seq }.behind();
    assert_eq!(behind(0, 0), ["0-1", "+"]);
    assert_eq!(behind(5, u64::MAX), ["6-0", "+"]);
    assert_eq!(behind(u64::MAX, u64::MAX), ["+", "-"]);
}

#[test]
fn a_piece_says_where_the_next_one_begins() {
    let step = |position: Position, replies: &str| {
        let mut out = Vec::new();
        let (count, next) = position.apply(b"k", 2, replies.as_bytes(), &NEW, &mut out)?;
        assert_eq!(count as usize, lines(&out).len());
        Ok::<_, CopyError>((lines(&out).join("; "), next))
    };
    let table = [
        (Position::String(0), "$2\r\nab\r\n", "DEL k; SETRANGE k 0 ab", Some(Position::String(2))),
        (Position::String(2), "$0\r\n\r\n", "", None),
        (Position::List(0), "*2\r\n+a\r\n+b\r\n", "DEL k; RPUSH k a b", Some(Position::List(2))),
        (Position::List(2), "*1\r\n+c\r\n", "RPUSH k c", None),
        (Position::List(2), "*0\r\n", "", None),
        (Position::Set(0), "*2\r\n+7\r\n*0\r\n", "DEL k", Some(Position::Set(7))),
        (Position::Set(7), "*2\r\n+0\r\n*0\r\n", "", None),
        (Position::Hash(7), "*2\r\n+5\r\n*2\r\n+f\r\n+v\r\n", "HSET k f v", Some(Position::Hash(5))),
        (Position::Zset(7), "*2\r\n+0\r\n*2\r\n+m\r\n+1\r\n", "ZADD k 1 m", None),
        (Position::Stream(StreamId::default()), "*0\r\n", "DEL k", Some(Position::Groups(StreamId::default(), 2))),
        (
            Position::Stream(StreamId { ms: 1, seq: 0 }),
            "*1\r\n*2\r\n+1-1\r\n*2\r\n+f\r\n+v\r\n",
            "XADD k 1-1 f v",
            Some(Position::Groups(StreamId { ms: 1, seq: 1 }, 2)),
        ),
        (
            Position::Groups(StreamId { ms: 1, seq: 1 }, 2),
            "*0\r\n*2\r\n+groups\r\n*1\r\n*2\r\n+pel-count\r\n:3\r\n",
            "",
            Some(Position::Groups(StreamId { ms: 1, seq: 1 }, 6)),
        ),
    ];
    for (position, replies, requests, next) in table {
        assert_eq!(step(position, replies), Ok((requests.to_owned(), next)), "{position:?} {replies:?}");
    }
    for kind in [Kind::String, Kind::List] {
        assert_eq!(step(Position::start(kind), if kind == Kind::List { "*0\r\n" } else { "$0\r\n\r\n" }), Err(CopyError::Changed));
    }
    assert_eq!(step(Position::Hash(0), "*2\r\n+0\r\n*0\r\n"), Err(CopyError::Changed));
    assert_eq!(step(Position::Hash(3), "-WRONGTYPE of another type\r\n"), Err(CopyError::Changed));
}
