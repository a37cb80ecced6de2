//! Waiting on conditions.

use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
///
/// If it does not within [`PATIENCE`], with `what` was waited for.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited for {PATIENCE:?} in vain: {what}");
        std::thread::sleep(LOOK);
    }
}
