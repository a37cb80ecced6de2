//! Small files of the state directory that are not the data plane's: what was acknowledged, and the workflow's run.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an earlier process has kept. What cannot be read is as good as not kept, and said so.
pub(crate) fn read<T: DeserializeOwned>(dir: &Path, file: &str) -> Option<T> {
    let file = dir.join(file);
    let kept = match fs::read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(error),
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
    };
    kept.inspect_err(|error| tracing::warn!(file = %file.display(), %error, "what was kept cannot be read, and is left out")).ok()
}

/// Replaces the file as a whole, on disk.
pub(crate) fn write(dir: &Path, file: &str, kept: &impl Serialize) -> io::Result<()> {
    let file = dir.join(file);
    let unfinished = file.with_added_extension("new");
    let mut new = File::create(&unfinished)?;
    new.write_all(&serde_json::to_vec_pretty(kept)?)?;
    new.sync_all()?;
    fs::rename(&unfinished, &file)?;
    File::open(dir)?.sync_all()
}

/// What time it is, in ms since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
