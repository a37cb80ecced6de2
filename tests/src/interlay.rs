//! The real `interlay` between a test's servers.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::admin::{self, Answer};
use crate::conn::Conn;
use crate::equal::{assert_equal, digest};
use crate::eventually::eventually;
use crate::port::free_port;
use crate::program::output;
use crate::server::Server;

/// Ports tried before an interlay counts as unable to start.
const ATTEMPTS: usize = 5;

/// The `interlay` under test: `INTERLAY_BIN`, or the one in the folder of the build that this test belongs to.
///
/// # Panics
///
/// If it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("INTERLAY_BIN").map_or_else(
        || {
            // target/debug/deps/test-0123 lies two folders below target/debug/interlay's.
            let test = std::env::current_exe().expect("the path of this test");
            let build = test.ancestors().find(|folder| folder.join("interlay").is_file()).unwrap_or(&test);
            build.join("interlay")
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "there is no interlay to test: `cargo build -p interlay` first, or name one in INTERLAY_BIN");
    path
}

/// How an interlay is to be started.
#[derive(Debug, Default)]
pub struct Launch {
    args: Vec<String>,
    envs: Vec<(String, String)>,
    expects_warnings: bool,
    may_be_unready: bool,
}

impl Launch {
    /// Adds arguments of `interlay serve`.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Allows WARN and ERROR lines in the log: the test brings them about.
    #[must_use]
    pub fn expect_warnings(mut self) -> Self {
        self.expects_warnings = true;
        self
    }

    /// Waits only for the process to live, not for its sides to be connected.
    #[must_use]
    pub fn unready(mut self) -> Self {
        self.may_be_unready = true;
        self
    }

    /// Starts it, and waits until every side is connected (or, if [`Launch::unready`], until the process answers).
    ///
    /// # Panics
    ///
    /// If it ends, or gets no connection to a side.
    #[must_use]
    pub fn start(self) -> Interlay {
        let mut interlay = Interlay { launch: self, port: 0, admin_port: 0, child: None, reader: None, log: Arc::default() };
        let started = (0..ATTEMPTS).any(|_| {
            // What an attempt said that found its port taken is nobody's fault.
            interlay.forget_log();
            (interlay.port, interlay.admin_port) = (free_port(), free_port());
            interlay.run() || !interlay.log().contains("Address already in use")
        });
        let started = started && interlay.child.is_some();
        assert!(started, "interlay ended at once:\n{}", interlay.log());
        interlay
    }
}

/// What a command of `interlay` has said, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A running interlay. Dropped, it is ended, and its log must hold no undeclared warning.
#[derive(Debug)]
pub struct Interlay {
    launch: Launch,
    port: u16,
    admin_port: u16,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
    log: Arc<Mutex<String>>,
}

impl Interlay {
    /// An interlay that mirrors `source` to `target`.
    #[must_use]
    pub fn mirroring(source: &Server, target: &Server) -> Launch {
        Self::passthrough(source).args(["--target", &target.url()])
    }

    /// An interlay before `source` alone.
    #[must_use]
    pub fn passthrough(source: &Server) -> Launch {
        Launch::default().args(["--source", &source.url()])
    }

