//! Commands that wait: tried on the lane, and again when a key of theirs is written.
//!
//! A try is the command between MULTI and EXEC, where it takes what there is and never waits. So a pop has its place in
//! the lane's order, and its effect goes to the secondary as any other.

use std::time::Instant;

use bytes::Bytes;
use interlay_resp::{Proto, Request};

use super::{Admission, Clients, LanePair, Submission};
use crate::answer::Answer;
use crate::conduct::Work;
use crate::effect::Effect;
use crate::lane::{Asked, Entry, Job};
use crate::parked::{Arrival, NewWaiter, Over, Waiter};
use crate::reply::{elements, is_nil};
use crate::transaction::Part;

/// What of an error tells that a key holds another type. Who waits already goes on waiting, as in Redis; unless it would
/// have been moved there.
const WRONG_TYPE: &[u8] = b"-WRONGTYPE";

/// What a retry of XREADGROUP is told when its group is gone, and what Redis tells who waits for it then; and when the
/// key holds no stream any more.
const NO_GROUP: &[u8] = b"-NOGROUP";
const GROUP_GONE: &[u8] = b"-NOGROUP the consumer group this client was blocked on no longer exists\r\n";
const STREAM_GONE: &[u8] = b"-UNBLOCKED the stream key no longer exists\r\n";

/// Commands with a second key, to which they move what they take from the first.
const MOVES: [&[u8]; 2] = [b"blmove", b"brpoplpush"];

impl LanePair {
    /// Takes a command that waits for one of its keys, until `until` and `is_valid` as far as its time limit goes, and tries
    /// it. There is a target.
    pub fn submit_waiting(
        &mut self,
        submission: Submission<'_>,
        effect: Effect,
        until: Option<Instant>,
        is_valid: bool,
        clients: &mut impl Clients,
    ) -> Admission {
        if !self.takes_requests() {
            return Admission::Held;
        }
        let Submission { ticket, session, request, .. } = submission;
        if let Some(answer) = self.refusal(&Submission { work: Work::Write(effect), ..submission }) {
            clients.reply(ticket, &answer.to_reply(), true);
            return Admission::Answered;
        }
        self.counters.requests += 1;
        let mut bytes = Vec::with_capacity(request.bytes().len() + 32);
        interlay_resp::encode_request(["MULTI"], &mut bytes);
        bytes.extend_from_slice(request.bytes());
        interlay_resp::encode_request(["EXEC"], &mut bytes);
        let mut keys = self.keys.copied(request);
        // What is moved is waited for, and not where it goes.
        let moves = moves(request);
        if moves {
            keys.truncate(1);
        }
        let of_stream = request.name().eq_ignore_ascii_case(b"xreadgroup");
        self.parked.enter(NewWaiter { ticket, session, request: bytes, effect, until, of_stream, moves, is_valid }, keys);
        self.try_parked(clients);
        Admission::Parked
    }

    /// Whether the client in this place has a try under way, whose reply is about to come.
    #[must_use]
    pub fn is_being_tried(&self, client: u32) -> bool {
        self.parked.is_trying(client)
    }

