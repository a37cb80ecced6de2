//! Plans that shift reads to the target in steps, and back when something goes wrong.
//!
//! [`Plan`] decides, fed with the time and a [`Snapshot`]; it knows neither clock nor data plane. [`Plans`] runs one at a time
//! on the operator's runtime, by what the [`Control`] says. The plan ends with the process; the share stays.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use interlay_routing::Side;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::events::{Events, Kind};
use crate::status::{ReplyMs, Status};

/// How often a plan looks at how things are.
const LOOK: Duration = Duration::from_millis(50);

/// The longest that a step may dwell: a week.
const DWELL_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// How much slower than the source the target may be, besides the limit in milliseconds.
const TIMES_SOURCE: u64 = 3;

/// How many times the limit of the median the slowest answer of some fifty may take.
const WORST_TIMES: u64 = 10;

/// What is done when a limit is passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnTrouble {
    /// Back to the step before.
    #[default]
    Back,
    /// Back to no read at all.
    Zero,
    /// The share stays as it is.
    Stop,
}

/// What a plan is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Shares of the reads in per cent, growing. One of 100 alone shifts all at once.
    pub(crate) steps: Vec<u8>,
    /// How long each is watched before the next one, in ms.
    pub(crate) dwell_ms: u64,
    /// What is done when a limit is passed.
    pub(crate) on_trouble: OnTrouble,
    /// Effects and shadow reads of a step that the target may answer otherwise than the source.
    pub(crate) max_mismatches: u64,
    /// Reads of a step that the source may have to answer in the target's place; some are, when keys expire.
    pub(crate) max_rerouted_reads: u64,
    /// Dirty keys at any moment.
    pub(crate) max_dirty_keys: u64,
    /// What half of the target's answers may take, and ten times which the slowest, in ms; being no more than three times as
    /// slow as the source is allowed in any case.
    pub(crate) max_latency_ms: u64,
    /// Whether to do it even though nothing has proved the target to be in sync.
    pub(crate) force: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            steps: vec![1, 5, 10, 25, 50, 100],
            dwell_ms: 60_000,
            on_trouble: OnTrouble::Back,
            max_mismatches: 0,
            max_rerouted_reads: 100,
            max_dirty_keys: 1000,
            max_latency_ms: 10,
            force: false,
        }
    }
}

impl Wanted {
    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<String> {
        let grows = self.steps.is_sorted_by(|one, next| one < next);
        let in_range = self.steps.iter().all(|step| (1..=100).contains(step));
        if self.steps.is_empty() || !grows || !in_range {
            return Some(format!("{:?} are no steps: they are numbers from 1 to 100, each larger than the one before", self.steps));
        }
        (self.dwell_ms > DWELL_MS_MAX).then(|| "a step dwells for a week at most".to_owned())
    }
}

/// How things are, as far as a plan asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The share of the reads that goes to the target.
    percent: u8,
    target_in_charge: bool,
    suspect: bool,
    mismatches: u64,
    lane_losses: u64,
    rerouted_reads: u64,
    refused_reads: u64,
    dirty_keys: u64,
    error_keys: u64,
    source: Option<ReplyMs>,
    target: Option<ReplyMs>,
}

impl From<&Status> for Snapshot {
    fn from(status: &Status) -> Self {
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        Self {
            percent: status.target_read_percent,
            target_in_charge: status.authority == Side::Target,
            suspect: status.suspect,
            mismatches: counter("mismatches") + counter("shadow_mismatches"),
            lane_losses: counter("lane_losses"),
            rerouted_reads: counter("rerouted_reads"),
            refused_reads: counter("shadow_refused"),
            dirty_keys: status.dirty_keys,
            error_keys: status.error_keys,
            source: status.source.reply_ms,
            target: status.target.as_ref().and_then(|target| target.reply_ms),
        }
    }
}

/// How far a plan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// There was none since the start.
    #[default]
    None,
    /// It is under way.
    Running,
    /// The last step has dwelt.
    Done,
    /// A limit was passed.
    Trouble,
    /// It was ended: by hand, by another share, or by a change of the authority.
    Stopped,
    /// A share was refused.
    Failed,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing, for now.
    Wait,
    /// This share, as a step of the plan.
    Shift(u8),
    /// The plan is over: this share, if any, and why.
    End(State, Option<u8>, String),
}

