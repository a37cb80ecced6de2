//! Verification: both sides' keys are compared through the lanes.
//!
//! The authority is asked for the values of a batch of keys on its lane, and **when its last reply is processed** the same
//! requests are put onto the secondary's: every earlier change is ahead of them there, every later one behind. So both
//! answers are about the same state, whatever is written meanwhile, and two that differ show a real difference; unless the
//! key is dirty, and its difference known. Of the authority's answers only prints are kept.

mod pieces;

use super::repair::Errand;
use super::{LanePair, Side};
use crate::copy::{self, Kind};
use crate::repairs::KeyAt;
use crate::reply::{bulk, elements, is_error, is_nil, number, replies};
use crate::sweep::Half;
use crate::verify::{Ask, Contents, Expiry, Item, Print, Seen, SeenValue, Sized, Verdict, Verification, Way, judge};
use crate::verify::{ServerKeys, VerifyOptions, VerifyRefused, VerifyStage};

/// Keys that a server looks at for one reply to SCAN.
const COUNT: &str = "512";

/// Behind a payload: the version of its format in two bytes, and a checksum.
const FOOTER: usize = 10;

impl LanePair {
    // === The operator's wishes ===

    /// Begins to compare the keys of both sides.
    ///
    /// # Errors
    ///
    /// [`VerifyRefused`] if that cannot be.
    pub fn verify(&mut self, options: VerifyOptions) -> Result<(), VerifyRefused> {
        if !self.has_target {
            return Err(VerifyRefused::NoTarget);
        }
        if self.verification.as_ref().is_some_and(|last| !last.stage().is_over()) {
            return Err(VerifyRefused::UnderWay);
        }
        self.verifications = self.verifications.wrapping_add(1);
        let (bytes_max, now_ms) = (self.limits.copies_bytes_max, self.clock.now().mono_ms);
        let begun = Verification::new(self.verifications, options, self.authority, bytes_max, now_ms);
        self.verification = Some(Box::new(begun));
        self.pump();
        Ok(())
    }

    /// Ends the verification under way; false if there is none.
    pub fn verify_cancel(&mut self) -> bool {
        let now_ms = self.clock.now().mono_ms;
        let running = self.verification.as_mut().filter(|verification| !verification.stage().is_over());
        running.map(|verification| verification.end(VerifyStage::Cancelled, now_ms)).is_some()
    }

    /// The verification under way, or the last one.
    #[must_use]
    pub fn verification(&self) -> Option<&Verification> {
        self.verification.as_deref()
    }

    // === What is to be done ===

    /// Asks for what a verification needs next, as far as there is room for it.
    pub(super) fn go_on_verifying(&mut self) {
        let Some(mut verification) = self.verification.take() else { return };
        if !verification.stage().is_over() {
            self.ask_for(&mut verification);
        }
        self.verification = Some(verification);
    }

    /// What was compared counts for nothing any more.
    pub(super) fn verify_anew(&mut self) {
        if let Some(verification) = self.verification.as_mut().filter(|verification| !verification.stage().is_over()) {
            self.verifications = self.verifications.wrapping_add(1);
            verification.begin_anew(self.verifications);
        }
    }

    fn ask_for(&mut self, verification: &mut Verification) {
        let now_ms = self.clock.now().mono_ms;
        if verification.authority != self.authority {
            let reason = "the authority has changed: what was compared before that may be otherwise now".to_owned();
            return verification.end(VerifyStage::Failed(reason), now_ms);
        }
        if now_ms < verification.paused_until_ms || self.is_changing() {
            return;
        }
        let sweeps = self.wants_sweep().then(|| "both sides are being scanned for keys to copy".to_owned());
        verification.wait_for(sweeps, self.repairs.connections, now_ms);
        if verification.waits_for.is_some() {
            return;
        }
        let databases = Side::BOTH.map(|side| self.lanes[side].databases());
        verification.databases = databases.into_iter().max().unwrap_or(0);
        verification.databases_in_common = databases.into_iter().min().unwrap_or(0);
        if *verification.stage() == VerifyStage::Counting {
            return self.ask_counts(verification);
        }
        while self.has_room()
            && let Some(batch) = verification.batch_of_values(now_ms)
        {
            self.ask_values(verification, batch, self.authority, Ask::Values(batch));
        }
        while self.has_room()
            && let Some(batch) = verification.batch_of_sizes(now_ms)
        {
            self.ask_sizes(verification, batch);
        }
        if self.has_room() {
            self.ask_big(verification);
        }
        while self.has_room() && verification.wants_keys() {
            self.ask_keys(verification);
        }
        if !verification.is_through() {
            return;
        }
        if verification.recheck(now_ms, |item| self.is_in_doubt(item.db, &item.key), |item| self.dirty.is_in_pieces(item.db, &item.key)) {
            let differing: Vec<KeyAt> = verification.begin_repair(now_ms);
            if differing.is_empty() {
                return verification.end(VerifyStage::Done, now_ms);
            }
            differing.iter().for_each(|(db, key)| self.dirty.mark(*db, key));
        } else {
            while let Some(batch) = verification.batch_of_sizes(now_ms) {
                self.ask_sizes(verification, batch);
            }
        }
    }

