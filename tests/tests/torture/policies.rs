//! Without faults.

use interlay_tests::Rng;

use super::client::{Source, Told, plain, rewritten, whole};
use super::scene::Scene;

/// Asserts that nobody was told of a fault.
fn assert_served(told: &Told) {
    let interlays: Vec<_> = told.errors.keys().filter(|error| error.contains("interlay")).collect();
    assert!(interlays.is_empty() && told.lost == 0, "clients were told {interlays:#?}, and {} lost their connection", told.lost);
}

#[test]
fn what_is_repeated_is_answered_alike() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, plain);
    scene.run();
    assert_served(&scene.converges());
    assert_eq!(scene.interlay.number("mismatches"), 0, "{:#}", scene.interlay.status());
}

#[test]
fn what_is_rewritten_converges() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, rewritten);
    scene.run();
    assert_served(&scene.converges());
}

#[test]
fn bursts_of_what_is_rewritten() {
    bursts(rewritten);
}

#[test]
fn bursts_of_everything() {
    bursts(whole);
}

fn bursts(requests: Source) {
    let rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, requests);
    scene.run_in_bursts(&rng, requests, |_, _| {});
    assert_served(&scene.converges());
}

#[test]
fn a_difference_is_seen() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, plain);
    scene.clients.go_on_for(1_000);
    assert_served(&scene.converges());
    assert_eq!(scene.target.call(["SET", "k1", "written around the interlay"]).first(), Some(&b'+'));
    let report = scene.difference().expect("one key differs");
    assert!(report.starts_with("1 of") && report.contains("db 0 key k1\n") && report.contains("written around"), "{report}");
}

#[test]
fn source_authoritative() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, whole);
    scene.run();
    assert_served(&scene.converges());
}

#[test]
fn target_authoritative() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&["--policy", "target-authoritative"], &rng, whole);
    scene.run();
    assert_served(&scene.converges());
}

#[test]
fn both_required() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&["--policy", "both-required"], &rng, whole);
    scene.run();
    assert_eq!(scene.converges().lost, 0);
}

#[test]
fn best_effort() {
    let rng = Rng::printed();
    let mut scene = Scene::of(&["--policy", "best-effort"], &rng, whole);
    scene.run();
    // It forgets failures, so the sides may differ.
    assert_served(&scene.stop());
}
