//! The state directory (`--state-dir`): what is known of how the sides differ, kept beyond the process.
//!
//! ```text
//!   identity.toml   whose state it is, and what was in force; replaced as a whole, on disk before anything acts on it
//!   backfill.map    how far a sweep of every key has come, memory-mapped too; made anew where it cannot be relied upon
//!   intent.bits     the write-intent bitmap, memory-mapped: a bit set here is in the kernel's hands at once
//! ```
//!
//! Invariant: a directory that cannot be relied upon is refused, with an error that says what to do; it is never ignored and
//! never made anew over what is there. So after `kill -9` the marked buckets are all that may differ.
//!
//! What a crash of the *machine* leaves is another matter, since the kernel writes a map back when it likes. The identity
//! therefore holds the boot it was written in: state that was not closed, and is opened after another boot, makes every key
//! suspect. A directory on another machine is in another boot.
//!
//! One process uses a directory at a time: it holds a lock on it, which the kernel drops with the process. The directory has
//! to be on a local file system, where such locks and maps work. Files take their full size when they are made, so that a
//! disk that is full later takes nothing from the map. (A file system that copies on write needs space even then, and a
//! process that writes to its map without that is ended by SIGBUS.)

mod bitmap;
mod error;
mod identity;
mod position;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use interlay_routing::{BySide, Phase, Policy, Saved, Side};

pub(crate) use bitmap::Bitmap;
pub(crate) use error::{Flaw, StateError};
use identity::Record;
pub(crate) use position::Position;

/// The file that says whose state it is.
const IDENTITY: &str = "identity.toml";

/// The file of the bitmap.
const BITS: &str = "intent.bits";

/// Ends the name of a file that is being written. What a crash leaves of it was never in force.
const UNFINISHED: &str = "new";

/// Where the kernel tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whose state a directory holds: an interlay between these servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `host:port` of the source.
    pub(crate) source: String,
    /// `host:port` of the target, if there is one.
    pub(crate) target: Option<String>,
    /// The policy that a new directory begins with.
    pub(crate) policy: Policy,
}

/// How far the move has come, and what goes on with the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The phase.
    pub(crate) phase: Phase,
    /// The policy in force, and with it the authority.
    pub(crate) policy: Policy,
    /// What a rollback goes back to.
    pub(crate) former_policy: Policy,
    /// Every key was copied, and nothing has made that doubtful since.
    pub(crate) in_sync: bool,
    /// Any key may differ until all are copied.
    pub(crate) suspect: bool,
    /// Share of the reads that goes to the target, in per cent.
    pub(crate) target_read_percent: u8,
}

impl Standing {
    /// At the beginning.
    pub(crate) fn new(policy: Policy, has_target: bool) -> Self {
        let is_target = policy.authority() == Side::Target;
        let phase = match has_target {
            false => Phase::Passthrough,
            true if is_target => Phase::Cutover,
            true => Phase::Mirroring,
        };
        let former_policy = if is_target { Policy::default() } else { policy };
        Self { phase, policy, former_policy, in_sync: false, suspect: false, target_read_percent: 0 }
    }
}

/// What a directory held when it was opened.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// Nothing: it was made.
    New,
    /// What an earlier process has left.
    Left(Left),
}

/// What an earlier process has left.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// Buckets whose keys may differ, in ascending order. They stay marked.
    pub(crate) buckets: Vec<usize>,
    /// How far the move had come.
    pub(crate) standing: Standing,
    /// Whether any key may differ: that was so, or the machine has gone down before the bits were surely on disk.
    pub(crate) suspect: bool,
    /// The processes that the servers were when they were last seen.
    pub(crate) run_ids: BySide<Option<String>>,
    /// Whether the earlier process closed the directory.
    pub(crate) clean: bool,
    /// Whether the machine has gone down before what it wrote was surely on disk.
    pub(crate) went_down: bool,
}

/// A directory in use. Dropped without [`State::close`], it is left as after a crash.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// The directory, locked.
    dir: File,
    /// The file behind the [`Bitmap`].
    bits: File,
    record: Record,
    /// What is on disk already, to be put in force at once.
    prepared: Option<Record>,
}

