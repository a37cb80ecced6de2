//! What consumers of a stream's group claim from each other. Which entries are old enough for that only the authority knows;
//! its reply names them.
//!
//! Claiming also drops what is pending and was deleted from the stream, whatever its age. So the ids that the reply does not
//! name are asked for once more, with an age that none of them has: that drops the same ones and claims nothing. (A
//! server that names nothing of a deleted entry, as before 7.0, leaves the key to repair.)

use interlay_resp::Request;

use super::substitute::Digits;
use super::{Arg, Substitute, bulk, each, items, number};

/// An age that nothing has.
const NEVER: &[u8] = b"9223372036854775807";

/// XCLAIM key group consumer min-idle id... \[options\].
pub(super) fn claim(request: Request<'_>, reply: &[u8], now_ms: Option<u64>, out: &mut Substitute) -> Option<()> {
    let ids = || request.args().skip(5).take_while(|arg| parsed(arg).is_some());
    let options = 5 + ids().count();
    let claimed = items(reply)?.count();
    if claimed > 0 {
        out.request(|arg| {
            head(request, b"0", arg)?;
            items(reply)?.try_for_each(|entry| id_of(entry).map(&mut *arg))?;
            rest(request, options, true, now_ms, arg)
        })?;
        out.answered_by(reply);
    }
    // The reply names ids in the request's order.
    let left = |arg: Arg<'_>| {
        let mut named = items(reply)?.map(|entry| id_of(entry).and_then(parsed)).peekable();
        for id in ids() {
            match named.peek() {
                Some(next) if *next == parsed(id) => _ = named.next(),
                _ => arg(id),
            }
        }
        named.next().is_none().then_some(())
    };
    let mut count = 0;
    left(&mut |_| count += 1)?;
    if count > 0 {
        out.request(|arg| {
            head(request, NEVER, arg)?;
            left(&mut *arg)?;
            rest(request, options, false, now_ms, arg)
        })?;
        out.answered_by(b"*0\r\n");
    }
    Some(())
}

/// XAUTOCLAIM key group consumer min-idle start \[COUNT count\] \[JUSTID\]: the next start, what was claimed, and the ids
/// of what was deleted.
pub(super) fn auto_claim(request: Request<'_>, reply: &[u8], out: &mut Substitute) -> Option<()> {
    let mut parts = items(reply)?.skip(1);
    let claimed = parts.next()?;
    let deleted = parts.next().unwrap_or(b"*0\r\n");
    let just_id = request.args().skip(6).any(|arg| arg.eq_ignore_ascii_case(b"justid"));
    let none = items(claimed)?.chain(items(deleted)?).next().is_none();
    out.request(|arg| {
        if none {
            // All that may have come of it is the consumer. No entry has this id.
            head(request, NEVER, arg)?;
            arg(b"0-0");
        } else {
            head(request, b"0", arg)?;
            items(claimed)?.chain(items(deleted)?).try_for_each(|entry| id_of(entry).map(&mut *arg))?;
        }
        if just_id {
            arg(b"JUSTID");
        }
        Some(())
    })?;
    out.answered_by(claimed);
    Some(())
}

/// XCLAIM key group consumer min-idle, whatever the request's name is.
fn head(request: Request<'_>, min_idle: &[u8], arg: Arg<'_>) -> Option<()> {
    arg(b"XCLAIM");
    request.args().skip(1).take(3).for_each(&mut *arg);
    arg(min_idle);
    Some(())
}

/// The options, from argument `from` on: IDLE as the time that it means; FORCE, which creates what nobody has got, only if
/// `force`.
fn rest(request: Request<'_>, from: usize, force: bool, now_ms: Option<u64>, arg: Arg<'_>) -> Option<()> {
    let mut args = request.args().skip(from);
    while let Some(option) = args.next() {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("idle") {
            let idle: i64 = number(args.next()?)?;
            // A time that is not yet, or never was, counts as now.
            if let Ok(idle @ 0..) = u64::try_from(idle) {
                each(arg, [b"TIME", Digits::of(now_ms?.saturating_sub(idle)).bytes()])?;
            }
        } else if is("time") || is("retrycount") || is("lastid") {
            each(arg, [option, args.next()?])?;
        } else if force || !is("force") {
            arg(option);
        }
    }
    Some(())
}

/// The id of an entry, or the id in its place.
fn id_of(entry: &[u8]) -> Option<&[u8]> {
    bulk(entry).or_else(|| bulk(items(entry)?.next()?))
}

/// An id's two numbers; the second is 0 if it is left out.
fn parsed(id: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(id).ok()?;
    let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
    Some((ms.parse().ok()?, seq.parse().ok()?))
}
