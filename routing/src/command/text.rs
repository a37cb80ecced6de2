//! The built-in table's text: one row a command, `name arity flags spec...`.
//!
//! Flags are joined with commas, `-` is none. A spec is `access:begin:find`, then `:not_key` or `:incomplete`:
//! `write:index=2:range=-1,1,0` is every argument from 2 to the last (last key, step, limit),
//! `read:index=1:counted=0,1,1` as many keys as argument 1 says, from 2 on (count, first key, step),
//! `read:keyword=STREAMS,1:range=-1,1,2` what follows the word, looked for from 1 on.
//! Invariant: a row that is written reads back as the same command.

use std::fmt;
use std::str::FromStr;

use super::keys::{Access, Begin, Find, KeySpec};
use super::{Command, CommandTable, Flags};

impl Command {
    /// The command that `row` describes; `None` if it is broken.
    pub(super) fn from_row(row: &str) -> Option<Self> {
        let mut columns = row.split(' ');
        let name = columns.next()?.into();
        let arity = columns.next()?.parse().ok()?;
        let flags = match columns.next()? {
            "-" => Flags::default(),
            names => names.split(',').map(known_flag).collect::<Option<_>>()?,
        };
        let specs = columns.map(spec).collect::<Option<_>>()?;
        Some(Self::new(name, arity, flags, specs))
    }
}

fn known_flag(name: &str) -> Option<Flags> {
    Some(Flags::named(name.as_bytes())).filter(|flag| *flag != Flags::default())
}

fn spec(column: &str) -> Option<KeySpec> {
    let mut parts = column.split(':');
    let access = match parts.next()? {
        "read" => Access::Read,
        "write" => Access::Write,
        _ => return None,
    };
    let begin = begin(parts.next()?)?;
    let find = find(parts.next()?)?;
    let mut spec = KeySpec { access, begin, find, not_key: false, incomplete: false };
    for mark in parts {
        match mark {
            "not_key" => spec.not_key = true,
            "incomplete" => spec.incomplete = true,
            _ => return None,
        }
    }
    Some(spec)
}

fn begin(part: &str) -> Option<Begin> {
    Some(match part.split_once('=').unwrap_or((part, "")) {
        ("index", index) => Begin::Index(index.parse().ok()?),
        ("keyword", operands) => {
            let (word, from) = operands.split_once(',')?;
            Begin::Keyword { word: word.into(), from: from.parse().ok()? }
        }
        ("unknown", "") => Begin::Unknown,
        _ => return None,
    })
}

fn find(part: &str) -> Option<Find> {
    let (kind, operands) = part.split_once('=').unwrap_or((part, ""));
    let mut operands = operands.split(',');
    Some(match kind {
        "range" => Find::Range { last: next(&mut operands)?, step: next(&mut operands)?, limit: next(&mut operands)? },
        "counted" => Find::Counted { count_at: next(&mut operands)?, first: next(&mut operands)?, step: next(&mut operands)? },
        "unknown" => Find::Unknown,
        _ => return None,
    })
}

fn next<'a, T: FromStr>(operands: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    operands.next()?.parse().ok()
}

/// The rows of the table, in order of id, each with its line feed.
impl fmt::Display for CommandTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|command| writeln!(f, "{command}"))
    }
}

/// The row of the command.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.name, self.arity)?;
        if self.flags == Flags::default() {
            f.write_str("-")?;
        }
        for (place, name) in self.flags.names().enumerate() {
            write!(f, "{}{name}", if place == 0 { "" } else { "," })?;
        }
        self.specs.iter().try_for_each(|spec| write!(f, " {spec}"))
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.access {
            Access::Read => "read:",
            Access::Write => "write:",
        })?;
        match &self.begin {
            Begin::Index(index) => write!(f, "index={index}:")?,
            Begin::Keyword { word, from } => write!(f, "keyword={word},{from}:")?,
            Begin::Unknown => f.write_str("unknown:")?,
        }
        match self.find {
            Find::Range { last, step, limit } => write!(f, "range={last},{step},{limit}")?,
            Find::Counted { count_at, first, step } => write!(f, "counted={count_at},{first},{step}")?,
            Find::Unknown => f.write_str("unknown")?,
        }
        let marks = [(self.not_key, ":not_key"), (self.incomplete, ":incomplete")];
        marks.iter().filter(|(is_set, _)| *is_set).try_for_each(|(_, mark)| f.write_str(mark))
    }
}
