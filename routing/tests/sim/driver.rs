//! One run: clients, the pair, two links and two servers, moved by the events of an [`Agenda`].
//!
//! Everything that happens follows from the seed. After every event the driver does what is possible at once: hands
//! answers to the checker, submits what was held, plans writes; and looks at the bounds.

mod moving;
mod together;
mod trouble;
mod verifying;
mod waiting;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use interlay_resp::{Proto, Request, encode_request};
use interlay_routing::{
    Admission, BySide, Catalog, Conduct, Counters, LanePair, Now, Policy, Session, Side, Split, Submission, Tally, Ticket, VerifyStage,
    Work,
};

use super::agenda::{Agenda, Instant};
use super::check::{Checker, Role, shown};
use super::client::{Answer, Crowd, Pending};
use super::link::Link;
use super::rng::Rng;
use super::scenario::Scenario;
use super::server::{Server, Step, Tag};
use super::workload::{Args, Ask, Workload};
use together::Section;

/// What the requests of a verification take on a lane at most.
const VERIFYING_BYTES_MAX: usize = 40_000;

/// What setting up a lane for one request costs at most: a SELECT and a HELLO.
const SETUP_BYTES_MAX: usize = 64;

/// What may happen. Events of a connection carry its generation: for a later one they mean nothing.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client sends a batch.
    Turn(usize),
    /// A client goes without a word.
    Vanish,
    /// Bytes leave the pair.
    Write(Side, u32),
    ToServer(Side, u32),
    /// A server executes something.
    Step(Side, u32),
    ToPair(Side, u32),
    Connect(Side),
    Cut(Side),
    /// A server changes its mood.
    Weather(Side),
    /// The operator changes something.
    Operate,
    /// The time of clients that wait may be up.
    Expire,
    /// Clients that wait are tried in their turn.
    Poll,
    /// A client says that another one need not wait any more.
    Unblock,
    /// The connection of a client's own goes a step on.
    Own,
    /// The operator has both sides compared.
    Verify,
    /// The pair looks at what is to be repaired.
    Tick,
}

/// When virtual time begins. Unit: milliseconds since 1970.
pub(crate) const EPOCH_MS: Instant = 1_000_000_000;

/// What deadlines of a key on both sides may be apart by the time that replies take.
const APART_MS: Instant = 700;

/// How long requests may be held while the authority changes. Unit: milliseconds.
const PAUSE_MAX_MS: u64 = 1_000;

/// How long it may take until everything is repaired, once the servers are well again: as long as it may take to verify it.
const REPAIRED_WITHIN_MS: Instant = 3_600_000;

/// What may happen in a run at most: a big value goes to the other side byte by byte in some, and is compared so.
const EVENTS_MAX: u64 = 10_000_000;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) counters: Counters,
    pub(crate) events: u64,
    pub(crate) ended_at: Instant,
    pub(crate) dirty: usize,
    pub(crate) held: u64,
    pub(crate) abandoned: u64,
    pub(crate) broken_protocols: u64,
    pub(crate) authority_changes: u64,
    /// Forced changes that could not copy every dirty key in time.
    pub(crate) left_behind: u64,
    /// Clients that waited and were served, whose time was up, or that were unblocked.
    pub(crate) waits: [u64; 3],
    /// Transactions executed on the lane, and what was executed on connections of clients' own.
    pub(crate) transactions: u64,
    pub(crate) sections: u64,
    /// Transactions among the latter that a watched key has undone.
    pub(crate) nils: u64,
    /// Verifications that came to their end, and runs at whose end one has found what was planted.
    pub(crate) verified: u64,
    pub(crate) planted: u64,
}

pub(crate) struct Driver {
    scenario: Scenario,
    agenda: Agenda<Event>,
    rng: Rng,
    catalog: Arc<Catalog>,
    pair: LanePair,
    crowd: Crowd,
    workload: Workload,
    servers: BySide<Server>,
    links: BySide<Link>,
    checker: Checker,
    /// Requests that clients will still send.
    requests_left: usize,
    longest_request: usize,
    summary: Summary,
    /// Virtual time begins here, for the pair.
    began: std::time::Instant,
    /// There were keys before the pair came.
    is_move: bool,
    /// The pair has heard of everything that was written on the authority.
    certain: bool,
    /// A tick is planned.
    ticking: bool,
    /// Nothing goes wrong any more.
    well: bool,
    /// What clients wait to do on connections of their own.
    sections: VecDeque<Section>,
    /// Keys differ that nobody knows of: somebody has written around the pair.
    planted: bool,
    /// Since when a change of the authority waits.
    changing_since: Option<u64>,
    /// What was last seen of a verification.
    verified: Option<(Tally, VerifyStage)>,
    trace: bool,
}

