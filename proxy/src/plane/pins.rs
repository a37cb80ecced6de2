//! Clients with connections of their own: what they send and get.

use std::io::{self, ErrorKind};

use interlay_resp::{Limits, ReplyKind, ReplyScan, Request};
use interlay_routing::{
    Answer, Clients, Conduct, Executed, Lost, NO_CLIENT, Over, Own, Said, Session, SessionCommand, Side, Submission, Ticket, Work, elements,
};

use super::Plane;
use super::about::About;
use crate::pinned::{PinDesk, PinId, senseless};
use crate::roster::{Redirect, integer, text};
use crate::session::{self, Ask, Barrier, Decides, Outcome, error_reply};
use crate::socket::Socket;

/// Requests of one exclusive section; the lane and others have their turn before the next ones.
const SECTION_REQUESTS: u32 = 64;

impl Plane {
    // === Coming and going ===

    /// Gives a client its own connection.
    pub(crate) fn attach_pin(&mut self, place: usize, desk: PinDesk) -> Option<PinId> {
        let old = self.clients.get_mut(place)?.pin;
        old.into_iter().for_each(|id| self.leave_pin(id));
        let id = self.pins.enter(desk);
        self.clients.get_mut(place)?.pin = Some(id);
        Some(id)
    }

    /// A client that waits on its own connection goes: the server ends that before it carries out anything that comes
    /// later, which the connection would otherwise still take its elements from.
    pub(super) fn stop_waiting(&mut self, place: usize) {
        let waits = self.clients.get_mut(place).filter(|client| client.is_blocked()).and_then(|client| client.pin);
        let Some(server_id) = waits.and_then(|id| self.pins.get(id)?.server_id) else { return };
        // Without it the connection ends a moment later.
        self.ask_authority(["CLIENT", "KILL", "ID", &server_id.to_string()]);
    }

    /// A client that waits will send nothing more: its waiting ends, and it is closed when its last request is answered.
    /// False if that cannot be brought about.
    pub(crate) fn give_up(&mut self, place: usize) -> bool {
        let waited = self.pair.end_waiting(place as u32, Over::Left, &mut self.clients);
        if !waited {
            let pin = self.clients.get_mut(place).and_then(|client| client.pin);
            if pin.and_then(|id| self.pins.get(id)?.server_id).is_none() || !self.pair.takes_requests() {
                return false;
            }
            self.stop_waiting(place);
        }
        self.clients.kill(place, false);
        self.settle();
        true
    }

    /// A client is gone: what is under way for it goes nowhere.
    pub(crate) fn client_left(&mut self, place: usize) {
        self.stop_waiting(place);
        self.pair.end_waiting(place as u32, Over::Left, &mut self.clients);
        if let Some(id) = self.clients.leave(place).and_then(|client| client.pin) {
            self.leave_pin(id);
        }
        self.settle();
    }

    /// A client's own connection is needed no longer.
    pub(crate) fn leave_pin(&mut self, id: PinId) {
        self.turns.waiting.retain(|waiting| *waiting != id);
        match self.pins.get_mut(id) {
            // The server will carry it out, whoever is there to hear of it.
            Some(desk) if desk.in_flight > 0 => desk.orphaned = true,
            _ => {
                self.pins.leave(id);
                self.end_turn(id);
            }
        }
    }

    /// The connection is lost: what was under way gets an answer, and the client, whose state is gone, is closed.
    pub(crate) fn lose_pin(&mut self, id: PinId, why: &io::Error) {
        let Some(mut desk) = self.pins.leave(id) else { return };
        self.turns.waiting.retain(|waiting| *waiting != id);
        if self.spare == Some(id) {
            self.spare = None;
            self.busy = None;
        }
        let held = desk.holds();
        for Lost { ticket, session, requests, may_have_changed } in desk.pin.lost() {
            if !requests.is_empty() {
                self.pair.executed_somewhere(session, &requests);
            }
            if desk.streaming == Some(ticket) {
                self.clients.abandon(ticket);
                continue;
            }
            let answer = if may_have_changed { Answer::OutcomeUnknown(desk.side) } else { Answer::ReadLost(desk.side) };
            self.clients.reply(ticket, &answer.to_reply(), true);
        }
        if let Some(place) = self.clients.place(desk.owner)
            && let Some(client) = self.clients.get_mut(place)
            && client.pin == Some(id)
        {
            client.pin = None;
            client.on_pin = false;
            if held {
                tracing::debug!(client = client.id, side = %desk.side, error = %why, "own connection lost: the client is closed");
                self.clients.kill(place, false);
            }
        }
        self.end_turn(id);
        self.settle();
    }

