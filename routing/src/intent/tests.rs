//! A model of both lanes against the bitmap: what is open must be marked in the store, after every single step.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// A store that the test can look into, as the next process would.
#[derive(Clone, Debug, Default)]
struct Seen(Rc<RefCell<MemoryStore>>);

impl IntentStore for Seen {
    fn word(&self, n: usize) -> u64 {
        self.0.borrow().word(n)
    }

    fn set_word(&mut self, n: usize, bits: u64) {
        self.0.borrow_mut().set_word(n, bits);
    }
}

impl Seen {
    fn marked(&self) -> BTreeSet<usize> {
        (0..INTENT_WORDS).flat_map(|n| bits(self.word(n)).map(move |bit| n * 64 + bit)).collect()
    }
}

/// What can happen. Keys are bytes, so that they collide.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u8),
    /// The authority answers its oldest write, which has an effect or not.
    Answer(bool),
    /// The secondary answers its oldest effect, as expected or not.
    Confirm(bool),
    /// A client's own connection writes, outside of the order of the lanes.
    WriteAside(u8),
    AnswerAside,
    /// A key becomes dirty out of nowhere: it was written around the interlay.
    Doubt(u8),
    /// The copy of a dirty key is put onto the secondary's lane.
    Copy(u8),
    LoseAuthority,
    LoseSecondary,
    Rotate,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_u8;
    prop_oneof![
        6 => key.clone().prop_map(Step::Write),
        6 => any::<bool>().prop_map(Step::Answer),
        6 => prop::bool::weighted(0.9).prop_map(Step::Confirm),
        1 => key.clone().prop_map(Step::WriteAside),
        1 => Just(Step::AnswerAside),
        1 => key.clone().prop_map(Step::Doubt),
        2 => key.prop_map(Step::Copy),
        1 => Just(Step::LoseAuthority),
        1 => Just(Step::LoseSecondary),
        5 => Just(Step::Rotate),
    ]
}

#[derive(Debug)]
struct Model {
    store: Seen,
    intent: Intent,
    progress: Progress,
    authority: VecDeque<u8>,
    secondary: VecDeque<u8>,
    aside: VecDeque<u8>,
    dirty: BTreeSet<u8>,
}

impl Model {
    fn new() -> Self {
        let store = Seen::default();
        let intent = Intent::new(Box::new(store.clone()));
        let (authority, secondary, aside) = Default::default();
        Self { store, intent, progress: Progress::default(), authority, secondary, aside, dirty: BTreeSet::new() }
    }

    fn doubt(&mut self, key: u8) {
        self.dirty.insert(key);
        self.intent.mark(bucket_of(&[key]));
    }

    fn enqueue(&mut self, key: u8) {
        self.secondary.push_back(key);
        self.progress.effects += 1;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(key) => {
                self.intent.intend(&[key]);
                self.authority.push_back(key);
                self.progress.sent += 1;
            }
            Step::Answer(changed) => {
                if let Some(key) = self.authority.pop_front() {
                    self.progress.answered += 1;
                    if changed && !self.dirty.contains(&key) {
                        self.enqueue(key);
                    }
                }
            }
            Step::Confirm(agrees) => {
                if let Some(key) = self.secondary.pop_front() {
                    self.progress.effects_answered += 1;
                    if !agrees {
                        self.doubt(key);
                    }
                }
            }
            Step::WriteAside(key) => {
                self.intent.intend(&[key]);
                self.aside.push_back(key);
            }
            Step::AnswerAside => {
                if let Some(key) = self.aside.pop_front() {
                    self.doubt(key);
                }
            }
            Step::Doubt(key) => self.doubt(key),
            Step::Copy(key) => {
                if self.dirty.remove(&key) {
                    self.enqueue(key);
                }
            }
            Step::LoseAuthority => {
                for key in std::mem::take(&mut self.authority) {
                    self.progress.answered += 1;
                    self.doubt(key);
                }
            }
            Step::LoseSecondary => {
                for key in std::mem::take(&mut self.secondary) {
                    self.progress.effects_answered += 1;
                    self.doubt(key);
                }
            }
            Step::Rotate => {
                let kept: BTreeSet<usize> = self.dirty.iter().chain(&self.aside).map(|key| bucket_of(&[*key])).collect();
                self.intent.rotate(self.progress, |bucket| kept.contains(&bucket));
            }
        }
    }

    fn open(&self) -> BTreeSet<usize> {
        self.authority.iter().chain(&self.secondary).chain(&self.aside).chain(&self.dirty).map(|key| bucket_of(&[*key])).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_open_is_marked_and_in_the_end_nothing_is(steps in prop::collection::vec(step(), 0..120)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
            let marked = model.store.marked();
            prop_assert!(marked.is_superset(&model.open()), "after {step:?}: {marked:?} lacks some of {:?}", model.open());
            prop_assert_eq!(marked.len(), model.intent.marked());
        }
        while !model.authority.is_empty() {
            model.take(Step::Answer(true));
        }
        while !model.aside.is_empty() {
            model.take(Step::AnswerAside);
        }
        for key in model.dirty.clone() {
            model.take(Step::Copy(key));
        }
        while !model.secondary.is_empty() {
            model.take(Step::Confirm(true));
        }
        model.take(Step::Rotate);
        prop_assert!(model.store.marked().is_empty(), "quiet and clean, and still marked: {:?}", model.store.marked());
    }
}

#[test]
fn one_bucket_that_is_always_written_does_not_keep_the_others() {
    let mut model = Model::new();
    model.take(Step::Write(1));
    model.take(Step::Write(2));
    for _ in 0..4 {
        model.take(Step::Answer(true));
        model.take(Step::Rotate);
        model.take(Step::Confirm(true));
        model.take(Step::Write(2));
    }
    assert_eq!(model.store.marked(), BTreeSet::from([bucket_of(&[2])]));
}

#[test]
fn what_an_earlier_process_left_is_marked_until_it_is_no_longer_kept() {
    let mut store = Seen::default();
    store.set_word(3, 0b101);
    let mut intent = Intent::new(Box::new(store.clone()));
    assert_eq!(intent.marked(), 2);
    for _ in 0..3 {
        intent.rotate(Progress::default(), |_| true);
    }
    assert_eq!(store.marked(), BTreeSet::from([192, 194]));
    intent.rotate(Progress::default(), |bucket| bucket == 194);
    assert_eq!(store.marked(), BTreeSet::from([194]));
}

#[test]
fn everything_is_marked_until_what_was_under_way_is_answered() {
    let mut model = Model::new();
    model.take(Step::Write(1));
    model.intent.mark_everything();
    model.take(Step::Rotate);
    assert_eq!(model.store.marked().len(), BUCKETS);
    model.take(Step::Answer(false));
    model.take(Step::Rotate);
    assert!(model.store.marked().is_empty());
}
