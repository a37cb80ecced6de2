//! The run: every cell, round by round, over all contenders.

use crate::results::{Collisions, Results, Sample};
use interlay_benches::client::Client;
use interlay_benches::contender::Contender;
use interlay_benches::error::{BenchError, Result, Step};
use interlay_benches::load::{self, Cell, Test};
use interlay_benches::setup::Setup;
use interlay_benches::usage::{CpuTime, Memory};
use std::path::Path;

/// Colliding writes sent to each mirror after the cells.
const COLLISIONS: u64 = 240_000;

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// At least one, in the order of the table.
    pub(crate) contenders: Vec<&'static Contender>,
    /// At least one, in the order of the table.
    pub(crate) cells: Vec<&'static Cell>,
    /// Measurements of each cell and contender, at least 1.
    pub(crate) rounds: u32,
    /// Aim for the length of one measurement, in seconds.
    pub(crate) seconds: f64,
}

/// Measures all of `plan`. A contender that fails is noted in [`Results::failures`] and is not asked again.
///
/// # Errors
/// Only what no contender is to blame for.
pub(crate) fn run(plan: &Plan) -> Result<Results> {
    let dir = tempfile::Builder::new().prefix("interlay-bench-").tempdir().step("create a directory")?;
    let mut results = Results::default();
    let mut setups = start(plan, dir.path(), &mut results);

    for (number, cell) in plan.cells.iter().enumerate() {
        eprintln!("cell {} of {}: {}", number + 1, plan.cells.len(), cell.name);
        let mut prepared = Vec::new();
        for setup in setups {
            match prepare(cell, &setup, plan.seconds, dir.path()) {
                Ok(requests) => prepared.push((setup, requests)),
                Err(failure) => results.fail(setup.contender, Some(cell), &failure),
            }
        }
        for round in 1..=plan.rounds {
            // Another one goes first in each round: whoever comes first finds the machine at its coolest.
            if !prepared.is_empty() {
                prepared.rotate_left(1);
            }
            prepared.retain_mut(|(setup, requests)| match measure(cell, setup, *requests, round, dir.path()) {
                Ok(sample) => {
                    results.samples.push(sample);
                    true
                }
                Err(failure) => {
                    results.fail(setup.contender, Some(cell), &failure);
                    false
                }
            });
        }
        setups = prepared.into_iter().map(|(setup, _)| setup).collect();
    }

    eprintln!("colliding writes");
    for setup in setups.iter_mut().filter(|setup| setup.contender.mirrors) {
        match collide(setup, dir.path()) {
            Ok(equal) => results.collisions.push(Collisions { contender: setup.contender.name, writes: COLLISIONS, equal }),
            Err(failure) => results.fail(setup.contender, None, &failure),
        }
    }
    Ok(results)
}

fn start(plan: &Plan, dir: &Path, results: &mut Results) -> Vec<Setup> {
    let mut setups = Vec::new();
    for contender in &plan.contenders {
        match Setup::start(contender, dir) {
            Ok(setup) => setups.push(setup),
            Err(missing @ BenchError::NotInstalled { .. }) => {
                eprintln!("{}: {missing}", contender.name);
                results.not_installed.push(contender.name);
            }
            Err(failure) => results.fail(contender, None, &failure),
        }
    }
    setups
}

/// Fills the servers for `cell`, and finds the number of requests that takes about `seconds`.
fn prepare(cell: &Cell, setup: &Setup, seconds: f64, dir: &Path) -> Result<u64> {
    Client::connect(setup.port)?.fill(cell.keys, cell.value_bytes)?;
    let trial = cell.run(setup.port, cell.trial_requests(), dir)?;
    Ok(cell.requests_for(seconds, trial.requests_per_s))
}

fn measure(cell: &'static Cell, setup: &mut Setup, requests: u64, round: u32, dir: &Path) -> Result<Sample> {
    let contender = setup.contender.name;
    setup.wait_until_quiet()?;
    let before = setup.proxy_pid().map(CpuTime::of).transpose()?;
    setup.proxy_pid().map(Memory::reset_peak).transpose()?;
    let executed_before = setup.executed(cell.test)?;

    let outcome = cell.run(setup.port, requests, dir)?;
    // What a mirror still has to write belongs to the cost of this cell.
    setup.wait_until_quiet()?;

    let after = setup.proxy_pid().map(CpuTime::of).transpose()?;
    // redis-benchmark counts error replies as answers; a proxy that refuses is not fast.
    let executed = setup.executed(cell.test)? - executed_before;
    if executed < requests {
        let problem = format!("had only {executed} of {requests} requests executed");
        return Err(BenchError::Process { name: contender.to_owned(), problem, log: String::new() });
    }
    let peak_kib = setup.proxy_pid().map(Memory::of).transpose()?.map(|memory| memory.peak_kib);
    let digests_equal = if cell.test == Test::Set { setup.digests_equal()? } else { None };
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds and requests of seconds are far below 2^52")]
    let cpu_us = after.zip(before).map(|(after, before)| after.since(&before) as f64 / 1000.0 / requests as f64);
    Ok(Sample { cell: cell.name, contender, round, requests, outcome, cpu_us, peak_kib, digests_equal })
}

fn collide(setup: &mut Setup, dir: &Path) -> Result<bool> {
    load::run_collisions(setup.port, COLLISIONS, dir)?;
    setup.wait_until_quiet()?;
    Ok(setup.digests_equal()? == Some(true))
}
