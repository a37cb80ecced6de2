//! What a write that cannot be repeated as it is becomes on the secondary.
//!
//! In: the request, the authority's reply to it, and what time it is on the secondary. Out: the requests that change the
//! secondary in the same way, as far as possible such that their replies tell whether it was in the same state before. Pure,
//! and a rule for each kind of command.
//!
//! - What chance has chosen is named: SPOP becomes SREM, XADD gets the id of the reply.
//! - A time to live becomes a deadline on the secondary's clock. Conditions that held are dropped.
//! - What was claimed by its age is named, as is what was found to be deleted.
//!
//! A reply that a rule does not understand is a newer server's: then the key is repaired.

mod claims;
mod expiry;
mod fields;
mod substitute;

use interlay_resp::{Limits, ReplyScan, ReplyScanner, Request};

use crate::effect::{Effect, Why, XaddId, xadd_id};

pub(crate) use expiry::{carries_deadline, deadline_of};
pub(crate) use substitute::Substitute;

/// How a request and its reply become what the secondary gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// SPOP: SREM of what was popped.
    Popped,
    /// XADD: with the id of the reply.
    Id,
    /// XADD that trims as suits the server's layout: with the id of the reply, and without trimming.
    Untrimmed,
    /// INCRBYFLOAT: SET of the value in the reply.
    Float,
    /// EXPIRE and PEXPIRE: PEXPIREAT, or DEL if the time is already up.
    Ttl(Unit),
    /// EXPIREAT and PEXPIREAT with a condition: without it.
    Deadline,
    /// SETEX and PSETEX: SET with a deadline.
    SetWithTtl(Unit),
    /// SET: with a deadline, without conditions.
    Set,
    /// Options from this argument on, up to FIELDS if there is such: with a deadline, without conditions.
    Options(usize),
    /// As [`Rule::Options`], behind as many pairs as the first argument says.
    OptionsBehindPairs,
    /// RESTORE: with a deadline.
    Restore,
    /// HEXPIRE and its kin: HPEXPIREAT of the fields that have got a deadline, HDEL of those that it has removed.
    Fields(Fields),
    /// XCLAIM: of what the reply names, whatever its age.
    Claim,
    /// XAUTOCLAIM: XCLAIM of what the reply names.
    AutoClaim,
}

/// What HEXPIRE and its kin say of the fields' time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// How long they live.
    Ttl(Unit),
    /// Until when they live.
    Deadline(Unit),
}

/// The unit of a request's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 1000 of the other.
    Seconds,
    /// Of a second.
    Millis,
}

/// What the secondary gets for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing: the write has changed nothing.
    Nothing,
    /// The same request.
    Same,
    /// The requests of the [`Substitute`].
    Substitute,
    /// Nothing that is known: the keys must be repaired.
    Repair,
}

/// What `reply` makes of a write's effect. `now_ms` is the secondary's time since 1970, if that is known.
pub(crate) fn outcome(effect: Effect, request: Request<'_>, reply: &[u8], now_ms: Option<u64>, out: &mut Substitute) -> Outcome {
    match effect {
        Effect::Nothing => Outcome::Nothing,
        Effect::VerbatimUnlessNone | Effect::AcrossDbs | Effect::Unrepeatable(Why::Layout) if is_none(reply) => Outcome::Nothing,
        Effect::Unrepeatable(_) => Outcome::Repair,
        Effect::Rewritten(rule) => {
            out.clear();
            rewrite(rule, request, reply, now_ms, out).unwrap_or(Outcome::Repair)
        }
        _ => Outcome::Same,
    }
}

