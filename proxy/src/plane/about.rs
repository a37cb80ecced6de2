//! Commands that speak of Interlay's clients: CLIENT LIST, INFO, KILL, UNBLOCK, PAUSE, and INFO's numbers.

use std::time::{Duration, Instant};

use interlay_resp::Request;
use interlay_routing::command::Flags as CommandFlags;
use interlay_routing::{Conduct, Over, SessionCommand, Side, Work};

use super::Plane;
use crate::clients::Client;
use crate::roster::{
    Facts, Flags, InfoEdit, KillContext, KillFilter, Library, ListFilter, OK, Parsed, Pause, Unblock, UnblockAs, integer, text,
};
use crate::session::InfoNumbers;

/// What a command about clients comes to.
pub(super) enum About {
    /// This reply.
    Reply(Vec<u8>),
    /// The server has to be asked, with this request.
    Ask(Vec<u8>),
}

/// Requests that are held back for a while, as CLIENT PAUSE wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paused {
    until: Instant,
    writes_only: bool,
}

/// Time after which a server has read what was sent to it: only then does a client show as blocked on its own connection, so
/// that whoever sees that can unblock it.
const SURELY_READ: Duration = Duration::from_millis(30);

impl Plane {
    /// Whether CLIENT PAUSE holds back this request, or the transaction that it begins.
    pub(super) fn is_paused(&self, flags: CommandFlags, conduct: Conduct, writes: bool) -> bool {
        let Some(paused) = self.paused else { return false };
        let may_write =
            writes || matches!(conduct, Conduct::Lane(Work::Write(_)) | Conduct::Waits(..)) || flags.contains(CommandFlags::WRITE);
        !paused.writes_only || may_write
    }

    /// Lets go on what a pause that is over has held back.
    pub(super) fn end_pause(&mut self, now: Instant) {
        if self.paused.is_some_and(|paused| paused.until <= now) {
            self.paused = None;
            self.clients.wake_paused();
        }
    }

    /// Carries out a session command that is about other clients.
    pub(super) fn others(&mut self, place: usize, command: SessionCommand, request: Request<'_>) -> About {
        let done = match command {
            SessionCommand::ClientInfo => self.client_info(place, request),
            SessionCommand::ClientList => ListFilter::parse(request).map(|filter| {
                let lines = filter.lines(self.clients.iter().map(|(at, client)| self.facts(at, client, (at == place).then_some(request))));
                text(self.proto(place), &lines)
            }),
            SessionCommand::ClientKill if self.names_unknown_user(request) => return About::Ask(request.bytes().to_vec()),
            SessionCommand::ClientKill => self.client_kill(place, request),
            SessionCommand::ClientPause => Pause::parse(request).map(|pause| {
                let until = Instant::now() + pause.lasts;
                let before = self.paused;
                self.paused = Some(Paused {
                    until: before.map_or(until, |before| before.until.max(until)),
                    writes_only: pause.writes_only && before.is_none_or(|before| before.writes_only),
                });
                OK.to_vec()
            }),
            SessionCommand::ClientUnpause => {
                self.paused = None;
                self.clients.wake_paused();
                Ok(OK.to_vec())
            }
            SessionCommand::ClientUnblock => match Unblock::parse(request) {
                Ok(unblock) => return self.unblock(unblock),
                Err(reply) => Err(reply),
            },
            _ => Ok(Vec::new()),
        };
        About::Reply(done.unwrap_or_else(|reply| reply))
    }

    fn proto(&mut self, place: usize) -> interlay_resp::Proto {
        self.clients.get_mut(place).map(|client| client.session.proto).unwrap_or_default()
    }

    fn client_info(&mut self, place: usize, request: Request<'_>) -> Parsed<Vec<u8>> {
        let line = self.clients.iter().find(|(at, _)| *at == place).map(|(at, client)| self.facts(at, client, Some(request)).line());
        Ok(text(self.proto(place), &line.unwrap_or_default()))
    }

    fn client_kill(&mut self, place: usize, request: Request<'_>) -> Parsed<Vec<u8>> {
        let asking = self.clients.get_mut(place).map_or(0, |client| client.id);
        // Users that no client has were left to the server.
        let context = KillContext { asking, max_age: self.source_is_at_least(7, 4), user_exists: |_: &[u8]| true };
        let filter = KillFilter::parse(request, context)?;
        let killed: Vec<usize> =
            self.clients.iter().filter(|(at, client)| filter.matches(&self.facts(*at, client, None))).map(|(at, _)| at).collect();
        for at in &killed {
            self.stop_waiting(*at);
            self.clients.kill(*at, *at != place);
        }
        Ok(filter.reply(killed.len()))
    }

