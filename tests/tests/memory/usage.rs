//! Memory of a process, as the system counts it.

/// A size in `/proc/<pid>/status`: `VmRSS` is what is resident now, `VmHWM` the most that ever was. Unit: bytes.
///
/// The system counts in batches per thread, so that even `VmHWM` may be a little less than it was a moment ago.
///
/// # Panics
///
/// If the process has ended, or the system has no such file.
pub(crate) fn bytes(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let kib = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.split_whitespace().next());
    kib.expect("the field").parse::<u64>().expect("a size in KiB") * 1024
}
