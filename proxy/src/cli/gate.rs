//! `interlay cutover`, `rollback`, `complete` and `events`.

use std::time::Duration;

use interlay_routing::Side;

use super::remote::{Outcome, conclude, exchange, in_runtime};
use super::{Exit, Remote};
use crate::admin::gate::{Change, Changed, Condition, Conditions, Happened};
use crate::events::{Event, Kind};
use crate::out;

/// Between two looks at what has happened.
const LOOK: Duration = Duration::from_millis(200);

/// A change of the authority that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The target gets in charge.
    CutOver,
    /// The source gets in charge again.
    RollBack,
    /// The source is let go.
    Complete,
}

impl Gate {
    fn path(self) -> &'static str {
        match self {
            Self::CutOver => "/api/v1/cutover",
            Self::RollBack => "/api/v1/rollback",
            Self::Complete => "/api/v1/complete",
        }
    }
}

/// Changes the authority; or, with `look`, says what stands in the way of that.
pub(crate) fn change(remote: &Remote, gate: Gate, force: bool, look: bool) -> Outcome {
    in_runtime(remote, async {
        if look {
            let answer = exchange(&remote.admin, "/api/v1/gate", None::<()>).await?;
            let conditions: Conditions = answer.read()?;
            let exit = if conditions.open { Exit::Done } else { Exit::No };
            return Ok(Outcome::new(exit, Ok(if remote.json { answer.text() } else { list(&conditions) })));
        }
        conclude(&exchange(&remote.admin, gate.path(), Some(Change { force })).await?, remote.json, in_words)
    })
}

/// `interlay events`.
pub(crate) fn events(remote: &Remote, since: Option<u64>, follow: bool) -> Outcome {
    in_runtime(remote, async {
        let path = |since: Option<u64>| since.map_or_else(|| "/api/v1/events".to_owned(), |since| format!("/api/v1/events?since={since}"));
        let mut next = since;
        loop {
            let answer = exchange(&remote.admin, &path(next), None::<()>).await?;
            let happened: Happened = answer.read()?;
            let lines = happened.events.iter().map(|event| if remote.json { json(event) } else { line(event) });
            let text = lines.collect::<Vec<_>>().join("\n");
            if !follow {
                return Ok(Outcome::new(Exit::Done, Ok(text)));
            }
            if !text.is_empty() {
                out::say(text);
            }
            next = Some(happened.next);
            tokio::time::sleep(LOOK).await;
        }
    })
}

fn in_words(changed: Changed) -> String {
    let Changed { phase, authority, pause_us, overridden } = changed;
    let forced: String = overridden.iter().map(|what| format!("\n  forced: {what}")).collect();
    let waited = if pause_us > 0 { format!("; requests waited for {}.{:03} ms", pause_us / 1000, pause_us % 1000) } else { String::new() };
    let way_back = match (phase.name(), authority) {
        ("completed", _) => "the target is alone; repoint the applications to it",
        (_, Side::Target) => "the source is kept in step; `interlay rollback` goes back, `interlay complete` ends it",
        (_, Side::Source) => "the target is kept in step",
    };
    format!("the {authority} is in charge{waited}\nphase {phase}: {way_back}{forced}")
}

fn list(conditions: &Conditions) -> String {
    let row = |condition: &Condition| match &condition.why {
        None => format!("ok  {}", condition.name),
        Some(why) => {
            let force = if condition.yields_to_force { " (--force overrides it)" } else { "" };
            format!("NO  {}: {why}{force}", condition.name)
        }
    };
    let rows: Vec<_> = conditions.conditions.iter().map(row).collect();
    let end = if conditions.open { "the gate is open" } else { "the gate is closed" };
    format!("phase {}\n{}\n{end}", conditions.phase, rows.join("\n"))
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

fn line(event: &Event) -> String {
    let who = event.who.as_ref().map_or_else(String::new, |who| format!(" [{who}]"));
    let kind = match event.kind {
        Kind::Process => "process",
        Kind::Phase => "phase",
        Kind::Gate => "gate",
        Kind::Traffic => "traffic",
        Kind::Server => "server",
        Kind::Asked => "asked",
        Kind::Workflow => "workflow",
    };
    format!("{:<6}{} {kind:<9}{who} {}", event.seq, clock(event.at_unix_ms), event.text)
}

/// A moment as `hh:mm:ss.mmm` of its day in UTC.
fn clock(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000 % 86_400, unix_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use interlay_routing::Phase;

    use super::*;

    #[test]
    fn a_change_is_told_with_its_pause_and_the_way_on() {
        let changed =
            Changed { phase: Phase::Cutover, authority: Side::Target, pause_us: 2345, overridden: vec!["synced: never copied".into()] };
        let said = in_words(changed);
        for part in ["the target is in charge", "2.345 ms", "phase cutover", "interlay rollback", "forced: synced: never copied"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn an_event_has_one_line() {
        let event = Event { seq: 7, at_unix_ms: 3_723_004, kind: Kind::Phase, who: Some("me".into()), text: "a -> b".into() };
        assert_eq!(line(&event), "7     01:02:03.004 phase     [me] a -> b");
    }
}
