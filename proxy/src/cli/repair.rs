//! `interlay repair`: asks for it, shows how it goes, and waits for its end.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use interlay_routing::Side;

use super::remote::{Answer, Cause, Outcome, conclude, exchange, in_runtime};
use super::{Exit, Remote};
use crate::admin::api::{Errors, KeyError, Repair};
use crate::status::Status;

/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(100);

/// What stands in the way for so long is not waited out.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Error keys that are named when keys are left; `interlay errors` has all.
const ERRORS_SHOWN: usize = 5;

const STATUS: &str = "/api/v1/status";

/// `interlay repair`.
pub(crate) fn repair(remote: &Remote, all: bool, detach: bool) -> Outcome {
    in_runtime(remote, async {
        let begun = exchange(&remote.admin, "/api/v1/repair", Some(Repair { all })).await?;
        if detach || begun.exit() != Exit::Done {
            return conclude(&begun, remote.json, |_: Status| "the repair goes on by itself; `interlay status` shows how".to_owned());
        }
        tokio::select! {
            ended = wait(remote, begun) => ended,
            _ = tokio::signal::ctrl_c() => {
                let words = "no longer waiting; the repair goes on by itself (`interlay status` shows how)";
                Ok(Outcome::new(Exit::No, Err(words.to_owned())))
            }
        }
    })
}

/// Waits until no key is dirty, or nothing more can be done about those that are.
async fn wait(remote: &Remote, begun: Answer) -> Result<Outcome, Cause> {
    let mut answer = begun;
    let mut watch = Watch::default();
    let progress = Progress { shown: stderr().is_terminal() };
    loop {
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Status| String::new());
        }
        let status: Status = answer.read()?;
        progress.show(&status);
        if let Some(verdict) = watch.judge(&status, Instant::now()) {
            let exit = if verdict.is_ok() { Exit::Done } else { Exit::No };
            let said = match verdict {
                _ if remote.json => Ok(answer.text()),
                Err(why) if status.error_keys > 0 => Err(format!("{why}{}", named_errors(remote).await?)),
                verdict => verdict,
            };
            return Ok(Outcome::new(exit, said));
        }
        tokio::time::sleep(LOOK).await;
        answer = exchange(&remote.admin, STATUS, None::<()>).await?;
    }
}

/// The first error keys, one a line.
async fn named_errors(remote: &Remote) -> Result<String, Cause> {
    let errors: Errors = exchange(&remote.admin, &format!("/api/v1/errors?limit={ERRORS_SHOWN}"), None::<()>).await?.read()?;
    Ok(errors.errors.iter().map(|error| format!("\n  db {} key {}: {}", error.db, shown(error), error.reason)).collect())
}

/// What was seen while waiting.
#[derive(Default)]
struct Watch {
    /// Keys that had been copied at the first look.
    copied_before: Option<u64>,
    /// Since when something stands in the way.
    obstacle_since: Option<Instant>,
}

impl Watch {
    /// Whether there is nothing more to wait for: everything is copied, or what is not and why.
    fn judge(&mut self, status: &Status, now: Instant) -> Option<Result<String, String>> {
        let copied_before = *self.copied_before.get_or_insert(status.repairs);
        if status.dirty_keys == 0 && !status.sweeping {
            return Some(if status.suspect {
                let why = "a server has restarted, or a change by force or the end of a backfill has left keys uncopied";
                Err(format!("no key is dirty, but any key may differ, because {why}: `interlay repair --all` copies all"))
            } else {
                Ok(format!("no key is dirty; {} were copied", status.repairs.saturating_sub(copied_before)))
            });
        }
        if !status.sweeping && status.dirty_keys == status.error_keys {
            return Some(Err(format!("{} keys cannot be copied, and are tried again now and then:", status.error_keys)));
        }
        let Some(obstacle) = obstacle(status) else {
            self.obstacle_since = None;
            return None;
        };
        let since = *self.obstacle_since.get_or_insert(now);
        let long = now.duration_since(since) >= GIVE_UP_AFTER;
        long.then(|| Err(format!("{} keys are dirty, and the repair waits: {obstacle}; it goes on when it can", status.dirty_keys)))
    }
}

/// Why nothing can be copied now.
fn obstacle(status: &Status) -> Option<String> {
    let down = Side::BOTH.into_iter().find(|side| !status.side(*side).is_some_and(|lane| lane.connected));
    down.map(|side| format!("the {side} is not connected")).or_else(|| status.repair_paused_for.clone())
}

