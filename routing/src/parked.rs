//! Clients that wait for a key to have something to take, in the order in which they came.
//!
//! In: waiters, keys that were written, answers to tries. Out: whose turn it is. Invariant: of the waiters for a key
//! only the first is tried, so that whoever came first is served first; a waiter has at most one try under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::time::Instant;

use crate::effect::Effect;
use crate::lane::{Session, Ticket};

/// Names a waiter; a later one has a higher number.
pub(crate) type Arrival = u64;

/// A client's command that is to wait.
#[derive(Debug)]
pub(crate) struct NewWaiter {
    pub(crate) ticket: Ticket,
    pub(crate) session: Session,
    /// The command between MULTI and EXEC, so that it takes what there is and does not wait.
    pub(crate) request: Vec<u8>,
    pub(crate) effect: Effect,
    pub(crate) until: Option<Instant>,
    /// It reads a stream as one of a group.
    pub(crate) of_stream: bool,
    /// What it takes goes to another key.
    pub(crate) moves: bool,
    /// The server will take its time limit; if not, that has the words for it.
    pub(crate) is_valid: bool,
}

/// A client's command that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) asked: NewWaiter,
    /// Without a try so far it is not known to be a command that can be served at all.
    pub(crate) is_new: bool,
    keys: Vec<Box<[u8]>>,
    trying: bool,
    /// Its last try was refused for what one of its keys holds: what the others hold it has not taken.
    refused: bool,
    /// One of its keys was written since the try began.
    again: bool,
    /// There may be more than it takes: when it is served, the next one is to be tried.
    follows: bool,
    /// What it gets instead of a further try.
    over: Option<Over>,
}

impl Deref for Waiter {
    type Target = NewWaiter;

    fn deref(&self) -> &NewWaiter {
        &self.asked
    }
}

/// Why a waiter waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Its time is up.
    Timeout,
    /// Another client said so, as if its time were up.
    Unblocked,
    /// Another client said so, as an error.
    UnblockedWithError,
    /// It is gone.
    Left,
}

/// All clients that wait.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    waiters: BTreeMap<Arrival, Waiter>,
    /// By database and key.
    by_key: HashMap<u32, HashMap<Box<[u8]>, BTreeSet<Arrival>>>,
    by_client: HashMap<u32, Arrival>,
    deadlines: BTreeSet<(Instant, Arrival)>,
    arrivals: Arrival,
    /// Waiters to be tried as soon as the lane takes requests.
    due: BTreeSet<Arrival>,
    /// Up to which waiter the slow poll has come, and who was there the time before.
    polled: Arrival,
    old: Arrival,
}

impl Parked {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Waiters that are known to have to wait.
    pub(crate) fn settled(&self) -> usize {
        self.waiters.values().filter(|waiter| !(waiter.is_new && waiter.trying)).count()
    }

    /// Whether this client waits, and is known to have to.
    pub(crate) fn is_settled(&self, client: u32) -> bool {
        self.by_client.get(&client).and_then(|arrival| self.waiters.get(arrival)).is_some_and(|waiter| !(waiter.is_new && waiter.trying))
    }

    /// Whether this client has a try under way.
    pub(crate) fn is_trying(&self, client: u32) -> bool {
        self.by_client.get(&client).and_then(|arrival| self.waiters.get(arrival)).is_some_and(|waiter| waiter.trying)
    }

    /// Takes a new waiter. Its first try is due, unless others wait for all of its keys: it must not overtake them, and they
    /// have found nothing. Those who were refused have not looked.
    pub(crate) fn enter(&mut self, asked: NewWaiter, keys: Vec<Box<[u8]>>) -> Arrival {
        let (ticket, session, until) = (asked.ticket, asked.session, asked.until);
        self.arrivals += 1;
        let arrival = self.arrivals;
        // Each group of a stream takes for itself.
        let has_looked = |arrival: &Arrival| self.waiters.get(arrival).is_some_and(|waiter| !waiter.refused);
        let is_free = |key: &[u8]| !self.of_key(session.db, key).any(|arrival| has_looked(&arrival));
        let is_first = keys.is_empty() || asked.of_stream || !asked.is_valid || keys.iter().any(|key| is_free(key));
        for key in &keys {
            self.by_key.entry(session.db).or_default().entry(key.clone()).or_default().insert(arrival);
        }
        self.by_client.insert(ticket.client, arrival);
        self.deadlines.extend(until.map(|until| (until, arrival)));
        let waiter = Waiter { asked, is_new: true, keys, trying: false, refused: false, again: false, follows: true, over: None };
        self.waiters.insert(arrival, waiter);
        if is_first {
            self.due.insert(arrival);
        }
        arrival
    }

