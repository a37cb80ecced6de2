//! What a process costs: processor time and resident memory, as the kernel counts them.

use crate::error::{BenchError, Result, Step};
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Processor time of each thread of a process since it started, in nanoseconds.
///
/// Read from `schedstat`: `stat` counts in ticks of 10 ms, too coarse for a cell of two seconds.
#[derive(Debug)]
pub struct CpuTime(BTreeMap<String, u64>);

impl CpuTime {
    /// # Errors
    /// [`BenchError::Io`] if the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let what = format!("read the processor time of process {pid}");
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).step(&*what)? {
            let entry = entry.step(&*what)?;
            // A thread may end between the two reads; its time is then not counted.
            let Ok(line) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let nanos = line.split(' ').next().and_then(|first| first.parse().ok());
            let nanos = nanos.ok_or(io::ErrorKind::InvalidData).map_err(io::Error::from).step(&*what)?;
            threads.insert(entry.file_name().to_string_lossy().into_owned(), nanos);
        }
        Ok(Self(threads))
    }

    /// Nanoseconds used since `earlier` by the threads that are alive now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> u64 {
        let used = |(id, now): (&String, &u64)| now.saturating_sub(earlier.0.get(id).copied().unwrap_or(0));
        self.0.iter().map(used).sum()
    }
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now, in KiB.
    pub now_kib: u64,
    /// Most that was resident since the last [`Memory::reset_peak`], in KiB.
    pub peak_kib: u64,
}

impl Memory {
    /// # Errors
    /// [`BenchError::Io`] if the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let what = format!("read the memory of process {pid}");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).step(&*what)?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            kib.ok_or_else(|| BenchError::Io { what: what.clone(), cause: io::ErrorKind::InvalidData.into() })
        };
        Ok(Self { now_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }

    /// Makes the present size of the process its peak.
    ///
    /// # Errors
    /// [`BenchError::Io`] if the process is gone or not ours.
    pub fn reset_peak(pid: u32) -> Result<()> {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").step("reset the memory peak")
    }
}

/// How many files this process, and so its children, may have open.
///
/// # Errors
/// [`BenchError::Io`] if the system does not tell.
pub fn open_files_limit() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits").step("read the limits of this process")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    // Anything that is not a number is the word for "no limit".
    Ok(soft.and_then(|limit| limit.parse().ok()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_counted() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        // Each reading is work of its own; the kernel adds it up at the latest at its next tick.
        assert!((0..1_000_000).any(|_| CpuTime::of(pid).unwrap().since(&before) > 0));
    }

    #[test]
    fn peak_is_never_below_now() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.now_kib > 0 && memory.peak_kib >= memory.now_kib);
    }
}
