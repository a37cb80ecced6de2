//! Times to live become deadlines on the secondary's clock.

use interlay_resp::Request;

use super::substitute::Digits;
use super::{Arg, Substitute, Unit, bulk, each, is_none, number};

/// EXPIRE and PEXPIRE key ttl \[condition\], carried out.
pub(super) fn ttl(request: Request<'_>, reply: &[u8], unit: Unit, now_ms: u64, out: &mut Substitute) -> Option<()> {
    if reply != b":1\r\n" {
        return None;
    }
    let (key, ttl) = (request.arg(1)?, request.arg(2)?);
    match number::<i64>(ttl)? {
        // The server has deleted the key at once.
        ..=0 => out.request(|arg| each(arg, [b"DEL", key]))?,
        _ => {
            let deadline = unit.deadline(ttl, now_ms)?;
            out.request(|arg| each(arg, [b"PEXPIREAT", key, deadline.bytes()]))?;
        }
    }
    out.answered_by(reply);
    Some(())
}

/// EXPIREAT and PEXPIREAT key deadline condition, carried out.
pub(super) fn deadline(request: Request<'_>, reply: &[u8], out: &mut Substitute) -> Option<()> {
    out.request(|arg| each(arg, request.args().take(3)))?;
    out.answered_by(reply);
    Some(())
}

/// SETEX and PSETEX key ttl value.
pub(super) fn set_with_ttl(request: Request<'_>, unit: Unit, now_ms: u64, out: &mut Substitute) -> Option<()> {
    let (key, value) = (request.arg(1)?, request.arg(3)?);
    let deadline = unit.deadline(request.arg(2)?, now_ms)?;
    out.request(|arg| each(arg, [&b"SET"[..], key, value, b"PXAT", deadline.bytes()]))?;
    out.answered_by(b"+OK\r\n");
    Some(())
}

/// RESTORE key ttl payload \[options\].
pub(super) fn restore(request: Request<'_>, reply: &[u8], now_ms: u64, out: &mut Substitute) -> Option<()> {
    let is_absolute = request.args().skip(4).any(|arg| arg.eq_ignore_ascii_case(b"absttl"));
    let deadline = Unit::Millis.deadline(request.arg(2)?, if is_absolute { 0 } else { now_ms })?;
    out.request(|arg| {
        request.args().enumerate().for_each(|(index, given)| arg(if index == 2 { deadline.bytes() } else { given }));
        if !is_absolute {
            arg(b"ABSTTL");
        }
        Some(())
    })?;
    out.answered_by(reply);
    Some(())
}

/// Whether SET has set, as its reply tells. None: it does not tell.
pub(super) fn has_set(request: Request<'_>, reply: &[u8]) -> Option<bool> {
    let mut gets = false;
    let mut condition: Option<(&[u8], &[u8])> = None;
    let mut args = request.args().skip(3);
    while let Some(word) = args.next() {
        match option(word) {
            What::Drop => condition = Some((word, b"")),
            What::DropTwo => condition = Some((word, args.next()?)),
            What::Ttl(_) | What::KeepTwo => _ = args.next()?,
            What::Keep if word.eq_ignore_ascii_case(b"get") => gets = true,
            What::Keep => {}
            What::End => return None,
        }
    }
    let old = if is_none(reply) { None } else { bulk(reply) };
    match condition {
        _ if !gets => Some(!is_none(reply)),
        None => Some(true),
        Some((word, _)) if word.eq_ignore_ascii_case(b"nx") => Some(old.is_none()),
        Some((word, _)) if word.eq_ignore_ascii_case(b"xx") => Some(old.is_some()),
        Some((word, value)) if word.eq_ignore_ascii_case(b"ifeq") => Some(old == Some(value)),
        Some(_) => None,
    }
}

/// A request with options from argument `from` on, carried out: its reply is the same without conditions.
pub(super) fn options(request: Request<'_>, from: usize, reply: &[u8], now_ms: Option<u64>, out: &mut Substitute) -> Option<()> {
    out.request(|arg| without_conditions(request, from, now_ms, arg))?;
    out.answered_by(reply);
    Some(())
}

