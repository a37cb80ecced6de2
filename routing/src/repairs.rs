//! Copies of dirty keys: those under way, those that come first, and those that have failed.
//!
//! No bytes of requests and replies here: see `pair/repair.rs`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use indexmap::IndexMap;

use crate::copy::{Kind, Position};
use crate::pace::Pace;

/// A key and its database.
pub(crate) type KeyAt = (u32, Box<[u8]>);

/// Keys that come first because clients use them. More are copied in their turn.
const URGENT_MAX: usize = 1024;

/// Of so many copies one at most is of a key that comes first, while others wait.
const URGENT_EVERY: u32 = 3;

/// Keys whose copies have failed that are held with the reason. Past that, copying pauses as a whole.
const ERRORS_MAX: usize = 10_000;

/// Wait before a failed copy is tried again: doubled each time, within these bounds. Unit: milliseconds.
const RETRY_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// Attempts after which a key counts as an error key.
const ERROR_AFTER: u32 = 3;

/// Copies in pieces that writes have undone after which a key is copied whole.
const IN_VAIN_MAX: u32 = 3;

/// Keys whose copies in pieces were undone that are remembered. Past that they are tried a few times more.
const UNDONE_MAX: usize = 1024;

/// A piece of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) at: Position,
    /// About how many elements it has, or bytes of a string.
    pub(crate) count: u32,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its size is asked for.
    Size,
    /// Its size is known, and there is no room for it yet.
    Sized,
    /// Its value is asked for as one payload.
    Dump,
    /// What it holds is asked for, because it goes in pieces or the secondary refuses payloads.
    Type,
    /// Its elements are asked for.
    Elements(Kind),
    /// How many elements it has is asked for.
    Length(Kind),
    /// This piece is to be asked for when there is room.
    Next(Piece),
    /// This piece is asked for.
    Piece(Piece),
    /// What is ahead of this piece is on the secondary's lane.
    Added(Piece),
    /// It is on the secondary's lane, or the last piece of it.
    Restore,
}

/// How often a side was connected or lost or has changed its role, and how often dirty keys have lost their names or databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era {
    pub(crate) connections: u64,
    pub(crate) names: u64,
}

/// A copy under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) db: u32,
    pub(crate) key: Box<[u8]>,
    pub(crate) step: Step,
    /// About how many bytes are asked for at once: the value, or a piece of it.
    pub(crate) bytes: u64,
    /// About how many bytes the value takes.
    pub(crate) bytes_in_all: u64,
    /// When the authority was asked last.
    pub(crate) asked_ms: u64,
    /// It goes in pieces.
    pub(crate) in_pieces: bool,
    /// Its elements are put on top of those that the secondary has. The key is not dirty meanwhile: effects go between the pieces.
    pub(crate) merges: bool,
    /// What it was begun in: in another one it counts for nothing.
    pub(crate) era: Era,
}

/// A key whose copy keeps failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorKey {
    /// Its database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// What the server said the last time.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

#[derive(Debug)]
struct Trouble {
    reason: String,
    attempts: u32,
    due_ms: u64,
}

/// All copies of a lane pair.
#[derive(Debug)]
pub(crate) struct Repairs {
    flights: HashMap<u32, Flight>,
    next: u32,
    /// Flights in [`Step::Sized`] and [`Step::Next`].
    pub(crate) sized: VecDeque<u32>,
    pub(crate) urgent: VecDeque<KeyAt>,
    pub(crate) pace: Pace,
    troubles: IndexMap<KeyAt, Trouble>,
    /// When the troubled ones are tried again, and which that are.
    due: BTreeSet<(u64, KeyAt)>,
    paused_until_ms: u64,
    pause_ms: u64,
    /// Why nothing can be copied at all.
    pub(crate) paused_for: Option<String>,
    /// The secondary refuses the authority's payloads.
    pub(crate) by_type: bool,
    /// The authority lets strings be told apart and read in batches.
    pub(crate) allows_batches: bool,
    /// How often a side was connected, was lost, or has changed its role: what a side has of a copy in pieces counts for nothing then.
    pub(crate) connections: u64,
    /// How often writes have undone copies in pieces.
    undone: HashMap<KeyAt, u32>,
}