    /// Whether a key is known to differ, or what is known of it is not final.
    fn is_in_doubt(&self, db: u32, key: &[u8]) -> bool {
        self.dirty.contains(db, key)
            || self.dirty.is_unconfirmed(db, key)
            || self.trims.is_pending(db, key)
            || self.counters.effects_answered() < self.settling_until
            || self.unplaced() > 0
    }

    fn ask_counts(&mut self, verification: &mut Verification) {
        for side in Side::BOTH {
            if verification.counts[side].is_some() || std::mem::replace(&mut verification.counts_asked[side], true) {
                continue;
            }
            self.scratch.clear();
            interlay_resp::encode_request(["INFO", "keyspace"], &mut self.scratch);
            interlay_resp::encode_request(["INFO", "memory"], &mut self.scratch);
            let db = self.lanes[side].db().unwrap_or(0);
            self.ask(side, db, 2, Errand::Verify(verification.number, Ask::Counts));
        }
    }

    fn ask_sizes(&mut self, verification: &mut Verification, number: u32) {
        let Some(batch) = verification.batch(number) else { return };
        let Some(db) = batch.keys.first().map(|key| key.item.db) else { return };
        self.scratch.clear();
        let mut replies = 0;
        for Sized { item, .. } in &batch.keys {
            interlay_resp::encode_request([&b"MEMORY"[..], b"USAGE", &item.key], &mut self.scratch);
            replies += 1;
            if batch.types {
                interlay_resp::encode_request([&b"TYPE"[..], &item.key], &mut self.scratch);
                replies += 1;
            }
        }
        self.ask(self.authority, db, replies, Errand::Verify(verification.number, Ask::Sizes(number)));
    }

    fn ask_values(&mut self, verification: &mut Verification, number: u32, side: Side, ask: Ask) {
        let tells_deadlines = self.tells_deadlines(side);
        let Some(batch) = verification.batch(number) else { return };
        let Some(db) = batch.keys.first().map(|key| key.item.db) else { return };
        batch.asked_ms = self.clock.now().mono_ms;
        self.scratch.clear();
        let mut replies = 0;
        for Sized { item, way, .. } in &batch.keys {
            let expiry: &[u8] = if tells_deadlines { b"PEXPIRETIME" } else { b"PTTL" };
            interlay_resp::encode_request([expiry, &item.key], &mut self.scratch);
            let read: &[u8] = if matches!(way, Way::Payload | Way::Module) { b"DUMP" } else { b"TYPE" };
            interlay_resp::encode_request([read, &item.key], &mut self.scratch);
            replies += 2;
            if let Way::Elements(kind) = way {
                replies += copy::reads(*kind, &item.key, &mut self.scratch);
            }
        }
        self.ask(side, db, replies, Errand::Verify(verification.number, ask));
    }

    /// Scans on, on whichever side it is.
    fn ask_keys(&mut self, verification: &mut Verification) {
        let walk = &mut verification.walk;
        let side = if walk.half == Half::Authority { self.authority } else { !self.authority };
        if !self.lanes[side].has_db(walk.db) {
            return verification.next_db();
        }
        walk.asked = true;
        self.scratch.clear();
        interlay_resp::encode_request([&b"SCAN"[..], &walk.cursor, b"COUNT", COUNT.as_bytes()], &mut self.scratch);
        let (db, errand) = (walk.db, Errand::Verify(verification.number, Ask::Scan));
        self.ask(side, db, 1, errand);
    }

