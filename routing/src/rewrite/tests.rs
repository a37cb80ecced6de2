use super::*;
use crate::command::CommandTable;
use crate::conduct::Catalog;
use proptest::prelude::*;

/// What time it is on the secondary.
const NOW_MS: u64 = 1_000_000;

fn encoded(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    interlay_resp::encode_request(line.split(' ').collect::<Vec<_>>(), &mut bytes);
    bytes
}

/// `1`, `OK`, `-`, `$abc`, `[...]` and `{...}` (a set) as replies. `*-` is the nil of arrays.
fn reply(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let spaced = text.replace('[', " [ ").replace(']', " ] ").replace('{', " { ").replace('}', " } ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    while at < words.len() {
        match words[at] {
            open @ ("[" | "{") => {
                let mut depth = 0;
                let mut count = 0;
                for word in &words[at + 1..] {
                    match *word {
                        "[" | "{" => {
                            count += usize::from(depth == 0);
                            depth += 1;
                        }
                        "]" | "}" if depth == 0 => break,
                        "]" | "}" => depth -= 1,
                        _ => count += usize::from(depth == 0),
                    }
                }
                out.extend(format!("{}{count}\r\n", if open == "[" { '*' } else { '~' }).bytes());
            }
            "]" | "}" => {}
            "OK" => out.extend(b"+OK\r\n"),
            "-" => out.extend(b"$-1\r\n"),
            "_" => out.extend(b"_\r\n"),
            word => match word.strip_prefix('$') {
                Some(text) => out.extend(format!("${}\r\n{text}\r\n", text.len()).bytes()),
                None => out.extend(format!(":{word}\r\n").bytes()),
            },
        }
        at += 1;
    }
    out
}

fn outcome_of(line: &str, replied: &[u8], now_ms: Option<u64>) -> (Outcome, Substitute) {
    let bytes = encoded(line);
    let request = Request::new(&bytes, line.split(' ').count());
    let row = crate::effect::row(&line.split(' ').next().unwrap_or_default().to_ascii_lowercase()).expect("a row");
    let mut substitute = Substitute::default();
    let outcome = outcome(row.effect(request), request, replied, now_ms, &mut substitute);
    (outcome, substitute)
}

