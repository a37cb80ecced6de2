//! Replies of `both-required` that wait for copies: made, kept and broken.

use interlay_resp::Request;

use super::{Clients, LanePair};
use crate::answer::Answer;
use crate::effect::Effect;
use crate::keys::view;
use crate::lane::{Held, Ticket};
use crate::promise::{Bearer, behind_swap};
use crate::repairs::KeyAt;
use crate::side::Side;

impl LanePair {
    /// Promises the reply to writes, which stand together and leave keys dirty, for when these are copied, and the effect of
    /// that number, which goes along, is confirmed; false if nobody knows when that is.
    pub(super) fn promise<'a>(
        &mut self,
        ticket: Ticket,
        writes: impl IntoIterator<Item = (u32, &'a [u8]), IntoIter: DoubleEndedIterator>,
        effect: Option<u64>,
        reply: &[u8],
    ) -> bool {
        let mut keys = Vec::new();
        // Those behind a write, oldest last.
        let mut swaps = Vec::new();
        let are_named = writes.into_iter().rev().all(|(db, write)| {
            let swap = if self.keys.catalog.effect(view(write)) == Effect::SwapDb { swapped(view(write)) } else { None };
            swaps.extend(swap);
            let become_db = |db| swaps.iter().rev().copied().fold(db, behind_swap);
            self.keys.named_dirty(&self.dirty, db, write, become_db, &mut keys)
        });
        let is_paused = self.repairs.is_paused(self.clock.now().mono_ms);
        let both_up = Side::BOTH.iter().all(|side| self.lanes[*side].is_up());
        if !are_named || (keys.is_empty() && effect.is_none()) || is_paused || !both_up {
            return false;
        }
        keys.sort_unstable();
        keys.dedup();
        // They come first: a client waits for them.
        keys.iter().for_each(|(db, key)| self.repairs.hurry(*db, key));
        self.promises.make(!self.authority, ticket, reply.into(), keys, effect);
        true
    }

    /// A side is lost, or no longer what it was: nobody knows any more when promises would be kept.
    pub(super) fn break_all_promises(&mut self, clients: &mut impl Clients) {
        let secondary = self.promises.secondary().unwrap_or(!self.authority);
        let writes = self.promises.take_all().into_iter().map(|(ticket, _)| ticket).collect();
        self.failed_after_all(writes, Answer::SecondaryLost(secondary), clients);
    }

    /// Keeps the promises about keys that are clean although no copy of theirs was confirmed, because they had lost their names;
    /// and breaks those about keys of which there will be none.
    pub(super) fn keep_promises(&mut self, clients: &mut impl Clients) {
        if self.promises.is_empty() {
            return;
        }
        self.break_doomed(clients);
        if std::mem::take(&mut self.promises.swept) {
            let due = self.promises.cleaned(|(db, key)| !self.dirty.contains(*db, key));
            keep(due, clients);
        }
        if self.dirty.is_settled() && self.sweep.is_none() && !self.suspect && self.lag() == 0 {
            keep(self.promises.take_all(), clients);
        }
    }

    /// The secondary has answered an effect.
    pub(super) fn effect_bears(&mut self, refused: bool, clients: &mut impl Clients) {
        let bearer = Bearer::Effect(self.counters.effects_answered());
        if refused {
            self.break_promises(bearer, None, Answer::SecondaryRefused(!self.authority), clients);
        } else {
            keep(self.promises.confirmed(bearer), clients);
        }
        self.break_doomed(clients);
    }

    fn break_doomed(&mut self, clients: &mut impl Clients) {
        let doomed = self.promises.take_doomed();
        self.failed_after_all(doomed, Answer::SecondaryRefused(!self.authority), clients);
    }

    /// The authority has emptied or swapped databases; the effect of this number, if there is one, will do so on the secondary.
    pub(super) fn promises_settled(&mut self, effect: Effect, db: u32, request: Request<'_>, number: Option<u64>) {
        let swapped = if effect == Effect::SwapDb { swapped(request) } else { None };
        self.promises.settled(effect, db, swapped, number);
        let secondary = &self.lanes[!self.authority];
        self.promises.doom(|(db, _)| !secondary.has_db(*db));
    }

    pub(super) fn break_promises(&mut self, bearer: Bearer, place: Option<&KeyAt>, answer: Answer, clients: &mut impl Clients) {
        let refused = self.promises.refused(bearer, place);
        self.failed_after_all(refused, answer, clients);
    }

    /// These writes' clients hear that the secondary does not have them.
    pub(super) fn failed_after_all(&mut self, writes: Vec<Ticket>, answer: Answer, clients: &mut impl Clients) {
        for ticket in writes {
            self.counters.failed_writes += 1;
            clients.reply(ticket, &answer.to_reply(), true);
        }
    }
}

/// The databases that SWAPDB swaps.
fn swapped(request: Request<'_>) -> Option<(u32, u32)> {
    let database = |at| std::str::from_utf8(request.arg(at)?).ok()?.parse().ok();
    database(1).zip(database(2))
}

/// Replies that are due by now.
pub(super) fn keep(due: Vec<(Ticket, Held)>, clients: &mut impl Clients) {
    due.into_iter().for_each(|(ticket, reply)| clients.reply(ticket, &reply, true));
}
