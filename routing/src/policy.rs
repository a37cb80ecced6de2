//! The operator's choices: the four write policies (whose reply the client gets, and what a failure on the other side
//! means), and what happens while the secondary is too slow.

use std::fmt;
use std::str::FromStr;

use crate::side::Side;

/// Whose reply a client gets for a write, and what happens when the other side fails.
///
/// | policy | the client's reply | a failure on the other side |
/// |---|---|---|
/// | `source-authoritative` | the source's, at once | the key is dirty |
/// | `target-authoritative` | the target's, at once | the key is dirty (on the source) |
/// | `both-required` | the source's, once both have accepted | refused before the source sees it if the target is known to be down; else a named error, and the key is dirty |
/// | `best-effort` | the source's, at once | counted, forgotten |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The source is in charge.
    #[default]
    SourceAuthoritative,
    /// The target is in charge.
    TargetAuthoritative,
    /// The source is in charge, and a write succeeds only when both sides have accepted it.
    BothRequired,
    /// The source is in charge, and what the target does is only counted.
    BestEffort,
}

impl Policy {
    /// Every policy with its name on the command line, in the API and in logs.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::SourceAuthoritative, "source-authoritative"),
        (Self::TargetAuthoritative, "target-authoritative"),
        (Self::BothRequired, "both-required"),
        (Self::BestEffort, "best-effort"),
    ];

    /// The side whose reply clients get.
    #[must_use]
    pub const fn authority(self) -> Side {
        match self {
            Self::TargetAuthoritative => Side::Target,
            Self::SourceAuthoritative | Self::BothRequired | Self::BestEffort => Side::Source,
        }
    }

    /// This policy's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(policy, _)| *policy == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A policy's name that is none of [`Policy::ALL`].
#[derive(Debug, thiserror::Error)]
#[error("unknown policy {0:?}: expected source-authoritative, target-authoritative, both-required or best-effort")]
pub struct UnknownPolicy(String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(policy, _)| *policy).ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

/// What happens while the secondary is too slow for the writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLag {
    /// Effects past the bound of its queue become dirty keys, which are copied when there is room: many writes to one key cost
    /// one copy.
    #[default]
    Fold,
    /// Requests wait in their clients' sockets while its queue is more than half full.
    Throttle,
}

impl OnLag {
    /// Every choice with its name in the configuration and in the API.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Fold, "fold"), (Self::Throttle, "throttle")];

    /// This choice's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(choice, _)| *choice == self).map_or("", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_policy() {
        for (policy, name) in Policy::ALL {
            assert_eq!(name.parse::<Policy>().unwrap(), policy);
            assert_eq!(policy.to_string(), name);
        }
        assert!("both".parse::<Policy>().is_err());
    }
}
