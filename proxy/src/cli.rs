//! The command line: what can be asked for, and the exit codes that say how it went.

pub(crate) mod backfill;
pub(crate) mod check;
pub(crate) mod errors;
pub(crate) mod gate;
pub(crate) mod migrate;
pub(crate) mod remote;
pub(crate) mod repair;
mod test_run;
pub(crate) mod traffic;
pub(crate) mod verify;
pub(crate) mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use interlay_routing::Policy;

use self::backfill::Backfill;
use self::errors::Errors;
use self::migrate::Migrate;
use self::remote::{AdminUrl, Outcome};
use self::traffic::Traffic;
use self::workflow::Workflow;
use crate::config::Flags;

/// A RESP proxy that moves a live Redis workload from one server to another.
#[derive(Debug, Parser)]
#[command(name = "interlay", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Each thing that `interlay` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve clients until SIGTERM.
    Serve(Serve),
    /// Show how a running interlay is doing.
    Status(Remote),
    /// Show, or change, the share of the reads that goes to the target.
    Traffic(Traffic),
    /// Show, or change, whose reply clients get for a write, and what a failure on the other side means.
    Policy {
        /// The policy of the next write; without it the present one is shown.
        #[arg(value_name = "P", value_parser = policy_parser())]
        policy: Option<Policy>,
        /// Do it even though the sides may differ.
        #[arg(long, requires = "policy")]
        force: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Copy every dirty key, those that keep failing too, and wait until no key is dirty. Dirty keys are also copied without it.
    Repair {
        /// Scan both sides, and copy every key that there is.
        #[arg(long)]
        all: bool,
        /// Do not wait for the end.
        #[arg(long)]
        detach: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Compare the keys of both sides, exactly, while writes go on; exits with 0 if they are equal, and with 1 if they differ.
    Verify {
        /// Compare so many per cent of the keys, chosen by their hashes: the same ones each time.
        #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
        sample: u8,
        /// Compare only the numbers of keys that the servers tell.
        #[arg(long, conflicts_with_all = ["sample", "repair"])]
        quick: bool,
        /// Repair the keys that differ, and compare them again.
        #[arg(long)]
        repair: bool,
        /// End the one under way.
        #[arg(long, conflicts_with_all = ["sample", "quick", "repair", "detach"])]
        cancel: bool,
        /// Do not wait for the end.
        #[arg(long)]
        detach: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Copy every key of the source to the target, while clients go on, and wait for the end.
    Backfill(Backfill),
    /// List the keys that keep failing to be copied, with the reasons; with --json one a line, and as base64 too. Or export or import
    /// such lists, or try keys again.
    Errors(Errors),
    /// Make the target the authority: requests wait for some milliseconds meanwhile, and none fails. The source is kept in step.
    Cutover(Gate),
    /// Make the source the authority again; before a cutover, send all reads back to it and give the move up.
    Rollback(Gate),
    /// Let the source go after a cutover: nothing is written to it any more, and there is no way back.
    Complete {
        #[command(flatten)]
        remote: Remote,
    },
    /// List what has happened: phases, changes of the authority, and who asked for what.
    Events {
        /// From this number on; without it the last hundred.
        #[arg(long, value_name = "SEQ")]
        since: Option<u64>,
        /// Go on with what happens next, until interrupted.
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Check whether the two servers can be a migration's source and target, and say what will be different. Exits with 0 if nothing
    /// blocks that is not acknowledged.
    Check(Box<check::Check>),
    /// Copy everything from one server to another, once or with --live, without clients in between; then compare both.
    Migrate(Box<Migrate>),
    /// Make a whole move, guided: each step with its gate, kept on disk with --state-dir, and with a record of who said what.
    #[command(subcommand)]
    Workflow(Workflow),
    /// Run two Redis servers, a live load and an interlay between them, and prove both servers equal.
    Demo {
        /// Leave it running, and print what to try by hand.
        #[arg(long)]
        keep: bool,
    },
}

/// How to serve. A flag wins over the environment, which wins over the file.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A TOML file of the keys below, with `_` for `-`.
    #[arg(long, value_name = "FILE", env = "INTERLAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print every problem of the configuration, and end: with 0 if there is none, else with 2.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// The keys of the configuration.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// How to go through the gate.
#[derive(Debug, Args)]
pub(crate) struct Gate {
    /// Do it although conditions are not met; those that were overridden are named.
    #[arg(long)]
    pub(crate) force: bool,
    /// Change nothing, but list what has to hold, one by one; exits with 1 if something does not.
    #[arg(long, conflicts_with = "force")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Which interlay is asked, and in which form it is to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The admin port of the interlay: http://host:port or host:port.
    #[arg(long, value_name = "URL", env = "INTERLAY_ADMIN", default_value = "http://127.0.0.1:6381")]
    pub(crate) admin: AdminUrl,
    /// Print the JSON of the admin port as it is.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It ran, and the answer is no.
    No = 1,
    /// It was asked for in a wrong way; the code that clap ends with too.
    Usage = 2,
    /// The process it is about could not be reached.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn policy_parser() -> impl TypedValueParser<Value = Policy> {
    PossibleValuesParser::new(Policy::ALL.map(|(_, name)| name)).try_map(|name| name.parse::<Policy>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Ok(Cli::try_parse_from(line.split_whitespace())?.command)
    }

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_optional_and_force_is_not_without_one() {
        assert!(matches!(parse("interlay traffic").unwrap(), Command::Traffic(Traffic { percent: None, force: false, .. })));
        assert!(matches!(parse("interlay traffic 25 --force").unwrap(), Command::Traffic(Traffic { percent: Some(25), force: true, .. })));
        assert!(parse("interlay traffic --gradual --steps 1,50 --dwell-s 0.05 --on-trouble zero --force").is_ok());
        for line in ["25 --gradual", "--steps 1", "--toggle --steps 1", "--gradual --shadow 1", "--gradual --dwell-s x", "--stop --force"] {
            assert!(parse(&format!("interlay traffic {line}")).is_err(), "{line}");
        }
        let both_required = Some(Policy::BothRequired);
        assert!(matches!(parse("interlay policy both-required").unwrap(), Command::Policy { policy, .. } if policy == both_required));
        for line in [
            "traffic --force",
            "policy --force",
            "traffic 101",
            "traffic -1",
            "policy both",
            "errors --limit x",
            "verify --sample 0",
            "verify --quick --repair",
            "repair all",
            "stats",
            "",
        ] {
            assert_eq!(parse(&format!("interlay {line}")).unwrap_err().exit_code(), i32::from(Exit::Usage as u8), "{line}");
        }
    }

    #[test]
    fn serve_takes_every_key_as_a_flag() {
        let line = "interlay serve --config x.toml --check-config --listen :: --source-ca ca.pem --effect-timeout-ms 0";
        let Command::Serve(serve) = parse(line).unwrap() else { panic!("another command") };
        assert!(serve.check_config && serve.config.is_some());
        assert!(parse("interlay serve --listen-address x").is_err());
    }

    #[test]
    fn admin_port_is_named_with_or_without_a_scheme() {
        for line in ["interlay status --admin http://localhost:1/", "interlay status --admin localhost:1"] {
            let Command::Status(remote) = parse(line).unwrap() else { panic!("another command") };
            assert_eq!(remote.admin.to_string(), "http://localhost:1");
        }
        for url in ["https://localhost:1", "localhost", "http://localhost:1/api", "localhost:x", ":1", "u@localhost:1"] {
            assert!(parse(&format!("interlay status --admin {url}")).is_err(), "{url}");
        }
    }
}
