//! The backfill on the lanes: the operator's wishes, how far it has come, and the copies that are put on top of what the
//! secondary has.
//!
//! A key that is merged is not dirty: every effect on it goes onto the secondary's lane. What is read of it is put there **when the
//! reply is processed**, so earlier effects are ahead of it, which it only repeats, and later ones behind.

use std::sync::Arc;

use super::LanePair;
use super::copies::OF_THE_SERVER;
use super::repair::Errand;
use crate::backfill::{
    BackfillLimits, BackfillOptions, BackfillProgress, BackfillRefused, BackfillState, Before, Conflict, KeptKey, PositionStore, Saved,
};
use crate::copy::Kind;
use crate::effect::{Effect, Extent};
use crate::keys::view;
use crate::lane::Asked;
use crate::repairs::{Flight, Piece, Step};
use crate::reply::{bulk, first_error, is_error};
use crate::side::Side;
use crate::split::Split;
use crate::sweep::{Half, Sweep};
use crate::verify::DbKeys;

/// How often the authority is asked how many keys it has. Unit: milliseconds.
const COUNT_EVERY_MS: u64 = 10_000;

/// How often it is looked which of the last keys are clean, or hopeless. Unit: milliseconds.
const LOOK_EVERY_MS: u64 = 100;

/// Why a backfill that keeps the secondary's own keys cannot begin anew by itself: which they were is not known any more.
const NOT_AS_BEFORE: &str = "a server has restarted, databases were swapped or the authority has changed, so that nobody knows any more \
                             which keys were there before: begin it again";

impl LanePair {
    // === What it is like ===

    /// How far the backfill has come, or the last one had.
    #[must_use]
    pub fn backfill_progress(&self) -> BackfillProgress {
        let errors = self.repairs.errors().count() as u64;
        BackfillProgress { errors, ..self.backfill.progress.clone() }
    }

    /// Keys that the last backfill has kept as the secondary has them; the first ones, if they are many.
    #[must_use]
    pub fn kept_keys(&self) -> &[KeptKey] {
        &self.backfill.kept
    }

    /// Whether the secondary has keys that a backfill has left alone, so that the sides differ as they are meant to.
    #[must_use]
    pub fn keeps_own_keys(&self) -> bool {
        self.backfill.keeps()
    }

    // === The operator's wishes ===

    /// Copies every key, or those that are asked for.
    ///
    /// # Errors
    ///
    /// Every [`BackfillRefused`] but one.
    pub fn backfill(&mut self, options: BackfillOptions) -> Result<(), BackfillRefused> {
        if !self.has_target {
            return Err(BackfillRefused::NoTarget);
        }
        if self.backfill.is_under_way() {
            return Err(BackfillRefused::UnderWay);
        }
        let missing = |db: &u32| Side::BOTH.iter().all(|side| self.lanes[*side].is_up() && !self.lanes[*side].has_db(*db));
        if let Some(db) = options.dbs.iter().find(|db| missing(db)) {
            return Err(BackfillRefused::NoDatabase(*db));
        }
        self.repairs.retry_all();
        let before = Before { suspect: self.suspect, swept: self.wants_sweep, in_sync: self.in_sync };
        if options.is_whole() {
            self.suspect_everything();
            self.wants_sweep = true;
        }
        self.backfill.before = before;
        let now_ms = self.clock.now().mono_ms;
        self.repairs.pace.limit(options.limits, now_ms);
        self.backfill.options = Arc::new(options.clone());
        let started_ms = self.clock.now().unix_ms;
        self.backfill.progress = BackfillProgress { state: BackfillState::Running, options, started_ms, ..BackfillProgress::default() };
        (self.backfill.outstanding, self.backfill.count_due_ms) = (None, 0);
        self.backfill.kept.clear();
        self.backfill.forget_own_keys();
        self.backfill.save(None);
        self.pump();
        Ok(())
    }