    /// The authority has changed: connections to the one that was are of no use. While there are two sides, subscriptions are,
    /// because PUBLISH goes to both; unless it is `let_go`.
    pub(super) fn leave_pins_of(&mut self, side: Side, let_go: bool) {
        for id in self.pins.ids() {
            let Some(desk) = self.pins.get(id).filter(|desk| desk.side == side && (let_go || !desk.only_subscribes())) else { continue };
            let place = self.clients.place(desk.owner).filter(|_| desk.own_user && desk.pin.is_neutral() && desk.pin.is_idle());
            if let Some(client) = place.and_then(|place| self.clients.get_mut(place)) {
                // Its next request gets another one, with the same credentials.
                (client.pin, client.on_pin) = (None, false);
                self.leave_pin(id);
            } else {
                self.lose_pin(id, &senseless("the authority has changed"));
            }
        }
    }

    /// Ends the waiting of those who wait on the authority itself, as if their time was up: they will ask again.
    pub(super) fn unblock_all(&mut self) {
        let blocked: Vec<_> = self.clients.iter().filter(|(_, client)| client.is_blocked()).filter_map(|(_, client)| client.pin).collect();
        let ids: Vec<_> = blocked.into_iter().filter_map(|id| self.pins.get(id)?.server_id).collect();
        for server_id in ids {
            self.ask_authority(["CLIENT", "UNBLOCK", &server_id.to_string(), "TIMEOUT"]);
        }
    }

    /// Asks the authority something of which nobody needs the answer.
    fn ask_authority<const N: usize>(&mut self, words: [&str; N]) {
        let mut bytes = Vec::new();
        interlay_resp::encode_request(words, &mut bytes);
        let Some(request) = interlay_resp::requests(&bytes).next() else { return };
        let (ticket, session, work) = (NO_CLIENT, Session::default(), Work::Other);
        let submission = Submission { ticket, session, request, shared: None, work, may_split: false, changes_session: false };
        self.pair.submit(submission, &mut self.clients);
    }

    // === Requests ===

    /// Whether a request of a client with its own connection can go there now; for one that may change data, that is in an
    /// exclusive section.
    pub(super) fn is_pins_turn(&mut self, id: PinId, conduct: Conduct) -> bool {
        let mirrors = self.pair.mirrors();
        let Some(desk) = self.pins.get(id) else { return false };
        if desk.is_full() {
            return false;
        }
        let waits_there = matches!(conduct, Conduct::Waits(..));
        if !mirrors || self.busy.is_some() || waits_there || !desk.pin.writes(&self.catalog, conduct) {
            return true;
        }
        if self.turns.holder == Some(id) {
            return self.turns.used < SECTION_REQUESTS; // then it is others' turn first
        }
        if !self.turns.waiting.contains(&id) {
            self.turns.waiting.push_back(id);
        }
        false
    }

