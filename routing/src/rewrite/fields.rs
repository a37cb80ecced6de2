//! Deadlines of a hash's fields.

use interlay_resp::Request;

use super::substitute::Digits;
use super::{Fields, Outcome, Substitute, each, items};

/// A field has got the deadline.
const SET: &[u8] = b":1\r\n";
/// The deadline was past, and the field is gone.
const REMOVED: &[u8] = b":2\r\n";
/// The condition did not hold, or there is no such field.
const UNCHANGED: [&[u8]; 2] = [b":0\r\n", b":-2\r\n"];

/// HEXPIRE, HPEXPIRE, HEXPIREAT or HPEXPIREAT key time \[condition\] FIELDS count field..., answered with a number for each field.
pub(super) fn expire(request: Request<'_>, reply: &[u8], kind: Fields, now_ms: Option<u64>, out: &mut Substitute) -> Option<Outcome> {
    if !items(reply)?.all(|item| item == SET || item == REMOVED || UNCHANGED.contains(&item)) {
        return None;
    }
    let (key, time) = (request.arg(1)?, request.arg(2)?);
    let first = request.args().position(|arg| arg.eq_ignore_ascii_case(b"fields"))? + 2;
    let which = |wanted: &'static [u8]| {
        let answered = request.args().skip(first).zip(items(reply).into_iter().flatten());
        answered.filter(move |(_, item)| *item == wanted).map(|(field, _)| field)
    };
    let set = which(SET).count();
    if set > 0 {
        let deadline = match kind {
            Fields::Ttl(unit) => unit.deadline(time, now_ms?)?,
            Fields::Deadline(unit) => unit.deadline(time, 0)?,
        };
        let count = Digits::of(set as u64);
        out.request(|arg| {
            each(arg, [&b"HPEXPIREAT"[..], key, deadline.bytes(), b"FIELDS", count.bytes()])?;
            each(arg, which(SET))
        })?;
        out.expect_ones(set);
    }
    let removed = which(REMOVED).count();
    if removed > 0 {
        out.request(|arg| {
            each(arg, [b"HDEL", key])?;
            each(arg, which(REMOVED))
        })?;
        out.expect_number(removed as u64);
    }
    Some(if set + removed > 0 { Outcome::Substitute } else { Outcome::Nothing })
}
