//! The lane pair: what every request does to both sides, in one order. No I/O, no clock.
//!
//! In: requests of clients ([`LanePair::submit`]), bytes that servers sent ([`LanePair::receive`]), lanes that come
//! and go, and the operator's wishes. Out: bytes to write on each lane, and answers to clients.
//!
//! The one rule: **what request *i* changed is put onto the secondary's lane when reply *i* is processed, before the
//! client gets that reply.** Hence the secondary applies every change in the order in which the authority executed
//! it, and a read put onto the secondary's lane stands behind the effect of every write that anybody has seen
//! acknowledged.
//!
//! Whatever could leave the sides different marks keys in the dirty set. A dirty key's effects are not replayed, and
//! it is not read on the secondary.

mod backfilling;
mod batches;
mod copies;
mod follow;
mod functions;
mod gate;
mod loss;
mod obstacle;
mod probing;
mod promises;
mod repair;
mod replies;
mod report;
mod shadowing;
mod sweeps;
mod together;
mod trim;
mod verifying;
mod waiting;
mod watch;

pub use gate::{Condition, Finding};
pub(crate) use repair::Errand;
pub use report::Behind;
pub use watch::Watch;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use interlay_resp::{Limits, ReplyError, Request, requests};

use crate::answer::Answer;
use crate::backfill::Backfill;
use crate::clock::{Clock, Now};
use crate::conduct::{Catalog, Conduct, Work};
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::dirty::{DirtyLimits, DirtySet};
use crate::effect::Effect;
use crate::intent::{IntentStore, Progress};
use crate::keys::Keys;
use crate::lag::Lag;
use crate::lane::{Abilities, Asked, Entry, Job, Lane, Session, Ticket};
use crate::parked::Parked;
use crate::policy::{OnLag, Policy};
use crate::probe::ReplyTimes;
use crate::promise::Promises;
use crate::repairs::Repairs;
use crate::rewrite::Substitute;
use crate::side::{BySide, Side};
use crate::split::Split;
use crate::sweep::Sweep;
use crate::verify::Verification;

/// A key whose deadline is no further away than this may have expired on one side and not on the other. Unit:
/// milliseconds. It covers what a deadline is off by the time that replies take.
pub(crate) const EXPIRY_WINDOW_MS: u64 = 250;

/// A reply that comes later than this after its request does not tell when that was carried out. Unit: milliseconds.
const REPLY_AGE_MS: u64 = 100;

/// Who gets the answers.
pub trait Clients {
    /// Takes bytes of the answer to a request, the last ones if `whole`. The client may be gone.
    fn reply(&mut self, ticket: Ticket, bytes: &[u8], whole: bool);

    /// The answer to a request was begun and cannot be finished: the client's connection must end.
    fn abandon(&mut self, ticket: Ticket);

    /// Whether the client has issued a write after this request.
    fn wrote_since(&self, ticket: Ticket) -> bool;
}

/// What was carried out on the authority outside of its lane, while that was held and empty.
#[derive(Clone, Copy, Debug)]
pub struct Executed<'a> {
    /// Names the request in its answer.
    pub ticket: Ticket,
    /// The client's database and protocol.
    pub session: Session,
    /// The request in canonical form; or, back to back, those of the transaction that EXEC has carried out.
    pub requests: &'a [u8],
    /// Whether it was a transaction.
    pub transaction: bool,
    /// Whether it was done while the lane was held and empty. Otherwise nobody knows its place in the order, and the keys that
    /// it has written become dirty.
    pub ordered: bool,
    /// What the authority replied.
    pub reply: &'a [u8],
}

/// Bounds of a lane pair.
#[derive(Clone, Debug)]
pub struct PairLimits {
    /// Bytes of requests unanswered by the authority above which no more are taken; clients wait in their sockets.
    /// Default: 64 MiB.
    pub authority_backlog_bytes_max: usize,
    /// Bytes of effects unanswered by the secondary above which further ones become dirty keys. Default: 256 MiB.
    pub effect_queue_bytes_max: usize,
    /// What happens while the secondary is too slow for the writes.
    pub on_lag: OnLag,
    /// Bytes of values on their way from the authority to the secondary as copies. A larger value travels alone. Default: 16 MiB.
    pub copies_bytes_max: u64,
    /// Bytes of a value from which on it is copied in pieces, none of them larger than that or 1 MiB. Default: 4 MiB.
    pub chunk_from_bytes: u64,
    /// Memory for what is known of when keys expire. Past that more keys are copied than need be. Default: 16 MiB.
    pub deadlines_bytes_max: usize,
    /// Bounds of the dirty set.
    pub dirty: DirtyLimits,
    /// Bounds of the replies that servers send.
    pub resp: Limits,
}

