//! The guided workflow on a running interlay: what [`Run`] decides is carried out here, on the operator's runtime.
//!
//! In: the words of people, through the admin port. Out: orders to the data plane, the check and the plans, the same that the
//! single commands give. The run is kept in the state directory as `workflow.json`, replaced as a whole after each change
//! and before anything acts on it, so that the next process goes on with it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use interlay_migration::check::{Finding, Report, Severity};
use interlay_migration::workflow::{Action, Facts, NotNow, Run, Setup, Step, Word};
use interlay_routing::{BackfillState, Conflict, Phase, Policy, VerifyOptions};
use serde::{Deserialize, Serialize};

use crate::backfill;
use crate::check::Checks;
use crate::control::{Control, ControlError};
use crate::events::{Events, Kind};
use crate::kept::{self, unix_ms};
use crate::plane::BackfillChange;
use crate::traffic::{self, Plans};

/// The file of the state directory that holds the run.
const FILE: &str = "workflow.json";

/// How often a run looks at how things are.
const LOOK: Duration = Duration::from_millis(200);

/// The run as the admin port shows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// The run.
    #[serde(flatten)]
    pub(crate) run: Run,
    /// What it does now, in words.
    pub(crate) does: String,
    /// What it waits for; absent if it is at work, or over.
    pub(crate) waits_for: Option<String>,
    /// Whether it is over.
    pub(crate) over: bool,
}

impl From<&Run> for View {
    fn from(run: &Run) -> Self {
        Self { does: run.step.does().to_owned(), waits_for: run.waits_for(), over: run.step.is_end(), run: run.clone() }
    }
}

