//! Every command of a server, found by name without an allocation.

use interlay_resp::{Frame, Request};

use super::reply::{self, TableError};
use super::{Command, CommandId, Kind};

/// The rows of Redis 7.0; the integration test `command_table` writes and checks the file.
const BUILTIN: &str = include_str!("builtin.txt");

/// Longest full name (`container|subcommand`) in a table, in bytes. Redis 7.0's longest has 23. A command
/// with a longer one is left out, and so unknown.
const NAME_LEN_MAX: usize = 64;

/// Every command of a server, found by name.
#[derive(Debug, Clone)]
pub struct CommandTable {
    commands: Vec<Command>,
    index: NameIndex,
}

impl CommandTable {
    /// The table of Redis 7.0, for a server that refuses `COMMAND`.
    pub fn builtin() -> Self {
        let rows = BUILTIN.lines().filter(|line| !line.starts_with('#'));
        // The rows are part of the program, and a unit test reads each of them.
        Self::new(rows.map(|row| Command::from_row(row).expect("a good row")).collect())
    }

    /// The built-in table with everything in `reply`, a server's answer to `COMMAND`, put over it.
    ///
    /// Commands that only the built-in table has stay: a server without them says so itself. Servers before
    /// Redis 7.0 send neither key specs nor subcommands: a command that the built-in table knows keeps its
    /// own, any other gets a spec from its first, last and step.
    ///
    /// Ask in RESP2: in RESP3, Redis answers with sets of maps, which redis-protocol does not decode.
    ///
    /// # Errors
    ///
    /// [`TableError`] when the reply has not the shape of a `COMMAND` reply.
    pub fn from_reply(reply: &Frame) -> Result<Self, TableError> {
        let Self { mut commands, index } = Self::builtin();
        for reported in reply::commands(reply)? {
            let mut command = reported.command;
            match index.find(command.name.as_bytes(), &commands) {
                Some(known) => {
                    let known = &mut commands[known.index()];
                    if !reported.has_key_specs {
                        command.take_keys_of(known);
                    }
                    *known = command;
                }
                None => commands.push(command),
            }
        }
        Ok(Self::new(commands))
    }

    /// Only what `reply`, a server's answer to `COMMAND`, says; in order of name.
    ///
    /// For comparing servers, and for writing the built-in table.
    ///
    /// # Errors
    ///
    /// As [`Self::from_reply`].
    pub fn reported(reply: &Frame) -> Result<Self, TableError> {
        let mut commands: Vec<_> = reply::commands(reply)?.into_iter().map(|reported| reported.command).collect();
        commands.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self::new(commands))
    }

    /// The command of `request`, its subcommand resolved; names compare without case.
    ///
    /// A container alone (`COMMAND`) is the container. A container with a subcommand that the table does not have is `None`, like any unknown command: to take it for the container, which
    /// has neither flags nor keys, could hide a write.
    pub fn lookup(&self, request: Request<'_>) -> Option<&Command> {
        let name = request.name();
        let command = self.find(name)?;
        match command.kind {
            Kind::Plain => Some(command),
            // As one word, `config|get` is unknown to a server too.
            Kind::Subcommand => None,
            Kind::Container => match request.arg(1) {
                Some(subcommand) => {
                    let mut full_name = [0; NAME_LEN_MAX];
                    let len = name.len() + 1 + subcommand.len();
                    let parts = name.iter().chain(b"|").chain(subcommand);
                    full_name.get_mut(..len)?.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
                    self.find(full_name.get(..len)?)
                }
                None => Some(command),
            },
        }
    }

    /// The name of a command of this table.
    pub fn name(&self, id: CommandId) -> Option<&str> {
        self.iter().nth(id.index()).map(|command| &*command.name)
    }

    /// The command with this full name: `get`, `xgroup|create`.
    pub fn by_name(&self, full_name: &str) -> Option<&Command> {
        self.find(full_name.as_bytes())
    }

    /// Every command, containers and subcommands included, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Command> + use<'_> {
        self.commands.iter()
    }

    fn new(mut commands: Vec<Command>) -> Self {
        commands.retain(|command| command.name.len() <= NAME_LEN_MAX);
        // The ids suffice: a reply has at most 16 384 commands, the built-in table hundreds.
        for (id, command) in (0..).zip(&mut commands) {
            command.id = CommandId(id);
        }
        let index = NameIndex::new(&commands);
        for place in 0..commands.len() {
            let container = commands[place].name.split_once('|').map(|(container, _)| container.as_bytes());
            if let Some(container) = container.and_then(|name| index.find(name, &commands)) {
                commands[container.index()].kind = Kind::Container;
            }
        }
        Self { commands, index }
    }

    fn find(&self, name: &[u8]) -> Option<&Command> {
        self.index.find(name, &self.commands).map(|id| &self.commands[id.index()])
    }
}

/// An open-addressed hash table of ids, never more than half full. Names compare without case.
#[derive(Debug, Clone)]
struct NameIndex {
    slots: Box<[Option<Slot>]>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    head: Head,
    id: CommandId,
}

/// A name's length and its first eight bytes in lower case: all of it, for most commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    word: u64,
    len: usize,
}

impl Head {
    fn of(name: &[u8]) -> Self {
        let mut bytes = [0; size_of::<u64>()];
        bytes.iter_mut().zip(name).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        Self { word: u64::from_le_bytes(bytes), len: name.len() }
    }

    /// Where the search for a name begins; `slots` is a power of two. Only servers choose what is in a table, so the
    /// hash needs to be quick and not more: the upper bits of a product depend on every byte.
    fn place(self, slots: usize) -> usize {
        let hash = (self.word ^ self.len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as usize & (slots - 1)
    }
}

impl NameIndex {
    fn new(commands: &[Command]) -> Self {
        let mut slots = vec![None; (commands.len() * 2 + 1).next_power_of_two()];
        for command in commands {
            let head = Head::of(command.name.as_bytes());
            let mut place = head.place(slots.len());
            while slots[place].is_some() {
                place = (place + 1) & (slots.len() - 1);
            }
            slots[place] = Some(Slot { head, id: command.id });
        }
        Self { slots: slots.into_boxed_slice() }
    }

    /// Ends because at least half of the slots are free. Of two commands with one name, finds the first.
    fn find(&self, name: &[u8], commands: &[Command]) -> Option<CommandId> {
        let head = Head::of(name);
        let mut place = head.place(self.slots.len());
        while let Some(slot) = *self.slots.get(place)? {
            let short = name.len() <= size_of::<u64>();
            if slot.head == head && (short || commands.get(slot.id.index())?.name.as_bytes().eq_ignore_ascii_case(name)) {
                return Some(slot.id);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
        None
    }
}
