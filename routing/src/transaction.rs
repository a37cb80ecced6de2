//! Commands that were carried out together: what each of them changed, and what the other side gets for all of them.
//!
//! In: the requests between MULTI and EXEC, back to back, and EXEC's reply. Out: a [`Part`] for each command that
//! changed something, and the bytes that make the same changes at once on the other side.

use interlay_resp::{Limits, ReplyKind, Request};

use crate::conduct::{Catalog, Conduct, SessionCommand, Work};
use crate::effect::Effect;
use crate::reply::elements;
use crate::rewrite::{Outcome, Substitute};

/// One command that changed something, or may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// The database it was carried out in.
    pub(crate) db: u32,
    pub(crate) request: Request<'a>,
    pub(crate) effect: Effect,
    pub(crate) reply: &'a [u8],
    /// On its own it would wait; in a transaction no command does.
    pub(crate) waits: bool,
}

/// The parts among `requests`, begun in database `db`, which got `reply`; and the database that is left behind. The
/// MULTI and EXEC around them may be among the requests. No parts if nothing was carried out.
pub(crate) fn parts<'a>(
    catalog: &Catalog,
    mut db: u32,
    requests: impl Iterator<Item = Request<'a>>,
    reply: &'a [u8],
    limits: &Limits,
) -> (Vec<Part<'a>>, u32) {
    let mut parts = Vec::new();
    let inner = requests.filter(|request| !is_frame(*request));
    for (request, (reply, kind)) in inner.zip(elements(reply, limits)) {
        let failed = kind == ReplyKind::Error;
        let conduct = catalog.conduct(request).1;
        if conduct == Conduct::Session(SessionCommand::Select) && !failed {
            db = selected(request).unwrap_or(db);
        }
        let waits = matches!(conduct, Conduct::Waits(..));
        let effect = catalog.effect(request);
        // Of a command that nobody knows the error is expected.
        let unknown = conduct == Conduct::Lane(Work::Unknown);
        let found_nothing = waits && kind == ReplyKind::Nil && !makes_a_consumer(request);
        let happened = if failed { !unknown && effect.survives(reply) } else { !found_nothing };
        if effect != Effect::Nothing && happened {
            parts.push(Part { db, request, effect, reply, waits });
        }
    }
    (parts, db)
}

/// The number that SELECT names.
pub(crate) fn selected(request: Request<'_>) -> Option<u32> {
    std::str::from_utf8(request.arg(1)?).ok()?.parse().ok()
}

fn is_frame(request: Request<'_>) -> bool {
    request.name().eq_ignore_ascii_case(b"multi") || request.name().eq_ignore_ascii_case(b"exec")
}

/// Whether a request that finds nothing may still have made its consumer known.
fn makes_a_consumer(request: Request<'_>) -> bool {
    request.name().eq_ignore_ascii_case(b"xreadgroup")
}

/// One request, or several as one transaction, for the other side.
#[derive(Debug)]
pub(crate) struct Repeat {
    /// MULTI, and the requests, back to back.
    bytes: Vec<u8>,
    /// Their replies, if the other side does as this one did.
    expected: Vec<u8>,
    requests: u32,
    /// The database that they leave behind.
    db: u32,
    /// Whether there are SELECTs among them.
    pub(crate) selects: bool,
    /// Whether one of them would wait on its own.
    waits: bool,
}

