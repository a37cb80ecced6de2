//! What kind of treatment a command asks for: one look-up decides between lane, own connection, session and refusal.

use std::time::Duration;

use interlay_resp::Request;

use crate::command::{Command, CommandTable, Flags};
use crate::effect::{self, Effect, Row, Why};

/// Where a request is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// On the lane.
    Lane(Work),
    /// On the lane, again and again until one of its keys has something to take; then with this effect.
    Waits(Effect, TimeoutAt),
    /// On a connection of the client's own, or by what it says of one.
    Own(Own),
    /// By the session of the client that sent it.
    Session(SessionCommand),
    /// Not in this version, for the reason given.
    Refused(Refused),
}

/// What a request on the lane does to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reads keys: the split may send it to the target.
    Read,
    /// Neither reads nor writes keys, or reads all of them: the authority's affair.
    Other,
    /// Writes, with this effect.
    Write(Effect),
    /// The table does not know it. The authority's own error is expected.
    Unknown,
    /// MULTI ... EXEC, whole, with so many replies.
    Transaction {
        /// One for each request, EXEC and MULTI among them.
        replies: u32,
    },
}

/// Commands that give a connection a state of its own, end it, or keep the connection waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Opens a transaction.
    Multi,
    /// Carries the transaction out.
    Exec,
    /// Drops the transaction.
    Discard,
    /// Watches keys.
    Watch,
    /// Watches none any more.
    Unwatch,
    /// Subscribes.
    Subscribe(Topic),
    /// Takes subscriptions back.
    Unsubscribe(Topic),
    /// Shows every command.
    Monitor,
    /// Turns the tracking of keys on or off.
    Tracking,
    /// Tells of the tracking, and of the client that its invalidations go to.
    Redirection,
    /// Leaves the keys' age alone, or no longer.
    NoTouch,
    /// What must not wait behind others, or may answer with more than a reply.
    Plain,
    /// A read that waits for something to come.
    Read,
    /// Waits for replicas or files to have the connection's writes.
    Wait,
}

impl Own {
    /// Whether it asks for a connection of the client's own. The others mean nothing without one.
    #[must_use]
    pub fn opens(self) -> bool {
        !matches!(self, Self::Exec | Self::Discard | Self::Unwatch | Self::Redirection)
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Channels.
    Channel,
    /// Patterns of channels.
    Pattern,
    /// Channels of a cluster's shard.
    Shard,
}

/// Where a command that waits has its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAt {
    /// In the last argument, in seconds.
    End,
    /// In the first argument, in seconds.
    Start,
    /// Behind the word BLOCK, in milliseconds.
    Block,
}

impl TimeoutAt {
    /// The time limit of `request`. None if there is none, or if it is not a number; the server has the words for that.
    #[must_use]
    pub fn of(self, request: Request<'_>) -> Option<Duration> {
        let unit_ms = if self == Self::Block { 1.0 } else { 1000.0 };
        let units = self.units(request)?;
        // Nothing waits longer than a few hundred million years.
        (units > 0.0).then(|| Duration::try_from_secs_f64(units * unit_ms / 1000.0).ok())?
    }

    /// Whether the server will take the time limit of `request`.
    #[must_use]
    pub fn is_valid(self, request: Request<'_>) -> bool {
        self.units(request).is_some_and(|units| units.is_finite() && units >= 0.0)
    }

    fn units(self, request: Request<'_>) -> Option<f64> {
        let arg = match self {
            Self::End => request.args().last(),
            Self::Start => request.arg(1),
            Self::Block => request.args().skip_while(|arg| !arg.eq_ignore_ascii_case(b"block")).nth(1),
        };
        std::str::from_utf8(arg?).ok()?.parse().ok()
    }
}

/// Commands that are about the connection and are answered, or finished, by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the commands are")]
pub enum SessionCommand {
    Auth,
    Hello,
    Select,
    Quit,
    Reset,
    Info,
    ClientId,
    ClientInfo,
    ClientGetName,
    ClientSetName,
    ClientSetInfo,
    ClientList,
    ClientKill,
    ClientReply,
    ClientNoEvict,
    ClientPause,
    ClientUnpause,
    ClientUnblock,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would take a connection over for a dialogue of its own.
    Dialogue,
    /// It is how servers talk to each other.
    Replication,
}

impl Refused {
    /// The reason in words, for the client.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Dialogue => "its dialogue does not go through a proxy: connect to the server itself",
            Self::Replication => "replication does not go through a proxy: connect to the server itself",
        }
    }
}

