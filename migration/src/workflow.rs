//! The guided workflow: one run of a whole move, a step at a time, each with its gate.
//!
//! ```text
//!   prepare ─▶ review ─▶ backfill ─▶ verify ─▶ monitor ─▶ shift ─▶ cutover ─▶ accept ─▶ completed
//!            approve                         advance            advance    accept
//!      └──────────┴──── from any step: roll back ─▶ rolled-back, or abort ─▶ aborted
//! ```
//!
//! In: what a person says ([`Run::tell`]), and what is known of the interlay ([`Facts`]). Out: the next [`Action`], which
//! somebody else carries out before it looks again. The run is plain data: kept on disk after every change, it goes on in the
//! next process, and an action that was begun is begun again only if the facts do not show it.

use serde::{Deserialize, Serialize};

/// How a move is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// The write policy until the cutover: `source-authoritative` or `both-required`.
    pub policy: String,
    /// Whether what is there already is copied. Without it only what is written from now on gets to the target.
    pub copy: bool,
    /// What becomes of keys that the target has already: `replace`, `none` or `merge`.
    pub conflict: String,
    /// Share of the keys that is compared after the backfill, in per cent; 0 for none.
    pub verify_percent: u8,
    /// Share of the reads that is compared while the run is at `monitor` and `shift`, in per cent.
    pub shadow_percent: u8,
    /// How long the mirror is watched before reads are shifted, in seconds.
    pub soak_s: u64,
    /// How reads are shifted: `gradual` or `toggle`.
    pub strategy: String,
    /// The shares of the reads that a gradual shift goes through, in per cent.
    pub steps: Vec<u8>,
    /// How long each of them is held, in seconds.
    pub dwell_s: u64,
    /// Whether `monitor` and `cutover` are left without being told to. `review` and `accept` always wait for a person.
    pub automatic: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: "source-authoritative".to_owned(),
            copy: true,
            conflict: "replace".to_owned(),
            verify_percent: 100,
            shadow_percent: 1,
            soak_s: 60,
            strategy: "gradual".to_owned(),
            steps: vec![1, 5, 10, 25, 50, 100],
            dwell_s: 60,
            automatic: false,
        }
    }
}

impl Setup {
    /// Everything that is wrong with it, in words.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let choice = |name: &str, value: &str, known: &[&str]| {
            (!known.contains(&value)).then(|| format!("{name}: {value:?} is none of {}", known.join(", ")))
        };
        let percent = |name: &str, value: u8| (value > 100).then(|| format!("{name}: {value} is more than 100 per cent"));
        let problems = [
            choice("policy", &self.policy, &["source-authoritative", "both-required"]),
            choice("conflict", &self.conflict, &["replace", "none", "merge"]),
            choice("strategy", &self.strategy, &["gradual", "toggle"]),
            percent("verify_percent", self.verify_percent),
            percent("shadow_percent", self.shadow_percent),
            self.steps.iter().find_map(|step| percent("steps", *step)),
            (self.steps.is_empty() || !self.steps.is_sorted()).then(|| "steps: expected shares that grow".to_owned()),
        ];
        problems.into_iter().flatten().collect()
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The compatibility check runs.
    Prepare,
    /// A person looks at what the check has found, and approves.
    Review,
    /// The policy is set, and every key is copied.
    Backfill,
    /// Both sides are compared.
    Verify,
    /// The mirror is watched for a while.
    Monitor,
    /// Reads go to the target, step by step.
    Shift,
    /// The target becomes the authority.
    Cutover,
    /// A person accepts the result, or rolls back.
    Accept,
    /// The source is let go.
    Completed,
    /// The source is in charge again.
    RolledBack,
    /// The run was given up; nothing was undone.
    Aborted,
}

/// A step, what it does, and what has to be said for the run to leave it.
struct Row {
    step: Step,
    name: &'static str,
    does: &'static str,
    /// The word that a person has to say; none if the step ends by itself.
    word: Option<Word>,
    next: Option<Step>,
}

