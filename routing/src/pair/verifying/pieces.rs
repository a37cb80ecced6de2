//! Big keys are compared in pieces, so that no read of theirs keeps a server for long. Each piece is exact at its own place in the
//! order, as a whole key is; and at the end both sides must have as many elements.

use super::type_of;
use crate::copy::{self, Kind};
use crate::pair::repair::Errand;
use crate::pair::{LanePair, copies::length_of};
use crate::reply::{is_error, number, replies};
use crate::side::Side;
use crate::verify::{Ask, BigStep, BigTold, Contents, Differs, Piece, Seen, SeenValue, Verdict, Verification, Way};
use crate::verify::{ask_element, element, judge, piece};

/// Most elements of a piece.
const PIECE_ELEMENTS_MAX: u64 = 512;

impl LanePair {
    /// Asks the authority for the next step of a big key.
    pub(super) fn ask_big(&mut self, verification: &mut Verification) {
        let number = verification.number;
        let now_ms = self.clock.now().mono_ms;
        let tells_deadlines = self.tells_deadlines(self.authority);
        let Some(big) = verification.next_big() else { return };
        let key = &*big.key.item.key;
        self.scratch.clear();
        let replies = match big.step {
            BigStep::Piece(at) => at.read(key, big.count, &mut self.scratch),
            BigStep::Begin | BigStep::End => ask_end(big.kind, key, tells_deadlines, &mut self.scratch),
        };
        (big.asked, big.asked_ms) = (true, now_ms);
        let (db, errand) = (big.key.item.db, Errand::Verify(number, Ask::Big(big.number)));
        self.ask(self.authority, db, replies, errand);
    }

    /// The authority has told a step of a big key: the secondary is asked for the same now.
    pub(super) fn big_told(&mut self, verification: &mut Verification, big_number: u32, told: &[u8]) -> Result<(), Vec<u8>> {
        let counters = Side::BOTH.into_iter().all(|side| self.tells_deadlines(side));
        let piece_bytes = self.piece_bytes();
        let number_of = verification.number;
        let tells_deadlines = self.tells_deadlines(!self.authority);
        let Some(big) = verification.big(big_number) else { return Ok(()) };
        let (db, kind, step) = (big.key.item.db, big.kind, big.step);
        let key = big.key.item.key.clone();
        self.scratch.clear();
        let replies = match step {
            BigStep::Begin | BigStep::End => {
                let seen = self.seen_end(self.authority, kind, big.asked_ms, told)?;
                let length = seen.value.as_ref().filter(|value| *value.kind == *kind.name()).map(|value| value.contents.len);
                let Some(length) = length.filter(|length| *length > 0) else {
                    // Gone, or of another type: it is compared from the beginning.
                    if let Some(item) = verification.take_big(big_number) {
                        verification.postpone(item);
                    }
                    return Ok(());
                };
                if step == BigStep::Begin {
                    let elements = (piece_bytes / (big.key.bytes / length).max(1)).clamp(1, PIECE_ELEMENTS_MAX);
                    big.count = if kind == Kind::String { piece_bytes } else { elements } as u32;
                    (big.step, big.asked) = (BigStep::Piece(copy::Position::start(kind)), false);
                    return Ok(());
                }
                big.told = Some(BigTold::End(seen));
                ask_end(kind, &key, tells_deadlines, &mut self.scratch)
            }
            BigStep::Piece(at) => {
                let (piece, next) = piece(at, big.count, told, counters).map_err(|error| error.to_string().into_bytes())?;
                let replies = match &piece {
                    Piece::InPlace(_) => at.read(&key, big.count, &mut self.scratch),
                    Piece::Elements(names, _) => {
                        names.iter().for_each(|name| ask_element(kind, &key, name, &mut self.scratch));
                        names.len() as u32
                    }
                };
                if replies == 0 {
                    // A scan may find nothing and go on.
                    (big.step, big.asked) = (next.map_or(BigStep::End, BigStep::Piece), false);
                    return Ok(());
                }
                big.told = Some(BigTold::Piece(piece, next));
                replies
            }
        };
        let secondary = &self.lanes[!self.authority];
        if !secondary.has_db(db) || secondary.queued_bytes() >= self.limits.effect_queue_bytes_max {
            big.asked = false;
            return Ok(());
        }
        big.asked_ms = self.clock.now().mono_ms;
        self.ask(!self.authority, db, replies, Errand::Verify(number_of, Ask::BigCompared(big_number)));
        Ok(())
    }