    /// Whether CLIENT KILL names a user that no client of Interlay's has. Whether the server has it, only that knows.
    pub(super) fn names_unknown_user(&self, request: Request<'_>) -> bool {
        let mut args = request.args().skip(2);
        let user = args.by_ref().find(|arg| arg.eq_ignore_ascii_case(b"user")).and_then(|_| args.next());
        let of =
            |client: &Client| client.about.user.as_ref().map_or_else(|| self.lane_user.clone().into_bytes(), |login| login.user.clone());
        user.is_some_and(|user| {
            user != b"default" && user != self.lane_user.as_bytes() && self.clients.iter().all(|(_, client)| of(client) != user)
        })
    }

    /// Ends a client's waiting.
    fn unblock(&mut self, Unblock { id, how }: Unblock) -> About {
        let (over, word) = match how {
            UnblockAs::Timeout => (Over::Unblocked, "TIMEOUT"),
            UnblockAs::Error => (Over::UnblockedWithError, "ERROR"),
        };
        let target = self.clients.place_of(id);
        let waits = target.is_some_and(|target| self.pair.end_waiting(target as u32, over, &mut self.clients));
        let pin = target.and_then(|target| self.clients.get_mut(target)).filter(|client| client.is_blocked()).and_then(|client| client.pin);
        let server_id = pin.and_then(|pin| self.pins.get(pin)?.server_id);
        match server_id {
            Some(server_id) if !waits => {
                let mut bytes = Vec::new();
                interlay_resp::encode_request(["CLIENT", "UNBLOCK", &server_id.to_string(), word], &mut bytes);
                About::Ask(bytes)
            }
            _ => About::Reply(integer(u64::from(waits))),
        }
    }

    /// What there is to say of a client; of the one that asks, with its question.
    fn facts<'a>(&'a self, place: usize, client: &'a Client, asks: Option<Request<'_>>) -> Facts<'a> {
        let about = &client.about;
        let standing = client.pin.and_then(|id| self.pins.get(id)).map(|desk| desk.pin.standing()).unwrap_or_default();
        let [channels, patterns, shard_channels] = standing.subscriptions.map(|count| count as usize);
        let knows_libraries = self.catalog.table().by_name("client|setinfo").is_some();
        let [name, version] = &about.library;
        Facts {
            id: client.id,
            addr: about.ends.0,
            laddr: about.ends.1,
            fd: about.ends.2,
            name: &about.name,
            age_secs: self.now.duration_since(about.since).as_secs(),
            idle_secs: self.now.duration_since(about.active).as_secs(),
            flags: Flags {
                monitor: standing.monitoring,
                pubsub: standing.subscribed() > 0,
                multi: standing.queued.is_some(),
                blocked: client.held_back
                    || self.pair.is_waiting(place as u32)
                    || (self.now.checked_sub(SURELY_READ).is_some_and(|then| client.is_blocked_since(then))
                        && !self.pair.is_being_tried(place as u32)),
                tracking: standing.tracking,
                broadcast: standing.tracking && about.broadcast,
                closing: client.closing,
                no_evict: about.no_evict,
                no_touch: standing.untouching,
                ..Flags::default()
            },
            db: client.session.db,
            channels,
            patterns,
            shard_channels,
            queued: standing.queued.map(|queued| queued as usize),
            query_bytes: asks.map_or(0, |request| request.bytes().len()),
            output_bytes: client.waiting_bytes(),
            command: about.command.and_then(|id| self.catalog.table().name(id)),
            user: about.user.as_ref().map_or(self.lane_user.as_bytes(), |login| &login.user),
            redirect: about.redirect.map(|(id, _)| id),
            proto: client.session.proto,
            library: knows_libraries.then_some(Library { name, version }),
        }
    }

    /// What INFO says of Interlay.
    pub(super) fn info_numbers(&self, request: Request<'_>) -> InfoNumbers {
        let waiting = self.pair.waiting() + self.clients.iter().filter(|(_, client)| client.held_back).count();
        let section = InfoEdit::wants_section(request).then(|| {
            let status = self.status();
            let lines = [
                ("interlay_version", status.version),
                ("phase", status.phase.to_string()),
                ("authority", status.authority.to_string()),
                ("policy", status.policy.to_string()),
                ("target_read_percent", status.target_read_percent.to_string()),
                ("lag_effects", status.lag_effects.to_string()),
                ("dirty_keys", status.dirty_keys.to_string()),
                ("mismatches", status.mismatches.to_string()),
                ("own_connections", self.pins.ids().len().to_string()),
            ];
            lines.iter().fold("# Interlay\r\n".to_owned(), |section, (name, value)| section + name + ":" + value + "\r\n")
        });
        InfoNumbers { clients: self.clients.len(), waiting, section }
    }

    fn source_is_at_least(&self, major: u32, minor: u32) -> bool {
        let version = self.lanes[Side::Source].status.version.as_deref().unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }
}
