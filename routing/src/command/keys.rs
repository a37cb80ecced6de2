//! Key specs: where a command's keys are, as the server describes it.
//!
//! A spec says where its keys begin (at an index, or behind a keyword) and how to find them from there
//! (a range, or a count that is itself an argument). Indices count the command's name as 0.
//! Invariant: work and memory are bounded by the arguments that are there, whatever numbers they hold.

use std::num::NonZeroU16;
use std::ops::Range;

use interlay_resp::Request;

/// A key of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRef {
    /// Index of the argument, the command's name being 0; always less than `argc`.
    pub arg: usize,
    /// What the command may do to it.
    pub access: Access,
}

/// What a command may do to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only look at it.
    Read,
    /// Create, change or delete it, whether or not it also reads it.
    Write,
}

/// Where the keys of a request are cannot be told from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of this command are not known")]
pub struct KeysUnknown;

/// One way in which a command takes keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySpec {
    pub(super) access: Access,
    pub(super) begin: Begin,
    pub(super) find: Find,
    /// Placed like a key without being one: a sharded channel.
    pub(super) not_key: bool,
    /// There may be keys which the spec does not find.
    pub(super) incomplete: bool,
}

/// Where the keys of a spec begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begin {
    Index(u16),
    /// Behind the word, looked for from `from` onwards; if negative, from that far before the end backwards.
    Keyword {
        word: Box<str>,
        from: i16,
    },
    Unknown,
}

/// How the keys of a spec go on from where they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Find {
    /// Every `step`th argument up to `last`, counted from the first key, or, if negative, from the end of
    /// the first `1 / limit` of what is there.
    Range {
        last: i16,
        step: NonZeroU16,
        limit: u16,
    },
    /// `count_at` behind the beginning is how many keys there are, `first` behind it the first of them.
    Counted {
        count_at: u16,
        first: u16,
        step: NonZeroU16,
    },
    Unknown,
}

/// What a spec makes of a request.
enum Fit {
    /// Keys in these arguments, every `step`th.
    Keys { args: Range<usize>, step: NonZeroU16 },
    /// The request does not use the part that the spec is about.
    Absent,
    /// No server executes the request.
    Malformed,
}

/// Appends the keys that `specs` find in `request`.
pub(super) fn by_specs(specs: &[KeySpec], request: Request<'_>, out: &mut Vec<KeyRef>) -> Result<(), KeysUnknown> {
    let before = out.len();
    for spec in specs.iter().filter(|spec| !spec.not_key) {
        match spec.fit(request) {
            Ok(Fit::Keys { args, step }) => {
                let args = args.step_by(usize::from(step.get()));
                out.extend(args.map(|arg| KeyRef { arg, access: spec.access }));
            }
            Ok(Fit::Absent) => {}
            Ok(Fit::Malformed) => {
                out.truncate(before);
                return Ok(());
            }
            Err(unknown) => {
                out.truncate(before);
                return Err(unknown);
            }
        }
    }
    Ok(())
}

impl KeySpec {
    /// The spec of a server that says no more than that it does not know.
    pub(super) fn unknown(access: Access) -> Self {
        Self { access, begin: Begin::Unknown, find: Find::Unknown, not_key: false, incomplete: true }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.begin == Begin::Unknown || self.find == Find::Unknown
    }

    fn fit(&self, request: Request<'_>) -> Result<Fit, KeysUnknown> {
        if self.incomplete {
            return Err(KeysUnknown);
        }
        let begin = match &self.begin {
            Begin::Index(index) => usize::from(*index),
            Begin::Keyword { word, from } => match find_keyword(request, word, *from) {
                Some(at) => at + 1,
                None => return Ok(Fit::Absent),
            },
            Begin::Unknown => return Err(KeysUnknown),
        };
        match self.find {
            Find::Range { last, step, limit } => Ok(ranged(request.argc(), begin, last, step, limit)),
            Find::Counted { count_at, first, step } => {
                let count = request.arg(begin + usize::from(count_at)).and_then(key_count);
                let args = count.and_then(|count| counted(request.argc(), begin + usize::from(first), count, step));
                Ok(args.map_or(Fit::Malformed, |args| Fit::Keys { args, step }))
            }
            Find::Unknown => Err(KeysUnknown),
        }
    }
}

/// Where `word` is, without case. The last argument is not looked at: no key could follow.
fn find_keyword(request: Request<'_>, word: &str, from: i16) -> Option<usize> {
    let distance = usize::from(from.unsigned_abs());
    let is_word = |arg: &[u8]| arg.eq_ignore_ascii_case(word.as_bytes());
    let last = request.argc().checked_sub(1)?;
    if from >= 0 {
        let mut args = request.args().enumerate().take(last).skip(distance.max(1));
        args.find(|(_, arg)| is_word(arg)).map(|(at, _)| at)
    } else {
        let args = request.args().enumerate().take(last.min((last + 2).saturating_sub(distance))).skip(1);
        args.filter(|(_, arg)| is_word(arg)).map(|(at, _)| at).last()
    }
}

fn ranged(argc: usize, begin: usize, last: i16, step: NonZeroU16, limit: u16) -> Fit {
    let distance = usize::from(last.unsigned_abs());
    let end = if last >= 0 {
        (begin + distance + 1).min(argc)
    } else if limit <= 1 {
        (argc + 1).saturating_sub(distance)
    } else {
        let there = argc.saturating_sub(begin) / usize::from(limit);
        (begin + there + 1).saturating_sub(distance)
    };
    if begin < end { Fit::Keys { args: begin..end, step } } else { Fit::Absent }
}

/// The arguments of `count` keys from `begin` on, if they are all there.
fn counted(argc: usize, begin: usize, count: usize, step: NonZeroU16) -> Option<Range<usize>> {
    let end = count.checked_sub(1)?.checked_mul(usize::from(step.get()))?.checked_add(begin)?.checked_add(1)?;
    (end <= argc).then_some(begin..end)
}

/// A count of keys as a server reads it: plain decimal, at least 1.
pub(super) fn key_count(arg: &[u8]) -> Option<usize> {
    match arg {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => std::str::from_utf8(arg).ok()?.parse().ok(),
        _ => None,
    }
}
