//! `interlay verify`: asks for it, shows how it goes, and says what it has found.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::remote::{Answer, Cause, Outcome, conclude, delete, exchange, in_runtime};
use super::{Exit, Remote};
use crate::out;
use crate::verification::{Counts, DifferingKey, Report, Wanted};

/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(100);

/// Between two lines that say so where no terminal shows it.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Differing keys that are named; the admin port has more.
const SHOWN: usize = 20;

const VERIFY: &str = "/api/v1/verify";

/// `interlay verify`.
pub(crate) fn verify(remote: &Remote, wanted: Wanted, detach: bool) -> Outcome {
    in_runtime(remote, async {
        let begun = exchange(&remote.admin, VERIFY, Some(wanted)).await?;
        if detach || begun.exit() != Exit::Done {
            return conclude(&begun, remote.json, |_: Report| {
                "the verification goes on by itself; GET /api/v1/verify shows how".to_owned()
            });
        }
        tokio::select! {
            ended = wait(remote, begun) => ended,
            _ = tokio::signal::ctrl_c() => {
                let words = "no longer waiting; the verification goes on by itself (`interlay verify --cancel` ends it)";
                Ok(Outcome::new(Exit::No, Err(words.to_owned())))
            }
        }
    })
}

/// `interlay verify --cancel`.
pub(crate) fn cancel(remote: &Remote) -> Outcome {
    in_runtime(remote, async { conclude(&delete(&remote.admin, VERIFY).await?, remote.json, |report: Report| ending(&report)) })
}

/// Waits for the end.
async fn wait(remote: &Remote, begun: Answer) -> Result<Outcome, Cause> {
    let mut answer = begun;
    let mut progress = Progress { on_terminal: stderr().is_terminal(), said: Instant::now() };
    loop {
        if answer.exit() == Exit::No && !remote.json {
            // It was begun, and is not known: the process is another one.
            let words = "the interlay has restarted, and the verification has ended with it: `interlay verify` begins it again";
            return Ok(Outcome::new(Exit::No, Err(words.to_owned())));
        }
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Report| String::new());
        }
        let report: Report = answer.read()?;
        if report.is_over() {
            drop(progress);
            let exit = if report.equal == Some(true) { Exit::Done } else { Exit::No };
            if remote.json {
                return Ok(Outcome::new(exit, Ok(answer.text())));
            }
            if report.state != "done" {
                return Ok(Outcome::new(exit, Err(format!("{}; until then: {}", ending(&report), report.line))));
            }
            let listed = exchange(&remote.admin, &format!("{VERIFY}/differences?limit={SHOWN}"), None::<()>).await?;
            return Ok(Outcome::new(exit, Ok(result(&report, &listed.text()))));
        }
        progress.show(&report, remote.json);
        tokio::time::sleep(LOOK).await;
        answer = exchange(&remote.admin, VERIFY, None::<()>).await?;
    }
}

fn ending(report: &Report) -> String {
    match &report.reason {
        Some(reason) => format!("the verification has failed: {reason}"),
        None => format!("the verification was {}", report.state),
    }
}

/// How it goes: one line on a terminal, and elsewhere a line now and then.
struct Progress {
    on_terminal: bool,
    said: Instant,
}

impl Progress {
    fn show(&mut self, report: &Report, quiet: bool) {
        let line = progress_line(report);
        if self.on_terminal {
            // Behind the line's beginning, over what was there.
            _ = write!(stderr(), "\r\x1b[K{line}");
        } else if !quiet && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            out::complain(line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal {
            _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn progress_line(report: &Report) -> String {
    let mut line = format!("{}: {} keys compared", report.state, report.keys);
    if let Some(expected) = report.keys_expected.filter(|expected| *expected > 0) {
        line += &format!(" of about {expected} ({} %)", (report.keys * 100 / expected).min(100));
    }
    line += &format!(", {} a second, {}", report.keys * 1000 / report.elapsed_ms.max(1), report.line);
    if let Some(reason) = &report.waits_for {
        line += &format!(", waits: {reason}");
    }
    line
}

/// All that was found; the keys that differ first, and the numbers in the last line.
fn result(report: &Report, differing: &str) -> String {
    if report.wanted.quick {
        return quick(report);
    }
    let mut said = String::new();
    let keys: Vec<DifferingKey> = differing.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for key in &keys {
        let detail = if key.detail.is_empty() { String::new() } else { format!(": {}", key.detail) };
        said += &format!("db {} key {} {}{detail}\n", key.db, shown(key), in_words(&key.kind));
    }
    let differing = report.value + report.only_source + report.only_target + report.ttl + report.unknown;
    let more = differing.saturating_sub(keys.len() as u64);
    if more > 0 {
        said += &format!("and {more} more; GET {VERIFY}/differences names up to 10000\n");
    }
    for (count, words) in [
        (report.repaired, "were repaired"),
        (report.expired, "expired meanwhile, which is no difference"),
        (report.dirty, "are dirty, so that they may differ: `interlay repair` waits until they are copied"),
        (report.unknown, "cannot be compared"),
    ] {
        if count > 0 {
            said += &format!("{count} keys {words}\n");
        }
    }
    said + &report.line
}

fn in_words(kind: &str) -> &str {
    match kind {
        "value" => "differs",
        "only_source" => "is only on the source",
        "only_target" => "is only on the target",
        "ttl" => "expires at another time",
        _ => "cannot be compared",
    }
}

/// The servers' own numbers, side by side.
fn quick(report: &Report) -> String {
    let row = |what: &str, source: String, target: String| format!("{what:<18}{source:>16}{target:>16}\n");
    let mut said = row("", "source".to_owned(), "target".to_owned());
    let (source, target) = (report.source.as_ref(), report.target.as_ref());
    let all = || source.into_iter().chain(target);
    let mut dbs: Vec<u32> = all().flat_map(|counts| counts.databases.iter().map(|db| db.db)).collect();
    dbs.sort_unstable();
    dbs.dedup();
    let of = |counts: Option<&Counts>, db: u32| {
        let found = counts.and_then(|counts| counts.databases.iter().find(|counted| counted.db == db));
        found.map_or((0, 0), |counted| (counted.keys, counted.expires))
    };
    for db in dbs {
        let ((keys, expires), (other_keys, other_expires)) = (of(source, db), of(target, db));
        said += &row(&format!("db {db} keys"), keys.to_string(), other_keys.to_string());
        said += &row(&format!("db {db} that expire"), expires.to_string(), other_expires.to_string());
    }
    let memory = |counts: Option<&Counts>| counts.map_or(0, |counts| counts.used_memory).to_string();
    said += &row("used memory, bytes", memory(source), memory(target));
    said +=
        "keys that have expired and are not yet removed count here, and of values it says nothing: without --quick all keys are compared\n";
    said + if report.equal == Some(true) { "the numbers of keys are equal" } else { "the numbers of keys differ" }
}

/// A key in quotes, on one line.
fn shown(key: &DifferingKey) -> String {
    match &key.key {
        Some(key) => format!("{key:?}"),
        None => format!("b\"{}\"", STANDARD.decode(&key.key_base64).unwrap_or_default().escape_ascii()),
    }
}