impl Repairs {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            flights: HashMap::new(),
            next: 0,
            sized: VecDeque::new(),
            urgent: VecDeque::new(),
            pace: Pace::new(bytes_max),
            troubles: IndexMap::new(),
            due: BTreeSet::new(),
            paused_until_ms: 0,
            pause_ms: *RETRY_MS.start(),
            paused_for: None,
            by_type: false,
            allows_batches: true,
            connections: 0,
            undone: HashMap::new(),
        }
    }

    // === Under way ===

    pub(crate) fn begin(&mut self, (db, key): KeyAt, step: Step, now_ms: u64, era: Era) -> u32 {
        self.pace.began();
        self.next = self.next.wrapping_add(1);
        let flight = Flight { db, key, step, bytes: 0, bytes_in_all: 0, asked_ms: now_ms, in_pieces: false, merges: false, era };
        self.flights.insert(self.next, flight);
        self.next
    }

    pub(crate) fn get(&mut self, flight: u32) -> Option<&mut Flight> {
        self.flights.get_mut(&flight)
    }

    pub(crate) fn end(&mut self, flight: u32) -> Option<Flight> {
        let ended = self.flights.remove(&flight)?;
        self.pace.ended(if matches!(ended.step, Step::Sized | Step::Next(_)) { 0 } else { ended.bytes });
        Some(ended)
    }

    /// The next piece of a copy is to be asked for when there is room.
    pub(crate) fn go_on(&mut self, flight: u32, piece: Piece) {
        if let Some(copy) = self.flights.get_mut(&flight) {
            copy.step = Step::Next(piece);
            self.pace.answered_in_part(copy.bytes);
            self.sized.push_back(flight);
        }
    }

    /// Whether the key is to be copied whole, because its copies in pieces keep being undone.
    pub(crate) fn goes_whole(&self, flight: u32) -> bool {
        let place = self.flights.get(&flight).map(|copy| (copy.db, copy.key.clone()));
        place.and_then(|place| self.undone.get(&place)).is_some_and(|times| *times >= IN_VAIN_MAX)
    }

    /// A write has undone a copy in pieces; or, if it `never` can be made, why ask.
    pub(crate) fn undone(&mut self, place: KeyAt, never: bool) {
        if self.undone.len() >= UNDONE_MAX {
            self.undone.clear();
        }
        *self.undone.entry(place).or_default() += if never { IN_VAIN_MAX } else { 1 };
    }

    /// Whether a key keeps failing.
    pub(crate) fn is_error(&self, place: &KeyAt) -> bool {
        self.troubles.get(place).is_some_and(|trouble| trouble.attempts >= ERROR_AFTER)
    }

    /// Copies under way.
    pub(crate) fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// Whether the next copy is to be of a key that comes first.
    pub(crate) fn takes_urgent(&self) -> bool {
        self.next.is_multiple_of(URGENT_EVERY)
    }

    /// A client uses a dirty key: it comes first.
    pub(crate) fn hurry(&mut self, db: u32, key: &[u8]) {
        if self.urgent.len() < URGENT_MAX {
            self.urgent.push_back((db, key.into()));
        }
    }

    // === Failed ===

    /// A key's copy has failed; false if it cannot be noted, and copying pauses instead.
    pub(crate) fn failed(&mut self, place: KeyAt, reason: &str, now_ms: u64) -> bool {
        if self.troubles.len() >= ERRORS_MAX && !self.troubles.contains_key(&place) {
            self.pause(&format!("more than {ERRORS_MAX} keys cannot be copied, the last one because: {reason}"), now_ms);
            return false;
        }
        let trouble = self.troubles.entry(place.clone()).or_insert_with(|| Trouble { reason: String::new(), attempts: 0, due_ms: 0 });
        self.due.remove(&(trouble.due_ms, place.clone()));
        let wait_ms = (RETRY_MS.start() << trouble.attempts.min(10)).min(*RETRY_MS.end());
        *trouble = Trouble { reason: reason.to_owned(), attempts: trouble.attempts + 1, due_ms: now_ms + wait_ms };
        self.due.insert((trouble.due_ms, place));
        true
    }

    /// A key's copy has been confirmed, or the key is clean for another reason.
    pub(crate) fn recovered(&mut self, place: &KeyAt) {
        self.undone.remove(place);
        if !self.troubles.is_empty()
            && let Some(trouble) = self.troubles.swap_remove(place)
        {
            self.due.remove(&(trouble.due_ms, place.clone()));
        }
    }

    /// The next one that failed and is to be tried again by now.
    pub(crate) fn next_due(&mut self, now_ms: u64) -> Option<KeyAt> {
        if self.due.first()?.0 > now_ms {
            return None;
        }
        self.due.pop_first().map(|(_, place)| place)
    }

    /// Tries all that failed again, at once.
    pub(crate) fn retry_all(&mut self) {
        self.due = self.troubles.keys().map(|place| (0, place.clone())).collect();
        self.troubles.values_mut().for_each(|trouble| {
            trouble.due_ms = 0;
            // No error keys until they have failed anew.
            trouble.attempts = 0;
        });
        self.paused_until_ms = 0;
    }

    /// Tries one that failed again, at once; false if it has not.
    pub(crate) fn retry(&mut self, place: &KeyAt) -> bool {
        let Some(trouble) = self.troubles.get_mut(place) else { return false };
        self.due.remove(&(trouble.due_ms, place.clone()));
        (trouble.due_ms, trouble.attempts) = (0, 0);
        self.due.insert((0, place.clone()));
        true
    }

    /// The keys that keep failing.
    pub(crate) fn errors(&self) -> impl Iterator<Item = ErrorKey> {
        let erring = self.troubles.iter().filter(|(_, trouble)| trouble.attempts >= ERROR_AFTER);
        erring.map(|((db, key), Trouble { reason, attempts, .. })| ErrorKey {
            db: *db,
            key: key.clone(),
            reason: reason.clone(),
            attempts: *attempts,
        })
    }

    // === As a whole ===

    /// The secondary takes no copies now, whatever the key.
    pub(crate) fn pause(&mut self, reason: &str, now_ms: u64) {
        if now_ms < self.paused_until_ms {
            return; // of those under way when it began
        }
        self.paused_until_ms = now_ms + self.pause_ms;
        self.pause_ms = (self.pause_ms * 2).min(*RETRY_MS.end() / 10);
        self.paused_for = Some(reason.to_owned());
    }

    pub(crate) fn is_paused(&self, now_ms: u64) -> bool {
        now_ms < self.paused_until_ms
    }

    /// A copy has succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.pause_ms = *RETRY_MS.start();
        self.paused_for = None;
    }
}
