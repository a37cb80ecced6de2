//! What must hold in every run: the properties of DESIGN.md, each checked from outside the pair.
//!
//! In: submissions, executions on both servers and what clients read. Out: the first thing that must not have
//! happened, in words.
//!
//! - **Replies**: each client reads exactly one reply a request, in order: what a server answered to that very request
//!   in that client's database and protocol, or an error of Interlay's own that tells the truth.
//! - **O**: what the secondary applies is a subsequence of what the authority has applied, in its order, across clients.
//!   What the authority carried out together the secondary carries out together.
//! - **R**: a read answered by the secondary shows a state no older than what any client had heard of when it was sent,
//!   one state for all its keys, and none of its own client's later writes.
//! - **C**: a copy shows the state behind the effects ahead of it, and no effect behind it is of an older one.
//! - **Convergence**: whenever the lanes are empty, every key that differs is dirty or suspect; where nothing went wrong, none
//!   is; and once the servers are well again both sides end equal and nothing is dirty.
//! - **both-required**: a success has happened on both sides; where nothing was applied, nothing ever is.
//! - **Waiting**: as [`waiting`] says.
//!
//! The driver looks at the bounds, and that lanes end for a reason only.

mod copies;
mod waiting;

use std::collections::HashMap;
use std::ops::Range;

use interlay_resp::Proto;
use interlay_routing::{BySide, LanePair, Policy, Session, Side, Work};

use super::agenda::Instant;
use super::history::{History, Index};
use super::server::{Done, Part, Server, Step, Tag};
use super::store::{Item, Store};
use super::workload::Args;
use copies::Copies;
pub(crate) use waiting::Wait;

/// How every answer of Interlay's own begins.
const OWN: &[u8] = b"-ERR interlay: ";

/// What a request is to the requests around it.
#[derive(Debug)]
pub(crate) enum Role {
    Alone,
    /// It stands between MULTI and EXEC of this transaction.
    Part(Tag),
    /// A transaction, with its parts. Its reply is that of EXEC.
    Whole(Range<Tag>),
    Waiter(Wait),
}

/// A request of a client, from its submission on.
#[derive(Debug)]
pub(crate) struct Record {
    /// Place and epoch.
    pub(crate) client: (usize, u32),
    pub(crate) session: Session,
    pub(crate) args: Args,
    pub(crate) work: Work,
    pub(crate) role: Role,
    /// The side in charge when it was submitted, or when it was served at last.
    authority: Side,
    /// Which of the policies in force it was submitted under.
    term: u64,
    /// A read must be answered from this state or a later one.
    floor: Index,
    ran: BySide<Option<Run>>,
    /// What the authority said when it was queued.
    queued: Option<Vec<u8>>,
    answered: bool,
    /// The client was told that nothing was applied.
    refused: bool,
}

impl Record {
    fn writes(&self) -> bool {
        matches!(self.work, Work::Write(_) | Work::Transaction { .. })
    }
}

/// One execution of it.
#[derive(Debug)]
struct Run {
    index: Index,
    at: Instant,
    proto: Proto,
    reply: Vec<u8>,
    /// It has not done what it says.
    failed: bool,
    /// The data is not what it was before.
    changed: bool,
}

type Verdict = Result<(), String>;

pub(crate) struct Checker {
    records: Vec<Record>,
    /// The writes of each client, oldest first.
    writes: HashMap<(usize, u32), Vec<Tag>>,
    history: History,
    executions: Index,
    /// The newest execution on the authority that a client has heard of.
    floor: Index,
    /// The authority's execution of the newest effect.
    last_effect: (Index, Tag),
    /// Requests that wait, in the order in which they came.
    waiting: Vec<Tag>,
    /// How often the authority's lane was lost or given up.
    losses: u64,
    /// Policies that have been in force.
    term: u64,
    policy: Policy,
    copies: Copies,
    /// From here on the authority is another one, or another process.
    begun: Index,
    /// Best-effort was in force: sides may differ without notice.
    blind: bool,
    /// How far servers may be apart in when a key expires.
    apart: Instant,
    /// No connection was lost and no server has failed, so no client may hear of anything like it.
    pub(crate) calm: bool,
}

impl Checker {
    pub(crate) fn new(pair: &LanePair, calm: bool, apart: Instant) -> Self {
        let policy = pair.policy();
        Self {
            records: Vec::new(),
            writes: HashMap::new(),
            history: History::default(),
            executions: 0,
            floor: 0,
            last_effect: (0, 0),
            waiting: Vec::new(),
            losses: 1,
            term: 1,
            policy,
            copies: Copies::default(),
            begun: 0,
            apart,
            blind: policy == Policy::BestEffort,
            calm,
        }
    }

