//! Other programs that a test runs to their end.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// Runs a program to its end, with nothing to read, and returns what it has said.
///
/// # Panics
///
/// If there is no such program, or it does not end within [`PATIENCE`]; then it is killed.
pub fn output(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_child(&child);
    let (output_tx, output_rx) = mpsc::channel();
    let waiter = std::thread::spawn(move || output_tx.send(child.wait_with_output()));
    let output = output_rx.recv_timeout(PATIENCE);
    if output.is_err() {
        kill_process(pid, Signal::KILL).ok();
    }
    waiter.join().expect("a thread that only waits").ok();
    output.unwrap_or_else(|_| panic!("{command:?} did not end within {PATIENCE:?}")).expect("the program's output")
}
