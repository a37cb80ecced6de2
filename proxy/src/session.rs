//! Commands about a client's own connection: HELLO, AUTH, SELECT, CLIENT ID and the like.
//!
//! They speak of Interlay's client, not of the lane that all clients share. What only the server can say (whether a
//! database exists, what HELLO replies) is asked of it; the client's next request waits for that at a [`Barrier`].

use std::borrow::Cow;

use interlay_resp::{Proto, Request};
use interlay_routing::command::CommandTable;
use interlay_routing::{Refused, Seq, SessionCommand};

use crate::clients::Client;
use crate::roster::{Attribute, InfoEdit, OK, Parsed, ReplyMode, check_name, switch};

/// A request whose reply changes the client's session, so that no later one is read before it is there.
#[derive(Debug)]
pub(crate) struct Barrier {
    /// Its number.
    pub(crate) seq: Seq,
    /// The reply as far as it has come.
    pub(crate) reply: Vec<u8>,
    /// What the reply decides.
    pub(crate) decides: Decides,
}

/// What the reply at a barrier decides.
#[derive(Debug)]
pub(crate) enum Decides {
    /// The client's database, if it is `+OK`.
    Db(u32),
    /// The client's protocol and name, if it is no error.
    Hello {
        /// The protocol asked for, if one was.
        proto: Option<Proto>,
        /// The name asked for, if one was.
        name: Option<Vec<u8>>,
    },
    /// Nothing, but it speaks of Interlay's clients as well.
    Info(InfoNumbers),
    /// Nothing, but an id that is the first one to the server is the second one here.
    Id(u64, u64),
    /// Nothing: it goes to the client as it comes.
    Nothing,
}

/// What INFO says of Interlay.
#[derive(Debug)]
pub(crate) struct InfoNumbers {
    /// Clients connected.
    pub(crate) clients: usize,
    /// Clients that wait in Interlay.
    pub(crate) waiting: usize,
    /// Interlay's own section, if it is wanted.
    pub(crate) section: Option<String>,
}

impl Barrier {
    /// Takes bytes of the reply. Gives those that the client gets now; when the reply is whole it becomes true for the
    /// client.
    pub(crate) fn pass<'a>(&mut self, bytes: &'a [u8], whole: bool, client: &mut Client) -> (Cow<'a, [u8]>, bool) {
        if matches!(self.decides, Decides::Nothing) {
            return (bytes.into(), whole);
        }
        self.reply.extend_from_slice(bytes);
        if whole {
            self.passed(client);
        }
        (if whole { std::mem::take(&mut self.reply) } else { Vec::new() }.into(), whole)
    }

    /// The reply is whole: makes it true for the client.
    fn passed(&mut self, client: &mut Client) {
        if matches!(self.reply.first(), Some(b'-' | b'!')) {
            return;
        }
        match &mut self.decides {
            Decides::Db(db) => client.session.db = *db,
            Decides::Hello { proto, name } => {
                client.session.proto = proto.unwrap_or(client.session.proto);
                if let Some(name) = name.take() {
                    client.about.name = name;
                }
                put_id(&mut self.reply, client.id);
            }
            Decides::Info(InfoNumbers { clients, waiting, section }) => {
                let edit = InfoEdit { connected_clients: *clients, blocked_clients: *waiting, section: section.as_deref() };
                self.reply = edit.apply(&self.reply);
            }
            Decides::Id(server, here) => {
                let (server, here) = (format!(":{server}\r\n"), format!(":{here}\r\n"));
                if let Some(at) = self.reply.windows(server.len()).position(|window| window == server.as_bytes()) {
                    self.reply.splice(at..at + server.len(), here.into_bytes());
                }
            }
            Decides::Nothing => {}
        }
    }
}

/// Puts the client's id where HELLO's reply has the lane's.
fn put_id(reply: &mut Vec<u8>, id: u64) {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = reply.windows(FIELD.len()).position(|window| window == FIELD).map(|at| at + FIELD.len()) else { return };
    let digits = reply.iter().skip(at).take_while(|byte| **byte != b'\r').count();
    reply.splice(at..at + digits, id.to_string().into_bytes());
}

