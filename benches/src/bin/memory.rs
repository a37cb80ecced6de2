//! `memory`: what idle clients and one very large value cost a mirroring proxy.
//!
//! In: contenders, by default all that mirror. Out: a Markdown table on stdout and in `<target>/bench/memory.md`.
//! Each contender is measured alone: first 10,000 connections that have been used once and then idle, then, in a
//! process of its own, a SET and a GET of 100 MB.

#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use clap::Parser;
use clap::builder::PossibleValuesParser;
use interlay_benches::client::Client;
use interlay_benches::contender::{CONTENDERS, Contender, target_dir};
use interlay_benches::error::{BenchError, Result, Step};
use interlay_benches::machine;
use interlay_benches::report::{Table, verdict};
use interlay_benches::setup::Setup;
use interlay_benches::usage::{Memory, open_files_limit};
use std::fs;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// Resident memory with all idle clients connected should be at most this. Unit: MB (10^6 bytes).
const IDLE_GOAL_MB: f64 = 100.0;

/// Growth of the peak over what was resident before, as a multiple of the value, should be at most this.
const VALUE_GOAL: f64 = 2.5;

/// When memory given back is looked at. Unit: seconds after the last reply.
const LATER: u64 = 5;

/// Measures the memory of mirroring proxies
#[derive(Debug, Parser)]
struct Args {
    /// Idle clients
    #[arg(long, default_value_t = 10_000)]
    clients: u32,
    /// Size of the large value in MB
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=512))]
    value_mb: u32,
    /// Measure these contenders only
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(proxies().map(|row| row.name)))]
    contenders: Vec<String>,
}

fn proxies() -> impl Iterator<Item = &'static Contender> {
    CONTENDERS.iter().filter(|contender| contender.proxy.is_some())
}

fn main() -> ExitCode {
    match measure_and_report(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("memory: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all that is installed was measured.
fn measure_and_report(args: &Args) -> Result<bool> {
    // On either end of the idle connections. A proxy that opens one to the server for each needs twice that.
    let needed = u64::from(args.clients) + 200;
    let limit = open_files_limit()?;
    if limit < needed {
        return Err(BenchError::OpenFiles { limit, needed });
    }
    let chosen = |row: &&Contender| match args.contenders.as_slice() {
        [] => row.mirrors,
        names => names.iter().any(|name| name == row.name),
    };
    let contenders: Vec<_> = proxies().filter(chosen).collect();

    let mut table = Table::new(&["contender", "what", "MB", "measured", "goal", "met"]);
    let mut all_measured = true;
    for contender in &contenders {
        let rows = idle(contender, args.clients).and_then(|mut rows| {
            rows.extend(large_value(contender, args.value_mb)?);
            Ok(rows)
        });
        match rows {
            Ok(rows) => rows.into_iter().for_each(|row| table.row(row)),
            Err(failure) => {
                all_measured &= matches!(failure, BenchError::NotInstalled { .. });
                table.row([contender.name.to_owned(), failure.to_string()]);
            }
        }
    }

    let report = format!("# Memory of mirroring proxies\n\n{}\n{}\n{table}", machine::description(), machine::contenders(&contenders));
    print!("{report}");
    let dir = target_dir().join("bench");
    fs::create_dir_all(&dir).step(format!("create {}", dir.display()))?;
    fs::write(dir.join("memory.md"), report).step("write memory.md")?;
    Ok(all_measured)
}

type Row = [String; 6];

fn row(contender: &Contender, what: &str, mb: f64, measured: String, goal: Option<(String, bool)>) -> Row {
    let (goal, met) = goal.map_or_else(Default::default, |(goal, met)| (goal, verdict(Some(met)).to_owned()));
    [contender.name.to_owned(), what.to_owned(), format!("{mb:.1}"), measured, goal, met]
}

/// Clients that have each sent one request and had their reply, and then stay.
fn idle(contender: &'static Contender, clients: u32) -> Result<Vec<Row>> {
    in_setup(contender, |setup, pid| {
        let before = mb(Memory::of(pid)?.now_kib);
        let connect = |_| {
            let mut client = Client::connect(setup.port)?;
            client.ask(&[b"GET", b"probe"])?;
            Ok(client)
        };
        let connected: Vec<Client> = (0..clients).map(connect).collect::<Result<_>>()?;
        let with_clients = mb(Memory::of(pid)?.now_kib);
        drop(connected);

        let each = format!("{:.1} KB a client", (with_clients - before) * 1000.0 / f64::from(clients));
        let goal = (format!("at most {IDLE_GOAL_MB} MB"), with_clients <= IDLE_GOAL_MB);
        Ok(vec![
            row(contender, "no clients", before, String::new(), None),
            row(contender, &format!("{clients} idle clients"), with_clients, each, Some(goal)),
        ])
    })
}

/// A large value on its way to both servers and back.
fn large_value(contender: &'static Contender, value_mb: u32) -> Result<Vec<Row>> {
    in_setup(contender, |setup, pid| {
        // Not one byte over and over: a proxy must not profit from pages that look alike.
        let value: Vec<u8> = (0..value_mb * 1_000_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut client = Client::connect(setup.port)?;
        let before = mb(Memory::of(pid)?.now_kib);
        let growth = |peak: f64| (peak - before) / f64::from(value_mb);
        let measure = |what: &str, peak: f64| {
            let goal = (format!("at most {VALUE_GOAL} x"), growth(peak) <= VALUE_GOAL);
            row(contender, what, peak, format!("{:.2} x the value", growth(peak)), Some(goal))
        };

        Memory::reset_peak(pid)?;
        client.ask(&[b"SET", b"large", &value])?;
        setup.wait_until_quiet()?;
        if let Some(target) = setup.target() {
            expect(target.ask_text(&["STRLEN", "large"])? == value.len().to_string(), "STRLEN on the target")?;
        }
        let set_peak = mb(Memory::of(pid)?.peak_kib);

        Memory::reset_peak(pid)?;
        expect(client.ask(&[b"GET", b"large"])? == value, "GET of the large value")?;
        let get_peak = mb(Memory::of(pid)?.peak_kib);

        sleep(Duration::from_secs(LATER));
        let later = mb(Memory::of(pid)?.now_kib);
        Ok(vec![
            row(contender, "before the large value", before, String::new(), None),
            measure(&format!("peak of a SET of {value_mb} MB"), set_peak),
            measure("peak of its GET", get_peak),
            row(contender, &format!("{LATER} s later"), later, format!("{:.2} x the value", growth(later)), None),
        ])
    })
}

fn in_setup<T>(contender: &'static Contender, measure: impl FnOnce(&mut Setup, u32) -> Result<T>) -> Result<T> {
    eprintln!("{}", contender.name);
    let dir = tempfile::Builder::new().prefix("interlay-bench-").tempdir().step("create a directory")?;
    let mut setup = Setup::start(contender, dir.path())?;
    let Some(pid) = setup.proxy_pid() else {
        return Err(BenchError::Process {
            name: contender.name.to_owned(),
            problem: "has no process to measure".to_owned(),
            log: String::new(),
        });
    };
    measure(&mut setup, pid)
}

fn expect(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(BenchError::Reply { command: what.to_owned(), reply: "another value".to_owned() }) }
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 KiB")]
fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
