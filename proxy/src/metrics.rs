//! What `/metrics` shows: one table of metrics, filled from a [`Status`] when it is asked for, so that the data plane
//! pays nothing for it.
//!
//! Handles are registered once, in a recorder of their own, and only set afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use interlay_routing::{Counters, Phase, Policy, Side};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::status::Status;

const METADATA: Metadata<'static> = Metadata::new("interlay", Level::INFO, None);

/// How a gauge gets its value.
type Read = Box<dyn Fn(&Status) -> f64 + Send + Sync>;

/// Every metric of the process.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    counters: Vec<(&'static str, Counter)>,
    /// Registered when a command has its first mismatch.
    mismatches: Mutex<BTreeMap<String, Counter>>,
    gauges: Vec<(Gauge, Read)>,
}

impl Metrics {
    /// Registers every metric.
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counters = Counters::default().rows().map(|(name, meaning, _)| (name, counter(&recorder, name, meaning))).collect();
        recorder.describe_counter(MISMATCHES.into(), None, "Mismatches by the effect's command.".into());
        recorder.describe_counter(KINDS.into(), None, "Writes by what they are to the other side.".into());
        let mut gauges = Vec::new();
        let mut gauge = |name: &'static str, meaning: &'static str, label: Option<(&'static str, &'static str)>, read: Read| {
            recorder.describe_gauge(name.into(), None, meaning.into());
            let labels: Vec<_> = label.iter().map(|(key, value)| Label::from_static_parts(key, value)).collect();
            gauges.push((recorder.register_gauge(&Key::from_parts(name, labels), &METADATA), read));
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
            "interlay_lag_seconds",
            "How old the oldest effect is that the secondary has not answered.",
            None,
            Box::new(|status| status.lag_ms as f64 / 1000.0),
        );
        gauge(
            "interlay_behind",
            "1 while the secondary is slower than the writes.",
            None,
            Box::new(|status| flag(status.behind.is_some())),
        );
        gauge("interlay_error_keys", "Keys whose repair keeps failing.", None, Box::new(|status| status.error_keys as f64));
        gauge("interlay_copies_under_way", "Keys that are being copied.", None, Box::new(|status| status.copies_under_way as f64));
        gauge(
            "interlay_sweeping",
            "1 while both sides are scanned for keys to copy, or are to be.",
            None,
            Box::new(|status| flag(status.sweeping)),
        );
        gauge(
            "interlay_repair_paused",
            "1 while no key can be copied, whatever the key.",
            None,
            Box::new(|status| flag(status.repair_paused_for.is_some())),
        );
        gauge(
            "interlay_dirty_keys",
            "Keys that may differ: those known by name, those whose copy is not confirmed, and at least one for each dirty bucket.",
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
            "1 while any key may differ: a server came back as another process, or all are to be copied.",
            None,
            Box::new(|status| flag(status.suspect)),
        );
        gauge(
            "interlay_target_read_percent",
            "Share of the reads that goes to the target, 0 to 100.",
            None,
            Box::new(|status| f64::from(status.target_read_percent)),
        );
        gauge(
            "interlay_shadow_percent",
            "Share of the reads that both sides answer, to be compared, 0 to 100.",
            None,
            Box::new(|status| f64::from(status.shadow_percent)),
        );
        for side in Side::BOTH {
            let label = Some(("side", side.name()));
            let connected = move |status: &Status| flag(status.side(side).is_some_and(|side| side.connected));
            gauge("interlay_lane_connected", "1 for a side whose lane takes requests.", label, Box::new(connected));
            let authority = move |status: &Status| flag(status.authority == side);
            let offset = move |status: &Status| status.side(side).map_or(f64::NAN, |side| side.clock_offset_ms as f64 / 1000.0);
            gauge("interlay_clock_offset_seconds", "How far a side's clock is ahead of ours.", label, Box::new(offset));
            gauge("interlay_authority", "1 for the side in charge.", label, Box::new(authority));
        }
        for (phase, name) in Phase::ALL {
            let holds = move |status: &Status| flag(status.phase == phase);
            gauge("interlay_phase", "1 for the phase that the move is in.", Some(("phase", name)), Box::new(holds));
        }
        for (policy, name) in Policy::ALL {
            let holds = move |status: &Status| flag(status.policy == policy);
            gauge("interlay_policy", "1 for the policy that holds.", Some(("policy", name)), Box::new(holds));
        }
        let resident = |_: &Status| resident_bytes().unwrap_or(f64::NAN);
        gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", None, Box::new(resident));
        Self { handle: recorder.handle(), counters, mismatches: Mutex::default(), gauges, recorder }
    }

    /// The text of `/metrics` for one moment.
    pub(crate) fn render(&self, status: &Status) -> String {
        for (name, counter) in &self.counters {
            counter.absolute(status.counters.get(*name).copied().unwrap_or(0));
        }
        for (gauge, read) in &self.gauges {
            gauge.set(read(status));
        }
        let mut mismatches = self.mismatches.lock().unwrap_or_else(PoisonError::into_inner);
        for (command, count) in &status.mismatches_by_command {
            let known = mismatches.entry(command.clone());
            let counter = known.or_insert_with(|| labelled(&self.recorder, MISMATCHES, Label::new("command", command.clone())));
            counter.absolute(*count);
        }
        self.handle.render()
    }
}

