//! Clients in other languages: scripts in `tests/clients`, each with the ports as its arguments.
//!
//! A script prints a line for each step, as [`Progress`] wants it, and `ready to restart` when it wants [`Scene::restart`];
//! it goes on when it has read a line.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;

use interlay_tests::{PATIENCE, binary};

use super::scene::Scene;
use super::steps::Progress;

/// The folder of redis-py, once it is installed. None, said on standard error, where it cannot be had.
static PYTHON: LazyLock<Option<PathBuf>> = LazyLock::new(|| install("python.sh"));
/// The same for the clients in Node.
static NODE: LazyLock<Option<PathBuf>> = LazyLock::new(|| install("node.sh"));

/// redis-py without asyncio.
pub(crate) fn redis_py(scene: Scene) {
    python("redis_py.py", scene);
}

/// redis-py with asyncio.
pub(crate) fn redis_py_asyncio(scene: Scene) {
    python("redis_py_asyncio.py", scene);
}

/// ioredis.
pub(crate) fn ioredis(scene: Scene) {
    node("ioredis.js", scene);
}

/// node-redis.
pub(crate) fn node_redis(scene: Scene) {
    node("node_redis.js", scene);
}

fn python(script: &str, scene: Scene) {
    if let Some(folder) = &*PYTHON {
        run(Command::new(folder.join("bin/python")).arg(source(script)).env("PYTHONDONTWRITEBYTECODE", "1"), scene);
    }
}

fn node(script: &str, scene: Scene) {
    if let Some(folder) = &*NODE {
        run(Command::new("node").arg(source(script)).env("NODE_PATH", folder.join("node_modules")), scene);
    }
}

/// A file of `tests/clients`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Lets a script install what it is named after, in a folder beside the build.
fn install(script: &str) -> Option<PathBuf> {
    let folder = binary().parent()?.join("clients").join(script.trim_end_matches(".sh"));
    let made = Command::new("sh").arg(source(script)).arg(&folder).stdin(Stdio::null()).output().expect("sh");
    if made.status.success() {
        return Some(folder);
    }
    // Not with eprintln!, which only a failing test shows.
    writeln!(std::io::stderr(), "SKIPPED clients of {script}: {}", String::from_utf8_lossy(&made.stderr).trim_end()).ok();
    None
}

/// Runs a client to its end.
fn run(command: &mut Command, mut scene: Scene) {
    command.args([scene.port(), scene.password_port()].map(|port| port.to_string()));
    let mut running = Running::start(command);
    let mut progress = Progress::default();
    while let Some(line) = running.line() {
        if line == "ready to restart" {
            scene.restart();
            running.tell("restarted");
        } else {
            progress.said(&line);
        }
    }
    running.assert_ended_well();
    progress.assert_complete();
    scene.assert_in_step();
}

/// A running script, killed when this is dropped before its end.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
        let (lines_tx, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| lines_tx.send(line)));
        let mut stderr = child.stderr.take().expect("a pipe");
        let errors = thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).ok();
            said
        });
        Self { child, lines, errors: Some(errors) }
    }

    /// The next line; none after the last.
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.child.kill().ok();
                panic!("the client has said nothing for {PATIENCE:?}:\n{}", self.said());
            }
        }
    }

    fn tell(&mut self, line: &str) {
        // A client that has ended says why on standard error.
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{line}").ok();
    }

    fn assert_ended_well(&mut self) {
        let status = self.child.wait().expect("an ended process");
        assert!(status.success(), "the client has failed, {status}:\n{}", self.said());
    }

    /// What it has said on standard error, once it has ended.
    fn said(&mut self) -> String {
        self.errors.take().map_or_else(String::new, |errors| errors.join().expect("a thread that only reads"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