/// A [`Repeat`] that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The requests, back to back.
    pub(crate) bytes: Vec<u8>,
    /// The replies that they get.
    pub(crate) replies: u32,
    /// The last of these replies, if the other side does as this one did.
    pub(crate) expected: Vec<u8>,
}

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Repeat {
    /// Nothing yet, in database `db`.
    pub(crate) fn new(db: u32) -> Self {
        Self { bytes: MULTI.to_vec(), expected: Vec::new(), requests: 0, db, selects: false, waits: false }
    }

    /// Adds what `outcome` makes of `part`.
    pub(crate) fn push(&mut self, part: &Part<'_>, outcome: Outcome, substitute: &Substitute) {
        if part.db != self.db {
            if self.requests > 0 {
                self.selects = true;
                interlay_resp::encode_request(["SELECT", &part.db.to_string()], &mut self.bytes);
                self.expected.extend_from_slice(b"+OK\r\n");
                self.requests += 1;
            }
            self.db = part.db;
        }
        match outcome {
            Outcome::Same => {
                self.waits |= part.waits;
                self.bytes.extend_from_slice(part.request.bytes());
                self.expected.extend_from_slice(part.reply);
                self.requests += 1;
            }
            Outcome::Substitute => self.extend(substitute),
            Outcome::Nothing | Outcome::Repair => {}
        }
    }

    /// Adds the requests of a substitute.
    pub(crate) fn extend(&mut self, substitute: &Substitute) {
        self.bytes.extend_from_slice(&substitute.bytes);
        self.expected.extend_from_slice(&substitute.expected);
        self.requests += substitute.requests;
    }

    /// A single request alone, unless it would wait; several as a transaction.
    pub(crate) fn whole(self) -> Whole {
        let Self { mut bytes, mut expected, requests, waits, .. } = self;
        if requests == 1 && !waits {
            bytes.drain(..MULTI.len());
            return Whole { bytes, replies: 1, expected };
        }
        bytes.extend_from_slice(EXEC);
        expected.splice(..0, format!("*{requests}\r\n").into_bytes());
        Whole { bytes, replies: requests + 2, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    fn requests_of(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        lines.iter().for_each(|line| interlay_resp::encode_request(line.split(' ').collect::<Vec<_>>(), &mut bytes));
        bytes
    }

    fn shown(lines: &[&str], reply: &str) -> (Vec<(u32, String)>, u32) {
        let catalog = Catalog::new(CommandTable::builtin());
        let bytes = requests_of(lines);
        let (parts, db) = parts(&catalog, 0, interlay_resp::requests(&bytes), reply.as_bytes(), &Limits::default());
        let names = parts.iter().map(|part| (part.db, String::from_utf8_lossy(part.request.name()).into_owned())).collect();
        (names, db)
    }

    #[test]
    fn only_what_changed_something_is_repeated() {
        let lines = ["MULTI", "GET a", "SET a 1", "INCR s", "BLPOP l 0", "SELECT 3", "BLPOP m 0", "EXEC"];
        let reply = "*6\r\n$-1\r\n+OK\r\n-ERR value\r\n*-1\r\n+OK\r\n*2\r\n$1\r\nm\r\n$1\r\nx\r\n";
        assert_eq!(shown(&lines, reply), (vec![(0, "SET".to_owned()), (3, "BLPOP".to_owned())], 3));
        for nothing in ["*-1\r\n", "_\r\n", "-EXECABORT no\r\n"] {
            assert_eq!(shown(&lines, nothing), (vec![], 0));
        }
        // A script may have changed something before it failed.
        assert_eq!(shown(&["EVAL x 1 k"], "*1\r\n-ERR no\r\n").0.len(), 1);
    }

    #[test]
    fn several_changes_become_one_transaction() {
        let catalog = Catalog::new(CommandTable::builtin());
        let bytes = requests_of(&["SET a 1", "SELECT 2", "SET b 2"]);
        let (parts, _) = parts(&catalog, 0, interlay_resp::requests(&bytes), b"*3\r\n+OK\r\n+OK\r\n+OK\r\n", &Limits::default());
        let substitute = Substitute::default();
        let mut repeat = Repeat::new(0);
        parts.iter().for_each(|part| repeat.push(part, Outcome::Same, &substitute));
        assert!(repeat.selects);
        let bytes = requests_of(&["MULTI", "SET a 1", "SELECT 2", "SET b 2", "EXEC"]);
        assert_eq!(repeat.whole(), Whole { bytes, replies: 5, expected: b"*3\r\n+OK\r\n+OK\r\n+OK\r\n".to_vec() });
        let mut one = Repeat::new(0);
        one.push(&parts[0], Outcome::Same, &substitute);
        assert_eq!(one.whole(), Whole { bytes: requests_of(&["SET a 1"]), replies: 1, expected: b"+OK\r\n".to_vec() });
        let mut waiting = Repeat::new(0);
        waiting.push(&Part { waits: true, ..parts[0] }, Outcome::Same, &substitute);
        assert_eq!(waiting.whole().replies, 3);
    }
}
