//! The gate, as the operator goes through it: cutover, rollback, completion, and a policy that changes the authority.
//!
//! ```text
//!   asked ─▶ Waiting: until so few keys are dirty, and so few effects are on their way, that the rest is done during the pause
//!         ─▶ Closing: no transaction begins, those open end
//!         ─▶ Quieting: what is under way on clients' own connections ends, and nothing begins there
//!         ─▶ Draining: all requests wait, `pair/gate.rs` ─▶ the other authority
//! ```
//!
//! While transactions end nothing else waits. What a client has on a connection of its own is not moved; so what it holds there
//! is waited for, and a client that keeps a transaction open for too long is closed. One with another user than the lane's gets
//! another connection with its credentials.

use std::time::{Duration, Instant};

use interlay_routing::{Condition, Finding, Phase, Policy, Side, Split, Step};
use tokio::sync::oneshot;

use super::Plane;
use crate::control::Refusal;
use crate::events::Kind;
use crate::pinned::PinDesk;
use crate::state::StateError;

/// How long few dirty keys and a small lag are waited for.
const WAIT: Duration = Duration::from_secs(5);

/// What became of a change.
pub(crate) type Verdict = Result<Passed, Refusal>;

/// A change of the authority that has come to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// The phase that it has led to.
    pub(crate) phase: Phase,
    /// The side in charge.
    pub(crate) authority: Side,
    /// How long requests were held back.
    pub(crate) pause: Duration,
    /// The conditions that were not met, and that force has overridden, with what was the matter.
    pub(crate) overridden: Vec<String>,
}

/// A change of the authority that the gate has been asked for.
#[derive(Debug)]
pub(crate) struct Change {
    from: Policy,
    to: Policy,
    /// The phase that it leads to.
    phase: Phase,
    force: bool,
    stage: Stage,
    /// When it was asked for, and when this stage began.
    began: Instant,
    since: Instant,
    /// When requests began to wait.
    held_since: Instant,
    overridden: Vec<String>,
    reply: oneshot::Sender<Verdict>,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything goes on, until few keys are dirty and the lag is small.
    Waiting,
    /// Transactions on connections of their own end, and none begins.
    Closing,
    /// Requests on clients' own connections are held, and those under way there end.
    Quieting,
    /// Requests are held, and both lanes run empty.
    Draining,
}

impl Plane {
    // === Orders ===

    /// Makes the target the authority.
    pub(super) fn cut_over(&mut self, force: bool, reply: oneshot::Sender<Verdict>) {
        self.change_authority(Policy::TargetAuthoritative, force, true, reply);
    }

    /// Makes the source the authority again; before the target has become it, gives the move up.
    pub(super) fn roll_back(&mut self, force: bool, reply: oneshot::Sender<Verdict>) {
        if self.pair.authority() == Side::Target {
            return self.change_authority(self.former_policy, force, true, reply);
        }
        let verdict = self.phase.next(Step::RollBack).map_err(|refused| Refusal(refused.to_string())).and_then(|phase| {
            self.pair.set_split(Split::default());
            self.enter(phase)?;
            Ok(self.passed(Duration::ZERO, Vec::new()))
        });
        drop(reply.send(verdict));
    }

    /// Lets the source go.
    pub(super) fn complete(&mut self) -> Verdict {
        let phase = self.phase.next(Step::Complete).map_err(|refused| Refusal(refused.to_string()))?;
        if self.change.is_some() {
            return Err(Refusal("a change of the authority is under way: wait for it".to_owned()));
        }
        if !self.pair.is_up(Side::Target) {
            return Err(Refusal("the target is not connected: `interlay status` says why".to_owned()));
        }
        // Recorded first: a process that comes after this one must not write to the source again.
        self.enter(phase)?;
        self.let_source_go();
        Ok(self.passed(Duration::ZERO, Vec::new()))
    }

    /// Goes on as completed: in this process, or as an earlier one has left it.
    pub(crate) fn let_source_go(&mut self) {
        self.lanes.source.status.connected = false;
        self.lanes.source.status.last_error = Some("let go: the move is completed".to_owned());
        self.pair.complete(&mut self.clients);
        self.lanes.source.cut.notify_one();
        self.leave_pins_of(Side::Source, true);
        self.settle();
    }

    /// Whether a side's server is of no interest any more.
    pub(crate) fn has_let_go(&self, side: Side) -> bool {
        self.phase == Phase::Completed && side == Side::Source
    }

    /// Whether a side's word on commands counts: the source's, which clients have been used to, as long as there is one.
    pub(crate) fn learns_from(&self, side: Side) -> bool {
        let teacher = if self.has_let_go(Side::Source) { Side::Target } else { Side::Source };
        side == teacher
    }