/// A plan under way.
#[derive(Debug)]
pub(crate) struct Plan {
    wanted: Wanted,
    /// The share that held before it.
    before: u8,
    /// The step that holds, since when, and how things were then; none before the first.
    step: Option<(usize, u64, Snapshot)>,
}

impl Plan {
    /// A plan that begins at how things are now: steps that the present share has passed are left out.
    pub(crate) fn new(mut wanted: Wanted, now: &Snapshot) -> Self {
        let last = wanted.steps.last().copied();
        wanted.steps.retain(|step| *step > now.percent || Some(*step) == last);
        Self { wanted, before: now.percent, step: None }
    }

    /// The present step, from 1 on, and how many there are.
    pub(crate) fn at(&self) -> (usize, usize) {
        (self.step.as_ref().map_or(0, |(step, ..)| step + 1), self.wanted.steps.len())
    }

    /// What is to be done at `now_ms`. A share that is asked for is taken to hold from then on.
    pub(crate) fn next(&mut self, now_ms: u64, now: &Snapshot) -> Action {
        if now.target_in_charge {
            return Action::End(State::Stopped, None, "the target is in charge, so that it answers every read".to_owned());
        }
        let Some((at, since_ms, then)) = &self.step else { return self.shift(0, now_ms, now) };
        let (at, share) = (*at, self.share(*at));
        if let Some(trouble) = trouble(&self.wanted, then, now) {
            let back = match self.wanted.on_trouble {
                OnTrouble::Back => Some(at.checked_sub(1).map_or(self.before, |before| self.share(before))),
                OnTrouble::Zero => Some(0),
                OnTrouble::Stop => None,
            };
            // Where it is less already, it stays so.
            let back = back.map(|back| back.min(now.percent)).filter(|back| *back != now.percent);
            return Action::End(State::Trouble, back, trouble);
        }
        if now.percent != share {
            return Action::End(State::Stopped, None, format!("the share was set to {} % by another order", now.percent));
        }
        if now_ms.saturating_sub(*since_ms) < self.wanted.dwell_ms {
            return Action::Wait;
        }
        if at + 1 < self.wanted.steps.len() {
            return self.shift(at + 1, now_ms, now);
        }
        Action::End(State::Done, None, format!("{share} % of the reads go to the target"))
    }

    fn shift(&mut self, step: usize, now_ms: u64, now: &Snapshot) -> Action {
        self.step = Some((step, now_ms, now.clone()));
        Action::Shift(self.share(step))
    }

    fn share(&self, step: usize) -> u8 {
        self.wanted.steps.get(step).copied().unwrap_or(self.before)
    }
}

/// Which limit was passed since `then`, in words.
fn trouble(wanted: &Wanted, then: &Snapshot, now: &Snapshot) -> Option<String> {
    if now.suspect && !then.suspect {
        return Some("a server came back as another process, so that any key may differ".to_owned());
    }
    for (what, then, now, max) in [
        ("lanes were lost", then.lane_losses, now.lane_losses, 0),
        ("effects or shadow reads were answered otherwise by the target", then.mismatches, now.mismatches, wanted.max_mismatches),
        ("shadow reads were refused by the target", then.refused_reads, now.refused_reads, 0),
        (
            "reads had to be answered by the source in the target's place",
            then.rerouted_reads,
            now.rerouted_reads,
            wanted.max_rerouted_reads,
        ),
        ("keys can no longer be copied", then.error_keys, now.error_keys, 0),
        ("keys are dirty", 0, now.dirty_keys, wanted.max_dirty_keys),
    ] {
        let new = now.saturating_sub(then);
        if new > max {
            return Some(format!("{new} {what}, and no more than {max} is allowed"));
        }
    }
    let (source, target) = (now.source.unwrap_or_default(), now.target?);
    let worst_max = wanted.max_latency_ms.saturating_mul(WORST_TIMES);
    for (what, target, source, max) in [
        ("half of the target's answers take more than", target.median, source.median, wanted.max_latency_ms),
        ("an answer of the target takes, or took,", target.worst, source.worst, worst_max),
    ] {
        if target > max && target > source.saturating_mul(TIMES_SOURCE) {
            return Some(format!("{what} {target} ms, on the source {source} ms, and {max} ms is allowed"));
        }
    }
    None
}

