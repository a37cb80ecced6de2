//! The file of a sweep's position, mapped into memory: how far a backfill has come, so that it goes on from there.
//!
//! ```text
//!   0      magic    8 bytes
//!   8      format   u32      little-endian, as all numbers here
//!   12     0        u32
//!   16     id       u64      the identity's
//!   24     checksum u64      of the 24 bytes before it
//!   4096   slot     number u64, length u32, 0 u32, checksum u64 of all of these and the JSON, JSON
//!   8192   slot     the same
//!   12288  words    u64 each, of 64 buckets that were written since the sweep began
//! ```
//!
//! The slots are written in turn, and the one of the highest number that has its checksum holds: half a record never does. A file
//! that is not there, or is damaged, is as good as a new one, because it only saves work: every key whose copy is not
//! confirmed is marked in the bitmap.
//!
//! What the target had before a backfill that keeps that is in a file of its own, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use interlay_routing::{BackfillProgress, INTENT_WORDS, Place, PositionStore, Saved};
use memmap2::MmapMut;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::identity::FORMAT;
use super::{StateError, commit, stage, unfinished};
use crate::backfill::Progress;

/// The file.
const POSITION: &str = "backfill.map";

/// The file of the target's own keys.
const OWN_KEYS: &str = "backfill.keys";

const MAGIC: &[u8; 8] = b"PLACE\r\n\0";

const HEADER_LEN: usize = 24;
const SLOT_LEN: usize = 4096;
const SLOTS_AT: [usize; 2] = [4096, 8192];
/// Of a slot without its JSON.
const SLOT_HEAD_LEN: usize = 24;
const WORDS_AT: usize = 12_288;
const FILE_LEN: usize = WORDS_AT + INTENT_WORDS * size_of::<u64>();

/// What a slot holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    progress: Option<Progress>,
    place: Option<Scan>,
}

/// A [`Place`].
#[derive(Debug, Serialize, Deserialize)]
struct Scan {
    strangers: bool,
    db: u32,
    /// Digits.
    cursor: String,
}

/// How far sweeps have come, in a state directory.
#[derive(Debug)]
pub(crate) struct Position {
    map: MmapMut,
    id: u64,
    number: u64,
    own_keys: PathBuf,
}

impl Position {
    /// Opens the file of a directory, or makes it anew; with what is in it.
    pub(super) fn open(path: &Path, dir: &File, id: u64) -> Result<(Self, Saved), StateError> {
        let file = path.join(POSITION);
        if !is_good(&file, id) {
            stage(&file, &empty(id))?;
            commit(dir, &file)?;
        }
        let opened = File::options().read(true).write(true).open(&file).map_err(StateError::io("open", &file))?;
        let map = map(&opened).map_err(StateError::io("map", &file))?;
        let mut position = Self { map, id, number: 0, own_keys: path.join(OWN_KEYS) };
        let newest = SLOTS_AT.into_iter().filter_map(|at| position.slot(at)).max_by_key(|(number, _)| *number);
        let Some((number, Record { progress, place })) = newest else { return Ok((position, Saved::default())) };
        position.number = number;
        let progress = progress.map(BackfillProgress::from);
        let mut place = place.map(|Scan { strangers, db, cursor }| Place { strangers, db, cursor: cursor.into_bytes() });
        let keeps = progress.as_ref().is_some_and(|progress| progress.options.conflict != interlay_routing::Conflict::Replace);
        let own_keys = if keeps && place.is_some() { position.load_own_keys() } else { Some(Vec::new()) };
        if own_keys.is_none() {
            place = None; // they are looked for anew
        }
        let written = (0..INTENT_WORDS).map(|n| position.number_at(WORDS_AT + n * size_of::<u64>())).collect();
        Ok((position, Saved { progress, place, written, own_keys: own_keys.unwrap_or_default() }))
    }

    /// Nothing is to be gone on with.
    pub(super) fn clear(&mut self) {
        self.save(None, None);
    }

    fn number_at(&self, at: usize) -> u64 {
        self.map.get(at..).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u64::from_le_bytes)
    }

    /// The record in a slot, if it is whole, and its number.
    fn slot(&self, at: usize) -> Option<(u64, Record)> {
        let slot = self.map.get(at..at + SLOT_LEN)?;
        let (head, json) = slot.split_at_checked(SLOT_HEAD_LEN)?;
        let len = u32::from_le_bytes(head.get(8..)?.first_chunk().copied()?) as usize;
        let json = json.get(..len)?;
        let checksum = u64::from_le_bytes(head.get(16..)?.first_chunk().copied()?);
        let number = self.number_at(at);
        (number > 0 && checksum == checksum_of(number, json)).then_some(())?;
        Some((number, serde_json::from_slice(json).ok()?))
    }

    fn load_own_keys(&self) -> Option<Vec<(u32, Vec<u64>)>> {
        let bytes = fs::read(&self.own_keys).ok()?;
        let (body, checksum) = bytes.split_last_chunk::<8>()?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let mut numbers = body.chunks_exact(8).filter_map(|bytes| bytes.first_chunk().copied()).map(u64::from_le_bytes);
        (numbers.next() == Some(self.id)).then_some(())?;
        let mut own_keys = Vec::new();
        while let (Some(db), Some(count)) = (numbers.next(), numbers.next()) {
            own_keys.push((u32::try_from(db).ok()?, numbers.by_ref().take(usize::try_from(count).ok()?).collect()));
        }
        Some(own_keys)
    }
}

