//! Two servers that lose nothing, a network between them and the interlay, and clients that remember.

use std::thread::JoinHandle;

use interlay_tests::{FaultProxy, Interlay, Launch, Rng, Said, Server, digest, eventually};
use serde_json::Value;
use tempfile::TempDir;

use super::fault::{Fault, Lasting};
use super::writers::{Acknowledged, Writers};

/// A server that has on disk what it has acknowledged.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Keys that are on the source before the interlay is.
const KEYS: u64 = 2_000;

/// All of it. Ended from top to bottom.
pub(crate) struct Scene {
    pub(crate) writers: Option<Writers>,
    /// Before the interlay: a client finds somebody here, whether or not it lives.
    front: FaultProxy,
    pub(crate) interlay: Interlay,
    /// Before the source, and before the target.
    pub(crate) links: [FaultProxy; 2],
    pub(crate) source: Server,
    pub(crate) target: Server,
    _folder: TempDir,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let rng = Rng::printed();
        let (source, target) = (Server::with_args(&DURABLE), Server::with_args(&DURABLE));
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state").display().to_string();
        let mut conn = source.conn();
        let fill: Vec<_> = (0..KEYS).map(|n| interlay_tests::Conn::encode(["SET", &format!("before:{n}"), "v"])).collect();
        conn.pipeline(&fill);
        let links = [FaultProxy::to(source.port(), &rng.fork(1)), FaultProxy::to(target.port(), &rng.fork(2))];
        let sides = ["--source", &links[0].url(), "--target", &links[1].url(), "--state-dir", &state];
        // A gate that stands open for so long that a fault happens in it.
        let interlay =
            Launch::default().args(sides).args(["--reconnect-backoff-max-ms", "50", "--max-pause-ms", "10000"]).expect_warnings().start();
        let front = FaultProxy::to(interlay.port(), &rng.fork(3));
        let writers = Some(Writers::start(front.port(), Acknowledged::nothing()));
        Self { writers, front, interlay, links, source, target, _folder: folder }
    }

    /// The server of a side.
    pub(crate) fn server(&self, side: &str) -> &Server {
        if side == "source" { &self.source } else { &self.target }
    }

    /// The side in charge, and the other one.
    pub(crate) fn sides(&self) -> (&'static str, &'static str) {
        if self.interlay.status()["authority"] == "source" { ("source", "target") } else { ("target", "source") }
    }

    /// Begins a fault while `side` is frozen, so that what is under way there is in its midst; then `side` goes on, if it can.
    pub(crate) fn strike(&mut self, fault: Fault, side: &str) -> Lasting {
        let lasting = fault.begin(self);
        if fault.side() != Some(side) && fault != Fault::KillInterlay {
            self.noticed(fault);
        }
        if !matches!((fault, side), (Fault::KillSource, "source") | (Fault::KillTarget, "target")) {
            self.server(side).thaw();
        }
        lasting
    }

    /// Waits until the interlay knows of a fault.
    pub(crate) fn noticed(&self, fault: Fault) {
        if let Some(side) = fault.side().filter(|_| fault.disconnects()) {
            eventually("the loss is noticed", || self.interlay.status()[side]["connected"] == false);
        }
    }

    /// Waits until both sides are connected; of a completed move, the target.
    pub(crate) fn connected(&self) {
        eventually("the sides are connected", || {
            let status = self.interlay.status();
            let source = status["source"]["connected"] == true || status["phase"] == "completed";
            source && status["target"]["connected"] == true
        });
    }

    /// Lets clients go on: writes are acknowledged.
    pub(crate) fn write_on(&self) {
        self.writers.iter().for_each(|writers| writers.go_on_for(50));
    }

    /// Ends the clients; what they were told is on the side in charge, and the other one is equal.
    pub(crate) fn proves_itself(&mut self) {
        let acknowledged = self.writers.take().expect("they run").stop();
        self.interlay.settled();
        acknowledged.is_on(self.server(self.sides().0));
        if self.phase() != "completed" {
            assert_eq!(digest(&self.source), digest(&self.target));
        }
        self.writers = Some(Writers::start(self.front.port(), acknowledged));
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Value {
        self.interlay.status()["phase"].clone()
    }

    /// Runs a command beside the test, which may kill the interlay meanwhile.
    pub(crate) fn beside(&self, command: &str) -> JoinHandle<Said> {
        let line = format!("{command} --admin http://127.0.0.1:{}", self.interlay.admin_port());
        std::thread::spawn(move || Interlay::command(&line.split(' ').collect::<Vec<_>>()))
    }

    /// Runs a command until it does what it says; each refusal has to say what to do.
    pub(crate) fn insist(&self, command: &str) {
        eventually(&format!("{command} is done"), || {
            let said = self.beside(command).join().expect("an answer");
            says_what_to_do(&said);
            if said.code != 0 {
                eprintln!("    {command}: {}", said.stderr.trim());
            }
            said.code == 0
        });
    }
}

/// Words that tell a person what is to be done, or that nothing is.
const ADVICE: [&str; 6] = ["`interlay ", "--force", "as it was", "wait for", "when that is over", "is it serving"];

/// A command is done, or says why not and what to do.
pub(crate) fn says_what_to_do(said: &Said) {
    assert!(said.code == 0 || ADVICE.iter().any(|advice| said.stderr.contains(advice)), "{said:?}");
}