/// Each row: a request, its reply, and what the secondary gets, with the reply that is expected. Several requests are parted
/// by `;`. What is left out is: the same reply.
#[test]
fn writes_are_rewritten_as_their_replies_say() {
    for (line, replied, requests, expected) in [
        ("SPOP s", "$a", "SREM s a", "1"),
        ("SPOP s 5", "[$a $b]", "SREM s a b", "2"),
        ("SPOP s 5", "{$a $b}", "SREM s a b", "2"),
        ("XADD x * f *", "$7-1", "XADD x 7-1 f *", ""),
        ("XADD x NOMKSTREAM MAXLEN = 5 7-* f v", "$7-1", "XADD x NOMKSTREAM MAXLEN = 5 7-1 f v", ""),
        ("XADD x MAXLEN ~ 5 * f ~", "$7-1", "XADD x 7-1 f ~", ""),
        ("XADD x NOMKSTREAM MINID ~ 5 LIMIT 10 7-1 f v", "$7-1", "XADD x NOMKSTREAM 7-1 f v", ""),
        ("INCRBYFLOAT k 0.1", "$1.1", "SET k 1.1 KEEPTTL", "OK"),
        ("EXPIRE k 10", "1", "PEXPIREAT k 1010000", ""),
        ("EXPIRE k 10 NX", "1", "PEXPIREAT k 1010000", ""),
        ("PEXPIRE k 10 GT", "1", "PEXPIREAT k 1000010", ""),
        ("EXPIRE k -5", "1", "DEL k", ""),
        ("PEXPIRE k 0", "1", "DEL k", ""),
        ("EXPIREAT k 99 LT", "1", "EXPIREAT k 99", ""),
        ("SETEX k 10 v", "OK", "SET k v PXAT 1010000", ""),
        ("PSETEX k 10 v", "OK", "SET k v PXAT 1000010", ""),
        ("SET k v EX 10", "OK", "SET k v PXAT 1010000", ""),
        ("set k v px 10 xx", "OK", "set k v PXAT 1000010", ""),
        ("SET k v NX PXAT 99", "OK", "SET k v PXAT 99", ""),
        ("SET k nx XX GET KEEPTTL", "$old", "SET k nx GET KEEPTTL", ""),
        ("SET k v GET EX 10", "-", "SET k v GET PXAT 1010000", ""),
        ("SET k v NX GET EX 10", "-", "SET k v GET PXAT 1010000", ""),
        ("SET k v IFEQ ex EX 10", "OK", "SET k v PXAT 1010000", ""),
        ("SET k v IFEQ old GET", "$old", "SET k v GET", ""),
        ("GETEX k EX 10", "$v", "GETEX k PXAT 1010000", ""),
        ("RESTORE k 10 payload REPLACE", "OK", "RESTORE k 1000010 payload REPLACE ABSTTL", ""),
        ("RESTORE-ASKING k 10 payload", "OK", "RESTORE-ASKING k 1000010 payload ABSTTL", ""),
        ("HEXPIRE h 10 FIELDS 2 a b", "[1 1]", "HPEXPIREAT h 1010000 FIELDS 2 a b", ""),
        ("HPEXPIRE h 10 NX FIELDS 4 a b c d", "[1 0 -2 1]", "HPEXPIREAT h 1000010 FIELDS 2 a d", "[1 1]"),
        ("HPEXPIREAT h 99 GT FIELDS 2 a b", "[0 1]", "HPEXPIREAT h 99 FIELDS 1 b", "[1]"),
        ("HEXPIREAT h 99 FIELDS 1 fields", "[1]", "HPEXPIREAT h 99000 FIELDS 1 fields", ""),
        ("HEXPIRE h 0 FIELDS 2 a b", "[2 -2]", "HDEL h a", "1"),
        ("HEXPIRE h 5 FIELDS 2 a b", "[2 1]", "HPEXPIREAT h 1005000 FIELDS 1 b;HDEL h a", "[1] 1"),
        ("HSETEX h FNX EX 10 FIELDS 1 nx ex", "1", "HSETEX h PXAT 1010000 FIELDS 1 nx ex", ""),
        ("HGETEX h PX 10 FIELDS 1 ex", "[$v]", "HGETEX h PXAT 1000010 FIELDS 1 ex", ""),
        ("MSETEX 2 nx ex xx px NX EX 10", "1", "MSETEX 2 nx ex xx px PXAT 1010000", ""),
        ("XCLAIM x g c 5 1-0", "[[$1-0 [$f $v]]]", "XCLAIM x g c 0 1-0", ""),
        ("XCLAIM x g c 5 1 2 3 JUSTID", "[$2-0]", "XCLAIM x g c 0 2-0 JUSTID;XCLAIM x g c 9223372036854775807 1 3 JUSTID", "[$2-0] []"),
        (
            "XCLAIM x g c 5 1 2 IDLE 100 RETRYCOUNT 3 FORCE LASTID 7",
            "[[$2-0 [$f $v]]]",
            "XCLAIM x g c 0 2-0 TIME 999900 RETRYCOUNT 3 FORCE LASTID 7;\
             XCLAIM x g c 9223372036854775807 1 TIME 999900 RETRYCOUNT 3 LASTID 7",
            "[[$2-0 [$f $v]]] []",
        ),
        (
            "XCLAIM x g c 5 1-0 1-0 IDLE -5 TIME 9",
            "[[$1-0 [$f $v]]]",
            "XCLAIM x g c 0 1-0 TIME 9;XCLAIM x g c 9223372036854775807 1-0 TIME 9",
            "[[$1-0 [$f $v]]] []",
        ),
        ("XCLAIM x g c 5 1-0 FORCE", "[]", "XCLAIM x g c 9223372036854775807 1-0", "[]"),
        ("XAUTOCLAIM x g c 5 0", "[$9-0 [[$1-0 [$f $v]]] [$2-0]]", "XCLAIM x g c 0 1-0 2-0", "[[$1-0 [$f $v]]]"),
        ("XAUTOCLAIM x g c 5 0 COUNT 9 JUSTID", "[$9-0 [$1-0] []]", "XCLAIM x g c 0 1-0 JUSTID", "[$1-0]"),
        ("XAUTOCLAIM x g c 5 0", "[$0-0 [[$1-0 [$f $v]]]]", "XCLAIM x g c 0 1-0", "[[$1-0 [$f $v]]]"),
        ("XAUTOCLAIM x g c 5 0", "[$0-0 [] [$2-0]]", "XCLAIM x g c 0 2-0", "[]"),
        ("XAUTOCLAIM x g c 5 0", "[$0-0 [] []]", "XCLAIM x g c 9223372036854775807 0-0", "[]"),
    ] {
        let (outcome, substitute) = outcome_of(line, &reply(replied), Some(NOW_MS));
        assert_eq!(outcome, Outcome::Substitute, "{line}");
        let wanted: Vec<u8> = requests.split(';').flat_map(encoded).collect();
        assert_eq!(String::from_utf8_lossy(&substitute.bytes), String::from_utf8_lossy(&wanted), "{line}");
        assert_eq!(substitute.requests as usize, requests.split(';').count(), "{line}");
        let expected = reply(if expected.is_empty() { replied } else { expected });
        assert_eq!(String::from_utf8_lossy(&substitute.expected), String::from_utf8_lossy(&expected), "{line}");
    }
}

