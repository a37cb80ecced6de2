//! A server's answer to `COMMAND`, read.
//!
//! In: the decoded reply. Out: the commands and subcommands it describes, in its order. Fields and names that
//! mean nothing to us are passed over, so servers may add their own; a field of the wrong shape is an error.

use std::num::NonZeroU16;

use interlay_resp::Frame;

use super::keys::{Access, Begin, Find, KeySpec};
use super::{Command, Flags};

/// Most commands and subcommands a reply may have. Redis 7.0 has 366, and modules add tens each.
const COMMANDS_MAX: usize = 16_384;

/// Why a reply is not a `COMMAND` reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The server answered with an error or something else that is no list.
    #[error("the reply is not a list of commands")]
    NotAList,
    /// The list is longer than any server's.
    #[error("more than {COMMANDS_MAX} commands")]
    TooMany,
    /// A command is not described as servers do it.
    #[error("command {position}: bad {field}")]
    Entry {
        /// Position in the list, from 0.
        position: usize,
        /// The field that has the wrong shape.
        field: &'static str,
    },
}

/// A command, and how much of it the server said.
pub(super) struct Reported {
    pub(super) command: Command,
    /// False for servers before Redis 7.0.
    pub(super) has_key_specs: bool,
}

/// The commands that `reply` describes, each followed by its subcommands.
pub(super) fn commands(reply: &Frame) -> Result<Vec<Reported>, TableError> {
    let mut commands = Vec::new();
    for (position, entry) in items(reply).ok_or(TableError::NotAList)?.enumerate() {
        let in_entry = |BadField(field)| TableError::Entry { position, field };
        let fields = fields_of(entry).map_err(in_entry)?;
        let container = command(&fields, None).map_err(in_entry)?;
        let name = container.command.name.clone();
        commands.push(container);
        for entry in fields.get(9).and_then(|&frame| items(frame)).into_iter().flatten() {
            let fields = fields_of(entry).map_err(in_entry)?;
            commands.push(command(&fields, Some(&name)).map_err(in_entry)?);
        }
        if commands.len() > COMMANDS_MAX {
            return Err(TableError::TooMany);
        }
    }
    Ok(commands)
}

