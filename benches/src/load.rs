//! The table of cells, and redis-benchmark run for one of them.

use crate::error::{BenchError, Result};
use crate::process;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A run of redis-benchmark that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Test {
    /// Sets a random key.
    Set,
    /// Gets a random key, which exists.
    Get,
}

/// One kind of load.
#[derive(Debug)]
pub struct Cell {
    /// Name in arguments and reports: test, clients, depth, value size if not 3 bytes.
    pub name: &'static str,
    /// What a request does.
    pub test: Test,
    /// Connections at the same time.
    pub clients: u32,
    /// Requests that a client sends before it waits for their replies.
    pub pipeline: u32,
    /// Bytes of a value. redis-benchmark's own default is 3.
    pub value_bytes: usize,
    /// Distinct keys, drawn evenly.
    pub keys: u32,
}

/// Every cell, in the order of the reports. Keys are few enough to be filled in a moment, and 64 KiB values of
/// them to fit in memory for every server.
pub const CELLS: &[Cell] = &[
    Cell { name: "set-50-p1", test: Test::Set, clients: 50, pipeline: 1, value_bytes: 3, keys: 100_000 },
    Cell { name: "set-50-p16", test: Test::Set, clients: 50, pipeline: 16, value_bytes: 3, keys: 100_000 },
    Cell { name: "set-50-p100", test: Test::Set, clients: 50, pipeline: 100, value_bytes: 3, keys: 100_000 },
    Cell { name: "set-500-p1", test: Test::Set, clients: 500, pipeline: 1, value_bytes: 3, keys: 100_000 },
    Cell { name: "get-50-p1", test: Test::Get, clients: 50, pipeline: 1, value_bytes: 3, keys: 100_000 },
    Cell { name: "get-50-p16", test: Test::Get, clients: 50, pipeline: 16, value_bytes: 3, keys: 100_000 },
    Cell { name: "get-50-p100", test: Test::Get, clients: 50, pipeline: 100, value_bytes: 3, keys: 100_000 },
    Cell { name: "get-500-p1", test: Test::Get, clients: 500, pipeline: 1, value_bytes: 3, keys: 100_000 },
    Cell { name: "set-50-p1-1k", test: Test::Set, clients: 50, pipeline: 1, value_bytes: 1024, keys: 100_000 },
    Cell { name: "set-50-p16-1k", test: Test::Set, clients: 50, pipeline: 16, value_bytes: 1024, keys: 100_000 },
    Cell { name: "get-50-p1-64k", test: Test::Get, clients: 50, pipeline: 1, value_bytes: 65_536, keys: 1000 },
];

/// What redis-benchmark says about one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Requests answered per second.
    pub requests_per_s: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of latency in milliseconds.
    pub p99_ms: f64,
}

impl Cell {
    /// Requests of a trial that tells how many a full cell needs.
    #[must_use]
    pub fn trial_requests(&self) -> u64 {
        self.whole_batches(if self.value_bytes > 10_000 { 2000 } else { 10_000 * u64::from(self.pipeline.min(20)) })
    }

    /// Requests that take about `seconds` at `requests_per_s`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times some seconds")]
    pub fn requests_for(&self, seconds: f64, requests_per_s: f64) -> u64 {
        self.whole_batches((seconds * requests_per_s) as u64)
    }

    /// redis-benchmark sends whole batches: any other number would not be what is sent.
    fn whole_batches(&self, requests: u64) -> u64 {
        requests.next_multiple_of(u64::from(self.clients * self.pipeline))
    }

    /// Sends `requests` requests of this cell to `port`.
    ///
    /// # Errors
    /// [`BenchError::Process`] if redis-benchmark fails, hangs, or reports nothing.
    pub fn run(&self, port: u16, requests: u64, dir: &Path) -> Result<Outcome> {
        let test = match self.test {
            Test::Set => "set",
            Test::Get => "get",
        };
        let mut command = redis_benchmark(port, self.clients, self.pipeline, self.keys, requests);
        command.args(["-t", test, "-d", &self.value_bytes.to_string()]);
        finish(&command, dir)
    }
}

/// Sends `requests` writes that append random values to few keys: every two of them that two servers applied in
/// different orders leave the servers different for good, where a later SET would cover it up.
///
/// # Errors
/// As [`Cell::run`].
pub fn run_collisions(port: u16, requests: u64, dir: &Path) -> Result<Outcome> {
    let mut command = redis_benchmark(port, 24, 4, 500, requests);
    command.args(["APPEND", "collide:__rand_int__", "__rand_int__"]);
    finish(&command, dir)
}

fn redis_benchmark(port: u16, clients: u32, pipeline: u32, keys: u32, requests: u64) -> Command {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--csv"]);
    command.args(["-c", &clients.to_string(), "-P", &pipeline.to_string()]);
    command.args(["-r", &keys.to_string(), "-n", &requests.to_string()]);
    command
}

fn finish(command: &Command, dir: &Path) -> Result<Outcome> {
    let output = process::run("redis-benchmark", command, dir.join("redis-benchmark.log"), LIMIT)?;
    parse_csv(&output).ok_or_else(|| BenchError::Process {
        name: "redis-benchmark".to_owned(),
        problem: "reported no result".to_owned(),
        log: output,
    })
}

/// Reads the only result below redis-benchmark's CSV header. Other lines are its warnings.
fn parse_csv(output: &str) -> Option<Outcome> {
    let rows = || output.lines().map(|line| line.trim_matches('"').split("\",\"").collect::<Vec<_>>());
    let header = rows().find(|row| row.contains(&"rps"))?;
    let values = rows().skip_while(|row| *row != header).skip(1).find(|row| row.len() == header.len())?;
    let value = |name| {
        let column = header.iter().position(|title| *title == name)?;
        values.get(column)?.parse().ok()
    };
    Some(Outcome { requests_per_s: value("rps")?, p50_ms: value("p50_latency_ms")?, p99_ms: value("p99_latency_ms")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_by_column_name_and_past_warnings() {
        let output = "WARNING: no CONFIG here\n\
            \"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\",\"p99_latency_ms\"\n\
            \"SET a,b\",\"91743.12\",\"0.297\",\"0.271\",\"0.791\"\n";
        assert_eq!(parse_csv(output), Some(Outcome { requests_per_s: 91743.12, p50_ms: 0.271, p99_ms: 0.791 }));
        assert_eq!(parse_csv("Could not connect\n"), None);
    }

    #[test]
    fn requests_are_whole_batches_of_every_client() {
        for cell in CELLS {
            let batch = u64::from(cell.clients * cell.pipeline);
            assert_eq!(cell.trial_requests() % batch, 0, "{}", cell.name);
            assert_eq!(cell.requests_for(2.5, 91743.12) % batch, 0, "{}", cell.name);
        }
    }
}
