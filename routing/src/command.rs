//! What a command is: its flags, its arity, its subcommands and where its keys are.
//!
//! In: a server's `COMMAND` reply, or the built-in table made from one. Out: for a request, its [`Command`]
//! and the positions of its keys.
//! Invariant: a table never changes once built; a [`CommandId`] is a dense index into the table that gave it.
//! What a command *does* to its keys is not known here: that is the effect rules' business.

mod flags;
mod keys;
mod reply;
mod rules;
mod table;
mod text;

use interlay_resp::Request;

pub use flags::Flags;
use keys::KeySpec;
pub use keys::{Access, KeyRef, KeysUnknown};
pub use reply::TableError;
use rules::KeyRule;
pub use table::CommandTable;

/// One command or subcommand, as a server describes it.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its place in its table.
    pub id: CommandId,
    /// Full name in lower case: `get`, `xgroup|create`.
    pub name: Box<str>,
    /// Number of arguments, the name (and the container's) included: exactly so many if positive, at least
    /// `-arity` if negative.
    pub arity: i16,
    /// What the server says of it.
    pub flags: Flags,
    /// Whether it stands for others.
    kind: Kind,
    specs: Box<[KeySpec]>,
    rule: Option<KeyRule>,
}

/// Place of a command in its [`CommandTable`], from 0 and without gaps. Means nothing in another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u16);

/// How a command relates to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A command of its own.
    Plain,
    /// The first word of its subcommands. Only COMMAND does something without one.
    Container,
    /// The second word of a container.
    Subcommand,
}

impl CommandId {
    /// The id as an index, for tables with one row a command.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Command {
    /// A command from its facts. Its id, and whether it is a container, only a table can say.
    fn new(name: Box<str>, arity: i16, flags: Flags, specs: Vec<KeySpec>) -> Self {
        let rule = rules::for_command(&name);
        let kind = if name.contains('|') { Kind::Subcommand } else { Kind::Plain };
        let specs = specs.into_boxed_slice();
        Self { id: CommandId(0), name, arity, flags, kind, specs, rule }
    }

    /// Takes its keys to be where those of `known`, the same command of another table, are.
    fn take_keys_of(&mut self, known: &mut Self) {
        self.specs = std::mem::take(&mut known.specs);
    }

    /// Appends to `out` where the keys of `request`, a request of this command, are.
    ///
    /// The order is the server's own (`COMMAND GETKEYS`), and a key named twice is there twice. A request
    /// that cannot be executed (arguments missing, an impossible count of keys) may have no keys.
    ///
    /// SORT and SORT_RO with a pattern read more keys than their arguments name, as scripts may: see
    /// [`Self::names_all_keys`].
    ///
    /// # Errors
    ///
    /// [`KeysUnknown`] if neither the server nor a rule of ours says where the keys are. `out` is as it was.
    pub fn keys(&self, request: Request<'_>, out: &mut Vec<KeyRef>) -> Result<(), KeysUnknown> {
        match self.rule {
            Some(rule) => {
                rule(request, out);
                Ok(())
            }
            None => keys::by_specs(&self.specs, request, out),
        }
    }

    /// Whether [`Self::keys`] is all that a request can touch, by the server's own account.
    ///
    /// False for SORT and SORT_RO, whose patterns name keys by the values they read.
    pub fn names_all_keys(&self) -> bool {
        !self.specs.iter().any(KeySpec::is_unknown)
    }

    /// Whether the server would accept `argc` arguments, the name included.
    pub fn arity_ok(&self, argc: usize) -> bool {
        let count = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { argc >= count } else { argc == count }
    }
}

#[cfg(test)]
mod tests;