/// What a person can say to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// What the check has found is acceptable.
    Approve,
    /// Go on, or try again what has failed.
    Advance,
    /// The move is done.
    Accept,
    /// Back to the source.
    RollBack,
    /// Give the run up, and leave everything as it is.
    Abort,
}

static STEPS: [Row; 11] = {
    use Step::{Aborted, Accept, Backfill, Completed, Cutover, Monitor, Prepare, Review, RolledBack, Shift, Verify};
    const fn row(step: Step, name: &'static str, does: &'static str, word: Option<Word>, next: Option<Step>) -> Row {
        Row { step, name, does, word, next }
    }
    [
        row(Prepare, "prepare", "checks both servers", None, Some(Review)),
        row(Review, "review", "waits for approval of what the check has found", Some(Word::Approve), Some(Backfill)),
        row(Backfill, "backfill", "copies every key", None, Some(Verify)),
        row(Verify, "verify", "compares both sides", None, Some(Monitor)),
        row(Monitor, "monitor", "watches the mirror", Some(Word::Advance), Some(Shift)),
        row(Shift, "shift", "shifts reads to the target", None, Some(Cutover)),
        row(Cutover, "cutover", "makes the target the authority", Some(Word::Advance), Some(Accept)),
        row(Accept, "accept", "waits for the move to be accepted, or rolled back", Some(Word::Accept), Some(Completed)),
        row(Completed, "completed", "has let the source go", None, None),
        row(RolledBack, "rolled-back", "has gone back to the source", None, None),
        row(Aborted, "aborted", "was given up", None, None),
    ]
};

impl Step {
    fn row(self) -> &'static Row {
        // Every step has a row: the test below holds the table to that.
        STEPS.iter().find(|row| row.step == self).unwrap_or(&STEPS[0])
    }

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What the run does in it, in words.
    #[must_use]
    pub fn does(self) -> &'static str {
        self.row().does
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_end(self) -> bool {
        self.row().next.is_none()
    }
}

/// What is known of the interlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Names of the blocking findings of the last check that nobody has acknowledged; none if none has run since the run began.
    pub blocking: Option<Vec<String>>,
    /// The phase, by name.
    pub phase: String,
    /// Why the backfill has failed or was cancelled.
    pub backfill_trouble: Option<String>,
    /// Keys that a backfill, at its end, has kept as the target has them, wholly or in part: the sides differ as they are meant to.
    /// None if it was to keep none.
    pub kept: Option<u64>,
    /// A backfill is under way.
    pub backfilling: bool,
    /// One was begun, in this process or in the one before.
    pub backfill_known: bool,
    /// A verification is under way.
    pub verifying: bool,
    /// Whether the last verification that has ended since the step began has found both sides equal, and what it has counted.
    pub verified: Option<(bool, String)>,
    /// Shadow reads that have differed since the start, and mirrored writes that did.
    pub mismatches: u64,
    /// The share of the reads that is compared, in per cent.
    pub shadow_percent: u8,
    /// The share of the reads that goes to the target, in per cent.
    pub target_read_percent: u8,
    /// A shift of reads is under way.
    pub shifting: bool,
    /// The last one has come to its end.
    pub shifted: bool,
    /// Why the last shift of reads has stepped back.
    pub shift_trouble: Option<String>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the compatibility check.
    Check,
    /// Set this write policy, and have every key copied with this conflict policy.
    Backfill {
        /// The write policy.
        policy: String,
        /// The conflict policy.
        conflict: String,
    },
    /// Compare so many per cent of the keys.
    Verify(u8),
    /// Compare so many per cent of the reads.
    Shadow(u8),
    /// Shift reads through these shares, holding each for so many seconds.
    Shift {
        /// Shares of the reads, in per cent.
        steps: Vec<u8>,
        /// Seconds.
        dwell_s: u64,
    },
    /// Make the target the authority.
    CutOver,
    /// Let the source go.
    Complete,
    /// Back to the source.
    RollBack,
}