#[test]
fn replies_say_that_nothing_has_changed_or_that_it_cannot_be_told() {
    use Outcome::{Nothing, Repair, Same};
    for (line, replied, wanted) in [
        ("DEL k", "0", Nothing),
        ("DEL k", "1", Same),
        ("LPOP l", "-", Nothing),
        ("LPOP l", "_", Nothing),
        ("LPOP l 5", "[]", Nothing),
        ("COPY a b", "0", Nothing),
        ("COPY a b", "1", Same),
        ("SPOP s", "-", Nothing),
        ("SPOP s 3", "{}", Nothing),
        ("SPOP s 3", "[7]", Repair),
        ("EXPIRE k 5", "0", Nothing),
        ("EXPIRE k 5", "2", Repair),
        ("EXPIRE k 9223372036854775807", "1", Repair),
        ("EXPIREAT k 5 XX", "0", Nothing),
        ("SET k v", "OK", Same),
        ("SET k v GET", "-", Same),
        ("SET k v NX", "-", Nothing),
        ("SET k v NX", "_", Nothing),
        ("SET k v NX GET", "$old", Nothing),
        ("SET k v XX GET EX 5", "-", Nothing),
        ("SET k v XX EX 5", "_", Nothing),
        ("SET k v IFEQ a GET", "$b", Nothing),
        ("SET k v IFEQ a GET", "-", Nothing),
        ("SET k v IFNE a GET", "$b", Repair),
        ("GETEX k EX 5", "-", Nothing),
        ("HSETEX h FNX FIELDS 1 f v", "0", Nothing),
        ("HEXPIRE h 5 FIELDS 2 a b", "[0 -2]", Nothing),
        ("HEXPIRE h 5 FIELDS 2 a b", "[1 9]", Repair),
        ("XADD x NOMKSTREAM * f v", "-", Nothing),
        ("XADD x NOMKSTREAM MAXLEN ~ 5 * f v", "-", Nothing),
        ("XTRIM x MAXLEN ~ 5", "0", Nothing),
        ("XTRIM x MAXLEN ~ 5", "3", Repair),
        ("XTRIM x MAXLEN 5", "3", Same),
        // As a server before 7.0 says it of a deleted entry.
        ("XCLAIM x g c 5 1 2", "[- [$2-0 [$f $v]]]", Repair),
        ("XAUTOCLAIM x g c 5 0", "[$0-0 [-]]", Repair),
        // Not its reply's order.
        ("XCLAIM x g c 5 1 2 JUSTID", "[$2-0 $1-0]", Repair),
    ] {
        assert_eq!(outcome_of(line, &reply(replied), Some(NOW_MS)).0, wanted, "{line} {replied}");
    }
}

#[test]
fn without_a_clock_what_needs_one_is_repaired() {
    for line in ["EXPIRE k 5", "SETEX k 5 v", "SET k v EX 5", "GETEX k EX 5", "RESTORE k 5 payload"] {
        assert_eq!(outcome_of(line, b":1\r\n", None).0, Outcome::Repair, "{line}");
    }
    assert_eq!(outcome_of("SET k v PXAT 5 XX", b"+OK\r\n", None).0, Outcome::Substitute);
}