/// Commands that are not ordinary lane traffic, by full name.
static SPECIAL: &[(&str, Conduct)] = {
    use Conduct::{Own as Pin, Refused as No, Session};
    use SessionCommand as S;
    use Topic::{Channel, Pattern, Shard};
    &[
        ("auth", Session(S::Auth)),
        ("hello", Session(S::Hello)),
        ("select", Session(S::Select)),
        ("quit", Session(S::Quit)),
        ("reset", Session(S::Reset)),
        ("info", Session(S::Info)),
        ("client|id", Session(S::ClientId)),
        ("client|info", Session(S::ClientInfo)),
        ("client|getname", Session(S::ClientGetName)),
        ("client|setname", Session(S::ClientSetName)),
        ("client|setinfo", Session(S::ClientSetInfo)),
        ("client|list", Session(S::ClientList)),
        ("client|kill", Session(S::ClientKill)),
        ("client|reply", Session(S::ClientReply)),
        ("client|no-evict", Session(S::ClientNoEvict)),
        ("client|pause", Session(S::ClientPause)),
        ("client|unpause", Session(S::ClientUnpause)),
        ("client|unblock", Session(S::ClientUnblock)),
        ("client|tracking", Pin(Own::Tracking)),
        ("client|getredir", Pin(Own::Redirection)),
        ("client|trackinginfo", Pin(Own::Redirection)),
        ("client|no-touch", Pin(Own::NoTouch)),
        ("multi", Pin(Own::Multi)),
        ("exec", Pin(Own::Exec)),
        ("discard", Pin(Own::Discard)),
        ("watch", Pin(Own::Watch)),
        ("unwatch", Pin(Own::Unwatch)),
        ("subscribe", Pin(Own::Subscribe(Channel))),
        ("psubscribe", Pin(Own::Subscribe(Pattern))),
        ("ssubscribe", Pin(Own::Subscribe(Shard))),
        ("unsubscribe", Pin(Own::Unsubscribe(Channel))),
        ("punsubscribe", Pin(Own::Unsubscribe(Pattern))),
        ("sunsubscribe", Pin(Own::Unsubscribe(Shard))),
        ("monitor", Pin(Own::Monitor)),
        ("debug", Pin(Own::Plain)),
        ("script|kill", Pin(Own::Plain)),
        ("function|kill", Pin(Own::Plain)),
        ("function|stats", Pin(Own::Plain)),
        ("wait", Pin(Own::Wait)),
        ("waitaof", Pin(Own::Wait)),
        ("script|debug", No(Refused::Dialogue)),
        ("sync", No(Refused::Replication)),
        ("psync", No(Refused::Replication)),
        ("replconf", No(Refused::Replication)),
    ]
};

/// Where the writes that may wait have their time limit; those that are not here have it at the end.
static TIMEOUTS: &[(&str, TimeoutAt)] = &[("blmpop", TimeoutAt::Start), ("bzmpop", TimeoutAt::Start), ("xreadgroup", TimeoutAt::Block)];

/// Reads whose answer depends on the server that gives it: a cursor is of one server's hash table, and a script may not
/// be in the other's cache, or read keys that it does not declare. The split leaves them with the authority.
static OF_ONE_SERVER: &[&str] = &["eval_ro", "evalsha_ro", "fcall_ro", "hscan", "sscan", "zscan"];

/// What these write does not depend on what was there, or their reply shows that something was.
static OVERWRITES: &[&str] = &["del", "getdel", "getset", "lpush", "mset", "restore", "rpush", "set", "setnx", "unlink"];

/// They touch nothing, so they count as reads.
static HARMLESS: &[&str] = &["echo", "ping"];

