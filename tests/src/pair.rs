//! The usual scene: two servers and an interlay between them.

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

    /// Waits until every effect is answered and every dirty key is copied.
    pub fn settled(&self) {
        self.interlay.settled();
    }

    /// Has the target refuse copies: dirty keys stay so, and what is mirrored goes on.
    pub fn refuse_copies(&self) {
        assert_eq!(self.target.call(["ACL", "SETUSER", "default", "-restore"]), b"+OK\r\n");
    }

    /// Has the target take copies again, and those that it has refused be tried at once.
    pub fn take_copies(&self) {
        assert_eq!(self.target.call(["ACL", "SETUSER", "default", "+restore"]), b"+OK\r\n");
        let said = self.interlay.cli(&["repair"]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Waits until all is settled; then both servers must hold the same.
    pub fn assert_equal(&self) {
        self.interlay.assert_equal(&self.source, &self.target);
    }

    /// The same, and no effect may have been answered otherwise than on the authority: nothing had to be put right.
    pub fn assert_in_step(&self) {
        self.assert_equal();
        let status = self.interlay.status();
        assert_eq!(status["mismatches"], 0, "{status:#}");
    }
}
