//! The data plane's answers to its operator, and its lanes' comings and goings.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use interlay_routing::command::CommandTable;
use interlay_routing::{Behind, Catalog, ErrorKey, Functions, Now, OnLag, Policy, Side, Watch};

use super::{LaneEnd, Plane};
use crate::control::{Order, Refusal};
use crate::dial::Greeting;
use crate::status::{ReplyMs, SideStatus, Status};

/// How often clients that wait are tried although nobody has written their keys through Interlay: for writers that go
/// around it.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// How many of them are tried at once; the others have their turn the next time.
const POLLED_AT_ONCE: usize = 100;

/// Bytes of the keys and reasons in one list of error keys.
const ERRORS_BYTES_MAX: usize = 4 << 20;

/// What the system's clock says now.
pub(super) fn epoch() -> (Instant, Duration) {
    (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl Plane {
    /// Carries out an order of the operator's.
    pub(crate) fn obey(&mut self, order: Order) {
        match order {
            // A caller that has gone away needs no answer.
            Order::Status(reply) => drop(reply.send(self.status())),
            Order::SetTraffic { percent, force, reply } => drop(reply.send(self.set_traffic(percent, force))),
            Order::SetShadow { percent, force, reply } => drop(reply.send(self.set_shadow(percent, force))),
            Order::ShadowMismatches(reply) => drop(reply.send(self.pair.shadow_mismatches().cloned().collect())),
            Order::SetPolicy { policy, force, reply } => self.set_policy(policy, force, reply),
            Order::CutOver { force, reply } => self.cut_over(force, reply),
            Order::RollBack { force, reply } => self.roll_back(force, reply),
            Order::Complete(reply) => {
                let verdict = self.complete();
                drop(reply.send(verdict));
            }
            Order::Conditions(reply) => drop(reply.send((self.phase, self.conditions()))),
            Order::Repair { all, reply } => {
                let answer = self.repair(all);
                self.settle_memory(self.now);
                drop(reply.send(answer));
            }
            Order::Errors { limit, reply } => drop(reply.send(self.errors(limit))),
            Order::Backfill(order) => self.obey_backfill(order),
            Order::Verify(order) => self.obey_verify(order),
        }
        self.tend_phase();
        self.settle();
    }

    fn repair(&mut self, all: bool) -> Result<Status, Refusal> {
        if !self.has_target() {
            return Err(Refusal("there is no target to copy to: start with --target".to_owned()));
        }
        self.pair.repair(all);
        tracing::info!(all, "repair begins");
        Ok(self.status())
    }

    fn errors(&self, limit: usize) -> (Vec<ErrorKey>, usize) {
        let mut bytes = 0;
        let fits = |error: &ErrorKey| {
            bytes += error.key.len() + error.reason.len();
            bytes <= ERRORS_BYTES_MAX
        };
        // One of any size is shown.
        let first = self.pair.error_keys().take(limit.min(1));
        let errors = first.chain(self.pair.error_keys().take(limit).skip(1).take_while(fits)).collect();
        (errors, self.pair.error_keys().count())
    }

    /// Clients that waited for the lanes go on if they can.
    pub(super) fn let_clients_go_on(&mut self) {
        if self.clients.some_wait() && self.pair.takes_requests() {
            self.clients.wake_if_waiting();
        }
    }

    /// Lets the lanes know what time it is.
    pub(super) fn tell_time(&mut self, now: Instant) {
        let (at, unix) = self.epoch;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let unix = unix + now.saturating_duration_since(at);
        self.pair.set_now(Now { mono_ms: ms(now.saturating_duration_since(self.started)), unix_ms: ms(unix) });
    }

    /// Notices what only time tells: a change of the authority that takes too long, and a stalled secondary.
    ///
    /// True if a spare connection to the authority is wanted.
    pub(crate) fn tick(&mut self, now: Instant, effect_timeout: Option<Duration>) -> bool {
        self.now = now;
        self.epoch = epoch();
        self.tell_time(now);
        self.pair.tend_watch();
        self.say_watch();
        self.pair.pump();
        self.settle();
        self.settle_memory(now);
        self.end_pause(now);
        if !self.pair.nobody_waits() {
            self.pair.expire_waiting(now, &mut self.clients);
            if now.duration_since(self.polled) >= POLL_EVERY {
                self.polled = now;
                self.pair.poll_waiting(POLLED_AT_ONCE, &mut self.clients);
            }
            self.settle();
        }
        self.tend_gate(now);
        self.tend_phase();
        self.settle();
        let side = !self.pair.authority();
        let moved = self.pair.moved(side);
        let idle = self.pair.unanswered(side).0 == 0;
        let desk = &mut self.lanes[side];
        let since = match desk.progress {
            (before, Some(since)) if before == moved && !idle => since,
            _ => now,
        };
        desk.progress = (moved, Some(since));
        if effect_timeout.is_some_and(|timeout| now.duration_since(since) >= timeout) {
            desk.progress.1 = None;
            desk.cut.notify_one();
        }
        self.wants_spare()
    }

    /// Whether a server that a lane of `side` has reached is the other side's by another name, so that this lane must not
    /// be. If the other lane is the secondary's, it is that one that ends.
    pub(crate) fn is_one_too_many(&mut self, side: Side, greeting: &Greeting) -> bool {
        let other = &self.lanes[!side].status;
        if greeting.run_id.is_none() || !other.connected || other.run_id != greeting.run_id {
            return false;
        }
        if side == self.pair.authority() {
            self.lane_down(!side, &LaneEnd::SameServer);
            self.lanes[!side].cut.notify_one();
            return false;
        }
        true
    }

    /// A side's lane is connected.
    pub(crate) fn lane_up(&mut self, side: Side, greeting: &Greeting) {
        let status = &mut self.lanes[side].status;
        let restarted = status.run_id.is_some() && greeting.run_id.is_some() && status.run_id != greeting.run_id;
        status.connected = true;
        status.version.clone_from(&greeting.version);
        status.run_id.clone_from(&greeting.run_id);
        if restarted {
            // Before the new process is recorded: a sweep of the former one means nothing to it.
            self.pair.forget_place();
        }
        self.remember_run_id(side, greeting.run_id.as_deref());
        if self.learns_from(side) {
            self.clients.auth_required = greeting.auth_required;
        }
        self.pair.connected(side, greeting.abilities);
        tracing::info!(%side, version = greeting.version, databases = greeting.abilities.databases, "lane connected");
        if restarted && self.pair.mirrors() {
            self.pair.restarted();
            tracing::warn!(%side, "the server came back as another process: any key may differ until all are copied");
        }
        // The servers' clocks are wanted before the first write with a time to live.
        self.tell_time(Instant::now());
        self.pair.pump();
        self.settle();
    }

    /// A side's lane is lost.
    pub(crate) fn lane_down(&mut self, side: Side, why: &LaneEnd) {
        if !self.lanes[side].status.connected {
            return; // said already, with the reason
        }
        tracing::warn!(%side, error = %why, "lane lost");
        self.lanes[side].status.connected = false;
        self.lanes[side].status.last_error = Some(why.to_string());
        self.lanes[side].kicked = false;
        self.pair.lost(side, &mut self.clients);
        self.settle();
    }

    /// Whether the authority has been reached, or was found not to be there: until then clients had better wait than be told
    /// that it is unavailable.
    pub(crate) fn knows_authority(&self) -> bool {
        let status = &self.lanes[self.pair.authority()].status;
        status.connected || status.last_error.is_some()
    }

    /// Takes the command table that a side gave, if it gave one: the source's for what commands are, the target's for what it knows.
    pub(crate) fn learn(&mut self, side: Side, table: Option<CommandTable>) {
        let taught = if self.learns_from(side) {
            table
        } else {
            self.other_commands = table;
            Some(self.catalog.table().clone())
        };
        let Some(catalog) = taught.map(Catalog::new) else { return };
        self.catalog = Arc::new(match &self.other_commands {
            Some(other) => catalog.shared_with(other),
            None => catalog,
        });
        self.pair.learned(Arc::clone(&self.catalog));
    }

    /// Whether there is a second server, be it that it is let go by now.
    pub(super) fn has_target(&self) -> bool {
        !self.lanes.target.status.address.is_empty()
    }

    pub(super) fn status(&self) -> Status {
        let pair = &self.pair;
        let (_, lag_bytes) = pair.unanswered(!pair.authority());
        let dirty = pair.dirty();
        Status {
            phase: self.phase,
            authority: pair.authority(),
            policy: pair.policy(),
            target_read_percent: if pair.authority() == Side::Target { 100 } else { pair.split().percent() },
            shadow_percent: pair.shadow_percent(),
            shadow_mismatches_by_command: pair.shadow_mismatches_by_command().map(|(name, count)| (name.to_owned(), count)).collect(),
            clients: self.clients.len() as u64,
            lag_effects: pair.lag(),
            lag_bytes: lag_bytes as u64,
            lag_ms: pair.lag_ms(),
            on_lag: pair.on_lag(),
            behind: self.behind(),
            // A key is not believed clean before its copy is confirmed.
            dirty_keys: (dirty.keys()
                + dirty.buckets()
                + dirty.unconfirmed()
                + pair.unplaced()
                + usize::from(dirty.functions() != Functions::Clean)) as u64,
            dirty_buckets: dirty.buckets() as u64,
            suspect: pair.is_suspect(),
            mismatches: pair.counters().mismatches,
            mismatches_by_command: pair.mismatches().map(|(name, count)| (name.to_owned(), count)).collect(),
            repairs: pair.counters().repairs,
            error_keys: pair.error_keys().count() as u64,
            copies_under_way: pair.copies_under_way() as u64,
            sweeping: pair.wants_sweep(),
            repair_paused_for: pair.repair_paused_for().filter(|_| !dirty.is_settled() || pair.wants_sweep()).map(str::to_owned),
            watch: self.watch_in_words(),
            last_pause_ms: self.last_pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: self.side_status(Side::Source),
            target: self.has_target().then(|| self.side_status(Side::Target)),
            counters: Status::counted(pair.counters()),
        }
    }

    fn side_status(&self, side: Side) -> SideStatus {
        let reply_ms = self.pair.reply_times(side).map(|times| ReplyMs { median: times.median_ms, worst: times.worst_ms });
        SideStatus { clock_offset_ms: self.pair.clock().offset_ms(side), reply_ms, ..self.lanes[side].status.clone() }
    }

    /// Lets the log know what has become of the watch.
    fn say_watch(&mut self) {
        if *self.pair.watch() == self.watch_said {
            return;
        }
        self.watch_said = self.pair.watch().clone();
        let watch = self.watch_in_words();
        match self.watch_said {
            Watch::Interrupted | Watch::Unavailable(_) => tracing::warn!(watch, "writes around Interlay are not noticed"),
            Watch::Off | Watch::Starting | Watch::On => tracing::info!(watch, "writes around Interlay"),
        }
    }

    fn watch_in_words(&self) -> String {
        match self.pair.watch() {
            Watch::Off => "off".to_owned(),
            Watch::Starting => "starting".to_owned(),
            Watch::On if self.pair.watch_has_missed() => {
                "on; was interrupted, and what was written around Interlay then was not seen: `interlay repair --all` copies it".to_owned()
            }
            Watch::On => "on".to_owned(),
            Watch::Interrupted => "interrupted; writes around Interlay since then were not seen".to_owned(),
            Watch::Unavailable(reason) => format!("unavailable: {reason}"),
        }
    }

    /// What there is to say of a secondary that is slower than the writes.
    fn behind(&self) -> Option<String> {
        let side = !self.pair.authority();
        let what = match (self.pair.behind()?, self.pair.on_lag(), self.pair.policy()) {
            (Behind::Filling, OnLag::Throttle, _) => "clients wait for it",
            (Behind::Filling, OnLag::Fold, _) => "the effect queue fills up",
            (Behind::Full, _, Policy::BestEffort) => "the effect queue was full, and what did not fit is forgotten",
            (Behind::Full, ..) => "the effect queue was full, and what did not fit became dirty keys",
        };
        Some(format!("the {side} is slower than the writes: {what}"))
    }
}