/// The command table with every command's conduct worked out.
#[derive(Debug)]
pub struct Catalog {
    table: CommandTable,
    /// By command id.
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Fixed(Conduct),
    Write(&'static Row),
    /// Waits always, or only with a BLOCK option.
    MayWait(&'static Row, TimeoutAt),
    ReadMayWait,
}

impl Catalog {
    /// Works out the conduct of every command of `table`.
    #[must_use]
    pub fn new(table: CommandTable) -> Self {
        let kinds = table.iter().map(kind).collect();
        Self { table, kinds }
    }

    /// The same, but reads that a server with the commands of `other` does not know are not shifted to it.
    #[must_use]
    pub fn shared_with(mut self, other: &CommandTable) -> Self {
        // Before 7.0 servers name no subcommands.
        let knows = |name: &str| other.by_name(name).or_else(|| other.by_name(name.split_once('|')?.0)).is_some();
        for (command, kind) in self.table.iter().zip(&mut self.kinds) {
            if matches!(kind, Kind::Fixed(Conduct::Lane(Work::Read))) && !knows(&command.name) {
                *kind = Kind::Fixed(Conduct::Lane(Work::Other));
            }
        }
        self
    }

    /// The commands.
    #[must_use]
    pub fn table(&self) -> &CommandTable {
        &self.table
    }

    /// The command of a request, if it is known, and what is to be done with it.
    #[must_use]
    pub fn conduct(&self, request: Request<'_>) -> (Option<&Command>, Conduct) {
        let Some(command) = self.table.lookup(request) else {
            // A newer server's CLIENT subcommand changes no data, whatever else it does.
            let of_client = request.name().eq_ignore_ascii_case(b"client");
            return (None, Conduct::Lane(if of_client { Work::Other } else { Work::Unknown }));
        };
        let conduct = match self.kinds.get(command.id.index()) {
            // With a wrong number of arguments nothing is carried out, and the server has the words for it.
            Some(Kind::Fixed(Conduct::Session(_) | Conduct::Own(_) | Conduct::Refused(_))) if !command.arity_ok(request.argc()) => {
                Conduct::Lane(Work::Other)
            }
            Some(Kind::Fixed(conduct)) => *conduct,
            Some(Kind::Write(row)) => write(row, request),
            Some(Kind::MayWait(row, timeout)) if waits(command, request) => Conduct::Waits(row.effect(request), *timeout),
            Some(Kind::MayWait(row, _)) => write(row, request),
            Some(Kind::ReadMayWait) if waits(command, request) => Conduct::Own(Own::Read),
            Some(Kind::ReadMayWait) => Conduct::Lane(Work::Read),
            None => Conduct::Lane(Work::Unknown),
        };
        (Some(command), conduct)
    }

    /// Whether a write leaves nothing of what its key held before, or tells in its reply that there was something.
    pub(crate) fn overwrites(&self, request: Request<'_>) -> bool {
        let keeps_deadline = || request.args().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"keepttl"));
        OVERWRITES.iter().any(|name| request.name().eq_ignore_ascii_case(name.as_bytes())) && !keeps_deadline()
    }

    /// What a request inside a transaction, or any other that is carried out at once, does to the data.
    pub(crate) fn effect(&self, request: Request<'_>) -> Effect {
        match self.conduct(request).1 {
            Conduct::Lane(Work::Write(effect)) | Conduct::Waits(effect, _) => effect,
            Conduct::Lane(Work::Unknown) => Effect::Unrepeatable(Why::NoRule),
            _ => Effect::Nothing,
        }
    }
}

fn kind(command: &Command) -> Kind {
    if let Some((_, conduct)) = SPECIAL.iter().find(|(special, _)| **special == *command.name) {
        return Kind::Fixed(*conduct);
    }
    let timeout = || TIMEOUTS.iter().find(|(name, _)| **name == *command.name).map_or(TimeoutAt::End, |(_, at)| *at);
    let blocking = command.flags.contains(Flags::BLOCKING);
    match effect::row(&command.name) {
        Some(row) if blocking => Kind::MayWait(row, timeout()),
        Some(row) => Kind::Write(row),
        None if command.flags.contains(Flags::WRITE) => Kind::Write(&effect::NO_RULE),
        None if blocking => Kind::ReadMayWait,
        None if HARMLESS.contains(&&*command.name) => Kind::Fixed(Conduct::Lane(Work::Read)),
        None if OF_ONE_SERVER.contains(&&*command.name) => Kind::Fixed(Conduct::Lane(Work::Other)),
        // What reads keys that its arguments do not name cannot be placed by its keys.
        None if command.flags.contains(Flags::READONLY) && command.names_all_keys() => Kind::Fixed(Conduct::Lane(Work::Read)),
        None => Kind::Fixed(Conduct::Lane(Work::Other)),
    }
}

fn write(row: &Row, request: Request<'_>) -> Conduct {
    Conduct::Lane(match row.effect(request) {
        Effect::Nothing => Work::Other,
        effect => Work::Write(effect),
    })
}

