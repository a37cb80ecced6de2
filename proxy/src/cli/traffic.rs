//! `interlay traffic`: the share of the reads that goes to the target, at once or in steps, and the sample that is compared.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::remote::{Answer, Cause, Outcome, conclude, delete, exchange, in_runtime};
use super::{Exit, Remote};
use crate::admin::traffic::{SetTraffic, Traffic as Shares, is_over};
use crate::out;
use crate::traffic::{OnTrouble, Progress, State, Wanted};

/// Between two looks at how a plan goes.
const LOOK: Duration = Duration::from_millis(100);

const TRAFFIC: &str = "/api/v1/traffic";
const PLAN: &str = "/api/v1/traffic/plan";

/// What is to become of the reads.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["percent", "shadow", "gradual", "toggle"]).multiple(true)))]
#[command(group(ArgGroup::new("plan").args(["gradual", "toggle"])))]
pub(crate) struct Traffic {
    /// Per cent of the reads; without it the present share is shown.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) percent: Option<u8>,
    /// Have so many per cent of the reads answered by both sides, and compare the answers; 0 for none.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with = "plan")]
    shadow: Option<u8>,
    /// Shift in steps, watch each of them, and go back when a limit is passed. Exits with 1 if so.
    #[arg(long, conflicts_with = "percent")]
    gradual: bool,
    /// Shift all reads at once, and watch that as the last step of a gradual shift.
    #[arg(long, conflicts_with_all = ["percent", "steps"])]
    toggle: bool,
    /// The shares of a gradual shift.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=100), requires = "plan")]
    steps: Option<Vec<u8>>,
    /// How long each step is watched.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "plan")]
    dwell_s: Option<Duration>,
    /// What is done when a limit is passed.
    #[arg(long, value_name = "WHAT", value_enum, requires = "plan")]
    on_trouble: Option<OnTrouble>,
    /// Let so many effects and shadow reads of a step be answered otherwise than by the source.
    #[arg(long, value_name = "N", requires = "plan")]
    max_mismatches: Option<u64>,
    /// Let the source answer so many reads of a step in the target's place.
    #[arg(long, value_name = "N", requires = "plan")]
    max_rerouted_reads: Option<u64>,
    /// Let so many keys be dirty.
    #[arg(long, value_name = "N", requires = "plan")]
    max_dirty_keys: Option<u64>,
    /// Let half of the target's answers take so long, and the slowest ten times that.
    #[arg(long, value_name = "MS", requires = "plan")]
    max_latency_ms: Option<u64>,
    /// Do not wait for the end of a plan.
    #[arg(long, requires = "plan")]
    detach: bool,
    /// End the plan under way; the share stays as it is.
    #[arg(long, conflicts_with_all = ["change", "force"])]
    stop: bool,
    /// Do it even though nothing has proved the target to be in sync.
    #[arg(long, requires = "change")]
    pub(crate) force: bool,
    #[command(flatten)]
    remote: Remote,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Traffic {
    fn wanted(&self) -> Wanted {
        let usual = Wanted::default();
        let steps = if self.toggle { vec![100] } else { self.steps.clone().unwrap_or(usual.steps) };
        Wanted {
            steps,
            dwell_ms: self.dwell_s.map_or(usual.dwell_ms, |dwell| u64::try_from(dwell.as_millis()).unwrap_or(u64::MAX)),
            on_trouble: self.on_trouble.unwrap_or_default(),
            max_mismatches: self.max_mismatches.unwrap_or(usual.max_mismatches),
            max_rerouted_reads: self.max_rerouted_reads.unwrap_or(usual.max_rerouted_reads),
            max_dirty_keys: self.max_dirty_keys.unwrap_or(usual.max_dirty_keys),
            max_latency_ms: self.max_latency_ms.unwrap_or(usual.max_latency_ms),
            force: self.force,
        }
    }
}

/// Does it.
pub(crate) fn traffic(args: &Traffic) -> Outcome {
    let remote = &args.remote;
    if args.stop {
        return in_runtime(remote, async {
            conclude(&delete(&remote.admin, PLAN).await?, remote.json, |progress: Progress| progress.to_string())
        });
    }
    if args.gradual || args.toggle {
        return in_runtime(remote, async { follow(remote, exchange(&remote.admin, PLAN, Some(args.wanted())).await?, args.detach).await });
    }
    set(remote, args.percent, args.shadow, args.force)
}

/// Changes the shares, or shows them.
pub(crate) fn set(remote: &Remote, percent: Option<u8>, shadow: Option<u8>, force: bool) -> Outcome {
    let change = percent.or(shadow).map(|_| SetTraffic { target_read_percent: percent, shadow_percent: shadow, force });
    in_runtime(remote, async { conclude(&exchange(&remote.admin, TRAFFIC, change).await?, remote.json, in_words) })
}

fn in_words(Shares { target_read_percent, shadow_percent }: Shares) -> String {
    let shares = format!("{target_read_percent} % of the reads go to the target");
    if shadow_percent > 0 { format!("{shares}; {shadow_percent} % are answered by both sides and compared") } else { shares }
}

async fn follow(remote: &Remote, begun: Answer, detach: bool) -> Result<Outcome, Cause> {
    if detach || begun.exit() != Exit::Done {
        return conclude(&begun, remote.json, |_: Progress| "the plan goes on by itself; GET /api/v1/traffic/plan shows how".to_owned());
    }
    tokio::select! {
        ended = wait(remote, begun) => ended,
        _ = tokio::signal::ctrl_c() => {
            let words = "no longer waiting; the plan goes on by itself (`interlay traffic --stop` ends it)";
            Ok(Outcome::new(Exit::No, Err(words.to_owned())))
        }
    }
}

/// Shows each step, and waits for the end.
async fn wait(remote: &Remote, begun: Answer) -> Result<Outcome, Cause> {
    let mut answer = begun;
    let mut shown = 0;
    loop {
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Progress| String::new());
        }
        let progress: Progress = answer.read()?;
        if !remote.json {
            progress.lines.iter().skip(shown).for_each(out::say);
        }
        shown = progress.lines.len();
        if is_over(&progress) {
            let exit = if progress.state == State::Done { Exit::Done } else { Exit::No };
            let words = if remote.json { answer.text() } else { progress.to_string() };
            return Ok(Outcome::new(exit, if exit == Exit::Done || remote.json { Ok(words) } else { Err(words) }));
        }
        tokio::time::sleep(LOOK).await;
        answer = exchange(&remote.admin, PLAN, None::<()>).await?;
    }
}