impl Default for PairLimits {
    fn default() -> Self {
        Self {
            authority_backlog_bytes_max: 64 * 1024 * 1024,
            effect_queue_bytes_max: 256 * 1024 * 1024,
            on_lag: OnLag::default(),
            copies_bytes_max: 16 * 1024 * 1024,
            chunk_from_bytes: 4 * 1024 * 1024,
            deadlines_bytes_max: 16 * 1024 * 1024,
            dirty: DirtyLimits::default(),
            resp: Limits::default(),
        }
    }
}

/// A client's request for the lanes.
#[derive(Debug)]
pub struct Submission<'a> {
    /// Names the request in its answer.
    pub ticket: Ticket,
    /// The client's database and protocol.
    pub session: Session,
    /// The request, in canonical form. Of [`Work::Transaction`]: the bytes of all of it, seen as their first request.
    pub request: Request<'a>,
    /// The same bytes, if they are large and can be shared instead of copied.
    pub shared: Option<Bytes>,
    /// What it does.
    pub work: Work,
    /// Whether the split may send it to the target: the client waits for nothing from the authority.
    pub may_split: bool,
    /// Whether it changes the connection's own state (SELECT, HELLO), so that the lane must find it anew.
    pub changes_session: bool,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is on this side's lane.
    Queued(Side),
    /// It got an answer of Interlay's own.
    Answered,
    /// It waits for one of its keys to have something to take.
    Parked,
    /// Not taken: submit it again when [`LanePair::takes_requests`].
    Held,
}

/// Why a lane cannot go on. Its connection must be closed and [`LanePair::lost`] called.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The server sent bytes that are no reply.
    #[error("{side}: {cause}")]
    Protocol {
        /// Whose lane.
        side: Side,
        /// What is wrong with them.
        #[source]
        cause: ReplyError,
    },
    /// The server sent a reply to a request that it cannot have read.
    #[error("{0}: a reply to no request")]
    Unasked(Side),
    /// The server refused the lane's own SELECT or HELLO, so that what follows would hit the wrong database.
    #[error("{side}: refused to set up the lane: {reply}")]
    Setup {
        /// Whose lane.
        side: Side,
        /// The server's words.
        reply: String,
    },
}

/// The two lanes of an interlay, and everything that is known of how the sides differ.
#[derive(Debug)]
pub struct LanePair {
    lanes: BySide<Lane>,
    has_target: bool,
    authority: Side,
    policy: Policy,
    /// The change of the authority that waits for both lanes to run empty.
    change: Option<gate::Change>,
    /// The authority's lane is kept free for a client's own connection.
    held: bool,
    parked: Parked,
    split: Split,
    shadowing: shadowing::Shadowing,
    probing: probing::Probing,
    dirty: DirtySet,
    keys: Keys,
    limits: PairLimits,
    clock: Clock,
    lag: Lag,
    /// The same of the authority's requests, and how old the oldest of them was when its last replies came.
    reply_lag: Lag,
    reply_age_ms: u64,
    deadlines: Deadlines,
    counters: Counters,
    report: report::Report,
    /// How often the secondary's answer to an effect has made keys dirty.
    doubts: u64,
    /// Up to which of the [`Counters::effects`] keys may change their database.
    crossing_until: u64,
    /// Up to which of the [`Counters::effects`] the dirty set is ahead of the secondary.
    settling_until: u64,
    /// A side came back as another process: it may have lost writes that it had acknowledged.
    suspect: bool,
    /// Every key was copied, and no server has restarted since.
    in_sync: bool,
    /// All keys are to be copied.
    wants_sweep: bool,
    /// What of [`Counters::forgotten`] a sweep of everything has made good.
    forgotten_before: u64,
    repairs: Repairs,
    sweep: Option<Sweep>,
    backfill: Backfill,
    /// Sweeps begun so far.
    sweeps: u32,
    /// The comparison of both sides under way, or the last one, and how many there were.
    verification: Option<Box<Verification>>,
    verifications: u32,
    promises: Promises,
    reports: watch::Reports,
    trims: trim::Trims,
    /// When functions that may differ are copied again.
    functions_due_ms: u64,
    /// When the servers are asked for their time again.
    time_due_ms: u64,
    /// Where requests of Interlay's own are written.
    scratch: Vec<u8>,
    /// Where effects are rewritten.
    substitute: Substitute,
}

