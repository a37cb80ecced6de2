//! Splitting an inline request (a line of text, as typed into telnet) into arguments, as Redis does.
//!
//! Words are separated by blanks. Double quotes know `\n \r \t \b \a`, `\xHH` and a backslash before any other
//! byte; single quotes know only `\'`. A closing quote must end its word. A NUL is an ordinary byte here; Redis
//! looks no further than one, and so never finds the end of such a line.

/// Blank at the start of a word and behind a closing quote.
pub(crate) fn is_blank(byte: u8) -> bool {
    ends_word(byte) || matches!(byte, b'\x0b' | b'\x0c')
}

/// Blank that ends an unquoted word: vertical tab and form feed do not.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The arguments in `line`; `None` if its quotes are unbalanced.
pub(crate) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = without_leading_blanks(line);
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = without_leading_blanks(take_word(rest, &mut word)?);
        words.push(word);
    }
    Some(words)
}

fn without_leading_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blanks..]
}

/// Moves one word, whose parts may be quoted, from the front of `rest` to `word`.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [byte, ..] if ends_word(*byte) => return Some(rest),
            [b'"', inside @ ..] => return after_quote(double_quoted(inside, word)?),
            [b'\'', inside @ ..] => return after_quote(single_quoted(inside, word)?),
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_blank(*byte)).then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, behind) = match rest {
            [] => return None,
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), behind)
            }
            [b'\\', escaped, behind @ ..] => (unescape(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, behind) = match rest {
            [] => return None,
            [b'\'', behind @ ..] => return Some(behind),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [byte, behind @ ..] => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => b'\x08',
        b'a' => b'\x07',
        other => other,
    }
}

/// The value of an ASCII hex digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a') + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_split(line: &str, words: &[&str]) {
        let split = split(line.as_bytes()).unwrap();
        assert_eq!(split, words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>(), "{line:?}");
    }

    // Each expectation below is what Redis 7.0 does with the line.
    #[test]
    fn lines_split_as_redis_splits_them() {
        assert_split("", &[]);
        assert_split(" \t\x0b\x0c ", &[]);
        assert_split("PING", &["PING"]);
        assert_split("  SET\tk  v ", &["SET", "k", "v"]);
        assert_split("ECHO a\rb", &["ECHO", "a", "b"]);
        assert_split("ECHO \x0ba\x0bb\x0c", &["ECHO", "a\x0bb\x0c"]);
        assert_split(r#"ECHO "a b""#, &["ECHO", "a b"]);
        assert_split(r#"ECHO a"b c" "" ''"#, &["ECHO", "ab c", "", ""]);
        assert_split(r#""\x41\x6A\n\r\t\b\a\q\"\\""#, &["Aj\n\r\t\x08\x07q\"\\"]);
        assert_split(r#""\x4" "\xg1""#, &["x4", "xg1"]);
        assert_split(r"'a\'b\n'", &[r"a'b\n"]);
        assert_split(r"a\n", &[r"a\n"]);
        assert_split("\"a\"\x0bb", &["a", "b"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#"""#, "'", r#"a "b"#, "a 'b", r#""a"b"#, "'a'b", r#""a\""#, r"'a\'", r#""a\"#] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