    /// Those who wait for a key, in the order in which they came.
    fn of_key(&self, db: u32, key: &[u8]) -> impl Iterator<Item = Arrival> {
        self.by_key.get(&db).and_then(|keys| keys.get(key)).into_iter().flatten().copied()
    }

    /// The first of them.
    fn first(&self, db: u32, key: &[u8]) -> Option<Arrival> {
        self.of_key(db, key).next()
    }

    /// A key was written: the first who waits for it is to be tried.
    pub(crate) fn touch(&mut self, db: u32, key: &[u8]) {
        if let Some(arrival) = self.first(db, key) {
            self.wake(arrival);
        }
    }

    /// A key is about to be written with `count` things to take, or at most so many, if that is `exact`: the first who wait
    /// for it are to be tried behind the write. Whoever has a try under way already is tried again, and nobody overtakes it.
    pub(crate) fn foresee(&mut self, db: u32, key: &[u8], count: usize, exact: bool) {
        let Some(arrivals) = self.by_key.get(&db).and_then(|keys| keys.get(key)) else { return };
        let first: Vec<Arrival> = arrivals.iter().take(count).copied().collect();
        for arrival in first {
            let follows = self.waiters.get(&arrival).is_some_and(|waiter| waiter.follows);
            self.wake(arrival);
            match self.waiters.get_mut(&arrival) {
                Some(waiter) if waiter.trying => return,
                Some(waiter) => waiter.follows = follows || !exact,
                None => {}
            }
        }
    }

    /// A waiter cannot take what its keys hold: those who are next for them are to be tried.
    pub(crate) fn pass_on(&mut self, arrival: Arrival) {
        let Some(waiter) = self.waiters.get_mut(&arrival) else { return };
        waiter.refused = true;
        let Some(by_key) = self.by_key.get(&waiter.session.db) else { return };
        let behind = |key| by_key.get(key)?.range(arrival + 1..).next().copied();
        let next: Vec<Arrival> = waiter.keys.iter().filter_map(behind).collect();
        next.into_iter().for_each(|arrival| self.wake(arrival));
    }

    /// Any key may have been written.
    pub(crate) fn touch_everything(&mut self) {
        let first: Vec<Arrival> = self.by_key.values().flat_map(HashMap::values).filter_map(|arrivals| arrivals.first().copied()).collect();
        first.into_iter().for_each(|arrival| self.wake(arrival));
    }

    /// Up to `most` of those who are first for a key, and were there the last time, are to be tried, each in its turn.
    pub(crate) fn poll(&mut self, most: usize) {
        let old = std::mem::replace(&mut self.old, self.arrivals);
        let is_first = |arrival: Arrival, waiter: &Waiter| {
            let db = waiter.session.db;
            waiter.keys.iter().any(|key| self.first(db, key) == Some(arrival))
        };
        let from = self.waiters.range(self.polled + 1..).take_while(|(arrival, _)| **arrival <= old);
        let turn: Vec<Arrival> =
            from.filter(|(arrival, waiter)| is_first(**arrival, waiter)).map(|(arrival, _)| *arrival).take(most).collect();
        self.polled = if turn.len() == most { turn.last().copied().unwrap_or_default() } else { 0 };
        turn.into_iter().for_each(|arrival| self.wake(arrival));
    }

    fn wake(&mut self, arrival: Arrival) {
        let Some(waiter) = self.waiters.get_mut(&arrival) else { return };
        waiter.follows = true;
        if waiter.trying {
            waiter.again = true;
        } else {
            self.due.insert(arrival);
        }
    }

    /// The next waiter to be tried, whose try begins now.
    pub(crate) fn next_due(&mut self) -> Option<Arrival> {
        let arrival = self.due.pop_first()?;
        if let Some(waiter) = self.waiters.get_mut(&arrival) {
            waiter.trying = true;
            waiter.refused = false;
            waiter.again = false;
        }
        Some(arrival)
    }