fn without_conditions(request: Request<'_>, from: usize, now_ms: Option<u64>, arg: Arg<'_>) -> Option<()> {
    let mut args = request.args();
    args.by_ref().take(from).for_each(&mut *arg);
    while let Some(word) = args.next() {
        match option(word) {
            What::Drop => {}
            What::DropTwo => _ = args.next()?,
            What::Ttl(unit) => each(arg, [b"PXAT", unit.deadline(args.next()?, now_ms?)?.bytes()])?,
            What::KeepTwo => each(arg, [word, args.next()?])?,
            What::Keep => arg(word),
            What::End => {
                arg(word);
                args.by_ref().for_each(&mut *arg);
            }
        }
    }
    Some(())
}

/// The deadline that a request for the secondary sets, in its milliseconds since 1970.
pub(crate) fn deadline_of(request: Request<'_>) -> Option<u64> {
    let name = |wanted: &str| request.name().eq_ignore_ascii_case(wanted.as_bytes());
    let at = |index: usize, unit: Unit| number::<u64>(request.arg(index)?)?.checked_mul(unit.millis()).filter(|deadline| *deadline > 0);
    if name("pexpireat") || name("hpexpireat") || name("restore") || name("restore-asking") {
        return at(2, Unit::Millis);
    }
    if name("expireat") || name("hexpireat") {
        return at(2, Unit::Seconds);
    }
    if name("set") && request.argc() == 3 {
        return None;
    }
    let word = |wanted: &str| request.args().skip(2).position(|arg| arg.eq_ignore_ascii_case(wanted.as_bytes()));
    match (word("pxat"), word("exat")) {
        (Some(index), _) => at(index + 3, Unit::Millis),
        (None, Some(index)) => at(index + 3, Unit::Seconds),
        (None, None) => None,
    }
}

/// From which key to which one RENAME and COPY take a deadline, and the latter's database.
pub(crate) fn carries_deadline(request: Request<'_>, db: u32) -> Option<(u32, &[u8], &[u8])> {
    let name = |wanted: &str| request.name().eq_ignore_ascii_case(wanted.as_bytes());
    if !name("rename") && !name("renamenx") && !name("copy") {
        return None;
    }
    let other = request.args().skip_while(|arg| !arg.eq_ignore_ascii_case(b"db")).nth(1).filter(|_| name("copy"));
    Some((other.and_then(number).unwrap_or(db), request.arg(1)?, request.arg(2)?))
}

/// What becomes of an option.
#[derive(Clone, Copy)]
enum What {
    /// It is a condition.
    Drop,
    /// It is a condition with a value.
    DropTwo,
    Ttl(Unit),
    /// It has a value.
    KeepTwo,
    Keep,
    /// It is the last one.
    End,
}

fn option(word: &[u8]) -> What {
    const OPTIONS: [(&str, What); 13] = [
        ("ex", What::Ttl(Unit::Seconds)),
        ("px", What::Ttl(Unit::Millis)),
        ("exat", What::KeepTwo),
        ("pxat", What::KeepTwo),
        ("nx", What::Drop),
        ("xx", What::Drop),
        ("fnx", What::Drop),
        ("fxx", What::Drop),
        ("ifeq", What::DropTwo),
        ("ifne", What::DropTwo),
        ("ifdeq", What::DropTwo),
        ("ifdne", What::DropTwo),
        ("fields", What::End),
    ];
    OPTIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map_or(What::Keep, |(_, what)| *what)
}

impl Unit {
    pub(super) fn millis(self) -> u64 {
        match self {
            Self::Seconds => 1000,
            Self::Millis => 1,
        }
    }

    /// The deadline, in milliseconds, of a time to live, in this unit, that begins at `from_ms`. None if servers count no further.
    pub(super) fn deadline(self, ttl: &[u8], from_ms: u64) -> Option<Digits> {
        let deadline = number::<u64>(ttl)?.checked_mul(self.millis())?.checked_add(from_ms)?;
        i64::try_from(deadline).ok().map(|_| Digits::of(deadline))
    }
}
