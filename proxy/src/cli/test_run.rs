//! `interlay backfill --dry-run` and `--trial`: what a backfill would do, before it does it.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use interlay_migration::survey::{Counts, OfDb};
use interlay_migration::trial::{Fates, Refusal, Trial};
use interlay_routing::Conflict;

use super::remote::{Outcome, conclude, in_runtime, put_within};
use super::{Exit, Remote};
use crate::admin::test_run::{WantedSurvey, WantedTrial};
use crate::test_run::{BigKey, Surveyed};

/// How long the admin port may take: a survey ends by itself after a minute, and so does a trial; another may be ahead.
const TEST_RUN_WAIT: Duration = Duration::from_mins(3);

/// `interlay backfill --dry-run`.
pub(super) fn survey(remote: &Remote, wanted: WantedSurvey, conflict: Conflict) -> Outcome {
    in_runtime(remote, async {
        let answer = put_within(TEST_RUN_WAIT, &remote.admin, "/api/v1/backfill/survey", wanted).await?;
        conclude(&answer, remote.json, |surveyed: Surveyed| would_move(&surveyed, conflict))
    })
}

/// `interlay backfill --trial N`: exits with 1 if a key was refused, or is not the same on the target.
pub(super) fn trial(remote: &Remote, wanted: WantedTrial) -> Outcome {
    in_runtime(remote, async {
        let answer = put_within(TEST_RUN_WAIT, &remote.admin, "/api/v1/backfill/trial", wanted).await?;
        if answer.exit() != Exit::Done {
            return conclude(&answer, remote.json, |_: Trial| String::new());
        }
        let trial: Trial = answer.read()?;
        let exit = if trial.all.refused == 0 && trial.all.differ == 0 { Exit::Done } else { Exit::No };
        Ok(Outcome::new(exit, Ok(if remote.json { answer.text() } else { came_to(&trial) })))
    })
}

/// Columns as wide as what is in them: the first to the left, numbers to the right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(n, (cell, width))| if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        format!("  {}\n", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect()
}

