//! Subcommands of CLIENT that switch something: REPLY, NO-EVICT, NO-TOUCH.

use interlay_resp::Request;

use super::wording::{Parsed, syntax_error};

/// Which replies a client wants, as CLIENT REPLY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// All from now on, with `+OK` to this request first.
    On,
    /// None from now on, errors neither.
    Off,
    /// Neither to this request nor to the next. Nothing new for a client that is switched off.
    Skip,
}

impl ReplyMode {
    /// What CLIENT REPLY says.
    ///
    /// # Errors
    ///
    /// The error reply to another word.
    pub(crate) fn parse(request: Request<'_>) -> Parsed<Self> {
        match request.arg(2).unwrap_or_default().to_ascii_lowercase().as_slice() {
            b"on" => Ok(Self::On),
            b"off" => Ok(Self::Off),
            b"skip" => Ok(Self::Skip),
            _ => syntax_error(),
        }
    }
}

/// Whether CLIENT NO-EVICT or CLIENT NO-TOUCH says on.
///
/// # Errors
///
/// The error reply to a word that is neither on nor off.
pub(crate) fn switch(request: Request<'_>) -> Parsed<bool> {
    match request.arg(2).unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => syntax_error(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::parsed;
    use super::*;

    #[test]
    fn words_are_taken_in_any_case() {
        // Errors measured with 7.0.15, of NO-TOUCH with 8.2.3.
        for (line, expected) in [
            ("CLIENT REPLY on", Ok(ReplyMode::On)),
            ("CLIENT REPLY Off", Ok(ReplyMode::Off)),
            ("client reply SKIP", Ok(ReplyMode::Skip)),
            ("CLIENT REPLY x", Err("ERR syntax error")),
        ] {
            assert_eq!(parsed(line, ReplyMode::parse), expected.map_err(str::to_owned), "{line}");
        }
        for (line, expected) in [
            ("CLIENT NO-EVICT On", Ok(true)),
            ("CLIENT NO-TOUCH oFF", Ok(false)),
            ("CLIENT NO-EVICT x", Err("ERR syntax error")),
            ("CLIENT NO-TOUCH x", Err("ERR syntax error")),
        ] {
            assert_eq!(parsed(line, switch), expected.map_err(str::to_owned), "{line}");
        }
    }
}
