//! What Interlay's mirroring sets out to reach, beside what this run has measured.

use crate::results::{Results, Sample};
use interlay_benches::report::{Table, or_dash, verdict};

/// Which side of its bound a ratio should be on.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

/// A ratio of Interlay mirroring to a peer in one cell.
struct Goal {
    cell: &'static str,
    peer: &'static str,
    quantity: fn(&Sample) -> Option<f64>,
    name: &'static str,
    bound: Bound,
}

const GOALS: &[Goal] = &[
    cpu("set-50-p1", "envoy-mirror", Bound::AtMost(0.55)),
    cpu("set-50-p16", "envoy-mirror", Bound::AtMost(0.18)),
    cpu("set-50-p100", "envoy-mirror", Bound::AtMost(0.09)),
    rate("set-50-p1", "envoy-mirror", Bound::AtLeast(1.4)),
    rate("set-50-p16", "envoy-mirror", Bound::AtLeast(2.2)),
    rate("set-50-p100", "envoy-mirror", Bound::AtLeast(2.5)),
    cpu("set-50-p1", "twemproxy", Bound::Below(1.0)),
    cpu("set-50-p16", "twemproxy", Bound::Below(1.0)),
    cpu("set-50-p100", "twemproxy", Bound::Below(1.0)),
];

const fn cpu(cell: &'static str, peer: &'static str, bound: Bound) -> Goal {
    Goal { cell, peer, quantity: |sample| sample.cpu_us, name: "CPU per request", bound }
}

const fn rate(cell: &'static str, peer: &'static str, bound: Bound) -> Goal {
    Goal { cell, peer, quantity: |sample| Some(sample.outcome.requests_per_s), name: "requests/s", bound }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
            Self::Below(bound) => value < bound,
        }
    }

    fn show(self) -> String {
        match self {
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::Below(bound) => format!("below {bound}"),
        }
    }
}

/// One row per goal. A goal is met or not by the median.
pub(crate) fn table(results: &Results) -> String {
    let mut table = Table::new(&["interlay-mirror to", "cell", "ratio of", "measured", "goal", "met"]);
    for goal in GOALS {
        let measured = results.ratio(goal.cell, "interlay-mirror", goal.peer, goal.quantity);
        table.row([
            goal.peer.to_owned(),
            goal.cell.to_owned(),
            goal.name.to_owned(),
            or_dash(measured, |ratio| ratio.show(2)),
            goal.bound.show(),
            verdict(measured.map(|ratio| goal.bound.holds(ratio.median))).to_owned(),
        ]);
    }
    format!("## Goals\n\nRatios are taken round by round; median (min..max).\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlay_benches::contender::CONTENDERS;
    use interlay_benches::load::{CELLS, Outcome};

    #[test]
    fn goals_name_cells_and_contenders_that_exist() {
        for goal in GOALS {
            assert!(CELLS.iter().any(|cell| cell.name == goal.cell), "{}", goal.cell);
            assert!(CONTENDERS.iter().any(|row| row.name == goal.peer), "{}", goal.peer);
        }
        assert!(CONTENDERS.iter().any(|row| row.name == "interlay-mirror"));
    }

    #[test]
    fn goal_is_met_missed_or_not_measured() {
        let sample = |contender, requests_per_s, cpu_us| Sample {
            cell: "set-50-p1",
            contender,
            round: 1,
            requests: 1,
            outcome: Outcome { requests_per_s, p50_ms: 1.0, p99_ms: 1.0 },
            cpu_us: Some(cpu_us),
            peak_kib: None,
            digests_equal: None,
        };
        let samples = vec![sample("interlay-mirror", 100.0, 5.0), sample("envoy-mirror", 100.0, 10.0)];
        let table = table(&Results { samples, ..Results::default() });
        let met = |peer: &str, name: &str| {
            let mut rows = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
            rows.find(|row| row.contains(&peer) && row.contains(&name)).map(|row| row[6].to_owned()).unwrap()
        };
        assert_eq!(met("envoy-mirror", "CPU per request"), "yes");
        assert_eq!(met("envoy-mirror", "requests/s"), "**no**");
        assert_eq!(met("twemproxy", "CPU per request"), "not measured");
    }
}
