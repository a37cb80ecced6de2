//! A guided move, with one fault in the middle of each step of the run.

use interlay_tests::eventually;
use serde_json::Value;

use super::fault::Fault;
use super::scene::{Scene, says_what_to_do};

/// Steps in order, and the word that each waits for, if it does.
const STEPS: [(&str, Option<&str>); 9] = [
    ("prepare", None),
    ("review", Some("approve")),
    ("backfill", None),
    ("verify", None),
    ("monitor", Some("advance")),
    ("shift", None),
    ("cutover", Some("advance")),
    ("accept", Some("accept")),
    ("completed", None),
];

fn view(scene: &Scene) -> Value {
    scene.interlay.get("/api/v1/workflow").json()
}

/// The place of the run's step among [`STEPS`].
fn at(view: &Value) -> usize {
    STEPS.iter().position(|(step, _)| view["step"] == *step).unwrap_or_else(|| panic!("the run has gone astray: {view:#}"))
}

/// Says a word; the run may not wait for it.
fn say(scene: &Scene, word: &str) {
    says_what_to_do(&scene.beside(&format!("workflow {word}")).join().expect("an answer"));
}

/// Says whatever the run needs to come to a step.
fn drive(scene: &Scene, to: usize) {
    eventually(&format!("the run comes to {}", STEPS[to].0), || {
        let view = view(scene);
        let now = at(&view);
        if now >= to {
            return true;
        }
        if let Some(stuck) = view["stuck"].as_str() {
            eprintln!("    stuck: {stuck}");
            assert!(view["waits_for"].as_str().is_some_and(|words| words.contains("`interlay workflow advance` tries again")), "{view:#}");
            say(scene, "advance");
        } else if view["waits_for"].is_string() {
            STEPS[now].1.iter().for_each(|word| say(scene, word));
        }
        false
    });
}

/// A whole run, with a fault in each step; where it waits for a word, the word is said while the fault lasts.
fn is_guided(fault: Fault) {
    let mut scene = Scene::start();
    scene.write_on();
    let begun = scene.beside("workflow start --soak-s 0 --steps 50,100 --dwell-s 1 --shadow 50").join().expect("an answer");
    assert_eq!(begun.code, 0, "{begun:?}");
    for (to, (step, word)) in STEPS.iter().enumerate().take(STEPS.len() - 1) {
        drive(&scene, to);
        if *step == "accept" {
            scene.proves_itself();
        }
        eprintln!("{fault:?} in {step}");
        let lasting = fault.begin(&mut scene);
        if fault != Fault::KillInterlay {
            scene.noticed(fault);
            if *step == "prepare" {
                eventually("the check has met it", || at(&view(&scene)) > to);
            }
            word.iter().for_each(|word| say(&scene, word));
        }
        lasting.end(&mut scene);
        scene.connected();
        scene.write_on();
    }
    drive(&scene, STEPS.len() - 1);
    scene.write_on();
    scene.proves_itself();
    assert_eq!(scene.phase(), "completed");
}

macro_rules! is_guided_with {
    ($($name:ident: $fault:ident,)*) => {
        $(#[test] fn $name() { is_guided(Fault::$fault); })*
    };
}

is_guided_with! {
    source_that_is_killed: KillSource,
    target_that_is_killed: KillTarget,
    interlay_that_is_killed: KillInterlay,
    network_to_the_source_that_is_cut: CutSource,
    network_to_the_target_that_is_cut: CutTarget,
    target_that_is_full: FillTarget,
    source_whose_password_changes: LockSource,
    target_whose_password_changes: LockTarget,
}