/// The field, by name, that has the wrong shape.
struct BadField(&'static str);

fn fields_of(entry: &Frame) -> Result<Vec<&Frame>, BadField> {
    Ok(items(entry).ok_or(BadField("entry"))?.collect())
}

/// One entry: name, arity, flags, first, last, step, then since 6.0 ACL categories, and since 7.0 tips, key
/// specs, subcommands.
fn command(fields: &[&Frame], container: Option<&str>) -> Result<Reported, BadField> {
    let field = |at: usize, name| fields.get(at).copied().ok_or(BadField(name));
    let name = text(field(0, "name")?).ok_or(BadField("name"))?;
    let name = name_in(container, std::str::from_utf8(name).map_err(|_| BadField("name"))?);
    let arity = number(field(1, "arity")?).ok_or(BadField("arity"))?;
    let mut flags: Flags = names(field(2, "flags")?).ok_or(BadField("flags"))?.collect();
    if let Some(tips) = fields.get(7) {
        flags = flags | names(tips).ok_or(BadField("tips"))?.collect();
    }
    let mut specs = match fields.get(8) {
        Some(specs) => {
            let specs = items(specs).ok_or(BadField("key specs"))?;
            specs.map(|spec| key_spec(spec).ok_or(BadField("key spec"))).collect::<Result<_, _>>()?
        }
        None => legacy_spec(fields, flags).ok_or(BadField("first, last or step"))?,
    };
    let may_write = flags.contains(Flags::WRITE);
    if flags.contains(Flags::MOVABLE_KEYS) && specs.is_empty() {
        specs.push(KeySpec::unknown(if may_write { Access::Write } else { Access::Read }));
    }
    // XREADGROUP's spec speaks of the entries, which it only reads; but it changes the key's group.
    if may_write && specs.iter().all(|spec| spec.access == Access::Read) {
        specs.iter_mut().for_each(|spec| spec.access = Access::Write);
    }
    Ok(Reported { command: Command::new(name, arity, flags, specs), has_key_specs: fields.len() > 8 })
}

/// The full name in lower case; Redis gives it in full, others may give a subcommand's own word.
fn name_in(container: Option<&str>, name: &str) -> Box<str> {
    let name = name.to_ascii_lowercase();
    match container {
        Some(container) if !name.contains('|') => format!("{container}|{name}").into(),
        _ => name.into(),
    }
}

/// The spec that first, last and step amount to: none if there is no first key.
fn legacy_spec(fields: &[&Frame], flags: Flags) -> Option<Vec<KeySpec>> {
    let first: u16 = number(fields.get(3)?)?;
    let last: i16 = number(fields.get(4)?)?;
    let access = if flags.contains(Flags::WRITE) { Access::Write } else { Access::Read };
    if first == 0 {
        return Some(Vec::new());
    }
    let step = step(fields.get(5)?)?;
    // A last that is not from the end counts from the name; a spec's from the first key.
    let last = if last < 0 { last } else { last.saturating_sub(i16::try_from(first).ok()?).max(0) };
    let find = Find::Range { last, step, limit: 0 };
    let incomplete = flags.contains(Flags::MOVABLE_KEYS);
    Some(vec![KeySpec { access, begin: Begin::Index(first), find, not_key: false, incomplete }])
}

fn key_spec(frame: &Frame) -> Option<KeySpec> {
    let flags = items(value(frame, "flags")?)?.filter_map(text).collect::<Vec<_>>();
    let is = |name: &[u8]| flags.contains(&name);
    Some(KeySpec {
        access: if is(b"RO") { Access::Read } else { Access::Write },
        begin: begin(value(frame, "begin_search")?)?,
        find: find(value(frame, "find_keys")?)?,
        not_key: is(b"not_key"),
        incomplete: is(b"incomplete"),
    })
}

fn begin(frame: &Frame) -> Option<Begin> {
    let spec = value(frame, "spec")?;
    Some(match text(value(frame, "type")?)? {
        b"index" => Begin::Index(number(value(spec, "index")?)?),
        b"keyword" => Begin::Keyword {
            word: std::str::from_utf8(text(value(spec, "keyword")?)?).ok()?.into(),
            from: number(value(spec, "startfrom")?)?,
        },
        _ => Begin::Unknown,
    })
}

fn find(frame: &Frame) -> Option<Find> {
    let spec = value(frame, "spec")?;
    Some(match text(value(frame, "type")?)? {
        b"range" => Find::Range {
            last: number(value(spec, "lastkey")?)?,
            step: step(value(spec, "keystep")?)?,
            limit: number(value(spec, "limit")?)?,
        },
        b"keynum" => Find::Counted {
            count_at: number(value(spec, "keynumidx")?)?,
            first: number(value(spec, "firstkey")?)?,
            step: step(value(spec, "keystep")?)?,
        },
        _ => Find::Unknown,
    })
}

fn names(frame: &Frame) -> Option<impl Iterator<Item = Flags>> {
    Some(items(frame)?.filter_map(text).map(Flags::named))
}

/// The elements of an array or set.
fn items(frame: &Frame) -> Option<Box<dyn Iterator<Item = &Frame> + '_>> {
    match frame {
        Frame::Array { data, .. } => Some(Box::new(data.iter())),
        Frame::Set { data, .. } => Some(Box::new(data.iter())),
        _ => None,
    }
}

/// The value of `key` in a map, or in an array of keys and values.
fn value<'a>(frame: &'a Frame, key: &str) -> Option<&'a Frame> {
    let is_key = |frame: &Frame| text(frame) == Some(key.as_bytes());
    match frame {
        Frame::Map { data, .. } => data.iter().find(|(name, _)| is_key(name)).map(|(_, value)| value),
        Frame::Array { data, .. } => data.chunks_exact(2).find(|pair| is_key(&pair[0])).map(|pair| &pair[1]),
        _ => None,
    }
}

fn text(frame: &Frame) -> Option<&[u8]> {
    match frame {
        Frame::BlobString { data, .. } | Frame::SimpleString { data, .. } => Some(data),
        _ => None,
    }
}

fn number<T: TryFrom<i64>>(frame: &Frame) -> Option<T> {
    match frame {
        Frame::Number { data, .. } => T::try_from(*data).ok(),
        _ => None,
    }
}

fn step(frame: &Frame) -> Option<NonZeroU16> {
    NonZeroU16::new(number(frame)?)
}