    /// The clients' port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin port.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// `redis://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process id.
    ///
    /// # Panics
    ///
    /// If it has been ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the interlay runs").id()
    }

    /// A raw connection through the interlay.
    #[must_use]
    pub fn conn(&self) -> Conn {
        Conn::to(self.port)
    }

    /// A client of the interlay.
    ///
    /// # Panics
    ///
    /// If it is not served.
    #[must_use]
    pub fn client(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).expect("a connection to the interlay")
    }

    // === The operator ===

    /// GET of a path of the admin port.
    ///
    /// # Panics
    ///
    /// If nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        admin::ask(self.admin_port, "GET", path, "").unwrap_or_else(|| panic!("no answer to GET {path}:\n{}", self.log()))
    }

    /// PUT of a body to a path of the admin port.
    ///
    /// # Panics
    ///
    /// If nobody answers.
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        admin::ask(self.admin_port, "PUT", path, &body.to_string()).unwrap_or_else(|| panic!("no answer to PUT {path}:\n{}", self.log()))
    }

    /// `GET /api/v1/status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let answer = self.get("/api/v1/status");
        assert_eq!(answer.code, 200, "{}", answer.body);
        answer.json()
    }

    /// A number of the status: a field's name, or `counters.` and a counter's.
    ///
    /// # Panics
    ///
    /// If there is no such number.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        let status = self.status();
        let value = name.split('.').fold(&status, |value, part| &value[part]);
        value.as_u64().unwrap_or_else(|| panic!("no number {name} in {status:#}"))
    }

    /// Sends `percent` of the reads to the target, forced: nothing has proved it to be in sync yet.
    pub fn split(&self, percent: u64) {
        let answer = self.put("/api/v1/traffic", &json!({"target_read_percent": percent, "force": true}));
        assert_eq!(answer.code, 200, "{}", answer.body);
    }

    /// Sets the policy.
    pub fn policy(&self, policy: &str) {
        let answer = self.put("/api/v1/policy", &json!({"policy": policy}));
        assert_eq!(answer.code, 200, "{policy}: {}", answer.body);
    }

    /// Waits until the secondary has answered every effect, and every key that may differ is copied.
    pub fn settled(&self) {
        eventually("every effect is answered and every dirty key is copied", || {
            let status = self.status();
            let none = ["lag_effects", "dirty_keys", "copies_under_way"].iter().all(|name| status[name] == 0);
            none && status["sweeping"] == false && status["suspect"] == false
        });
    }

    /// Waits until all is settled; then both servers must hold the same.
    ///
    /// # Panics
    ///
    /// If they do not, with the keys that differ.
    pub fn assert_equal(&self, source: &Server, target: &Server) {
        self.settled();
        // A copied key's deadline is off by as long as the authority took to tell its time to live.
        if self.number("repairs") == 0 || digest(source) != digest(target) {
            assert_equal(source, target);
        }
    }

    /// Waits until the secondary has answered every effect; keys may be dirty.
    pub fn answered(&self) {
        eventually("the secondary has answered every effect", || self.number("lag_effects") == 0);
    }

    /// Runs a command of the CLI against this interlay; `--admin` is added.
    ///
    /// # Panics
    ///
    /// If it cannot be run, or is ended by a signal.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Said {
        let admin = format!("http://127.0.0.1:{}", self.admin_port);
        Self::command(&[args, &["--admin", &admin]].concat())
    }

    /// Runs any command of `interlay` to its end.
    ///
    /// # Panics
    ///
    /// If it cannot be run, or is ended by a signal.
    #[must_use]
    pub fn command(args: &[&str]) -> Said {
        let output = output(Command::new(binary()).args(args).env_clear());
        Said {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    // === The process ===

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget_log(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends SIGTERM and does not wait.
    ///
    /// # Panics
    ///
    /// If it has been ended.
    pub fn ask_to_stop(&self) {
        let child = self.child.as_ref().expect("the interlay runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("a signal");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// If it does not within [`crate::PATIENCE`].
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the interlay runs");
        let mut status = None;
        eventually("the interlay ends", || {
            status = child.try_wait().expect("a child's state");
            status.is_some()
        });
        self.join_reader();
        status.expect("it has ended")
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    ///
    /// If the system refuses that.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("an ended process");
        }
        self.join_reader();
    }

    /// Starts it again on the same ports, after ending it with SIGKILL if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        eventually("the interlay starts again on its ports", || self.run());
    }

    /// Starts the process on the present ports; false if it ends at once.
    fn run(&mut self) -> bool {
        let mut child = Command::new(binary())
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--admin", &format!("127.0.0.1:{}", self.admin_port)])
            .args(&self.launch.args)
            .env_clear()
            .envs(self.launch.envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("interlay runs");
        let lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::clone(&self.log);
        self.reader = Some(std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        }));
        let mut ended = false;
        eventually("the interlay is ready, or ends", || {
            ended = child.try_wait().expect("a child's state").is_some();
            ended || self.is_started()
        });
        self.child = Some(child);
        if ended {
            self.kill();
        }
        !ended
    }

    fn is_started(&self) -> bool {
        if self.launch.may_be_unready {
            return admin::ask(self.admin_port, "GET", "/healthz", "").is_some_and(|answer| answer.code == 200);
        }
        let status = admin::ask(self.admin_port, "GET", "/api/v1/status", "").filter(|answer| answer.code == 200);
        let connected = |side: &Value| side.is_null() || side["connected"] == true;
        status.map(|answer| answer.json()).is_some_and(|status| {
            let source = connected(&status["source"]) || status["phase"] == "completed";
            source && connected(&status["target"])
        })
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read to its end");
        }
    }
}

impl Drop for Interlay {
    fn drop(&mut self) {
        if std::thread::panicking() && self.child.is_some() {
            let status = admin::ask(self.admin_port, "GET", "/api/v1/status", "");
            eprintln!("the interlay's status: {}", status.map_or_else(String::new, |answer| answer.body));
        }
        let died = self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()));
        self.kill();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("the interlay's log:\n{log}");
            return;
        }
        assert!(!died, "the interlay has ended by itself:\n{log}");
        let panicked = log.lines().any(|line| line.contains("panicked at"));
        let warned = !self.launch.expects_warnings && log.lines().any(is_warning);
        assert!(!panicked && !warned, "the interlay's log holds what the test did not expect:\n{log}");
    }
}

/// Whether a log line, of either format, is a WARN or an ERROR.
fn is_warning(line: &str) -> bool {
    let of_text = line.split_whitespace().nth(1).is_some_and(|level| matches!(level, "WARN" | "ERROR"));
    of_text || ["\"level\":\"WARN\"", "\"level\":\"ERROR\""].iter().any(|level| line.contains(level))
}
