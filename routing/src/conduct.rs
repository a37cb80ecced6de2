//! What kind of treatment a command asks for: one look-up decides between lane, session and refusal.

use interlay_resp::Request;

use crate::command::{Command, CommandTable, Flags};
use crate::effect::{self, Effect, Row};

/// Where a request is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// On the lane.
    Lane(Work),
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
    ClientId,
    ClientGetName,
    ClientSetName,
    ClientSetInfo,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It needs a connection of its own: transactions, subscriptions, MONITOR, tracking.
    NeedsOwnConnection,
    /// It would block the lane for all clients.
    Blocks,
    /// It speaks of connections, and would speak of the lane's instead of the clients'.
    AboutConnections,
    /// It is how servers talk to each other.
    Replication,
}

impl Refused {
    /// The reason in words, for the client.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NeedsOwnConnection => "it needs a connection of its own, which this version does not give",
            Self::Blocks => "it would block the connection that all clients share",
            Self::AboutConnections => "it would act on the connection that all clients share",
            Self::Replication => "replication does not go through a proxy: connect to the server itself",
        }
    }
}

/// Commands that are not ordinary lane traffic, by full name.
static SPECIAL: &[(&str, Conduct)] = {
    use Conduct::{Refused as No, Session};
    use Refused::{AboutConnections, Blocks, NeedsOwnConnection, Replication};
    &[
        ("auth", Session(SessionCommand::Auth)),
        ("hello", Session(SessionCommand::Hello)),
        ("select", Session(SessionCommand::Select)),
        ("quit", Session(SessionCommand::Quit)),
        ("reset", Session(SessionCommand::Reset)),
        ("client|id", Session(SessionCommand::ClientId)),
        ("client|getname", Session(SessionCommand::ClientGetName)),
        ("client|setname", Session(SessionCommand::ClientSetName)),
        ("client|setinfo", Session(SessionCommand::ClientSetInfo)),
        ("client|help", Conduct::Lane(Work::Other)),
        ("client", No(AboutConnections)),
        ("multi", No(NeedsOwnConnection)),
        ("exec", No(NeedsOwnConnection)),
        ("discard", No(NeedsOwnConnection)),
        ("watch", No(NeedsOwnConnection)),
        ("unwatch", No(NeedsOwnConnection)),
        ("subscribe", No(NeedsOwnConnection)),
        ("psubscribe", No(NeedsOwnConnection)),
        ("ssubscribe", No(NeedsOwnConnection)),
        ("unsubscribe", No(NeedsOwnConnection)),
        ("punsubscribe", No(NeedsOwnConnection)),
        ("sunsubscribe", No(NeedsOwnConnection)),
        ("monitor", No(NeedsOwnConnection)),
        ("script|debug", No(NeedsOwnConnection)),
        ("wait", No(Blocks)),
        ("waitaof", No(Blocks)),
        ("readonly", No(AboutConnections)),
        ("readwrite", No(AboutConnections)),
        ("asking", No(AboutConnections)),
        ("sync", No(Replication)),
        ("psync", No(Replication)),
        ("replconf", No(Replication)),
    ]
};

/// Reads whose answer depends on the server that gives it: a cursor is of one server's hash table, and a script may not
/// be in the other's cache, or read keys that it does not declare. The split leaves them with the authority.
static OF_ONE_SERVER: &[&str] = &["eval_ro", "evalsha_ro", "fcall_ro", "hscan", "sscan", "zscan"];

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
    /// Blocks always, or only with a BLOCK option.
    MayBlock(&'static Row),
    ReadMayBlock,
}

impl Catalog {
    /// Works out the conduct of every command of `table`.
    #[must_use]
    pub fn new(table: CommandTable) -> Self {
        let kinds = table.iter().map(kind).collect();
        Self { table, kinds }
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
            Some(Kind::Fixed(Conduct::Session(_) | Conduct::Refused(_))) if !command.arity_ok(request.argc()) => Conduct::Lane(Work::Other),
            Some(Kind::Fixed(conduct)) => *conduct,
            Some(Kind::Write(row)) => write(row, request),
            Some(Kind::MayBlock(row)) if !blocks(command, request) => write(row, request),
            Some(Kind::ReadMayBlock) if !blocks(command, request) => Conduct::Lane(Work::Read),
            Some(Kind::MayBlock(_) | Kind::ReadMayBlock) => Conduct::Refused(Refused::Blocks),
            None => Conduct::Lane(Work::Unknown),
        };
        (Some(command), conduct)
    }
}

fn kind(command: &Command) -> Kind {
    let container = command.name.split('|').next().unwrap_or_default();
    let special = |name: &str| SPECIAL.iter().find(|(special, _)| *special == name).map(|(_, conduct)| *conduct);
    if let Some(conduct) = special(&command.name).or_else(|| special(container)) {
        return Kind::Fixed(conduct);
    }
    let blocking = command.flags.contains(Flags::BLOCKING);
    match effect::row(&command.name) {
        Some(row) if blocking => Kind::MayBlock(row),
        Some(row) => Kind::Write(row),
        None if command.flags.contains(Flags::WRITE) => Kind::Write(&effect::NO_RULE),
        None if blocking => Kind::ReadMayBlock,
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

/// Whether a command that may block asks to: the stream readers only with BLOCK in front of STREAMS.
fn blocks(command: &Command, request: Request<'_>) -> bool {
    if !matches!(&*command.name, "xread" | "xreadgroup") {
        return true;
    }
    request.args().take_while(|arg| !arg.eq_ignore_ascii_case(b"streams")).any(|arg| arg.eq_ignore_ascii_case(b"block"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Why;

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
        let newer = ["client|setinfo", "waitaof"];
        for (name, _) in SPECIAL {
            assert!(table.by_name(name).is_some() || newer.contains(name), "{name} is no command");
        }
    }

    #[test]
    fn requests_go_where_they_belong() {
        for (line, conduct) in [
            ("get k", Conduct::Lane(Work::Read)),
            ("SET k v", Conduct::Lane(Work::Write(Effect::Verbatim))),
            ("PING", Conduct::Lane(Work::Other)),
            ("CONFIG GET x", Conduct::Lane(Work::Other)),
            ("client ID", Conduct::Session(SessionCommand::ClientId)),
            ("CLIENT PAUSE 10", Conduct::Refused(Refused::AboutConnections)),
            ("BLPOP k 0", Conduct::Refused(Refused::Blocks)),
            ("XREAD STREAMS block 0", Conduct::Lane(Work::Read)),
            ("XREAD BLOCK 0 STREAMS k 0", Conduct::Refused(Refused::Blocks)),
            ("XREADGROUP GROUP g c STREAMS k >", Conduct::Lane(Work::Write(Effect::Unrepeatable(Why::Clock)))),
            ("MULTI", Conduct::Refused(Refused::NeedsOwnConnection)),
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