/// How far the plan under way has come, or how the last one has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How it is.
    pub(crate) state: State,
    /// The step that holds, from 1 on; 0 before the first.
    pub(crate) step: usize,
    /// How many there are.
    pub(crate) steps: usize,
    /// Why it has ended.
    pub(crate) reason: Option<String>,
    /// What it has done, a line each.
    pub(crate) lines: Vec<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.as_deref().unwrap_or_default();
        match self.state {
            State::None => f.write_str("there was no plan yet"),
            State::Running => write!(f, "step {} of {} is watched", self.step, self.steps),
            State::Done => write!(f, "all steps are done: {reason}"),
            State::Trouble => {
                write!(f, "trouble at step {} of {}: {reason}; when that is over, another plan begins at this share", self.step, self.steps)
            }
            State::Stopped => write!(f, "ended at step {} of {}: {reason}", self.step, self.steps),
            State::Failed => write!(f, "refused: {reason}"),
        }
    }
}

/// The plan under way, of which there is one at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans(Arc<Mutex<Desk>>);

#[derive(Debug, Default)]
struct Desk {
    progress: Progress,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Plans {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.desk().progress.clone()
    }

    /// Begins one; none if one is under way.
    pub(crate) fn begin(&self, wanted: Wanted, now: &Status, control: Control, events: Arc<Events>) -> Option<Progress> {
        let mut desk = self.desk();
        if desk.progress.state == State::Running {
            return None;
        }
        let plan = Plan::new(wanted, &now.into());
        desk.progress = Progress { state: State::Running, steps: plan.at().1, ..Progress::default() };
        let stop = CancellationToken::new();
        let run = self.clone().run(plan, control, events, stop.clone());
        desk.running = Some((stop, tokio::spawn(run)));
        Some(desk.progress.clone())
    }

    /// Ends it for this reason, and waits until it does nothing more; false if none is under way.
    pub(crate) async fn end(&self, reason: &str) -> bool {
        let (running, was_running) = {
            let mut desk = self.desk();
            (desk.running.take(), desk.progress.state == State::Running)
        };
        let Some((stop, task)) = running else { return false };
        stop.cancel();
        // It cannot be joined only if it has panicked, which was reported.
        task.await.ok();
        let mut desk = self.desk();
        if desk.progress.state == State::Running {
            desk.progress.state = State::Stopped;
            desk.progress.reason = Some(reason.to_owned());
        }
        was_running
    }