    /// Clients that wait: their first try has found nothing, or others came first.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.parked.settled()
    }

    /// Whether nobody waits, nor is tried for the first time.
    #[must_use]
    pub fn nobody_waits(&self) -> bool {
        self.parked.is_empty()
    }

    /// Whether the client in this place waits.
    #[must_use]
    pub fn is_waiting(&self, client: u32) -> bool {
        self.parked.is_settled(client)
    }

    /// Ends a client's waiting; false if it does not wait.
    pub fn end_waiting(&mut self, client: u32, over: Over, clients: &mut impl Clients) -> bool {
        let (waits, waiter) = self.parked.end(client, over);
        if let Some(waiter) = waiter {
            tell(&waiter, over, clients);
        }
        self.try_parked(clients);
        waits
    }

    /// Ends the waiting of those whose time is up.
    pub fn expire_waiting(&mut self, now: Instant, clients: &mut impl Clients) {
        while let Some(waiter) = self.parked.expire(now) {
            tell(&waiter, Over::Timeout, clients);
        }
        if !self.lanes[self.authority].is_up() {
            while let Some((waiter, over)) = self.parked.cannot_try() {
                tell(&waiter, over, clients);
            }
        }
    }

    /// Tries up to `most` of those who wait, each in its turn: somebody else may have written their keys.
    pub fn poll_waiting(&mut self, most: usize, clients: &mut impl Clients) {
        self.parked.poll(most);
        self.try_parked(clients);
    }

    /// Puts the tries that are due onto the authority's lane.
    pub(super) fn try_parked(&mut self, clients: &mut impl Clients) {
        while self.parked.is_due() && self.takes_requests() && self.lanes[self.authority].is_up() {
            let Some(arrival) = self.parked.next_due() else { return };
            let Some(waiter) = self.parked.get(arrival) else { continue };
            let (ticket, session, effect) = (waiter.ticket, waiter.session, waiter.effect);
            let request = Bytes::copy_from_slice(&waiter.request);
            if !self.lanes[self.authority].has_db(session.db) {
                let answer = Answer::NoDatabase { side: self.authority, db: session.db };
                self.cannot_be_served(arrival);
                clients.reply(ticket, &answer.to_reply(), true);
                continue;
            }
            if self.confirms()
                && let Some(command) = interlay_resp::requests(&request).nth(1)
                && let Some(answer) = self.refused_write(session.db, command, effect)
            {
                self.cannot_be_served(arrival);
                clients.reply(ticket, &answer.to_reply(), true);
                continue;
            }
            let confirms = self.confirms();
            self.intend(&request);
            let lane = &mut self.lanes[self.authority];
            lane.enter(session);
            lane.log.push(&request);
            let job = Job::Try { waiter: arrival, confirms, refused: None };
            lane.awaiting.push_back(Entry { asked: Asked { len: request.len(), ticket, session }, replies: 3, job });
        }
    }

    /// The authority has answered a try.
    pub(super) fn tried(
        &mut self,
        asked: Asked,
        arrival: Arrival,
        confirms: bool,
        refused: Option<&[u8]>,
        reply: &[u8],
        clients: &mut impl Clients,
    ) {
        let found = refused.or_else(|| elements(reply, &self.limits.resp).next().map(|(element, _)| element)).unwrap_or(reply);
        let is_new = self.parked.get(arrival).is_some_and(|waiter| waiter.is_new);
        let failed = matches!(found.first(), Some(b'-' | b'!'));
        let of_stream = self.parked.get(arrival).is_some_and(|waiter| waiter.of_stream);
        let found = match found {
            _ if is_new || !of_stream => found,
            _ if found.starts_with(NO_GROUP) => GROUP_GONE,
            _ if found.starts_with(WRONG_TYPE) => STREAM_GONE,
            _ => found,
        };
        let moves = self.parked.get(arrival).is_some_and(|waiter| waiter.moves);
        if is_nil(found) || (!is_new && !moves && found.starts_with(WRONG_TYPE)) {
            if failed {
                self.parked.pass_on(arrival);
            }
            if let Some((waiter, over)) = self.parked.found_nothing(arrival) {
                tell(&waiter, over, clients);
            }
            return;
        }
        if failed {
            self.cannot_be_served(arrival);
            return clients.reply(asked.ticket, found, true);
        }
        let Some(waiter) = self.parked.leave(arrival) else { return };
        let Some(request) = interlay_resp::requests(&waiter.request).nth(1) else { return };
        let part = Part { db: waiter.session.db, request, effect: waiter.effect, reply: found, waits: true };
        self.changed(asked.ticket, asked.session, &[part], confirms, found, clients);
    }

    /// A waiter waits no longer, and has not taken what its keys may hold: it is the next one's turn.
    pub(super) fn cannot_be_served(&mut self, arrival: Arrival) {
        self.parked.pass_on(arrival);
        self.parked.leave(arrival);
    }

    /// The lane was lost before the try was sent.
    pub(super) fn try_later(&mut self, arrival: Arrival, clients: &mut impl Clients) {
        if let Some((waiter, over)) = self.parked.not_tried(arrival) {
            tell(&waiter, over, clients);
        }
    }
}

/// Whether a command that waits moves what it takes to another key.
pub(super) fn moves(request: Request<'_>) -> bool {
    MOVES.iter().any(|name| request.name().eq_ignore_ascii_case(name))
}

/// Answers a waiter that waits no longer.
fn tell(waiter: &Waiter, over: Over, clients: &mut impl Clients) {
    let reply: &[u8] = match (over, waiter.session.proto) {
        (Over::UnblockedWithError, _) => b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n",
        (_, Proto::Resp2) => b"*-1\r\n",
        (_, Proto::Resp3) => b"_\r\n",
    };
    clients.reply(waiter.ticket, reply, true);
}
