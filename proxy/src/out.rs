//! What the commands say to the person or script that ran them. Logs go elsewhere: see [`crate::logging`].
//!
//! A reader that has gone (`interlay status | head -1`) is no reason to fail, so errors of writing are dropped.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// Writes one result, with a line end, to standard output.
pub(crate) fn say(result: impl Display) {
    let mut stdout = stdout().lock();
    _ = writeln!(stdout, "{result}").and_then(|()| stdout.flush());
}

/// Writes one complaint, with a line end, to standard error.
pub(crate) fn complain(complaint: impl Display) {
    _ = writeln!(stderr(), "{complaint}");
}
