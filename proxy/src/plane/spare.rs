//! The spare connection to the authority: for the next client that wants its own, and until then a look at how the
//! authority is while that answers nothing.

use super::Plane;
use crate::pinned::{PinDesk, PinId};

impl Plane {
    /// Looks whether a script keeps the authority from answering: while nothing moves, the spare connection asks how the
    /// server is. True if there is none.
    pub(super) fn wants_spare(&mut self) -> bool {
        let authority = self.pair.authority();
        let in_flight = self.turns.holder.and_then(|id| self.pins.get(id)).map_or(0, |desk| desk.in_flight);
        let waits = self.pair.unanswered(authority).0 > 0 || in_flight > 0;
        let stamp = (self.pair.moved(authority), self.turns.holder);
        let is_stuck = std::mem::replace(&mut self.stamp, stamp) == stamp && waits;
        if !is_stuck {
            self.busy = None;
        }
        let Some(id) = self.spare else { return self.lanes[authority].status.connected };
        if let Some(desk) = self.pins.get_mut(id).filter(|desk| is_stuck && desk.pin.is_idle()) {
            desk.pin.swallow(&["PING"], &mut desk.out);
            self.pins.wrote(id);
            self.pins.flush();
        }
        false
    }

    /// Gives the spare connection to a client that has none of its own.
    pub(super) fn take_spare(&mut self, place: usize) -> Option<PinId> {
        if self.busy.is_some() {
            return None;
        }
        let owner = self.clients.ticket(place, 0);
        let client = self.clients.get_mut(place).filter(|client| client.pin.is_none())?;
        let id = self.spare.take_if(|id| self.pins.get(*id).is_some_and(|desk| desk.pin.is_idle()))?;
        let desk = self.pins.get_mut(id)?;
        client.pin = Some(id);
        desk.owner = owner;
        if let Ok(name) = str::from_utf8(&client.about.name) {
            desk.pin.swallow(&["CLIENT", "SETNAME", name], &mut desk.out);
        }
        desk.pin.enter(client.session, &mut desk.out);
        Some(id)
    }

    /// Whether a script keeps the authority busy.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Takes a connection for the next client that wants its own.
    pub(crate) fn keep_spare(&mut self, desk: PinDesk) -> Option<PinId> {
        let id = (desk.side == self.pair.authority()).then(|| self.pins.enter(desk));
        self.spare = id;
        id
    }
}