    /// Sends a request on the client's own connection. With `decides`, the client's next one waits for its reply.
    pub(super) fn submit_pinned(&mut self, place: usize, id: PinId, request: Request<'_>, conduct: Conduct, decides: Option<Decides>) {
        let Some(desk) = self.pins.get_mut(id) else { return };
        let Some(client) = self.clients.get_mut(place) else { return };
        let exclusive = self.turns.holder == Some(id) && desk.pin.writes(&self.catalog, conduct);
        if exclusive {
            let requests = if conduct == Conduct::Own(Own::Exec) { desk.pin.queued() } else { request.bytes() };
            if let Some(answer) = self.pair.refuses(client.session.db, requests) {
                if conduct == Conduct::Own(Own::Exec) {
                    desk.pin.discard(&mut desk.out);
                    self.pins.wrote(id);
                }
                return self.clients.answer(place, &answer.to_reply());
            }
            desk.in_flight += 1;
            self.turns.used += 1;
        }
        if conduct == Conduct::Own(Own::Monitor) && desk.pin.standing().monitoring {
            return; // the server does not answer a second one
        }
        let sent = if conduct == Conduct::Own(Own::Exec) { desk.pin.queued() } else { request.bytes() };
        self.pair.intend(sent);
        let seq = client.issue();
        if matches!(conduct, Conduct::Own(Own::Subscribe(_) | Own::Unsubscribe(_))) {
            client.unmute(seq);
        }
        let session = client.session;
        if matches!(conduct, Conduct::Waits(..) | Conduct::Own(Own::Read | Own::Wait)) && desk.pin.standing().queued.is_none() {
            client.blocks(seq);
        }
        client.on_pin = true;
        client.queued(seq, true, Work::Other);
        let ticket = self.clients.ticket(place, seq);
        let may_enter = self.busy.is_none() && conduct != Conduct::Own(Own::Plain);
        if may_enter && (desk.pin.is_neutral() || desk.only_subscribes()) && desk.pin.is_idle() {
            desk.pin.enter(session, &mut desk.out);
        }
        let waits = desk.pin.submit(ticket, request, conduct, &mut desk.out);
        // A busy server lets nobody go to another database, and a transaction must not be carried out in the wrong one.
        if conduct == Conduct::Own(Own::Multi) && !desk.pin.is_in(session) {
            desk.pin.spoil(&mut desk.out);
        }
        if let Some(client) = self.clients.get_mut(place)
            && (waits || decides.is_some())
        {
            client.barrier = Some(Barrier { seq, reply: Vec::new(), decides: decides.unwrap_or(Decides::Nothing) });
        }
        self.pins.wrote(id);
    }

    /// Queues a session command in the client's transaction.
    pub(super) fn submit_stand_in(&mut self, place: usize, id: PinId, request: Request<'_>) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let seq = client.issue();
        let ticket = self.clients.ticket(place, seq);
        if let Some(desk) = self.pins.get_mut(id) {
            desk.pin.submit_stand_in(ticket, request, &mut desk.out);
            self.pins.wrote(id);
        }
    }

    /// A transaction's reply with the answers of Interlay's own in their places.
    fn with_own_answers(&mut self, place: usize, stand_ins: &[(u32, Vec<u8>)], reply: &[u8]) -> Vec<u8> {
        let head = reply.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut answer = reply.get(..head).unwrap_or_default().to_vec();
        for (number, (element, _)) in elements(reply, &Limits::of_replies()).enumerate() {
            match stand_ins.iter().find(|(own, _)| *own as usize == number) {
                Some((_, request)) => answer.extend(self.own_answer(place, request)),
                None => answer.extend_from_slice(element),
            }
        }
        answer
    }

    /// Carries out a session command of a transaction.
    fn own_answer(&mut self, place: usize, bytes: &[u8]) -> Vec<u8> {
        let request = interlay_resp::requests(bytes).next();
        let Some((request, client)) = request.zip(self.clients.get_mut(place)) else { return error_reply("ERR client gone") };
        let Conduct::Session(command) = self.catalog.conduct(request).1 else { return error_reply("ERR unknown command") };
        match session::run(command, request, client, true) {
            Outcome::Reply(reply) => reply,
            Outcome::Others => match self.others(place, command, request) {
                About::Reply(reply) => reply,
                About::Ask(_) => integer(0),
            },
            Outcome::Ask(Ask::Info) => {
                let section = self.info_numbers(request).section.unwrap_or_default();
                text(self.clients.get_mut(place).map(|client| client.session.proto).unwrap_or_default(), section.as_bytes())
            }
            _ => error_reply("ERR interlay: this command is refused inside MULTI"),
        }
    }

    /// The client whose own connection has to exist before this request of `place` can be sent; it redirects to it.
    pub(super) fn redirect_without_pin(&mut self, place: usize, request: Request<'_>) -> Option<usize> {
        let to = self.clients.place_of(Redirect::find(request)?.id)?;
        let has_pin = to == place || self.clients.get_mut(to)?.pin.is_some();
        (!has_pin).then_some(to)
    }

