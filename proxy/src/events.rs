//! What has happened, in order: each step of the move, and who asked for what.
//!
//! In: short texts, from the data plane and from the admin port. Out: the last ones to whoever asks, and all of them as JSON
//! Lines in the state directory. The file is only ever added to; one that cannot be written costs a line in the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::kept::unix_ms;

/// The file in the state directory.
const FILE: &str = "events.jsonl";

/// Events held in memory. Older ones are in the file alone.
const HELD_MAX: usize = 1000;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The process has begun or ended.
    Process,
    /// The move has come to another phase.
    Phase,
    /// The authority has changed, or has not.
    Gate,
    /// Reads go elsewhere.
    Traffic,
    /// A server has come or gone.
    Server,
    /// Somebody has asked for something, and this is what came of it.
    Asked,
    /// A step of the guided workflow.
    Workflow,
}

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its number: one more than the last one's, across processes with one state directory.
    pub(crate) seq: u64,
    /// When it was, in ms since 1970.
    pub(crate) at_unix_ms: u64,
    /// What it is about.
    pub(crate) kind: Kind,
    /// Who asked, as far as that is known; absent for what has happened by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<String>,
    /// What has happened, in words for a person.
    pub(crate) text: String,
}

/// All events, shared by the threads.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    next: u64,
    held: VecDeque<Event>,
    file: Option<(PathBuf, File)>,
}

impl Events {
    /// Goes on with the events in the state directory at `dir`. A last line that was cut short is left behind.
    ///
    /// # Errors
    ///
    /// The file cannot be read or opened.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let mut file = File::options().read(true).append(true).create(true).open(&path)?;
        let mut log = Log::default();
        let mut ends_well = true;
        for line in BufReader::new(&file).split(b'\n') {
            let Ok(event) = serde_json::from_slice::<Event>(&line?) else {
                ends_well = false;
                continue;
            };
            ends_well = true;
            log.next = event.seq + 1;
            log.hold(event);
        }
        if !ends_well {
            file.write_all(b"\n")?;
        }
        log.file = Some((path, file));
        Ok(Self(Mutex::new(log)))
    }

    /// Notes what has happened by itself.
    pub(crate) fn note(&self, kind: Kind, text: impl Into<String>) {
        self.note_of(kind, None, text);
    }

    /// Notes what `who` has brought about.
    pub(crate) fn note_of(&self, kind: Kind, who: Option<String>, text: impl Into<String>) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { seq: log.next, at_unix_ms: unix_ms(), kind, who, text: text.into() };
        log.next += 1;
        if let Some((path, file)) = &mut log.file
            && let Err(error) = serde_json::to_string(&event).map_err(io::Error::other).and_then(|line| writeln!(file, "{line}"))
        {
            tracing::error!(path = %path.display(), %error, event = event.text, "an event could not be written");
        }
        log.hold(event);
    }

    /// Those that are held, from number `since` on, oldest first.
    pub(crate) fn since(&self, since: u64) -> Vec<Event> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.held.iter().filter(|event| event.seq >= since).cloned().collect()
    }
}

impl Log {
    fn hold(&mut self, event: Event) {
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_in_the_next_process_also_behind_a_line_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path()).unwrap();
        events.note(Kind::Process, "one");
        events.note_of(Kind::Asked, Some("somebody".into()), "two");
        drop(events);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"seq\":2,\"at"].concat()).unwrap();

        let events = Events::open(dir.path()).unwrap();
        events.note(Kind::Phase, "three");
        let texts = |events: &Events| events.since(0).into_iter().map(|event| (event.seq, event.text)).collect::<Vec<_>>();
        let all = [(0, "one".to_owned()), (1, "two".to_owned()), (2, "three".to_owned())];
        assert_eq!(texts(&events), all);
        assert_eq!(texts(&Events::open(dir.path()).unwrap()), all);
        assert_eq!(events.since(1)[0].who.as_deref(), Some("somebody"));
    }

    #[test]
    fn memory_is_bounded() {
        let events = Events::default();
        (0..HELD_MAX + 5).for_each(|n| events.note(Kind::Server, n.to_string()));
        let held = events.since(0);
        assert_eq!((held.len(), held[0].seq), (HELD_MAX, 5));
    }
}
