//! A comparison of both sides' keys, exact while writes go on: what was found so far, and what is to be asked next.
//!
//! In: the keys that scans of both sides name, and what the servers say of each. Out: the next batch to ask for, and a
//! [`Tally`] with the keys that differ. What is put onto which lane, and when, is the business of `pair/verifying.rs`; why
//! that makes it exact is said there.
//!
//! ```text
//!   SCAN -> MEMORY USAGE -> payloads ---- equal: done
//!    │                         └ unequal -> TYPE -> elements, in any order -- equal: done, else a difference
//!    └- dirty: at the end, when the key is clean
//! ```

mod compare;
mod judge;
mod report;

use std::collections::{HashMap, VecDeque};

use indexmap::IndexMap;

use crate::copy::{Kind, Position};
use crate::pace::Pace;
use crate::repairs::KeyAt;
use crate::side::{BySide, Side};
use crate::split::key_hash;
use crate::sweep::Half;

pub(crate) use compare::{Contents, Piece, Print, ask_element, element, piece};
pub(crate) use judge::{Expiry, Seen, SeenValue, Verdict, Way, judge};
pub use report::{DbKeys, Difference, Differs, ServerKeys, Tally, VerifyOptions, VerifyRefused, VerifyStage};

/// Differing keys that are named. More are counted.
const DIFFERENCES_MAX: usize = 10_000;

/// Bytes of the keys that are named. Past that more are counted as well.
const DIFFERENCES_BYTES_MAX: usize = 16 << 20;

/// Keys that are held for a comparison later, because they are dirty now. More are counted as dirty at once.
const LATER_MAX: usize = 100_000;

/// Comparisons of a key that turned out to be in doubt after which it counts as dirty.
const TRIES_MAX: u8 = 16;

/// Wait for any dirty key to get clean, at the end. Unit: milliseconds.
const DIRTY_WAIT_MS: u64 = 10_000;

/// Keys of one entry of a lane, and about how many bytes of theirs.
const BATCH_KEYS: usize = 64;
const BATCH_BYTES: u64 = 1 << 20;

/// Batches under way: more would only make each of them smaller.
const BATCHES_MAX: usize = 4;

/// Keys named by scans and not asked for above which scans wait.
const NAMED_AHEAD: usize = 1024;

/// Wait after a server's error that is not about a key, and how often that may happen in a row. Unit: milliseconds.
const PAUSE_MS: u64 = 500;
const PAUSES_MAX: u32 = 20;

/// What Interlay asks for a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// INFO, on either lane.
    Counts,
    /// SCAN, of the half under way.
    Scan,
    /// EXISTS of the page of the secondary's keys, on the authority's lane.
    Exist,
    /// What a batch's keys take, on the authority's lane.
    Sizes(u32),
    /// A batch's values on the authority's lane.
    Values(u32),
    /// The same on the secondary's.
    Compared(u32),
    /// The next step of this big key, on the authority's lane.
    Big(u32),
    /// The same on the secondary's.
    BigCompared(u32),
}

/// A key to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) db: u32,
    pub(crate) key: Box<[u8]>,
    /// Its payloads differ, or cannot be compared: by what it holds.
    by_type: bool,
    /// The authority does not have it, as it was said: named by the secondary.
    is_stranger: bool,
    /// It differed, and is being repaired.
    mends: bool,
    tries: u8,
}

impl Item {
    pub(crate) fn new(db: u32, key: &[u8]) -> Self {
        Self { db, key: key.into(), by_type: false, is_stranger: false, mends: false, tries: 0 }
    }
}

/// A key whose size is known.
#[derive(Clone, Debug)]
pub(crate) struct Sized {
    pub(crate) item: Item,
    pub(crate) way: Way,
    pub(crate) bytes: u64,
}

/// What of a big key is asked for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BigStep {
    /// How many elements it has: only the authority is asked.
    Begin,
    /// A piece of it.
    Piece(Position),
    /// How many elements it has, and when it expires.
    End,
}

/// A key that is compared in pieces: each of them at its own place in the order, and the number of elements at the end.
#[derive(Debug)]
pub(crate) struct Big {
    /// Tells the answers to what it has asked from those of another one.
    pub(crate) number: u32,
    pub(crate) key: Sized,
    pub(crate) kind: Kind,
    pub(crate) step: BigStep,
    /// Elements of a piece, or bytes.
    pub(crate) count: u32,
    /// What the authority has of the piece, or at the end.
    pub(crate) told: Option<BigTold>,
    /// A piece is not the same.
    pub(crate) differs: bool,
    pub(crate) asked: bool,
    pub(crate) asked_ms: u64,
}

