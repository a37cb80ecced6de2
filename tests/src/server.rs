//! A real `redis-server` of a test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::conn::Conn;
use crate::eventually::eventually;
use crate::port::free_port;

/// Ports tried before a server counts as unable to start.
const ATTEMPTS: usize = 5;

/// What becomes of the data when a server starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// What was there at the last [`Server::save`].
    Kept,
    /// Nothing.
    Lost,
}

/// A `redis-server` on a loopback port, with a folder of its own, that ends when this is dropped.
///
/// It persists nothing by itself, and DEBUG is allowed.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    has_debug_switch: bool,
    port: u16,
    args: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Starts a server.
    #[must_use]
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// Starts a server with further arguments of `redis-server`.
    ///
    /// # Panics
    ///
    /// If there is no `redis-server`, or it refuses to start; its log says why.
    #[must_use]
    pub fn with_args(args: &[&str]) -> Self {
        Self::of(Path::new("redis-server"), args)
    }

    /// Starts a server from a given program.
    ///
    /// # Panics
    ///
    /// If there is no such program, or it refuses to start; its log says why.
    #[must_use]
    pub fn of(program: &Path, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server =
            Self { program: program.to_owned(), has_debug_switch: has_debug_switch(program), port: 0, args, folder, child: None };
        for _ in 0..ATTEMPTS {
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        panic!("{} does not start: {}", program.display(), server.log());
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A raw connection to the server itself.
    #[must_use]
    pub fn conn(&self) -> Conn {
        Conn::to(self.port)
    }

    /// A client of the server itself.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached.
    #[must_use]
    pub fn client(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).expect("a connection to the server")
    }

    /// Sends one request to the server itself and returns its reply.
    pub fn call<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> Vec<u8> {
        self.conn().call(args)
    }

    /// How often the server has carried out a command, by `INFO commandstats`.
    ///
    /// # Panics
    ///
    /// If the server does not answer.
    #[must_use]
    pub fn calls_of(&self, command: &str) -> u64 {
        let info = self.call(["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let info = String::from_utf8_lossy(&info);
        let calls = info.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number of calls"))
    }

    /// Writes the data to the server's folder, for a start with [`Data::Kept`].
    pub fn save(&self) {
        assert_eq!(self.call(["SAVE"]), b"+OK\r\n");
    }

    /// Ends the server with SIGKILL.
    ///
    /// # Panics
    ///
    /// If the system refuses that.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("an ended process");
        }
    }

    /// Starts the server again on the same port, after ending it if it still runs.
    pub fn restart(&mut self, data: Data) {
        self.kill();
        if data == Data::Lost {
            std::fs::remove_file(self.folder.path().join("dump.rdb")).ok();
        }
        eventually("the server starts again on its port", || self.run());
    }

    /// Stops the process with SIGSTOP: its connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("a signal");
    }

    /// Starts the process on the present port; false if it ends at once.
    fn run(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path());
        if self.has_debug_switch {
            command.args(["--enable-debug-command", "yes"]);
        }
        command.args(&self.args).stdin(Stdio::null()).stderr(Stdio::null()).stdout(log);
        let mut child = command.spawn().expect("redis-server is installed (Debian: apt-get install redis-server)");
        let pid = child.id();
        let mut up = false;
        eventually("the server answers, or ends", || {
            up = answers_as(self.port, pid);
            up || child.try_wait().expect("a child's state").is_some()
        });
        self.child = Some(child);
        if !up {
            self.kill();
        }
        up
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the server on `port` has loaded its data and is the process `pid`, not one of somebody else's.
fn answers_as(port: u16, pid: u32) -> bool {
    let info = redis::Client::open(("127.0.0.1", port))
        .and_then(|client| client.get_connection())
        .and_then(|mut connection| redis::cmd("INFO").arg("server").query::<String>(&mut connection));
    info.is_ok_and(|info| info.lines().any(|line| line == format!("process_id:{pid}")))
}

/// DEBUG is off by default, and has a switch, since Redis 7.
fn has_debug_switch(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").output().expect("redis-server is installed");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major = version.split("v=").nth(1).and_then(|rest| rest.split('.').next()).and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 7)
}
