//! Bytes that are no request, or one that only Redis would take.

use super::twins::Twins;

#[test]
fn lengths_and_counts_are_refused_in_redis_s_words() {
    Twins::start().assert_same([
        "*2147483648\r\n",
        "*2147483647\r\n",
        "*99999999999999999999\r\n",
        "*-1\r\n",
        "*-5\r\n",
        "*0\r\n",
        "*\r\n",
        "*+5\r\n",
        "*05\r\n",
        "*00\r\n",
        "*-0\r\n",
        "* 5\r\n",
        "*5 \r\n",
        "*1x\r\n",
        "*0x1\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$99999999999999999999\r\n",
        "*1\r\n$-5\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$+4\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$ 4\r\nPING\r\n",
        "*1\r\n$4 \r\nPING\r\n",
        "*2\r\n$4\r\nECHO\r\n$x\r\n",
    ]);
}

#[test]
fn announced_and_never_sent_is_nothing() {
    Twins::start().assert_same(["*1\r\n$536870912\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc", "*1000\r\n$4\r\nECHO\r\n"]);
}

#[test]
fn what_is_no_argument_is_refused_in_redis_s_words() {
    Twins::start().assert_same([
        &b"*1\r\n:4\r\n"[..],
        b"*1\r\nPING\r\n",
        b"*1\r\n*1\r\n$4\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\n\r\n",
        b"*1\r\n \r\n",
        b"*2\r\n$4\r\nECHO\r\n+OK\r\n",
        b"*1\r\n\x7f\r\n",
        b"*1\r\n\x1b[2J\r\n",
    ]);
}

#[test]
fn a_byte_that_is_no_text_comes_back_in_the_error_as_it_was_sent() {
    Twins::start().assert_same([&b"*1\r\n\x80\r\n"[..], b"*1\r\n\xff\xfe\r\n"]);
}

#[test]
fn lines_without_an_end_are_refused_in_redis_s_words() {
    let endless = "1".repeat(200_000);
    Twins::start().assert_same([endless.clone(), format!("*{endless}"), format!("*1\r\n${endless}"), format!("*1\r\n{endless}")]);
}

#[test]
fn a_long_line_is_taken_up_to_redis_s_bound() {
    Twins::start().assert_same([format!("ECHO {}\r\n", "x".repeat(60_000))]);
}

#[test]
fn inline_requests_are_split_as_redis_splits_them() {
    Twins::start().assert_same([
        &b"PING\r\n"[..],
        b"PING\n",
        b"ping hello\n",
        b"  ECHO   two\t words \r\n",
        b"ECHO \"two words\"\r\n",
        b"ECHO 'two words'\r\n",
        b"ECHO \"\\x41\\x00\\n\\r\\t\\a\\b\\q\\\\\\\"\"\r\n",
        b"ECHO '\\'\\x41'\r\n",
        b"ECHO \"\"\r\n",
        b"SET '' \"\"\r\nGET ''\r\n",
        b"ECHO a\"b c\"\r\n",
        b"ECHO \\x41\r\n",
        b"ECHO \xff\xfe\r\n",
        b"ECHO \"\\xzz\"\r\n",
        b"\x0b\x0cPING\x0b\r\n",
    ]);
}

#[test]
fn unbalanced_quotes_end_the_connection() {
    Twins::start().assert_same([
        "SET \"a b\r\n",
        "SET 'a b\r\n",
        "SET \"a\"b c\r\n",
        "SET 'a'b c\r\n",
        "\"\r\n",
        "ECHO \"\\\"\r\n",
        "SET k v\r\nGET \"k\r\nSET k w\r\n",
    ]);
}

#[test]
fn blank_lines_are_no_requests() {
    Twins::start().assert_same(["\r\n", "\n\n\r\n\n", "   \r\n", "\r\nPING\r\n\r\nPING\r\n", "*0\r\nPING\r\n*-3\r\n", "\r\n*0\r\n\n"]);
}

#[test]
fn line_ends_that_redis_does_not_look_at_are_not_looked_at() {
    let twins = Twins::start();
    twins.assert_same([
        &b"*1\r\n$4\r\nPINGxy"[..],
        b"*1\rX$4\rXPINGXY",
        b"*3\r\n$3\r\nSET\r\n$5\r\nloose\r\n$1\r\nv\n\r",
        b"*2\r.$3\r.GET..$5\r.loose..",
        b"*1\n$4\nPING\n\r\n",
    ]);
    twins.assert_in_step();
}

#[test]
fn other_protocols_get_what_redis_gives_them() {
    Twins::start().assert_same([
        &b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"[..],
        // The first bytes of TLS, as far as they hold no NUL: at one of those Redis 7.0 loses its line's end.
        b"\x16\x03\x01\x02\xfc\x03\x03\r\n",
        b"+OK\r\n",
        b"-ERR\r\n",
        b":1\r\n",
        b"$4\r\nPING\r\n",
        b"%1\r\n",
        b"{\"a\": 1}\r\n",
    ]);
}

#[test]
fn bytes_behind_a_protocol_error_are_not_carried_out() {
    let twins = Twins::start();
    twins.assert_same([
        "SET k 1\r\n*1\r\n:1\r\nSET k 2\r\n",
        "SET k 3\r\n*x\r\nSET k 4\r\n",
        "INCR n\r\nINCR n\r\n$-1\r\n*1\r\n$-1\r\nINCR n\r\n",
    ]);
    twins.assert_in_step();
}

#[test]
fn wrong_types_and_arguments_get_the_server_s_own_errors() {
    let twins = Twins::start();
    twins.assert_same([
        "SET s text\r\nLPUSH l a\r\n",
        "LPUSH s x\r\nINCR s\r\nGET l\r\nHSET l f v\r\nSADD s m\r\nZADD l 1 m\r\nXADD l 1-1 f v\r\n",
        "GET\r\nGET a b\r\nSET k\r\nMSET a\r\nHSET h f\r\nPING a b\r\nECHO\r\n",
        "SET k v NX XX\r\nSET k v EXAT x\r\nSET k v NOSUCH\r\nEXPIREAT s x\r\nSETRANGE s -1 x\r\nZADD z x m\r\n",
        "NOSUCH\r\nNOSUCH a b c\r\nnosuch \"with 'quotes'\" \"and \\r\\n ends\"\r\n",
        "OBJECT\r\nOBJECT NOSUCH k\r\nCONFIG\r\nCONFIG NOSUCH x\r\nXGROUP NOSUCH k g\r\nCOMMAND NOSUCH\r\n",
        "*1\r\n$0\r\n\r\n*2\r\n$0\r\n\r\n$1\r\nk\r\n",
    ]);
    twins.assert_same([format!("{} {}\r\n", "N".repeat(300), "a".repeat(300)), format!("NOSUCH {}\r\n", "arg ".repeat(100))]);
    twins.assert_same([&b"NOSUCH \xff\xfe\r\n"[..], b"\xff\xfe k\r\n", b"*2\r\n$7\r\nNO\0SUCH\r\n$1\r\nk\r\n"]);
    twins.assert_in_step();
}