/// Whether a command that may wait asks to: the stream readers only with BLOCK in front of STREAMS.
fn waits(command: &Command, request: Request<'_>) -> bool {
    if !matches!(&*command.name, "xread" | "xreadgroup") {
        return true;
    }
    request.args().take_while(|arg| !arg.eq_ignore_ascii_case(b"streams")).any(|arg| arg.eq_ignore_ascii_case(b"block"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct_of(line: &str) -> Conduct {
        let mut bytes = Vec::new();
        let args: Vec<&str> = line.split(' ').collect();
        interlay_resp::encode_request(&args, &mut bytes);
        Catalog::new(CommandTable::builtin()).conduct(Request::new(&bytes, args.len())).1
    }

    #[test]
    fn every_write_of_the_built_in_table_has_a_row() {
        let table = CommandTable::builtin();
        let without: Vec<_> = table
            .iter()
            .filter(|command| command.flags.contains(Flags::WRITE) && effect::row(&command.name).is_none())
            .map(|command| &command.name)
            .collect();
        assert!(without.is_empty(), "no effect rule for {without:?}");
    }

    #[test]
    fn special_names_are_commands() {
        let table = CommandTable::builtin();
        let newer = ["client|setinfo", "client|no-touch", "waitaof"];
        for (name, _) in SPECIAL {
            assert!(table.by_name(name).is_some() || newer.contains(name), "{name} is no command");
        }
    }

    #[test]
    fn time_limits_are_found_and_bounded() {
        for (line, limit) in [
            ("BLPOP a b 1.5", Some(Duration::from_millis(1500))),
            ("BLPOP a b 0", None),
            ("BLPOP a b -1", None),
            ("BLPOP a b inf", None),
            ("BLMPOP 2 1 k LEFT", Some(Duration::from_secs(2))),
            ("XREADGROUP GROUP g c BLOCK 20 STREAMS k >", Some(Duration::from_millis(20))),
        ] {
            let mut bytes = Vec::new();
            let args: Vec<&str> = line.split(' ').collect();
            interlay_resp::encode_request(&args, &mut bytes);
            let Conduct::Waits(_, timeout) = conduct_of(line) else { panic!("{line} waits") };
            assert_eq!(timeout.of(Request::new(&bytes, args.len())), limit, "{line}");
        }
    }

    #[test]
    fn reads_that_the_other_server_does_not_know_are_not_shifted() {
        // As 6.2 says it: no subcommands.
        let rows = ["get", "object"].map(|name| format!("*6\r\n+{name}\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n")).concat();
        let reply = interlay_resp::decode_reply(format!("*2\r\n{rows}").as_bytes()).unwrap();
        let catalog = Catalog::new(CommandTable::builtin()).shared_with(&CommandTable::reported(&reply).unwrap());
        let shifted = |name: &str| {
            let place = catalog.table.iter().position(|command| *command.name == *name).unwrap();
            matches!(catalog.kinds[place], Kind::Fixed(Conduct::Lane(Work::Read)))
        };
        assert_eq!(["get", "object|encoding", "strlen", "pexpiretime"].map(shifted), [true, true, false, false]);
    }

    #[test]
    fn requests_go_where_they_belong() {
        for (line, conduct) in [
            ("get k", Conduct::Lane(Work::Read)),
            ("SET k v", Conduct::Lane(Work::Write(Effect::Verbatim))),
            ("PING", Conduct::Lane(Work::Read)),
            ("TIME", Conduct::Lane(Work::Other)),
            ("CONFIG GET x", Conduct::Lane(Work::Other)),
            ("client ID", Conduct::Session(SessionCommand::ClientId)),
            ("CLIENT PAUSE 10", Conduct::Session(SessionCommand::ClientPause)),
            ("BLPOP k 0", Conduct::Waits(Effect::Verbatim, TimeoutAt::End)),
            ("BLMPOP 0 1 k LEFT", Conduct::Waits(Effect::Verbatim, TimeoutAt::Start)),
            ("XREAD STREAMS block 0", Conduct::Lane(Work::Read)),
            ("XREAD BLOCK 0 STREAMS k 0", Conduct::Own(Own::Read)),
            ("XREADGROUP GROUP g c BLOCK 5 STREAMS k >", Conduct::Waits(Effect::Verbatim, TimeoutAt::Block)),
            ("XREADGROUP GROUP g c STREAMS k >", Conduct::Lane(Work::Write(Effect::Verbatim))),
            ("MULTI", Conduct::Own(Own::Multi)),
            ("MULTI 1", Conduct::Lane(Work::Other)),
            ("SCRIPT DEBUG YES", Conduct::Refused(Refused::Dialogue)),
            ("SORT k", Conduct::Lane(Work::Other)),
            ("SORT_RO k BY w_*", Conduct::Lane(Work::Other)),
            ("SSCAN k 0", Conduct::Lane(Work::Other)),
            ("CLIENT NOSUCH", Conduct::Lane(Work::Other)),
            ("CLIENT", Conduct::Lane(Work::Other)),
            ("SELECT", Conduct::Lane(Work::Other)),
            ("NOSUCH k", Conduct::Lane(Work::Unknown)),
        ] {
            assert_eq!(conduct_of(line), conduct, "{line}");
        }
    }
}
