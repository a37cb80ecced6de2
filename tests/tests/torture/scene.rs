//! The scene of a scenario: two servers, an interlay, clients; and what has to hold in the end.

use std::time::{Duration, Instant};

use interlay_tests::{Interlay, Rng, Server};
use serde_json::Value;

use super::client::{Clients, Source, Told};
use super::compare;

/// At least as many as the issue of the day asks for.
const CLIENTS: u64 = 32;

/// A burst: so many clients, and so many replies at least.
const BURST_CLIENTS: u64 = 6;
const BURST: u64 = 100;

/// How long a scenario lasts when `INTERLAY_TORTURE_SECONDS` does not say.
const SECONDS: u64 = 3;

/// How long the sides may take to become equal when all is quiet, apart from what `INTERLAY_TORTURE_SECONDS` adds.
const CONVERGES_WITHIN: Duration = Duration::from_secs(30);

/// A scenario while clients send.
pub(crate) struct Scene {
    pub(crate) clients: Clients,
    /// Ended before the servers.
    pub(crate) interlay: Interlay,
    pub(crate) source: Server,
    pub(crate) target: Server,
    until: Instant,
}

/// How long each scenario lasts.
pub(crate) fn span() -> Duration {
    let seconds = std::env::var("INTERLAY_TORTURE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(SECONDS, |seconds| seconds.parse().expect("INTERLAY_TORTURE_SECONDS is a number")))
}

impl Scene {
    /// Starts the clients.
    pub(crate) fn start(source: Server, target: Server, interlay: Interlay, port: u16, rng: &Rng, requests: Source) -> Self {
        let clients = Clients::start(port, CLIENTS, rng, requests);
        Self { clients, interlay, source, target, until: Instant::now() + span() }
    }

    /// Two servers, an interlay with `args`, and clients.
    pub(crate) fn of(args: &[&str], rng: &Rng, requests: Source) -> Self {
        let (source, target) = (Server::start(), Server::start());
        let launch = Interlay::mirroring(&source, &target).args(args.iter().copied());
        let interlay = launch.args(BRISK).expect_warnings().start();
        let port = interlay.port();
        Self::start(source, target, interlay, port, rng, requests)
    }

    /// Whether there is time for another round.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Lets the clients send until the time is over.
    pub(crate) fn run(&self) {
        while self.goes_on() {
            self.clients.go_on_for(100);
        }
    }

    /// Ends the clients.
    pub(crate) fn stop(&mut self) -> Told {
        let told = self.clients.stop();
        let counters = self.interlay.status()["counters"].take();
        eprintln!("{} replies, {} connections ended, errors {:?}", self.clients.replies(), told.lost, told.errors);
        eprintln!("counters {counters}");
        told
    }

    /// Ends the clients; then both sides become equal by themselves, and the interlay knows when.
    pub(crate) fn converges(&mut self) -> Told {
        let told = self.stop();
        self.become_equal();
        told
    }

    /// Waits until the interlay says that no key differs, and for keys with a short life; then none may differ.
    pub(crate) fn become_equal(&self) {
        self.clean();
        compare::short_lives_are_over([&self.source, &self.target]);
        // A write that met an expiry may have been noticed since.
        self.clean();
        if let Some(report) = self.difference() {
            panic!("the sides differ, and the interlay does not know it: {report}\n{:#}", self.interlay.status());
        }
    }

    /// How the sides differ now.
    pub(crate) fn difference(&self) -> Option<String> {
        compare::difference(&self.source, &self.target, &self.clients.diary, true)
    }

    /// Short bursts of requests, with rest in between: most keys are clean when a burst begins. So what is wrong with an effect
    /// is not made good by a copy that was due anyway, and the diary has all that was done since the sides were equal.
    ///
    /// `trouble` is told when a burst begins (true) and when its clients have ended (false).
    pub(crate) fn run_in_bursts(&mut self, rng: &Rng, requests: Source, mut trouble: impl FnMut(&Self, bool)) {
        let mut burst = 0;
        while self.goes_on() {
            trouble(self, true);
            self.clients.go_on_for(BURST);
            self.clients.stop();
            trouble(self, false);
            self.clean();
            if let Some(report) = compare::difference(&self.source, &self.target, &self.clients.diary, false) {
                panic!("the sides differ after burst {burst}, and the interlay does not know it: {report}\n{:#}", self.interlay.status());
            }
            burst += 1;
            self.clients = Clients::start(self.interlay.port(), BURST_CLIENTS, &rng.fork(burst), requests);
        }
        eprintln!("{burst} bursts");
    }

    /// Waits until the interlay says that nothing is on its way and no key may differ.
    fn clean(&self) {
        let until = Instant::now() + CONVERGES_WITHIN + span();
        loop {
            let status = self.interlay.status();
            if is_clean(&status) {
                return;
            }
            if Instant::now() > until {
                let report = self.difference().unwrap_or_else(|| "no key differs".to_owned());
                panic!("the interlay does not come to rest: {report}\n{status:#}");
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// What a test that waits for reconnections has every interlay do.
pub(crate) const BRISK: [&str; 2] = ["--reconnect-backoff-max-ms", "50"];

fn is_clean(status: &Value) -> bool {
    let none = |name: &str| status[name] == 0;
    let connected = status["source"]["connected"] == true && status["target"]["connected"] == true;
    connected && none("lag_effects") && none("dirty_keys") && none("dirty_buckets") && none("error_keys") && status["suspect"] == false
}