    async fn run(self, mut plan: Plan, control: Control, events: Arc<Events>, stop: CancellationToken) {
        let (began, force) = (Instant::now(), plan.wanted.force);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return events.note(Kind::Traffic, "the plan was ended; the share stays"),
                _ = look.tick() => {}
            }
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let action = match control.status().await {
                Ok(status) => plan.next(now_ms, &(&status).into()),
                Err(error) => Action::End(State::Failed, None, error.to_string()),
            };
            let end = match action {
                Action::Wait => continue,
                Action::Shift(percent) => {
                    let (step, steps) = plan.at();
                    match control.set_traffic(percent, force).await {
                        Ok(()) => {
                            self.say(&events, step, format!("step {step} of {steps}: {percent} % of the reads go to the target"));
                            continue;
                        }
                        Err(error) => (State::Failed, error.to_string()),
                    }
                }
                Action::End(state, None, reason) => (state, reason),
                Action::End(state, Some(percent), reason) => match control.set_traffic(percent, true).await {
                    Ok(()) => (state, format!("{reason}; back to {percent} %")),
                    Err(error) => (state, format!("{reason}; and back to {percent} % was refused: {error}")),
                },
            };
            return self.finish(&events, end);
        }
    }

    fn say(&self, events: &Events, step: usize, line: String) {
        let mut desk = self.desk();
        desk.progress.step = step;
        desk.progress.lines.push(line.clone());
        drop(desk);
        events.note(Kind::Traffic, line);
    }

    fn finish(&self, events: &Events, (state, reason): (State, String)) {
        let mut desk = self.desk();
        desk.progress.state = state;
        desk.progress.reason = Some(reason);
        let line = desk.progress.to_string();
        drop(desk);
        tracing::info!(plan = line, "shifting reads by plan has ended");
        events.note(Kind::Traffic, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(steps: &[u8]) -> Wanted {
        Wanted { steps: steps.to_vec(), dwell_ms: 1000, ..Wanted::default() }
    }

    fn at(percent: u8) -> Snapshot {
        Snapshot { percent, ..Snapshot::default() }
    }

    /// A plan of 10 and 50 %, whose second step holds since 1000 ms.
    fn at_fifty(on_trouble: OnTrouble) -> Plan {
        let mut plan = Plan::new(Wanted { on_trouble, ..wanted(&[10, 50]) }, &at(0));
        assert_eq!(plan.next(0, &at(0)), Action::Shift(10));
        assert_eq!(plan.next(999, &at(10)), Action::Wait);
        assert_eq!(plan.next(1000, &at(10)), Action::Shift(50));
        assert_eq!(plan.at(), (2, 2));
        plan
    }

    #[test]
    fn each_step_dwells_and_the_last_one_ends_the_plan() {
        let mut plan = at_fifty(OnTrouble::Back);
        assert_eq!(plan.next(1999, &at(50)), Action::Wait);
        assert!(matches!(plan.next(2000, &at(50)), Action::End(State::Done, None, _)));
    }

    #[test]
    fn trouble_goes_where_it_is_told_to() {
        for (on_trouble, back) in [(OnTrouble::Back, Some(10)), (OnTrouble::Zero, Some(0)), (OnTrouble::Stop, None)] {
            let bad = Snapshot { mismatches: 1, ..at(50) };
            let Action::End(State::Trouble, to, reason) = at_fifty(on_trouble).next(1500, &bad) else { panic!("no trouble") };
            assert_eq!(to, back);
            assert!(reason.starts_with("1 effects or shadow reads"), "{reason}");
        }
    }

    #[test]
    fn the_first_step_goes_back_to_what_was_before() {
        let mut plan = Plan::new(wanted(&[1, 5, 25, 100]), &at(7));
        assert_eq!(plan.next(0, &at(7)), Action::Shift(25), "what is passed already is left out");
        let lost = Snapshot { lane_losses: 1, ..at(25) };
        assert!(matches!(plan.next(1, &lost), Action::End(State::Trouble, Some(7), _)));
    }

    #[test]
    fn each_limit_is_watched() {
        let slow = |median, worst| Some(ReplyMs { median, worst });
        let ok = Snapshot { mismatches: 0, dirty_keys: 1000, rerouted_reads: 100, source: slow(1, 2), target: slow(10, 100), ..at(50) };
        for (fine, now) in [
            (true, ok.clone()),
            (true, Snapshot { source: slow(20, 90), target: slow(60, 270), ..ok.clone() }),
            (false, Snapshot { lane_losses: 1, ..ok.clone() }),
            (false, Snapshot { refused_reads: 1, ..ok.clone() }),
            (false, Snapshot { rerouted_reads: 101, ..ok.clone() }),
            (false, Snapshot { error_keys: 1, ..ok.clone() }),
            (false, Snapshot { dirty_keys: 1001, ..ok.clone() }),
            (false, Snapshot { suspect: true, percent: 0, ..ok.clone() }),
            (false, Snapshot { target: slow(11, 11), ..ok.clone() }),
            (false, Snapshot { target: slow(1, 101), ..ok }),
        ] {
            let action = at_fifty(OnTrouble::Back).next(1500, &now);
            assert_eq!(action == Action::Wait, fine, "{action:?} at {now:?}");
        }
    }

    #[test]
    fn who_sets_the_share_otherwise_ends_the_plan() {
        assert!(matches!(at_fifty(OnTrouble::Zero).next(1001, &at(20)), Action::End(State::Stopped, None, _)));
        let in_charge = Snapshot { target_in_charge: true, ..at(100) };
        assert!(matches!(at_fifty(OnTrouble::Zero).next(1001, &in_charge), Action::End(State::Stopped, None, _)));
    }

    #[test]
    fn steps_have_to_grow() {
        for steps in [&[][..], &[0, 5], &[5, 5], &[10, 5], &[101]] {
            assert!(wanted(steps).problem().is_some(), "{steps:?}");
        }
        assert_eq!(wanted(&[100]).problem(), None);
        assert!(Wanted { dwell_ms: u64::MAX, ..Wanted::default() }.problem().is_some());
    }
}