    /// Whether a try is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A try was not made after all: it is due again, or the waiter is over and handed out.
    pub(crate) fn not_tried(&mut self, arrival: Arrival) -> Option<(Waiter, Over)> {
        let waiter = self.waiters.get_mut(&arrival)?;
        waiter.trying = false;
        waiter.again = true;
        match waiter.over {
            Some(over) => self.leave(arrival).map(|waiter| (waiter, over)),
            None => {
                self.due.insert(arrival);
                None
            }
        }
    }

    pub(crate) fn get(&self, arrival: Arrival) -> Option<&Waiter> {
        self.waiters.get(&arrival)
    }

    /// A try has found nothing: the waiter waits on, or is over and handed out.
    pub(crate) fn found_nothing(&mut self, arrival: Arrival) -> Option<(Waiter, Over)> {
        let waiter = self.waiters.get_mut(&arrival)?;
        waiter.trying = false;
        waiter.is_new = false;
        waiter.follows = waiter.again;
        match waiter.over {
            Some(over) => self.leave(arrival).map(|waiter| (waiter, over)),
            None => {
                if waiter.again {
                    self.due.insert(arrival);
                }
                None
            }
        }
    }

    /// The waiter is served, or cannot be: takes it out.
    pub(crate) fn leave(&mut self, arrival: Arrival) -> Option<Waiter> {
        let waiter = self.waiters.remove(&arrival)?;
        let was_due = self.due.remove(&arrival);
        for key in &waiter.keys {
            if let Some(keys) = self.by_key.get_mut(&waiter.session.db)
                && let Some(arrivals) = keys.get_mut(key)
            {
                arrivals.remove(&arrival);
                if arrivals.is_empty() {
                    keys.remove(key);
                }
            }
            // What it was to be tried for is now the next one's turn.
            // It may have taken from another of its keys; and who has come behind it was never tried.
            let next = self.first(waiter.session.db, key).and_then(|next| self.waiters.get(&next));
            let is_untried = next.is_some_and(|next| next.is_new && !next.trying);
            if waiter.again || was_due || waiter.follows || is_untried || waiter.keys.len() > 1 {
                self.touch(waiter.session.db, key);
            }
        }
        if self.by_client.get(&waiter.ticket.client) == Some(&arrival) {
            self.by_client.remove(&waiter.ticket.client);
        }
        if let Some(until) = waiter.until {
            self.deadlines.remove(&(until, arrival));
        }
        Some(waiter)
    }

    /// Ends a client's waiting: at once, handing the waiter out, or when its try has found nothing. None of both if it
    /// does not wait.
    pub(crate) fn end(&mut self, client: u32, over: Over) -> (bool, Option<Waiter>) {
        let Some(arrival) = self.by_client.get(&client).copied() else { return (false, None) };
        if over == Over::Left {
            // The place may have another client while the try is under way.
            self.by_client.remove(&client);
        }
        (true, self.end_arrival(arrival, over))
    }

    fn end_arrival(&mut self, arrival: Arrival, over: Over) -> Option<Waiter> {
        match self.waiters.get_mut(&arrival) {
            Some(waiter) if waiter.trying || (waiter.is_new && self.due.contains(&arrival) && over != Over::Left) => {
                waiter.over.get_or_insert(over);
                None
            }
            _ => self.leave(arrival),
        }
    }

    /// Waiters that are over and would be tried once more, for which there is no lane; one at a time.
    pub(crate) fn cannot_try(&mut self) -> Option<(Waiter, Over)> {
        let mut untried = self.waiters.iter().filter(|(_, waiter)| !waiter.trying);
        let (arrival, over) = untried.find_map(|(arrival, waiter)| Some((*arrival, waiter.over?)))?;
        self.leave(arrival).map(|waiter| (waiter, over))
    }

    /// Waiters whose time is up, one at a time.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Waiter> {
        while let Some((until, arrival)) = self.deadlines.first().copied().filter(|(until, _)| *until <= now) {
            self.deadlines.remove(&(until, arrival));
            if let Some(waiter) = self.end_arrival(arrival, Over::Timeout) {
                return Some(waiter);
            }
        }
        None
    }
}
