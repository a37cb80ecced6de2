//! Which way a request goes: onto the lane, to the client's own connection, or to the session; now, or not yet.
//!
//! In: a request, and what is known of its client. Out: a [`Turn`]; nothing has changed when the request has to wait, so it is
//! looked at anew. Invariant: a request goes another way than its client's last one only when all of those are answered.

use interlay_resp::{Form, Proto, Request, RequestScanner, Scan};
use interlay_routing::command::{CommandId, Flags};
use interlay_routing::{Conduct, Own, SessionCommand, Work};

use super::Plane;
use crate::clients::Client;
use crate::pinned::{PinDesk, PinId, senseless};
use crate::roster::ReplyMode;

/// What a client's next request has to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// It takes this road now.
    Go(Road),
    /// It waits to be looked at again.
    Wait,
    /// A connection has to be opened first for the client at this place.
    Connect(usize),
}

/// Which way a request takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Road {
    /// It is answered here, or asks the way that the client's requests take.
    Session,
    Lane,
    /// The client's own connection.
    Own(PinId),
    /// With those behind it, of which there are so many bytes and replies, on the lane as a whole.
    Together {
        len: usize,
        replies: u32,
        writes: bool,
    },
    /// It would need a connection of its own, and there is none to be had.
    Nowhere,
    /// The server carries out nothing but a script.
    Busy,
}

/// What is known of a request from its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) command: Option<(CommandId, Flags)>,
    /// The server would carry it out: it knows the command, and the number of arguments is right.
    pub(super) is_valid: bool,
    pub(super) conduct: Conduct,
}

impl Plane {
    /// What a request's name tells.
    pub(super) fn known(&self, request: Request<'_>) -> Known {
        let (command, conduct) = self.catalog.conduct(request);
        let is_valid = command.is_some_and(|command| command.arity_ok(request.argc()));
        Known { command: command.map(|command| (command.id, command.flags)), is_valid, conduct }
    }

    /// What a request has to do now; for a MULTI of which all is there, as a `whole`. Nothing has changed when it cannot go.
    pub(super) fn turn(&mut self, place: usize, request: Request<'_>, known: Known, whole: Option<Road>, admitted: bool) -> Turn {
        let Some(client) = self.clients.get_mut(place) else { return Turn::Wait };
        if !admitted {
            return if let Conduct::Lane(_) = known.conduct { self.lane_turn(Road::Lane) } else { Turn::Go(Road::Session) };
        }
        // The usual case, as short as it can be.
        if client.pin.is_none()
            && client.about.user.is_none()
            && self.paused.is_none()
            && self.busy.is_none()
            && let Conduct::Lane(_) = known.conduct
        {
            return self.lane_turn(Road::Lane);
        }
        let pin = client.pin.and_then(|id| self.pins.get(id));
        let writes = matches!(whole, Some(Road::Together { writes: true, .. }))
            || (known.conduct == Conduct::Own(Own::Exec) && pin.is_some_and(|desk| desk.pin.writes(&self.catalog, known.conduct)));
        let is_paused = known.is_valid && self.is_paused(known.command.map(|(_, flags)| flags).unwrap_or_default(), known.conduct, writes);
        if let Some(client) = self.clients.get_mut(place) {
            client.held_back = is_paused;
        }
        if is_paused {
            return Turn::Wait;
        }
        self.chosen_turn(place, request, known, whole)
    }

    fn lane_turn(&mut self, road: Road) -> Turn {
        if self.pair.takes_requests() {
            return Turn::Go(road);
        }
        self.clients.waits_for_pair();
        Turn::Wait
    }

