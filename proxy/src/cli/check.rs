//! `interlay check`: of a running interlay's servers, or of two servers that nothing serves yet.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use interlay_migration::check::{Finding, Report, Severity, UNREACHABLE};
use tokio::runtime;

use super::remote::{Outcome, conclude, in_runtime, put_within};
use super::{Exit, Remote};
use crate::admin::check::{Note, RunCheck};
use crate::check;
use crate::dial::Dialer;
use crate::endpoint::Endpoint;
use crate::tls;

/// How long the admin port may take for a check: servers that answer slowly are asked a few dozen times.
const CHECK_WAIT: Duration = Duration::from_secs(120);

/// Time for a connection to a server, without a process whose configuration says it.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// What is to be checked.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Check this source before anything serves; with --target.
    #[arg(long, value_name = "URL", requires = "target")]
    source: Option<Endpoint>,
    /// Check this target before anything serves; with --source.
    #[arg(long, value_name = "URL", requires = "source")]
    target: Option<Endpoint>,
    /// PEM file of the CA that a rediss:// source is trusted by.
    #[arg(long, value_name = "FILE", requires = "source")]
    source_ca: Option<PathBuf>,
    /// PEM file of the CA that a rediss:// target is trusted by.
    #[arg(long, value_name = "FILE", requires = "target")]
    target_ca: Option<PathBuf>,
    /// Acknowledge the blocking findings of this name; may be repeated.
    #[arg(long, value_name = "NAME", requires = "note")]
    acknowledge: Vec<String>,
    /// Why: one for each --acknowledge, in the same order.
    #[arg(long, value_name = "TEXT", requires = "acknowledge")]
    note: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `interlay check`.
pub(crate) fn check(args: Check) -> Outcome {
    if args.acknowledge.len() != args.note.len() {
        return usage("each --acknowledge needs a --note of its own");
    }
    let notes = args.acknowledge.into_iter().zip(args.note);
    match (args.source, args.target) {
        (Some(source), Some(target)) => {
            let sides = dialer(source, args.source_ca, "source").and_then(|source| Ok((source, dialer(target, args.target_ca, "target")?)));
            sides.map_or_else(|problem| usage(&problem), |(source, target)| offline(&source, &target, notes.collect(), args.remote.json))
        }
        _ => of_a_process(&args.remote, notes.map(|(name, note)| Note { name, note }).collect()),
    }
}

fn usage(problem: &str) -> Outcome {
    Outcome::new(Exit::Usage, Err(problem.to_owned()))
}

/// `interlay check` of a running interlay's servers.
pub(crate) fn of_running(remote: &Remote) -> Outcome {
    of_a_process(remote, Vec::new())
}

fn of_a_process(remote: &Remote, acknowledge: Vec<Note>) -> Outcome {
    in_runtime(remote, async {
        let answer = put_within(CHECK_WAIT, &remote.admin, "/api/v1/check", RunCheck { acknowledge }).await?;
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Report| String::new());
        }
        let report: Report = answer.read()?;
        Ok(Outcome::new(verdict(&report), Ok(if remote.json { answer.text() } else { words(&report) })))
    })
}

fn dialer(endpoint: Endpoint, ca: Option<PathBuf>, side: &str) -> Result<Dialer, String> {
    let tls = match (endpoint.tls, ca) {
        (false, None) => None,
        (false, Some(_)) => return Err(format!("--{side}-ca has no effect: the {side}'s URL is not rediss://")),
        (true, None) => return Err(format!("--{side}-ca has to name the CA that the {side} is trusted by")),
        (true, Some(ca)) => {
            let certificates = tls::read_certificates(&ca).map_err(|error| format!("--{side}-ca: {} {error}", ca.display()))?;
            Some(tls::side(certificates, &endpoint).map_err(|error| format!("--{side}-ca: {} {error}", ca.display()))?)
        }
    };
    Ok(Dialer { endpoint, tls, timeout: CONNECT_WAIT })
}

fn offline(source: &Dialer, target: &Dialer, notes: Vec<check::Note>, json: bool) -> Outcome {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::new(Exit::No, Err(error.to_string())),
    };
    let report = match runtime.block_on(check::once(source, target, notes)) {
        Ok(report) => report,
        Err(error) => return usage(&error.to_string()),
    };
    let unreachable = report.findings.iter().any(|finding| finding.name == UNREACHABLE);
    let said = if json { serde_json::to_string(&report).map_err(|error| error.to_string()) } else { Ok(words(&report)) };
    Outcome::new(if unreachable { Exit::Unreachable } else { verdict(&report) }, said)
}

fn verdict(report: &Report) -> Exit {
    if report.blocking == 0 { Exit::Done } else { Exit::No }
}

/// The report for a person: what blocks first, and how many of each at the end.
fn words(report: &Report) -> String {
    let mut text = String::new();
    let rank = |finding: &&Finding| (finding.severity, finding.acknowledged.is_some());
    let mut findings: Vec<_> = report.findings.iter().collect();
    findings.sort_by_key(rank);
    for finding in findings {
        let Finding { name, subject, meaning, advice, severity, acknowledged } = finding;
        let severity = if acknowledged.is_some() { "acknowledged".to_owned() } else { severity.to_string() };
        // Writing to a string does not fail.
        _ = writeln!(text, "{severity} {name} ({subject})\n  {meaning}");
        if finding.severity != Severity::Note {
            _ = writeln!(text, "  to do: {advice}");
        }
        if let Some(acknowledged) = acknowledged {
            _ = writeln!(text, "  acknowledged: {}", acknowledged.note);
        }
    }
    let acknowledged = if report.acknowledged == 0 { String::new() } else { format!(", acknowledged: {}", report.acknowledged) };
    let Report { blocking, warnings, notes, .. } = report;
    if *blocking > 0 {
        _ = writeln!(text, "what blocks can be acknowledged: interlay check --acknowledge NAME --note TEXT");
    }
    _ = write!(text, "blocking: {blocking}, warnings: {warnings}, notes: {notes}{acknowledged}");
    text
}
