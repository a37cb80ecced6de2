//! Commands that were carried out together: what each of them changed, and what the other side gets for all of them.
//!
//! In: the requests between MULTI and EXEC, back to back, and EXEC's reply. Out: a [`Part`] for each command that
//! changed something, and the bytes that make the same changes at once on the other side.

use interlay_resp::{Limits, ReplyKind, ReplyScan, ReplyScanner, Request};

use crate::conduct::{Catalog, Conduct, SessionCommand, Work};
use crate::effect::Effect;

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
        let happened = if failed { !unknown && effect.survives_an_error() } else { !(waits && kind == ReplyKind::Nil) };
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

/// The elements of an array's bytes, which a scanner has found to be whole. None of anything else.
pub fn elements<'a>(reply: &'a [u8], limits: &Limits) -> impl Iterator<Item = (&'a [u8], ReplyKind)> {
    let head = reply.iter().position(|byte| *byte == b'\n').map_or(reply.len(), |end| end + 1);
    let mut rest = if reply.first() == Some(&b'*') { reply.get(head..).unwrap_or_default() } else { &[] };
    std::iter::from_fn(move || {
        let Ok(ReplyScan::Complete { len, kind }) = ReplyScanner::default().scan(rest, limits) else { return None };
        let (element, behind) = rest.split_at(len);
        rest = behind;
        Some((element, kind))
    })
}

/// One write, or several as one transaction, for the other side.
#[derive(Debug)]
pub(crate) struct Repeat {
    /// The requests, back to back.
    pub(crate) bytes: Vec<u8>,
    /// The replies that they get.
    pub(crate) replies: u32,
    /// The last of these replies, if the other side does as this one did.
    pub(crate) expected: Vec<u8>,
    /// Whether there are SELECTs among them.
    pub(crate) selects: bool,
}

impl Repeat {
    /// What makes the changes of `parts`, of which there is at least one, from the database of the first of them on.
    pub(crate) fn of(parts: &[Part<'_>]) -> Self {
        if let [Part { request, reply, waits: false, .. }] = parts {
            return Self { bytes: request.bytes().to_vec(), replies: 1, expected: reply.to_vec(), selects: false };
        }
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut queued = 0;
        let mut db = parts.first().map_or(0, |part| part.db);
        let mut selects = false;
        interlay_resp::encode_request(["MULTI"], &mut bytes);
        for part in parts {
            if part.db != db {
                db = part.db;
                selects = true;
                interlay_resp::encode_request(["SELECT", &db.to_string()], &mut bytes);
                expected.extend_from_slice(b"+OK\r\n");
                queued += 1;
            }
            bytes.extend_from_slice(part.request.bytes());
            expected.extend_from_slice(part.reply);
            queued += 1;
        }
        interlay_resp::encode_request(["EXEC"], &mut bytes);
        expected.splice(..0, format!("*{queued}\r\n").into_bytes());
        Self { bytes, replies: queued + 2, expected, selects }
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
        let repeat = Repeat::of(&parts);
        assert_eq!(repeat.bytes, requests_of(&["MULTI", "SET a 1", "SELECT 2", "SET b 2", "EXEC"]));
        assert_eq!((repeat.replies, repeat.expected.as_slice(), repeat.selects), (5, &b"*3\r\n+OK\r\n+OK\r\n+OK\r\n"[..], true));
        let one = Repeat::of(&parts[..1]);
        assert_eq!((one.bytes, one.replies), (requests_of(&["SET a 1"]), 1));
    }
}