    /// As [`Plane::turn`], for a client that may have a connection of its own, or for a request that may want one.
    fn chosen_turn(&mut self, place: usize, request: Request<'_>, known: Known, whole: Option<Road>) -> Turn {
        let mirrors = self.pair.mirrors();
        let (is_closing, holds_pins) = (self.is_closing(), self.holds_pins());
        let Some(client) = self.clients.get_mut(place) else { return Turn::Wait };
        if client.is_blocked() {
            return Turn::Wait; // as with a server; and no section may be given to who cannot use it yet
        }
        // What it may do only the server knows, on a connection with its credentials.
        let asks_server = match known.conduct {
            Conduct::Session(command) => matches!(command, SessionCommand::Select | SessionCommand::Hello | SessionCommand::Info),
            Conduct::Refused(_) => false,
            _ => true,
        };
        if asks_server && client.about.user.is_some() && client.pin.is_none() {
            return if client.no_pin.is_some() { Turn::Go(Road::Nowhere) } else { Turn::Connect(place) };
        }
        let answered = client.is_answered();
        let pin = client.pin.and_then(|id| self.pins.get(id).map(|desk| (id, desk)));
        let holds = pin.is_some_and(|(_, desk)| desk.holds());
        // After a change of the authority subscriptions stay where they were; with RESP3 other requests go on elsewhere.
        let is_behind = |desk: &PinDesk| desk.side != self.pair.authority() && desk.only_subscribes();
        let stays_behind = pin.is_some_and(|(_, desk)| is_behind(desk)) && client.session.proto == Proto::Resp3;
        let is_busy = self.busy.is_some();
        let allows_busy = known.command.is_some_and(|(_, flags)| flags.contains(Flags::ALLOW_BUSY));
        let whole = whole.filter(|_| !is_busy && client.wants_replies());
        // A change of the authority is near: what is open may end, and nothing begins.
        let opens = match known.conduct {
            Conduct::Own(own) => matches!(own, Own::Multi | Own::Watch | Own::Read | Own::Wait | Own::Tracking | Own::Monitor),
            Conduct::Waits(..) => holds,
            _ => false,
        };
        let is_open = pin.is_some_and(|(_, desk)| desk.is_in_transaction());
        if (holds_pins && holds) || (is_closing && opens && whole.is_none() && !is_open) {
            return Turn::Wait;
        }
        let in_state = |desk: &PinDesk| {
            let standing = desk.pin.standing();
            standing.queued.is_some() || (client.session.proto == Proto::Resp2 && standing.subscribed() > 0)
        };
        let to_pin = match known.conduct {
            Conduct::Session(command) => {
                if pin.is_some_and(|(_, desk)| Self::is_servers(desk, command, client.session.proto == Proto::Resp2)) {
                    true
                } else if pin.is_some() && matches!(command, SessionCommand::Auth | SessionCommand::Reset) && !answered {
                    return Turn::Wait;
                } else if matches!(command, SessionCommand::ClientKill | SessionCommand::ClientUnblock) {
                    return self.lane_turn(Road::Session); // they may have to ask the server
                } else if matches!(command, SessionCommand::Select | SessionCommand::Hello | SessionCommand::Info) {
                    (holds && !(stays_behind && command != SessionCommand::Hello)) || (is_busy && allows_busy)
                } else {
                    return Turn::Go(Road::Session);
                }
            }
            // What it carries out is known when all of it is queued.
            Conduct::Own(Own::Exec) if pin.is_some_and(|(_, desk)| !desk.pin.is_idle()) => return Turn::Wait,
            Conduct::Own(_) if whole.is_some() => holds && !stays_behind,
            Conduct::Own(own) => own.opens() || holds,
            Conduct::Waits(..) => !mirrors || pin.is_some_and(|(_, desk)| desk.own_user || in_state(desk)),
            Conduct::Lane(_) => (holds && !stays_behind) || (is_busy && allows_busy),
            Conduct::Refused(_) if pin.is_some_and(|(_, desk)| desk.pin.standing().queued.is_some()) => true,
            Conduct::Refused(_) => return Turn::Go(Road::Session),
        };
        // What the server allows while a script keeps it busy has to go past the lane; the rest is told so.
        let is_elsewhere = pin.is_some_and(|(_, desk)| desk.pin.is_neutral() && !desk.pin.is_in(client.session));
        if is_busy && (!to_pin || (is_elsewhere && !matches!(known.conduct, Conduct::Own(Own::Plain | Own::Multi)))) {
            // Whoever waits for the script itself waits on.
            return if answered { Turn::Go(Road::Busy) } else { Turn::Wait };
        }
        // What was sent the other way has to be answered first, so that requests are carried out in their order.
        if to_pin != client.on_pin && !answered {
            return Turn::Wait;
        }
        if !to_pin {
            client.on_pin = false;
            return self.lane_turn(whole.unwrap_or(Road::Lane));
        }
        let in_resp2 = client.session.proto == Proto::Resp2;
        let pin = client.pin;
        if client.no_pin.is_some() {
            return Turn::Go(Road::Nowhere);
        }
        let Some(id) = pin.or_else(|| self.take_spare(place)) else { return Turn::Connect(place) };
        if known.conduct == Conduct::Own(Own::Tracking)
            && let Some(to) = self.redirect_without_pin(place, request)
            && self.take_spare(to).is_none()
        {
            return Turn::Connect(to);
        }
        let is_behind = self.pins.get(id).is_some_and(|desk| desk.side != self.pair.authority());
        if is_behind && !matches!(known.conduct, Conduct::Own(Own::Subscribe(_) | Own::Unsubscribe(_))) && !in_resp2 {
            self.lose_pin(id, &senseless("the authority has changed, and only subscriptions stay behind"));
            return Turn::Wait;
        }
        if self.is_pins_turn(id, known.conduct) { Turn::Go(Road::Own(id)) } else { Turn::Wait }
    }

