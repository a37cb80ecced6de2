//! Every command that is rewritten, in several forms.

use interlay_tests::{Conn, Pair, is_error, text};

use super::scene::{assert_exact, conn};

/// Each row: requests that follow each other, on keys of their own (`@` stands for what tells them apart).
const FORMS: &[&[&str]] = &[
    &["SADD s@ a b c d e f", "SPOP s@", "SPOP s@ 2", "SPOP s@ 0", "SPOP s@ 100", "SPOP s@", "SPOP s@ 2"],
    &["XADD x@ * f v", "XADD x@ 99999999999999-* f v", "XADD x@ MAXLEN 1 * * ~", "XADD x@ NOMKSTREAM MINID = 5 * f v"],
    &["XADD no@ NOMKSTREAM * f v", "XADD x@ 5-5 f v", "XADD x@ MAXLEN = 0 * f v"],
    &["XADD x@ 1-1 f v", "XADD x@ 2-1 f v", "XTRIM x@ MAXLEN 1", "XTRIM x@ MAXLEN ~ 1", "XTRIM x@ MINID 2-1"],
    &["INCRBYFLOAT f@ 0.1", "INCRBYFLOAT f@ 1e3", "EXPIRE f@ 1000", "INCRBYFLOAT f@ -7.25", "HINCRBYFLOAT h@ f 0.3"],
    &[
        "SET k@ v",
        "EXPIRE k@ 1000",
        "EXPIRE k@ 2000 NX",
        "EXPIRE k@ 2000 GT",
        "EXPIRE k@ 1500 GT",
        "EXPIRE k@ 1800 LT",
        "PEXPIRE k@ 1700123 XX",
    ],
    &["SET k@ v", "EXPIRE k@ 0", "SET l@ v", "PEXPIRE l@ -5", "EXPIRE none@ 5", "EXPIRE none@ -5"],
    &[
        "SET k@ v",
        "PEXPIREAT k@ 4102444800000 NX",
        "EXPIREAT k@ 4102444801 GT",
        "EXPIREAT k@ 4102444800 GT",
        "EXPIREAT k@ 1 XX",
        "PERSIST k@",
    ],
    &["SETEX a@ 1000 v", "PSETEX b@ 1000000 v", "SETEX a@ 2000 EX"],
    &["SET k@ v EX 1000", "set k@ w px 1000000 xx", "SET k@ v NX EX 5", "SET k@ x GET EX 1000", "SET k@ y XX GET KEEPTTL"],
    &["SET n@ ex NX GET PX 1000000", "SET n@ w NX GET PX 5", "SET m@ v XX EX 5", "SET m@ v XX GET EX 5", "SET m@ v NX PXAT 4102444800000"],
    &["SET k@ v", "GETEX k@ EX 1000", "GETEX k@ PX 2000000", "GETEX k@", "GETEX k@ PERSIST", "GETEX k@ EXAT 4102444800", "GETEX k@ PXAT 5"],
    &["GETEX none@ EX 5", "GETDEL none@", "SET k@ v EX 1000", "GETDEL k@", "GETDEL k@"],
    &["RPUSH l@ 3 1 2", "SORT l@ STORE a@", "SORT l@ DESC LIMIT 0 2 STORE b@", "SORT l@ BY nosort STORE c@", "SORT none@ STORE a@"],
    &[
        "SADD s@ 3 1 2",
        "SORT s@ ALPHA STORE a@",
        "SORT s@ BY none_* STORE b@",
        "SORT s@ BY nosort GET # GET none_* STORE c@",
        "DEL a@ none@",
        "DEL none@",
    ],
    &[
        "LPOP l@",
        "RPUSHX l@ a",
        "RPUSH l@ a b c",
        "LREM l@ 1 z",
        "LINSERT l@ BEFORE z y",
        "LPOP l@ 0",
        "LMOVE l@ m@ LEFT LEFT",
        "LMPOP 1 none@ LEFT",
    ],
    &[
        "SETNX k@ v",
        "SETNX k@ w",
        "MSETNX k@ 1 l@ 1",
        "RENAMENX k@ k2@",
        "SET k@ v",
        "RENAMENX k@ k2@",
        "COPY k@ k2@",
        "COPY k@ k3@",
        "PERSIST k@",
        "MOVE k@ 1",
    ],
    &["HSETNX h@ f v", "HSETNX h@ f w", "HDEL h@ none", "ZADD z@ 1 a", "ZREM z@ none", "ZPOPMIN z@", "ZPOPMIN z@", "SMOVE h2@ h3@ a"],
];

/// Consumers of a group. What is due at once is claimed by every form in turn.
const CLAIMS: &[&str] = &[
    "XADD x@ 1-1 f a",
    "XADD x@ 2-1 f b",
    "XADD x@ 3-1 f c",
    "XADD x@ 4-1 f d",
    "XADD x@ 5-1 f e",
    "XADD x@ 6-1 f f",
    "XGROUP CREATE x@ g 0",
    "XGROUP CREATECONSUMER x@ g idle",
    "XREADGROUP GROUP g a COUNT 5 STREAMS x@ >",
    "XREADGROUP GROUP g a STREAMS x@ 0",
    "XREADGROUP GROUP g late NOACK STREAMS x@ >",
    "XREADGROUP GROUP g late STREAMS x@ >",
    "XCLAIM x@ g b 0 1-1",
    "XCLAIM x@ g b 0 1 2-1 7-7 IDLE 5000 RETRYCOUNT 9",
    "XCLAIM x@ g c 3600000 1-1 2-1 3-1",
    "XCLAIM x@ g c 0 3-1 JUSTID",
    "XCLAIM x@ g d 0 6-1 FORCE TIME 1000 LASTID 6-1",
    "XDEL x@ 3-1 4-1",
    "XCLAIM x@ g e 3600000 3-1 1-1",
    "XCLAIM x@ g e 1000 1-1 5-1 JUSTID",
    "XACK x@ g 9-9",
    "XACK x@ g 2-1",
    "XAUTOCLAIM x@ g f 3600000 0",
    "XAUTOCLAIM x@ g f 0 0 COUNT 1",
    "XAUTOCLAIM x@ g h 0 0 JUSTID",
    "XAUTOCLAIM x@ g i 0 9",
    "XGROUP DELCONSUMER x@ g idle",
    "XGROUP SETID x@ g 0",
    "XREADGROUP GROUP g a COUNT 2 BLOCK 5000 STREAMS x@ >",
];

