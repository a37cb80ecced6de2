//! `interlay workflow`: a whole move, guided.

use std::time::Duration;

use clap::{Args, Subcommand};
use interlay_migration::workflow::{Setup, Word};

use super::remote::{Outcome, conclude, exchange, in_runtime};
use super::{Exit, Remote};
use crate::admin::workflow::Tell;
use crate::out;
use crate::workflow::View;

const WORKFLOW: &str = "/api/v1/workflow";

/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(200);

/// What can be done about a run.
#[derive(Debug, Subcommand)]
pub(crate) enum Workflow {
    /// Begin a run: prepare, review, backfill, verify, monitor, shift, cutover, accept, each step with its gate.
    Start {
        #[command(flatten)]
        setup: Choices,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the run: its step, what it waits for, and what has happened.
    Show(Remote),
    /// Show what happens, and wait until the run waits for somebody, or is over.
    Wait(Remote),
    /// Approve what the check has found.
    Approve(Say),
    /// Go on with the step that waits, or try again what is stuck.
    Advance(Say),
    /// Accept the move: the source is let go.
    Accept(Say),
    /// Go back to the source.
    Rollback(Say),
    /// Give the run up, and leave everything as it is.
    Abort(Say),
}

/// How the move is to be made.
#[derive(Debug, Args)]
pub(crate) struct Choices {
    /// The write policy until the cutover: source-authoritative or both-required.
    #[arg(long, value_name = "P", default_value_t = Setup::default().policy)]
    policy: String,
    /// Copy nothing that is there already.
    #[arg(long)]
    no_copy: bool,
    /// What becomes of keys that the target has already: replace, none or merge.
    #[arg(long, value_name = "POLICY", default_value_t = Setup::default().conflict)]
    conflict: String,
    /// Compare so many per cent of the keys after the backfill; 0 for none.
    #[arg(long, value_name = "PERCENT", default_value_t = Setup::default().verify_percent)]
    verify: u8,
    /// Compare so many per cent of the reads while the mirror is watched.
    #[arg(long, value_name = "PERCENT", default_value_t = Setup::default().shadow_percent)]
    shadow: u8,
    /// Watch the mirror for so long before reads are shifted.
    #[arg(long, value_name = "SECONDS", default_value_t = Setup::default().soak_s)]
    soak_s: u64,
    /// How reads are shifted: gradual or toggle.
    #[arg(long, value_name = "S", default_value_t = Setup::default().strategy)]
    strategy: String,
    /// The shares that a gradual shift goes through.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = Setup::default().steps)]
    steps: Vec<u8>,
    /// How long each of them is held.
    #[arg(long, value_name = "SECONDS", default_value_t = Setup::default().dwell_s)]
    dwell_s: u64,
    /// Leave `monitor` and `cutover` without being told to; `review` and `accept` always wait for a person.
    #[arg(long)]
    automatic: bool,
}

/// A word, and why it is said.
#[derive(Debug, Args)]
pub(crate) struct Say {
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) fn workflow(command: Workflow) -> Outcome {
    let (word, Say { note, remote }) = match command {
        Workflow::Start { setup, remote } => {
            let setup: Setup = setup.into();
            return in_runtime(&remote, async { conclude(&exchange(&remote.admin, WORKFLOW, Some(setup)).await?, remote.json, in_words) });
        }
        Workflow::Show(remote) => {
            return in_runtime(&remote, async { conclude(&exchange(&remote.admin, WORKFLOW, None::<()>).await?, remote.json, in_words) });
        }
        Workflow::Wait(remote) => return wait(&remote),
        Workflow::Approve(say) => (Word::Approve, say),
        Workflow::Advance(say) => (Word::Advance, say),
        Workflow::Accept(say) => (Word::Accept, say),
        Workflow::Rollback(say) => (Word::RollBack, say),
        Workflow::Abort(say) => (Word::Abort, say),
    };
    in_runtime(&remote, async {
        let answer = exchange(&remote.admin, &format!("{WORKFLOW}/tell"), Some(Tell { word, note })).await?;
        conclude(&answer, remote.json, in_words)
    })
}

/// Shows entries as they come.
fn wait(remote: &Remote) -> Outcome {
    in_runtime(remote, async {
        let mut shown = 0;
        loop {
            let answer = exchange(&remote.admin, WORKFLOW, None::<()>).await?;
            if answer.exit() != Exit::Done {
                return conclude(&answer, remote.json, |_: View| String::new());
            }
            let view: View = answer.read()?;
            let waits = view.waits_for.clone().or_else(|| view.over.then(String::new));
            if remote.json {
                if waits.is_some() {
                    return Ok(Outcome::new(Exit::Done, Ok(answer.text())));
                }
            } else {
                view.run.entries.iter().skip(shown).for_each(|entry| out::say(format_args!("{:<10}{}", entry.step.name(), entry.text)));
                shown = view.run.entries.len();
                match waits {
                    Some(waits) if waits.is_empty() => return Ok(Outcome::new(Exit::Done, Ok(String::new()))),
                    Some(waits) => {
                        let exit = if view.run.stuck.is_some() { Exit::No } else { Exit::Done };
                        return Ok(Outcome::new(exit, Ok(format!("waits for {waits}"))));
                    }
                    None => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

fn in_words(view: View) -> String {
    let entries: String = view.run.entries.iter().map(|entry| format!("\n{:<10}{}", entry.step.name(), entry.text)).collect();
    let waits = view.waits_for.map_or_else(String::new, |waits| format!("; waits for {waits}"));
    format!("at {}: it {}{waits}{entries}", view.run.step.name(), view.does)
}

impl From<Choices> for Setup {
    fn from(choices: Choices) -> Self {
        let Choices { policy, no_copy, conflict, verify, shadow, soak_s, strategy, steps, dwell_s, automatic } = choices;
        let (copy, verify_percent, shadow_percent) = (!no_copy, verify, shadow);
        Self { policy, copy, conflict, verify_percent, shadow_percent, soak_s, strategy, steps, dwell_s, automatic }
    }
}
