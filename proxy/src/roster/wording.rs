//! Words of requests and replies that several commands share.

use interlay_resp::{Proto, Request, error};

/// What a request wants, or the error reply that Redis gives to it.
pub(crate) type Parsed<T> = Result<T, Vec<u8>>;

/// The reply of a command that has nothing to say.
pub(crate) const OK: &[u8] = b"+OK\r\n";

/// An integer as a reply.
pub(crate) fn integer(number: impl Into<i128>) -> Vec<u8> {
    format!(":{}\r\n", number.into()).into_bytes()
}

/// A text for people as a reply: a verbatim string where the protocol has one.
pub(crate) fn text(proto: Proto, body: &[u8]) -> Vec<u8> {
    let (header, format) = match proto {
        Proto::Resp2 => (format!("${}\r\n", body.len()), ""),
        Proto::Resp3 => (format!("={}\r\n", body.len() + 4), "txt:"),
    };
    [header.as_bytes(), format.as_bytes(), body, b"\r\n"].concat()
}

/// The error reply of these words, one after the other.
pub(super) fn refusal<T>(words: &[&[u8]]) -> Parsed<T> {
    let mut reply = Vec::new();
    error(words.concat(), &mut reply);
    Err(reply)
}

/// What is said of an option that does not exist or lacks its value.
pub(super) fn syntax_error<T>() -> Parsed<T> {
    refusal(&[b"ERR syntax error"])
}

/// What is said of a number of arguments that only the subcommand itself knows to be too large.
pub(super) fn too_many<T>(request: Request<'_>) -> Parsed<T> {
    let [command, subcommand] = [0, 1].map(|index| quoted(request.arg(index).unwrap_or_default()));
    let command = command.to_ascii_uppercase();
    refusal(&[b"ERR unknown subcommand or wrong number of arguments for '", subcommand, b"'. Try ", &command, b" HELP."])
}

/// An argument as an error quotes it: it ends at the first NUL.
pub(super) fn quoted(arg: &[u8]) -> &[u8] {
    arg.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The number that `arg` is, if it is written the one way in which Redis takes numbers: no plus, blank or zero in front.
pub(super) fn number(arg: &[u8]) -> Option<i64> {
    match arg.strip_prefix(b"-").unwrap_or(arg) {
        [b'1'..=b'9', ..] => {}
        b"0" if arg.len() == 1 => {}
        _ => return None,
    }
    str::from_utf8(arg).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_redis_takes_them() {
        for (arg, expected) in [("0", Some(0)), ("-1", Some(-1)), ("10", Some(10)), ("-9223372036854775808", Some(i64::MIN))] {
            assert_eq!(number(arg.as_bytes()), expected, "{arg}");
        }
        for arg in ["", "-", "-0", "01", "+3", " 3", "3 ", "1.5", "x", "9223372036854775808"] {
            assert_eq!(number(arg.as_bytes()), None, "{arg:?}");
        }
    }

    #[test]
    fn texts_are_verbatim_in_resp3_only() {
        assert_eq!(text(Proto::Resp2, b"ab\n"), b"$3\r\nab\n\r\n");
        assert_eq!(text(Proto::Resp3, b"ab\n"), b"=7\r\ntxt:ab\n\r\n");
        // An empty list, with 7.0.15.
        assert_eq!(text(Proto::Resp2, b""), b"$0\r\n\r\n");
        assert_eq!(text(Proto::Resp3, b""), b"=4\r\ntxt:\r\n");
    }
}
