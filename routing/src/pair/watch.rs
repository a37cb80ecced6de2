//! Writes that somebody makes on the authority around Interlay: the server reports the keys, and they become dirty.
//!
//! A connection of its own gets the reports. The authority's lane asks for them, with `CLIENT TRACKING ON REDIRECT id BCAST
//! NOLOOP`: so every key is reported that any other connection than the lane has changed. Plain notifications of keyspace
//! events would name the lane's own writes too, and would have to be switched on at the server.
//!
//! A report does not name the database. So both sides are asked behind it which of theirs have keys, the secondary **when the
//! authority's reply is processed**: in a database that has none on either side then, the key does not differ.

use super::LanePair;
use super::repair::Errand;
use crate::dirty::bucket_of;
use crate::reply::{bulk, elements, replies};
use crate::side::Side;
use crate::verify::DbKeys;

/// Bytes of reported keys whose databases are not known yet; more keys fold into buckets, which have none.
const UNPLACED_BYTES_MAX: usize = 1 << 20;

/// How long after a refusal the authority is asked for reports again.
const AGAIN_MS: u64 = 5_000;

/// Whether writes around Interlay are noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Nobody has asked for it.
    #[default]
    Off,
    /// Not yet.
    Starting,
    /// They are.
    On,
    /// No longer, until the connections to the authority are there again.
    Interrupted,
    /// They cannot be, for this reason.
    Unavailable(String),
}

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Reports {
    watch: Watch,
    /// The id of the connection that gets them, if there is one.
    to: Option<i64>,
    /// The lane has asked for them.
    asked: bool,
    /// When it asks again after a refusal.
    again_ms: u64,
    /// Some may have been missed, and what may differ for that was not copied by any of so many sweeps.
    missed: Option<u32>,
    unplaced: Vec<Box<[u8]>>,
    unplaced_bytes: usize,
    /// Those whose databases are being looked for.
    placing: Vec<Box<[u8]>>,
    /// The databases in which the authority has keys.
    databases: Vec<u32>,
}

impl Reports {
    /// There are none for now.
    fn end(&mut self) {
        self.asked = false;
        if self.watch == Watch::On {
            self.watch = Watch::Interrupted;
            self.missed = Some(u32::MAX);
        }
    }

    /// A sweep has copied every key.
    pub(super) fn swept(&mut self, sweep: u32) {
        self.missed = self.missed.filter(|before| sweep <= *before);
    }
}

