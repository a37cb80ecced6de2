//! What every client has to do: the one list of steps, and the check that each was done.

/// The steps, in order. A client goes through all of them in RESP2 and again in RESP3, in a database of the protocol's
/// number, and says `ok <protocol> <step>` after each.
pub(crate) const STEPS: [&str; 14] = [
    "handshake",   // protocol, name and database of the connection; another name, another database
    "password",    // with the right one; with a wrong one, another user's and none it is refused
    "pipeline",    // thousands of requests at once; one that fails does not disturb the others
    "transaction", // MULTI ... EXEC in one batch, with an error inside, and with one that keeps it from being carried out
    "watch",       // WATCH that succeeds, that another client's write makes fail, and UNWATCH
    "multi",       // MULTI request by request, with EXEC, DISCARD, EXECABORT
    "pubsub",      // channel and pattern, every message exactly once, and ordinary requests afterwards
    "resubscribe", // a subscriber whose connection is killed subscribes again by itself
    "blocking",    // BLPOP, BLMOVE, XREAD BLOCK and BZPOPMIN that another client serves, and a timeout
    "scripts",     // EVAL, EVALSHA, SCRIPT, FUNCTION and FCALL, in a database that is flushed afterwards
    "scan",        // the iterators of SCAN, HSCAN, SSCAN, ZSCAN
    "binary",      // a value of 1 MB under a binary key
    "kill",        // CLIENT KILL of its connection: the library connects again
    "restart",     // what it is connected to is restarted: the library connects again
];

/// Versions of the protocol.
pub(crate) const PROTOCOLS: [u8; 2] = [2, 3];

/// How far a client has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: usize,
}

impl Progress {
    /// Takes note of a line that says that a step is done. It has to be the next one's.
    pub(crate) fn said(&mut self, line: &str) {
        assert_eq!(Some(line), self.next().as_deref(), "after {} steps", self.done);
        self.done += 1;
    }

    /// Takes note of a step.
    pub(crate) fn done(&mut self, protocol: u8, step: &str) {
        self.said(&format!("ok {protocol} {step}"));
    }

    /// Asserts that no step was left out.
    pub(crate) fn assert_complete(&self) {
        assert_eq!(self.next(), None, "the client has ended too early");
    }

    /// What is to be said next.
    fn next(&self) -> Option<String> {
        let protocol = PROTOCOLS.get(self.done / STEPS.len())?;
        Some(format!("ok {protocol} {}", STEPS[self.done % STEPS.len()]))
    }
}
