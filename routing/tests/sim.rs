//! The simulator: proof of the lane pair in virtual time.
//!
//! A seed decides everything: clients, their requests, two model servers that speak real RESP, how the bytes are cut
//! and delayed, what fails and when, and what the operator does. [`Checker`](sim::check::Checker) watches from
//! outside for the properties of DESIGN.md. A seed replays the same run for ever.
//!
//! `INTERLAY_SIM_SEEDS=100000` runs so many seeds instead of the usual number, those from `INTERLAY_SIM_FROM` on;
//! `INTERLAY_SIM_SEED=7` runs one and tells its story.

mod sim {
    pub(crate) mod agenda;
    pub(crate) mod check;
    pub(crate) mod client;
    pub(crate) mod command;
    pub(crate) mod driver;
    pub(crate) mod history;
    pub(crate) mod link;
    pub(crate) mod reply;
    pub(crate) mod rng;
    pub(crate) mod scenario;
    pub(crate) mod server;
    pub(crate) mod store;
    pub(crate) mod workload;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use interlay_routing::{Catalog, command::CommandTable};
use sim::driver::{Driver, Summary};

/// Seeds in a usual run. Unit: runs, of some milliseconds each.
const SEEDS: u64 = 6000;

/// Seeds that have shown something, and what. They are run first.
const REMEMBERED: [(u64, &str); 12] = [
    (6158, "a big value that expires while it is compared is no difference"),
    (6165, "pieces of a value follow one another where the lane has little room"),
    (7220, "verify ends although a dirty key is in a database that one side lacks"),
    (10935, "SWAPDB brings an element to who came first, and not to whom a write behind it wakes"),
    (11017, "a client waits behind one that is refused, although there is something to take"),
    (14006, "a batch's SET and PEXPIREAT are not taken for a write's effect by the model"),
    (18392, "a flush in a transaction with a deadline makes nothing dirty"),
    (23651, "the same as 7220"),
    (31493, "the same as 6165"),
    (38261, "a big value that is dirty while it is compared is no difference"),
    (62525, "verify ends although a lane was lost on which databases are fewer"),
    (91684, "the same as 11017"),
];

/// From this seed on, the side in charge has keys at the beginning that the other one does not have, and a backfill is under way.
/// Beside each three seeds another one is run of these.
const MOVES: u64 = 1 << 32;

/// Failures told at once.
const SHOWN: usize = 40;

fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::new(CommandTable::builtin()))
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

/// One seed's run; what went wrong comes with the line that replays it.
fn run(seed: u64, catalog: &Arc<Catalog>, trace: bool) -> Result<Summary, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| Driver::new(seed, seed >= MOVES, catalog, trace).run()));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    outcome.map_err(|error| {
        format!(
            "seed {seed}, {error}\nreplay: INTERLAY_SIM_SEED={seed} cargo test -p interlay-routing --test sim every_seed -- --nocapture"
        )
    })
}

#[test]
fn every_seed_keeps_every_promise() {
    let catalog = catalog();
    if let Some(seed) = number_from_environment("INTERLAY_SIM_SEED") {
        match run(seed, &catalog, true) {
            Ok(summary) => return eprintln!("{summary:#?}"),
            Err(error) => panic!("{error}"),
        }
    }
    for (seed, showed) in REMEMBERED {
        if let Err(error) = run(seed, &catalog, false) {
            panic!("{showed}, no more: {error}");
        }
    }
    let seeds = number_from_environment("INTERLAY_SIM_SEEDS").unwrap_or(SEEDS);
    let from = number_from_environment("INTERLAY_SIM_FROM").unwrap_or(0);
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let results: Vec<(Vec<Summary>, Vec<String>)> = thread::scope(|scope| {
        let run_share = |share| {
            let (mut summaries, mut failures) = (Vec::new(), Vec::new());
            let moves = (from..from + seeds).step_by(3).map(|seed| MOVES + seed);
            for seed in (from..from + seeds).chain(moves).skip(share).step_by(threads as usize) {
                match run(seed, &catalog, false) {
                    Ok(summary) => summaries.push(summary),
                    Err(failure) => failures.push(failure),
                }
            }
            (summaries, failures)
        };
        let workers: Vec<_> = (0..threads as usize).map(|share| scope.spawn(move || run_share(share))).collect();
        workers.into_iter().map(|worker| worker.join().expect("panics of a run are caught")).collect()
    });
    let (summaries, failures): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let (summaries, failures) = (summaries.concat(), failures.concat());
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds fail; the first ones:\n\n{}",
        failures.len(),
        failures[..failures.len().min(SHOWN)].join("\n\n")
    );
    if seeds >= SEEDS {
        assert_everything_happened(&summaries);
    }
}

/// A simulator that never gets into trouble proves nothing: over all seeds each counter of the pair must have moved.
fn assert_everything_happened(summaries: &[Summary]) {
    let total = |of: fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    assert!(total(|run| run.held) > 0 && total(|run| run.abandoned) > 0);
    assert!(total(|run| run.broken_protocols) > 0 && total(|run| run.authority_changes) > 0);
    assert!(total(|run| run.left_behind) > 0);
    assert!(total(|run| run.transactions) > 0 && total(|run| run.sections) > 0 && total(|run| run.nils) > 0);
    assert!((0..3).all(|end| summaries.iter().any(|run| run.waits[end] > 0)), "waiting ends in every way");
    assert!(total(|run| run.verified) > 0 && total(|run| run.planted) > 0);
    // Nobody writes around the model of Interlay; `tests/watch.rs` does around the real one.
    const NOT_SIMULATED: [&str; 3] = ["flushes_seen", "shadow_refused", "written_around"];
    for (at, (name, ..)) in summaries[0].counters.rows().enumerate().filter(|(_, (name, ..))| !NOT_SIMULATED.contains(name)) {
        let moved = summaries.iter().filter_map(|run| run.counters.rows().nth(at)).any(|(.., value)| value > 0);
        assert!(moved, "no seed moves the counter {name}");
    }
}

#[test]
fn a_seed_replays_the_same_run() {
    let catalog = catalog();
    for seed in 0..20 {
        assert_eq!(run(seed, &catalog, false), run(seed, &catalog, false));
    }
}
