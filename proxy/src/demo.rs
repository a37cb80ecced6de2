//! `interlay demo`: two real servers, an interlay between them, a live load, and a whole move with the proof at each step.
//!
//! In: `redis-server` on the path. Out: a progress line, what the operator did and was told, a table of what came of it, and an
//! exit code that says whether all of it was proved. The operator uses this executable's own commands. Whatever was
//! started ends with the demo.

mod connection;
mod dataset;
mod load;
mod process;
mod proof;
mod stage;
mod writers;

use std::fmt;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use interlay_routing::Phase;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::load::Dice;
use self::proof::{Proof, Report};
use self::stage::Stage;
use self::writers::Writers;
use crate::cli::Exit;
use crate::out;
use crate::status::Status;

/// How long anything that is waited for may take. Nothing here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Between two looks at the interlay during the load; a terminal's progress line changes at each.
const GLANCE: Duration = Duration::from_millis(200);

/// How often the rate is taken, and a line is written where lines cannot be rewritten.
const LINE: Duration = Duration::from_secs(1);

/// What the operator does under the load, and for how long that goes on before the next act. A command that answers no ends the
/// demo: so each `verify` is a proof.
const ACTS: &[(&[&str], Duration)] = {
    const AT_ONCE: Duration = Duration::ZERO;
    const A_WHILE: Duration = Duration::from_secs(2);
    &[
        (&["backfill", "--no-auto-limit"], AT_ONCE),
        (&["verify"], AT_ONCE),
        (&["traffic", "10"], A_WHILE),
        (&["traffic", "50"], A_WHILE),
        (&["traffic", "100"], A_WHILE),
        (&["cutover"], A_WHILE),
        (&["verify"], AT_ONCE),
        (&["rollback"], A_WHILE),
        (&["verify"], AT_ONCE),
        (&["cutover"], A_WHILE),
        (&["verify"], AT_ONCE),
    ]
};

/// How often a comparison under load is made again.
const VERIFY_AGAIN: usize = 2;

/// How long the load goes on before the first act.
const WARM_UP: Duration = Duration::from_secs(2);

/// Why there is no proof, neither for nor against.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// There is nothing to show it with.
    #[error("the demo needs redis-server, which cannot be run ({0}): `apt-get install redis-server` installs it, and so does `make demo`")]
    NoRedis(io::Error),
    /// A process that was started does not run.
    #[error("{name} has ended ({status})")]
    Ended { name: &'static str, status: ExitStatus },
    /// Something else has not come to pass.
    #[error("waited for {} s in vain until {what}", PATIENCE.as_secs())]
    Late { what: &'static str },
    /// A command of the operator's was answered no.
    #[error("`interlay {command}`: {complaint}")]
    Operator { command: String, complaint: String },
    /// The system refuses something.
    #[error("{what}: {cause}")]
    System { what: &'static str, cause: io::Error },
}

impl DemoError {
    /// For `map_err`: the system refused `what`.
    fn at(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::System { what, cause }
    }
}

/// Runs the demo; with `keep`, its processes stay until a signal ends it.
pub(crate) fn run(keep: bool) -> Exit {
    let ended = runtime::Builder::new_current_thread().enable_all().build().map(|runtime| runtime.block_on(perform(keep)));
    match ended.map_err(DemoError::at("the runtime")).flatten() {
        Ok(exit) => exit,
        Err(error) => {
            out::complain(error);
            Exit::No
        }
    }
}

/// The demo, or as much of it as there is before a signal.
async fn perform(keep: bool) -> Result<Exit, DemoError> {
    let seed = Dice::seed().map_err(DemoError::at("INTERLAY_SEED"))?;
    let signals = || -> io::Result<[Signal; 3]> {
        Ok([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?])
    };
    let [mut interrupt, mut terminate, mut hangup] = signals().map_err(DemoError::at("signals"))?;
    let mut told_to_end = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    });
    let shown = async {
        let mut stage = Stage::set()?;
        let proved = show(&mut stage, seed).await;
        if !matches!(proved, Ok(true)) {
            out::complain(stage.logs());
        }
        proved.map(|proved| (stage, proved))
    };
    // Dropped when a signal comes first, and its processes with it.
    let shown = tokio::select! {
        shown = shown => Some(shown),
        () = &mut told_to_end => None,
    };
    let Some((stage, proved)) = shown.transpose()? else {
        out::complain("told to end before there was a proof: everything that was started has ended");
        return Ok(Exit::No);
    };
    if keep {
        out::say(stage.to_try());
        told_to_end.await;
        drop(stage);
        out::say("everything that was started has ended");
    }
    Ok(if proved { Exit::Done } else { Exit::No })
}