    /// Sends CLIENT TRACKING, with the server's id of the client that it redirects to.
    pub(super) fn track(&mut self, place: usize, id: PinId, request: Request<'_>, conduct: Conduct) {
        let redirect = Redirect::find(request);
        let to = redirect.as_ref().and_then(|redirect| self.clients.place_of(redirect.id));
        let is_on = request.arg(2).is_some_and(|arg| arg.eq_ignore_ascii_case(b"on"));
        let broadcast = is_on && request.args().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"bcast"));
        let target = to.and_then(|to| self.clients.get_mut(to)).map(|client| (client.id, client.pin));
        let server_id = target.and_then(|(_, pin)| {
            let desk = self.pins.get_mut(pin?)?;
            desk.is_redirected_to |= is_on;
            u64::try_from(desk.server_id?).ok()
        });
        if let Some(client) = self.clients.get_mut(place) {
            client.about.redirect = target.zip(server_id).map(|((id, _), server_id)| (id, server_id)).filter(|_| is_on);
            client.about.broadcast = broadcast;
        }
        let Some(redirect) = redirect else { return self.submit_pinned(place, id, request, conduct, None) };
        // The server has the words for a client that does not exist.
        let bytes = redirect.rewrite(request, server_id.unwrap_or(0));
        self.submit_pinned(place, id, Request::new(&bytes, request.argc()), conduct, None);
    }

    /// What a reply about the redirection must be read with: the server's id of a client, and Interlay's.
    pub(super) fn redirection(&mut self, place: usize) -> Option<Decides> {
        let (id, server_id) = self.clients.get_mut(place)?.about.redirect?;
        Some(Decides::Id(server_id, id))
    }

    /// Refuses a request inside a transaction, which then cannot be carried out.
    pub(super) fn refuse_inside(&mut self, place: usize, id: PinId, request: Request<'_>) {
        let name = String::from_utf8_lossy(request.name()).to_uppercase();
        let text = format!("ERR interlay: {name} inside MULTI is refused; send it before or after the transaction");
        self.clients.answer(place, &error_reply(&text));
        if let Some(desk) = self.pins.get_mut(id) {
            desk.pin.spoil(&mut desk.out);
            self.pins.wrote(id);
        }
    }

    /// Whether a session command of a client whose connection is in this state is the server's to answer.
    pub(super) fn is_servers(desk: &PinDesk, command: SessionCommand, resp2: bool) -> bool {
        let standing = desk.pin.standing();
        let restricted = resp2 && standing.subscribed() > 0;
        let leaves = matches!(command, SessionCommand::Quit | SessionCommand::Reset);
        !leaves && (restricted || standing.queued.is_some())
    }

    // === Replies ===

    /// Reads what the server of a client's own connection has sent.
    ///
    /// # Errors
    /// Why the connection has to end. Nothing being there is no error.
    pub(crate) fn read_pin(&mut self, id: PinId, socket: &Socket) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = match socket.read(&mut scratch) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.receive_pinned(id, scratch.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        self.scratch = scratch;
        self.settle();
        result
    }

    /// Writes what waits for a client's own connection, whose socket takes bytes again.
    pub(crate) fn flush_pin(&mut self, id: PinId) {
        if let Some(desk) = self.pins.get_mut(id) {
            desk.flush();
            if !desk.is_full()
                && let Some(place) = self.clients.place(desk.owner)
            {
                self.clients.wake(place);
            }
        }
    }

    fn receive_pinned(&mut self, id: PinId, mut bytes: &[u8]) -> io::Result<()> {
        let limits = Limits::of_replies();
        while !bytes.is_empty() {
            let Some(desk) = self.pins.get_mut(id) else { return Ok(()) };
            match desk.scanner.scan(bytes, &limits).map_err(senseless)? {
                ReplyScan::NeedMore => {
                    match desk.pin.streams(desk.scanner.kind()) {
                        Some(ticket) => {
                            desk.streaming = Some(ticket);
                            let kept = std::mem::take(&mut desk.partial);
                            self.clients.reply(ticket, &kept, false);
                            self.clients.reply(ticket, bytes, false);
                        }
                        None => desk.partial.extend_from_slice(bytes),
                    }
                    return Ok(());
                }
                ReplyScan::Complete { len, kind } => {
                    let (piece, rest) = bytes.split_at(len);
                    bytes = rest;
                    let mut partial = std::mem::take(&mut desk.partial);
                    if partial.is_empty() {
                        self.answered_pinned(id, piece, kind)?;
                    } else {
                        partial.extend_from_slice(piece);
                        self.answered_pinned(id, &partial, kind)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn answered_pinned(&mut self, id: PinId, reply: &[u8], kind: ReplyKind) -> io::Result<()> {
        let Some(desk) = self.pins.get_mut(id) else { return Ok(()) };
        desk.streaming = None;
        match desk.pin.answered(reply, kind) {
            Said::Push => {
                let (owner, desk_executed) = (desk.owner, desk.last_executed);
                if let Some(place) = self.clients.place(owner)
                    && !(desk.pin.standing().monitoring && is_of_interlay(reply))
                {
                    let redirect = self.clients.get_mut(place).and_then(|client| client.about.redirect);
                    match redirect.filter(|_| reply.starts_with(REDIRECTION_BROKEN)) {
                        Some((id, _)) => self.clients.push(place, &[REDIRECTION_BROKEN, b":", id.to_string().as_bytes(), b"\r\n"].concat()),
                        None if self.answers_first(place, desk_executed) => self.delayed.push((owner, desk_executed, reply.to_vec())),
                        None => self.clients.push(place, reply),
                    }
                }
            }
            Said::Reply { ticket, whole } => self.clients.reply(ticket, reply, whole),
            Said::Swallowed if self.spare == Some(id) => {
                self.busy = reply.starts_with(b"-BUSY").then(|| reply.to_vec());
                if let Some(busy) = &self.busy {
                    self.pair.answer_busy(busy, &mut self.clients);
                    self.clients.wake_paused();
                }
            }
            Said::Swallowed => {
                // It may have waited for just this.
                self.clients.place(desk.owner).into_iter().for_each(|place| self.clients.wake(place));
            }
            Said::Unasked => return Err(senseless("a reply to no request")),
            Said::Executed { ticket, session, requests, transaction } => {
                let stand_ins = desk.pin.take_stand_ins();
                let ordered = desk.in_flight > 0;
                desk.in_flight -= u32::from(ordered);
                let owner = desk.owner;
                desk.last_executed = Some(ticket);
                let place = self.clients.place(owner);
                let own = place.filter(|_| !stand_ins.is_empty() && kind == ReplyKind::Array);
                let own = own.map(|place| self.with_own_answers(place, &stand_ins, reply));
                let reply = own.as_deref().unwrap_or(reply);
                if ordered || transaction || !self.pair.mirrors() {
                    let executed = Executed { ticket, session, requests: &requests, transaction, ordered, reply };
                    let db = self.pair.executed(executed, &mut self.clients);
                    if let Some(desk) = self.pins.get_mut(id).filter(|_| transaction) {
                        desk.pin.left_in(db);
                        place.and_then(|place| self.clients.get_mut(place)).into_iter().for_each(|client| client.session.db = db);
                    }
                } else {
                    if !matches!(kind, ReplyKind::Nil | ReplyKind::Error) {
                        self.pair.executed_somewhere(session, &requests);
                    }
                    self.clients.reply(ticket, reply, true);
                }
                self.end_turn_if_done(id);
            }
        }
        Ok(())
    }

    /// Whether a client is about to get an answer that a push must not overtake: to what it waits for, or to the last thing
    /// that its own connection has carried out.
    fn answers_first(&mut self, place: usize, executed: Option<Ticket>) -> bool {
        let is_held = |ticket: Ticket| self.clients.get_mut(place).is_some_and(|client| !client.has_answer(ticket.seq));
        executed.is_some_and(is_held) || self.pair.is_being_tried(place as u32)
    }

    /// Lets pushes go whose client has got its answer.
    pub(super) fn push_delayed(&mut self) {
        for (owner, executed, push) in std::mem::take(&mut self.delayed) {
            match self.clients.place(owner) {
                Some(place) if self.answers_first(place, executed) => self.delayed.push((owner, executed, push)),
                Some(place) => self.clients.push(place, &push),
                None => {}
            }
        }
    }
}

/// The push that tells of a redirection whose target is gone, up to the id.
const REDIRECTION_BROKEN: &[u8] = b">2\r\n$21\r\ntracking-redir-broken\r\n";

/// Whether a line of MONITOR shows a command by which a lane, or a client's own connection, is made ready.
fn is_of_interlay(line: &[u8]) -> bool {
    let command = line.splitn(2, |byte| *byte == b']').nth(1).unwrap_or_default();
    [&b" \"HELLO\""[..], b" \"SELECT\"", b" \"CLIENT\" \"ID\"", b" \"CLIENT\" \"SETNAME\""].iter().any(|own| command.starts_with(own))
}
