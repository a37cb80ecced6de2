//! `interlay demo`: two real servers, an interlay between them, a live load, and the proof that both ended up equal.
//!
//! In: `redis-server` on the path. Out: a progress line, a table of what was done, and an exit code that says whether it
//! was proved. What an operator does meanwhile is done with this executable's own commands. Both servers start empty,
//! so that everything in them came through the interlay. Whatever was started ends with the demo.

mod connection;
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

/// What the operator does during the load, each after so many seconds.
const ACTS: &[(u64, &[&str])] = &[
    (2, &["policy", "both-required"]),
    (4, &["policy", "source-authoritative"]),
    (5, &["traffic", "25", "--force"]),
    (7, &["traffic", "0"]),
];

/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(8);

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
    out::say(&stage);
    out::say(format_args!("load      {} connections, seed {seed} (again: INTERLAY_SEED={seed})\n", writers::CLIENTS));

    let writers = Writers::start(stage.listen_port(), seed);
    let lag_max = watch(stage, &writers).await?;
    let stopped = tokio::time::timeout(PATIENCE, writers.stop()).await;
    let tally = stopped.map_err(|_| DemoError::Late { what: "every client has its replies" })?;
    wait_until("every short-lived key has expired on both servers", async || stage.has_no_expiries().await).await?;
    wait_until("every effect is answered and every dirty key is copied", async || Ok(is_settled(&stage.status().await?))).await?;
    let (source, target) = stage.servers();
    let report =
        Report { tally, lag_max, status: stage.status().await?, source: Proof::of(source).await?, target: Proof::of(target).await? };
    out::say(format_args!("\n{report}"));
    Ok(report.proved())
}

/// Whether every effect is answered and no key may differ.
fn is_settled(status: &Status) -> bool {
    status.lag_effects + status.dirty_keys + status.copies_under_way == 0 && !status.sweeping && !status.suspect
}

/// Shows how the load goes, and operates the interlay under it. Gives the highest lag seen, in effects.
async fn watch(stage: &mut Stage, writers: &Writers) -> Result<u64, DemoError> {
    let start = Instant::now();
    let mut lag_max = 0;
    let mut acts = ACTS.iter();
    let mut next_act = acts.next();
    out::say(Line::HEAD);
    let mut line = Line::default();
    let mut glances = tokio::time::interval(GLANCE);
    glances.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first one comes at once, before there is anything to be seen.
    glances.tick().await;
    while start.elapsed() < LOAD {
        glances.tick().await;
        stage.check()?;
        if let Some((_, args)) = next_act.filter(|(second, _)| start.elapsed().as_secs() >= *second) {
            let answer = stage.operate(args).await?;
            line.interrupt(format_args!("$ interlay {}\n{}", args.join(" "), answer.trim_end()));
            next_act = acts.next();
        }
        let status = stage.status().await?;
        lag_max = lag_max.max(status.lag_effects);
        line.show(start.elapsed(), writers.total().requests, &status);
    }
    Ok(lag_max)
}

/// The progress line: in a terminal one that is rewritten, else a new one each second.
#[derive(Default)]
struct Line {
    /// The line above the cursor is one to be rewritten.
    shown: bool,
    /// When the rate was last taken, and the requests up to then.
    before: (Duration, u64),
    /// Requests per second.
    rate: u64,
}

impl Line {
    const HEAD: &str = "   time  requests       /s  mirrored    lag  dirty  policy";

    fn show(&mut self, elapsed: Duration, requests: u64, status: &Status) {
        let since = elapsed - self.before.0;
        let due = since >= LINE;
        if due {
            self.rate = ((requests - self.before.1) as f64 / since.as_secs_f64()) as u64;
            self.before = (elapsed, requests);
        }
        let effects = status.counters.get("effects").copied().unwrap_or_default();
        let elapsed = format!("{:.1} s", elapsed.as_secs_f32());
        let (lag, dirty) = (status.lag_effects, status.dirty_keys);
        let line = format!("{elapsed:>7}{requests:>10}{:>9}{effects:>10}{lag:>7}{dirty:>7}  {}", self.rate, status.policy);
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