    /// Holds by this policy. One with another authority goes through the gate.
    pub(super) fn set_policy(&mut self, to: Policy, force: bool, reply: oneshot::Sender<Verdict>) {
        if !self.has_target() && to == Policy::BothRequired {
            return drop(
                reply.send(Err(Refusal("there is no target, so that both sides cannot be required: start with --target".to_owned()))),
            );
        }
        if to.authority() != self.pair.authority() {
            return self.change_authority(to, force, false, reply);
        }
        let from = self.pair.policy();
        let verdict = match self.pair.set_policy(to, force) {
            Err(unmet) => Err(refusal(&unmet)),
            Ok(_) => match self.remember_standing(|_| ()) {
                Ok(()) => {
                    tracing::info!(policy = %to, "policy set");
                    Ok(self.passed(Duration::ZERO, Vec::new()))
                }
                Err(error) => return self.go_back(from, reply, &error),
            },
        };
        drop(reply.send(verdict));
    }

    /// With `guided`, every key has to have been copied. Whoever changes the policy by its name is believed to know.
    fn change_authority(&mut self, to: Policy, force: bool, guided: bool, reply: oneshot::Sender<Verdict>) {
        let step = if to.authority() == Side::Target { Step::CutOver } else { Step::RollBack };
        let phase = match self.phase.next(step) {
            Ok(phase) => phase,
            Err(refused) => return drop(reply.send(Err(Refusal(refused.to_string())))),
        };
        if self.change.is_some() {
            return drop(reply.send(Err(Refusal("a change of the authority is under way: wait for it".to_owned()))));
        }
        let (overridden, stands): (Vec<_>, Vec<_>) = self
            .conditions()
            .into_iter()
            .filter(|found| found.unmet.is_some() && (guided || found.condition != Condition::Synced))
            .partition(|found| force && found.condition.yields_to_force());
        if stands.iter().any(|found| !found.condition.passes()) {
            return drop(reply.send(Err(refusal(&stands))));
        }
        let overridden = overridden.iter().map(in_words).collect();
        let (stage, now) = (Stage::Waiting, Instant::now());
        self.change =
            Some(Change { from: self.pair.policy(), to, phase, force, stage, began: now, since: now, held_since: now, overridden, reply });
    }

    /// What is not met now, and passes by itself.
    fn unmet_that_pass(&self) -> Vec<Finding> {
        self.conditions().into_iter().filter(|found| found.unmet.is_some() && found.condition.passes()).collect()
    }

    /// What has to hold before the authority changes, one by one.
    pub(super) fn conditions(&self) -> Vec<Finding> {
        self.pair.conditions()
    }

    // === How it goes on ===