    fn tells_deadlines(&self, side: Side) -> bool {
        self.lanes[side].abilities.is_some_and(|abilities| abilities.since_7_0)
    }

    // === Answers ===

    /// A server has answered what verification number `number` has asked.
    pub(super) fn verify_answered(&mut self, number: u32, ask: Ask, side: Side, collected: &[u8], reply: &[u8]) {
        let Some(mut verification) = self.verification.take() else { return };
        if verification.number == number && !verification.stage().is_over() {
            self.take_answer(&mut verification, ask, side, collected, reply);
        }
        self.verification = Some(verification);
    }

    /// The lane was lost before the answer came: it is asked for anew.
    pub(super) fn verify_lost(&mut self, number: u32, ask: Ask, side: Side) {
        let Some(verification) = self.verification.as_mut().filter(|verification| verification.number == number) else { return };
        match ask {
            Ask::Counts => verification.counts_asked[side] = false,
            Ask::Scan | Ask::Exist => verification.walk.asked = false,
            Ask::Big(big) | Ask::BigCompared(big) => {
                if let Some(big) = verification.big(big) {
                    big.asked = false;
                }
            }
            Ask::Sizes(batch) | Ask::Values(batch) | Ask::Compared(batch) => {
                if let Some(batch) = verification.take(batch) {
                    verification.repeat(batch);
                }
            }
        }
    }

    fn take_answer(&mut self, verification: &mut Verification, ask: Ask, side: Side, collected: &[u8], reply: &[u8]) {
        let now_ms = self.clock.now().mono_ms;
        let refused = |what: &str, error: &[u8]| format!("the {side} refuses {what}: {}", String::from_utf8_lossy(error).trim_end());
        match ask {
            Ask::Counts => {
                verification.counts_asked[side] = false;
                let told = ServerKeys::parse(&[collected, reply].concat());
                if told.is_none() && verification.options().quick {
                    return verification.pause(&refused("INFO", reply), now_ms);
                }
                verification.counts[side] = Some(told.unwrap_or_default());
                if verification.counts.source.is_some() && verification.counts.target.is_some() {
                    verification.counted_both(now_ms);
                }
            }
            Ask::Scan => {
                if let Err(error) = self.scanned_to_verify(verification, reply) {
                    verification.pause(&refused("SCAN", error), now_ms);
                }
            }
            Ask::Exist => {
                verification.walk.asked = false;
                let (page, then, db) =
                    (std::mem::take(&mut verification.walk.page), std::mem::take(&mut verification.walk.then), verification.walk.db);
                let Some(known) = number(reply) else { return verification.pause(&refused("EXISTS", reply), now_ms) };
                if known < page.len() as u64 {
                    page.iter().for_each(|key| verification.add_stranger(db, key));
                }
                verification.advance(&then);
            }
            Ask::Sizes(batch) => self.sizes_told(verification, batch, collected, reply),
            Ask::Values(batch) => {
                if let Err(error) = self.values_told(verification, batch, &[collected, reply].concat()) {
                    verification.pause(&refused("to tell what a key holds", &error), now_ms);
                }
            }
            Ask::Compared(batch) => {
                if let Err(error) = self.compared(verification, batch, &[collected, reply].concat()) {
                    verification.pause(&refused("to tell what a key holds", &error), now_ms);
                }
            }
            Ask::Big(big) | Ask::BigCompared(big) => {
                let told = [collected, reply].concat();
                let done = if matches!(ask, Ask::Big(_)) {
                    self.big_told(verification, big, &told)
                } else {
                    self.big_compared(verification, big, &told)
                };
                if let Err(error) = done {
                    // Perhaps it is of another type by now.
                    let changed = error.starts_with(b"-WRONGTYPE") || error.starts_with(b"WRONGTYPE");
                    if let Some(item) = verification.take_big(big) {
                        verification.postpone(item);
                    }
                    if !changed {
                        verification.pause(&refused("to tell what a key holds", &error), now_ms);
                    }
                }
            }
        }
    }