impl LanePair {
    /// A pair whose lanes are not connected yet.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, policy: Policy, has_target: bool, limits: PairLimits) -> Self {
        let copies_bytes_max = limits.copies_bytes_max;
        Self {
            lanes: BySide::default(),
            has_target,
            authority: if has_target { policy.authority() } else { Side::Source },
            policy,
            change: None,
            held: false,
            parked: Parked::default(),
            split: Split::default(),
            shadowing: shadowing::Shadowing::default(),
            probing: probing::Probing::default(),
            dirty: DirtySet::new(limits.dirty),
            keys: Keys::new(catalog),
            deadlines: Deadlines::new(limits.deadlines_bytes_max),
            limits,
            clock: Clock::default(),
            lag: Lag::default(),
            reply_lag: Lag::default(),
            reply_age_ms: 0,
            counters: Counters::default(),
            report: report::Report::default(),
            doubts: 0,
            crossing_until: 0,
            settling_until: 0,
            suspect: false,
            in_sync: false,
            wants_sweep: false,
            forgotten_before: 0,
            repairs: Repairs::new(copies_bytes_max),
            sweep: None,
            backfill: Backfill::default(),
            sweeps: 0,
            verification: None,
            verifications: 0,
            promises: Promises::default(),
            reports: watch::Reports::default(),
            trims: trim::Trims::default(),
            functions_due_ms: 0,
            time_due_ms: 0,
            scratch: Vec::new(),
            substitute: Substitute::default(),
        }
    }

    // === What it is like ===

    /// The side in charge.
    #[must_use]
    pub fn authority(&self) -> Side {
        self.authority
    }

    /// Whether there is a secondary, so that what changes on the authority goes to it.
    #[must_use]
    pub fn mirrors(&self) -> bool {
        self.has_target
    }

    /// The write policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The share of reads that goes to the target.
    #[must_use]
    pub fn split(&self) -> Split {
        self.split
    }

    /// What time it is, here and on the servers.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// It is `now`: to be said before anything else that happens.
    pub fn set_now(&mut self, now: Now) {
        let moved_on = now.mono_ms != self.clock.now().mono_ms;
        self.clock.set(now);
        if moved_on {
            self.lag.note(self.counters.effects, self.counters.effects_answered(), now.mono_ms);
            let authority = &self.lanes[self.authority];
            self.reply_age_ms = self.reply_lag.oldest_ms(authority.answered, now.mono_ms);
            self.reply_lag.note(authority.answered + authority.awaiting.len() as u64, authority.answered, now.mono_ms);
            self.note_fullness(now.mono_ms);
            self.watch_deadlines();
        }
    }

    /// How old the oldest effect is that the secondary has not answered, within some 10 ms.
    #[must_use]
    pub fn lag_ms(&self) -> u64 {
        self.lag.oldest_ms(self.counters.effects_answered(), self.clock.now().mono_ms)
    }

    /// Notes which keys have expired on one side and perhaps not on the other, as far as effects under way may tell.
    fn watch_deadlines(&mut self) {
        if self.deadlines.is_empty() {
            return;
        }
        let apart_ms = self.clock.offset_ms(Side::Source).abs_diff(self.clock.offset_ms(Side::Target));
        self.deadlines.advance(self.clock.now().unix_ms, EXPIRY_WINDOW_MS + self.lag_ms() + apart_ms);
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The keys that may differ.
    #[must_use]
    pub fn dirty(&self) -> &DirtySet {
        &self.dirty
    }

    /// Whether a side has restarted, so that keys may differ that are not in the dirty set.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// The commands.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.keys.catalog
    }

    /// Whether a side's lane is connected.
    #[must_use]
    pub fn is_up(&self, side: Side) -> bool {
        self.lanes[side].is_up()
    }

    /// Requests and bytes on a side's lane that wait for an answer.
    #[must_use]
    pub fn unanswered(&self, side: Side) -> (usize, usize) {
        (self.lanes[side].awaiting.len(), self.lanes[side].log.len())
    }

    /// Effects that the secondary has not answered.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.counters.effects - self.counters.effects_answered()
    }

    /// Bytes that a side's lane has moved in either direction. One that awaits answers and moves nothing is stalled.
    #[must_use]
    pub fn moved(&self, side: Side) -> u64 {
        self.lanes[side].moved
    }

    // === Requests ===

    /// Whether a request would be taken now, rather than held.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        let has_room = self.lanes[self.authority].queued_bytes() < self.limits.authority_backlog_bytes_max;
        self.change.is_none() && !self.held && has_room && !self.throttles()
    }

    /// Puts a request onto the lane it belongs to.
    pub fn submit(&mut self, mut submission: Submission<'_>, clients: &mut impl Clients) -> Admission {
        if !self.takes_requests() {
            return Admission::Held;
        }
        // A client in a database that this authority does not have can still choose another one.
        if submission.changes_session && !self.lanes[self.authority].has_db(submission.session.db) {
            submission.session.db = 0;
        }
        let replies = if let Work::Transaction { replies } = submission.work { replies } else { 1 };
        if let Some(answer) = self.refusal(&submission) {
            clients.reply(submission.ticket, &answer.to_reply().repeat(replies as usize), true);
            return Admission::Answered;
        }
        let shadow = self.shadowing.takes(submission.work);
        let side = if submission.may_split && !shadow && self.splits(&submission) { !self.authority } else { self.authority };
        self.counters.requests += 1;
        self.counters.target_reads += u64::from(side == Side::Target && submission.work == Work::Read);
        let job = match submission.work {
            Work::Read => Job::Pass { read: true, doubts: self.doubts, shadow },
            Work::Other => Job::Pass { read: false, doubts: self.doubts, shadow },
            Work::Unknown => Job::Unknown,
            Work::Write(effect) => Job::Write { effect, confirms: self.confirms() },
            Work::Transaction { .. } => Job::Transaction { confirms: self.confirms() },
        };
        let Submission { ticket, session, request, shared, changes_session, .. } = submission;
        match submission.work {
            Work::Read | Work::Other => {}
            Work::Write(_) | Work::Transaction { .. } => self.intend(request.bytes()),
            Work::Unknown => self.dirty.intend_everything(),
        }
        let lane = &mut self.lanes[side];
        lane.enter(session);
        let len = request.bytes().len();
        match shared {
            Some(bytes) => lane.log.push_shared(bytes),
            None => lane.log.push(request.bytes()),
        }
        lane.awaiting.push_back(Entry { asked: Asked { len, ticket, session }, replies, job });
        if changes_session {
            lane.session_unknown();
        }
        if !self.parked.is_empty() && matches!(submission.work, Work::Write(_) | Work::Transaction { .. }) {
            // Right behind the write, so that nobody sees what is not there to be seen.
            self.keys.foresee(&mut self.parked, session.db, request.bytes());
            self.try_parked(clients);
        }
        Admission::Queued(side)
    }

    /// Whether a write's client hears of it only when the secondary has accepted it.
    fn confirms(&self) -> bool {
        self.policy == Policy::BothRequired && self.has_target
    }

    /// Why a request is answered before any server sees it.
    fn refusal(&mut self, submission: &Submission<'_>) -> Option<Answer> {
        let Session { db, .. } = submission.session;
        let authority = &self.lanes[self.authority];
        if !authority.is_up() {
            self.counters.unsent_requests += 1;
            return Some(Answer::Unavailable(self.authority));
        }
        if !authority.has_db(db) {
            return Some(Answer::NoDatabase { side: self.authority, db });
        }
        match submission.work {
            _ if !self.confirms() => None,
            Work::Write(effect) => self.refused_write(db, submission.request, effect),
            Work::Transaction { .. } => self.refuses(db, submission.request.bytes()),
            Work::Read | Work::Other | Work::Unknown => None,
        }
    }

    /// Why `both-required` refuses one of the requests that stand back to back in `entry`.
    pub fn refuses(&mut self, db: u32, entry: &[u8]) -> Option<Answer> {
        if !self.confirms() {
            return None;
        }
        let catalog = Arc::clone(&self.keys.catalog);
        requests(entry).find_map(|request| match catalog.effect(request) {
            Effect::Nothing => None,
            // The authority's own error is expected.
            _ if catalog.conduct(request).1 == Conduct::Lane(Work::Unknown) => None,
            effect => self.refused_write(db, request, effect),
        })
    }

    /// Why `both-required` refuses a write.
    fn refused_write(&mut self, db: u32, request: Request<'_>, effect: Effect) -> Option<Answer> {
        let side = !self.authority;
        let secondary = &self.lanes[side];
        let answer = if !secondary.is_up() {
            Answer::SecondaryDown(side)
        } else if !secondary.has_db(db) {
            Answer::Unrepeatable(side)
        } else if secondary.queued_bytes() >= self.limits.effect_queue_bytes_max {
            Answer::SecondaryBehind(side)
        } else if matches!(effect, Effect::Unrepeatable(_)) && self.keys.writes_none(request) {
            Answer::Unrepeatable(side)
        } else if self.repairs.is_paused(self.clock.now().mono_ms) && self.keys.any_dirty(&self.dirty, db, request) {
            Answer::KeyDirty(side)
        } else {
            return None;
        };
        self.counters.refused_writes += 1;
        Some(answer)
    }

    /// Whether the split sends this read to the secondary.
    fn splits(&mut self, submission: &Submission<'_>) -> bool {
        let Session { db, proto } = submission.session;
        // While the target is the authority, every read is the target's already.
        if self.split.percent() == 0 || submission.work != Work::Read || self.authority == Side::Target {
            return false;
        }
        let target = &self.lanes.target;
        let full = target.queued_bytes() >= self.limits.effect_queue_bytes_max;
        if full || !target.has_db(db) || target.proto_for(proto) != proto {
            return false;
        }
        let (split, dirty, trims) = (self.split, &self.dirty, &self.trims);
        self.keys.all(submission.request, |key| split.takes(key) && !dirty.contains(db, key) && !trims.is_pending(db, key))
    }

    // === Bytes ===

    /// Fills `slices` with what is to be written to a side next, and says how many were filled.
    pub fn unwritten<'a>(&'a self, side: Side, slices: &mut [IoSlice<'a>]) -> usize {
        self.lanes[side].log.unwritten(slices)
    }

    /// Whether there is something to write to a side.
    #[must_use]
    pub fn has_unwritten(&self, side: Side) -> bool {
        self.lanes[side].log.unwritten_len() > 0
    }

    /// `n` bytes were written to a side.
    pub fn wrote(&mut self, side: Side, n: usize) {
        let lane = &mut self.lanes[side];
        // Bytes behind a request that waits for its answer are no progress; those of one that is still being sent are.
        if lane.awaiting.front().is_some_and(|entry| entry.asked.len > lane.log.written_len()) {
            lane.moved += n as u64;
        }
        lane.log.wrote(n);
    }

    // === Lanes that come ===

    /// A side's lane is connected, in database 0 and RESP2.
    pub fn connected(&mut self, side: Side, abilities: Abilities) {
        self.lanes[side].abilities = Some(abilities);
        if side == self.authority {
            self.reports_end();
        }
        self.dirty.has_databases(abilities.databases);
        self.time_due_ms = 0;
        self.repairs.by_type = false;
        self.repairs.allows_batches = true;
        self.repairs.connections += 1;
    }

    /// A side has come back as another process, so any key may differ: the lane mirrors as usual, and nothing is read
    /// on the target until the operator asks for it again.
    pub fn restarted(&mut self) {
        self.suspect_everything();
        self.wants_sweep |= self.policy != Policy::BestEffort && !self.backfill_gives_up();
        self.split = Split::default();
    }

    /// Takes the command table that the servers themselves gave.
    pub fn learned(&mut self, catalog: Arc<Catalog>) {
        self.keys = Keys::new(catalog);
    }

    // === What outlives the process ===

    /// Keeps the buckets of keys that may differ in `store`.
    pub fn remember(&mut self, store: Box<dyn IntentStore>) {
        self.dirty.remember(store);
    }

    /// These requests, back to back, are about to be sent to the authority.
    pub fn intend(&mut self, requests: &[u8]) {
        if self.has_target && self.dirty.is_remembered() {
            self.keys.intend(&mut self.dirty, requests);
        }
    }

    /// Forgets what is settled. Not to be called while requests that [`LanePair::intend`] has been told of are under way
    /// outside of the lanes.
    pub fn settle_intent(&mut self) {
        let (authority, secondary) = (&self.lanes[self.authority], &self.lanes[!self.authority]);
        self.dirty.settle_intent(Progress {
            sent: authority.answered + authority.awaiting.len() as u64,
            answered: authority.answered,
            effects: secondary.answered + secondary.awaiting.len() as u64,
            effects_answered: secondary.answered,
        });
    }

    // === Clients with a connection of their own ===

    /// Keeps the authority's lane free, or no longer. Requests are not taken meanwhile.
    pub fn hold(&mut self, hold: bool, clients: &mut impl Clients) {
        self.held = hold;
        self.change_if_drained();
        self.try_parked(clients);
    }

    /// Whether the authority's lane is kept free.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the lane that is held is empty, so that what another connection does now has its place in the order: behind
    /// everything that was answered, and ahead of everything to come.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.held && self.lanes[self.authority].awaiting.is_empty()
    }

    // === The operator's wishes ===

    /// Sends `split` of the reads to the target from now on.
    pub fn set_split(&mut self, split: Split) {
        self.split = split;
    }
}