/// What the dirty set makes of a substitute that fails: the keys of the client's request.
#[test]
fn substitutes_write_the_same_keys() {
    let catalog = Catalog::new(CommandTable::builtin());
    let written = |bytes: &[u8]| {
        let mut keys = Vec::new();
        for request in interlay_resp::requests(bytes) {
            let mut refs = Vec::new();
            catalog.table().lookup(request).expect("a command").keys(request, &mut refs).expect("its keys");
            keys.extend(refs.iter().filter_map(|key| request.arg(key.arg)).map(<[u8]>::to_vec));
        }
        keys.dedup();
        keys
    };
    for (line, replied) in [
        ("SPOP s", "$a"),
        ("XADD x * f v", "$1-1"),
        ("INCRBYFLOAT k 1", "$1"),
        ("EXPIRE k 5", "1"),
        ("EXPIRE k -5", "1"),
        ("SETEX k 5 v", "OK"),
        ("SET k v EX 5", "OK"),
        ("GETEX k EX 5", "$v"),
        ("RESTORE k 5 payload", "OK"),
        ("XCLAIM x g c 5 1 2", "[[$1-0 [$f $v]]]"),
        ("XAUTOCLAIM x g c 5 0", "[$0-0 [] []]"),
    ] {
        let (_, substitute) = outcome_of(line, &reply(replied), Some(NOW_MS));
        assert_eq!(written(&substitute.bytes), written(&encoded(line)), "{line}");
    }
}

/// Any options that SET takes, in any order.
fn set_options() -> impl Strategy<Value = Vec<&'static str>> {
    let expiry = prop_oneof![Just(""), Just("EX 10"), Just("px 10"), Just("EXAT 7"), Just("PXAT 7"), Just("KEEPTTL")];
    let condition = prop_oneof![Just(""), Just("nx"), Just("XX"), Just("IFEQ EX"), Just("IFEQ nx")];
    let get = prop_oneof![Just(""), Just("GET")];
    (expiry, condition, get).prop_map(|(a, b, c)| vec![a, b, c]).prop_shuffle()
}

proptest! {
    #[test]
    fn rewritten_set_keeps_everything_but_conditions_and_the_time_to_live(options in set_options()) {
        let options: Vec<&str> = options.into_iter().filter(|option| !option.is_empty()).collect();
        let line = ["SET", "px", "nx"].iter().chain(&options).copied().collect::<Vec<_>>().join(" ");
        let gets = options.contains(&"GET");
        let replied: &[u8] = match options.iter().find(|option| option.starts_with("IFEQ") || option.len() == 2) {
            _ if !gets => b"+OK\r\n",
            Some(&"nx") => b"$-1\r\n",
            Some(&"IFEQ nx") => b"$2\r\nnx\r\n",
            _ => b"$2\r\nEX\r\n",
        };
        let (outcome, substitute) = outcome_of(&line, replied, Some(NOW_MS));
        let kept = options.iter().filter_map(|option| match *option {
            "EX 10" => Some("PXAT 1010000"),
            "px 10" => Some("PXAT 1000010"),
            "nx" | "XX" | "IFEQ EX" | "IFEQ nx" => None,
            other => Some(other),
        });
        let wanted = encoded(&["SET", "px", "nx"].into_iter().chain(kept).collect::<Vec<_>>().join(" "));
        match outcome {
            Outcome::Same => prop_assert_eq!(encoded(&line), wanted),
            outcome => {
                prop_assert_eq!(outcome, Outcome::Substitute);
                prop_assert_eq!(substitute.bytes, wanted);
            }
        }
    }

    #[test]
    fn no_reply_is_taken_for_another_one(line in prop_oneof![
        Just("SPOP s"), Just("XADD x * f v"), Just("INCRBYFLOAT k 1"), Just("EXPIRE k 5"), Just("SET k v NX GET"), Just("GETEX k EX 5"),
        Just("HEXPIRE h 5 FIELDS 2 a b"), Just("XCLAIM x g c 5 1 2"), Just("XAUTOCLAIM x g c 5 0"),
    ], replied in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b':'), Just(b'1'), Just(b'2'), Just(b'-'), Just(b'\r'), Just(b'\n')], 0..40)) {
        let (outcome, substitute) = outcome_of(line, &replied, Some(NOW_MS));
        if outcome == Outcome::Substitute {
            prop_assert_eq!(interlay_resp::requests(&substitute.bytes).count(), substitute.requests as usize);
        }
    }
}
