//! Shadow reads: a sample of the reads is compared, while clients go on.
//!
//! The authority answers the read, and **when its reply is processed** the same read is put onto the secondary's lane: every
//! earlier change is ahead of it there, every later one behind. So both answers are about the same state, and two that differ
//! show keys that do. The client has its answer by then, and knows nothing of it.

use std::collections::{BTreeMap, VecDeque};

use super::LanePair;
use crate::conduct::Work;
use crate::keys::view;
use crate::lane::{Asked, Entry, Job, NO_CLIENT, Session};
use crate::policy::Policy;
use crate::shadow::{Gist, Head, Shadow, ShadowMismatch, Way};

/// Mismatches that are kept to be shown.
const KEPT_MAX: usize = 100;

/// Between the two answers, at most, while keys may expire whose deadlines nobody has told: longer, and a difference may be
/// just that. Unit: milliseconds.
const APART_MAX_MS: u64 = 200;

/// Which reads are compared, and what has come of it.
#[derive(Debug, Default)]
pub(super) struct Shadowing {
    percent: u8,
    /// Where the choice of reads stands.
    chance: u64,
    kept: VecDeque<ShadowMismatch>,
    /// By the command's name, which the command table bounds.
    by_command: BTreeMap<Box<str>, u64>,
}

impl Shadowing {
    /// Whether this request is one of the sample: no more than a look at a number while there is none.
    pub(super) fn takes(&mut self, work: Work) -> bool {
        self.percent > 0 && work == Work::Read && self.draw()
    }

    /// Not every so manieth one, which could be the same command of a loop each time.
    #[cold] // like the others here: kept out of what each request runs through
    fn draw(&mut self) -> bool {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 32) % 100 < u64::from(self.percent)
    }
}

impl LanePair {
    /// The share of the reads that is compared, in per cent.
    #[must_use]
    pub fn shadow_percent(&self) -> u8 {
        self.shadowing.percent
    }

    /// Compares `percent` of the reads from now on, 100 at most. The authority answers these, whatever the split.
    pub fn set_shadow(&mut self, percent: u8) {
        self.shadowing.percent = percent.min(100);
    }

    /// The last reads that the sides have answered differently, oldest first.
    pub fn shadow_mismatches(&self) -> impl Iterator<Item = &ShadowMismatch> {
        self.shadowing.kept.iter()
    }

    /// How many there were, by the command's name.
    pub fn shadow_mismatches_by_command(&self) -> impl Iterator<Item = (&str, u64)> {
        self.shadowing.by_command.iter().map(|(name, count)| (&**name, *count))
    }

    /// The authority has answered its front request, a read of the sample; so with `reply`, if that was not passed on as it came.
    #[cold]
    pub(super) fn shadow(&mut self, asked: Asked, reply: Option<&[u8]>) {
        let queued = reply.and_then(|reply| self.queue_shadow(asked, reply)).is_some();
        *(if queued { &mut self.counters.shadow_reads } else { &mut self.counters.shadow_skipped }) += 1;
    }

    /// Puts it onto the secondary's lane too, if what that answers would mean anything.
    fn queue_shadow(&mut self, Asked { len, session, .. }: Asked, reply: &[u8]) -> Option<()> {
        let any_may_differ = self.suspect || self.wants_sweep() || self.backfill.is_naming() || self.unplaced() > 0;
        if !self.has_target || any_may_differ || self.change.is_some() {
            return None;
        }
        let since_ms = self.clock.now().mono_ms.saturating_sub(self.reply_age_ms);
        let side = self.authority;
        let (authority, secondary) = self.lanes.both_mut(side);
        let proto = authority.proto_for(session.proto);
        // Reads are to leave room for effects.
        let is_full = secondary.queued_bytes().saturating_mul(4) >= self.limits.effect_queue_bytes_max;
        if is_full || !secondary.has_db(session.db) || secondary.proto_for(proto) != proto {
            return None;
        }
        let request = view(authority.log.front(len));
        let way = Way::of(self.keys.catalog.conduct(request).0?)?;
        let expected = Gist::of(way, reply, &self.limits.resp, |at_ms| self.clock.here(side, at_ms))?;
        let (db, dirty, trims) = (session.db, &self.dirty, &self.trims);
        let comparable = expected != Gist::Refused && self.keys.all(request, |key| !dirty.contains(db, key) && !trims.is_pending(db, key));
        if !comparable {
            return None;
        }
        let session = Session { proto, ..session };
        secondary.enter(session);
        authority.log.repeat_front(len, &mut secondary.log);
        let shadow = Shadow { way, expected, head: Head::of(reply), since_ms };
        let asked = Asked { len, ticket: NO_CLIENT, session };
        secondary.awaiting.push_back(Entry::new(asked, Job::Shadow(Box::new(shadow))));
        Some(())
    }

