//! Virtual time: what happens next, and when.
//!
//! Events of the same instant happen in an order that the seed decides, so that no run depends on the order in which
//! they were planned.

use std::collections::BTreeMap;

use super::rng::Rng;

/// Unit: milliseconds of virtual time.
pub(crate) type Instant = u64;

/// Planned events, soonest first.
pub(crate) struct Agenda<E> {
    now: Instant,
    rng: Rng,
    /// By instant, tie-break and number.
    events: BTreeMap<(Instant, u64, u64), E>,
    planned: u64,
}

impl<E> Agenda<E> {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { now: 0, rng, events: BTreeMap::new(), planned: 0 }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Events planned so far: how much has happened, once none is left.
    pub(crate) fn planned(&self) -> u64 {
        self.planned
    }

    pub(crate) fn plan(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.events.insert((at.max(self.now), self.rng.next(), self.planned), event);
    }

    /// Whether nothing is planned.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Moves time on to the next event.
    pub(crate) fn next(&mut self) -> Option<E> {
        let ((at, ..), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
    }
}