/// What the authority has told of a step of a big key.
#[derive(Clone, Debug)]
pub(crate) enum BigTold {
    /// Of a piece, and where the next one begins.
    Piece(Piece, Option<Position>),
    /// At the end.
    End(Seen),
}

/// Keys asked for together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) keys: Vec<Sized>,
    /// What the authority has of them, once it has said.
    pub(crate) seen: Vec<Seen>,
    pub(crate) asked_ms: u64,
    /// Whether the authority is asked for the types too.
    pub(crate) types: bool,
    /// Bytes that the pace has been told of.
    bytes: u64,
}

/// The scan of one side, and then of the other.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) half: Half,
    pub(crate) db: u32,
    /// As the server gave it.
    pub(crate) cursor: Vec<u8>,
    /// An answer is awaited.
    pub(crate) asked: bool,
    /// The secondary's keys of which the authority is being asked, and the cursor behind them.
    pub(crate) page: Vec<Box<[u8]>>,
    pub(crate) then: Vec<u8>,
    is_over: bool,
}

impl Walk {
    fn new() -> Self {
        Self { half: Half::Authority, db: 0, cursor: b"0".to_vec(), asked: false, page: Vec::new(), then: Vec::new(), is_over: false }
    }
}

/// A comparison of both sides' keys: the one under way, or the last one.
#[derive(Debug)]
pub struct Verification {
    /// Tells the answers to what it has asked from those to an earlier one.
    pub(crate) number: u32,
    options: VerifyOptions,
    pub(crate) authority: Side,
    pub(crate) databases: u32,
    /// How many both sides have.
    pub(crate) databases_in_common: u32,
    stage: VerifyStage,
    tally: Tally,
    differences: IndexMap<KeyAt, (Differs, String)>,
    differences_bytes: usize,
    pub(crate) counts: BySide<Option<ServerKeys>>,
    /// INFO is asked for.
    pub(crate) counts_asked: BySide<bool>,
    began_ms: u64,
    ended_ms: u64,
    /// Why it waits now.
    pub(crate) waits_for: Option<String>,
    pub(crate) paused_until_ms: u64,
    pauses: u32,
    pub(crate) walk: Walk,
    /// To be asked for their sizes.
    fresh: VecDeque<Item>,
    /// To be asked for their values.
    sized: VecDeque<Sized>,
    batches: HashMap<u32, Batch>,
    last_batch: u32,
    /// To be compared in pieces, one after the other; and the one under way.
    bigs: VecDeque<Sized>,
    big: Option<Big>,
    later: VecDeque<Item>,
    /// When the last key of those got clean.
    later_since_ms: u64,
    /// The servers' payloads are of different formats.
    by_type: bool,
    repaired: bool,
    /// How often a side's lane has come or gone.
    connections: u64,
    bytes_max: u64,
    pub(crate) pace: Pace,
}

impl Verification {
    pub(crate) fn new(number: u32, options: VerifyOptions, authority: Side, bytes_max: u64, now_ms: u64) -> Self {
        Self {
            number,
            options,
            authority,
            databases: 0,
            databases_in_common: 0,
            stage: VerifyStage::Counting,
            tally: Tally::default(),
            differences: IndexMap::new(),
            differences_bytes: 0,
            counts: BySide::default(),
            counts_asked: BySide::default(),
            began_ms: now_ms,
            ended_ms: now_ms,
            waits_for: None,
            paused_until_ms: 0,
            pauses: 0,
            walk: Walk::new(),
            fresh: VecDeque::new(),
            sized: VecDeque::new(),
            batches: HashMap::new(),
            last_batch: 0,
            bigs: VecDeque::new(),
            big: None,
            later: VecDeque::new(),
            later_since_ms: now_ms,
            by_type: false,
            repaired: false,
            connections: 0,
            bytes_max,
            pace: Pace::new(bytes_max),
        }
    }

    // === What it is like ===

    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> VerifyOptions {
        self.options
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> &VerifyStage {
        &self.stage
    }

    /// What it has found so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The keys that differ, as far as they are named.
    pub fn differences(&self) -> impl Iterator<Item = Difference> {
        self.differences.iter().map(|((db, key), (kind, detail))| Difference {
            db: *db,
            key: key.clone(),
            kind: *kind,
            detail: detail.clone(),
        })
    }

    /// How many keys a side had when it began, if it has told.
    #[must_use]
    pub fn counted(&self, side: Side) -> Option<&ServerKeys> {
        self.counts[side].as_ref()
    }

    /// How many keys there are to compare, about.
    #[must_use]
    pub fn expected_keys(&self) -> Option<u64> {
        let all = self.counts[self.authority].as_ref()?.keys();
        (all > 0).then(|| all * u64::from(self.options.sample) / 100)
    }

    /// Keys that were dirty, and wait to be compared.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.later.len() as u64
    }

