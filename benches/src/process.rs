//! Child processes that cannot outlive the run.
//!
//! In: a [`Command`]. Out: a [`Process`], killed by its pid when dropped, so also when the run fails. `setpriv`
//! (util-linux) asks the kernel for the same should this process itself be killed.

use crate::error::{BenchError, Result, Step};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at while waiting for it.
pub const POLL: Duration = Duration::from_millis(10);

/// A running child; dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output going to the file `log`.
    ///
    /// # Errors
    /// [`BenchError::Io`] if the log cannot be written or the program not be started.
    pub fn spawn(name: &str, command: &Command, log: PathBuf) -> Result<Self> {
        let out = File::create(&log).step(format!("create {}", log.display()))?;
        let err = out.try_clone().step("share the log file")?;
        let child = tied_to_us(command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .step(format!("start {name} (through setpriv, of util-linux)"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The child's process id: `setpriv` becomes the program, it does not fork.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tries `ready` until it succeeds, for at most `limit`.
    ///
    /// # Errors
    /// [`BenchError::Process`] if the child ends first, or at `limit`, with the last failure of `ready`.
    pub fn wait_until<T>(&mut self, limit: Duration, mut ready: impl FnMut() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            let failure = match ready() {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if let Some(status) = self.child.try_wait().step(format!("look after {}", self.name))? {
                return Err(self.problem(format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.problem(format!("is not ready after {} s ({failure})", limit.as_secs())));
            }
            sleep(POLL);
        }
    }

    fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().step(format!("wait for {}", self.name))? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(self.problem(format!("is not done after {} s", limit.as_secs())));
            }
            sleep(POLL);
        }
    }

    fn problem(&self, problem: String) -> BenchError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
        BenchError::Process { name: self.name.clone(), problem, log: last.join("\n") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the child is already gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end and returns what it wrote.
///
/// # Errors
/// [`BenchError::Process`] if it fails or takes longer than `limit`; [`BenchError::Io`] if it cannot be started.
pub fn run(name: &str, command: &Command, log: PathBuf, limit: Duration) -> Result<String> {
    let mut process = Process::spawn(name, command, log)?;
    let status = process.wait_for_end(limit)?;
    if !status.success() {
        return Err(process.problem(format!("ended with {status}")));
    }
    fs::read_to_string(&process.log).step(format!("read the output of {name}"))
}

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// [`BenchError::Io`] if the system has none.
pub fn free_port() -> Result<u16> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).step("look for a free port")?;
    Ok(probe.local_addr().step("look for a free port")?.port())
}

/// The same command, ended by the kernel when the thread that starts it (here: the main one) ends.
fn tied_to_us(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        tied.current_dir(dir);
    }
    tied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::spawn("sleeper", &command, dir.path().join("log")).unwrap();
        let proc_dir = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(proc_dir.exists());
        drop(process);
        assert!(!proc_dir.exists());
    }

    #[test]
    fn failed_command_reports_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such pool >&2; exit 3"]);
        let failure = run("shell", &command, dir.path().join("log"), Duration::from_secs(10)).unwrap_err();
        assert!(failure.to_string().contains("no such pool"), "{failure}");
    }
}
