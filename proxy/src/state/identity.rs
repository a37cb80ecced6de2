//! The identity file: a few lines of TOML, with their checksum in the last one.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use interlay_routing::{Phase, Policy, Side};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Flaw, Identity, Standing, StateError};

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
    #[serde(with = "crate::status::policy_name")]
    pub(super) policy: Policy,
    /// What a rollback goes back to.
    #[serde(default, with = "crate::status::policy_name")]
    pub(super) former_policy: Policy,
    #[serde(default, with = "crate::status::phase_name")]
    pub(super) phase: Phase,
    /// Every key was copied, and no server has restarted since.
    #[serde(default)]
    pub(super) in_sync: bool,
    /// Share of the reads that goes to the target, in per cent.
    #[serde(default)]
    pub(super) target_read_percent: u8,
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
        let Standing { phase, former_policy, in_sync, target_read_percent, .. } = Standing::new(policy, target.is_some());
        Self {
            format: FORMAT,
            id,
            source,
            target,
            source_run_id,
            target_run_id,
            policy,
            former_policy,
            phase,
            in_sync,
            target_read_percent,
            suspect: false,
            clean: false,
            boot_id,
        }
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

    /// How far the move had come.
    pub(super) fn standing(&self) -> Standing {
        let Self { policy, former_policy, in_sync, suspect, target_read_percent, .. } = *self;
        // A directory of an interlay that knew no phases.
        let phase = match self.phase {
            Phase::Passthrough if policy.authority() == Side::Target => Phase::Cutover,
            Phase::Passthrough if self.target.is_some() => Phase::Mirroring,
            phase => phase,
        };
        Standing { phase, policy, former_policy, in_sync, suspect, target_read_percent }
    }

    pub(super) fn set_standing(&mut self, standing: Standing) {
        let Standing { phase, policy, former_policy, in_sync, suspect, target_read_percent } = standing;
        (self.phase, self.policy, self.former_policy) = (phase, policy, former_policy);
        (self.in_sync, self.suspect, self.target_read_percent) = (in_sync, suspect, target_read_percent);
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