    /// MULTI, `first` bytes long: the road of the whole transaction, if all of it is there and can go as one.
    pub(super) fn together(&self, bytes: &[u8], first: usize) -> Option<Road> {
        let mut len = first;
        let mut replies = 1;
        let mut writes = false;
        loop {
            let rest = bytes.get(len..).unwrap_or_default();
            let Ok(Scan::Found { len: next, argc, form: Form::Canonical }) = RequestScanner::default().scan(rest, &self.limits, true)
            else {
                return None;
            };
            let request = Request::new(rest.get(..next).unwrap_or_default(), argc);
            len += next;
            replies += 1;
            match self.catalog.conduct(request).1 {
                Conduct::Own(Own::Exec) => return Some(Road::Together { len, replies, writes }),
                Conduct::Lane(work) => writes |= matches!(work, Work::Write(_)),
                Conduct::Waits(..) => writes = true,
                _ => return None,
            }
        }
    }

    /// Whether a request cannot be part of a transaction, although a server would take it.
    pub(super) fn is_refused_inside(&self, id: PinId, request: Request<'_>, conduct: Conduct) -> bool {
        use SessionCommand::{Auth, ClientReply, Hello};
        let inside = self.pins.get(id).is_some_and(|desk| desk.pin.standing().queued.is_some());
        inside
            && match conduct {
                // Their replies, or the next ones, would not be one each.
                Conduct::Own(Own::Subscribe(_) | Own::Unsubscribe(_)) => true,
                Conduct::Session(ClientReply) => matches!(ReplyMode::parse(request), Ok(ReplyMode::Off | ReplyMode::Skip)),
                // The state that follows would be known only to the server.
                Conduct::Own(Own::Tracking | Own::NoTouch) | Conduct::Session(Auth | Hello) | Conduct::Refused(_) => true,
                _ => false,
            }
    }
}

/// Whether a command about all clients comes from another user than the lane's.
pub(super) fn is_refused_to_user(client: &Client, command: SessionCommand) -> bool {
    use SessionCommand::{ClientKill, ClientList, ClientPause, ClientUnblock, ClientUnpause};
    client.about.user.is_some() && matches!(command, ClientKill | ClientList | ClientPause | ClientUnblock | ClientUnpause)
}
