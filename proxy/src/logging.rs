//! Log lines, to standard error: standard output is for what a command was asked for.

use std::io::{self, IsTerminal};

use crate::config::{LogFormat, Logging};

/// Starts logging. Called once in a process.
pub(crate) fn start(logging: &Logging) {
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(logging.level);
    match logging.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).init(),
    }
}
