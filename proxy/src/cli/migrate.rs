//! `interlay migrate`: a copy from one server to another without a listener, as an interlay of its own that ends with it.
//!
//! Nothing goes through it, so applications write around it. Once, what they write while a key's turn is over is missed. With
//! `--live` the source reports what others change (client-side caching), and those keys are copied again, until told to stop.

use std::env;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::backfill::{self, What};
use super::remote::{exchange, in_runtime};
use super::{Exit, Outcome, Remote, Serve, check, repair, verify};
use crate::config::Config;
use crate::status::Status;
use crate::verification::Wanted;
use crate::{logging, out, serve};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// How long both servers may take to be connected.
const CONNECT: Duration = Duration::from_secs(30);

/// How to copy.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    serve: Serve,
    #[command(flatten)]
    what: What,
    /// Go on with what others write on the source, until Ctrl-C or SIGTERM. Limits: a flush or SWAPDB on the source makes every key
    /// be copied again; what is written while the connection that reports is lost is not seen, and said so.
    #[arg(long)]
    live: bool,
    /// Do not compare both sides at the end.
    #[arg(long)]
    no_verify: bool,
    /// Begin although the check finds what blocks.
    #[arg(long)]
    force: bool,
}

/// `interlay migrate`.
pub(crate) fn migrate(args: Migrate) -> Exit {
    let Migrate { serve: Serve { config, check_config, mut flags }, what, live, no_verify, force } = args;
    // Whatever serves on the usual ports is not in the way.
    flags.set_unless_given("admin", "127.0.0.1:0");
    flags.set_unless_given("log_level", "warn");
    flags.set_unless_given("watch", if live { "true" } else { "false" });
    let config = match Config::load(flags, |name| env::var_os(name), config.as_deref()) {
        Ok(config) if config.target.is_none() => {
            out::complain("target: there is none, and `migrate` needs one");
            return Exit::Usage;
        }
        Ok(config) => config,
        Err(problems) => {
            out::complain(problems);
            return Exit::Usage;
        }
    };
    if check_config {
        out::say("the configuration is valid");
        return Exit::Done;
    }
    logging::start(&config.logging);
    let work = move |admin: SocketAddr| perform(&at(admin), what, live, no_verify, force);
    serve::run_for(config, work).unwrap_or_else(|error| {
        tracing::error!(%error, "ended");
        Exit::No
    })
}

fn at(admin: SocketAddr) -> Remote {
    // An address is a URL's authority.
    let admin = admin.to_string().parse().unwrap_or_else(|_| unreachable!("host:port"));
    Remote { admin, json: false }
}

/// Check, backfill, live, verify: each says what it has found.
fn perform(remote: &Remote, what: What, live: bool, no_verify: bool, force: bool) -> Exit {
    let connected =
        wait_for(remote, CONNECT, |status| status.source.connected && status.target.as_ref().is_some_and(|side| side.connected));
    if let Err(why) = connected {
        out::complain(why);
        return Exit::Unreachable;
    }
    let checked = check::of_running(remote).print();
    if checked != Exit::Done && !force {
        out::complain("nothing was copied: mend what blocks, or repeat with --force");
        return checked;
    }
    let copied = backfill::begin_with(remote, what, false).print();
    if copied != Exit::Done {
        return copied;
    }
    if live {
        out::say("every key is copied; what others write on the source is followed until Ctrl-C");
        if let Err(why) = follow(remote) {
            out::complain(why);
            return Exit::No;
        }
        let settled = repair::repair(remote, false, false).print();
        if settled != Exit::Done {
            return settled;
        }
    }
    if no_verify {
        return Exit::Done;
    }
    let verified = verify::verify(remote, Wanted::default(), false).print();
    if verified != Exit::Done && !live {
        out::complain(
            "what was written on the source while it was copied is not on the target: stop the writers and run it again, or use --live, or `interlay serve`",
        );
    }
    verified
}

/// Shows now and then what is copied, until a signal comes.
fn follow(remote: &Remote) -> Result<(), String> {
    let told = Arc::new(AtomicBool::new(false));
    let hears = Arc::clone(&told);
    let mut before = None;
    wait_for_in(
        remote,
        None,
        move |status| {
            if !status.watch.starts_with("on") {
                let said = Some(status.watch.clone());
                if before != said {
                    out::complain(format_args!("writes on the source are not noticed: {}", status.watch));
                    before = said;
                }
            }
            hears.load(Ordering::Relaxed)
        },
        Some(told),
    )
}

fn wait_for(remote: &Remote, limit: Duration, holds: impl FnMut(&Status) -> bool) -> Result<(), String> {
    wait_for_in(remote, Some(limit), holds, None)
}

/// Waits until something holds of the status; `told` is set by a signal.
fn wait_for_in(
    remote: &Remote,
    limit: Option<Duration>,
    mut holds: impl FnMut(&Status) -> bool,
    told: Option<Arc<AtomicBool>>,
) -> Result<(), String> {
    let mut result = Ok(());
    let outcome = in_runtime(remote, async {
        if let Some(told) = told {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::spawn(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                told.store(true, Ordering::Relaxed);
            });
        }
        let began = tokio::time::Instant::now();
        loop {
            let status: Status = exchange(&remote.admin, "/api/v1/status", None::<()>).await?.read()?;
            if holds(&status) {
                break;
            }
            if limit.is_some_and(|limit| began.elapsed() > limit) {
                let side = |name: &str, side: Option<&crate::status::SideStatus>| {
                    side.filter(|side| !side.connected).map(|side| format!("the {name} {}", side)).unwrap_or_default()
                };
                result =
                    Err(format!("{} {}", side("source", Some(&status.source)), side("target", status.target.as_ref())).trim().to_owned());
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Outcome::new(Exit::Done, Ok(String::new())))
    });
    match outcome.print() {
        Exit::Done => result,
        _ => Err("the interlay within has ended".to_owned()),
    }
}
