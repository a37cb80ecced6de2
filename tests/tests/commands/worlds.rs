//! The same calls to servers and to interlays.
//!
//! In: batches of calls, each for a connection of its own. Out: every place where an interlay's replies are not alike a
//! server's. Behind each call goes a PING with a marker, and at the end RESET and a last marker, all in one write: so
//! nothing waits for a guessed time, and each reply is told apart from its neighbours wherever the connection's state
//! lets a PING be answered.

use std::fmt::Write;
use std::time::Duration;

use interlay_tests::{Conn, Interlay, Server, text};

use super::compare::Likeness;
use super::differences::is_listed;

/// Answers that take longer count as none.
const SILENCE: Duration = Duration::from_secs(3);

/// Stands for a reply that does not come.
pub(crate) const SILENT: &[u8] = b"(silence)";

/// The keys that each batch begins with, named by what they hold.
const DATA: &str = "FLUSHALL; SET str hello; SET num 10; RPUSH list a b c; SADD set 1 2 3; SADD words a; ZADD zset 1 a 2 b 3 c; \
    HSET hash f v n 5; XADD stream 1-1 f v; XADD stream 2-1 f w; XGROUP CREATE stream group 0; \
    GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; PFADD hll a b c";

/// RESP2 or RESP3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// How a batch's bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A marker behind each call; in one write.
    Marked,
    /// Nothing between the calls; in one write.
    Whole,
    /// Nothing between the calls; in pieces of this size.
    Pieces(usize),
}

/// Calls that are made one after the other on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Whose calls they are, for the report.
    pub(crate) name: String,
    /// The calls as bytes.
    pub(crate) calls: Vec<Vec<u8>>,
    /// How far the replies have to be alike.
    pub(crate) likeness: Likeness,
    /// How they are sent.
    pub(crate) sent: Sent,
}

impl Batch {
    /// A batch of requests with markers between them.
    pub(crate) fn marked<A: AsRef<[u8]>>(name: &str, calls: impl IntoIterator<Item = Vec<A>>, likeness: Likeness) -> Self {
        Self { name: name.to_owned(), calls: calls.into_iter().map(Conn::encode).collect(), likeness, sent: Sent::Marked }
    }
}

/// The replies to one batch: for each call what came up to its marker.
type Replies = Vec<Vec<Vec<u8>>>;

/// A server that stands alone, another one that shows which replies are no two servers' alike, an interlay in
/// passthrough, one that mirrors, and one that mirrors with the target in charge.
pub(crate) struct Worlds {
    passthrough: Interlay,
    mirroring: Interlay,
    reversed: Interlay,
    alone: Server,
    other: Server,
    /// Behind the interlays.
    _behind: [Server; 5],
}

impl Worlds {
    /// Starts all of them.
    pub(crate) fn start() -> Self {
        let behind = std::array::from_fn(|_| Server::start());
        let passthrough = Interlay::passthrough(&behind[0]).start();
        let mirroring = Interlay::mirroring(&behind[1], &behind[2]).start();
        let reversed = Interlay::mirroring(&behind[3], &behind[4]).args(["--policy", "target-authoritative"]).start();
        Self { passthrough, mirroring, reversed, alone: Server::start(), other: Server::start(), _behind: behind }
    }

    /// The server that stands alone.
    pub(crate) fn alone(&self) -> &Server {
        &self.alone
    }

