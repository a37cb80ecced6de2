//! CLIENT UNBLOCK: which client is to stop waiting, and what it gets.

use interlay_resp::Request;

use super::wording::{Parsed, number, refusal, too_many};

/// One client that is to stop waiting. The reply is `:1` if it waited, and `:0` if not or if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unblock {
    /// Its id; any number, also one that no client can have.
    pub(crate) id: i64,
    /// What it gets.
    pub(crate) how: UnblockAs,
}

/// What an unblocked client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnblockAs {
    /// What it would get when its time was over.
    Timeout,
    /// `-UNBLOCKED`, as an error.
    Error,
}

impl Unblock {
    /// What CLIENT UNBLOCK wants.
    ///
    /// # Errors
    ///
    /// The error reply to a request that wants nothing.
    pub(crate) fn parse(request: Request<'_>) -> Parsed<Self> {
        if request.argc() > 4 {
            return too_many(request);
        }
        let how = match request.arg(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"timeout") => UnblockAs::Timeout,
            Some(b"error") => UnblockAs::Error,
            Some(_) => return refusal(&[b"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"]),
        };
        match number(request.arg(2).unwrap_or_default()) {
            Some(id) => Ok(Self { id, how }),
            None => refusal(&[b"ERR value is not an integer or out of range"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::parsed;
    use super::*;

    #[test]
    fn what_is_wanted() {
        let timeout = |id| Ok(Unblock { id, how: UnblockAs::Timeout });
        let usage = "ERR unknown subcommand or wrong number of arguments for 'UnBlock'. Try CLIENT HELP.";
        for (line, expected) in [
            ("CLIENT UNBLOCK 99", timeout(99)),
            ("CLIENT UNBLOCK -1", timeout(-1)),
            ("CLIENT UNBLOCK 99 TIMEOUT", timeout(99)),
            ("client unblock 99 Error", Ok(Unblock { id: 99, how: UnblockAs::Error })),
            // Measured with 7.0.15.
            ("CLIENT UNBLOCK x", Err("ERR value is not an integer or out of range")),
            ("CLIENT UNBLOCK 99999999999999999999", Err("ERR value is not an integer or out of range")),
            ("CLIENT UNBLOCK x foo", Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
            ("client UnBlock 1 error x", Err(usage)),
        ] {
            assert_eq!(parsed(line, Unblock::parse), expected.map_err(str::to_owned), "{line}");
        }
    }
}
