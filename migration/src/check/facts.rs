//! What was learned of two servers: all that the checks look at.

use std::collections::BTreeMap;

use interlay_routing::{BySide, Side};

use super::canary::Canary;
use super::needs::Need;

/// Both servers, and what is between them.
#[derive(Debug, Default)]
pub(super) struct World {
    /// What each says of itself.
    pub(super) of: BySide<Facts>,
    /// Commands that the source has been asked, and whether the target has them.
    pub(super) used: Vec<Used>,
    /// Databases with keys on the source that the target refuses.
    pub(super) missing_databases: Vec<u32>,
    /// How far the target's clock is ahead of the source's, and how exactly that is known. Unit: microseconds.
    pub(super) clock_ahead_us: Option<(i64, u64)>,
    /// What became of the canaries.
    pub(super) canaries: Vec<Canary>,
    /// Why the source took no canaries, so that keys of its own were dumped.
    pub(super) source_refused_canaries: Option<String>,
    /// A sample of the source's keys.
    pub(super) sample: Vec<Sampled>,
    /// Databases of the target of whose keys a sample was taken, and how many of the sample the source does not have.
    pub(super) strangers: Vec<(u32, usize)>,
    /// What could not be asked: the side, the command, and the server's words.
    pub(super) refused: Vec<(Side, &'static str, String)>,
}

/// What a server says of itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// INFO's fields.
    pub(super) info: Fields,
    /// CONFIG GET's parameters; empty if it is refused.
    pub(super) config: Fields,
    /// The user that the URL's credentials are of.
    pub(super) user: Option<String>,
    /// Needed commands that it refuses, and how.
    pub(super) denied: Vec<(&'static Need, Denial)>,
    /// Its modules.
    pub(super) modules: Vec<Module>,
    /// How many libraries of functions it has.
    pub(super) libraries: usize,
}

/// Why a needed command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The server does not have it.
    Missing,
    /// The user may not run it.
    Command,
    /// The user may run it, but not on this key or channel.
    Key,
}

/// A module of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// Its version, as it counts them.
    pub(super) version: u64,
    /// Its commands, in lower case, where the server tells.
    pub(super) commands: Vec<String>,
}

/// A command that the source has been asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Its name in lower case, with `|` before a subcommand.
    pub(super) name: String,
    /// How often.
    pub(super) calls: u64,
    /// Whether it reads or writes data.
    pub(super) of_data: bool,
    /// Whether the target has it.
    pub(super) on_target: bool,
}

/// A key of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sampled {
    /// Its database.
    pub(super) db: u32,
    /// The key.
    pub(super) key: Vec<u8>,
    /// What TYPE says.
    pub(super) kind: String,
    /// What MEMORY USAGE says. Unit: bytes. 0 if it is refused.
    pub(super) bytes: u64,
}

/// Names and values, as INFO and CONFIG GET give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) BTreeMap<String, String>);

impl Fields {
    /// Reads an INFO text.
    pub(super) fn of_info(text: &str) -> Self {
        Self(text.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A value; none if it is absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// Types that servers have without modules.
const CORE_TYPES: &[&str] = &["string", "list", "set", "zset", "hash", "stream", "none"];

impl Sampled {
    /// Whether a module has made it.
    pub(super) fn is_of_a_module(&self) -> bool {
        !CORE_TYPES.contains(&self.kind.as_str())
    }
}

impl Facts {
    /// What kind of server it is.
    pub(super) fn kind(&self) -> &'static str {
        let has = |name| self.info.text(name).is_some();
        match self.info.text("server_name") {
            Some("valkey") => "Valkey",
            _ if has("valkey_version") => "Valkey",
            _ if has("dragonfly_version") => "Dragonfly",
            _ if has("keydb_version") || has("mvcc_depth") => "KeyDB",
            _ if has("redis_version") => "Redis",
            _ => "unknown",
        }
    }

    /// Its version in its own numbers.
    pub(super) fn version(&self) -> &str {
        let own = self.info.text("valkey_version").or_else(|| self.info.text("dragonfly_version"));
        own.or_else(|| self.info.text("redis_version")).unwrap_or("of unknown version")
    }

    /// The major version of the Redis that it is compatible with; 0 if it does not tell.
    pub(super) fn major(&self) -> u64 {
        self.info.text("redis_version").and_then(|version| version.split('.').next()?.parse().ok()).unwrap_or(0)
    }

    /// Databases with keys, and how many they have.
    pub(super) fn keyspace(&self) -> impl Iterator<Item = (u32, u64)> {
        self.info.0.iter().filter_map(|(name, value)| {
            let db = name.strip_prefix("db")?.parse().ok()?;
            let keys = value.split(',').find_map(|part| part.strip_prefix("keys="))?.parse().ok()?;
            Some((db, keys))
        })
    }

    /// Commands that it has been asked, in lower case, and how often.
    pub(super) fn calls(&self) -> impl Iterator<Item = (&str, u64)> {
        self.info.0.iter().filter_map(|(name, value)| {
            let calls = value.split(',').find_map(|part| part.strip_prefix("calls="))?.parse().ok()?;
            Some((name.strip_prefix("cmdstat_")?, calls))
        })
    }
}
