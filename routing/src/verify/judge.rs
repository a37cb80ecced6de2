//! What both sides have of one key, and what that comes to.

use super::{Contents, Differs};
use crate::copy::Kind;
use crate::side::Side;

/// Deadlines that are no further apart are alike, and a key that is as near its own may have expired. Unit: milliseconds.
const WINDOW_MS: u64 = crate::pair::EXPIRY_WINDOW_MS;

/// How a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As one payload.
    Payload,
    /// As one payload, of a module's type: there is no other way.
    Module,
    /// By what it holds.
    Elements(Kind),
    /// Only whether there is one.
    Presence,
}

/// When a key expires, by the clock here: at a moment between the two. None for never.
pub(crate) type Expiry = Option<(u64, u64)>;

/// What a side has of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// None also if there is no key, and nobody knows when it has expired.
    pub(crate) expiry: Expiry,
    /// None if there is no key.
    pub(crate) value: Option<SeenValue>,
}

/// Of which type a value is, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenValue {
    /// As TYPE says it; empty of a payload.
    pub(crate) kind: Box<str>,
    pub(crate) contents: Contents,
    /// Of a payload: the version of its format.
    pub(crate) version: u16,
}

/// What two sides' views of a key come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Neither side has it.
    Gone,
    /// One side does not have it any more, because its time was up.
    Expired,
    /// It is to be compared by what it holds. If the payloads' formats differ, so are all others.
    ByType {
        formats_differ: bool,
    },
    Differs(Differs, String),
}

/// Compares what the authority and the secondary, `sides` in that order, have of a key read in this way. It is `unix_ms` here.
pub(crate) fn judge(way: Way, sides: [Side; 2], seen: [&Seen; 2], unix_ms: u64) -> Verdict {
    let expiries = seen.map(|seen| seen.expiry);
    let (one, two) = match seen.map(|seen| seen.value.as_ref()) {
        [None, None] => return Verdict::Gone,
        [Some(one), Some(two)] => (one, two),
        [one, _] => {
            let is_up = |expiry: &Expiry| expiry.is_some_and(|(least, _)| least <= unix_ms + WINDOW_MS);
            if expiries.iter().any(is_up) {
                return Verdict::Expired;
            }
            let [first, second] = sides;
            let kind = Differs::only(if one.is_some() { first } else { second });
            return Verdict::Differs(kind, String::new());
        }
    };
    let [first, second] = sides;
    if one.kind != two.kind {
        return Verdict::Differs(Differs::Value, format!("{} on the {first}, {} on the {second}", one.kind, two.kind));
    }
    if one.contents != two.contents || one.version != two.version {
        let detail = |what: &str| {
            let (left, right) = (one.contents.len, two.contents.len);
            if left == right {
                format!("{left} {what} on both sides, and not the same")
            } else {
                format!("{left} {what} on the {first}, {right} on the {second}")
            }
        };
        let formats_differ = one.version != two.version;
        return match way {
            Way::Presence => Verdict::Equal,
            Way::Payload => Verdict::ByType { formats_differ },
            Way::Module if formats_differ => Verdict::Differs(Differs::Unknown, "a module's type, in payloads of two formats".to_owned()),
            Way::Module => Verdict::Differs(Differs::Value, detail("bytes of a module's type")),
            Way::Elements(kind) => Verdict::Differs(Differs::Value, detail(elements_of(kind))),
        };
    }
    let apart = match expiries {
        [None, None] => false,
        [Some((least, most)), Some((other_least, other_most))] => least > other_most + WINDOW_MS || other_least > most + WINDOW_MS,
        _ => true,
    };
    if !apart {
        return Verdict::Equal;
    }
    let [left, right] = expiries.map(|expiry| expiry.map_or_else(|| "never".to_owned(), |(at, _)| format!("at {at} ms")));
    Verdict::Differs(Differs::Ttl, format!("{left} on the {first}, {right} on the {second}"))
}