impl PositionStore for Position {
    /// The kernel has the record when this returns, as part of the file: the process may be killed at once.
    fn save(&mut self, progress: Option<&BackfillProgress>, place: Option<&Place>) {
        let place = place.map(|Place { strangers, db, cursor }| Scan {
            strangers: *strangers,
            db: *db,
            cursor: String::from_utf8_lossy(cursor).into_owned(),
        });
        let record = Record { progress: progress.cloned().map(Progress::from), place };
        let json = serde_json::to_vec(&record).ok().filter(|json| json.len() <= SLOT_LEN - SLOT_HEAD_LEN);
        // Too long a reason, say: without a record it begins anew.
        let json = json.unwrap_or_else(|| b"{}".to_vec());
        self.number += 1;
        let at = SLOTS_AT[(self.number % 2) as usize];
        let Some(slot) = self.map.get_mut(at..at + SLOT_LEN) else { return };
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(checksum_of(self.number, &json).to_le_bytes());
        bytes.extend(json);
        if let Some(slot) = slot.get_mut(..bytes.len()) {
            slot.copy_from_slice(&bytes);
        }
    }

    fn set_written(&mut self, n: usize, bits: u64) {
        if let Some(word) = self.map.get_mut(WORDS_AT + n * size_of::<u64>()..).and_then(|words| words.first_chunk_mut()) {
            *word = bits.to_le_bytes();
        }
    }

    /// Not waited for until it is on disk: what a crash of the machine leaves is not gone on with.
    fn save_own_keys(&mut self, own_keys: &BTreeMap<u32, Vec<u64>>) {
        let mut bytes = self.id.to_le_bytes().to_vec();
        for (db, prints) in own_keys {
            [u64::from(*db), prints.len() as u64].iter().chain(prints).for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        let checksum = xxh3_64(&bytes);
        bytes.extend(checksum.to_le_bytes());
        let next = unfinished(&self.own_keys);
        if let Err(error) = fs::write(&next, bytes).and_then(|()| fs::rename(&next, &self.own_keys)) {
            tracing::error!(%error, "the target's own keys cannot be recorded; after a crash they are looked for anew");
            fs::remove_file(&self.own_keys).ok();
        }
    }
}

fn checksum_of(number: u64, json: &[u8]) -> u64 {
    xxh3_64(&[&number.to_le_bytes(), json].concat())
}

fn header(id: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..].copy_from_slice(&id.to_le_bytes());
    header
}

fn empty(id: u64) -> Vec<u8> {
    let header = header(id);
    let mut file = header.to_vec();
    file.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    file.resize(FILE_LEN, 0);
    file
}

/// Whether a file was made for the identity with this `id`.
fn is_good(file: &Path, id: u64) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes.len() == FILE_LEN && bytes.starts_with(&empty(id)[..HEADER_LEN + 8]))
}

#[expect(
    unsafe_code,
    reason = "a map is unsafe because others can change or shorten the file below it: as of the bitmap, the directory is locked for this \
              process, the bytes are plain numbers read and written by value, and checked where they mean something"
)]
fn map(file: &File) -> io::Result<MmapMut> {
    unsafe { MmapMut::map_mut(file) }
}

#[cfg(test)]
mod tests {
    use interlay_routing::{BackfillOptions, BackfillState, Conflict};
    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir, id: u64) -> (Position, Saved) {
        let folder = File::open(dir.path()).unwrap();
        Position::open(dir.path(), &folder, id).unwrap_or_else(|error| panic!("{error}"))
    }

    fn at(cursor: &str) -> Place {
        Place { strangers: false, db: 3, cursor: cursor.as_bytes().to_vec() }
    }

    fn running(conflict: Conflict) -> BackfillProgress {
        let options = BackfillOptions { conflict, ..BackfillOptions::default() };
        BackfillProgress { state: BackfillState::Running, options, keys_named: 12, ..BackfillProgress::default() }
    }

    #[test]
    fn the_last_record_is_there_and_one_half_written_is_not() {
        let dir = TempDir::new().unwrap();
        let (mut position, saved) = open(&dir, 7);
        assert_eq!(saved, Saved::default());
        let progress = running(Conflict::Replace);
        position.save(Some(&progress), Some(&at("17")));
        position.save(Some(&progress), Some(&at("42")));
        position.set_written(5, 0b101);
        drop(position);
        let (position, saved) = open(&dir, 7);
        assert_eq!((saved.progress, saved.place, saved.written[5]), (Some(progress.clone()), Some(at("42")), 0b101));
        drop(position);
        // The newer slot is torn: the older one holds.
        let file = dir.path().join(POSITION);
        let mut bytes = fs::read(&file).unwrap();
        bytes[SLOTS_AT[0] + SLOT_HEAD_LEN] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(open(&dir, 7).1.place, Some(at("17")));
    }

    #[test]
    fn a_file_of_another_identity_or_none_is_made_anew() {
        let dir = TempDir::new().unwrap();
        open(&dir, 7).0.save(None, Some(&at("17")));
        assert_eq!(open(&dir, 8).1, Saved::default());
        fs::write(dir.path().join(POSITION), b"short").unwrap();
        assert_eq!(open(&dir, 8).1, Saved::default());
    }

    #[test]
    fn without_the_targets_own_keys_a_backfill_that_keeps_them_has_no_place() {
        let dir = TempDir::new().unwrap();
        let (mut position, _) = open(&dir, 7);
        let own_keys = BTreeMap::from([(0, vec![1, 2]), (9, vec![])]);
        position.save_own_keys(&own_keys);
        position.save(Some(&running(Conflict::Merge)), Some(&at("17")));
        let saved = open(&dir, 7).1;
        assert_eq!((saved.place, saved.own_keys), (Some(at("17")), own_keys.into_iter().collect()));
        fs::write(dir.path().join(OWN_KEYS), b"damaged and long enough").unwrap();
        let saved = open(&dir, 7).1;
        assert_eq!((saved.place, saved.progress.is_some()), (None, true));
    }
}