impl Driver {
    pub(crate) fn new(seed: u64, is_move: bool, catalog: &Arc<Catalog>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut scenario = Scenario::new(&mut rng);
        // Effects meet keys that are not copied yet.
        scenario.calm &= !is_move;
        let mut pair = LanePair::new(Arc::clone(catalog), scenario.policy, true, scenario.limits.clone());
        pair.set_split(Split::new(scenario.split).expect("a percentage"));
        pair.set_shadow(scenario.shadow);
        let mut server = |side: Side| {
            let mut server = Server::new(scenario.abilities[side], rng.fork());
            server.format = scenario.formats[side];
            server
        };
        let servers = BySide { source: server(Side::Source), target: server(Side::Target) };
        let mut driver = Self {
            agenda: Agenda::new(rng.fork()),
            catalog: Arc::clone(catalog),
            crowd: Crowd::new(scenario.clients),
            workload: Workload::new(rng.fork(), &scenario),
            servers,
            links: BySide::default(),
            checker: Checker::new(&pair, scenario.calm, APART_MS + scenario.clocks.source.abs_diff(scenario.clocks.target)),
            ticking: false,
            well: false,
            requests_left: scenario.requests,
            longest_request: 0,
            summary: Summary {
                counters: Counters::default(),
                events: 0,
                ended_at: 0,
                dirty: 0,
                held: 0,
                abandoned: 0,
                broken_protocols: 0,
                authority_changes: 0,
                left_behind: 0,
                waits: [0; 3],
                transactions: 0,
                sections: 0,
                nils: 0,
                verified: 0,
                planted: 0,
            },
            began: std::time::Instant::now(),
            is_move,
            certain: true,
            sections: VecDeque::new(),
            planted: false,
            changing_since: None,
            verified: None,
            trace,
            pair,
            rng,
            scenario,
        };
        if is_move {
            driver.begin_move();
        }
        driver
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// What happened that must not happen, in words.
    pub(crate) fn run(mut self) -> Result<Summary, String> {
        self.say(|driver| format!("{:?}", driver.scenario));
        for side in Side::BOTH {
            // Whoever comes before the lanes are up is refused; where all is calm nobody does.
            let at = if self.scenario.calm { 0 } else { self.rng.between(0, 20) };
            self.agenda.plan(at, Event::Connect(side));
        }
        self.plan_trouble();
        for place in 0..self.scenario.clients {
            let at = self.rng.between(1, 30);
            self.agenda.plan(at, Event::Turn(place));
        }
        self.until_quiet()?;
        // A change of the authority that cannot come to pass is not waited for longer than requests may be held.
        self.pair.stay();
        self.agenda.plan(self.agenda.now() + 1, Event::Tick);
        self.until_quiet()?;
        self.let_go_of_waiting()?;
        self.repair()?;
        self.verify()?;
        self.finish()
    }

    /// A change of the authority is not waited for longer than requests may be held.
    fn bound_the_pause(&mut self) {
        let now = self.agenda.now();
        let since = self.changing_since.filter(|_| self.pair.is_changing()).unwrap_or(now);
        self.changing_since = self.pair.is_changing().then_some(since);
        if now < since + PAUSE_MAX_MS {
            return;
        }
        if self.pair.leave_dirty_behind() {
            self.changing_since = Some(now);
            self.summary.left_behind += 1;
        } else {
            self.pair.stay();
        }
    }

    /// Nothing goes wrong any more, and everything is repaired.
    fn repair(&mut self) -> Result<(), String> {
        self.say(|_| "all is well again".to_owned());
        self.well = true;
        // A backfill goes to its end, at full speed.
        _ = self.pair.resume_backfill();
        _ = self.pair.limit_backfill(interlay_routing::BackfillLimits::default());
        for side in Side::BOTH {
            let server = &mut self.servers[side];
            (server.refuses_percent, server.cursed, server.malice) = (0, None, None);
        }
        let since = self.agenda.now();
        let mut wait = 20;
        while self.agenda.now() < since + REPAIRED_WITHIN_MS && !self.is_repaired() {
            // After a forced change of the authority, or a backfill that was cancelled, nothing is copied before the operator says so.
            if self.pair.is_suspect() && !self.pair.wants_sweep() && self.pair.policy() != Policy::BestEffort {
                self.pair.repair(true);
            }
            self.agenda.plan(self.agenda.now() + wait, Event::Tick);
            self.until_quiet()?;
            // Seldom: what goes on only now and then, although it could at once, is found out.
            wait = (wait * 5 / 4).min(30_000);
        }
        Ok(())
    }

    fn is_repaired(&self) -> bool {
        let pair = &self.pair;
        pair.dirty().is_settled() && !pair.is_sweeping() && (!pair.is_suspect() || pair.policy() == Policy::BestEffort)
    }

    /// What time it is on a server.
    fn clock(&self, side: Side) -> Instant {
        (EPOCH_MS + self.agenda.now()).saturating_add_signed(self.scenario.clocks[side])
    }

    fn until_quiet(&mut self) -> Result<(), String> {
        while let Some(event) = self.agenda.next() {
            let now_ms = self.agenda.now();
            if self.agenda.planned() > EVENTS_MAX {
                return Err(format!("at {now_ms} ms: it does not end"));
            }
            self.pair.set_now(Now { mono_ms: now_ms, unix_ms: EPOCH_MS + now_ms });
            self.happen(event).and_then(|()| self.settle()).map_err(|error| format!("at {} ms: {error}", self.agenda.now()))?;
        }
        Ok(())
    }

    /// Plans an event within the next `within` milliseconds, while clients have something to send.
    fn plan_if(&mut self, wanted: bool, event: Event, within: u64) {
        if wanted && self.requests_left > 0 {
            let at = self.agenda.now() + self.rng.between(1, within);
            self.agenda.plan(at, event);
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Turn(place) => self.turn(place)?,
            Event::Vanish => {
                let place = self.rng.index(self.scenario.clients);
                self.say(|_| format!("client {place} vanishes"));
                self.crowd.replace(place);
                self.plan_if(true, Event::Vanish, 300);
            }
            Event::Write(side, of) if self.links[side].generation == of => self.write(side),
            Event::ToServer(side, of) if self.links[side].generation == of => {
                let bytes = self.links[side].to_server.arrive().ok_or("a chunk arrived twice")?;
                self.servers[side].receive(&bytes);
                self.plan_step(side);
            }
            Event::Step(side, of) if self.links[side].generation == of => self.step(side)?,
            Event::ToPair(side, of) if self.links[side].generation == of => self.read(side)?,
            Event::Write(..) | Event::ToServer(..) | Event::Step(..) | Event::ToPair(..) => {} // of a lost connection
            Event::Connect(side) => self.connect(side),
            Event::Cut(side) => {
                self.cut(side)?;
                self.plan_if(true, event, 400);
            }
            Event::Weather(side) => {
                self.weather(side)?;
                self.plan_if(true, event, 200);
            }
            Event::Operate => {
                self.operate();
                self.plan_if(true, event, 200);
            }
            Event::Expire => self.expire(),
            Event::Poll => {
                let most = self.rng.between(1, 4) as usize;
                self.pair.poll_waiting(most, &mut self.crowd);
                self.plan_if(true, event, 200);
            }
            Event::Unblock => {
                self.unblock();
                self.plan_if(true, event, 200);
            }
            Event::Own => self.own()?,
            Event::Verify => {
                self.ask_to_verify();
                self.plan_if(true, event, 200);
            }
            Event::Tick => {
                self.ticking = false;
                self.bound_the_pause();
                self.pair.pump();
            }
        }
        Ok(())
    }

    // === Clients ===

    fn turn(&mut self, place: usize) -> Result<(), String> {
        for _ in 0..self.rng.between(1, 7) {
            let client = &self.crowd.clients[place];
            if self.requests_left == 0 || client.held.is_some() || client.stands_still() || client.pending.len() > 10 {
                break;
            }
            let ask = self.workload.next(EPOCH_MS + self.agenda.now());
            self.requests_left -= ask.requests().min(self.requests_left);
            self.submit(place, ask)?;
        }
        let think = self.rng.pick(&[5, 20, 60]);
        self.plan_if(true, Event::Turn(place), think);
        Ok(())
    }

    fn submit(&mut self, place: usize, ask: Ask) -> Result<(), String> {
        if let Ask::Own { requests, transaction } = ask {
            return self.submit_own(place, &requests, transaction);
        }
        if !self.pair.takes_requests() {
            self.summary.held += 1;
            self.crowd.clients[place].held = Some(ask);
            return Ok(());
        }
        match ask {
            Ask::One(args) => self.submit_one(place, args),
            Ask::Together(requests) => self.submit_together(place, &requests),
            Ask::Waiting(args, patience) => self.submit_waiting(place, args, patience),
            Ask::Own { .. } => Ok(()),
        }
    }

    fn conduct(&self, args: &Args) -> Conduct {
        let mut untagged = Vec::new();
        encode_request(args, &mut untagged);
        self.catalog.conduct(Request::new(&untagged, args.len())).1
    }

    /// The next request of a client.
    fn ticket(&mut self, place: usize) -> Ticket {
        let client = &mut self.crowd.clients[place];
        Ticket { client: place as u32, epoch: client.epoch, seq: client.order.issue() }
    }

    fn submit_one(&mut self, place: usize, args: Args) -> Result<(), String> {
        let tag = self.checker.next_tag();
        let bytes = tagged(&args, tag);
        self.longest_request = self.longest_request.max(bytes.len());
        let request = Request::new(&bytes, args.len() + 1);
        let (work, changes_session) = match self.conduct(&args) {
            Conduct::Lane(work) => (work, false),
            Conduct::Session(_) => (Work::Other, true),
            other => return Err(format!("{} is no ordinary request: {other:?}", shown(&args))),
        };
        let (authority, session) = (self.pair.authority(), self.crowd.clients[place].session);
        let may_split = self.crowd.clients[place].may_split(!authority);
        let ticket = self.ticket(place);
        let then = changes_session.then(|| match &*args[0] {
            b"SELECT" => Session { db: number(&args[1]), ..session },
            _ => Session { proto: if args[1] == b"3" { Proto::Resp3 } else { Proto::Resp2 }, ..session },
        });
        let pending = Pending { tag, opening: false, alone: false, side: None, then };
        self.crowd.clients[place].pending.push_back(pending);
        self.checker.submitted((place, ticket.epoch), session, args.clone(), work, Role::Alone, authority);
        let shared = self.rng.chance(10).then(|| Bytes::copy_from_slice(&bytes));
        let submission = Submission { ticket, session, request, shared, work, may_split, changes_session };
        let admission = self.pair.submit(submission, &mut self.crowd);
        self.say(|_| format!("client {place}.{} db {} sends #{tag} {}: {admission:?}", ticket.epoch, session.db, shown(&args)));
        let client = &mut self.crowd.clients[place];
        match admission {
            Admission::Queued(side) => {
                if side != authority && (work != Work::Read || !may_split || self.pair.split().percent() == 0) {
                    return Err(format!("#{tag} went to the {side}, where it does not belong"));
                }
                if let Some(pending) = client.pending.back_mut() {
                    pending.side = Some(side);
                }
                if work != Work::Read {
                    client.wrote = Some(ticket.seq);
                }
            }
            Admission::Answered => {}
            other => return Err(format!("#{tag} is {other:?} although the pair takes requests")),
        }
        Ok(())
    }

    // === Links and servers ===

    fn connect(&mut self, side: Side) {
        self.say(|_| format!("{side} connected"));
        self.links[side].up = true;
        self.servers[side].accept();
        self.pair.connected(side, self.scenario.abilities[side]);
        if std::mem::take(&mut self.links[side].restarted) {
            self.pair.restarted();
        }
    }

    fn write(&mut self, side: Side) {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = self.pair.unwritten(side, &mut slices);
        let mut bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        if self.rng.chance(30) {
            bytes.truncate(self.rng.between(1, bytes.len() as u64 + 1) as usize);
        }
        self.pair.wrote(side, bytes.len());
        let Self { links, rng, scenario, agenda, .. } = self;
        links[side].writing = false;
        let arrivals = links[side].to_server.send_cut(bytes, agenda.now(), scenario.delay_max[side], rng);
        let generation = links[side].generation;
        arrivals.into_iter().for_each(|at| agenda.plan(at, Event::ToServer(side, generation)));
    }

    fn plan_step(&mut self, side: Side) {
        if !std::mem::replace(&mut self.links[side].stepping, true) {
            let at = (self.agenda.now() + self.rng.between(0, 3)).max(self.servers[side].stalled_until);
            self.agenda.plan(at, Event::Step(side, self.links[side].generation));
        }
    }

    /// The server executes what it has, or some of it.
    fn step(&mut self, side: Side) -> Result<(), String> {
        self.links[side].stepping = false;
        let mut out = Vec::new();
        for _ in 0..self.rng.between(1, 6) {
            if !self.execute(side, &mut out)? {
                break;
            }
            self.plan_step(side);
        }
        let Self { links, rng, scenario, agenda, .. } = self;
        let arrivals = links[side].to_pair.send_cut(out, agenda.now(), scenario.delay_max[side], rng);
        let generation = links[side].generation;
        arrivals.into_iter().for_each(|at| agenda.plan(at, Event::ToPair(side, generation)));
        Ok(())
    }

    /// True if there was something to execute.
    fn execute(&mut self, side: Side, out: &mut Vec<u8>) -> Result<bool, String> {
        if self.links[side].poisoned {
            return Ok(false);
        }
        let now = self.clock(side);
        let Some(step) = self.servers[side].step(now, out) else { return Ok(false) };
        if step.broke_protocol.is_some() {
            self.links[side].poisoned = true;
            self.summary.broken_protocols += 1;
        }
        self.check_step(side, step)?;
        Ok(true)
    }

    fn check_step(&mut self, side: Side, step: Step) -> Result<(), String> {
        self.say(|_| format!("{side:>15} db {} runs {} -> {}", step.session.db, shown(&step.args), shown(&[&step.reply])));
        self.checker.executed(side, self.pair.authority(), &self.servers[side], step)
    }

    /// The pair reads a chunk.
    fn read(&mut self, side: Side) -> Result<(), String> {
        let bytes = self.links[side].to_pair.arrive().ok_or("a chunk arrived twice")?;
        let result = self.pair.receive(side, &bytes, &mut self.crowd);
        let link = &self.links[side];
        match result {
            Ok(()) if link.poisoned && link.to_pair.is_empty() => Err(format!("the {side} broke the protocol unnoticed")),
            Ok(()) => Ok(()),
            Err(error) if link.poisoned => {
                self.say(|_| format!("{side} lane ends: {error}"));
                self.lose(side);
                Ok(())
            }
            Err(error) => Err(format!("the lane of a server without fault ended: {error}")),
        }
    }

    // === After every event ===

    fn settle(&mut self) -> Result<(), String> {
        if let Some(violation) = self.crowd.violation.take() {
            return Err(violation);
        }
        self.note_answered();
        for place in std::mem::take(&mut self.crowd.gone) {
            self.has_left(place);
        }
        for Answer { tag, opening, reply } in std::mem::take(&mut self.crowd.answers) {
            self.say(|driver| format!("    client {:?} reads #{tag}: {}", driver.checker.record(tag).client, shown(&[&reply])));
            if opening {
                self.checker.opened(tag, &reply)?;
            } else {
                self.note_answer(tag, &reply);
                self.checker.replied(tag, &reply, self.agenda.now())?;
            }
        }
        self.note_policy();
        for place in 0..self.crowd.clients.len() {
            if self.pair.takes_requests()
                && let Some(ask) = self.crowd.clients[place].held.take()
            {
                self.submit(place, ask)?;
            }
        }
        self.nobody_is_overlooked()?;
        self.nothing_differs_unnoticed()?;
        if !self.well {
            self.verified_the_truth()?;
        }
        if !self.ticking && !self.well && !self.agenda.is_empty() {
            self.ticking = true;
            self.agenda.plan(self.agenda.now() + 20, Event::Tick);
        }
        self.begin_section();
        for side in Side::BOTH {
            self.check_bounds(side)?;
            if self.links[side].up && self.pair.has_unwritten(side) && !self.links[side].writing {
                self.links[side].writing = true;
                let at = self.agenda.now() + self.rng.between(0, 3);
                self.agenda.plan(at, Event::Write(side, self.links[side].generation));
            }
        }
        Ok(())
    }

    /// Whenever both lanes are empty, every key that differs is known to.
    fn nothing_differs_unnoticed(&mut self) -> Result<(), String> {
        let quiet =
            Side::BOTH.iter().all(|side| self.pair.unanswered(*side).0 == 0 && self.links[*side].up && !self.links[*side].restarted);
        if self.planted || !quiet || !self.sections.is_empty() || self.pair.policy() == Policy::BestEffort {
            return Ok(());
        }
        self.set_clocks();
        let stores = BySide { source: &self.servers.source.store, target: &self.servers.target.store };
        self.checker.differing(&self.pair, &stores).map(|_| ())
    }

    fn set_clocks(&mut self) {
        for side in Side::BOTH {
            let now = self.clock(side);
            self.servers[side].store.set_now(now);
        }
    }

    fn note_policy(&mut self) {
        let policy = self.pair.policy();
        if policy != self.checker.policy() {
            self.say(|_| format!("policy is {policy}"));
            self.certain &= policy.authority() == self.checker.policy().authority();
            self.summary.authority_changes += u64::from(policy.authority() != self.checker.policy().authority());
            let now = self.clock(self.pair.authority());
            let store = &mut self.servers[self.pair.authority()].store;
            store.set_now(now);
            self.checker.policy_changed(policy, store);
        }
    }

    /// Bounds hold up to the one request that went past them, with what its lane needed for it.
    fn check_bounds(&self, side: Side) -> Result<(), String> {
        let limits = &self.scenario.limits;
        // Reads that a lost secondary owed come on top of the authority's own.
        let bound = if side == self.pair.authority() {
            limits.authority_backlog_bytes_max.saturating_add(limits.effect_queue_bytes_max)
        } else {
            limits.effect_queue_bytes_max
        };
        let bytes = self.pair.unanswered(side).1;
        // Copies look whether there is room before they are asked for, several at a time.
        let copies = self.pair.copies_under_way() * (200 + self.servers.source.dump_bytes_max.max(self.servers.target.dump_bytes_max));
        let verifying = self.pair.verification().is_some_and(|verification| !verification.stage().is_over());
        let copies = copies + if verifying { VERIFYING_BYTES_MAX } else { 0 };
        let bound = bound.saturating_add(copies + if self.pair.is_sweeping() { 1000 } else { 0 } + 60);
        if bytes > bound.saturating_add(self.longest_request + SETUP_BYTES_MAX) {
            return Err(format!("{bytes} bytes on the lane of the {side}, whose bound is {bound}"));
        }
        if self.pair.dirty().keys() > limits.dirty.keys_max {
            return Err(format!("{} dirty keys by name", self.pair.dirty().keys()));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary, String> {
        let now = self.agenda.now();
        self.set_clocks();
        for (place, client) in self.crowd.clients.iter().enumerate() {
            if let Some(ask) = &client.held {
                return Err(format!("client {place} is held for ever with {ask:?}"));
            }
            if let Some(pending) = client.pending.front() {
                return Err(format!("client {place} waits for ever for #{}", pending.tag));
            }
        }
        let stores = BySide { source: &self.servers.source.store, target: &self.servers.target.store };
        if self.pair.waiting() > 0 || !self.sections.is_empty() {
            return Err(format!("{} wait and {} are on their own for ever", self.pair.waiting(), self.sections.len()));
        }
        self.checker.quiet(&self.pair, &stores)?;
        if !self.scenario.best_effort && self.pair.counters().shadow_mismatches > 0 {
            return Err(format!("reads of equal keys were found to differ: {:?}", self.pair.shadow_mismatches().collect::<Vec<_>>()));
        }
        let dirty = self.pair.dirty().keys() + self.pair.dirty().buckets();
        let (counters, events) = (*self.pair.counters(), self.agenda.planned());
        Ok(Summary { counters, events, ended_at: now, dirty, abandoned: self.crowd.abandoned, ..self.summary })
    }

    fn say(&self, line: impl FnOnce(&Self) -> String) {
        if self.trace {
            eprintln!("{:>6} ms  {}", self.agenda.now(), line(self));
        }
    }
}

/// A request as the servers get it.
fn tagged(args: &Args, tag: Tag) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(args.iter().cloned().chain([format!("#{tag}").into_bytes()]).collect::<Vec<_>>(), &mut bytes);
    bytes
}

fn number(text: &[u8]) -> u32 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
