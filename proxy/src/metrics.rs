//! What `/metrics` shows: one table of metrics, filled from a [`Status`] when it is asked for, so that the data plane
//! pays nothing for it.
//!
//! Handles are registered once, in a recorder of their own, and only set afterwards.

use std::fs;

use interlay_routing::{Counters, Policy, Side};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::status::Status;

const METADATA: Metadata<'static> = Metadata::new("interlay", Level::INFO, None);

/// How a gauge gets its value.
type Read = Box<dyn Fn(&Status) -> f64 + Send + Sync>;

/// Every metric of the process.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    counters: Vec<(&'static str, Counter)>,
    gauges: Vec<(Gauge, Read)>,
}

impl Metrics {
    /// Registers every metric.
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counters = Counters::default().rows().map(|(name, meaning, _)| (name, counter(&recorder, name, meaning))).collect();
        let mut metrics = Self { handle: recorder.handle(), counters, gauges: Vec::new() };
        let mut gauge = |name: &'static str, meaning: &'static str, label: Option<(&'static str, &'static str)>, read: Read| {
            recorder.describe_gauge(name.into(), None, meaning.into());
            let labels: Vec<_> = label.iter().map(|(key, value)| Label::from_static_parts(key, value)).collect();
            metrics.gauges.push((recorder.register_gauge(&Key::from_parts(name, labels), &METADATA), read));
        };

        gauge("interlay_clients", "Clients connected now.", None, Box::new(|status| status.clients as f64));
        gauge("interlay_lag_effects", "Effects not yet answered by the secondary.", None, Box::new(|status| status.lag_effects as f64));
        gauge(
            "interlay_lag_bytes",
            "Bytes of effects not yet answered by the secondary.",
            None,
            Box::new(|status| status.lag_bytes as f64),
        );
        gauge(
            "interlay_dirty_keys",
            "Keys that may differ: those known by name, and at least one for each dirty bucket.",
            None,
            Box::new(|status| status.dirty_keys as f64),
        );
        gauge(
            "interlay_dirty_buckets",
            "Hash buckets of keys that may differ and are no longer known by name.",
            None,
            Box::new(|status| status.dirty_buckets as f64),
        );
        gauge(
            "interlay_suspect",
            "1 after a server came back as another process: keys may differ beyond the dirty ones.",
            None,
            Box::new(|status| flag(status.suspect)),
        );
        gauge(
            "interlay_target_read_percent",
            "Share of the reads that goes to the target, 0 to 100.",
            None,
            Box::new(|status| f64::from(status.target_read_percent)),
        );
        for side in Side::BOTH {
            let label = Some(("side", side.name()));
            let connected = move |status: &Status| flag(status.side(side).is_some_and(|side| side.connected));
            gauge("interlay_lane_connected", "1 for a side whose lane takes requests.", label, Box::new(connected));
            let authority = move |status: &Status| flag(status.authority == side);
            gauge("interlay_authority", "1 for the side in charge.", label, Box::new(authority));
        }
        for (policy, name) in Policy::ALL {
            let holds = move |status: &Status| flag(status.policy == policy);
            gauge("interlay_policy", "1 for the policy that holds.", Some(("policy", name)), Box::new(holds));
        }
        let resident = |_: &Status| resident_bytes().unwrap_or(f64::NAN);
        gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", None, Box::new(resident));
        metrics
    }

    /// The text of `/metrics` for one moment.
    pub(crate) fn render(&self, status: &Status) -> String {
        for (name, counter) in &self.counters {
            counter.absolute(status.counters.get(*name).copied().unwrap_or(0));
        }
        for (gauge, read) in &self.gauges {
            gauge.set(read(status));
        }
        self.handle.render()
    }
}

fn counter(recorder: &PrometheusRecorder, name: &str, meaning: &'static str) -> Counter {
    let name = format!("interlay_{name}_total");
    recorder.describe_counter(name.clone().into(), None, meaning.into());
    recorder.register_counter(&Key::from_name(name), &METADATA)
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Resident memory, from `/proc`; none on a system without it.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::mirroring;

    /// Name, labels and value of every line that is not a comment.
    fn lines(text: &str) -> Vec<(&str, &str)> {
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')).collect()
    }

    #[test]
    fn metrics_are_exactly_these() {
        let text = Metrics::new().render(&mirroring());
        let mut names: Vec<_> = lines(&text).into_iter().map(|(name, _)| name.to_owned()).collect();
        names.sort_unstable();
        let mut expected = [
            "interlay_authority{side=\"source\"}",
            "interlay_authority{side=\"target\"}",
            "interlay_clients",
            "interlay_dirty_buckets",
            "interlay_dirty_keys",
            "interlay_lag_bytes",
            "interlay_lag_effects",
            "interlay_lane_connected{side=\"source\"}",
            "interlay_lane_connected{side=\"target\"}",
            "interlay_policy{policy=\"best-effort\"}",
            "interlay_policy{policy=\"both-required\"}",
            "interlay_policy{policy=\"source-authoritative\"}",
            "interlay_policy{policy=\"target-authoritative\"}",
            "interlay_suspect",
            "interlay_target_read_percent",
            "process_resident_memory_bytes",
        ]
        .map(str::to_owned)
        .to_vec();
        expected.extend(Counters::default().rows().map(|(name, ..)| format!("interlay_{name}_total")));
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn every_metric_says_what_it_means() {
        let text = Metrics::new().render(&mirroring());
        for (name, _) in lines(&text) {
            let name = name.split('{').next().unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }

    #[test]
    fn each_scrape_shows_the_moment_it_is_given() {
        let metrics = Metrics::new();
        let mut status = mirroring();
        status.clients = 3;
        status.counters.insert("writes".into(), 41);
        metrics.render(&status);
        status.clients = 2;
        status.counters.insert("writes".into(), 42);
        let text = metrics.render(&status);
        for line in [
            ("interlay_clients", "2"),
            ("interlay_writes_total", "42"),
            ("interlay_lane_connected{side=\"source\"}", "1"),
            ("interlay_lane_connected{side=\"target\"}", "0"),
            ("interlay_authority{side=\"source\"}", "1"),
            ("interlay_policy{policy=\"source-authoritative\"}", "1"),
            ("interlay_policy{policy=\"both-required\"}", "0"),
        ] {
            assert!(lines(&text).contains(&line), "{line:?} in\n{text}");
        }
    }
}
