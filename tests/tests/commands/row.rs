//! One row of the table: a command, calls of it, and how far replies have to be alike.

use super::compare::Likeness;

/// Calls of one command, each compared on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The full name as `COMMAND` has it: `get`, `client|id`.
    pub(crate) name: &'static str,
    /// Lines of calls, as [`calls`] reads them.
    pub(crate) calls: &'static str,
    /// How far the replies have to be alike.
    pub(crate) likeness: Likeness,
    /// Why the command's valid calls are not made, if they are not.
    pub(crate) left_out: Option<&'static str>,
    /// Whether a call may change which replies come at all, or end the connection: then it is not repeated in MULTI.
    pub(crate) alone: bool,
}

impl Row {
    const fn new(name: &'static str, calls: &'static str, likeness: Likeness) -> Self {
        Self { name, calls, likeness, left_out: None, alone: false }
    }
}

/// Replies are the same bytes.
pub(super) const fn bytes(name: &'static str, calls: &'static str) -> Row {
    Row::new(name, calls, Likeness::Bytes)
}

/// Replies are the same bytes once the parts of every aggregate are put in order: hash tables have an order of their own.
pub(super) const fn unordered(name: &'static str, calls: &'static str) -> Row {
    Row::new(name, calls, Likeness::Unordered)
}

/// Replies have the same types and lengths of aggregates; errors are the same bytes.
pub(super) const fn shape(name: &'static str, calls: &'static str) -> Row {
    Row::new(name, calls, Likeness::Shape)
}

/// The same, and texts of `name=value` fields have the same names.
pub(super) const fn names(name: &'static str, calls: &'static str) -> Row {
    Row::new(name, calls, Likeness::Names)
}

/// Replies are the same bytes; not repeated in MULTI.
pub(super) const fn alone(name: &'static str, calls: &'static str) -> Row {
    Row { alone: true, ..bytes(name, calls) }
}

/// Only the calls named, which fail, are made: valid ones are left out for the reason given.
pub(super) const fn fails(name: &'static str, calls: &'static str, why: &'static str) -> Row {
    Row { left_out: Some(why), ..bytes(name, calls) }
}

/// The same as [`alone`] and [`fails`].
pub(super) const fn fails_alone(name: &'static str, calls: &'static str, why: &'static str) -> Row {
    Row { left_out: Some(why), ..alone(name, calls) }
}

/// Calls of a text: `;` is between calls, a space between words, and `"` around a word that holds either or nothing.
pub(crate) fn calls(text: &str) -> Vec<Vec<String>> {
    let mut calls = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quoted = false;
    for char in text.chars() {
        match char {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | ';' if !quoted => {
                let call = calls.last_mut().expect("one call at least");
                call.extend(word.take());
                if char == ';' {
                    calls.push(Vec::new());
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!quoted, "a quote is missing in {text}");
    calls.last_mut().expect("one call at least").extend(word);
    calls.retain(|call| !call.is_empty());
    calls
}
