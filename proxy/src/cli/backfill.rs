//! `interlay backfill`: asks for it, shows how it goes, and waits for its end.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use interlay_migration::trial::KEYS_MAX;
use interlay_routing::{BackfillState, Conflict};

use super::remote::{Answer, Cause, Outcome, conclude, exchange, in_runtime};
use super::{Exit, Remote, test_run};
use crate::admin::test_run::{WantedSurvey, WantedTrial};
use crate::backfill::{Limits, Progress, Wanted};
use crate::out;

/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(100);

/// Between two lines that say so where no terminal shows it.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// How far back the speed is measured.
const SPEED_OVER: Duration = Duration::from_secs(5);

/// What stands in the way for so long is not waited out.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

const BACKFILL: &str = "/api/v1/backfill";

/// `interlay backfill`, or something about the one under way.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Backfill {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    begin: Begin,
}

/// What a new backfill is to do.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// Only keys that match this glob, as SCAN understands it.
    #[arg(long = "match", value_name = "GLOB")]
    pattern: Option<String>,
    /// Only keys of this type: string, list, set, hash, zset, stream, or a module's.
    #[arg(long = "type", value_name = "T")]
    kind: Option<String>,
    /// Only keys of this database; may be given several times.
    #[arg(long = "db", value_name = "N")]
    dbs: Vec<u32>,
    /// What becomes of keys that the target has already. replace: the source wins, and what only the target has is removed. none: the
    /// target's are kept. merge: elements of hashes, sets and sorted sets are put on top of the target's, other keys are kept.
    #[arg(long, value_name = "POLICY", default_value = "replace", value_parser = conflict_parser())]
    conflict: Conflict,
    #[command(flatten)]
    limits: SetLimits,
}

/// What a new backfill is to do, and how it is asked for.
#[derive(Debug, Args)]
struct Begin {
    #[command(flatten)]
    what: What,
    /// Do not wait for the end.
    #[arg(long)]
    detach: bool,
    /// Copy nothing: tell what would be copied, by type and database, the biggest keys, and which keys the target has already.
    #[arg(long, conflicts_with_all = ["detach", "keys_per_s", "bytes_per_s", "no_auto_limit"])]
    dry_run: bool,
    /// Ask about so many keys only, about, and scale up what was found; 100000 unless told.
    #[arg(long, value_name = "N", requires = "dry_run", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Copy so many keys to the target under scratch names, compare them, remove them, and tell what the target has refused.
    #[arg(long, value_name = "N", conflicts_with_all = ["dry_run", "detach", "conflict", "keys_per_s", "bytes_per_s", "no_auto_limit"],
          value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_MAX)))]
    trial: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

/// How fast a backfill may be.
#[derive(Debug, Args)]
struct SetLimits {
    /// Copy no more keys than so many in a second; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keys_per_s: u64,
    /// Copy no more bytes of values than so many in a second; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    bytes_per_s: u64,
    /// Copy as much at once as there is room for, however long the source takes to answer its clients.
    #[arg(long)]
    no_auto_limit: bool,
}