impl State {
    /// Opens the directory at `path`, or makes it if it is absent (its parent must be there: a volume that is not mounted
    /// is not a new directory) or empty.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it cannot be relied upon. Nothing in it has been changed then.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<(Self, Bitmap, Found), StateError> {
        let dir = lock(path)?;
        let boot_id = fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned());
        if is_new(path)? { Self::create(path, dir, identity, boot_id) } else { Self::reopen(path, dir, identity, boot_id) }
    }

    fn create(path: &Path, dir: File, identity: &Identity, boot_id: Option<String>) -> Result<(Self, Bitmap, Found), StateError> {
        let record = Record::new(identity, boot_id);
        let (bits_path, identity_path) = (path.join(BITS), path.join(IDENTITY));
        // Both are on disk before either is in force: a disk that is full here leaves the directory as good as empty.
        stage(&bits_path, &bitmap::empty(record.id))?;
        stage(&identity_path, record.to_text().as_bytes())?;
        commit(&dir, &bits_path)?;
        commit(&dir, &identity_path)?;
        let (bits, bitmap) = open_bits(path, record.id)?;
        Ok((Self { path: path.to_owned(), dir, bits, record, prepared: None }, bitmap, Found::New))
    }

    fn reopen(path: &Path, dir: File, identity: &Identity, boot_id: Option<String>) -> Result<(Self, Bitmap, Found), StateError> {
        let file = path.join(IDENTITY);
        let text = fs::read(&file).map_err(StateError::io("read", &file))?;
        let record = Record::from_text(&text).map_err(|flaw| StateError::Damaged { dir: path.to_owned(), file: file.clone(), flaw })?;
        record.check_servers(&file, identity)?;
        let (bits, bitmap) = open_bits(path, record.id)?;
        let went_down = !record.clean && (boot_id.is_none() || record.boot_id != boot_id);
        let run_id = |side| record.run_id(side).map(ToOwned::to_owned);
        let left = Left {
            buckets: bitmap.marked(),
            standing: record.standing(),
            suspect: record.suspect || went_down,
            run_ids: BySide { source: run_id(Side::Source), target: run_id(Side::Target) },
            clean: record.clean,
            went_down,
        };
        let mut state = Self { path: path.to_owned(), dir, bits, record, prepared: None };
        // In force before the first write is mirrored; and since the boot is forgotten with it, so is what it has shown.
        state.update(|record| (record.clean, record.suspect, record.boot_id) = (false, left.suspect, boot_id))?;
        Ok((state, bitmap, Found::Left(left)))
    }

    /// Records how far the move has come.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`], as of every method that records: what could not be recorded must not be acted on.
    pub(crate) fn record_standing(&mut self, standing: Standing) -> Result<(), StateError> {
        self.update(|record| record.set_standing(standing))
    }

    /// Writes what is about to be recorded onto the disk, so that the next [`State::record_standing`] takes no time if it is just that.
    ///
    /// # Errors
    ///
    /// As of [`State::record_standing`]. What holds is as it was.
    pub(crate) fn prepare(&mut self, standing: Standing) -> Result<(), StateError> {
        let mut record = self.record.clone();
        record.set_standing(standing);
        stage(&self.path.join(IDENTITY), record.to_text().as_bytes())?;
        self.prepared = Some(record);
        Ok(())
    }

    /// Records which process a side's server is. True if it was another one when it was last seen: it may have lost writes,
    /// and the same record says that every key is suspect.
    ///
    /// # Errors
    ///
    /// As of [`State::record_standing`].
    pub(crate) fn record_run_id(&mut self, side: Side, run_id: &str) -> Result<bool, StateError> {
        let restarted = self.record.run_id(side).is_some_and(|known| known != run_id);
        self.update(|record| {
            record.set_run_id(side, run_id);
            record.suspect |= restarted;
        })?;
        Ok(restarted)
    }

    /// How far sweeps had come, and where that is kept. Nothing is to be gone on with if what was left is not `usable`.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`].
    pub(crate) fn position(&self, usable: bool) -> Result<(Position, Saved), StateError> {
        let (mut position, saved) = Position::open(&self.path, &self.dir, self.record.id)?;
        if usable {
            return Ok((position, saved));
        }
        position.clear();
        Ok((position, Saved::default()))
    }

    /// Puts everything on disk and says so: the machine may go down now. Keys that are dirty stay marked.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]: the directory is left as after a crash.
    pub(crate) fn close(mut self) -> Result<(), StateError> {
        self.bits.sync_all().map_err(StateError::io("write", &self.path.join(BITS)))?;
        self.update(|record| record.clean = true)
    }

    fn update(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), StateError> {
        let mut record = self.record.clone();
        change(&mut record);
        if record == self.record {
            return Ok(());
        }
        let file = self.path.join(IDENTITY);
        if self.prepared.take().as_ref() == Some(&record) {
            // In force for whoever comes after this process, whatever becomes of that; the disk gets to know a moment later.
            fs::rename(unfinished(&file), &file).map_err(StateError::io("replace", &file))?;
            self.record = record;
            // A file of its own: a copy of the locked one would keep the lock.
            let dir = File::open(&self.path).map_err(StateError::io("open", &self.path))?;
            std::thread::spawn(move || dir.sync_all().inspect_err(|error| tracing::error!(%error, "the state directory cannot be synced")));
            return Ok(());
        }
        stage(&file, record.to_text().as_bytes())?;
        commit(&self.dir, &file)?;
        self.record = record;
        Ok(())
    }
}