    /// Every world's name and port; the first is the one to compare with.
    pub(crate) fn ports(&self) -> [(&'static str, u16); 5] {
        [
            ("server", self.alone.port()),
            ("another server", self.other.port()),
            ("passthrough", self.passthrough.port()),
            ("mirroring", self.mirroring.port()),
            ("reversed", self.reversed.port()),
        ]
    }

    /// Runs something in every world at the same time.
    pub(crate) fn each<T: Send>(&self, run: impl Fn(u16) -> T + Sync) -> Vec<(&'static str, T)> {
        let run = &run;
        std::thread::scope(|scope| {
            let threads = self.ports().map(|(name, port)| (name, scope.spawn(move || run(port))));
            threads.into_iter().map(|(name, thread)| (name, thread.join().expect("the replies"))).collect()
        })
    }

    /// Asserts that every batch brings the same replies in every world, in each protocol, but for the differences listed.
    pub(crate) fn assert_alike(&self, protocols: &[Protocol], batches: &[Batch]) {
        let unlike = protocols.iter().flat_map(|protocol| self.unlike(*protocol, batches));
        let mut reports: Vec<_> = unlike.filter(|(request, _)| !is_listed(request)).map(|(_, report)| report).collect();
        reports.extend(self.out_of_step());
        assert!(reports.is_empty(), "{} differences:\n{}", reports.len(), reports.join("\n"));
    }

    /// What was not mirrored as it was carried out: each effect is to be answered as on the source, and once everything
    /// is flushed no key may be dirty.
    pub(crate) fn out_of_step(&self) -> Vec<String> {
        let mirrors = [("mirroring", &self.mirroring), ("reversed", &self.reversed)];
        let reports = mirrors.map(|(world, interlay)| {
            fresh(&mut interlay.conn());
            interlay.settled();
            let status = interlay.status();
            let in_step = status["mismatches"] == 0 && status["dirty_keys"] == 0;
            (!in_step).then(|| format!("{world}: {} mismatches, {} dirty keys", status["mismatches"], status["dirty_keys"]))
        });
        reports.into_iter().flatten().collect()
    }

    /// Calls whose replies are not alike everywhere: each call in words, and a report of what came back.
    pub(crate) fn unlike(&self, protocol: Protocol, batches: &[Batch]) -> Vec<(String, String)> {
        let replies = self.each(|port| batches.iter().map(|batch| exchange(port, protocol, batch)).collect::<Vec<_>>());
        let (server, others) = replies.split_first().expect("five worlds");
        let mut found = Vec::new();
        for (index, batch) in batches.iter().enumerate() {
            for (call, expected) in server.1[index].iter().enumerate() {
                let others = others.iter().map(|(world, replies)| (*world, &replies[index][call]));
                let unlike: Vec<_> = others.filter(|(_, got)| essences(batch, got) != essences(batch, expected)).collect();
                if unlike.is_empty() {
                    continue;
                }
                let request = batch.calls.get(call).map_or_else(|| "(the end)".to_owned(), |call| shown(call));
                let mut report =
                    format!("{} ({protocol:?}, {:?}): {request}\n  {:<15}{}", batch.name, batch.likeness, server.0, joined(expected));
                for (world, got) in unlike {
                    _ = write!(report, "\n  {world:<15}{}", joined(got));
                }
                found.push((request, report));
            }
        }
        found
    }
}

/// A connection that speaks this protocol.
pub(crate) fn connect(port: u16, protocol: Protocol) -> Conn {
    let mut conn = Conn::to(port);
    conn.socket().set_read_timeout(Some(SILENCE)).expect("a socket option");
    if protocol == Protocol::Resp3 {
        conn.call(["HELLO", "3"]);
    }
    conn
}

/// Leaves the usual keys and nothing else.
pub(crate) fn fresh(conn: &mut Conn) {
    let data: Vec<_> = super::row::calls(DATA).iter().map(Conn::encode).collect();
    for reply in conn.pipeline(&data) {
        assert!(!interlay_tests::is_error(&reply), "{}", text(&reply));
    }
}

/// What stands for a reply that does not come.
pub(crate) fn silence(error: &std::io::Error) -> Vec<u8> {
    if error.kind() == std::io::ErrorKind::WouldBlock { SILENT.to_vec() } else { b"(closed)".to_vec() }
}

/// Makes the calls of one batch and takes the replies.
fn exchange(port: u16, protocol: Protocol, batch: &Batch) -> Replies {
    let mut conn = connect(port, protocol);
    fresh(&mut conn);
    let marker = |call: usize| format!("marker-{call}");
    let end = marker(batch.calls.len());
    let mut bytes = Vec::new();
    for (at, call) in batch.calls.iter().enumerate() {
        bytes.extend_from_slice(call);
        if batch.sent == Sent::Marked {
            bytes.extend(Conn::encode(["PING", &marker(at)]));
        }
    }
    bytes.extend(Conn::encode(["RESET"]));
    bytes.extend(Conn::encode(["PING", &end]));
    let piece = if let Sent::Pieces(len) = batch.sent { len } else { bytes.len() };
    for piece in bytes.chunks(piece) {
        if conn.try_send(piece).is_err() {
            break; // closed already: what came before that is compared
        }
    }
    let mut replies = vec![Vec::new(); batch.calls.len() + 1];
    let mut at = 0;
    loop {
        let reply = match conn.try_reply() {
            Ok(reply) => reply,
            Err(error) => {
                replies[at].push(silence(&error));
                return replies;
            }
        };
        let marked = (at..=batch.calls.len()).find(|call| is_marker(&reply, &marker(*call)));
        match marked {
            Some(call) if call == batch.calls.len() => return replies,
            // Markers that are missing leave their replies to the next one that comes.
            Some(call) => at = call + 1,
            None => replies[at].push(reply),
        }
    }
}

/// Whether a reply is PING's, outside or inside of RESP2's subscribed mode.
fn is_marker(reply: &[u8], marker: &str) -> bool {
    let bulk = format!("${}\r\n{marker}\r\n", marker.len());
    reply == bulk.as_bytes() || reply.strip_prefix(b"*2\r\n$4\r\npong\r\n").is_some_and(|rest| rest == bulk.as_bytes())
}

fn essences(batch: &Batch, replies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    replies.iter().map(|reply| batch.likeness.essence(reply)).collect()
}

/// Replies to one call, for people.
pub(crate) fn joined(replies: &[Vec<u8>]) -> String {
    let replies: Vec<_> = replies.iter().map(|reply| short(reply)).collect();
    if replies.is_empty() { "(nothing)".to_owned() } else { replies.join("  ") }
}

/// Requests as their words, or as they are if they are inline.
fn shown(calls: &[u8]) -> String {
    if calls.first() != Some(&b'*') {
        return short(calls);
    }
    let text = String::from_utf8_lossy(calls);
    let is_header = |line: &str| line.len() > 1 && line.starts_with(['$', '*']) && line[1..].bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<_> =
        text.split("\r\n").filter(|line| !is_header(line)).map(|word| if word.is_empty() { "\"\"" } else { word }).collect();
    short(words.join(" ").trim_end_matches(" \"\"").as_bytes())
}

fn short(bytes: &[u8]) -> String {
    if bytes.len() > 300 { format!("{}... ({} bytes)", text(&bytes[..300]), bytes.len()) } else { text(bytes) }
}