/// Something that has happened to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was, in ms since 1970.
    pub at_unix_ms: u64,
    /// The step that it happened in.
    pub step: Step,
    /// What it was, in words.
    pub text: String,
}

/// Entries that are kept; the first ones stay, the middle goes.
const ENTRIES_MAX: usize = 200;

/// One move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How it is to be made.
    pub setup: Setup,
    /// How far it has come.
    pub step: Step,
    /// When it came there, in ms since 1970.
    pub since_unix_ms: u64,
    /// The step's action was begun.
    pub begun: bool,
    /// The word that the step needs has been said.
    pub told: bool,
    /// Why it does not go on by itself; `advance` tries again.
    pub stuck: Option<String>,
    /// It was seen in another phase than `rolled-back`, in which an earlier run may have left it.
    #[serde(default)]
    moved: bool,
    /// Mismatches when the step, or what it does, began.
    mismatches_before: u64,
    /// What has happened.
    pub entries: Vec<Entry>,
}

/// Why a word is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotNow(pub String);

impl Run {
    /// A new run.
    #[must_use]
    pub fn new(setup: Setup, who: &str, now_ms: u64) -> Self {
        let mut run = Self {
            setup,
            step: Step::Prepare,
            since_unix_ms: now_ms,
            begun: false,
            told: false,
            stuck: None,
            moved: false,
            mismatches_before: 0,
            entries: Vec::new(),
        };
        run.note(format!("begun by {who}"), now_ms);
        run
    }