    /// Whether a client may not begin what the gate would have to wait for.
    pub(super) fn is_closing(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.stage != Stage::Waiting)
    }

    /// Whether requests on clients' own connections wait for the gate.
    pub(super) fn holds_pins(&self) -> bool {
        self.change.as_ref().is_some_and(|change| matches!(change.stage, Stage::Quieting | Stage::Draining))
    }

    /// A change goes on as far as it can: called at the end of each turn.
    pub(super) fn go_through_gate(&mut self) {
        let Some(Change { mut stage, force, .. }) = self.change else { return };
        if stage == Stage::Waiting && (force || self.unmet_that_pass().is_empty()) {
            stage = Stage::Closing;
            self.change.iter_mut().for_each(|change| (change.stage, change.since) = (stage, Instant::now()));
            self.unblock_all();
        }
        if stage == Stage::Closing && !self.pins.desks().any(PinDesk::is_in_transaction) {
            stage = Stage::Quieting;
            self.change.iter_mut().for_each(|change| change.stage = stage);
        }
        if stage == Stage::Quieting && self.pins.desks().all(|desk| desk.pin.is_idle()) {
            self.drain();
        }
        let drains = self.change.as_ref().is_some_and(|change| change.stage == Stage::Draining);
        if drains && !self.pair.is_changing() {
            self.finish_change();
        }
    }

    /// Time passes: what takes too long is not waited for.
    pub(super) fn tend_gate(&mut self, now: Instant) {
        let Some(change) = &self.change else { return };
        let (limit, since) = if change.stage == Stage::Waiting { (WAIT, change.began) } else { (self.max_pause, change.since) };
        if now.saturating_duration_since(since) < limit {
            return;
        }
        match change.stage {
            Stage::Waiting => {
                let unmet = self.unmet_that_pass();
                if let Some(change) = self.change.take() {
                    self.end_gate(change, Err(refusal(&unmet)));
                }
            }
            // Whoever keeps a transaction open for so long is closed.
            Stage::Closing | Stage::Quieting => self.drain(),
            Stage::Draining if self.pair.leave_dirty_behind() => self.leave_behind(now),
            Stage::Draining => self.pair.stay(),
        }
    }

    fn drain(&mut self) {
        let Some(change) = &self.change else { return };
        let (to, force, phase) = (change.to, change.force, change.phase);
        let former_policy = if to.authority() == Side::Target { change.from } else { self.former_policy };
        // On disk before requests wait for it.
        let prepared = self.prepare_standing(|standing| {
            (standing.policy, standing.former_policy, standing.phase) = (to, former_policy, phase);
            standing.target_read_percent = 0;
        });
        let Some(change) = &mut self.change else { return };
        (change.stage, change.since, change.held_since) = (Stage::Draining, Instant::now(), Instant::now());
        if let Err(error) = prepared
            && let Some(change) = self.change.take()
        {
            return self.end_gate(change, Err(Refusal(format!("{error}; everything goes on as it was"))));
        }
        let Err(unmet) = self.pair.change_cleanly(to, force) else { return };
        let Some(mut change) = self.change.take() else { return };
        if unmet.iter().all(|found| found.condition.passes()) && change.began.elapsed() < WAIT {
            // What held a moment ago does not hold now: nobody waits for it to hold again.
            change.stage = Stage::Waiting;
            self.change = Some(change);
            return self.wake_those_held();
        }
        self.end_gate(change, Err(refusal(&unmet)));
    }

    /// A forced change goes on without the keys that could not be copied in time, and says so.
    fn leave_behind(&mut self, now: Instant) {
        let dirty = self.pair.dirty().keys() + self.pair.dirty().buckets();
        let Some(change) = &mut self.change else { return };
        change.since = now;
        if dirty > 0 {
            change.overridden.push(format!("dirty keys: {dirty} could not be copied in time, and their newest values are lost"));
        }
    }

    fn wake_those_held(&mut self) {
        self.clients.waits_for_pair();
        self.clients.wake_if_waiting();
    }

    /// The pair changes no longer: it has come to pass, or it cannot any more.
    fn finish_change(&mut self) {
        let Some(change) = self.change.take() else { return };
        if self.pair.policy() != change.to {
            let dirty = self.pair.dirty().keys() + self.pair.dirty().buckets();
            let lost = Side::BOTH.into_iter().find(|side| !self.pair.is_up(*side));
            let why = if let Some(side) = lost {
                format!("the connection to the {side} was lost meanwhile; everything goes on as it was: `interlay status` says why")
            } else if dirty > 0 && !change.force {
                format!(
                    "{dirty} keys are dirty and could not be copied in time; everything goes on as it was: `interlay errors` may say why"
                )
            } else {
                "the lanes could not be drained in time, or one was lost; everything goes on as it was: look at the lag and at slow commands, or raise max_pause_ms".to_owned()
            };
            return self.end_gate(change, Err(Refusal(why)));
        }
        let (former_policy, split) = (self.former_policy, self.pair.split());
        if change.to.authority() == Side::Target {
            self.former_policy = change.from;
        }
        self.pair.set_split(Split::default());
        if let Err(Refusal(error)) = self.enter(change.phase) {
            // Nothing was sent by it yet, and both lanes are empty.
            let back = self.pair.set_policy(change.from, true);
            debug_assert!(matches!(back, Ok(true)), "{back:?}");
            self.former_policy = former_policy;
            self.pair.set_split(split);
            return self.end_gate(change, Err(Refusal(format!("{error}; everything goes on as it was"))));
        }
        let pause = change.held_since.elapsed();
        self.last_pause = Some(pause);
        let (policy, authority) = (change.to, self.pair.authority());
        tracing::info!(%policy, %authority, pause_us = pause.as_micros(), "authority changed");
        self.leave_pins_of(!authority, false);
        self.authority_moved.notify_one();
        let verdict = Ok(self.passed(pause, change.overridden.clone()));
        self.end_gate(change, verdict);
    }

    fn end_gate(&mut self, change: Change, verdict: Verdict) {
        let text = match &verdict {
            Ok(passed) => {
                let forced =
                    if passed.overridden.is_empty() { String::new() } else { format!(", forced: {}", passed.overridden.join("; ")) };
                format!("the {} is in charge; requests waited for {} us{forced}", passed.authority, passed.pause.as_micros())
            }
            Err(Refusal(why)) => format!("the {} stays in charge: {why}", self.pair.authority()),
        };
        self.events.note(Kind::Gate, text);
        drop(change.reply.send(verdict));
        self.wake_those_held();
    }

    /// A policy that cannot be recorded does not hold: a process that comes after this one would not know of it.
    fn go_back(&mut self, from: Policy, reply: oneshot::Sender<Verdict>, error: &StateError) {
        let back = self.pair.set_policy(from, true);
        debug_assert!(matches!(back, Ok(true)), "{back:?}");
        drop(reply.send(Err(Refusal(format!("{error}; everything goes on as it was")))));
    }

    fn passed(&self, pause: Duration, overridden: Vec<String>) -> Passed {
        Passed { phase: self.phase, authority: self.pair.authority(), pause, overridden }
    }
}

/// An unmet condition in words.
fn in_words(Finding { condition, unmet }: &Finding) -> String {
    format!("{}: {}", condition.name(), unmet.as_deref().unwrap_or("met"))
}

/// Why the gate stays closed.
fn refusal(unmet: &[Finding]) -> Refusal {
    let yields = unmet.iter().all(|finding| finding.condition.yields_to_force());
    let force = if yields { "\nor repeat with --force (JSON: \"force\": true), which overrides just that" } else { "" };
    Refusal(unmet.iter().map(in_words).collect::<Vec<_>>().join("\n") + force)
}