    /// The secondary has told the same step.
    pub(super) fn big_compared(&mut self, verification: &mut Verification, big_number: u32, told: &[u8]) -> Result<(), Vec<u8>> {
        let counters = Side::BOTH.into_iter().all(|side| self.tells_deadlines(side));
        let sides = [self.authority, !self.authority];
        let Some(big) = verification.big(big_number) else { return Ok(()) };
        let (kind, step, count) = (big.kind, big.step, big.count);
        let place = (big.key.item.db, big.key.item.key.clone());
        let verdict = match (step, big.told.take()) {
            (BigStep::Piece(at), Some(BigTold::Piece(expected, next))) => {
                let is_same = match expected {
                    // An error is of a key of another type.
                    _ if is_error(told) => false,
                    Piece::InPlace(_) => {
                        let (theirs, _) = piece(at, count, told, counters).map_err(|error| error.to_string().into_bytes())?;
                        theirs == expected
                    }
                    Piece::Elements(_, prints) => {
                        let found: Vec<Option<u128>> = replies(told, &self.limits.resp)
                            .map(|(reply, _)| element(kind, reply).map_err(|error| error.to_string().into_bytes()))
                            .collect::<Result<_, _>>()?;
                        found.len() == prints.len() && found.iter().zip(&prints).all(|(found, print)| *found == Some(*print))
                    }
                };
                if is_same {
                    (big.step, big.asked) = (next.map_or(BigStep::End, BigStep::Piece), false);
                    return Ok(());
                }
                if self.is_in_doubt(place.0, &place.1) {
                    // By the end it may have been copied, and the difference be none.
                    if let Some(item) = verification.take_big(big_number) {
                        verification.postpone(item);
                    }
                    return Ok(());
                }
                // It may have expired on one side, which the end tells.
                (big.step, big.asked, big.differs) = (BigStep::End, false, true);
                return Ok(());
            }
            (BigStep::End, Some(BigTold::End(theirs))) => {
                let seen = self.seen_end(!self.authority, kind, big.asked_ms, told)?;
                match judge(Way::Elements(kind), sides, [&theirs, &seen], self.clock.now().unix_ms) {
                    Verdict::Equal | Verdict::Differs(Differs::Ttl, _) if big.differs => {
                        Verdict::Differs(Differs::Value, format!("a big {}, of which a piece is not the same", kind.name()))
                    }
                    verdict => verdict,
                }
            }
            _ => {
                big.asked = false;
                return Ok(());
            }
        };
        let Some(item) = verification.take_big(big_number) else { return Ok(()) };
        if matches!(verdict, Verdict::Differs(..)) && self.is_in_doubt(place.0, &place.1) {
            verification.postpone(item);
        } else {
            self.count_verdict(&verdict);
            verification.conclude(item, verdict);
        }
        Ok(())
    }

    /// When a big key expires, of which type it is, and how many elements it has.
    fn seen_end(&self, side: Side, kind: Kind, asked_ms: u64, told: &[u8]) -> Result<Seen, Vec<u8>> {
        let mut told = replies(told, &self.limits.resp).map(|(reply, _)| reply);
        let mut next = || told.next().ok_or_else(|| b"a reply is missing".to_vec());
        let expiry = self.expiry(side, next()?, asked_ms)?;
        let of = type_of(next()?);
        let len = number(next()?).unwrap_or(0);
        let value = of.map(|of| {
            let len = if *of.kind == *kind.name() { len } else { 0 };
            SeenValue { contents: Contents { len, print: 0 }, ..of }
        });
        // One that held nothing may have expired since it told its type.
        let value = value.filter(|value| value.contents.len > 0 || *value.kind != *kind.name() || expiry.is_none());
        Ok(Seen { expiry, value })
    }
}

/// What [`LanePair::seen_end`] understands.
fn ask_end(kind: Kind, key: &[u8], tells_deadlines: bool, out: &mut Vec<u8>) -> u32 {
    let expiry: &[u8] = if tells_deadlines { b"PEXPIRETIME" } else { b"PTTL" };
    for command in [expiry, b"TYPE", length_of(kind)] {
        interlay_resp::encode_request([command, key], out);
    }
    3
}