    /// Names no more keys until [`LanePair::resume_backfill`]. Those that are named are dirty, and are copied.
    ///
    /// # Errors
    ///
    /// [`BackfillRefused::NotUnderWay`], as of the next three.
    pub fn pause_backfill(&mut self) -> Result<(), BackfillRefused> {
        self.set_backfill_state(BackfillState::Paused)
    }

    /// Goes on.
    ///
    /// # Errors
    ///
    /// As of [`LanePair::pause_backfill`].
    pub fn resume_backfill(&mut self) -> Result<(), BackfillRefused> {
        self.set_backfill_state(BackfillState::Running)?;
        self.pump();
        Ok(())
    }

    /// Ends it. What is copied stays so, and is mirrored.
    ///
    /// # Errors
    ///
    /// As of [`LanePair::pause_backfill`].
    pub fn cancel_backfill(&mut self) -> Result<(), BackfillRefused> {
        if !self.backfill.is_under_way() {
            return Err(BackfillRefused::NotUnderWay);
        }
        self.end_backfill(BackfillState::Cancelled, None);
        Ok(())
    }

    /// Changes its speed.
    ///
    /// # Errors
    ///
    /// As of [`LanePair::pause_backfill`].
    pub fn limit_backfill(&mut self, limits: BackfillLimits) -> Result<(), BackfillRefused> {
        if !self.backfill.is_under_way() {
            return Err(BackfillRefused::NotUnderWay);
        }
        self.repairs.pace.limit(limits, self.clock.now().mono_ms);
        self.backfill.progress.options.limits = limits;
        self.save_place();
        self.pump();
        Ok(())
    }

    fn set_backfill_state(&mut self, state: BackfillState) -> Result<(), BackfillRefused> {
        if !self.backfill.is_under_way() {
            return Err(BackfillRefused::NotUnderWay);
        }
        self.backfill.progress.state = state;
        self.save_place();
        Ok(())
    }

    /// Marks a key, because the operator says that it may differ, and tries it at once if its copy has failed.
    pub fn repair_key(&mut self, db: u32, key: &[u8]) {
        if !self.has_target {
            return;
        }
        if !self.repairs.retry(&(db, key.into())) {
            self.dirty.mark(db, key);
        }
    }

    // === What outlives the process ===

    /// Keeps how far sweeps and backfills have come in `store`, and goes on from what an earlier process has `saved`. True if
    /// there is a sweep of every key to go on with.
    pub fn go_on(&mut self, store: Box<dyn PositionStore>, saved: Saved) -> bool {
        self.backfill.store = Some(store);
        self.backfill.before.suspect = true;
        let Saved { progress, place, written, own_keys } = saved;
        if let Some(progress) = progress {
            self.backfill.options = Arc::new(progress.options.clone());
            self.backfill.own_keys = own_keys.into_iter().collect();
            self.backfill.knows_own = progress.options.conflict != Conflict::Replace && place.is_some();
            self.backfill.progress = progress;
            if self.backfill.is_under_way() {
                self.backfill.progress.resumed += 1;
                self.repairs.pace.limit(self.backfill.options.limits, self.clock.now().mono_ms);
            }
        }
        self.backfill.resume = place.map(|place| (place, written));
        // The one that says that any key may differ ends with every key copied.
        let begins = self.backfill.is_under_way() && !self.backfill.progress.swept;
        let whole = (self.backfill.resume.is_some() || begins) && !self.backfill.wants_own_sweep();
        if whole {
            (self.suspect, self.wants_sweep, self.in_sync) = (true, true, false);
            self.split = Split::default();
        }
        whole
    }

    /// Whether how far sweeps come is kept.
    #[must_use]
    pub fn remembers_sweeps(&self) -> bool {
        self.backfill.store.is_some()
    }

    /// Where a sweep of every key could be gone on with means nothing any more.
    pub fn forget_place(&mut self) {
        self.backfill.resume = None;
        self.backfill.save(None);
    }