/// Load, operation, proof: whether both servers are equal, nothing went wrong and nothing is dirty.
async fn show(stage: &mut Stage, seed: u64) -> Result<bool, DemoError> {
    stage.ready().await?;
    dataset::fill(stage.servers().0.port).await.map_err(DemoError::at("the source"))?;
    out::say(&stage);
    out::say(format_args!("before    {} keys of every type on the source, {} of which expire", dataset::TOTAL, dataset::EXPIRING));
    let answer = stage.operate(&["check"]).await?;
    out::say(format_args!("\n$ interlay check\n{}\n", answer.trim_end()));
    out::say(format_args!("load      {} connections, seed {seed} (again: INTERLAY_SEED={seed})\n", writers::CLIENTS));

    let writers = Writers::start(stage.listen_port(), seed);
    let lag_max = watch(stage, &writers).await?;
    let stopped = tokio::time::timeout(PATIENCE, writers.stop()).await;
    let tally = stopped.map_err(|_| DemoError::Late { what: "every client has its replies" })?;
    wait_until("every short-lived key has expired on both servers", async || stage.has_only_expiries(dataset::EXPIRING).await).await?;
    wait_until("every effect is answered and every dirty key is copied", async || Ok(is_settled(&stage.status().await?))).await?;
    let (source, target) = stage.servers();
    let mut report =
        Report { tally, lag_max, status: stage.status().await?, source: Proof::of(source).await?, target: Proof::of(target).await? };
    out::say(format_args!("\n{report}"));
    if !report.proved() {
        return Ok(false);
    }
    let answer = stage.operate(&["complete"]).await?;
    out::say(format_args!("\n$ interlay complete\n{}", answer.trim_end()));
    report.status = stage.status().await?;
    out::say(format_args!("phase {}: the {} alone serves the applications", report.status.phase, report.status.authority));
    Ok(report.status.phase == Phase::Completed)
}

/// Whether every effect is answered and no key may differ.
fn is_settled(status: &Status) -> bool {
    status.lag_effects + status.dirty_keys + status.copies_under_way == 0 && !status.sweeping && !status.suspect
}

/// Shows how the load goes, and operates the interlay under it. Gives the highest lag seen, in effects.
async fn watch(stage: &mut Stage, writers: &Writers) -> Result<u64, DemoError> {
    out::say(Line::HEAD);
    let mut line = Line::default();
    let mut lag_max = load_for(WARM_UP, stage, writers, &mut line).await?;
    for (args, hold) in ACTS {
        let mut answer = stage.operate(args).await;
        for _ in 0..VERIFY_AGAIN {
            // Keys that are always in use may stay dirty for longer than a comparison waits: what differs would differ again.
            if answer.is_ok() || args.first() != Some(&"verify") {
                break;
            }
            answer = stage.operate(args).await;
        }
        let answer = answer?;
        line.interrupt(format_args!("$ interlay {}\n{}", args.join(" "), answer.trim_end()));
        lag_max = lag_max.max(load_for(*hold, stage, writers, &mut line).await?);
    }
    Ok(lag_max)
}

/// Lets the load go on, and shows how it goes: at least once. Gives the highest lag seen, in effects.
async fn load_for(time: Duration, stage: &mut Stage, writers: &Writers, line: &mut Line) -> Result<u64, DemoError> {
    let start = Instant::now();
    let mut lag_max = 0;
    loop {
        stage.check()?;
        let status = stage.status().await?;
        lag_max = lag_max.max(status.lag_effects);
        line.show(writers.total().requests, &status);
        if start.elapsed() >= time {
            return Ok(lag_max);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// The progress line: in a terminal one that is rewritten, else a new one each second.
struct Line {
    start: Instant,
    /// The line above the cursor is one to be rewritten.
    shown: bool,
    /// When the rate was last taken, and the requests up to then.
    before: (Duration, u64),
    /// Requests per second.
    rate: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self { start: Instant::now(), shown: false, before: Default::default(), rate: 0 }
    }
}

impl Line {
    const HEAD: &str = "   time  requests       /s  mirrored    lag  dirty  phase";

    fn show(&mut self, requests: u64, status: &Status) {
        let elapsed = self.start.elapsed();
        let since = elapsed - self.before.0;
        let due = since >= LINE;
        if due {
            self.rate = ((requests - self.before.1) as f64 / since.as_secs_f64()) as u64;
            self.before = (elapsed, requests);
        }
        let effects = status.counters.get("effects").copied().unwrap_or_default();
        let elapsed = format!("{:.1} s", elapsed.as_secs_f32());
        let (lag, dirty) = (status.lag_effects, status.dirty_keys);
        let line = format!("{elapsed:>7}{requests:>10}{:>9}{effects:>10}{lag:>7}{dirty:>7}  {}", self.rate, status.phase);
        if io::stdout().is_terminal() {
            // One line up, and cleared.
            let up = if self.shown { "\x1b[1A\r\x1b[2K" } else { "" };
            out::say(format_args!("{up}{line}"));
            self.shown = true;
        } else if due {
            out::say(line);
        }
    }

    /// Says something else, below the line so far; progress goes on in a new one.
    fn interrupt(&mut self, words: impl fmt::Display) {
        out::say(words);
        self.shown = false;
    }
}

/// Waits until `holds`.
///
/// # Errors
/// [`DemoError::Late`] if it does not within [`PATIENCE`], and those of `holds`.
async fn wait_until(what: &'static str, mut holds: impl AsyncFnMut() -> Result<bool, DemoError>) -> Result<(), DemoError> {
    let until = Instant::now() + PATIENCE;
    while !holds().await? {
        if Instant::now() > until {
            return Err(DemoError::Late { what });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