    /// Why it waits now, if it does.
    #[must_use]
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref().filter(|_| !self.stage.is_over())
    }

    /// How long it has taken, or takes already. Unit: milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self, now_ms: u64) -> u64 {
        let until = if self.stage.is_over() { self.ended_ms } else { now_ms };
        until.saturating_sub(self.began_ms)
    }

    /// Whether both sides were found to hold the same. None while it is under way, or if it has come to no end.
    #[must_use]
    pub fn is_equal(&self) -> Option<bool> {
        if self.stage != VerifyStage::Done {
            return None;
        }
        let same_counts = match (&self.counts.source, &self.counts.target) {
            (Some(source), Some(target)) => source.databases == target.databases,
            _ => false,
        };
        Some(if self.options.quick { same_counts } else { self.tally.is_equal() })
    }

    // === How it goes ===

    pub(crate) fn end(&mut self, stage: VerifyStage, now_ms: u64) {
        self.stage = stage;
        self.ended_ms = now_ms;
        self.fresh = VecDeque::new();
        self.sized = VecDeque::new();
        self.batches = HashMap::new();
        self.bigs = VecDeque::new();
        self.big = None;
        self.later = VecDeque::new();
        self.waits_for = None;
    }

    /// A server's error that is about no key: it is tried again after a while, or ends.
    pub(crate) fn pause(&mut self, reason: &str, now_ms: u64) {
        if now_ms < self.paused_until_ms {
            return; // of those under way when it began
        }
        self.pauses += 1;
        if self.pauses > PAUSES_MAX {
            return self.end(VerifyStage::Failed(reason.to_owned()), now_ms);
        }
        self.paused_until_ms = now_ms + PAUSE_MS;
        self.waits_for = Some(reason.to_owned());
    }

    /// Both servers have said how many keys they have.
    pub(crate) fn counted_both(&mut self, now_ms: u64) {
        if self.options.quick {
            self.end(VerifyStage::Done, now_ms);
        } else {
            self.stage = VerifyStage::Scanning(self.authority);
        }
    }

    /// Whether a key is among those to be compared.
    pub(crate) fn takes(&self, key: &[u8]) -> bool {
        // Neither the bits of the split nor those of the dirty buckets.
        (key_hash(key) >> 16) % 100 < u64::from(self.options.sample)
    }

    /// A scan has named a key that the authority has.
    pub(crate) fn add(&mut self, item: Item) {
        self.fresh.push_back(item);
    }

    /// A scan has named a key that the authority may not have.
    pub(crate) fn add_stranger(&mut self, db: u32, key: &[u8]) {
        let item = Item { is_stranger: true, ..Item::new(db, key) };
        self.pace.began();
        self.sized.push_back(Sized { item, way: Way::Presence, bytes: 0 });
    }

    /// Whether a scan may name more keys.
    pub(crate) fn wants_keys(&self) -> bool {
        !self.walk.is_over && !self.walk.asked && self.fresh.len() + self.sized.len() < NAMED_AHEAD
    }

    /// A server has answered a scan with this cursor.
    pub(crate) fn advance(&mut self, cursor: &[u8]) {
        self.walk.cursor.clear();
        self.walk.cursor.extend_from_slice(cursor);
        if cursor == b"0" {
            self.next_db();
        }
    }

    /// This database is done with, or is none.
    pub(crate) fn next_db(&mut self) {
        let walk = &mut self.walk;
        walk.cursor = b"0".to_vec();
        walk.db += 1;
        if walk.db < self.databases {
            return;
        }
        walk.db = 0;
        if walk.half == Half::Authority {
            walk.half = Half::Secondary;
            self.stage = VerifyStage::Scanning(!self.authority);
        } else {
            walk.is_over = true;
            self.stage = VerifyStage::Rechecking;
        }
    }

    /// It cannot go on now, so that no dirty key gets clean either. While others are compared these are not waited for yet.
    pub(crate) fn wait_for(&mut self, reason: Option<String>, connections: u64, now_ms: u64) {
        if reason.is_some() || self.connections != connections || !self.is_through() {
            self.later_since_ms = now_ms;
        }
        self.connections = connections;
        self.waits_for = reason;
    }

    /// The next keys to ask for their sizes, all of one database; none if there is no room, or no key.
    pub(crate) fn batch_of_sizes(&mut self, now_ms: u64) -> Option<u32> {
        if !self.sized.is_empty() || self.batches.len() >= BATCHES_MAX {
            return None;
        }
        let db = self.fresh.front()?.db;
        let mut keys = Vec::new();
        while keys.len() < BATCH_KEYS && self.pace.has_room() {
            let Some(item) = self.fresh.pop_front_if(|item| item.db == db) else { break };
            self.pace.began();
            keys.push(Sized { item, way: Way::Payload, bytes: 0 });
        }
        let types = self.by_type || keys.iter().any(|key| key.item.by_type);
        self.begin(keys, types, 0, now_ms)
    }

    /// The next keys to ask for their values.
    pub(crate) fn batch_of_values(&mut self, now_ms: u64) -> Option<u32> {
        if self.batches.len() >= BATCHES_MAX {
            return None;
        }
        let db = self.sized.front()?.item.db;
        let (mut keys, mut bytes) = (Vec::new(), 0_u64);
        while keys.len() < BATCH_KEYS
            && let Some(next) = self.sized.front()
            && next.item.db == db
            && (keys.is_empty() || bytes + next.bytes <= BATCH_BYTES)
            && self.pace.has_room_for(bytes + next.bytes)
        {
            bytes += next.bytes;
            keys.extend(self.sized.pop_front());
        }
        self.begin(keys, false, bytes, now_ms)
    }

    fn begin(&mut self, keys: Vec<Sized>, types: bool, bytes: u64, now_ms: u64) -> Option<u32> {
        if keys.is_empty() {
            return None;
        }
        self.pace.asked(bytes);
        self.last_batch = self.last_batch.wrapping_add(1);
        self.batches.insert(self.last_batch, Batch { keys, seen: Vec::new(), asked_ms: now_ms, types, bytes });
        Some(self.last_batch)
    }

    pub(crate) fn batch(&mut self, number: u32) -> Option<&mut Batch> {
        self.batches.get_mut(&number)
    }

    /// A batch has been answered. What becomes of each of its keys is to be said: [`Verification::leave`].
    pub(crate) fn take(&mut self, number: u32) -> Option<Batch> {
        let batch = self.batches.remove(&number)?;
        self.pace.answered_in_part(batch.bytes);
        Some(batch)
    }

    /// A batch that was taken is asked for once more.
    pub(crate) fn give_back(&mut self, number: u32, batch: Batch) {
        self.pace.asked(batch.bytes);
        self.batches.insert(number, batch);
    }

    /// A key is not under way any more.
    fn leave(&mut self) {
        self.pace.ended(0);
    }

    /// A key's size is known: this is how it is read.
    pub(crate) fn sized(&mut self, sized: Sized) {
        self.pauses = 0;
        self.sized.push_back(sized);
    }

    // === In pieces ===

    /// A key is so big that it is compared in pieces. It is no longer counted as under way with the others.
    pub(crate) fn add_big(&mut self, key: Sized) {
        self.pauses = 0;
        self.leave();
        self.bigs.push_back(key);
    }

    /// The big key under way whose next step is to be asked for; the next one, if there is none.
    pub(crate) fn next_big(&mut self) -> Option<&mut Big> {
        if self.big.is_none()
            && let Some(key) = self.bigs.pop_front()
            && let Way::Elements(kind) = key.way
        {
            self.last_batch = self.last_batch.wrapping_add(1);
            let (number, step) = (self.last_batch, BigStep::Begin);
            self.big = Some(Big { number, key, kind, step, count: 1, told: None, differs: false, asked: false, asked_ms: 0 });
        }
        self.big.as_mut().filter(|big| !big.asked)
    }

    /// The big key under way, if it is this one.
    pub(crate) fn big(&mut self, number: u32) -> Option<&mut Big> {
        self.big.as_mut().filter(|big| big.number == number)
    }

    /// The big key under way has come to its end. What becomes of it is to be said.
    pub(crate) fn take_big(&mut self, number: u32) -> Option<Item> {
        let big = self.big.take_if(|big| big.number == number)?;
        self.pace.began();
        Some(big.key.item)
    }

    /// A batch has come to nothing: its keys are asked for anew.
    pub(crate) fn repeat(&mut self, batch: Batch) {
        batch.keys.into_iter().for_each(|key| self.anew(key.item));
    }

    /// A key is asked for anew, now with its type.
    pub(crate) fn with_type(&mut self, item: Item) {
        self.anew(Item { by_type: true, ..item });
    }

    /// A key is asked for anew.
    pub(crate) fn anew(&mut self, item: Item) {
        self.leave();
        if item.is_stranger {
            return self.add_stranger(item.db, &item.key);
        }
        self.fresh.push_front(item);
    }

    /// A key is not to be compared: the authority has what only the secondary was thought to have.
    pub(crate) fn drop_stranger(&mut self, item: &Item) -> bool {
        if item.is_stranger {
            self.leave();
        }
        item.is_stranger
    }

    /// A key is dirty before it was asked for.
    pub(crate) fn put_off(&mut self, item: Item) {
        if item.tries >= TRIES_MAX || self.later.len() >= LATER_MAX {
            self.tally.dirty += 1;
            return;
        }
        self.later.push_back(Item { tries: item.tries + 1, is_stranger: false, ..item });
    }

    /// A key that is under way is dirty.
    pub(crate) fn postpone(&mut self, item: Item) {
        self.leave();
        self.put_off(item);
    }

    /// What a key's comparison has come to, which counts.
    pub(crate) fn conclude(&mut self, item: Item, verdict: Verdict) {
        match verdict {
            Verdict::ByType { formats_differ } => {
                self.by_type |= formats_differ;
                return self.with_type(item);
            }
            Verdict::Differs(kind, detail) => {
                self.leave();
                return self.differs((item.db, item.key), kind, detail);
            }
            Verdict::Equal => self.tally.equal += 1,
            Verdict::Expired => self.tally.expired += 1,
            Verdict::Gone => {}
        }
        self.leave();
        self.tally.repaired += u64::from(item.mends);
    }

    /// A key that one side cannot have, because it does not have the database.
    pub(crate) fn only_on(&mut self, side: Side, db: u32, key: &[u8]) {
        self.differs((db, key.into()), Differs::only(side), format!("the {} does not have the database", !side));
    }

    fn differs(&mut self, place: KeyAt, kind: Differs, detail: String) {
        if self.differences.contains_key(&place) {
            return; // a scan may name a key twice
        }
        *self.tally.of(kind) += 1;
        self.differences_bytes += place.1.len();
        if self.differences.len() < DIFFERENCES_MAX && self.differences_bytes <= DIFFERENCES_BYTES_MAX {
            self.differences.insert(place, (kind, detail));
        }
    }

    /// Whether every key was compared, but for those that were dirty.
    pub(crate) fn is_through(&self) -> bool {
        let none_big = self.bigs.is_empty() && self.big.is_none();
        self.walk.is_over && self.fresh.is_empty() && self.sized.is_empty() && self.batches.is_empty() && none_big
    }

    /// Looks at keys that were dirty, and takes those up that are clean. Those that come along in pieces are waited for. True if
    /// there is none left.
    pub(crate) fn recheck(&mut self, now_ms: u64, is_dirty: impl Fn(&Item) -> bool, in_pieces: impl Fn(&Item) -> bool) -> bool {
        for _ in 0..self.later.len().min(BATCH_KEYS) {
            let Some(item) = self.later.pop_front() else { break };
            if is_dirty(&item) {
                if in_pieces(&item) {
                    self.later_since_ms = now_ms;
                }
                self.later.push_back(item);
                continue;
            }
            self.later_since_ms = now_ms;
            // Where a side lacks the database no copy has made it clean: it is gone, and cannot be asked for on both.
            if item.db < self.databases_in_common {
                self.fresh.push_back(item);
            }
        }
        if now_ms.saturating_sub(self.later_since_ms) >= DIRTY_WAIT_MS {
            self.tally.dirty += self.later.len() as u64;
            self.later = VecDeque::new();
        }
        self.later.is_empty() && self.is_through()
    }

    /// The keys that differ, to be marked; they are compared again. None if that is not wanted, or was done.
    pub(crate) fn begin_repair(&mut self, now_ms: u64) -> Vec<KeyAt> {
        if !self.options.repair || self.repaired || self.differences.is_empty() {
            return Vec::new();
        }
        self.repaired = true;
        self.stage = VerifyStage::Repairing;
        self.later_since_ms = now_ms;
        let found = std::mem::take(&mut self.differences);
        self.differences_bytes = 0;
        found.values().for_each(|(kind, _)| *self.tally.of(*kind) -= 1);
        let places: Vec<KeyAt> = found.into_keys().collect();
        self.later.extend(places.iter().map(|(db, key)| Item { mends: true, ..Item::new(*db, key) }));
        places
    }

    /// What was compared counts for nothing: a server has lost data, or databases were swapped.
    pub(crate) fn begin_anew(&mut self, number: u32) {
        let Self { options, authority, bytes_max, began_ms, .. } = *self;
        *self = Self::new(number, options, authority, bytes_max, began_ms);
    }
}