/// Mismatches, labelled with their commands.
const MISMATCHES: &str = "interlay_mismatches_by_command_total";

/// Writes, labelled with what they are to the other side.
const KINDS: &str = "interlay_writes_by_effect_total";

/// The counters that are kinds of effects.
const KIND_PREFIX: &str = "effects_";
const KIND_NAMES: [&str; 5] = ["verbatim", "rewritten", "broadcast", "none", "repaired"];

fn labelled(recorder: &PrometheusRecorder, name: &'static str, label: Label) -> Counter {
    recorder.register_counter(&Key::from_parts(name, vec![label]), &METADATA)
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, meaning: &'static str) -> Counter {
    if let Some(kind) = name.strip_prefix(KIND_PREFIX).filter(|kind| KIND_NAMES.contains(kind)) {
        return labelled(recorder, KINDS, Label::from_static_parts("kind", kind));
    }
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
            "interlay_behind",
            "interlay_clients",
            "interlay_clock_offset_seconds{side=\"source\"}",
            "interlay_clock_offset_seconds{side=\"target\"}",
            "interlay_copies_under_way",
            "interlay_dirty_buckets",
            "interlay_dirty_keys",
            "interlay_error_keys",
            "interlay_lag_bytes",
            "interlay_lag_effects",
            "interlay_lag_seconds",
            "interlay_lane_connected{side=\"source\"}",
            "interlay_lane_connected{side=\"target\"}",
            "interlay_mismatches_by_command_total{command=\"sadd\"}",
            "interlay_phase{phase=\"backfilling\"}",
            "interlay_phase{phase=\"completed\"}",
            "interlay_phase{phase=\"cutover\"}",
            "interlay_phase{phase=\"mirroring\"}",
            "interlay_phase{phase=\"passthrough\"}",
            "interlay_phase{phase=\"rolled-back\"}",
            "interlay_phase{phase=\"shifting\"}",
            "interlay_phase{phase=\"synced\"}",
            "interlay_policy{policy=\"best-effort\"}",
            "interlay_policy{policy=\"both-required\"}",
            "interlay_policy{policy=\"source-authoritative\"}",
            "interlay_policy{policy=\"target-authoritative\"}",
            "interlay_repair_paused",
            "interlay_shadow_percent",
            "interlay_suspect",
            "interlay_sweeping",
            "interlay_target_read_percent",
            "interlay_writes_by_effect_total{kind=\"broadcast\"}",
            "interlay_writes_by_effect_total{kind=\"none\"}",
            "interlay_writes_by_effect_total{kind=\"repaired\"}",
            "interlay_writes_by_effect_total{kind=\"rewritten\"}",
            "interlay_writes_by_effect_total{kind=\"verbatim\"}",
            "process_resident_memory_bytes",
        ]
        .map(str::to_owned)
        .to_vec();
        let is_kind = |name: &&str| name.strip_prefix(KIND_PREFIX).is_some_and(|kind| KIND_NAMES.contains(&kind));
        let counters = Counters::default();
        let others = counters.rows().map(|(name, ..)| name).filter(|name| !is_kind(name));
        expected.extend(others.map(|name| format!("interlay_{name}_total")));
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
        status.counters.insert("effects_rewritten".into(), 7);
        status.mismatches_by_command.insert("incr".into(), 2);
        let text = metrics.render(&status);
        for line in [
            ("interlay_clients", "2"),
            ("interlay_writes_total", "42"),
            ("interlay_writes_by_effect_total{kind=\"rewritten\"}", "7"),
            ("interlay_mismatches_by_command_total{command=\"incr\"}", "2"),
            ("interlay_mismatches_by_command_total{command=\"sadd\"}", "1"),
            ("interlay_lag_seconds", "0.04"),
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
