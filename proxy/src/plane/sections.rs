//! Exclusive sections: turns at the authority for clients with connections of their own.
//!
//! While there is a target, what such a connection changes has its place in the lanes' order: the authority's lane is
//! held until it is empty, the request runs, its effect is enqueued, and the lane goes on. One connection at a time has
//! such a section.

use std::collections::VecDeque;

use super::Plane;
use crate::pinned::{PinDesk, PinId};

/// Whose turn it is at the authority.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) waiting: VecDeque<PinId>,
    pub(super) holder: Option<PinId>,
    /// Requests of the section so far.
    pub(super) used: u32,
    /// The lane has its turn before the next holder.
    rests: bool,
}

impl Plane {
    /// What was under way for a connection is answered: its turn is over if that was all.
    pub(super) fn end_turn_if_done(&mut self, id: PinId) {
        let desk = self.pins.get(id);
        if desk.is_some_and(|desk| desk.in_flight == 0 && desk.orphaned) {
            self.pins.leave(id);
        }
        if desk_is_done(self.pins.get(id)) {
            self.end_turn(id);
        }
    }

    /// The holder's client has had its turn: without anything under way it is over.
    pub(super) fn end_idle_turn(&mut self, place: usize) {
        let pin = self.clients.get_mut(place).and_then(|client| client.pin);
        if let Some(id) = pin.filter(|id| self.turns.holder == Some(*id)) {
            self.end_turn_if_done(id);
        }
    }

    /// The turn of a connection is over, if it has it.
    pub(super) fn end_turn(&mut self, id: PinId) {
        if self.turns.holder == Some(id) {
            self.turns.holder = None;
            // Those who waited for the lane go first, once.
            self.turns.rests = self.clients.some_wait();
            self.pair.hold(false, &mut self.clients);
        }
    }

    /// Gives the next turn, if it is time for it.
    pub(super) fn give_turn(&mut self) {
        if self.turns.holder.is_some() {
            return;
        }
        let Some(first) = self.turns.waiting.front().and_then(|id| self.pins.get(*id)) else {
            if self.pair.is_held() {
                self.pair.hold(false, &mut self.clients); // whoever it was held for has left
            }
            return self.turns.waiting.clear();
        };
        if std::mem::take(&mut self.turns.rests) {
            // Its next look comes behind theirs, and leads here again.
            return self.clients.place(first.owner).into_iter().for_each(|place| self.clients.wake(place));
        }
        self.pair.hold(true, &mut self.clients);
        if !self.pair.is_exclusive() {
            return;
        }
        while let Some(id) = self.turns.waiting.pop_front() {
            let place = self.pins.get(id).and_then(|desk| self.clients.place(desk.owner));
            if let Some(place) = place {
                self.turns.holder = Some(id);
                self.turns.used = 0;
                return self.clients.wake(place);
            }
        }
        self.pair.hold(false, &mut self.clients);
    }
}

fn desk_is_done(desk: Option<&PinDesk>) -> bool {
    desk.is_none_or(|desk| desk.in_flight == 0)
}