impl LanePair {
    /// Whether writes around Interlay are noticed.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.reports.watch
    }

    /// Whether there was a time in which they were not, since when not all keys were copied.
    #[must_use]
    pub fn watch_has_missed(&self) -> bool {
        self.reports.missed.is_some()
    }

    /// Reported keys that are to become dirty as soon as their databases are known.
    #[must_use]
    pub fn unplaced(&self) -> usize {
        self.reports.unplaced.len() + self.reports.placing.len()
    }

    /// The authority's connection of this id is ready for reports.
    pub fn report_to(&mut self, connection: i64) {
        self.reports.end();
        self.reports.to = Some(connection);
    }

    /// There is no connection for reports; if that is not because it was lost, for this reason.
    pub fn report_to_nobody(&mut self, why: Option<&str>) {
        self.reports.end();
        self.reports.to = None;
        match why {
            // What it was said before is as true, and more telling.
            Some(why) if self.reports.missed.is_none() => self.reports.watch = Watch::Unavailable(why.to_owned()),
            None if self.reports.watch == Watch::Off => self.reports.watch = Watch::Starting,
            _ => {}
        }
    }

    /// The authority's lane has another connection: what it has asked for is forgotten.
    pub(super) fn reports_end(&mut self) {
        self.reports.end();
    }

    /// Another side is the authority now.
    pub(super) fn reports_begin_anew(&mut self) {
        self.place_anywhere();
        if self.reports.watch != Watch::Off {
            self.reports = Reports { watch: Watch::Starting, missed: self.reports.missed, ..Reports::default() };
        }
    }

    /// The connection for reports has got this push.
    pub fn reported(&mut self, push: &[u8]) {
        let limits = self.limits.resp.clone();
        let head = push.iter().position(|byte| *byte == b'\n').map_or(push.len(), |end| end + 1);
        let mut parts = replies(push.get(head..).unwrap_or_default(), &limits).map(|(part, _)| part);
        let (Some(b"invalidate"), Some(keys)) = (parts.next().and_then(bulk), parts.next()) else { return };
        if !keys.starts_with(b"*") || keys == b"*-1\r\n" {
            // A whole database was emptied, and nobody says which, or by whom.
            self.counters.flushes_seen += 1;
            return self.dirty.mark_everything();
        }
        for key in elements(keys, &limits).filter_map(|(key, _)| bulk(key)) {
            self.counters.written_around += 1;
            let reports = &mut self.reports;
            if reports.unplaced_bytes + key.len() > UNPLACED_BYTES_MAX {
                self.dirty.mark_bucket(bucket_of(key));
                continue;
            }
            reports.unplaced_bytes += key.len();
            reports.unplaced.push(key.into());
        }
    }

    /// Asks for what the watch needs next: to be called now and then.
    pub fn tend_watch(&mut self) {
        let authority = self.authority;
        if !self.lanes[authority].is_up() {
            self.reports.end();
        }
        if !Side::BOTH.iter().all(|side| self.lanes[*side].is_up()) {
            self.place_anywhere();
        }
        if !self.has_target || self.held || self.is_changing() || !self.lanes[authority].is_up() {
            return;
        }
        let now_ms = self.clock.now().mono_ms;
        if matches!(self.reports.watch, Watch::Unavailable(_)) && now_ms >= self.reports.again_ms {
            self.reports.asked = false;
        }
        if let Some(connection) = self.reports.to.filter(|_| !self.reports.asked) {
            self.reports.again_ms = now_ms + AGAIN_MS;
            self.reports.asked = true;
            self.scratch.clear();
            let request = ["CLIENT", "TRACKING", "ON", "REDIRECT", &connection.to_string(), "BCAST", "NOLOOP"];
            interlay_resp::encode_request(request, &mut self.scratch);
            self.ask_anywhere(authority, Errand::Track { connection });
        }
        if !self.reports.unplaced.is_empty() && self.reports.placing.is_empty() {
            self.reports.placing = std::mem::take(&mut self.reports.unplaced);
            self.reports.unplaced_bytes = 0;
            self.ask_databases(authority);
        }
    }

    fn ask_databases(&mut self, side: Side) {
        self.scratch.clear();
        interlay_resp::encode_request(["INFO", "keyspace"], &mut self.scratch);
        self.ask_anywhere(side, Errand::Databases);
    }

    fn ask_anywhere(&mut self, side: Side, errand: Errand) {
        let db = self.lanes[side].db().unwrap_or(0);
        self.ask(side, db, 1, errand);
    }

    /// The authority has answered that it will report, or that it will not.
    pub(super) fn tracked(&mut self, connection: i64, reply: &[u8]) {
        if self.reports.to != Some(connection) || !self.reports.asked {
            return; // said of connections that are gone
        }
        if reply.starts_with(b"+") {
            self.reports.watch = Watch::On;
            self.reports.missed = self.reports.missed.map(|_| self.sweeps);
        } else {
            let reason = String::from_utf8_lossy(reply);
            self.reports.watch = Watch::Unavailable(format!("CLIENT TRACKING: {}", reason.trim_start_matches(['-', '!']).trim_end()));
        }
    }

    /// A side has said in which databases it has keys.
    pub(super) fn counted_databases(&mut self, side: Side, reply: &[u8]) {
        if !matches!(reply.first(), Some(b'$' | b'=')) {
            return self.place_anywhere(); // it does not tell
        }
        let found = DbKeys::told(reply).map(|told| told.db);
        if side == self.authority {
            self.reports.databases = found.collect();
            if self.lanes[!side].is_up() {
                return self.ask_databases(!side);
            }
            return self.place_anywhere();
        }
        let mut databases = std::mem::take(&mut self.reports.databases);
        databases.extend(found);
        databases.sort_unstable();
        databases.dedup();
        for key in std::mem::take(&mut self.reports.placing) {
            databases.iter().for_each(|db| self.dirty.mark_anew(*db, &key));
        }
    }

    /// Marks the keys whose databases cannot be found out now.
    pub(super) fn place_anywhere(&mut self) {
        self.reports.unplaced_bytes = 0;
        let (unplaced, placing) = (std::mem::take(&mut self.reports.unplaced), std::mem::take(&mut self.reports.placing));
        unplaced.iter().chain(&placing).for_each(|key| self.dirty.mark_in_every_db(key));
    }
}