/// What a session command comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This reply.
    Reply(Vec<u8>),
    /// This reply, and then the connection ends.
    Last(Vec<u8>),
    /// No reply.
    Silent,
    /// `+RESET`, and the session as it was at the start.
    Reset,
    /// The request goes to the server; the client waits for what it decides.
    Ask(Ask),
    /// The source checks these credentials first.
    Authenticate(Credentials),
    /// The plane knows: it is about other clients.
    Others,
}

/// What is asked on the lane for a session command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `SELECT db`, as the client wrote it. None if it is no number: the server has the words for that.
    Select(Option<u32>),
    /// HELLO with the protocol asked for and no more.
    Hello(Hello),
    /// INFO.
    Info,
}

/// The parts of a HELLO that decide something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The protocol asked for.
    pub(crate) proto: Option<Proto>,
    /// The name asked for.
    pub(crate) name: Option<Vec<u8>>,
}

/// Credentials that a client has sent, and what else its command wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// None for the default user.
    pub(crate) user: Option<Vec<u8>>,
    /// In the clear, as it has to go to the source.
    pub(crate) password: Vec<u8>,
    /// The HELLO that carried them.
    pub(crate) hello: Option<Hello>,
}

/// Carries out a session command of a client that is `admitted`, or has yet to authenticate.
pub(crate) fn run(command: SessionCommand, request: Request<'_>, client: &mut Client, admitted: bool) -> Outcome {
    let arg = |index| request.arg(index).unwrap_or_default();
    match command {
        SessionCommand::Quit => Outcome::Last(OK.to_vec()),
        SessionCommand::Reset => Outcome::Reset,
        SessionCommand::ClientId => Outcome::Reply(format!(":{}\r\n", client.id).into_bytes()),
        SessionCommand::ClientGetName => Outcome::Reply(match (client.about.name.is_empty(), client.session.proto) {
            (true, Proto::Resp2) => b"$-1\r\n".to_vec(),
            (true, Proto::Resp3) => b"_\r\n".to_vec(),
            (false, _) => bulk(&client.about.name),
        }),
        SessionCommand::ClientSetName => outcome(check_name(arg(2)).map(|()| {
            client.about.name = arg(2).to_vec();
            Outcome::Reply(OK.to_vec())
        })),
        SessionCommand::ClientSetInfo => outcome(Attribute::parse(request).map(|attribute| {
            let [name, version] = &mut client.about.library;
            match attribute {
                Attribute::LibraryName(value) => *name = value.to_vec(),
                Attribute::LibraryVersion(value) => *version = value.to_vec(),
            }
            Outcome::Reply(OK.to_vec())
        })),
        SessionCommand::ClientReply => outcome(ReplyMode::parse(request).map(|mode| {
            client.want_replies(mode);
            if mode == ReplyMode::On { Outcome::Reply(OK.to_vec()) } else { Outcome::Silent }
        })),
        SessionCommand::ClientNoEvict => outcome(switch(request).map(|on| {
            client.about.no_evict = on;
            Outcome::Reply(OK.to_vec())
        })),
        SessionCommand::Info => Outcome::Ask(Ask::Info),
        SessionCommand::ClientInfo
        | SessionCommand::ClientList
        | SessionCommand::ClientKill
        | SessionCommand::ClientPause
        | SessionCommand::ClientUnpause
        | SessionCommand::ClientUnblock => Outcome::Others,
        SessionCommand::Select => Outcome::Ask(Ask::Select(std::str::from_utf8(arg(1)).ok().and_then(|db| db.parse().ok()))),
        SessionCommand::Auth => match request.argc() {
            2 => authenticate(None, arg(1), None),
            3 => authenticate(Some(arg(1)), arg(2), None),
            _ => error("ERR syntax error"),
        },
        SessionCommand::Hello => hello(request, client, admitted),
    }
}

