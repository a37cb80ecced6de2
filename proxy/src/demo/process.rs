//! A child process that does not outlive the demo.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use super::DemoError;

/// A running child that logs into a file. Dropped, it is ended.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; what it says goes into a file called `name` in `folder`.
    pub(super) fn start(name: &'static str, program: &Path, args: &[&str], folder: &Path) -> Result<Self, DemoError> {
        let log = folder.join(format!("{name}.log"));
        let spawn = || {
            let file = File::create(&log)?;
            leashed(program).args(args).stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file).spawn()
        };
        let child = spawn().map_err(DemoError::at(name))?;
        Ok(Self { name, child, log })
    }

    /// # Errors
    /// [`DemoError::Ended`] if it does not run any more.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait().map_err(DemoError::at(self.name))? {
            Some(status) => Err(DemoError::Ended { name: self.name, status }),
            None => Ok(()),
        }
    }

    /// What it has logged, with its name above.
    pub(super) fn log(&self) -> String {
        format!("--- log of {}\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A command with nothing of our environment but the path, and in a group of its own: Ctrl-C is for the demo, which
/// ends its children in their order.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).process_group(0);
    command
}

/// A command that the system ends when the demo is killed, where there is a `setpriv` that knows how to.
fn leashed(program: &Path) -> Command {
    const LEASH: [&str; 3] = ["--pdeathsig", "KILL", "--"];
    static SETPRIV: LazyLock<bool> =
        LazyLock::new(|| Command::new("setpriv").args(LEASH).arg("true").output().is_ok_and(|tried| tried.status.success()));
    if !*SETPRIV {
        return command(program);
    }
    let mut leashed = command(Path::new("setpriv"));
    leashed.args(LEASH).arg(program);
    leashed
}

/// `N` ports that nothing listens on. Another process may still take one: what is started there then says so.
///
/// They are none of those that the system gives to outgoing connections, where a lane that tries again and again to
/// connect to a server that is gone could at last reach itself.
pub(super) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = (0..COUNT).map(|step| FIRST + (start + step) % COUNT).filter(free).take(N).collect();
    ports.try_into().map_err(|_| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_process_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start("sleep", Path::new("sleep"), &["1000"], folder.path()).unwrap();
        process.check().unwrap();
        let pid = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn ended_process_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start("false", Path::new("false"), &[], folder.path()).unwrap();
        process.child.wait().unwrap();
        assert!(matches!(process.check(), Err(DemoError::Ended { name: "false", .. })));
    }
}
