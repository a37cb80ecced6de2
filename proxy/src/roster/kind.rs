//! The kinds into which CLIENT LIST TYPE and CLIENT KILL TYPE sort clients.

use super::Facts;
use super::wording::{Parsed, quoted, refusal};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// All that are of no other kind, those in MONITOR among them.
    Normal,
    /// The server that this one replicates: Interlay has none.
    Master,
    /// A server that replicates this one: Interlay has none.
    Replica,
    /// With a subscription.
    PubSub,
}

impl ClientKind {
    /// The kind that a client is of.
    pub(crate) fn of(client: &Facts<'_>) -> Self {
        if client.flags.pubsub { Self::PubSub } else { Self::Normal }
    }

    /// The kind of this name.
    pub(super) fn parse(name: &[u8]) -> Parsed<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"master" => Ok(Self::Master),
            b"replica" | b"slave" => Ok(Self::Replica),
            b"pubsub" => Ok(Self::PubSub),
            _ => refusal(&[b"ERR Unknown client type '", quoted(name), b"'"]),
        }
    }
}
