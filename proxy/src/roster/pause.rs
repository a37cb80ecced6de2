//! CLIENT PAUSE: how long clients are held back, and which requests.

use std::time::Duration;

use interlay_resp::Request;

use super::wording::{Parsed, number, refusal, too_many};

/// What is not longer than this can be added to an instant.
const PAUSE_MAX: Duration = Duration::from_hours(24 * 365 * 100);

/// A pause of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// How long from now on; a hundred years at most.
    pub(crate) lasts: Duration,
    /// Whether only requests that may write wait, or all.
    pub(crate) writes_only: bool,
}

impl Pause {
    /// What CLIENT PAUSE wants.
    ///
    /// # Errors
    ///
    /// The error reply to a request that wants no pause.
    pub(crate) fn parse(request: Request<'_>) -> Parsed<Self> {
        if request.argc() > 4 {
            return too_many(request);
        }
        let writes_only = match request.arg(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"all") => false,
            Some(b"write") => true,
            Some(_) => return refusal(&[b"ERR CLIENT PAUSE mode must be WRITE or ALL"]),
        };
        let Some(millis) = number(request.arg(2).unwrap_or_default()) else {
            return refusal(&[b"ERR timeout is not an integer or out of range"]);
        };
        let Ok(millis) = u64::try_from(millis) else { return refusal(&[b"ERR timeout is negative"]) };
        Ok(Self { lasts: Duration::from_millis(millis).min(PAUSE_MAX), writes_only })
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::parsed;
    use super::*;

    #[test]
    fn what_is_wanted() {
        let pause = |millis, writes_only| Ok(Pause { lasts: Duration::from_millis(millis), writes_only });
        let usage = "ERR unknown subcommand or wrong number of arguments for 'pAuse'. Try CLIENT HELP.";
        for (line, expected) in [
            ("CLIENT PAUSE 0", pause(0, false)),
            ("CLIENT PAUSE 10 all", pause(10, false)),
            ("client pause 10 WRITE", pause(10, true)),
            ("CLIENT PAUSE 9000000000000000000", Ok(Pause { lasts: PAUSE_MAX, writes_only: false })),
            // Measured with 7.0.15.
            ("CLIENT PAUSE x", Err("ERR timeout is not an integer or out of range")),
            ("CLIENT PAUSE 1.5", Err("ERR timeout is not an integer or out of range")),
            ("CLIENT PAUSE 99999999999999999999", Err("ERR timeout is not an integer or out of range")),
            ("CLIENT PAUSE -1", Err("ERR timeout is negative")),
            ("CLIENT PAUSE 10 foo", Err("ERR CLIENT PAUSE mode must be WRITE or ALL")),
            ("CLIENT PAUSE x foo", Err("ERR CLIENT PAUSE mode must be WRITE or ALL")),
            ("CLIENT PAUSE -1 foo", Err("ERR CLIENT PAUSE mode must be WRITE or ALL")),
            ("client pAuse 1 all x", Err(usage)),
            ("CLIENT pAuse x foo bar", Err(usage)),
        ] {
            assert_eq!(parsed(line, Pause::parse), expected.map_err(str::to_owned), "{line}");
        }
    }
}
