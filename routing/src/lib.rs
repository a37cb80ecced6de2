//! The decisions of Interlay, without I/O and without a clock: bytes and instants come in, bytes and
//! instructions go out.
//!
//! Read [`LanePair`] first: everything else serves it. A request's [`Catalog::conduct`] says whether it goes onto a
//! lane and with what [`Effect`]; [`DirtySet`] holds the keys that may differ; [`Split`] and [`Policy`] are the
//! operator's choices; [`ReplyOrder`] keeps each client's replies in order.

mod answer;
mod backfill;
mod clock;
pub mod command;
mod conduct;
pub mod copy;
pub mod counters;
mod deadlines;
mod dirty;
mod effect;
mod intent;
mod keys;
mod lag;
mod lane;
mod log;
mod order;
mod pace;
mod pair;
mod parked;
mod phase;
mod pin;
mod policy;
mod print;
mod probe;
mod promise;
mod repairs;
mod reply;
mod rewrite;
mod shadow;
mod side;
mod split;
mod sweep;
mod transaction;
mod verify;

pub use answer::Answer;
pub use backfill::{
    BackfillLimits, BackfillOptions, BackfillProgress, BackfillRefused, BackfillState, Conflict, KeptKey, Place, PositionStore, Saved,
};
pub use clock::{Clock, Now};
pub use conduct::{Catalog, Conduct, Own, Refused, SessionCommand, TimeoutAt, Topic, Work};
pub use counters::Counters;
pub use dirty::{DirtyLimits, DirtySet, Functions};
pub use effect::{Effect, Extent, Why};
pub use intent::{INTENT_WORDS, IntentStore, MemoryStore};
pub use lane::{Abilities, NO_CLIENT, Session, Ticket};
pub use log::SHARE_FROM_BYTES;
pub use order::{ReplyOrder, Seq};
pub use pair::{Admission, Behind, Clients, Condition, Executed, Finding, LaneError, LanePair, PairLimits, Submission, Watch};
pub use parked::Over;
pub use phase::{Phase, Refused as PhaseRefused, Step, UnknownPhase};
pub use pin::{Lost, Pin, Said, Standing};
pub use policy::{OnLag, Policy, UnknownPolicy};
pub use probe::ReplyTimes;
pub use repairs::ErrorKey;
pub use reply::elements;
pub use rewrite::{Fields, Rule, Unit};
pub use shadow::ShadowMismatch;
pub use side::{BySide, Side};
pub use split::Split;
pub use verify::{DbKeys, Difference, Differs, ServerKeys, Tally, Verification, VerifyOptions, VerifyRefused, VerifyStage};