/// Something about the backfill under way.
#[derive(Debug, Subcommand)]
enum Act {
    /// Show how far it has come, and wait for its end.
    Wait {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show how far it has come.
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// Name no more keys, until resumed. Writes are mirrored all the same.
    Pause {
        #[command(flatten)]
        remote: Remote,
    },
    /// Go on.
    Resume {
        #[command(flatten)]
        remote: Remote,
    },
    /// End it. What is copied stays, and is mirrored.
    Cancel {
        #[command(flatten)]
        remote: Remote,
    },
    /// Change its speed: what is not given is not limited.
    Limit {
        #[command(flatten)]
        limits: SetLimits,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the keys that were kept as the target has them, one JSON object a line.
    Kept {
        #[command(flatten)]
        remote: Remote,
    },
}

impl From<&SetLimits> for Limits {
    fn from(limits: &SetLimits) -> Self {
        Self { keys_per_s: limits.keys_per_s, bytes_per_s: limits.bytes_per_s, no_auto_limit: limits.no_auto_limit }
    }
}

fn conflict_parser() -> impl TypedValueParser<Value = Conflict> {
    PossibleValuesParser::new(Conflict::ALL.map(|(_, name)| name)).try_map(|name| name.parse::<Conflict>())
}

/// Begins one.
pub(crate) fn begin_with(remote: &Remote, what: What, detach: bool) -> Outcome {
    let What { pattern, kind, dbs, conflict, limits } = what;
    let wanted = Wanted { pattern, kind, dbs, conflict, limits: (&limits).into() };
    in_runtime(remote, async { follow(remote, exchange(&remote.admin, BACKFILL, Some(wanted)).await?, detach).await })
}

/// Does it.
pub(crate) fn backfill(Backfill { act, begin }: Backfill) -> Outcome {
    let Some(act) = act else {
        let Begin { what, detach, dry_run, sample, trial, remote } = begin;
        let What { pattern, kind, dbs, conflict, .. } = what;
        return match trial {
            Some(keys) => test_run::trial(&remote, WantedTrial { pattern, kind, dbs, keys }),
            None if dry_run => test_run::survey(&remote, WantedSurvey { pattern, kind, dbs, sample }, conflict),
            None => begin_with(&remote, What { pattern, kind, dbs, ..what }, detach),
        };
    };
    match &act {
        Act::Wait { remote } => {
            in_runtime(remote, async { follow(remote, exchange(&remote.admin, BACKFILL, None::<()>).await?, false).await })
        }
        Act::Status { remote } => say(remote, "", None::<()>),
        Act::Pause { remote } => say(remote, "/pause", Some(())),
        Act::Resume { remote } => say(remote, "/resume", Some(())),
        Act::Cancel { remote } => say(remote, "/cancel", Some(())),
        Act::Limit { limits, remote } => say(remote, "/limits", Some(Limits::from(limits))),
        Act::Kept { remote } => in_runtime(remote, async {
            let answer = exchange(&remote.admin, &format!("{BACKFILL}/kept"), None::<()>).await?;
            match answer.exit() {
                Exit::Done => Ok(Outcome::new(Exit::Done, Ok(answer.text().trim_end().to_owned()))),
                _ => conclude(&answer, remote.json, |_: Progress| String::new()),
            }
        }),
    }
}

/// One exchange, and how far the backfill has come then.
fn say(remote: &Remote, path: &str, change: Option<impl serde::Serialize>) -> Outcome {
    in_runtime(remote, async {
        let answer = exchange(&remote.admin, &format!("{BACKFILL}{path}"), change).await?;
        conclude(&answer, remote.json, |progress: Progress| summary(&progress))
    })
}

async fn follow(remote: &Remote, begun: Answer, detach: bool) -> Result<Outcome, Cause> {
    if detach || begun.exit() != Exit::Done {
        return conclude(&begun, remote.json, |_: Progress| {
            "the backfill goes on by itself; `interlay backfill wait` shows how".to_owned()
        });
    }
    tokio::select! {
        ended = wait(remote, begun) => ended,
        _ = tokio::signal::ctrl_c() => {
            let words = "no longer waiting; the backfill goes on by itself (`interlay backfill wait` shows how, `interlay backfill cancel` ends it)";
            Ok(Outcome::new(Exit::No, Err(words.to_owned())))
        }
    }
}

/// Waits for the end, or for what stands in its way.
async fn wait(remote: &Remote, begun: Answer) -> Result<Outcome, Cause> {
    let mut answer = begun;
    let mut shown = Shown::new(remote.json);
    let mut in_the_way: Option<Instant> = None;
    loop {
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Progress| String::new());
        }
        let progress: Progress = answer.read()?;
        shown.show(&progress);
        if !progress.state.is_under_way() {
            drop(shown);
            return Ok(verdict(&progress, remote.json.then(|| answer.text())));
        }
        match &progress.waits_for {
            None => in_the_way = None,
            Some(reason) if in_the_way.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_AFTER => {
                let words = format!("the backfill waits: {reason}; it goes on when it can (`interlay backfill wait` shows how)");
                return Ok(Outcome::new(Exit::No, Err(words)));
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK).await;
        answer = exchange(&remote.admin, BACKFILL, None::<()>).await?;
    }
}

/// What it came to: done, or not what was asked for.
fn verdict(progress: &Progress, json: Option<String>) -> Outcome {
    let done = progress.state == BackfillState::Ended && progress.errors == 0;
    let words = json.unwrap_or_else(|| summary(progress));
    if done { Outcome::new(Exit::Done, Ok(words)) } else { Outcome::new(Exit::No, Err(words)) }
}

/// How far it has come, in words.
fn summary(progress: &Progress) -> String {
    if progress.state == BackfillState::None {
        return "there was no backfill yet".to_owned();
    }
    let mut words = format!("backfill {}", progress.state.name());
    if let Some(reason) = &progress.reason {
        words += &format!(": {reason}");
    }
    let ms = progress.ended_ms.unwrap_or(progress.now_ms).saturating_sub(progress.started_ms);
    words += &format!(
        "; {} of about {} keys seen, {} copied ({}) in {}",
        HumanCount(progress.keys_seen),
        HumanCount(progress.keys_expected),
        HumanCount(progress.keys_copied),
        HumanBytes(progress.bytes_copied),
        took(ms),
    );
    if progress.state == BackfillState::Ended && progress.keys_named == 0 && progress.keys_seen > 0 {
        words += "; no key is of what was asked for (--match, --type)";
    }
    for (count, what) in [
        (progress.keys_removed, "removed because only the target had them"),
        (progress.keys_merged, "merged"),
        (progress.keys_kept, "kept as the target has them (`interlay backfill kept` lists them)"),
        (progress.errors, "cannot be copied (`interlay errors` lists them)"),
    ] {
        if count > 0 {
            words += &format!("; {} {what}", HumanCount(count));
        }
    }
    if let Some(reason) = &progress.waits_for {
        words += &format!("; waits: {reason}");
    }
    words
}

fn took(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { HumanDuration(Duration::from_millis(ms)).to_string() }
}

/// How it goes: a bar on a terminal, and elsewhere a line now and then.
struct Shown {
    bar: Option<ProgressBar>,
    quiet: bool,
    said: Instant,
    /// Keys and bytes copied, and when that was.
    past: std::collections::VecDeque<(Instant, u64, u64)>,
}

impl Shown {
    fn new(quiet: bool) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("[{bar:30}] {pos:>3} % {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            bar
        });
        Self { bar, quiet, said: Instant::now(), past: std::collections::VecDeque::new() }
    }

    fn show(&mut self, progress: &Progress) {
        let line = self.line(progress, Instant::now());
        if let Some(bar) = &self.bar {
            bar.set_position(progress.percent());
            bar.set_message(line);
        } else if !self.quiet && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            out::complain(format!("{} %, {line}", progress.percent()));
        }
    }

    fn line(&mut self, progress: &Progress, now: Instant) -> String {
        self.past.push_back((now, progress.keys_copied, progress.bytes_copied));
        while self.past.len() > 2 && self.past.front().is_some_and(|(at, ..)| now.duration_since(*at) > SPEED_OVER) {
            self.past.pop_front();
        }
        let (since, keys, bytes) = self.past.front().copied().unwrap_or((now, 0, 0));
        let ms = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX).max(1);
        let per_s = |there: u64, before: u64| there.saturating_sub(before).saturating_mul(1000) / ms;
        let (keys_per_s, bytes_per_s) = (per_s(progress.keys_copied, keys), per_s(progress.bytes_copied, bytes));
        let mut line = format!(
            "{} of about {} keys, {} keys/s, {}/s",
            HumanCount(progress.keys_seen.saturating_sub(progress.keys_waiting)),
            HumanCount(progress.keys_expected),
            HumanCount(keys_per_s),
            HumanBytes(bytes_per_s),
        );
        let left = progress.keys_expected.saturating_sub(progress.keys_seen.saturating_sub(progress.keys_waiting));
        match progress.state {
            BackfillState::Paused => line += ", paused",
            _ if progress.looks_for_strangers => line += ", looks for keys that only the target has",
            _ => {
                if let Some(seconds) = left.checked_div(keys_per_s) {
                    line += &format!(", {} left", HumanDuration(Duration::from_secs(seconds)));
                }
            }
        }
        if let Some(reason) = &progress.waits_for {
            line += &format!(", waits: {reason}");
        }
        line
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_it_came_to() {
        assert_eq!(summary(&Progress::default()), "there was no backfill yet");
        let ended = Progress {
            state: BackfillState::Ended,
            keys_expected: 1200,
            keys_seen: 1200,
            keys_copied: 1100,
            bytes_copied: 2048,
            keys_kept: 100,
            started_ms: 1000,
            ended_ms: Some(3500),
            ..Progress::default()
        };
        let words = "backfill ended; 1,200 of about 1,200 keys seen, 1,100 copied (2.00 KiB) in 2.5 s; 100 kept as the target has them \
                     (`interlay backfill kept` lists them)";
        let ended = Progress { keys_named: 1200, ..ended };
        assert_eq!(summary(&ended), words);
        let none = Progress { keys_named: 0, ..ended };
        assert!(summary(&none).contains("; no key is of what was asked for"));
        let failed = Progress { state: BackfillState::Failed, reason: Some("why".to_owned()), ..Progress::default() };
        assert!(summary(&failed).starts_with("backfill failed: why; "));
    }

    #[test]
    fn speed_and_what_is_left_are_of_the_last_seconds() {
        let (mut shown, start) = (Shown { bar: None, quiet: true, said: Instant::now(), past: <_>::default() }, Instant::now());
        let at = |keys_seen| Progress {
            state: BackfillState::Running,
            keys_expected: 10_000,
            keys_seen,
            keys_copied: keys_seen,
            ..Progress::default()
        };
        shown.line(&at(0), start);
        let line = shown.line(&at(4000), start + Duration::from_secs(2));
        assert_eq!(line, "4,000 of about 10,000 keys, 2,000 keys/s, 0 B/s, 3 seconds left");
    }
}