    /// What the run waits for, in words; none if it is at work, or over.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        if let Some(stuck) = &self.stuck {
            return Some(format!("{stuck}; `interlay workflow advance` tries again, `interlay workflow rollback` goes back"));
        }
        let said = |word: Word| self.told || (self.setup.automatic && word == Word::Advance);
        let word = self.step.row().word.filter(|word| !said(*word))?;
        Some(match word {
            Word::Approve => "`interlay workflow approve`, after a look at `interlay check`".to_owned(),
            Word::Accept => "`interlay workflow accept`, which lets the source go, or `interlay workflow rollback`".to_owned(),
            _ => format!("`interlay workflow advance`, to go on with {}", self.step.name()),
        })
    }

    /// A person says a word.
    ///
    /// # Errors
    ///
    /// [`NotNow`] if the run does not wait for it.
    pub fn tell(&mut self, word: Word, who: &str, note: &str, now_ms: u64) -> Result<Option<Action>, NotNow> {
        if self.step.is_end() {
            return Err(NotNow(format!("the run is over: it {}", self.step.does())));
        }
        let said = if note.is_empty() { String::new() } else { format!(": {note}") };
        let action = match word {
            Word::RollBack => Some(Action::RollBack),
            Word::Abort => {
                self.note(format!("aborted by {who}{said}"), now_ms);
                self.enter(Step::Aborted, &Facts::default(), now_ms);
                return Ok(None);
            }
            Word::Advance if self.stuck.is_some() => {
                (self.stuck, self.begun) = (None, false);
                None
            }
            _ if self.step.row().word == Some(word) => {
                self.told = true;
                None
            }
            _ => {
                let wanted = self.waits_for().unwrap_or_else(|| "no word now".to_owned());
                return Err(NotNow(format!("the run is at {} and waits for {wanted}", self.step.name())));
            }
        };
        let word = match word {
            Word::Approve => "approved",
            Word::Accept => "accepted",
            Word::RollBack => "rollback asked for",
            Word::Advance | Word::Abort => "told to go on",
        };
        self.note(format!("{word} by {who}{said}"), now_ms);
        Ok(action)
    }

    /// Looks at the facts: what is to be done now, if anything is. To be called again after it was done, or has failed.
    pub fn look(&mut self, facts: &Facts, now_ms: u64) -> Option<Action> {
        // A step that is over at once leads to the next; there are only so many.
        for _ in 0..STEPS.len() {
            if self.stuck.is_some() || self.step.is_end() {
                return None;
            }
            self.moved |= facts.phase != "rolled-back";
            // Another process counts from nothing.
            self.mismatches_before = self.mismatches_before.min(facts.mismatches);
            if let Some(step) = self.astray(facts) {
                self.enter(step, facts, now_ms);
                continue;
            }
            match self.judge(facts, now_ms) {
                Verdict::Do(action) => {
                    self.begun = true;
                    // What has differed before was told: trying again begins anew.
                    self.mismatches_before = facts.mismatches;
                    return Some(action);
                }
                Verdict::Wait => return None,
                Verdict::Stuck(why) => {
                    self.note(format!("stuck: {why}"), now_ms);
                    self.stuck = Some(why);
                    return None;
                }
                Verdict::Over(what) => {
                    self.note(what, now_ms);
                    let next = self.step.row().next?;
                    self.enter(next, facts, now_ms);
                }
            }
        }
        None
    }

    /// An action could not be carried out.
    pub fn failed(&mut self, action: &Action, why: &str, now_ms: u64) {
        let why = format!("{action:?}: {why}");
        self.note(format!("stuck: {why}"), now_ms);
        self.stuck = Some(why);
    }

    /// Where somebody else has brought the move, past this run.
    fn astray(&self, facts: &Facts) -> Option<Step> {
        match facts.phase.as_str() {
            "completed" => Some(Step::Completed),
            "rolled-back" if self.moved => Some(Step::RolledBack),
            "cutover" if self.step < Step::Accept => Some(Step::Accept),
            _ => None,
        }
    }

    fn judge(&self, facts: &Facts, now_ms: u64) -> Verdict {
        let Setup { policy, copy, conflict, verify_percent, shadow_percent, soak_s, strategy, steps, dwell_s, .. } = &self.setup;
        let may_go = self.waits_for().is_none();
        match self.step {
            Step::Prepare => match &facts.blocking {
                None => Verdict::Do(Action::Check),
                _ if !self.begun => Verdict::Do(Action::Check),
                Some(names) if names.is_empty() => Verdict::Over("the check has found nothing that blocks".to_owned()),
                Some(names) => {
                    Verdict::Over(format!("the check has found what blocks: {}: acknowledge it by name, or mend it", names.join(", ")))
                }
            },
            Step::Review => match &facts.blocking {
                _ if !may_go => Verdict::Wait,
                // It was lost with a process.
                None => Verdict::Do(Action::Check),
                Some(names) if names.is_empty() => Verdict::Over("approved".to_owned()),
                // They may have been mended since.
                _ if !self.begun => Verdict::Do(Action::Check),
                Some(names) => Verdict::Stuck(format!(
                    "the check has found what blocks: {}: mend it, or `interlay check --acknowledge NAME --note TEXT`",
                    names.join(", ")
                )),
            },
            Step::Backfill if !copy => Verdict::Over("nothing is copied, as the setup says".to_owned()),
            Step::Backfill => match (&facts.backfill_trouble, facts.phase.as_str()) {
                _ if facts.backfilling => Verdict::Wait,
                (_, "synced" | "shifting") if self.begun => Verdict::Over("every key is copied".to_owned()),
                _ if let Some(kept) = facts.kept.filter(|_| self.begun) => {
                    Verdict::Over(format!("every key is copied, but that {kept} are kept as the target has them, wholly or in part"))
                }
                _ if !self.begun || !facts.backfill_known => {
                    Verdict::Do(Action::Backfill { policy: policy.clone(), conflict: conflict.clone() })
                }
                (Some(trouble), _) => Verdict::Stuck(format!("the backfill has ended without every key: {trouble}")),
                _ => Verdict::Wait,
            },
            Step::Verify if *verify_percent == 0 || !copy => Verdict::Over("nothing is compared, as the setup says".to_owned()),
            Step::Verify if facts.kept.is_some_and(|kept| kept > 0) => Verdict::Over(
                "nothing is compared, because kept keys differ as they are meant to: `interlay verify` counts them".to_owned(),
            ),
            Step::Verify => match &facts.verified {
                _ if facts.verifying => Verdict::Wait,
                _ if !self.begun => Verdict::Do(Action::Verify(*verify_percent)),
                Some((true, counts)) => Verdict::Over(format!("both sides are equal: {counts}")),
                Some((false, counts)) => {
                    Verdict::Stuck(format!("both sides differ: {counts}: `interlay verify --repair` repairs and shows them"))
                }
                // It was lost with a process.
                None => Verdict::Do(Action::Verify(*verify_percent)),
            },
            Step::Monitor | Step::Shift if facts.kept.is_some() => {
                Verdict::Over("no reads go to the target before the cutover, because it has other values of kept keys".to_owned())
            }
            // The share is forgotten with the process.
            Step::Monitor if !self.begun || (facts.shadow_percent == 0 && *shadow_percent > 0) => {
                Verdict::Do(Action::Shadow(*shadow_percent))
            }
            Step::Monitor => {
                let differed = facts.mismatches.saturating_sub(self.mismatches_before);
                let until_ms = self.since_unix_ms.saturating_add(soak_s.saturating_mul(1000));
                if differed > 0 {
                    Verdict::Stuck(format!("{differed} replies have differed: `interlay status` says of which commands"))
                } else if now_ms < until_ms || !may_go {
                    Verdict::Wait
                } else {
                    Verdict::Over("no reply has differed".to_owned())
                }
            }
            Step::Shift => match &facts.shift_trouble {
                _ if facts.shifting => Verdict::Wait,
                _ if facts.target_read_percent == 100 || (self.begun && facts.shifted) => {
                    Verdict::Over(format!("{} % of the reads go to the target", facts.target_read_percent))
                }
                Some(trouble) if self.begun => Verdict::Stuck(format!("the shift of reads has stepped back: {trouble}")),
                _ => {
                    let steps = if strategy == "toggle" { vec![100] } else { steps.clone() };
                    Verdict::Do(Action::Shift { steps, dwell_s: *dwell_s })
                }
            },
            Step::Cutover if !may_go => Verdict::Wait,
            // `astray` sees that it has come to pass.
            Step::Cutover => Verdict::Do(Action::CutOver),
            Step::Accept if !may_go => Verdict::Wait,
            Step::Accept => Verdict::Do(Action::Complete),
            Step::Completed | Step::RolledBack | Step::Aborted => Verdict::Wait,
        }
    }

    fn enter(&mut self, step: Step, facts: &Facts, now_ms: u64) {
        (self.step, self.since_unix_ms, self.begun, self.told, self.stuck) = (step, now_ms, false, false, None);
        self.mismatches_before = facts.mismatches;
        self.note(format!("the run {}", step.does()), now_ms);
    }

    fn note(&mut self, text: String, now_ms: u64) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(ENTRIES_MAX / 2);
        }
        self.entries.push(Entry { at_unix_ms: now_ms, step: self.step, text });
    }
}

