//! What goes wrong in a run, and what the operator does meanwhile.

use std::io::IoSlice;

use interlay_routing::{BackfillLimits, BackfillOptions, LaneError, Policy, Side, Split};

use super::{Driver, Event};
use crate::sim::scenario::Scenario;
use crate::sim::server::Malice;

impl Driver {
    pub(super) fn plan_trouble(&mut self) {
        let Scenario { cuts, refusals, stalls, malice, operator, waiting, curses, restarts, .. } = self.scenario;
        for side in Side::BOTH {
            self.plan_if(cuts, Event::Cut(side), 300);
            self.plan_if(refusals || stalls || malice || curses || restarts, Event::Weather(side), 100);
        }
        self.plan_if(operator, Event::Operate, 150);
        self.plan_if(true, Event::Vanish, 300);
        self.plan_if(waiting, Event::Unblock, 200);
        let verifies = self.rng.chance(50);
        self.plan_if(verifies, Event::Verify, 200);
        // Without polls everything that is written must wake who waits for it.
        let polls = waiting && self.rng.chance(30);
        self.plan_if(polls, Event::Poll, 100);
    }

    /// A connection is lost. What was under way to the server may still be executed, what was under way to the pair
    /// may still be read. By the time of the next connection the former one is dead on the server too.
    pub(super) fn cut(&mut self, side: Side) -> Result<(), String> {
        if !self.links[side].up {
            return Ok(());
        }
        self.say(|_| format!("{side} connection cut"));
        for _ in 0..self.rng.between(0, 4) {
            let Some(bytes) = self.links[side].to_server.arrive() else { break };
            self.servers[side].receive(&bytes);
        }
        for _ in 0..self.rng.between(0, 6) {
            if !self.execute(side, &mut Vec::new())? {
                break;
            }
        }
        for _ in 0..self.rng.between(0, 4) {
            if self.links[side].poisoned || self.links[side].to_pair.is_empty() {
                break;
            }
            self.read(side)?;
        }
        self.lose(side);
        Ok(())
    }

    pub(super) fn lose(&mut self, side: Side) {
        self.links[side].close();
        self.pair.lost(side, &mut self.crowd);
        if side == self.pair.authority() {
            self.checker.lost();
            self.certain = false;
        }
        if self.scenario.restarts && self.rng.chance(30) {
            let loads = self.rng.chance(50);
            self.say(|_| format!("{side} restarts {}", if loads { "with what it had saved" } else { "without its data" }));
            self.servers[side].restart(loads);
            self.links[side].restarted = true;
            if side == self.pair.authority() {
                let now = self.clock(side);
                self.servers[side].store.set_now(now);
                self.checker.restarted(&self.servers[side].store);
            }
        }
        let at = self.agenda.now() + self.rng.between(1, 120);
        self.agenda.plan(at, Event::Connect(side));
    }

    pub(super) fn weather(&mut self, side: Side) -> Result<(), String> {
        let Scenario { refusals, stalls, malice, curses, restarts, .. } = self.scenario;
        let cursed = format!("{}0", self.rng.pick(&["s", "c", "l", "t"])).into_bytes();
        let server = &mut self.servers[side];
        // A refusal matters most behind an authority that has accepted.
        let moods = if side == Side::Source { [0, 0, 0, 20] } else { [0, 5, 20, 100] };
        server.refuses_percent = if refusals { self.rng.pick(&moods) } else { 0 };
        server.cursed = Some(cursed).filter(|_| curses && self.rng.chance(60));
        if restarts && self.rng.chance(50) {
            server.save();
        }
        if stalls && self.rng.chance(40) {
            server.stalled_until = self.agenda.now() + self.rng.between(50, 500);
        }
        if malice && self.rng.chance(30) {
            server.malice = Some(self.rng.pick(&[Malice::Garbage, Malice::RefuseSetup]));
        }
        let (malicious, up) = (malice && self.rng.chance(50), self.links[side].up);
        if malicious && up && self.nothing_is_asked(side) {
            self.summary.broken_protocols += 1;
            match self.pair.receive(side, b"+hello\r\n", &mut self.crowd) {
                Err(LaneError::Unasked(_)) => self.lose(side),
                other => return Err(format!("a reply to no request of the {side} gave {other:?}")),
            }
        }
        Ok(())
    }

    /// Whether the server has not been written a request that it has not answered.
    fn nothing_is_asked(&self, side: Side) -> bool {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = self.pair.unwritten(side, &mut slices);
        let unwritten: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        self.links[side].to_pair.is_empty() && self.pair.unanswered(side).1 == unwritten
    }

    /// The operator has every key copied, or changes the mind.
    fn order_backfill(&mut self) {
        let limits = BackfillLimits { keys_per_s: self.rng.pick(&[0, 20, 1000]), greedy: self.rng.chance(50), ..BackfillLimits::default() };
        let done = match self.rng.between(0, 4) {
            0 => self.pair.pause_backfill(),
            1 => self.pair.resume_backfill(),
            2 => self.pair.cancel_backfill(),
            3 => self.pair.limit_backfill(limits),
            _ => self.pair.backfill(BackfillOptions { limits, ..BackfillOptions::default() }),
        };
        self.say(|_| format!("backfill: {done:?}"));
    }

    pub(super) fn operate(&mut self) {
        match self.rng.between(0, 10) {
            0..3 if !self.pair.is_suspect() => {
                let percent = self.rng.pick(&[0, 50, 100]);
                self.say(|_| format!("split {percent} %"));
                self.pair.set_split(Split::new(percent).expect("a percentage"));
            }
            0..3 => self.pair.stay(),
            3..5 => self.order_backfill(),
            _ => {
                let all = Policy::ALL.map(|(policy, _)| policy);
                let policy = self.rng.pick(&all);
                if self.scenario.best_effort || policy != Policy::BestEffort {
                    let force = self.rng.chance(50);
                    // Dirty keys are copied first, as the process has it. Or a forced change leaves them behind at once; clients who
                    // wait for their copies are told so.
                    let cleanly = self.scenario.calm || self.agenda.now().is_multiple_of(2);
                    let done = if cleanly { self.pair.change_cleanly(policy, force) } else { self.pair.set_policy(policy, force) };
                    self.say(|_| format!("policy {policy}: {done:?}"));
                }
            }
        }
    }
}