/// Opens the directory, made if it is absent, for this process alone.
fn lock(path: &Path) -> Result<File, StateError> {
    match DirBuilder::new().mode(0o700).create(path).and_then(|()| sync_parent(path)) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(StateError::io("create", path)(cause)),
        _ => {}
    }
    let dir = File::open(path).map_err(StateError::io("open", path))?;
    match dir.try_lock() {
        Ok(()) => Ok(dir),
        Err(TryLockError::WouldBlock) => Err(StateError::Locked { dir: path.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(StateError::io("lock", path)(cause)),
    }
}

/// Sees to it that a new directory is still there after a crash of the machine.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Whether the directory holds nothing that was ever in force; false if it holds an identity.
fn is_new(path: &Path) -> Result<bool, StateError> {
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let entries = entries.map_err(StateError::io("list", path))?;
    let (dir, identity) = (path.to_owned(), path.join(IDENTITY));
    if entries.contains(&identity) {
        return Ok(false);
    }
    let is_unfinished = |entry: &PathBuf| [BITS, IDENTITY].iter().any(|name| *entry == unfinished(&path.join(name)));
    match entries.into_iter().filter(|entry| !is_unfinished(entry)).min() {
        None => Ok(true),
        Some(bits) if bits == path.join(BITS) => Err(StateError::Damaged { dir, file: identity, flaw: Flaw::Missing }),
        Some(file) => Err(StateError::NotEmpty { dir, file }),
    }
}

fn open_bits(path: &Path, id: u64) -> Result<(File, Bitmap), StateError> {
    let file = path.join(BITS);
    let bits = match File::options().read(true).write(true).open(&file) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            return Err(StateError::Damaged { dir: path.to_owned(), file, flaw: Flaw::Missing });
        }
        opened => opened.map_err(StateError::io("open", &file))?,
    };
    let bitmap = Bitmap::map(&bits, id).map_err(StateError::io("map", &file))?;
    let bitmap = bitmap.map_err(|flaw| StateError::Damaged { dir: path.to_owned(), file, flaw })?;
    Ok((bits, bitmap))
}

/// Where the next content of a file is written before it takes its place.
fn unfinished(file: &Path) -> PathBuf {
    file.with_added_extension(UNFINISHED)
}

/// Writes the next content of a file, onto the disk and in full.
fn stage(file: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let path = unfinished(file);
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(StateError::io("write", &path))
}

/// Puts what was staged in force.
fn commit(dir: &File, file: &Path) -> Result<(), StateError> {
    fs::rename(unfinished(file), file).and_then(|()| dir.sync_all()).map_err(StateError::io("replace", file))
}

#[cfg(test)]
mod tests;
