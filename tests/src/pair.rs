//! The usual scene: two servers and an interlay between them.

use crate::equal::assert_equal;
use crate::interlay::Interlay;
use crate::server::Server;

/// Two servers and the interlay that mirrors one to the other. The interlay is ended first.
#[derive(Debug)]
pub struct Pair {
    /// Between them.
    pub interlay: Interlay,
    /// Where the data is.
    pub source: Server,
    /// Where it goes.
    pub target: Server,
}

impl Pair {
    /// Starts all three.
    #[must_use]
    pub fn start(policy: &str) -> Self {
        Self::with_args(policy, &[])
    }

    /// Starts all three, with further arguments of `interlay serve`.
    #[must_use]
    pub fn with_args(policy: &str, args: &[&str]) -> Self {
        let (source, target) = (Server::start(), Server::start());
        let launch = Interlay::mirroring(&source, &target).args(["--policy", policy]);
        let interlay = launch.args(args.iter().copied()).start();
        Self { interlay, source, target }
    }

    /// The same, where the test brings about warnings.
    #[must_use]
    pub fn with_warnings(policy: &str, args: &[&str]) -> Self {
        let (source, target) = (Server::start(), Server::start());
        let launch = Interlay::mirroring(&source, &target).args(["--policy", policy]);
        let interlay = launch.args(args.iter().copied()).expect_warnings().start();
        Self { interlay, source, target }
    }

    /// Waits until every effect is answered.
    pub fn settled(&self) {
        self.interlay.settled();
    }

    /// Waits until every effect is answered; then no key may be dirty, no effect may have been answered otherwise than
    /// on the authority, and both servers must hold the same.
    pub fn assert_in_step(&self) {
        self.settled();
        let status = self.interlay.status();
        assert_eq!((&status["dirty_keys"], &status["mismatches"]), (&0.into(), &0.into()), "{status:#}");
        assert_equal(&self.source, &self.target);
    }
}
