//! The file of the write-intent bitmap, mapped into memory.
//!
//! ```text
//!   0     magic    8 bytes
//!   8     format   u32      little-endian, as all numbers here
//!   12    words    u32      of 64 buckets each
//!   16    id       u64      the identity's
//!   24    checksum u64      of the 24 bytes before it
//!   4096  words    u64 each
//! ```
//!
//! The bits need no checksum: each is right by itself, and a byte that is written half is a bit too many or one that was not
//! yet promised.

use std::fs::File;
use std::io;

use interlay_routing::{INTENT_WORDS, IntentStore};
use memmap2::MmapMut;
use xxhash_rust::xxh3::xxh3_64;

use super::Flaw;
use super::identity::FORMAT;

/// Begins the file. The line end tells of a copy that was taken for text.
const MAGIC: &[u8; 8] = b"INTENT\r\n";

/// Of the header without its checksum.
const HEADER_LEN: usize = 24;

/// Where the words begin: on a page of their own.
const WORDS_AT: usize = 4096;

const WORD_LEN: usize = size_of::<u64>();

const FILE_LEN: usize = WORDS_AT + INTENT_WORDS * WORD_LEN;

/// The bits of a state directory.
#[derive(Debug)]
pub(crate) struct Bitmap(MmapMut);

/// The content of a new file: a header, and no bit. Every byte is there, so that the disk has room for all of them.
pub(super) fn empty(id: u64) -> Vec<u8> {
    let header = header(id);
    let mut file = Vec::with_capacity(FILE_LEN);
    file.extend_from_slice(&header);
    file.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    file.resize(FILE_LEN, 0);
    file
}

fn header(id: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&(INTENT_WORDS as u32).to_le_bytes());
    header[16..].copy_from_slice(&id.to_le_bytes());
    header
}

impl Bitmap {
    /// Maps a file, if it is the bitmap of the identity with this `id`.
    pub(super) fn map(file: &File, id: u64) -> io::Result<Result<Self, Flaw>> {
        let (found, expected) = (file.metadata()?.len(), FILE_LEN as u64);
        if found != expected {
            return Ok(Err(Flaw::Size { found, expected }));
        }
        #[expect(
            unsafe_code,
            reason = "a map is unsafe because others can change or shorten the file below it. The directory is locked for this process, \
                      and no Interlay shortens the file; whoever else does so ends this process (SIGBUS). The bytes are read and \
                      written by value, as plain numbers of which every pattern is valid, and no reference to them is kept"
        )]
        let map = unsafe { MmapMut::map_mut(file)? };
        Ok(check(&map, id).map(|()| Self(map)))
    }

    /// Buckets that are marked, in ascending order.
    pub(super) fn marked(&self) -> Vec<usize> {
        (0..INTENT_WORDS * 64).filter(|bucket| self.word(bucket / 64) >> (bucket % 64) & 1 == 1).collect()
    }
}

/// Checks the header.
fn check(file: &[u8], id: u64) -> Result<(), Flaw> {
    let (header, rest) = file.split_first_chunk::<HEADER_LEN>().ok_or(Flaw::Kind)?;
    let checksum = rest.first_chunk().copied().map(u64::from_le_bytes);
    if !header.starts_with(MAGIC) {
        return Err(Flaw::Kind);
    }
    if checksum != Some(xxh3_64(header)) {
        return Err(Flaw::Checksum);
    }
    let expected = self::header(id);
    if header[8..12] != expected[8..12] {
        let format = header[8..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        return Err(Flaw::Format(format));
    }
    if *header == expected { Ok(()) } else { Err(Flaw::OtherIdentity) }
}

impl IntentStore for Bitmap {
    fn word(&self, n: usize) -> u64 {
        self.0.get(WORDS_AT + n * WORD_LEN..).and_then(|words| words.first_chunk().copied()).map_or(0, u64::from_le_bytes)
    }

    /// The kernel has the bits when this returns, as part of the file: the process may be killed at once.
    fn set_word(&mut self, n: usize, bits: u64) {
        if let Some(word) = self.0.get_mut(WORDS_AT + n * WORD_LEN..).and_then(|words| words.first_chunk_mut()) {
            *word = bits.to_le_bytes();
        }
    }
}
