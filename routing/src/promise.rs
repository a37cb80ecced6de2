//! Replies that `both-required` owes for writes that reach the secondary as copies of their keys.
//!
//! A promise waits for every dirty key that its write has left. It is kept when copies of all of them are confirmed; or what
//! does as well, a flush behind the write.

use std::collections::HashMap;

use crate::effect::{Effect, Extent};
use crate::lane::{Held, Ticket};
use crate::repairs::KeyAt;
use crate::side::Side;

#[derive(Debug)]
struct Promise {
    ticket: Ticket,
    reply: Held,
    waits_for: usize,
}

/// What is on the secondary's lane and keeps promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bearer {
    /// A key's copy, by its flight.
    Copy(u32),
    /// An effect, by its number.
    Effect(u64),
}

/// All promises of a lane pair.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    made: HashMap<u64, Promise>,
    next: u64,
    /// Those whose keys are dirty.
    by_key: HashMap<KeyAt, Vec<u64>>,
    /// Those whose keys will be the same on both sides behind what is on the secondary's lane.
    by_bearer: HashMap<Bearer, Vec<u64>>,
    /// Who is to confirm what.
    by: Option<Side>,
    /// Those that cannot be kept.
    doomed: Vec<u64>,
    /// A sweep has ended: keys that lost their names, and that neither side has, are clean without a copy.
    pub(crate) swept: bool,
}

impl Promises {
    /// Promises `reply` for when the secondary has confirmed copies of all of `keys`, and the effect of that number; there is
    /// one of these at least.
    pub(crate) fn make(&mut self, secondary: Side, ticket: Ticket, reply: Held, keys: Vec<KeyAt>, effect: Option<u64>) {
        self.by = Some(secondary);
        self.next += 1;
        let waits_for = keys.len() + usize::from(effect.is_some());
        self.made.insert(self.next, Promise { ticket, reply, waits_for });
        keys.into_iter().for_each(|key| self.by_key.entry(key).or_default().push(self.next));
        effect.into_iter().for_each(|number| self.by_bearer.entry(Bearer::Effect(number)).or_default().push(self.next));
    }

    /// Whether none is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// The secondary that is to confirm them, if any is owed.
    pub(crate) fn secondary(&self) -> Option<Side> {
        self.by.filter(|_| !self.is_empty())
    }

    /// A key's copy is put onto the secondary's lane.
    pub(crate) fn copied(&mut self, place: &KeyAt, flight: u32) {
        if let Some(promises) = self.by_key.remove(place) {
            self.by_bearer.entry(Bearer::Copy(flight)).or_default().extend(promises);
        }
    }

    /// The authority has emptied or swapped databases, and so will the secondary with the effect of this number; without one,
    /// copies have to bring it there.
    pub(crate) fn settled(&mut self, effect: Effect, db: u32, swapped: Option<(u32, u32)>, number: Option<u64>) {
        if self.by_key.is_empty() {
            return;
        }
        if let Effect::Flush(extent) = effect
            && let Some(number) = number
        {
            let flushed = self.by_key.extract_if(|(of, _), _| extent == Extent::All || *of == db).flat_map(|(_, promises)| promises);
            self.by_bearer.entry(Bearer::Effect(number)).or_default().extend(flushed);
        }
        if let Some(swap) = swapped {
            let by_key = std::mem::take(&mut self.by_key).into_iter();
            self.by_key = by_key.map(|((db, key), promises)| ((behind_swap(db, swap), key), promises)).collect();
        }
    }

    /// It is confirmed: the replies that are due by that.
    pub(crate) fn confirmed(&mut self, bearer: Bearer) -> Vec<(Ticket, Held)> {
        let waiting = self.by_bearer.remove(&bearer).unwrap_or_default();
        self.due(waiting)
    }

    /// The replies that are due because their keys are clean, though no copy was made.
    pub(crate) fn cleaned(&mut self, is_clean: impl Fn(&KeyAt) -> bool) -> Vec<(Ticket, Held)> {
        let waiting: Vec<u64> = self.by_key.extract_if(|place, _| is_clean(place)).flat_map(|(_, promises)| promises).collect();
        self.due(waiting)
    }