    /// A sweep goes on to ask for the next keys: all that it has named is marked, or copied.
    pub(super) fn save_place(&mut self) {
        let place = self.sweep.as_ref().and_then(Sweep::place).or_else(|| self.backfill.resume.as_ref().map(|(place, _)| place.clone()));
        self.backfill.save(place.as_ref());
    }

    // === How it goes ===

    /// What the operator has had copied otherwise is copied as a whole now.
    pub(super) fn forget_backfill(&mut self) {
        if self.backfill.options.is_whole() {
            return;
        }
        if self.backfill.is_under_way() {
            self.end_backfill(BackfillState::Cancelled, Some("every key is copied by `interlay repair --all`".to_owned()));
        }
        self.backfill.progress.options.conflict = Conflict::Replace;
    }

    /// A sweep under way comes to nothing.
    pub(super) fn backfill_begins_anew(&mut self) {
        self.backfill.resume = None;
        if self.backfill.is_under_way() {
            if self.backfill.knows_own {
                return self.end_backfill(BackfillState::Failed, Some(NOT_AS_BEFORE.to_owned()));
            }
            self.backfill.forget_own_keys();
            self.backfill.progress.swept = false;
            self.backfill.progress.keys_seen = 0;
            self.backfill.progress.looks_for_strangers = false;
            self.backfill.outstanding = None;
        }
        self.backfill.save(None);
    }

    /// A server has come back as another process. True if nothing may be copied for that, because the secondary's own keys are
    /// kept, and nobody knows any more which these are.
    pub(super) fn backfill_gives_up(&mut self) -> bool {
        self.backfill.before.suspect = true;
        if self.backfill.keeps() && self.backfill.is_under_way() {
            self.end_backfill(BackfillState::Failed, Some(NOT_AS_BEFORE.to_owned()));
        }
        self.backfill.keeps()
    }

    pub(super) fn end_backfill(&mut self, state: BackfillState, reason: Option<String>) {
        let Some(now) = self.backfill.is_under_way().then(|| self.clock.now()) else { return };
        if state != BackfillState::Ended {
            if self.sweep.as_ref().is_some_and(|sweep| sweep.everything) {
                self.sweep = None;
                self.dirty.end_scan(false);
            }
            if self.backfill.options.is_whole() {
                // What was under way before it goes on.
                let Before { suspect, swept, in_sync } = self.backfill.before;
                (self.wants_sweep, self.suspect, self.in_sync) = (swept, suspect, in_sync && !suspect);
            }
        }
        self.repairs.pace.limit(BackfillLimits::default(), now.mono_ms);
        self.backfill.progress.errors = self.repairs.errors().count() as u64;
        self.backfill.end(state, reason, now.unix_ms);
    }

    /// Whether a sweep is the backfill's, and what it finds counts for that.
    pub(super) fn is_backfill(&self, sweep: &Sweep) -> bool {
        self.backfill.is_under_way() && (sweep.chosen.is_some() || (sweep.everything && self.backfill.options.is_whole()))
    }

    /// To be called now and then: notices its end.
    pub(super) fn tend_backfill(&mut self) {
        if !self.backfill.is_under_way() {
            return;
        }
        let now_ms = self.clock.now().mono_ms;
        if now_ms >= self.backfill.count_due_ms {
            self.backfill.count_due_ms = now_ms + COUNT_EVERY_MS;
            self.scratch.clear();
            interlay_resp::encode_request(["INFO", "keyspace"], &mut self.scratch);
            let db = self.lanes[self.authority].db().unwrap_or(0);
            self.ask(self.authority, db, 1, Errand::Count);
        }
        if !self.backfill.is_named() || self.sweep.is_some() || self.dirty.buckets() > 0 {
            self.backfill.outstanding = None;
            return;
        }
        let dirty = &self.dirty;
        let outstanding = self.backfill.outstanding.get_or_insert_with(|| dirty.names().collect());
        if !outstanding.is_empty() && now_ms >= self.backfill.look_due_ms {
            self.backfill.look_due_ms = now_ms + LOOK_EVERY_MS;
            outstanding.retain(|place| {
                (dirty.is_named(place.0, &place.1) && !self.repairs.is_error(place)) || dirty.is_unconfirmed(place.0, &place.1)
            });
        }
        if outstanding.is_empty() {
            self.end_backfill(BackfillState::Ended, None);
        }
    }