fn lines<'a>(rows: &'a [&'a [&'a str]], mark: &str) -> Vec<Vec<String>> {
    let words = |line: &&str| line.split(' ').map(|word| word.replace('@', mark)).collect();
    rows.iter()
        .enumerate()
        .flat_map(|(n, row)| row.iter().map(words).map(move |line: Vec<String>| with_row(line, n)).collect::<Vec<_>>())
        .collect()
}

/// The keys of each row are its own.
fn with_row(line: Vec<String>, row: usize) -> Vec<String> {
    line.into_iter().map(|word| if let Some(key) = word.strip_suffix('!') { format!("{key}-{row}") } else { word }).collect()
}

fn alone(conn: &mut Conn, lines: &[Vec<String>]) {
    for line in lines {
        let reply = conn.call(line);
        assert!(!is_error(&reply), "{line:?}: {}", text(&reply));
    }
}

/// All lines in one transaction, which arrives whole.
fn together(conn: &mut Conn, lines: &[Vec<String>]) {
    let mut requests = vec![Conn::encode(["MULTI"])];
    requests.extend(lines.iter().map(Conn::encode));
    requests.push(Conn::encode(["EXEC"]));
    let replies = conn.pipeline(&requests);
    let all = text(replies.last().expect("EXEC's reply"));
    assert!(all.starts_with('*') && !all.contains("\\r\\n-"), "{all}");
}

/// The same, on a connection of the client's own.
fn step_by_step(conn: &mut Conn, lines: &[Vec<String>]) {
    assert_eq!(conn.call(["MULTI"]), b"+OK\r\n");
    lines.iter().for_each(|line| assert_eq!(conn.call(line), b"+QUEUED\r\n", "{line:?}"));
    let all = text(&conn.call(["EXEC"]));
    assert!(all.starts_with('*') && !all.contains("\\r\\n-"), "{all}");
}

#[test]
fn rewritten_writes_are_exact_in_every_form() {
    let rows = [FORMS, &[CLAIMS]].concat();
    for proto in ["2", "3"] {
        let pair = Pair::start("source-authoritative");
        let mut conn = conn(&pair, proto);
        alone(&mut conn, &lines(&rows, ":alone!"));
        assert_exact(&pair);
        let before = pair.interlay.number("counters.effects_rewritten");
        assert!(before > 40 && pair.interlay.number("counters.effects_none") > 20, "{:#}", pair.interlay.status());
        together(&mut conn, &lines(&rows, ":together!"));
        assert_exact(&pair);
        step_by_step(&mut conn, &lines(&rows, ":own!"));
        assert_exact(&pair);
        assert!(pair.interlay.number("counters.effects_rewritten") > before + 80, "{:#}", pair.interlay.status());
    }
}

#[test]
fn both_required_confirms_what_is_rewritten_and_what_changes_nothing() {
    let pair = Pair::start("both-required");
    let rows = [FORMS, &[CLAIMS]].concat();
    let repeatable = |line: &Vec<String>| !line.contains(&"~".to_owned());
    let rows: Vec<Vec<String>> = lines(&rows, ":alone!").into_iter().filter(repeatable).collect();
    alone(&mut conn(&pair, "2"), &rows);
    assert_exact(&pair);
}

#[test]
fn restored_keys_expire_at_the_same_time() {
    let pair = Pair::start("source-authoritative");
    let mut conn = conn(&pair, "2");
    conn.call(["SET", "k", "v"]);
    let dump = conn.call(["DUMP", "k"]);
    let at = dump.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    let payload = &dump[at..dump.len() - 2];
    for options in [&[][..], &[&b"REPLACE"[..]], &[b"REPLACE", b"IDLETIME", b"5"], &[b"absttl", b"REPLACE"]] {
        for ttl in ["0", "1000000", "4102444800000"] {
            conn.call(["DEL", "r"]);
            let request = [&[&b"RESTORE"[..], b"r", ttl.as_bytes(), payload], options].concat();
            assert_eq!(conn.call(request), b"+OK\r\n", "{ttl}");
            assert_exact(&pair);
        }
    }
}

#[test]
fn trims_that_depend_on_the_layout_leave_the_same_entries() {
    let pair = Pair::start("source-authoritative");
    let mut conn = pair.interlay.conn();
    for n in 0..300 {
        conn.call(["XADD", "x", &format!("{}-1", n + 1), "f", "v"]);
    }
    assert_exact(&pair);
    assert_eq!(conn.call(["XTRIM", "x", "MAXLEN", "~", "10"]), b":200\r\n");
    assert_eq!(pair.interlay.number("counters.effects_repaired"), 1);
    for _ in 0..300 {
        conn.call(["XADD", "x", "MAXLEN", "~", "10", "*", "f", "v"]);
    }
    assert_eq!(pair.interlay.number("counters.effects_repaired"), 1, "XADD is followed, not repaired");
    pair.assert_equal();
}