    fn due(&mut self, waiting: Vec<u64>) -> Vec<(Ticket, Held)> {
        let mut due = Vec::new();
        for number in waiting {
            let Some(promise) = self.made.get_mut(&number) else { continue };
            promise.waits_for -= 1;
            if promise.waits_for == 0 {
                due.extend(self.made.remove(&number).map(|promise| (promise.ticket, promise.reply)));
            }
        }
        due
    }

    /// It has failed, and so have the promises of this key: whose replies cannot be given.
    pub(crate) fn refused(&mut self, bearer: Bearer, place: Option<&KeyAt>) -> Vec<Ticket> {
        let of_key = place.and_then(|place| self.by_key.remove(place));
        let numbers = self.by_bearer.remove(&bearer).into_iter().chain(of_key).flatten();
        numbers.filter_map(|number| self.made.remove(&number)).map(|promise| promise.ticket).collect()
    }

    /// Such keys cannot be copied.
    pub(crate) fn doom(&mut self, is_such: impl Fn(&KeyAt) -> bool) {
        self.doomed.extend(self.by_key.extract_if(|place, _| is_such(place)).flat_map(|(_, promises)| promises));
    }

    /// Whose replies cannot be given, because of such keys.
    pub(crate) fn take_doomed(&mut self) -> Vec<Ticket> {
        let doomed = std::mem::take(&mut self.doomed).into_iter();
        doomed.filter_map(|number| self.made.remove(&number)).map(|promise| promise.ticket).collect()
    }

    /// No copy will be made as promised: all of them.
    pub(crate) fn take_all(&mut self) -> Vec<(Ticket, Held)> {
        self.by_key.clear();
        self.by_bearer.clear();
        self.doomed.clear();
        self.made.drain().map(|(_, promise)| (promise.ticket, promise.reply)).collect()
    }
}

/// Where the keys of `db` are behind a SWAPDB.
pub(crate) fn behind_swap(db: u32, (a, b): (u32, u32)) -> u32 {
    if db == a {
        b
    } else if db == b {
        a
    } else {
        db
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(client: u32) -> Ticket {
        Ticket { client, epoch: 0, seq: 0 }
    }

    #[test]
    fn a_promise_is_kept_by_the_copies_that_come_behind_it() {
        let mut promises = Promises::default();
        let (a, b): (KeyAt, KeyAt) = ((0, b"a"[..].into()), (0, b"b"[..].into()));
        promises.make(Side::Target, ticket(1), b"+1\r\n"[..].into(), vec![a.clone(), b.clone()], None);
        promises.copied(&a, 7);
        // Too late for the copy that is on its way.
        promises.make(Side::Target, ticket(2), b"+2\r\n"[..].into(), vec![a.clone()], None);
        assert!(promises.confirmed(Bearer::Copy(7)).is_empty());
        promises.copied(&b, 8);
        assert_eq!(promises.confirmed(Bearer::Copy(8)).len(), 1);
        assert_eq!(promises.refused(Bearer::Copy(9), Some(&a)), [ticket(2)]);
        assert!(promises.is_empty());
    }

    #[test]
    fn a_flush_stands_for_copies_of_its_database_alone_and_a_swap_takes_promises_along() {
        let mut promises = Promises::default();
        promises.make(Side::Target, ticket(1), b"+1\r\n"[..].into(), vec![(0, b"a"[..].into())], None);
        promises.make(Side::Target, ticket(2), b"+2\r\n"[..].into(), vec![(1, b"a"[..].into())], Some(4));
        promises.settled(Effect::SwapDb, 0, Some((1, 2)), None);
        promises.settled(Effect::Flush(Extent::Db), 1, None, Some(5));
        assert!(promises.confirmed(Bearer::Effect(4)).is_empty());
        assert!(promises.confirmed(Bearer::Effect(5)).is_empty());
        promises.settled(Effect::Flush(Extent::Db), 2, None, Some(6));
        assert_eq!(promises.confirmed(Bearer::Effect(6)), [(ticket(2), b"+2\r\n"[..].into())]);
        assert_eq!(promises.cleaned(|(db, _)| *db == 0), [(ticket(1), b"+1\r\n"[..].into())]);
        assert!(promises.is_empty());
    }
}