fn hello(request: Request<'_>, client: &mut Client, admitted: bool) -> Outcome {
    let mut args = request.args().skip(1);
    let proto = match args.next() {
        None => None,
        Some(b"2") => Some(Proto::Resp2),
        Some(b"3") => Some(Proto::Resp3),
        Some(other) if is_integer(other) => return error("NOPROTO unsupported protocol version"),
        Some(_) => return error("ERR Protocol version is not an integer or out of range"),
    };
    let mut hello = Hello { proto, name: None };
    let mut credentials = None;
    while let Some(option) = args.next() {
        let rest = args.clone().count();
        if option.eq_ignore_ascii_case(b"auth") && rest >= 2 {
            credentials = args.next().zip(args.next());
        } else if option.eq_ignore_ascii_case(b"setname") && rest >= 1 {
            let name = args.next().unwrap_or_default();
            if let Err(reply) = check_name(name) {
                return Outcome::Reply(reply);
            }
            // In Redis each option takes effect when it is read, whatever a later one brings.
            match credentials {
                Some(_) => hello.name = Some(name.to_vec()),
                None => client.about.name = name.to_vec(),
            }
        } else {
            return error(&format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option)));
        }
    }
    match credentials {
        Some((user, password)) => authenticate(Some(user), password, Some(hello)),
        None if !admitted => error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be \
             used to authenticate the client and select the RESP protocol version at the same time",
        ),
        None => Outcome::Ask(Ask::Hello(hello)),
    }
}

/// Whether Redis reads this as a number: no sign but a minus, no zero in front.
fn is_integer(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    number.is_some_and(|number| number.to_string().as_bytes() == text)
}

fn authenticate(user: Option<&[u8]>, password: &[u8], hello: Option<Hello>) -> Outcome {
    Outcome::Authenticate(Credentials { user: user.map(<[u8]>::to_vec), password: password.to_vec(), hello })
}

/// The reply to a command of a client that has yet to authenticate. What is wrong with the command itself comes first,
/// as in Redis; the lane is not asked, because the client has no right to it.
pub(crate) fn before_authentication(commands: &CommandTable, request: Request<'_>) -> Vec<u8> {
    /// Bytes of a client's words that an error quotes.
    const QUOTED_MAX: usize = 128;
    let shown = |arg: &[u8], max: usize| String::from_utf8_lossy(arg.get(..max).unwrap_or(arg)).into_owned();
    let container = || str::from_utf8(request.name()).ok().and_then(|name| commands.by_name(name));
    match commands.lookup(request) {
        Some(command) if command.arity_ok(request.argc()) => error_reply("NOAUTH Authentication required."),
        Some(command) => error_reply(&format!("ERR wrong number of arguments for '{}' command", command.name)),
        None if container().is_some() => error_reply(&format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            shown(request.arg(1).unwrap_or_default(), QUOTED_MAX),
            shown(request.name(), QUOTED_MAX).to_uppercase()
        )),
        None => {
            let mut quoted = String::new();
            for arg in request.args().skip(1) {
                let Some(room) = QUOTED_MAX.checked_sub(quoted.len()).filter(|room| *room > 0) else { break };
                quoted += &format!("'{}' ", shown(arg, room));
            }
            error_reply(&format!("ERR unknown command '{}', with args beginning with: {quoted}", shown(request.name(), QUOTED_MAX)))
        }
    }
}

/// The outcome, or the error that the client gets.
fn outcome(parsed: Parsed<Outcome>) -> Outcome {
    parsed.unwrap_or_else(Outcome::Reply)
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    let mut reply = format!("${}\r\n", bytes.len()).into_bytes();
    reply.extend_from_slice(bytes);
    reply.extend_from_slice(b"\r\n");
    reply
}

fn error(text: &str) -> Outcome {
    Outcome::Reply(error_reply(text))
}

/// The reply to a command that this version does not serve.
pub(crate) fn refusal(request: Request<'_>, why: Refused) -> Vec<u8> {
    let name = String::from_utf8_lossy(request.name()).to_uppercase();
    error_reply(&format!("ERR interlay: {name} is refused: {}", why.reason()))
}

/// An error of this text as a reply.
pub(crate) fn error_reply(text: &str) -> Vec<u8> {
    let mut reply = Vec::with_capacity(text.len() + 3);
    interlay_resp::error(text, &mut reply);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_s_reply_names_the_client_and_not_the_lane() {
        let mut reply = b"%2\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:4711\r\n".to_vec();
        put_id(&mut reply, 9);
        assert_eq!(reply, b"%2\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:9\r\n");
        let mut without = b"%0\r\n".to_vec();
        put_id(&mut without, 9);
        assert_eq!(without, b"%0\r\n");
    }
}