/// None: the key must be repaired.
fn rewrite(rule: Rule, request: Request<'_>, reply: &[u8], now_ms: Option<u64>, out: &mut Substitute) -> Option<Outcome> {
    if rule != Rule::Set && !matches!(rule, Rule::Claim | Rule::AutoClaim) && is_none(reply) {
        return Some(Outcome::Nothing);
    }
    match rule {
        Rule::Popped => popped(request, reply, out),
        Rule::Id => id(request, reply, false, out),
        Rule::Untrimmed => id(request, reply, true, out),
        Rule::Float => float(request, reply, out),
        Rule::Ttl(unit) => expiry::ttl(request, reply, unit, now_ms?, out),
        Rule::Deadline => expiry::deadline(request, reply, out),
        Rule::SetWithTtl(unit) => expiry::set_with_ttl(request, unit, now_ms?, out),
        Rule::Set => match expiry::has_set(request, reply)? {
            true => expiry::options(request, 3, reply, now_ms, out),
            false => return Some(Outcome::Nothing),
        },
        Rule::Options(from) => expiry::options(request, from, reply, now_ms, out),
        Rule::OptionsBehindPairs => {
            let pairs: usize = number(request.arg(1)?)?;
            expiry::options(request, pairs.checked_mul(2)?.checked_add(2)?, reply, now_ms, out)
        }
        Rule::Restore => expiry::restore(request, reply, now_ms?, out),
        Rule::Fields(kind) => return fields::expire(request, reply, kind, now_ms, out),
        Rule::Claim => claims::claim(request, reply, now_ms, out),
        Rule::AutoClaim => claims::auto_claim(request, reply, out),
    }?;
    Some(Outcome::Substitute)
}

/// SPOP key \[count\].
fn popped(request: Request<'_>, reply: &[u8], out: &mut Substitute) -> Option<()> {
    let key = request.arg(1)?;
    if let Some(member) = bulk(reply) {
        out.request(|arg| each(arg, [&b"SREM"[..], key, member]))?;
        out.expect_number(1);
    } else {
        out.request(|arg| {
            each(arg, [b"SREM", key])?;
            items(reply)?.try_for_each(|member| bulk(member).map(&mut *arg))
        })?;
        out.expect_number(items(reply)?.count() as u64);
    }
    Some(())
}

/// XADD whose id the server has completed.
fn id(request: Request<'_>, reply: &[u8], untrimmed: bool, out: &mut Substitute) -> Option<()> {
    let (XaddId { at, trims, .. }, id) = (xadd_id(request)?, bulk(reply)?);
    let trims = if untrimmed { trims.0..trims.1 } else { 0..0 };
    out.request(|arg| {
        request
            .args()
            .enumerate()
            .filter(|(index, _)| !trims.contains(index))
            .for_each(|(index, given)| arg(if index == at { id } else { given }));
        Some(())
    })?;
    out.answered_by(reply);
    Some(())
}

/// INCRBYFLOAT key increment.
fn float(request: Request<'_>, reply: &[u8], out: &mut Substitute) -> Option<()> {
    let (key, value) = (request.arg(1)?, bulk(reply)?);
    out.request(|arg| each(arg, [&b"SET"[..], key, value, b"KEEPTTL"]))?;
    out.answered_by(b"+OK\r\n");
    Some(())
}

/// Takes the arguments of a request that is being written.
type Arg<'f> = &'f mut dyn FnMut(&[u8]);

fn each<'a>(arg: Arg<'_>, args: impl IntoIterator<Item = &'a [u8]>) -> Option<()> {
    args.into_iter().for_each(arg);
    Some(())
}

/// Whether a reply is 0, nil or nothing at all.
fn is_none(reply: &[u8]) -> bool {
    matches!(reply, b":0\r\n" | b"$-1\r\n" | b"_\r\n" | b"*-1\r\n" | b"*0\r\n" | b"~0\r\n")
}

/// What is in a bulk string.
fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let (head, rest) = line(reply.strip_prefix(b"$")?)?;
    rest.get(..number(head)?)
}

/// What is in an array or a set.
fn items(reply: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (head, mut rest) = line(reply)?;
    let limits = Limits::of_replies();
    matches!(head.first(), Some(b'*' | b'~')).then_some(std::iter::from_fn(move || {
        let Ok(ReplyScan::Complete { len, .. }) = ReplyScanner::default().scan(rest, &limits) else { return None };
        let (item, behind) = rest.split_at(len);
        rest = behind;
        Some(item)
    }))
}

/// The first line of a reply, and what is behind it.
fn line(reply: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = reply.iter().position(|byte| *byte == b'\r')?;
    Some((reply.get(..end)?, reply.get(end + 2..)?))
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
