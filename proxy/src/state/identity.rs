//! The identity file: a few lines of TOML, with their checksum in the last one.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use interlay_routing::{Policy, Side};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Flaw, Identity, StateError};

/// The format of the directory's files. Another hash of keys, or another number of buckets, is another format.
pub(super) const FORMAT: u32 = 1;

/// Begins the first line, whatever the format.
const FORMAT_LINE: &str = "format = ";

/// Begins the last line.
const CHECKSUM_LINE: &str = "checksum = ";

/// What the identity file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// Joins the bitmap to this file.
    pub(super) id: u64,
    source: String,
    target: Option<String>,
    source_run_id: Option<String>,
    target_run_id: Option<String>,
    #[serde(with = "policy_name")]
    pub(super) policy: Policy,
    pub(super) suspect: bool,
    /// The bits are on disk, and nobody uses the directory.
    pub(super) clean: bool,
    /// The boot in which it was last opened.
    pub(super) boot_id: Option<String>,
}

impl Record {
    /// Of a new directory.
    pub(super) fn new(identity: &Identity, boot_id: Option<String>) -> Self {
        let Identity { source, target, policy } = identity.clone();
        // The system seeds it. One bit goes: TOML's integers have a sign.
        let id = RandomState::new().build_hasher().finish() >> 1;
        let (source_run_id, target_run_id) = (None, None);
        Self { format: FORMAT, id, source, target, source_run_id, target_run_id, policy, suspect: false, clean: false, boot_id }
    }

    /// The file's content.
    pub(super) fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("a flat table of texts, numbers and flags is always TOML");
        let checksum = checksum_line(&body);
        body + &checksum
    }

    /// Reads the file's content.
    pub(super) fn from_text(bytes: &[u8]) -> Result<Self, Flaw> {
        let text = str::from_utf8(bytes).map_err(|_| Flaw::Kind)?;
        let format = text.strip_prefix(FORMAT_LINE).and_then(|rest| rest.lines().next()).ok_or(Flaw::Kind)?;
        match format.parse() {
            Ok(FORMAT) => {}
            Ok(other) => return Err(Flaw::Format(other)),
            Err(_) => return Err(Flaw::Kind),
        }
        let (body, checksum) = text.rfind(CHECKSUM_LINE).and_then(|at| text.split_at_checked(at)).ok_or(Flaw::Checksum)?;
        if checksum != checksum_line(body) {
            return Err(Flaw::Checksum);
        }
        toml::from_str(body).map_err(|error: toml::de::Error| Flaw::Content(error.message().to_owned()))
    }

    /// The process that a side's server was when it was last seen.
    pub(super) fn run_id(&self, side: Side) -> Option<&str> {
        match side {
            Side::Source => self.source_run_id.as_deref(),
            Side::Target => self.target_run_id.as_deref(),
        }
    }

    pub(super) fn set_run_id(&mut self, side: Side, run_id: &str) {
        let run_id = Some(run_id.to_owned());
        match side {
            Side::Source => self.source_run_id = run_id,
            Side::Target => self.target_run_id = run_id,
        }
    }

    /// Refuses a directory that belongs to other servers.
    pub(super) fn check_servers(&self, file: &Path, identity: &Identity) -> Result<(), StateError> {
        let told = |target: &Option<String>| target.clone().unwrap_or_else(|| "none".to_owned());
        let (theirs, ours) = (told(&self.target), told(&identity.target));
        for (side, theirs, ours) in [(Side::Source, &self.source, &identity.source), (Side::Target, &theirs, &ours)] {
            if theirs != ours {
                return Err(StateError::Foreign { file: file.to_owned(), side, theirs: theirs.clone(), ours: ours.clone() });
            }
        }
        Ok(())
    }
}

fn checksum_line(body: &str) -> String {
    format!("{CHECKSUM_LINE}\"{:016x}\"\n", xxh3_64(body.as_bytes()))
}

/// A policy as its name.
mod policy_name {
    use interlay_routing::Policy;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(policy: &Policy, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(policy.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}
