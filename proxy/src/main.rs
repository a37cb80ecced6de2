//! Interlay: a RESP proxy that moves a live Redis workload from one server to another.
//!
//! One process, one command: `serve` runs an interlay, `demo` shows one, and the others ask a running one through its
//! admin port.

mod admin;
mod auth;
mod backfill;
mod check;
mod cli;
mod client;
mod clients;
mod config;
mod control;
mod demo;
mod dial;
mod endpoint;
mod events;
mod kept;
mod lane;
mod logging;
mod metrics;
mod out;
mod pinned;
mod plane;
mod roster;
mod serve;
mod session;
mod socket;
mod state;
mod status;
mod test_run;
mod tls;
mod traffic;
mod verification;
mod watch;
mod workflow;

use std::env;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Exit, Gate, Serve, gate, remote, repair, verify};
use crate::config::Config;
use crate::verification::Wanted;

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Serve(args) => serve(args),
        Command::Status(remote) => remote::status(&remote).print(),
        Command::Traffic(args) => cli::traffic::traffic(&args).print(),
        Command::Policy { policy, force, remote } => remote::policy(&remote, policy, force).print(),
        Command::Repair { all, detach, remote } => repair::repair(&remote, all, detach).print(),
        Command::Verify { cancel: true, remote, .. } => verify::cancel(&remote).print(),
        Command::Verify { sample, quick, repair, detach, remote, .. } => {
            verify::verify(&remote, Wanted { sample, quick, repair }, detach).print()
        }
        Command::Backfill(args) => cli::backfill::backfill(args).print(),
        Command::Errors(args) => cli::errors::errors(&args).print(),
        Command::Cutover(Gate { force, dry_run, remote }) => gate::change(&remote, gate::Gate::CutOver, force, dry_run).print(),
        Command::Rollback(Gate { force, dry_run, remote }) => gate::change(&remote, gate::Gate::RollBack, force, dry_run).print(),
        Command::Complete { remote } => gate::change(&remote, gate::Gate::Complete, false, false).print(),
        Command::Events { since, follow, remote } => gate::events(&remote, since, follow).print(),
        Command::Check(args) => cli::check::check(*args).print(),
        Command::Migrate(args) => cli::migrate::migrate(*args),
        Command::Workflow(command) => cli::workflow::workflow(command).print(),
        Command::Demo { keep } => demo::run(keep),
    };
    exit.into()
}

fn serve(args: Serve) -> Exit {
    let config = match Config::load(args.flags, |name| env::var_os(name), args.config.as_deref()) {
        Ok(config) => config,
        Err(problems) => {
            out::complain(problems);
            return Exit::Usage;
        }
    };
    if args.check_config {
        out::say("the configuration is valid");
        return Exit::Done;
    }
    logging::start(&config.logging);
    match serve::run(config) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!(%error, "ended");
            Exit::No
        }
    }
}
