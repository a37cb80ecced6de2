//! The decisions of Interlay, without I/O and without a clock: bytes and instants come in, bytes and
//! instructions go out.
//!
//! Read [`LanePair`] first: everything else serves it. A request's [`Catalog::conduct`] says whether it goes onto a
//! lane and with what [`Effect`]; [`DirtySet`] holds the keys that may differ; [`Split`] and [`Policy`] are the
//! operator's choices; [`ReplyOrder`] keeps each client's replies in order.

mod answer;
mod clock;
pub mod command;
mod conduct;
mod counters;
mod dirty;
mod effect;
mod keys;
mod lane;
mod log;
mod order;
mod pair;
mod parked;
mod pin;
mod policy;
mod print;
mod side;
mod split;
mod transaction;

pub use answer::Answer;
pub use clock::{Clock, Now};
pub use conduct::{Catalog, Conduct, Own, Refused, SessionCommand, TimeoutAt, Topic, Work};
pub use counters::Counters;
pub use dirty::{DirtyLimits, DirtySet};
pub use effect::{Effect, Extent, Why};
pub use lane::{Abilities, NO_CLIENT, Session, Ticket};
pub use log::SHARE_FROM_BYTES;
pub use order::{ReplyOrder, Seq};
pub use pair::{Admission, ChangeRefused, Clients, Executed, LaneError, LanePair, PairLimits, Submission};
pub use parked::Over;
pub use pin::{Lost, Pin, Said, Standing};
pub use policy::{Policy, UnknownPolicy};
pub use side::{BySide, Side};
pub use split::Split;
pub use transaction::elements;