/// Why something cannot be done about a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkflowError {
    /// There is none.
    #[error("there is no run: `interlay workflow start` begins one")]
    None,
    /// There is one already.
    #[error("a run is at {0}: abort it, or see it to its end")]
    UnderWay(&'static str),
    /// The setup makes no sense.
    #[error("{}", .0.join("; "))]
    Setup(Vec<String>),
    /// It does not wait for that.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// It cannot be kept.
    #[error("{FILE} in the state directory cannot be written, and nothing has changed: {0}")]
    Unkept(#[source] io::Error),
    /// The data plane does not do it.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// All that a run works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workflow {
    desk: Arc<Mutex<Desk>>,
    /// Whoever changes the run has it; looking at the run does not wait for it.
    turn: Arc<tokio::sync::Mutex<()>>,
    control: Control,
    checks: Checks,
    plans: Plans,
    events: Arc<Events>,
}

struct Desk {
    run: Option<Run>,
    state_dir: Option<PathBuf>,
}

impl Desk {
    /// Puts another state of the run in force, on disk first.
    fn put(&mut self, run: Run) -> Result<(), WorkflowError> {
        if let Some(dir) = self.state_dir.as_deref().filter(|_| self.run.as_ref() != Some(&run)) {
            kept::write(dir, FILE, &run).map_err(WorkflowError::Unkept)?;
        }
        self.run = Some(run);
        Ok(())
    }
}

impl Workflow {
    /// Goes on with the run in the state directory, if there is one.
    pub(crate) fn new(control: Control, checks: Checks, plans: Plans, events: Arc<Events>, state_dir: Option<PathBuf>) -> Self {
        let run = state_dir.as_deref().and_then(|dir| kept::read(dir, FILE));
        Self { desk: Arc::new(Mutex::new(Desk { run, state_dir })), turn: Arc::default(), control, checks, plans, events }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run, if there is one.
    pub(crate) fn view(&self) -> Result<View, WorkflowError> {
        self.desk().run.as_ref().map(View::from).ok_or(WorkflowError::None)
    }

    /// Begins a run.
    pub(crate) async fn begin(&self, setup: Setup, who: &str) -> Result<View, WorkflowError> {
        let problems = setup.problems();
        if !problems.is_empty() {
            return Err(WorkflowError::Setup(problems));
        }
        let _turn = self.turn.lock().await;
        let mut desk = self.desk();
        if let Some(run) = desk.run.as_ref().filter(|run| !run.step.is_end()) {
            return Err(WorkflowError::UnderWay(run.step.name()));
        }
        let run = Run::new(setup, who, unix_ms());
        let view = View::from(&run);
        desk.put(run)?;
        self.events.note_of(Kind::Workflow, Some(who.to_owned()), "a run begins");
        Ok(view)
    }

    /// Says a word to the run.
    pub(crate) async fn tell(&self, word: Word, who: &str, note: &str) -> Result<View, WorkflowError> {
        let _turn = self.turn.lock().await;
        let mut run = self.desk().run.clone().ok_or(WorkflowError::None)?;
        let action = run.tell(word, who, note, unix_ms())?;
        if let Some(action) = action {
            self.carry_out(&run, &action).await?;
        }
        let view = View::from(&run);
        self.put(run)?;
        Ok(view)
    }

    /// Drives the run, for ever.
    pub(crate) async fn keep(self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the workflow cannot go on now");
            }
        }
    }

    async fn look(&self) -> Result<(), WorkflowError> {
        let _turn = self.turn.lock().await;
        let Some(mut run) = self.desk().run.clone().filter(|run| !run.step.is_end()) else { return Ok(()) };
        let facts = self.facts(&run).await?;
        let action = run.look(&facts, unix_ms());
        self.put(run.clone())?;
        let Some(action) = action else { return Ok(()) };
        if let Err(error) = self.carry_out(&run, &action).await {
            run.failed(&action, &error.to_string(), unix_ms());
            self.put(run)?;
        }
        Ok(())
    }

    /// Puts another state of the run in force, and notes what is new among the events.
    fn put(&self, run: Run) -> Result<(), WorkflowError> {
        let mut desk = self.desk();
        let known = desk.run.as_ref().map_or(0, |run| run.entries.len());
        let news: Vec<_> = run.entries.iter().skip(known).map(|entry| format!("{}: {}", entry.step.name(), entry.text)).collect();
        desk.put(run)?;
        news.into_iter().for_each(|text| self.events.note(Kind::Workflow, text));
        Ok(())
    }

    async fn facts(&self, run: &Run) -> Result<Facts, WorkflowError> {
        let status = self.control.status().await?;
        let backfill = self.control.backfill().await?;
        let backfill_trouble = match backfill.state {
            BackfillState::Cancelled => Some("it was cancelled".to_owned()),
            BackfillState::Failed => backfill.reason.clone(),
            _ => None,
        };
        let report = self.control.verification().await?;
        let verified = report.as_ref().filter(|report| report.is_over()).map(|report| (report.equal == Some(true), report.line.clone()));
        let plan = self.plans.progress();
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or_default();
        Ok(Facts {
            blocking: self.checks.last().filter(|report| report.at_unix_ms >= begun_ms(run)).map(unacknowledged),
            phase: status.phase.name().to_owned(),
            backfill_trouble,
            kept: backfill.kept(),
            backfilling: backfill.state.is_under_way(),
            backfill_known: backfill.state != BackfillState::None,
            verifying: report.is_some_and(|report| !report.is_over()),
            verified,
            mismatches: status.mismatches + counter("shadow_mismatches"),
            shadow_percent: status.shadow_percent,
            target_read_percent: status.target_read_percent,
            shifting: plan.state == traffic::State::Running,
            shifted: plan.state == traffic::State::Done,
            shift_trouble: matches!(plan.state, traffic::State::Trouble | traffic::State::Stopped | traffic::State::Failed)
                .then(|| plan.reason.clone().unwrap_or_default()),
        })
    }

    async fn carry_out(&self, run: &Run, action: &Action) -> Result<(), WorkflowError> {
        match action {
            Action::Check => {
                // What it has found is among the facts then; what it could not find is a finding too.
                self.checks.run(Vec::new()).await.map_err(|error| NotNow(error.to_string()))?;
            }
            Action::Backfill { policy, conflict } => {
                // Both names are of the setup, which was looked at.
                let policy: Policy = policy.parse().unwrap_or_default();
                let conflict: Conflict = conflict.parse().unwrap_or_default();
                self.control.set_policy(policy, false).await?;
                let wanted = backfill::Wanted { conflict, ..backfill::Wanted::default() };
                self.control.change_backfill(BackfillChange::Begin(wanted.into())).await?;
            }
            Action::Verify(percent) => {
                self.control.verify(VerifyOptions { sample: *percent, ..VerifyOptions::default() }).await?;
            }
            Action::Shadow(percent) => self.control.set_shadow(*percent, false).await?,
            Action::Shift { steps, dwell_s } => {
                let wanted = traffic::Wanted { steps: steps.clone(), dwell_ms: dwell_s.saturating_mul(1000), ..traffic::Wanted::default() };
                let status = self.control.status().await?;
                if self.plans.begin(wanted, &status, self.control.clone(), Arc::clone(&self.events)).is_none() {
                    return Err(NotNow("another plan shifts reads".to_owned()).into());
                }
            }
            Action::CutOver => {
                self.plans.end("the workflow cuts over").await;
                if self.control.backfill().await?.kept().is_some() {
                    // It asks for all that a cutover asks for, but that every key was copied.
                    self.control.set_policy(Policy::TargetAuthoritative, false).await?;
                } else {
                    self.control.cut_over(false).await?;
                }
            }
            Action::Complete => {
                self.control.complete().await?;
            }
            Action::RollBack => {
                self.plans.end("the workflow rolls back").await;
                if run.step <= Step::Backfill {
                    // Refused if none is under way.
                    self.control.change_backfill(BackfillChange::Cancel).await.ok();
                }
                let moved = self.control.status().await?.phase == Phase::Cutover;
                if moved && self.control.backfill().await?.kept().is_some() {
                    self.control.set_policy(run.setup.policy.parse().unwrap_or_default(), false).await?;
                } else {
                    self.control.roll_back(false).await?;
                }
            }
        }
        Ok(())
    }
}

/// What blocks a run.
fn unacknowledged(report: Report) -> Vec<String> {
    let blocks = |finding: &Finding| finding.severity == Severity::Blocking && finding.acknowledged.is_none();
    let mut names: Vec<String> = report.findings.into_iter().filter(blocks).map(|finding| finding.name).collect();
    names.dedup();
    names
}

/// When the run was begun.
fn begun_ms(run: &Run) -> u64 {
    run.entries.first().map_or(0, |entry| entry.at_unix_ms)
}