fn elements_of(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "bytes",
        Kind::List => "elements",
        Kind::Set | Kind::Zset => "members",
        Kind::Hash => "fields",
        Kind::Stream => "entries",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;
    const SIDES: [Side; 2] = [Side::Source, Side::Target];

    fn held(print: u128, expires: Option<u64>) -> Seen {
        let contents = Contents { len: 3, print };
        Seen { expiry: expires.map(|at| (at, at)), value: Some(SeenValue { kind: "hash".into(), contents, version: 0 }) }
    }

    fn gone(expires: Option<u64>) -> Seen {
        Seen { value: None, ..held(0, expires) }
    }

    fn of(one: &Seen, two: &Seen) -> Verdict {
        judge(Way::Elements(Kind::Hash), SIDES, [one, two], NOW)
    }

    fn kind(verdict: Verdict) -> Option<Differs> {
        if let Verdict::Differs(kind, _) = verdict { Some(kind) } else { None }
    }

    #[test]
    fn values_count_before_deadlines() {
        let far = Some(NOW + 100_000);
        assert_eq!(of(&held(1, far), &held(1, far)), Verdict::Equal);
        assert_eq!(kind(of(&held(1, far), &held(2, None))), Some(Differs::Value));
        let other = Verdict::Differs(Differs::Value, "3 fields on both sides, and not the same".to_owned());
        assert_eq!(of(&held(1, None), &held(2, None)), other);
        for (left, right) in [(far, None), (None, far), (far, Some(NOW + 100_000 + WINDOW_MS + 1))] {
            assert_eq!(kind(of(&held(1, left), &held(1, right))), Some(Differs::Ttl), "{left:?} {right:?}");
        }
        assert_eq!(of(&held(1, far), &held(1, Some(NOW + 100_000 + WINDOW_MS))), Verdict::Equal);
    }

    #[test]
    fn a_deadline_that_is_known_roughly_is_not_held_against_it() {
        let roughly = Seen { expiry: Some((NOW + 1000, NOW + 9000)), ..held(1, None) };
        assert_eq!(of(&roughly, &held(1, Some(NOW + 5000))), Verdict::Equal);
        assert_eq!(kind(of(&roughly, &held(1, Some(NOW + 9000 + WINDOW_MS + 1)))), Some(Differs::Ttl));
    }

    #[test]
    fn sides_are_named_whichever_is_in_charge() {
        let swapped = [Side::Target, Side::Source];
        let only = |sides, one: &Seen, two: &Seen| kind(judge(Way::Presence, sides, [one, two], NOW));
        assert_eq!(only(SIDES, &held(1, None), &gone(None)), Some(Differs::OnlySource));
        assert_eq!(only(swapped, &held(1, None), &gone(None)), Some(Differs::OnlyTarget));
        assert_eq!(only(SIDES, &gone(None), &held(1, Some(NOW + 10_000))), Some(Differs::OnlyTarget));
    }

    #[test]
    fn what_has_just_expired_on_one_side_is_no_difference() {
        for near in [NOW - 5000, NOW, NOW + WINDOW_MS] {
            assert_eq!(of(&gone(None), &held(1, Some(near))), Verdict::Expired);
            assert_eq!(of(&held(1, Some(near)), &gone(None)), Verdict::Expired);
            assert_eq!(of(&gone(Some(near)), &held(1, None)), Verdict::Expired);
        }
        assert_eq!(of(&gone(None), &gone(None)), Verdict::Gone);
    }

    #[test]
    fn payloads_that_differ_say_nothing_yet() {
        let payload = |print, version| {
            let value = SeenValue { kind: "".into(), contents: Contents { len: 9, print }, version };
            Seen { expiry: None, value: Some(value) }
        };
        let of = |way, one: &Seen, two: &Seen| judge(way, SIDES, [one, two], NOW);
        assert_eq!(of(Way::Payload, &payload(1, 10), &payload(1, 10)), Verdict::Equal);
        assert_eq!(of(Way::Payload, &payload(1, 10), &payload(2, 10)), Verdict::ByType { formats_differ: false });
        assert_eq!(of(Way::Payload, &payload(1, 10), &payload(1, 9)), Verdict::ByType { formats_differ: true });
        assert_eq!(kind(of(Way::Module, &payload(1, 10), &payload(2, 10))), Some(Differs::Value));
        assert_eq!(kind(of(Way::Module, &payload(1, 10), &payload(1, 9))), Some(Differs::Unknown));
    }
}
