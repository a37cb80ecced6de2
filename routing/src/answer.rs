//! What Interlay itself says to a client instead of a server's reply: which side, what may have been applied, and
//! what to do next.

use crate::side::Side;

/// An answer of Interlay's own to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Answer {
    /// The authority is not connected.
    #[error("{0} unavailable; nothing was applied, try again")]
    Unavailable(Side),
    /// The client's database does not exist on the authority.
    #[error("database {db} does not exist on the {side}; nothing was applied, SELECT another one")]
    NoDatabase {
        /// The authority.
        side: Side,
        /// The database.
        db: u32,
    },
    /// The lane was lost before any byte of the request was written.
    #[error("connection to the {0} lost before the request was sent; nothing was applied, try again")]
    Unsent(Side),
    /// The lane was lost; the request only reads.
    #[error("connection to the {0} lost; the request changes nothing, try again")]
    ReadLost(Side),
    /// The secondary cannot answer the read, and the client has written since, so that the authority cannot either.
    #[error("the {0} cannot answer this read, and a later write is under way; the request changes nothing, try again")]
    ReadUnanswered(Side),
    /// The lane was lost, and nobody knows what became of the request.
    #[error("connection to the {0} lost; the request may or may not have been applied, check before trying again")]
    OutcomeUnknown(Side),
    /// `both-required`, and the secondary is not connected.
    #[error("{0} unavailable and the policy is both-required; nothing was applied, try again")]
    SecondaryDown(Side),
    /// `both-required`, and the secondary's queue is full.
    #[error("{0} too far behind and the policy is both-required; nothing was applied, try again later")]
    SecondaryBehind(Side),
    /// `both-required`, and the secondary may hold another value.
    #[error(
        "a key of this write may differ on the {0} and the policy is both-required; nothing was applied, repair the key or change the policy"
    )]
    KeyDirty(Side),
    /// `both-required`, and the write cannot be repeated on the secondary.
    #[error("this write cannot be repeated exactly on the {0} and the policy is both-required; nothing was applied, change the policy")]
    Unrepeatable(Side),
    /// `both-required`: the authority has applied the write, and the secondary has refused it.
    #[error("the {0} refused a write that the {other} has applied; its keys may differ until they are repaired", other = !*.0)]
    SecondaryRefused(Side),
    /// `both-required`: the authority has applied the write, and the secondary has not confirmed it.
    #[error("the {0} has not confirmed a write that the {other} has applied; its keys may differ until they are repaired", other = !*.0)]
    SecondaryLost(Side),
}

impl Answer {
    /// The reply that a client gets, with its line end.
    #[must_use]
    pub fn to_reply(self) -> Vec<u8> {
        let mut reply = Vec::with_capacity(128);
        interlay_resp::error(format!("ERR interlay: {self}"), &mut reply);
        reply
    }
}
