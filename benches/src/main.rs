//! `peers`: what a request costs directly, through Interlay, and through its peers, in one run.
//!
//! In: the tables of contenders and cells, narrowed by arguments. Out: Markdown on stdout and in
//! `<target>/bench/peers.md`, one CSV line per measurement in `peers.csv`. Rounds are interleaved, so that a change
//! in the machine's mood meets all contenders alike; every number shown is a median with its range beside it.
//! Exits with 1 if anything that is installed could not be measured.

#![expect(clippy::print_stdout, reason = "the report is this program's output")]

mod goals;
mod results;
mod run;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use interlay_benches::contender::{CONTENDERS, target_dir};
use interlay_benches::error::{BenchError, Result, Step};
use interlay_benches::load::CELLS;
use interlay_benches::{machine, usage};
use std::fs;
use std::process::ExitCode;

/// Files open at a time in the process that has most: 500 clients on a proxy, twice, and some.
const OPEN_FILES: u64 = 2048;

/// How the numbers came about, for the reader of the report.
const METHOD: &str = "\
Every contender has Redis servers of its own (mirrors: two), without persistence, filled through the contender with
every key of the cell. Load, proxy and servers share the machine. Each contender gets the number of requests that
takes it the time above, and a cell ends when no server's data changes any more. CPU is that of all threads of the
proxy until then, divided by the requests. \"Servers equal\" compares DEBUG DIGEST of source and target after each round.
";

/// Measures Interlay beside its peers
#[derive(Debug, Parser)]
struct Args {
    /// Measure each cell so many times; the report shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds that one cell should take, about [default: 2, with --quick 0.8]
    #[arg(long)]
    seconds: Option<f64>,
    /// Shorter cells: a look, not a result
    #[arg(long)]
    quick: bool,
    /// Measure these cells only
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(CELLS.iter().map(|cell| cell.name)))]
    cells: Vec<String>,
    /// Measure these contenders only
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(CONTENDERS.iter().map(|row| row.name)))]
    contenders: Vec<String>,
}

fn main() -> ExitCode {
    match measure_and_report(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all that is installed was measured.
fn measure_and_report(args: &Args) -> Result<bool> {
    let limit = usage::open_files_limit()?;
    if limit < OPEN_FILES {
        return Err(BenchError::OpenFiles { limit, needed: OPEN_FILES });
    }
    let chosen = |filter: &[String], name: &str| filter.is_empty() || filter.iter().any(|one| one == name);
    let contenders: Vec<_> = CONTENDERS.iter().filter(|row| chosen(&args.contenders, row.name)).collect();
    let cells: Vec<_> = CELLS.iter().filter(|cell| chosen(&args.cells, cell.name)).collect();
    let plan = run::Plan {
        contenders: contenders.clone(),
        cells: cells.clone(),
        rounds: args.rounds,
        seconds: args.seconds.unwrap_or(if args.quick { 0.8 } else { 2.0 }),
    };

    let heading = format!(
        "# Interlay beside its peers\n\n{}- rounds: {}, interleaved, about {} s each; median (min..max)\n\n{METHOD}\n{}",
        machine::description(),
        plan.rounds,
        plan.seconds,
        machine::contenders(&contenders),
    );
    let results = run::run(&plan)?;
    let report = format!("{heading}\n{}\n{}", results.to_markdown(&cells), goals::table(&results));
    print!("{report}");

    let dir = target_dir().join("bench");
    fs::create_dir_all(&dir).step(format!("create {}", dir.display()))?;
    fs::write(dir.join("peers.md"), &report).step("write peers.md")?;
    fs::write(dir.join("peers.csv"), results.to_csv()).step("write peers.csv")?;
    Ok(results.failures.is_empty())
}
