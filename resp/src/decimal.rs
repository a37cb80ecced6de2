//! The decimal numbers of header lines: strict, as Redis reads them.
//!
//! Accepted: an optional `-`, then digits without a leading zero, within `i64`. Refused: `+`, blanks, `-0`, nothing.

/// A number whose digits arrive one at a time, possibly in different reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decimal {
    magnitude: u64,
    digits: u8,
    negative: bool,
    invalid: bool,
}

impl Decimal {
    /// Takes the next byte of the number. A byte that cannot be there makes the number invalid for good.
    pub(crate) fn push(&mut self, byte: u8) {
        match byte {
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            b'0'..=b'9' if self.digits < 19 && !(self.digits == 1 && self.magnitude == 0) => {
                // 19 digits stay below 10^19, which fits a u64.
                self.magnitude = self.magnitude * 10 + u64::from(byte - b'0');
                self.digits += 1;
            }
            _ => self.invalid = true,
        }
    }

    /// The number, if what was pushed is one.
    pub(crate) fn value(self) -> Option<i64> {
        if self.invalid || self.digits == 0 || (self.negative && self.magnitude == 0) {
            None
        } else if self.negative {
            0i64.checked_sub_unsigned(self.magnitude)
        } else {
            i64::try_from(self.magnitude).ok()
        }
    }
}

/// The header line at `at`, if all of it is there and it is as plain as nearly every one: `sigil`, at most
/// nine digits, `\r\n`. Gives the number and the position behind the line.
///
/// `None` says nothing about the line; the caller then reads it byte by byte.
#[inline(always)]
pub(crate) fn short_header(bytes: &[u8], at: usize, sigil: u8) -> Option<(usize, usize)> {
    let (first, digits) = bytes.get(at..)?.split_first()?;
    match *digits {
        _ if *first != sigil => None,
        // One digit or two: most headers of most requests, and so worth a copy in each caller.
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((usize::from(a - b'0'), at + 4)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((usize::from(a - b'0') * 10 + usize::from(b - b'0'), at + 5)),
        _ => longer_header(digits, at),
    }
}

/// [`short_header`] for any number of digits that it takes.
fn longer_header(digits: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    let mut count = 0;
    while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value * 10 + usize::from(digit);
        count += 1;
        if count > 9 {
            return None;
        }
    }
    let strict = count == 1 || (count > 1 && digits.first() != Some(&b'0'));
    let ends = digits.get(count..count + 2) == Some(b"\r\n");
    (strict && ends).then_some((value, at + 1 + count + 2))
}

/// Appends `number` in decimal.
pub(crate) fn push_decimal(mut number: usize, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<i64> {
        let mut number = Decimal::default();
        text.bytes().for_each(|byte| number.push(byte));
        number.value()
    }

    #[test]
    fn only_plain_decimals_within_i64_are_numbers() {
        for number in [0, 1, -1, 10, -10, i64::MAX, i64::MIN] {
            assert_eq!(value(&number.to_string()), Some(number));
        }
        for text in ["", "-", "-0", "+1", "01", "00", " 1", "1 ", "1-", "--1", "a", "-01"] {
            assert_eq!(value(text), None, "{text:?}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "10000000000000000000"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn a_short_header_is_taken_only_when_plain_and_whole() {
        assert_eq!(short_header(b"$0\r\n", 0, b'$'), Some((0, 4)));
        assert_eq!(short_header(b"__*123456789\r\n$", 2, b'*'), Some((123_456_789, 14)));
        for line in ["", "$", "$1", "$1\r", "$\r\n", "*1\r\n", "$01\r\n", "$-1\r\n", "$1\rX", "$1234567890\r\n"] {
            assert_eq!(short_header(line.as_bytes(), 0, b'$'), None, "{line:?}");
        }
    }

    #[test]
    fn pushed_decimals_read_as_printed() {
        for number in [0, 7, 10, 1234, usize::MAX] {
            let mut out = b"$".to_vec();
            push_decimal(number, &mut out);
            assert_eq!(out, format!("${number}").into_bytes());
        }
    }
}
