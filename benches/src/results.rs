//! What a run has measured, and how it is shown.

use interlay_benches::contender::{CONTENDERS, Contender};
use interlay_benches::error::BenchError;
use interlay_benches::load::{Cell, Outcome};
use interlay_benches::report::{Spread, Table, or_dash};

/// One measurement.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Name of the cell.
    pub(crate) cell: &'static str,
    /// Name of the contender.
    pub(crate) contender: &'static str,
    /// From 1.
    pub(crate) round: u32,
    /// Requests sent.
    pub(crate) requests: u64,
    /// What the load saw.
    pub(crate) outcome: Outcome,
    /// Processor time of the proxy per request, in microseconds; `None` without a proxy.
    pub(crate) cpu_us: Option<f64>,
    /// Most memory of the proxy in this cell, in KiB; `None` without a proxy.
    pub(crate) peak_kib: Option<u64>,
    /// Whether both servers held the same after this cell; `None` for reads and without a second server.
    pub(crate) digests_equal: Option<bool>,
}

/// Whether a mirror kept two servers equal under colliding writes.
#[derive(Debug)]
pub(crate) struct Collisions {
    /// Name of the contender.
    pub(crate) contender: &'static str,
    /// Writes sent.
    pub(crate) writes: u64,
    /// Whether both servers held the same afterwards.
    pub(crate) equal: bool,
}

/// Everything measured in one run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// In the order of measurement.
    pub(crate) samples: Vec<Sample>,
    /// One per mirror.
    pub(crate) collisions: Vec<Collisions>,
    /// Contenders whose program is missing.
    pub(crate) not_installed: Vec<&'static str>,
    /// Who failed, and what went wrong, for people.
    pub(crate) failures: Vec<(&'static str, String)>,
}

impl Results {
    /// Notes a failure, now and for the report.
    pub(crate) fn fail(&mut self, contender: &Contender, cell: Option<&Cell>, failure: &BenchError) {
        let place = cell.map_or_else(String::new, |cell| format!(", {}", cell.name));
        let text = format!("{}{place}: {failure}", contender.name);
        eprintln!("{text}");
        self.failures.push((contender.name, text));
    }

    /// A quantity of one cell and contender over all rounds; `None` if it was not measured.
    pub(crate) fn spread(&self, cell: &str, contender: &str, quantity: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.of(cell, contender).filter_map(quantity))
    }

    /// A quantity of `contender` divided by that of `base`, round by round.
    pub(crate) fn ratio(&self, cell: &str, contender: &str, base: &str, quantity: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let ratios = self.of(cell, contender).filter_map(|sample| {
            let base = self.of(cell, base).find(|other| other.round == sample.round)?;
            Some(quantity(sample)? / quantity(base)?)
        });
        Spread::of(ratios)
    }

    /// A table for each cell, then the collisions, and what failed.
    pub(crate) fn to_markdown(&self, cells: &[&Cell]) -> String {
        let mut text = String::new();
        for cell in cells {
            text += &format!(
                "## {}: {:?}, {} clients, {} in a pipeline, values of {} B, {} keys\n\n{}\n",
                cell.name,
                cell.test,
                cell.clients,
                cell.pipeline,
                cell.value_bytes,
                cell.keys,
                self.cell_table(cell.name),
            );
        }
        if !self.collisions.is_empty() {
            text += &format!("## Colliding APPENDs of 24 clients: are both servers equal afterwards?\n\n{}\n", self.collision_table());
        }
        if !self.failures.is_empty() {
            let failures: Vec<&str> = self.failures.iter().map(|(_, text)| text.as_str()).collect();
            text += &format!("## Failures\n\n```\n{}\n```\n\n", failures.join("\n"));
        }
        text
    }

    /// One line per measurement.
    pub(crate) fn to_csv(&self) -> String {
        let mut table = Table::new(&[
            "cell",
            "contender",
            "round",
            "requests",
            "requests_per_s",
            "p50_ms",
            "p99_ms",
            "cpu_us_per_request",
            "peak_rss_kib",
            "digests_equal",
        ]);
        for sample in &self.samples {
            table.row([
                sample.cell.to_owned(),
                sample.contender.to_owned(),
                sample.round.to_string(),
                sample.requests.to_string(),
                sample.outcome.requests_per_s.to_string(),
                sample.outcome.p50_ms.to_string(),
                sample.outcome.p99_ms.to_string(),
                sample.cpu_us.map_or_else(String::new, |cpu| format!("{cpu:.4}")),
                sample.peak_kib.map_or_else(String::new, |peak| peak.to_string()),
                sample.digests_equal.map_or_else(String::new, |equal| equal.to_string()),
            ]);
        }
        table.to_csv()
    }

    fn of(&self, cell: &str, contender: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.cell == cell && sample.contender == contender)
    }

    fn cell_table(&self, cell: &str) -> Table {
        let mut table =
            Table::new(&["contender", "requests/s", "of direct", "p50 ms", "p99 ms", "CPU µs/request", "peak MB", "servers equal"]);
        for Contender { name, .. } in CONTENDERS {
            let Some(rate) = self.spread(cell, name, |sample| Some(sample.outcome.requests_per_s)) else {
                if self.not_installed.contains(name) {
                    table.row([(*name).to_owned(), "- not installed".to_owned()]);
                } else if self.failures.iter().any(|(failed, _)| failed == name) {
                    table.row([(*name).to_owned(), "- failed, see below".to_owned()]);
                }
                continue;
            };
            let of_direct = self.ratio(cell, name, "direct", |sample| Some(sample.outcome.requests_per_s));
            let p50 = self.spread(cell, name, |sample| Some(sample.outcome.p50_ms));
            let p99 = self.spread(cell, name, |sample| Some(sample.outcome.p99_ms));
            let cpu = self.spread(cell, name, |sample| sample.cpu_us);
            let peak = self.of(cell, name).filter_map(|sample| sample.peak_kib).max();
            let digests: Vec<bool> = self.of(cell, name).filter_map(|sample| sample.digests_equal).collect();
            table.row([
                (*name).to_owned(),
                rate.show(0),
                or_dash(of_direct, |ratio| format!("{:.2}", ratio.median)),
                or_dash(p50, |p50| format!("{:.2}", p50.median)),
                or_dash(p99, |p99| format!("{:.2}", p99.median)),
                or_dash(cpu, |cpu| cpu.show(2)),
                or_dash(peak, |kib| kib.div_ceil(1024).to_string()),
                all_equal(&digests).to_owned(),
            ]);
        }
        table
    }

    fn collision_table(&self) -> Table {
        let mut table = Table::new(&["contender", "writes", "servers equal"]);
        for row in &self.collisions {
            table.row([row.contender.to_owned(), row.writes.to_string(), all_equal(&[row.equal]).to_owned()]);
        }
        table
    }
}

fn all_equal(digests: &[bool]) -> &'static str {
    match digests {
        [] => "-",
        digests if digests.iter().all(|equal| *equal) => "yes",
        _ => "**no**",
    }
}
