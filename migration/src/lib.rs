//! Movement: what is asked of two servers before, while and after data moves between them.
//!
//! The compatibility check, [`check`](mod@check), speaks to servers through [`Ask`], which the process implements; the guided
//! [`workflow`] decides what is to be done next. Nothing here knows of sockets, listeners or clocks.

pub mod ask;
pub mod check;
pub mod survey;
pub mod trial;
mod walk;
pub mod workflow;

pub use ask::{Ask, AskError, Request};
pub use walk::{Filter, TestRunError};
