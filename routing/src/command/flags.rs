//! The flags of a command.

use std::ops::BitOr;

/// A set of command flags; the names are those of a server's `COMMAND` reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every flag with its name, in the order of the bits.
            const NAMES: &[(&str, Self)] = &[$(($text, Self::$name)),*];
        }
    };
}

flags! {
    /// May change data.
    WRITE = 0 "write";
    /// Reads keys and changes nothing.
    READONLY = 1 "readonly";
    /// Refused by a server that is out of memory.
    DENYOOM = 2 "denyoom";
    /// For operators.
    ADMIN = 3 "admin";
    /// Publishing and subscribing.
    PUBSUB = 4 "pubsub";
    /// Not callable from scripts.
    NOSCRIPT = 5 "noscript";
    /// May wait for data.
    BLOCKING = 6 "blocking";
    /// Allowed while the server loads its data.
    LOADING = 7 "loading";
    /// Allowed on a replica with stale data.
    STALE = 8 "stale";
    /// Constant or logarithmic time.
    FAST = 9 "fast";
    /// Allowed before authentication.
    NO_AUTH = 10 "no_auth";
    /// Fixed positions do not describe all its keys.
    MOVABLE_KEYS = 11 "movablekeys";
    /// Allowed while a script blocks the server.
    ALLOW_BUSY = 12 "allow_busy";
    /// Not allowed in a transaction.
    NO_MULTI = 13 "no_multi";
    /// Not allowed while a replica loads its data in the background.
    NO_ASYNC_LOADING = 14 "no_async_loading";
    /// Takes keys, and works without any.
    NO_MANDATORY_KEYS = 15 "no_mandatory_keys";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 16 "skip_monitor";
    /// Not in the slow log.
    SKIP_SLOWLOG = 17 "skip_slowlog";
    /// Executed by a cluster node that is importing the slot.
    ASKING = 18 "asking";
    /// Comes from a module.
    MODULE = 19 "module";
    /// Tip: the same request on the same data may have another reply.
    NONDETERMINISTIC_OUTPUT = 20 "nondeterministic_output";
    /// Tip: the elements of the reply have no defined order.
    NONDETERMINISTIC_ORDER = 21 "nondeterministic_output_order";
}

impl Flags {
    /// Whether every flag of `other` is in the set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flag of that name. A name that means nothing to us is the empty set.
    ///
    /// Servers before Redis 7.0 call the two tips `random` and `sort_for_script`.
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"random" => Self::NONDETERMINISTIC_OUTPUT,
            b"sort_for_script" => Self::NONDETERMINISTIC_ORDER,
            _ => {
                let mut names = Self::NAMES.iter();
                names.find(|(text, _)| text.as_bytes() == name).map(|&(_, flag)| flag).unwrap_or_default()
            }
        }
    }

    /// The names of the flags in the set, in the order of the bits.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(_, flag)| self.contains(*flag)).map(|&(text, _)| text)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Self> for Flags {
    fn from_iter<T: IntoIterator<Item = Self>>(flags: T) -> Self {
        flags.into_iter().fold(Self::default(), Self::bitor)
    }
}