    /// The secondary has answered a read that the authority has answered before.
    #[cold]
    pub(super) fn shadowed(&mut self, Asked { len, session, .. }: Asked, shadow: &Shadow, reply: &[u8]) {
        let side = !self.authority;
        match Gist::of(shadow.way, reply, &self.limits.resp, |at_ms| self.clock.here(side, at_ms)) {
            Some(Gist::Refused) => self.counters.shadow_refused += 1,
            Some(gist) if gist.agrees(shadow.expected) => {}
            _ if self.may_differ(session.db, len, shadow.since_ms) => self.counters.shadow_skipped += 1,
            _ => self.differs(session.db, len, shadow, reply),
        }
    }

    /// Whether the keys of the secondary's front request, a read, may have differed without its being news: effects ahead of it
    /// have been answered by now, so that what they have left is known.
    fn may_differ(&mut self, db: u32, len: usize, since_ms: u64) -> bool {
        let answered = self.counters.effects_answered();
        if self.suspect || answered < self.settling_until || self.unplaced() > 0 {
            return true;
        }
        let took_ms = self.clock.now().mono_ms.saturating_sub(since_ms);
        if took_ms > APART_MAX_MS && !self.deadlines.is_empty() {
            return true;
        }
        let requests = self.lanes[!self.authority].log.front(len);
        if self.keys.any_doubtful(&self.dirty, answered, requests) || self.keys.any_near(&self.deadlines, requests) {
            return true;
        }
        let (dirty, trims) = (&self.dirty, &self.trims);
        !self.keys.all(view(requests), |key| !dirty.contains(db, key) && !dirty.is_unconfirmed(db, key) && !trims.is_pending(db, key))
    }

    /// The secondary's front request, a read, shows that its keys differ: they are copied, as what an effect has left dirty is.
    fn differs(&mut self, db: u32, len: usize, shadow: &Shadow, reply: &[u8]) {
        self.counters.shadow_mismatches += 1;
        let request = view(self.lanes[!self.authority].log.front(len));
        let command: Box<str> = self.keys.catalog.conduct(request).0.map_or("unknown", |command| &*command.name).into();
        let keys = self.keys.copied(request);
        let [mut source, mut target] = [shadow.head.shown(), Head::of(reply).shown()];
        if self.authority == crate::Side::Target {
            std::mem::swap(&mut source, &mut target);
        }
        let key = keys.first().cloned().unwrap_or_default();
        let shadowing = &mut self.shadowing;
        *shadowing.by_command.entry(command.clone()).or_default() += 1;
        if shadowing.kept.len() >= KEPT_MAX {
            shadowing.kept.pop_front();
        }
        shadowing.kept.push_back(ShadowMismatch { at_unix_ms: self.clock.now().unix_ms, db, command, key, source, target });
        self.doubts += 1;
        if self.policy == Policy::BestEffort {
            self.counters.forgotten += 1;
            return;
        }
        // What a backfill has left as the target has it is not to be lost because somebody reads it.
        if self.backfill.keeps() {
            return;
        }
        let moved_on = self.counters.effects_answered() < self.crossing_until;
        for key in &keys {
            // Effects behind the read may have passed the difference on.
            self.dirty.doubt(db, key, self.counters.effects);
            if moved_on { self.dirty.mark_in_every_db(key) } else { self.dirty.mark(db, key) }
        }
        self.pump();
    }
}