    /// The policy last told of.
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) fn record(&self, tag: Tag) -> &Record {
        &self.records[tag]
    }

    /// The tag that the next submission gets.
    pub(crate) fn next_tag(&self) -> Tag {
        self.records.len()
    }

    pub(crate) fn submitted(&mut self, client: (usize, u32), session: Session, args: Args, work: Work, role: Role, authority: Side) {
        let (term, floor) = (self.term, self.floor);
        let (ran, queued) = (BySide::default(), None);
        if matches!(work, Work::Write(_) | Work::Transaction { .. }) {
            self.writes.entry(client).or_default().push(self.records.len());
        }
        self.records.push(Record {
            client,
            session,
            args,
            work,
            role,
            authority,
            term,
            floor,
            ran,
            queued,
            answered: false,
            refused: false,
        });
    }

    /// The policy in force is another one, and with it perhaps the authority.
    pub(crate) fn policy_changed(&mut self, policy: Policy, authority: &Store) {
        self.blind |= policy == Policy::BestEffort;
        if policy.authority() != self.policy.authority() {
            self.begin(authority);
        }
        self.policy = policy;
        self.term += 1;
    }

    /// A server has come back as another process.
    pub(crate) fn restarted(&mut self, authority: &Store) {
        self.begin(authority);
    }

    fn begin(&mut self, authority: &Store) {
        self.executions += 1;
        self.floor = self.executions;
        self.begun = self.floor;
        self.history.begin(self.floor, authority);
    }

    /// A server has dealt with a request.
    pub(crate) fn executed(&mut self, side: Side, authority: Side, server: &Server, step: Step) -> Verdict {
        let Step { session, reply, done, touched, .. } = step;
        let parts = match done {
            Done::Frame => return Ok(()),
            Done::Queued { tag, refused } => return self.queued(tag, side == authority, reply, refused),
            Done::Alone(part) => vec![part],
            Done::Together { queued, parts, failed } => {
                let first = queued.first().copied().filter(|_| side == authority);
                let whole = first.and_then(|tag| if let Role::Part(whole) = self.record(tag).role { Some(whole) } else { None });
                if let Some(whole) = whole {
                    let run =
                        Run { index: self.executions + 1, at: server.store.now(), proto: session.proto, reply, failed, changed: false };
                    self.whole_executed(side, whole, &queued, run)?;
                } else if let Some(tag) = first {
                    // An aborted try has said why before.
                    if parts.is_empty() || !self.tried(tag, authority, &parts[0], &touched)? {
                        return Ok(());
                    }
                }
                parts
            }
        };
        self.executions += 1;
        if let Some(scan) = parts.first().filter(|part| side != authority && part.args[0] == b"SCAN") {
            self.copies.scanned(self.executions, scan, &server.store);
        }
        if side != authority && copies::is_rebuilt(&parts) {
            return self.rebuilt(side, server, &parts);
        }
        let mut together = None;
        for part in parts {
            if let Some((tag, part)) = self.known(side, authority, part)? {
                self.part_executed(side, authority, server, tag, part, &mut together)?;
            }
        }
        if side == authority {
            touched.into_iter().for_each(|key| self.history.note(self.executions, key, &server.store));
        }
        Ok(())
    }

    fn queued(&mut self, tag: Tag, by_authority: bool, reply: Vec<u8>, refused: bool) -> Verdict {
        let record = self.records.get_mut(tag).ok_or("a request was queued that nobody sent")?;
        if record.refused {
            return Err(format!("#{tag} {} was queued although its client was told that nothing was applied", shown(&record.args)));
        }
        if by_authority {
            if refused {
                self.not_even_tried(tag, &reply);
            }
            self.records[tag].queued = Some(reply);
        }
        Ok(())
    }

    /// The authority has carried out a transaction.
    fn whole_executed(&mut self, side: Side, whole: Tag, queued: &[Tag], run: Run) -> Verdict {
        let record = &mut self.records[whole];
        let torn = !matches!(&record.role, Role::Whole(parts) if parts.clone().eq(queued.iter().copied()));
        let refused = record.refused;
        let twice = record.ran[side].replace(run).is_some();
        if torn || refused || twice {
            return Err(format!(
                "transaction #{whole}: torn {torn}, executed twice {twice}, although its client was told it was not {refused}"
            ));
        }
        Ok(())
    }

    /// `together` is the authority's execution of what this server has executed together with it so far.
    fn part_executed(
        &mut self,
        side: Side,
        authority: Side,
        server: &Server,
        tag: Tag,
        part: Part,
        together: &mut Option<Index>,
    ) -> Verdict {
        let Part { session, args, reply, failed, found_nothing, changed, .. } = part;
        let record = self.records.get_mut(tag).ok_or("a request was executed that nobody sent")?;
        let told = |what: &str| Err(format!("#{tag} {} {what}", shown(&record.args)));
        if record.ran[side].is_some() {
            return told(&format!("was executed twice by the {side}"));
        }
        if record.refused {
            return told(&format!("was executed by the {side} although its client was told that nothing was applied"));
        }
        if args != record.args && (side == authority || !self.copies.stands_for(&args, record, authority, self.apart)) {
            return told(&format!("reached the {side} as {}", shown(&args)));
        }
        let proto = if server.abilities.resp3 { record.session.proto } else { Proto::Resp2 };
        let alone = matches!(record.role, Role::Alone);
        let is_effect = side != authority && (matches!(record.work, Work::Write(_)) || !alone);
        let Session { db, proto: spoken } = session;
        // No client reads the reply to an effect, so any protocol will do for it. A request about the session itself may
        // come from a database that this server does not have.
        let elsewhere = record.session.db >= server.abilities.databases && matches!(record.work, Work::Other) && db == 0;
        // A read that is compared is asked for in the protocol in which the authority has answered it.
        let is_shadow =
            side != authority && record.work == Work::Read && record.ran[authority].as_ref().is_some_and(|run| run.proto == spoken);
        if (db != record.session.db && !elsewhere) || (spoken != proto && !is_effect && !is_shadow) {
            return told(&format!("of {:?} was executed by the {side} in {session:?}", record.session));
        }
        if is_effect {
            // O: the secondary applies changes in the order in which the authority executed them, and none else.
            let Some(Run { index: of, failed: false, .. }) = record.ran[authority] else {
                return told(&format!("was mirrored to the {side} although the {authority} has not applied it"));
            };
            if !matches!(record.work, Work::Write(_)) {
                return told("is no write, and was mirrored");
            }
            let in_order = match *together {
                None => of > self.last_effect.0,
                Some(together) => of == together && tag > self.last_effect.1,
            };
            if !in_order {
                return told("was mirrored out of order, or not together with what belongs to it");
            }
            if !failed && record.args[0].starts_with(b"FLUSH") {
                let all = record.args[0] == b"FLUSHALL";
                let dbs = if all { 0..server.abilities.databases } else { db..db + 1 };
                dbs.for_each(|db| _ = self.copies.emptied.insert(db, self.executions));
            }
            *together = Some(of);
            self.last_effect = (of, tag);
        } else if side != authority && record.work != Work::Read {
            return told(&format!("is no write and no read, and was sent to the {side}"));
        }
        if side == authority && !failed && record.args[0] == b"SWAPDB" {
            let [a, b] = [1, 2].map(|at| String::from_utf8_lossy(&record.args[at]).parse().unwrap_or_default());
            self.copies.swapped.push(((self.executions, tag), a, b));
        }
        if side == authority
            && let Some(deadline) = record.args.get(4).filter(|_| record.args[3] == b"PXAT")
        {
            let deadline = String::from_utf8_lossy(deadline).parse().unwrap_or_default();
            self.history.gave_deadline((db, record.args[1].clone()), deadline);
        }
        let failed = failed || (found_nothing && side == authority);
        record.ran[side] = Some(Run { index: self.executions, at: server.store.now(), proto: spoken, reply, failed, changed });
        Ok(())
    }

    /// What has waited for its turn is sent now.
    pub(crate) fn sent(&mut self, tag: Tag, authority: Side) {
        let parts = if let Role::Whole(parts) = &self.record(tag).role { parts.clone() } else { tag..tag };
        for record in std::iter::once(tag).chain(parts) {
            self.records[record].authority = authority;
            self.records[record].term = self.term;
        }
    }

    /// EXEC has answered nil: nothing was executed.
    pub(crate) fn came_to_nothing(&mut self, whole: Tag, authority: Side, now: Instant, reply: &[u8]) {
        self.executions += 1;
        let record = &mut self.records[whole];
        let run = Run { index: self.executions, at: now, proto: record.session.proto, reply: reply.to_vec(), failed: true, changed: false };
        record.ran[authority] = Some(run);
    }

    /// A transaction on a client's own connection knows its databases only now.
    pub(crate) fn runs_in(&mut self, parts: &[Part]) {
        parts.iter().for_each(|part| part.tag.into_iter().for_each(|tag| self.records[tag].session = part.session));
    }

    /// A client has read that a request was taken, or that a transaction was begun.
    pub(crate) fn opened(&mut self, tag: Tag, reply: &[u8]) -> Verdict {
        let record = &mut self.records[tag];
        let whole = matches!(record.role, Role::Whole(_));
        if let Some(text) = reply.strip_prefix(OWN) {
            record.refused |= has(text, "nothing was applied");
            return if self.calm { Err(format!("#{tag} was refused although nothing is wrong")) } else { Ok(()) };
        }
        let said = if whole { Some(&b"+OK\r\n"[..]) } else { record.queued.as_deref() };
        if said == Some(reply) {
            return Ok(());
        }
        Err(format!("#{tag} {} was opened with what no server said to it: {}", shown(&record.args), shown(&[reply])))
    }

    /// A client has read the reply to a request.
    pub(crate) fn replied(&mut self, tag: Tag, reply: &[u8], now: Instant) -> Verdict {
        let told = |record: &Record, what: &str| Err(format!("#{tag} {} {what}: {}", shown(&record.args), shown(&[reply])));
        let record = &mut self.records[tag];
        if std::mem::replace(&mut record.answered, true) {
            return told(record, "was answered twice");
        }
        if let Some(text) = reply.strip_prefix(OWN) {
            // Of a read that another side had run before, it is true all the same.
            record.refused = record.work != Work::Read && has(text, "nothing was applied");
            let (applied, record) = (has(text, "has applied"), &self.records[tag]);
            if self.calm {
                return told(record, "was refused although nothing is wrong");
            }
            if record.refused && Side::BOTH.iter().any(|side| record.ran[*side].is_some()) {
                return told(record, "was executed although its client is told that nothing was applied");
            }
            if applied && record.ran[record.authority].as_ref().is_none_or(|run| run.failed) && record.args[0] != b"EVAL" {
                return told(record, "was not applied although its client is told so");
            }
            if has(text, "changes nothing") && record.work != Work::Read {
                return told(record, "is no read although its client is told so");
            }
            return Ok(());
        }
        let record = &self.records[tag];
        let (home, away) = (record.authority, !record.authority);
        let by = |side: Side| record.ran[side].as_ref().filter(|run| run.reply == reply);
        let is_write = record.writes();
        let is_waiter = matches!(record.role, Role::Waiter(_));
        match (by(home), by(away)) {
            (Some(run), _) if is_write || run.index < self.own_next_write(tag) => {
                // Both-required: success once both have accepted.
                let both = self.policy == Policy::BothRequired && self.term == record.term;
                let accepted = |tag: Tag, record: &Record| {
                    record.ran[away].as_ref().is_some_and(|run| !run.failed) || self.copies.have_brought(tag, record, run.index)
                };
                let applied = |record: &Record| record.ran[home].as_ref().is_some_and(|run| run.changed && !run.failed);
                let parts = if let Role::Whole(parts) = &record.role { parts.clone() } else { tag..tag + 1 };
                let parts = parts.clone().zip(&self.records[parts]);
                let mut written = parts.filter(|(_, part)| matches!(part.work, Work::Write(_)));
                if both && written.any(|(tag, part)| applied(part) && !accepted(tag, part)) {
                    return told(record, "succeeded although both sides are required and one has not accepted it");
                }
                self.floor = self.floor.max(run.index);
                Ok(())
            }
            (_, Some(run)) if record.work == Work::Read => {
                if run.proto != record.session.proto {
                    return told(record, &format!("was answered by the {away} in {:?}", run.proto));
                }
                if self.blind || self.is_fresh(tag, record, run) {
                    Ok(())
                } else {
                    told(record, &format!("was answered stale by the {away}"))
                }
            }
            (None, _) if is_waiter => self.unserved(tag, reply, now),
            (Some(_), _) => told(record, "sees a write that its own client sent later"),
            _ => told(record, "was answered with something that no server said to it"),
        }
    }

    /// R: no read is older than what anybody had heard of when it was sent, nor newer than what its own client did next.
    fn is_fresh(&self, tag: Tag, record: &Record, run: &Run) -> bool {
        let args: Vec<&[u8]> = record.args.iter().map(Vec::as_slice).collect();
        let same = |reply: &super::reply::Reply| reply.encode(run.proto) == run.reply;
        // Who had lost its data does not answer for what it had.
        record.floor < self.begun
            || self.history.explains(&args, record.session.db, run.at, self.apart, record.floor..self.own_next_write(tag), same)
    }

    /// When the authority executed the next write of the same client.
    fn own_next_write(&self, tag: Tag) -> Index {
        let record = &self.records[tag];
        // The parts of a transaction stand behind it, and are not later than it.
        let from = if let Role::Whole(parts) = &record.role { parts.end } else { tag + 1 };
        let own = self.writes.get(&record.client).map_or(&[][..], |writes| &writes[writes.partition_point(|write| *write < from)..]);
        own.iter().filter_map(|later| self.records[*later].ran[record.authority].as_ref()).map(|run| run.index).min().unwrap_or(Index::MAX)
    }

    /// Everything is delivered and every lane is empty.
    pub(crate) fn quiet(&self, pair: &LanePair, stores: &BySide<&Store>) -> Verdict {
        for side in Side::BOTH {
            if pair.unanswered(side) != (0, 0) {
                return Err(format!("the {side} owes {:?} for ever", pair.unanswered(side)));
            }
        }
        let counters = pair.counters();
        if counters.effects != counters.effects_agreed + counters.mismatches + counters.effects_lost {
            return Err(format!("effects do not add up: {counters:?}"));
        }
        let differing = self.differing(pair, stores)?;
        if self.calm && (differing > 0 || !pair.dirty().is_settled() || counters.mismatches > 0) {
            return Err(format!("{differing} keys differ or are dirty although nothing went wrong: {counters:?}"));
        }
        if self.blind {
            return Ok(());
        }
        // What a side has no database for stays dirty, and may keep the rest from being named.
        let homeless = pair.error_keys().any(|error| Side::BOTH.iter().any(|side| !stores[*side].has_db(error.db)));
        if !homeless && (differing > 0 || !pair.dirty().is_settled() || pair.is_sweeping() || pair.is_suspect()) {
            let (named, folded, unconfirmed) = (pair.dirty().keys(), pair.dirty().buckets(), pair.dirty().unconfirmed());
            let (sweeping, suspect, paused) = (pair.is_sweeping(), pair.is_suspect(), pair.repair_paused_for());
            let errors: Vec<_> = pair.error_keys().collect();
            return Err(format!(
                "not repaired: {differing} keys differ, {named} are dirty, {folded} buckets, {unconfirmed} unconfirmed, {} under way, \
                 sweeping {sweeping}, suspect {suspect}, paused {paused:?}, {errors:?}",
                pair.copies_under_way()
            ));
        }
        Ok(())
    }

    /// Keys that differ now that the lanes are empty: none that nobody knows of.
    pub(crate) fn differing(&self, pair: &LanePair, stores: &BySide<&Store>) -> Result<usize, String> {
        let mut differing = 0;
        let (source, target) = (stores.source, stores.target);
        for (db, key) in source.keys().chain(target.keys()) {
            let (held, copy) = (source.get(db, key), target.get(db, key));
            if self.alike(held, copy, stores) {
                continue;
            }
            differing += 1;
            let known = pair.dirty().contains(db, key) || pair.dirty().is_unconfirmed(db, key) || pair.is_suspect();
            if !self.blind && !known {
                let key = String::from_utf8_lossy(key);
                let times = (source.now(), target.now());
                return Err(format!("{key} of database {db} differs and is not dirty: source {held:?}, target {copy:?}, at {times:?}"));
            }
        }
        Ok(differing)
    }

    /// Whether both sides hold the same; but for when it expires, which may be a little apart.
    fn alike(&self, held: Option<&Item>, copy: Option<&Item>, stores: &BySide<&Store>) -> bool {
        match (held, copy) {
            (None, None) => true,
            (Some(held), Some(copy)) => {
                held.value == copy.value
                    && match (held.deadline, copy.deadline) {
                        (None, None) => true,
                        (Some(held), Some(copy)) => held.abs_diff(copy) <= self.apart,
                        _ => false,
                    }
            }
            (Some(last), None) => last.deadline.is_some_and(|deadline| deadline.abs_diff(stores.source.now()) <= self.apart),
            (None, Some(last)) => last.deadline.is_some_and(|deadline| deadline.abs_diff(stores.target.now()) <= self.apart),
        }
    }
}

fn has(text: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(text).contains(words)
}

/// Arguments for people: short, and without line ends.
pub(crate) fn shown(args: &[impl AsRef<[u8]>]) -> String {
    let short = |arg: &[u8]| match arg.get(..160) {
        Some(start) => format!("{}... ({} bytes)", start.escape_ascii(), arg.len()),
        None => arg.escape_ascii().to_string(),
    };
    args.iter().map(|arg| short(arg.as_ref())).collect::<Vec<_>>().join(" ")
}
