//! Verifications: at any moment of a run, and of what it has come to.

use interlay_routing::{Differs, Side, Tally, VerifyOptions, VerifyStage};

use super::{Driver, Event};
use crate::sim::store::{Item, Value};

/// How long a verification of a model server's few keys may take, once all is well: big values are compared in pieces of a few
/// bytes, each of which may take a slow server's whole delay. Unit: milliseconds.
const VERIFIED_WITHIN_MS: u64 = 3_600_000;

impl Driver {
    /// The operator asks for one.
    pub(super) fn ask_to_verify(&mut self) {
        if self.rng.chance(10) {
            self.pair.verify_cancel();
        }
        let repair = self.rng.chance(20);
        let begun = self.pair.verify(VerifyOptions { repair, ..VerifyOptions::default() });
        self.say(|_| format!("verification: {begun:?}"));
    }

    /// What was verified while all went on must be true.
    pub(super) fn verified_the_truth(&mut self) -> Result<(), String> {
        let Some(verification) = self.pair.verification() else { return Ok(()) };
        let (tally, stage) = (verification.tally(), verification.stage().clone());
        if self.verified == Some((tally, stage.clone())) {
            return Ok(());
        }
        self.verified = Some((tally, stage.clone()));
        if stage.is_over() {
            self.summary.verified += u64::from(stage == VerifyStage::Done);
            self.say(|driver| format!("verification {stage:?}: {tally:?}, {:?}", driver.differences()));
        }
        // Of these the pair itself knows that keys may differ without being dirty.
        let known_to_differ = self.scenario.best_effort || self.scenario.restarts || self.is_move;
        let homeless = self.differences().iter().filter(|difference| difference.ends_with("does not have the database")).count() as u64;
        let only = if self.scenario.deadlines || self.scenario.unrepeatable { 0 } else { tally.only_source + tally.only_target };
        if !known_to_differ && tally.value + tally.unknown + only.saturating_sub(homeless) > 0 {
            return Err(format!("a verification has found {tally:?}, which is not so: {:?}", self.differences()));
        }
        Ok(())
    }

    fn differences(&self) -> Vec<String> {
        let differences = self.pair.verification().into_iter().flat_map(|verification| verification.differences());
        differences.map(|it| format!("{} {} {:?} {}", it.db, String::from_utf8_lossy(&it.key), it.kind, it.detail)).collect()
    }

    /// Nothing goes wrong any more and all is repaired: so it is verified that nothing differs, and what is planted is found.
    pub(super) fn verify(&mut self) -> Result<(), String> {
        if self.scenario.best_effort || !self.is_repaired() {
            return Ok(());
        }
        let tally = self.verify_all(false)?;
        let unsure = tally.expired + tally.ttl + if self.scenario.deadlines { tally.only_source + tally.only_target } else { 0 };
        if !tally.is_equal() && tally.differing() > unsure {
            return Err(format!("{tally:?} after all was repaired: {:?}", self.differences()));
        }
        let kept = self.servers[Side::Source].store.keys().map(|(db, key)| (db, key.clone())).find(|(db, key)| {
            let of = |side: Side| self.servers[side].store.get(*db, key).filter(|item| item.deadline.is_none()).map(|item| &item.value);
            of(Side::Source).is_some() && of(Side::Source) == of(Side::Target)
        });
        self.planted = true;
        let other = Value::Text(b"planted".to_vec());
        self.servers[Side::Target].store.put(0, b"planted", Item { value: other.clone(), deadline: None });
        if let Some((db, key)) = &kept {
            self.servers[!self.pair.authority()].store.put(*db, key, Item { value: other, deadline: None });
        }
        let found = self.verify_all(false)?;
        let names: Vec<_> = self.pair.verification().into_iter().flat_map(|verification| verification.differences()).collect();
        let is_named = |db: u32, key: &[u8], kind: Differs| names.iter().any(|it| (it.db, &*it.key, it.kind) == (db, key, kind));
        if !is_named(0, b"planted", Differs::OnlyTarget) || !kept.iter().all(|(db, key)| is_named(*db, key, Differs::Value)) {
            return Err(format!("planted: a key, and in {kept:?}; found: {found:?} {:?}", self.differences()));
        }
        let repaired = self.verify_all(true)?;
        if repaired.value > 0 || repaired.repaired < 1 + u64::from(kept.is_some()) {
            return Err(format!("planted and not repaired: {repaired:?} {:?}", self.differences()));
        }
        self.planted = false;
        self.summary.planted += 1;
        Ok(())
    }

    fn verify_all(&mut self, repair: bool) -> Result<Tally, String> {
        self.pair.verify_cancel();
        self.pair.verify(VerifyOptions { repair, ..VerifyOptions::default() }).map_err(|error| error.to_string())?;
        let since = self.agenda.now();
        loop {
            let verification = self.pair.verification().ok_or("the verification is gone")?;
            match verification.stage() {
                VerifyStage::Done => return Ok(verification.tally()),
                stage if stage.is_over() || self.agenda.now() > since + VERIFIED_WITHIN_MS => {
                    return Err(format!("a verification in quiet: {stage:?} {:?}, {:?}", verification.tally(), verification.waits_for()));
                }
                _ => {}
            }
            self.agenda.plan(self.agenda.now() + 50, Event::Tick);
            self.until_quiet()?;
        }
    }
}
