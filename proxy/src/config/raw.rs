//! Values as text, from wherever they were set, and the problems with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

use super::form::Form;
use super::keys::keys;

/// The keys that were set by flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// Sets a key that no flag has set.
    pub(crate) fn set_unless_given(&mut self, name: &'static str, text: &str) {
        self.0.entry(name).or_insert_with(|| text.to_owned());
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(keys().into_iter().map(|key| {
            let default = if key.default.is_empty() { String::new() } else { format!("; default: {}", key.default) };
            let help = format!("{} [{}{default}; env: {}]", key.help, key.expected, key.env());
            Arg::new(key.name).long(key.flag()).value_name("VALUE").help(help)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name| matches.get_one::<String>(name).cloned().map(|text| (name, text));
        Ok(Self(keys().iter().filter_map(|key| given(key.name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    key: String,
    reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

/// The text of every key that is set, and what was found to be wrong so far.
pub(super) struct Raw {
    /// The text of a key, and where it was set.
    values: BTreeMap<&'static str, (String, String)>,
    problems: Vec<Problem>,
}

impl Raw {
    /// Collects the keys from all places; what a later step sets wins.
    pub(super) fn gather(flags: Flags, env: impl Fn(&str) -> Option<OsString>, file: Option<&Path>) -> Self {
        let mut raw = Self { values: BTreeMap::new(), problems: Vec::new() };
        if let Some(file) = file {
            raw.add_file(file);
        }
        raw.add_env(env);
        for (name, text) in flags.0 {
            raw.values.insert(name, (text, format!("--{}", name.replace('_', "-"))));
        }
        raw
    }

    fn add_file(&mut self, file: &Path) {
        let origin = file.display().to_string();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return self.problem(&origin, format!("cannot be read: {error}")),
        };
        let mut table = match text.parse::<Table>() {
            Ok(table) => table,
            // Not the error's own text: it quotes the line, which may hold a password.
            Err(error) => {
                let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
                return self.problem(&origin, format!("is not TOML at line {line}: {}", error.message()));
            }
        };
        for key in keys() {
            match table.remove(key.name) {
                None => {}
                Some(Value::String(text)) => _ = self.values.insert(key.name, (text, origin.clone())),
                Some(Value::Integer(number)) => _ = self.values.insert(key.name, (number.to_string(), origin.clone())),
                Some(Value::Boolean(switch)) => _ = self.values.insert(key.name, (switch.to_string(), origin.clone())),
                Some(other) => {
                    self.problem(key.name, format!("is a TOML {} in {origin}; expected {}", other.type_str(), key.expected));
                }
            }
        }
        for name in table.keys() {
            self.problem(name, format!("is not a key ({origin})"));
        }
    }

    /// Variables that are no key's are left alone: an orchestrator adds its own for a service of this name.
    fn add_env(&mut self, env: impl Fn(&str) -> Option<OsString>) {
        for key in keys() {
            // An empty variable is what templates leave behind for a value that is not given.
            let Some(value) = env(&key.env()).filter(|value| !value.is_empty()) else { continue };
            match value.into_string() {
                Ok(text) => _ = self.values.insert(key.name, (text, key.env())),
                Err(_) => self.problem(key.name, format!("is not UTF-8 in {}", key.env())),
            }
        }
    }

    /// The value of one key, from its text or its default. None is a problem that has been noted.
    pub(super) fn read<F: Form>(&mut self, name: &str, form: &F, default: &str) -> Option<F::Value> {
        let Some((text, origin)) = self.values.get(name) else {
            let value = form.read(default).ok();
            if value.is_none() {
                self.problem(name, format!("is not set; expected {}", form.expected()));
            }
            return value;
        };
        match form.read(text) {
            Ok(value) => Some(value),
            Err(why) => {
                let reason = format!("{} ({origin}) {why}; expected {}", form.shown(text), form.expected());
                self.problem(name, reason);
                None
            }
        }
    }

    /// Notes that a key's value is right in itself, but not beside the others.
    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        self.problem(name, reason.to_owned());
    }

    /// Every problem, in the order in which they were found.
    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    fn problem(&mut self, key: &str, reason: String) {
        self.problems.push(Problem { key: key.to_owned(), reason });
    }
}