    fn scanned_to_verify<'a>(&mut self, verification: &mut Verification, reply: &'a [u8]) -> Result<(), &'a [u8]> {
        verification.walk.asked = false;
        let limits = &self.limits.resp.clone();
        let mut parts = elements(reply, limits).map(|(part, _)| part);
        let (Some(cursor), Some(keys)) = (parts.next().and_then(bulk), parts.next()) else { return Err(reply) };
        let keys: Vec<&[u8]> = elements(keys, limits).filter_map(|(key, _)| bulk(key)).filter(|key| verification.takes(key)).collect();
        let (db, scans_authority) = (verification.walk.db, verification.walk.half == Half::Authority);
        let side = if scans_authority { self.authority } else { !self.authority };
        if !self.lanes[!side].is_up() {
            // Which databases it has nobody knows now: the scan is asked for anew.
            return Ok(());
        }
        if !self.lanes[!side].has_db(db) {
            for key in keys {
                if self.is_in_doubt(db, key) {
                    verification.put_off(Item::new(db, key));
                } else {
                    verification.only_on(side, db, key);
                }
            }
        } else if scans_authority {
            keys.iter().for_each(|key| verification.add(Item::new(db, key)));
        } else if !keys.is_empty() {
            verification.walk.page = keys.iter().map(|key| (*key).into()).collect();
            verification.walk.then = cursor.to_vec();
            verification.walk.asked = true;
            self.scratch.clear();
            interlay_resp::encode_request([vec![&b"EXISTS"[..]], keys].concat(), &mut self.scratch);
            self.ask(self.authority, db, 1, Errand::Verify(verification.number, Ask::Exist));
            return Ok(());
        }
        verification.advance(cursor);
        Ok(())
    }

    fn sizes_told(&mut self, verification: &mut Verification, number_of: u32, collected: &[u8], reply: &[u8]) {
        let Some(batch) = verification.take(number_of) else { return };
        let now_ms = self.clock.now().mono_ms;
        let all = [collected, reply].concat();
        let mut told = replies(&all, &self.limits.resp).map(|(reply, _)| reply);
        for Sized { item, .. } in batch.keys {
            verification.pace.answered(batch.asked_ms, now_ms);
            let Some(size) = told.next() else { return };
            let kind = if batch.types { told.next() } else { None };
            let way = match kind {
                _ if is_nil(size) => Way::Presence,
                Some(b"+none\r\n") => Way::Presence,
                Some(kind) => Kind::of(kind).map_or(Way::Module, Way::Elements),
                None => Way::Payload,
            };
            // A server that does not tell is taken to have a small value.
            let bytes = number(size).unwrap_or(0);
            let is_big = bytes >= self.limits.chunk_from_bytes;
            if self.is_in_doubt(item.db, &item.key) {
                verification.postpone(item);
            } else if is_big && way == Way::Payload {
                verification.with_type(item);
            } else if is_big && matches!(way, Way::Elements(_)) {
                verification.add_big(Sized { item, way, bytes });
            } else {
                verification.sized(Sized { item, way, bytes });
            }
        }
    }

    /// The authority has told what it has of a batch: the secondary is asked for the same now.
    fn values_told(&mut self, verification: &mut Verification, number: u32, told: &[u8]) -> Result<(), Vec<u8>> {
        let Some(mut batch) = verification.take(number) else { return Ok(()) };
        let seen = match self.seen(self.authority, &batch.keys, batch.asked_ms, told) {
            Ok(seen) => seen,
            Err(error) => {
                verification.repeat(batch);
                return Err(error);
            }
        };
        let (mut keys, mut kept) = (Vec::with_capacity(seen.len()), Vec::with_capacity(seen.len()));
        for (key, seen) in batch.keys.into_iter().zip(seen) {
            let changed = match (key.way, &seen.value) {
                (Way::Presence, Some(_)) => true,
                (Way::Elements(kind), Some(value)) => *value.kind != *kind.name(),
                _ => false,
            };
            if !changed {
                keys.push(key);
                kept.push(seen);
            } else if !verification.drop_stranger(&key.item) {
                verification.anew(key.item);
            }
        }
        (batch.keys, batch.seen) = (keys, kept);
        let secondary = &self.lanes[!self.authority];
        let Some(db) = batch.keys.first().map(|key| key.item.db) else { return Ok(()) };
        if !secondary.has_db(db) || secondary.queued_bytes() >= self.limits.effect_queue_bytes_max {
            verification.repeat(batch);
            return Ok(());
        }
        verification.give_back(number, batch);
        self.ask_values(verification, number, !self.authority, Ask::Compared(number));
        Ok(())
    }

    /// The secondary has told what it has of a batch.
    fn compared(&mut self, verification: &mut Verification, number: u32, told: &[u8]) -> Result<(), Vec<u8>> {
        let Some(batch) = verification.take(number) else { return Ok(()) };
        let sides = [self.authority, !self.authority];
        match self.seen(!self.authority, &batch.keys, batch.asked_ms, told) {
            Ok(seen) => {
                let unix_ms = self.clock.now().unix_ms;
                for ((key, theirs), others) in batch.keys.into_iter().zip(&batch.seen).zip(&seen) {
                    let verdict = judge(key.way, sides, [theirs, others], unix_ms);
                    if matches!(verdict, Verdict::Differs(..)) && self.is_in_doubt(key.item.db, &key.item.key) {
                        verification.postpone(key.item);
                    } else {
                        self.count_verdict(&verdict);
                        verification.conclude(key.item, verdict);
                    }
                }
                Ok(())
            }
            Err(error) => {
                verification.repeat(batch);
                Err(error)
            }
        }
    }

    fn count_verdict(&mut self, verdict: &Verdict) {
        self.counters.verified_keys += u64::from(!matches!(verdict, Verdict::ByType { .. } | Verdict::Gone));
        self.counters.verified_differences += u64::from(matches!(verdict, Verdict::Differs(..)));
    }

    /// What a side has of each key, by what it has told. An error is the server's.
    fn seen(&self, side: Side, keys: &[Sized], asked_ms: u64, told: &[u8]) -> Result<Vec<Seen>, Vec<u8>> {
        let counters = Side::BOTH.into_iter().all(|side| self.tells_deadlines(side));
        let mut told = replies(told, &self.limits.resp).map(|(reply, _)| reply);
        let mut next = || told.next().ok_or_else(|| b"a reply is missing".to_vec());
        keys.iter()
            .map(|Sized { way, .. }| {
                let expiry = self.expiry(side, next()?, asked_ms)?;
                let read = next()?;
                let value = match way {
                    _ if is_error(read) => return Err(read.to_vec()),
                    Way::Payload | Way::Module => bulk(read).filter(|_| !is_nil(read)).map(payload),
                    Way::Presence => type_of(read),
                    Way::Elements(kind) => {
                        let value = next()?;
                        match type_of(read) {
                            Some(of) if *of.kind == *kind.name() => Contents::of(*kind, value, counters)
                                .map_err(|error| error.to_string().into_bytes())?
                                .map(|contents| SeenValue { contents, ..of }),
                            other => other,
                        }
                    }
                };
                Ok(Seen { expiry, value })
            })
            .collect()
    }

    /// When a key expires, by a side's answer to what was asked at `asked_ms`.
    fn expiry(&self, side: Side, told: &[u8], asked_ms: u64) -> Result<Expiry, Vec<u8>> {
        let now = self.clock.now();
        match number(told) {
            Some(at_ms) if self.tells_deadlines(side) => {
                let here_ms = self.clock.here(side, at_ms);
                Ok(Some((here_ms, here_ms)))
            }
            Some(ttl_ms) => {
                let most = now.unix_ms.saturating_add(ttl_ms);
                Ok(Some((most.saturating_sub(now.mono_ms.saturating_sub(asked_ms)), most)))
            }
            None if told.starts_with(b":-") => Ok(None),
            None => Err(told.to_vec()),
        }
    }
}

fn payload(payload: &[u8]) -> SeenValue {
    let (body, footer) = payload.split_at(payload.len().saturating_sub(FOOTER));
    let version = footer.first_chunk().map_or(0, |version| u16::from_le_bytes(*version));
    let contents = Contents { len: body.len() as u64, print: Print::default().text(body).done() };
    SeenValue { kind: "".into(), contents, version }
}

/// What TYPE says; none of no key.
fn type_of(reply: &[u8]) -> Option<SeenValue> {
    let name = String::from_utf8_lossy(reply.strip_prefix(b"+")?).trim_end().to_owned();
    (name != "none").then(|| SeenValue { kind: name.into(), contents: Contents::default(), version: 0 })
}