/// One line on a terminal that tells how it goes.
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&self, status: &Status) {
        if self.shown {
            let scanned = if status.sweeping { ", both sides are scanned" } else { "" };
            // Behind the line's beginning, over what was there.
            _ = write!(stderr(), "\r\x1b[K{} dirty keys left, {} copied{scanned}", status.dirty_keys, status.repairs);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// Error keys, one a line.
pub(super) fn json_lines(errors: &Errors) -> String {
    let lines: Vec<_> = errors.errors.iter().filter_map(|error| serde_json::to_string(error).ok()).collect();
    lines.join("\n")
}

/// Error keys, for a person.
pub(super) fn table(errors: &Errors) -> String {
    if errors.error_keys == 0 {
        return "no key keeps failing; `interlay status` says whether copying waits as a whole".to_owned();
    }
    let row = |db: &dyn ToString, attempts: &dyn ToString, key: &str, reason: &str| {
        format!("{:<5}{:<10}{key:<32} {reason}\n", db.to_string(), attempts.to_string())
    };
    let mut table = row(&"db", &"attempts", "key", "reason");
    table.extend(errors.errors.iter().map(|error| row(&error.db, &error.attempts, &shown(error), &error.reason)));
    let more = errors.error_keys.saturating_sub(errors.errors.len() as u64);
    if more > 0 {
        table += &format!("and {more} more\n");
    }
    table.trim_end().to_owned()
}

/// A key in quotes, on one line.
fn shown(error: &KeyError) -> String {
    match &error.key {
        Some(key) => format!("{key:?}"),
        None => format!("b\"{}\"", STANDARD.decode(&error.key_base64).unwrap_or_default().escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::mirroring;

    /// Two connected sides and so many keys.
    fn status(dirty_keys: u64, error_keys: u64) -> Status {
        let mut status = Status { dirty_keys, error_keys, ..mirroring() };
        status.target.iter_mut().for_each(|target| target.connected = true);
        status
    }

    #[test]
    fn it_ends_when_all_is_copied_or_nothing_more_can_be_done() {
        let judge = |status: &Status| Watch::default().judge(status, Instant::now());
        assert_eq!(judge(&status(0, 0)), Some(Ok("no key is dirty; 0 were copied".to_owned())));
        assert_eq!(judge(&status(3, 2)), None);
        assert_eq!(judge(&Status { sweeping: true, ..status(0, 0) }), None);
        assert_eq!(judge(&Status { sweeping: true, ..status(2, 2) }), None);
        let left = judge(&status(2, 2)).unwrap().unwrap_err();
        assert!(left.starts_with("2 keys cannot be copied"), "{left}");
        let suspect = judge(&Status { suspect: true, ..status(0, 0) }).unwrap().unwrap_err();
        assert!(suspect.contains("--all"), "{suspect}");
    }

    #[test]
    fn what_stands_in_the_way_is_waited_out_for_a_while() {
        let paused = Status { repair_paused_for: Some("OOM".to_owned()), ..status(3, 0) };
        let (mut watch, start) = (Watch::default(), Instant::now());
        assert_eq!(watch.judge(&paused, start), None);
        assert_eq!(watch.judge(&status(3, 0), start + GIVE_UP_AFTER), None);
        assert_eq!(watch.judge(&paused, start + GIVE_UP_AFTER), None);
        let why = watch.judge(&paused, start + 2 * GIVE_UP_AFTER).unwrap().unwrap_err();
        assert!(why.starts_with("3 keys are dirty") && why.contains("OOM"), "{why}");
        assert_eq!(obstacle(&mirroring()).as_deref(), Some("the target is not connected"));
    }

    #[test]
    fn keys_of_any_bytes_have_a_line_each() {
        let error = |key: Option<&str>, bytes: &[u8]| KeyError {
            db: 1,
            key: key.map(str::to_owned),
            key_base64: STANDARD.encode(bytes),
            reason: "ERR no".to_owned(),
            attempts: 3,
        };
        let errors = Errors { error_keys: 5, errors: vec![error(Some("a\nb"), b"a\nb"), error(None, b"\xff\"")] };
        let table = table(&errors);
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains(r#""a\nb""#) && table.contains(r#"b"\xff\"""#) && table.ends_with("and 3 more"), "{table}");
        assert_eq!(json_lines(&errors).lines().count(), 2);
    }
}
