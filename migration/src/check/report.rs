//! What a check has found, and what the operator says to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a finding matters. The worst come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A migration would fail, or lose something, if nothing is done.
    Blocking,
    /// Something will be different, or may go wrong.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "blocking",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name of its check, by which it can be acknowledged.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: a side, a database, commands.
    pub subject: String,
    /// What was found, and what it means.
    pub meaning: String,
    /// What to do about it.
    pub advice: String,
    /// The operator's note, if it is blocking and was acknowledged.
    pub acknowledged: Option<Acknowledged>,
}

/// That a blocking finding is to stop nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Why, in the operator's words.
    pub note: String,
    /// When. Unit: milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// What was acknowledged, by the names of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acknowledgements(pub BTreeMap<String, Acknowledged>);

/// One run of the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All that was found, the worst first.
    pub findings: Vec<Finding>,
    /// Blocking findings that are not acknowledged.
    pub blocking: usize,
    /// Blocking findings that are.
    pub acknowledged: usize,
    /// Warnings.
    pub warnings: usize,
    /// Notes.
    pub notes: usize,
    /// When it ended. Unit: milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl Report {
    /// The findings of a check that ended at `at_unix_ms`, seen with what is acknowledged.
    #[must_use]
    pub fn new(mut findings: Vec<Finding>, acknowledgements: &Acknowledgements, at_unix_ms: u64) -> Self {
        for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Blocking) {
            finding.acknowledged = acknowledgements.0.get(&finding.name).cloned();
        }
        let count = |severity, acknowledged| {
            let is = |finding: &&Finding| finding.severity == severity && finding.acknowledged.is_some() == acknowledged;
            findings.iter().filter(is).count()
        };
        Self {
            blocking: count(Severity::Blocking, false),
            acknowledged: count(Severity::Blocking, true),
            warnings: count(Severity::Warning, false),
            notes: count(Severity::Note, false),
            findings,
            at_unix_ms,
        }
    }
}
