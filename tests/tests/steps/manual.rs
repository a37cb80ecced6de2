//! A move by hand, with one fault in the middle of each of its steps.

use interlay_tests::{Said, eventually};
use serde_json::json;

use super::fault::Fault;
use super::scene::{Scene, says_what_to_do};

/// Tests share their machine: what it is slow by is no trouble.
const PATIENT: &str = "--max-latency-ms 60000";

/// A whole move, with a fault in each step.
fn moves(fault: Fault) {
    let mut scene = Scene::start();
    for (step, go) in STEPS {
        eprintln!("{fault:?} in {step}");
        scene.write_on();
        go(&mut scene, fault);
        scene.proves_itself();
    }
}

type Step = (&'static str, fn(&mut Scene, Fault));

const STEPS: [Step; 6] = [
    ("backfill", backfill),
    ("verify", verify),
    ("shift", shift),
    ("cutover", |scene, fault| change(scene, fault, "cutover")),
    ("rollback", |scene, fault| change(scene, fault, "rollback")),
    ("complete", complete),
];

fn is_over(said: &Said, fault: Fault) {
    eprintln!("    {}: {}{}", said.code, said.stdout.trim(), said.stderr.trim());
    says_what_to_do(said);
    assert!(said.code != 3 || fault == Fault::KillInterlay, "{said:?}");
}

fn backfill(scene: &mut Scene, fault: Fault) {
    let command = scene.beside("backfill --keys-per-s 3000");
    eventually("it copies", || scene.interlay.get("/api/v1/backfill").json()["keys_copied"].as_u64() > Some(200));
    let lasting = fault.begin(scene);
    if fault != Fault::KillInterlay {
        scene.noticed(fault);
        assert_eq!(scene.interlay.get("/api/v1/backfill").json()["state"], "running");
    }
    lasting.end(scene);
    let said = command.join().expect("it ends");
    is_over(&said, fault);
    if fault == Fault::KillInterlay {
        assert_eq!(scene.interlay.get("/api/v1/backfill").json()["resumed"], 1);
    } else {
        assert_eq!(said.code, 0, "{said:?}");
    }
    scene.insist("backfill wait");
    assert_eq!(scene.phase(), "synced");
}

fn verify(scene: &mut Scene, fault: Fault) {
    let command = loop {
        let command = scene.beside("verify");
        let compares = || scene.interlay.get("/api/v1/verify").body.contains("\"state\":\"scanning");
        eventually("it compares", || compares() || command.is_finished());
        scene.target.freeze();
        if compares() {
            break command;
        }
        // It was quicker than this test.
        scene.target.thaw();
        assert_eq!(command.join().expect("it ends").code, 0);
    };
    let lasting = scene.strike(fault, "target");
    lasting.end(scene);
    let said = command.join().expect("it ends");
    is_over(&said, fault);
    if fault != Fault::KillInterlay {
        assert_eq!(said.code, 0, "{said:?}");
    }
    scene.insist("verify");
}

fn shift(scene: &mut Scene, fault: Fault) {
    let plan = "/api/v1/traffic/plan";
    eventually("every key is copied", || scene.phase() == "synced");
    let wanted = json!({"steps": [10, 50], "dwell_ms": 600_000, "max_latency_ms": 60_000});
    assert_eq!(scene.interlay.put(plan, &wanted).code, 200);
    eventually("the first step holds", || scene.interlay.get(plan).json()["step"] == 1);
    let lasting = fault.begin(scene);
    if fault != Fault::KillInterlay {
        eventually("reads go back to the source", || scene.interlay.get(plan).json()["state"] == "trouble");
        eprintln!("    {}", scene.interlay.get(plan).json()["reason"]);
    }
    lasting.end(scene);
    let left = if fault == Fault::KillInterlay { 10 } else { 0 };
    assert_eq!(scene.interlay.number("target_read_percent"), left);
    scene.connected();
    scene.insist(&format!("traffic --gradual --steps 20,100 --dwell-s 0.05 {PATIENT}"));
    assert_eq!(scene.interlay.number("target_read_percent"), 100);
}

fn change(scene: &mut Scene, fault: Fault, what: &str) {
    let (before, after) = scene.sides();
    scene.server(after).freeze();
    let command = scene.beside(what);
    eventually("the gate is closed", || {
        command.is_finished() || scene.interlay.get("/api/v1/gate").body.contains("a change of the authority is under way")
    });
    assert!(!command.is_finished(), "{:?}", command.join());
    let lasting = scene.strike(fault, after);
    let told = if fault == Fault::KillInterlay { None } else { Some(command.join().expect("it ends")) };
    let now = told.as_ref().map(|_| scene.sides().0);
    lasting.end(scene);
    scene.connected();
    if let Some((said, now)) = told.zip(now) {
        is_over(&said, fault);
        assert_eq!(now == after, said.code == 0, "it is as it says: {said:?}");
        // A server that was frozen hears of the rest when it goes on, and may have answered by then.
        let hears_late = fault == Fault::FillTarget || (fault.locks() && fault.side() == Some(after));
        assert!(hears_late || (said.code == 1 && said.stderr.contains("was lost meanwhile")), "{said:?}");
    }
    if scene.sides().0 == before {
        scene.insist(what);
    }
    assert_eq!(scene.sides().0, after);
}

fn complete(scene: &mut Scene, fault: Fault) {
    scene.insist("cutover");
    scene.write_on();
    scene.proves_itself();
    let command = (fault == Fault::KillInterlay).then(|| scene.beside("complete"));
    let lasting = fault.begin(scene);
    let said = match command {
        Some(command) => command.join().expect("it ends"),
        None => {
            scene.noticed(fault);
            let said = scene.beside("complete").join().expect("it ends");
            let needs = fault.disconnects() && fault.side() == Some("target");
            assert_eq!(said.code, i32::from(needs), "{said:?}");
            said
        }
    };
    is_over(&said, fault);
    lasting.end(scene);
    scene.connected();
    if scene.phase() != "completed" {
        scene.insist("complete");
    }
    scene.write_on();
}

macro_rules! moves_with {
    ($($name:ident: $fault:ident,)*) => {
        $(#[test] fn $name() { moves(Fault::$fault); })*
    };
}

moves_with! {
    source_that_is_killed: KillSource,
    target_that_is_killed: KillTarget,
    interlay_that_is_killed: KillInterlay,
    network_to_the_source_that_is_cut: CutSource,
    network_to_the_target_that_is_cut: CutTarget,
    target_that_is_full: FillTarget,
    source_whose_password_changes: LockSource,
    target_whose_password_changes: LockTarget,
}