fn number(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A survey for a person.
fn would_move(Surveyed { numbers, extrapolates, biggest, took_ms }: &Surveyed, conflict: Conflict) -> String {
    let memory = |bytes| if numbers.bytes_known { HumanBytes(bytes).to_string() } else { "?".to_owned() };
    let on_target = |keys| if numbers.target_known { number(keys) } else { "?".to_owned() };
    let about = if *extrapolates { "about " } else { "" };
    let all = numbers.all;
    let mut text = format!("a backfill would copy {about}{} keys, {} of the source's memory\n", number(all.keys), memory(all.bytes));
    let row = |name: String, Counts { keys, bytes, with_ttl, on_target: there }: Counts| {
        vec![name, number(keys), memory(bytes), number(with_ttl), on_target(there)]
    };
    let mut rows = vec![["", "keys", "memory", "with TTL", "on target"].map(str::to_owned).to_vec()];
    rows.extend(numbers.types.iter().map(|(kind, counts)| row(kind.clone(), *counts)));
    rows.extend(numbers.dbs.iter().map(|OfDb { db, counts }| row(format!("database {db}"), *counts)));
    rows.push(row("all".to_owned(), all));
    text += &table(&rows);
    if !biggest.is_empty() {
        text += "the biggest keys:\n";
        for BigKey { db, key, key_base64, kind, bytes } in biggest {
            let name = key.as_ref().map_or_else(|| format!("base64 {key_base64}"), |key| format!("{key:?}"));
            // Writing to a string does not fail.
            _ = writeln!(text, "  {:>10}  {kind}, database {db}: {name}", HumanBytes(*bytes).to_string());
        }
    }
    if numbers.target_known && all.on_target > 0 {
        let fate = match conflict {
            Conflict::Replace => "the source's values would replace them",
            Conflict::None => "they would be kept",
            Conflict::Merge => "hashes, sets and sorted sets would be merged, others kept",
        };
        _ = writeln!(text, "the target has {about}{} of these keys already: {fate}", number(all.on_target));
    }
    if let Some(keys) = numbers.target_keys.filter(|keys| *keys > 0) {
        _ = writeln!(text, "the target has {} keys in these databases, whatever their names and types", number(keys));
    }
    if !numbers.missing_dbs.is_empty() {
        let missing: Vec<_> = numbers.missing_dbs.iter().map(u32::to_string).collect();
        _ = writeln!(text, "the target does not have database {}: nothing of it can be copied", missing.join(", "));
    }
    for refused in &numbers.refused {
        _ = writeln!(text, "not told by the {refused}");
    }
    if *extrapolates {
        let until = if numbers.time_was_up { ", because the time was up" } else { "" };
        _ = writeln!(text, "extrapolated: {} of {} keys were asked about{until}", number(numbers.asked), number(numbers.scanned));
    }
    text + &format!("nothing was written; it took {}", took(*took_ms))
}

/// A trial for a person.
fn came_to(trial: &Trial) -> String {
    let Trial { all, types, refusals, gone, too_large, payload_bytes, copying_us, estimated_ms, time_was_up, left } = trial;
    let mut text = format!(
        "{} keys tried: {} restored ({} in {}), {} refused\n",
        number(all.taken() + all.refused),
        number(all.taken()),
        HumanBytes(*payload_bytes),
        took(copying_us / 1000),
        number(all.refused),
    );
    let row = |name: &str, Fates { same, unproved, differ, refused }: Fates| {
        [vec![name.to_owned()], [same, unproved, differ, refused].map(number).to_vec()].concat()
    };
    let mut rows = vec![["", "the same", "not comparable", "different", "refused"].map(str::to_owned).to_vec()];
    rows.extend(types.iter().map(|(kind, fates)| row(kind, *fates)));
    rows.push(row("all", *all));
    text += &table(&rows);
    for Refusal { kind, reason, meaning, keys } in refusals {
        _ = writeln!(text, "{} refused, {kind}: {reason}", number(*keys));
        if let Some(meaning) = meaning {
            _ = writeln!(text, "  {meaning}");
        }
    }
    for (count, what) in [
        (*gone, "were gone before they were read"),
        (*too_large, "are too large for a trial"),
        (*left, "scratch keys could not be deleted; they are gone within a minute"),
    ] {
        if count > 0 {
            _ = writeln!(text, "{} {what}", number(count));
        }
    }
    if *time_was_up {
        text += "the time was up before all keys were tried\n";
    }
    if let Some(ms) = estimated_ms {
        _ = writeln!(text, "all keys would take about {} like this; a backfill has more under way at once", took(*ms));
    }
    text += "nothing was written to the source";
    if *left == 0 {
        text += ", and the scratch keys on the target are removed";
    }
    text
}

fn took(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{:03} s", ms / 1000, ms % 1000) } else { HumanDuration(Duration::from_millis(ms)).to_string() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use interlay_migration::survey::Numbers;

    use super::*;

    #[test]
    fn a_survey_is_a_table() {
        let of = |keys| Counts { keys, bytes: 1024 * keys, with_ttl: 1, on_target: 2 };
        let numbers = Numbers {
            all: of(1200),
            types: BTreeMap::from([("string".to_owned(), of(1200))]),
            dbs: vec![OfDb { db: 3, counts: of(1200) }],
            scanned: 1200,
            asked: 600,
            bytes_known: true,
            target_known: true,
            ..Numbers::default()
        };
        let big = BigKey { db: 3, key: None, key_base64: "/wA=".to_owned(), kind: "string".to_owned(), bytes: 2048 };
        let surveyed = Surveyed { numbers, extrapolates: true, biggest: vec![big], took_ms: 1234 };
        let expected = "a backfill would copy about 1,200 keys, 1.17 MiB of the source's memory
               keys    memory  with TTL  on target
  string      1,200  1.17 MiB         1          2
  database 3  1,200  1.17 MiB         1          2
  all         1,200  1.17 MiB         1          2
the biggest keys:
    2.00 KiB  string, database 3: base64 /wA=
the target has about 2 of these keys already: they would be kept
extrapolated: 600 of 1,200 keys were asked about
nothing was written; it took 1.234 s";
        assert_eq!(would_move(&surveyed, Conflict::None), expected);
    }

    #[test]
    fn a_trial_says_what_was_refused_and_why() {
        let all = Fates { same: 3, refused: 1, ..Fates::default() };
        let refusal = Refusal { kind: "hash".to_owned(), reason: "RESTORE: ERR no".to_owned(), meaning: Some("why".to_owned()), keys: 1 };
        let types = BTreeMap::from([("hash".to_owned(), all)]);
        let (payload_bytes, copying_us, estimated_ms) = (10, 5000, Some(70_000));
        let trial = Trial { all, types, refusals: vec![refusal], payload_bytes, copying_us, estimated_ms, ..Trial::default() };
        let expected = "4 keys tried: 3 restored (10 B in 0.005 s), 1 refused
        the same  not comparable  different  refused
  hash         3               0          0        1
  all          3               0          0        1
1 refused, hash: RESTORE: ERR no
  why
all keys would take about 70 seconds like this; a backfill has more under way at once
nothing was written to the source, and the scratch keys on the target are removed";
        assert_eq!(came_to(&trial), expected);
    }
}