    /// The authority has said how many keys its databases have.
    pub(super) fn counted(&mut self, reply: &[u8]) {
        let dbs = &self.backfill.options.dbs;
        let wanted = DbKeys::told(reply).filter(|told| dbs.is_empty() || dbs.contains(&told.db));
        self.backfill.progress.keys_expected = wanted.map(|told| told.keys).sum();
    }

    // === The secondary's own keys ===

    /// Whether they are being looked for.
    pub(super) fn looks_for_own(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.half == Half::Own)
    }

    /// An effect is about to go onto the secondary's lane: asks which of its keys are there already.
    pub(super) fn look_ahead(&mut self, db: u32, request: &[u8]) {
        let Some(number) = self.sweep.as_ref().filter(|sweep| sweep.half == Half::Own).map(|sweep| sweep.number) else { return };
        let (mut asks, mut replies) = (Vec::new(), 0);
        self.keys.each_written(view(request), |key| {
            interlay_resp::encode_request([&b"EXISTS"[..], key], &mut asks);
            replies += 1;
        });
        if replies > 0 {
            self.scratch.clear();
            self.scratch.extend_from_slice(&asks);
            self.ask(!self.authority, db, replies, Errand::Own(number));
        }
    }

    /// The secondary has said which keys it had ahead of an effect.
    pub(super) fn found_own(&mut self, asked: Asked, collected: &[u8], reply: &[u8]) {
        let db = asked.session.db;
        let requests = self.lanes[!self.authority].log.front(asked.len).to_vec();
        let replies = [collected, reply].concat();
        for (request, answer) in interlay_resp::requests(&requests).zip(replies.split(|byte| *byte == b'\n')) {
            let Some(key) = request.arg(1) else { continue };
            if answer.starts_with(b":1") {
                self.backfill.note_own(db, key);
            } else {
                self.backfill.note_mirrored(db, key);
            }
        }
    }

    /// Both sides drop keys: the secondary's own are gone with them.
    pub(super) fn backfill_flushed(&mut self, db: u32, effect: Effect) {
        if self.looks_for_own() {
            return self.begin_sweep_anew();
        }
        match effect {
            Effect::Flush(Extent::Db) => drop(self.backfill.own_keys.remove(&db)),
            _ => self.backfill.own_keys.clear(),
        }
    }

    // === Merges ===

    /// Begins to put the authority's elements of the next key on top of those that the secondary has; false if there is none.
    pub(super) fn begin_merge(&mut self, now_ms: u64) -> bool {
        let Some((db, key)) = self.backfill.merging.pop_front() else { return false };
        self.backfill.merges += 1;
        self.scratch.clear();
        interlay_resp::encode_request([&b"MEMORY"[..], b"USAGE", &key], &mut self.scratch);
        let era = self.era();
        let flight = self.repairs.begin((db, key), Step::Size, now_ms, era);
        if let Some(copy) = self.repairs.get(flight) {
            copy.merges = true;
        }
        self.ask(self.authority, db, 1, Errand::Copy(flight));
        true
    }

    /// A merge has come to nothing, and is made anew.
    pub(super) fn merge_again(&mut self, db: u32, key: Box<[u8]>) {
        self.backfill.merges -= 1;
        if self.backfill.is_under_way() {
            self.backfill.merging.push_back((db, key));
        }
    }

    /// The authority has told the type of a key to be merged.
    pub(super) fn merge_type(&mut self, flight: u32, reply: &[u8]) {
        let Some(kind @ (Kind::Hash | Kind::Set | Kind::Zset)) = Kind::of(reply) else {
            let gone = reply == b"+none\r\n";
            return self.merged(flight, (!gone).then_some(b"-kept, as every key of such a type".as_slice()));
        };
        let Some(copy) = self.repairs.get(flight) else { return };
        copy.step = Step::Length(kind);
        let db = copy.db;
        self.scratch.clear();
        interlay_resp::encode_request([super::copies::length_of(kind), &copy.key], &mut self.scratch);
        self.ask(self.authority, db, 1, Errand::Copy(flight));
    }

    /// The authority has told what a piece of a key to be merged holds.
    pub(super) fn merge_piece(&mut self, flight: u32, piece: Piece, replies: &[u8]) {
        let ttl = replies.iter().position(|byte| *byte == b'\n').map_or(replies.len(), |end| end + 1);
        let (_, replies) = replies.split_at(ttl);
        let destination = self.destination();
        let Some(copy) = self.repairs.get(flight) else { return };
        let (db, key) = (copy.db, copy.key.clone());
        self.scratch.clear();
        let applied = piece.at.apply(&key, piece.count, replies, &destination, &mut self.scratch);
        let (mut written, next) = match applied {
            Ok(applied) => applied,
            // It is gone, or of another type by now; that is mirrored.
            Err(_) if !is_error(replies) || replies.starts_with(b"-WRONGTYPE") => return self.merged(flight, None),
            Err(error) => return self.merged(flight, Some(format!("-ERR {error}").as_bytes())),
        };
        if piece.at.is_start() {
            // What the secondary has stays.
            let first = interlay_resp::requests(&self.scratch).next().map_or(0, |request| request.bytes().len());
            self.scratch.drain(..first);
            written -= 1;
        }
        let secondary = &self.lanes[!self.authority];
        if secondary.queued_bytes() >= self.limits.effect_queue_bytes_max || !secondary.has_db(db) {
            return self.give_up(flight);
        }
        let next = next.map(|at| Piece { at, ..piece });
        match (written, next) {
            (0, None) => self.merged(flight, None),
            (0, Some(next)) => self.repairs.go_on(flight, next),
            (_, next) => {
                let Some(copy) = self.repairs.get(flight) else { return };
                copy.step = next.map_or(Step::Restore, Step::Added);
                self.count_copied_bytes();
                self.ask(!self.authority, db, written, Errand::Restore(flight));
            }
        }
    }

    /// The secondary has answered a piece.
    pub(super) fn merge_answered(&mut self, flight: u32, collected: &[u8], reply: &[u8]) {
        let error = first_error(collected, &self.limits.resp).or_else(|| is_error(reply).then_some(reply));
        let Some(copy) = self.repairs.get(flight) else { return };
        match (error, copy.step) {
            (Some(error), _) if OF_THE_SERVER.iter().any(|start| error.starts_with(start)) => {
                let reason = String::from_utf8_lossy(error).trim_start_matches('-').trim_end().to_owned();
                self.repairs.pause(&reason, self.clock.now().mono_ms);
                self.give_up(flight);
            }
            (None, Step::Added(next)) => self.repairs.go_on(flight, next),
            (error, _) => {
                if error.is_none() {
                    self.repairs.succeeded();
                }
                self.merged(flight, error);
            }
        }
    }

    /// A merge has ended: the key is merged, or gone, or it is kept for this reason.
    pub(super) fn merged(&mut self, flight: u32, kept_for: Option<&[u8]>) {
        let Some(Flight { db, key, .. }) = self.repairs.end(flight) else { return };
        self.backfill.merges -= 1;
        match kept_for {
            None => self.backfill.progress.keys_merged += 1,
            Some(why) => {
                let reason = String::from_utf8_lossy(bulk(why).unwrap_or(why));
                self.backfill.keep(db, &key, reason.trim_start_matches('-').trim_end());
            }
        }
    }
}
