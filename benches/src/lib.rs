//! What both bench binaries need: Interlay and its peers, each before Redis servers of its own, and their cost.
//!
//! - [`contender`]: the table of what is compared, and where its program is found.
//! - [`setup`]: one contender running before its servers; everything it started ends with it.
//! - [`load`]: the table of cells, and redis-benchmark run for one of them.
//! - [`usage`]: processor time and memory of a process, from `/proc` (so: Linux only).
//! - [`report`]: medians, aligned tables, CSV.
//! - [`client`], [`process`], [`machine`], [`error`]: the small tools under these.

pub mod client;
pub mod contender;
pub mod error;
pub mod load;
pub mod machine;
pub mod process;
pub mod report;
pub mod setup;
pub mod usage;