/// How it stands with a step.
enum Verdict {
    Wait,
    Do(Action),
    Over(String),
    Stuck(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(phase: &str) -> Facts {
        Facts { phase: phase.to_owned(), blocking: Some(Vec::new()), ..Facts::default() }
    }

    fn run(automatic: bool) -> Run {
        Run::new(Setup { automatic, soak_s: 10, ..Setup::default() }, "me", 0)
    }

    #[test]
    fn rows_are_in_the_order_of_the_steps() {
        for (at, row) in STEPS.iter().enumerate() {
            assert_eq!(row.step as usize, at, "{}", row.name);
            assert_eq!(serde_json::to_value(row.step).unwrap(), row.name);
        }
    }

    #[test]
    fn a_whole_move_with_the_words_that_it_needs() {
        let mut run = run(false);
        assert_eq!(run.look(&Facts::default(), 0), Some(Action::Check));
        assert_eq!((run.look(&facts("mirroring"), 1), run.step), (None, Step::Review));
        assert!(run.waits_for().unwrap().contains("approve"));
        assert!(run.tell(Word::Accept, "me", "", 1).is_err());
        run.tell(Word::Approve, "me", "fine", 2).unwrap();
        assert!(matches!(run.look(&facts("mirroring"), 2), Some(Action::Backfill { .. })));
        assert_eq!(run.look(&Facts { backfilling: true, backfill_known: true, ..facts("backfilling") }, 3), None);
        assert_eq!(run.look(&facts("synced"), 4), Some(Action::Verify(100)));
        assert_eq!(run.look(&Facts { verifying: true, ..facts("synced") }, 5), None);
        let equal = Facts { verified: Some((true, "OK:5".to_owned())), shadow_percent: 1, ..facts("synced") };
        assert_eq!(run.look(&equal, 6), Some(Action::Shadow(1)));
        assert_eq!(run.look(&equal, 20_000), None, "it waits to be told");
        run.tell(Word::Advance, "me", "", 20_000).unwrap();
        assert!(matches!(run.look(&equal, 20_000), Some(Action::Shift { dwell_s: 60, .. })));
        assert_eq!(run.look(&Facts { shifting: true, ..facts("shifting") }, 21_000), None);
        let shifted = Facts { target_read_percent: 100, ..facts("shifting") };
        assert_eq!((run.look(&shifted, 22_000), run.step), (None, Step::Cutover));
        run.tell(Word::Advance, "me", "", 22_000).unwrap();
        assert_eq!(run.look(&shifted, 22_000), Some(Action::CutOver));
        assert_eq!((run.look(&facts("cutover"), 23_000), run.step), (None, Step::Accept));
        run.tell(Word::Accept, "me", "", 24_000).unwrap();
        assert_eq!(run.look(&facts("cutover"), 24_000), Some(Action::Complete));
        assert_eq!((run.look(&facts("completed"), 25_000), run.step), (None, Step::Completed));
        assert!(run.tell(Word::RollBack, "me", "", 26_000).is_err());
        assert!(run.entries.iter().any(|entry| entry.text == "approved by me: fine"));
    }

    #[test]
    fn an_automatic_run_stops_for_review_and_acceptance_alone() {
        let mut run = run(true);
        run.look(&Facts::default(), 0);
        run.look(&facts("mirroring"), 0);
        run.tell(Word::Approve, "me", "", 0).unwrap();
        run.look(&facts("mirroring"), 0);
        let equal = Facts { verified: Some((true, "OK:5".to_owned())), shadow_percent: 1, ..facts("synced") };
        assert_eq!(run.look(&facts("synced"), 0), Some(Action::Verify(100)));
        run.look(&equal, 0);
        assert_eq!(run.look(&equal, 9_999), None, "it soaks");
        assert!(matches!(run.look(&equal, 10_000), Some(Action::Shift { .. })));
        let shifted = Facts { target_read_percent: 100, ..facts("shifting") };
        assert_eq!(run.look(&shifted, 11_000), Some(Action::CutOver));
        assert_eq!((run.look(&facts("cutover"), 12_000), run.step), (None, Step::Accept));
        assert!(run.waits_for().is_some());
    }

    #[test]
    fn kept_keys_are_neither_compared_nor_read_before_the_cutover() {
        for kept in [0, 3] {
            let mut run = Run::new(Setup { automatic: true, conflict: "none".to_owned(), ..Setup::default() }, "me", 0);
            run.look(&Facts::default(), 0);
            run.look(&facts("mirroring"), 0);
            run.tell(Word::Approve, "me", "", 0).unwrap();
            assert!(matches!(run.look(&facts("mirroring"), 0), Some(Action::Backfill { .. })));
            let ended = Facts { backfill_known: true, kept: Some(kept), ..facts("mirroring") };
            if kept == 0 {
                assert_eq!(run.look(&ended, 1), Some(Action::Verify(100)));
                let equal = Facts { verified: Some((true, "OK:5".to_owned())), ..ended };
                assert_eq!(run.look(&equal, 1), Some(Action::CutOver));
            } else {
                assert_eq!(run.look(&ended, 1), Some(Action::CutOver));
            }
            assert_eq!((run.look(&facts("cutover"), 2), run.step), (None, Step::Accept));
        }
    }

    #[test]
    fn what_blocks_is_told_and_tried_again_when_asked() {
        let mut run = run(true);
        run.look(&Facts::default(), 0);
        let blocked = Facts { blocking: Some(vec!["clocks".to_owned(), "rights".to_owned()]), ..facts("mirroring") };
        run.look(&blocked, 0);
        run.tell(Word::Approve, "me", "", 0).unwrap();
        for now_ms in 0..2 {
            assert_eq!(run.look(&blocked, now_ms), Some(Action::Check), "it may have been mended");
            assert_eq!(run.look(&blocked, now_ms), None);
            assert!(run.waits_for().unwrap().contains("clocks, rights: mend it, or `interlay check --acknowledge"));
            run.tell(Word::Advance, "me", "", now_ms).unwrap();
        }
        assert!(matches!(run.look(&facts("mirroring"), 1), Some(Action::Backfill { .. })));
        run.failed(&Action::CutOver, "no", 2);
        assert_eq!(run.look(&facts("mirroring"), 2), None);
    }

    #[test]
    fn a_run_may_follow_one_that_was_rolled_back() {
        let mut run = run(true);
        run.look(&Facts::default(), 0);
        let mut run = Run { moved: false, ..run };
        assert_eq!((run.look(&facts("rolled-back"), 0), run.step), (None, Step::Review));
        run.tell(Word::Approve, "me", "", 0).unwrap();
        assert!(matches!(run.look(&facts("rolled-back"), 0), Some(Action::Backfill { .. })));
        assert_eq!((run.look(&Facts { backfilling: true, ..facts("backfilling") }, 1), run.step), (None, Step::Backfill));
        assert_eq!((run.look(&facts("rolled-back"), 2), run.step), (None, Step::RolledBack));
    }

    #[test]
    fn replies_that_have_differed_are_told_once() {
        let mut run = run(true);
        (run.step, run.setup.soak_s) = (Step::Monitor, 0);
        let differed = |mismatches| Facts { mismatches, shadow_percent: 1, ..facts("synced") };
        assert_eq!(run.look(&differed(3), 0), Some(Action::Shadow(1)));
        assert_eq!(run.look(&differed(5), 0), None);
        assert!(run.stuck.as_ref().unwrap().starts_with("2 replies"));
        run.tell(Word::Advance, "me", "", 1).unwrap();
        assert_eq!(run.look(&differed(5), 1), Some(Action::Shadow(1)));
        assert!(matches!(run.look(&differed(5), 1), Some(Action::Shift { .. })));
        // The next process counts from nothing, and compares no reads yet.
        (run.step, run.begun, run.setup.soak_s) = (Step::Monitor, true, 10);
        assert_eq!(run.look(&Facts { shadow_percent: 0, ..differed(0) }, 2), Some(Action::Shadow(1)));
        assert_eq!(run.look(&differed(1), 3), None);
        assert!(run.stuck.as_ref().unwrap().starts_with("1 replies"));
    }

    #[test]
    fn a_run_that_was_kept_goes_on_and_what_others_did_is_seen() {
        let mut run = run(false);
        run.look(&Facts::default(), 0);
        let kept = serde_json::to_string(&run).unwrap();
        let mut run: Run = serde_json::from_str(&kept).unwrap();
        assert_eq!((run.look(&facts("cutover"), 5), run.step), (None, Step::Accept), "somebody has cut over by hand");
        assert_eq!(run.tell(Word::RollBack, "me", "", 6), Ok(Some(Action::RollBack)));
        assert_eq!((run.look(&facts("rolled-back"), 7), run.step), (None, Step::RolledBack));
    }

    #[test]
    fn a_setup_says_everything_that_is_wrong_with_it() {
        assert_eq!(Setup::default().problems(), Vec::<String>::new());
        let wrong =
            Setup { policy: "best-effort".into(), strategy: "x".into(), steps: vec![5, 1], verify_percent: 101, ..Setup::default() };
        assert_eq!(wrong.problems().len(), 4);
    }
}
