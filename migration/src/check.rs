//! The compatibility check: whether these two servers can be a migration's source and target, and what will be different.
//!
//! ```text
//!   two servers ──▶ gather: asks them ──▶ World ──▶ CHECKS: one pure function a row ──▶ Finding* ──▶ Report
//! ```
//!
//! Asking is rude nowhere: no KEYS, one short SCAN a database, and of writes only canaries: scratch keys named
//! `{interlay-check:...}`, one for each type and encoding, that live for a minute at most and are deleted at the end. A source
//! that takes no writes has some of its keys dumped instead. Rights are tried between MULTI and DISCARD, where the server
//! checks what it would never execute. What a server refuses to tell is a finding of its own, and stops no other.
//!
//! A blocking finding stops the workflow until it is gone, or acknowledged by its name with a note: [`Acknowledgements`].

mod canary;
mod facts;
mod gather;
mod needs;
mod report;
mod table;

use interlay_routing::{BySide, Side};

use crate::ask::Ask;

pub use report::{Acknowledged, Acknowledgements, Finding, Report, Severity};

/// Checks a source and a target, each of them connected, authenticated and in database 0, or the reason why it is not.
/// `nonce` is in the names of the canaries: two checks at a time take different ones.
pub async fn check<A: Ask>(servers: BySide<Result<A, String>>, nonce: &str) -> Vec<Finding> {
    let (mut source, mut target) = match (servers.source, servers.target) {
        (Ok(source), Ok(target)) => (source, target),
        (source, target) => {
            let lost = [(Side::Source, source.err()), (Side::Target, target.err())];
            return lost.into_iter().filter_map(|(side, why)| Some(unreachable(side, &why?))).collect();
        }
    };
    let world = match gather::world(&mut source, &mut target, nonce).await {
        Ok(world) => world,
        Err(lost) => return vec![unreachable(lost.side, &lost.cause.to_string())],
    };
    let mut findings: Vec<_> = table::CHECKS.iter().flat_map(|check| check.findings(&world)).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The names that findings can have and be acknowledged by, with what each check looks at.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    table::CHECKS.iter().map(|check| (check.name, check.looks_at))
}

/// The name of the finding that a server does not answer. It cannot be acknowledged: nothing was checked.
pub const UNREACHABLE: &str = "unreachable";

fn unreachable(side: Side, why: &str) -> Finding {
    Finding {
        name: UNREACHABLE.to_owned(),
        severity: Severity::Blocking,
        subject: side.to_string(),
        meaning: format!("the {side} cannot be used: {why}; nothing else was checked"),
        advice: "see that the server runs, and that the URL has its address, user and password".to_owned(),
        acknowledged: None,
    }
}

#[cfg(test)]
mod tests;
