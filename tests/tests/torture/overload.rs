//! More writes than the target takes: memory stays bounded, and both sides become equal afterwards.

use interlay_tests::{Data, FaultProxy, Faults, Launch, Rng, Server, eventually};

use super::client::wide;
use super::scene::{BRISK, Scene};
use super::usage;

const MIB: u64 = 1 << 20;

/// The bounds that the interlay is given for what waits, and what it may take above what it had before.
const BOUNDS: [&str; 6] = ["--effect-queue-bytes-max", "4MiB", "--dirty-keys-max", "20000", "--dirty-bytes-max", "1MiB"];
const GROWTH_MAX: u64 = 64 * MIB;

#[test]
fn target_away_during_full_load() {
    overloaded(|scene, _| {
        scene.target.kill();
        eventually("the target's loss is noticed", || scene.interlay.status()["target"]["connected"] == false);
        run_below_the_bound(scene);
        scene.target.restart(Data::Kept);
    });
}

#[test]
fn target_stopped_during_full_load() {
    overloaded(|scene, _| {
        scene.target.freeze();
        run_below_the_bound(scene);
        scene.target.thaw();
    });
}

#[test]
fn target_slower_than_the_writes() {
    overloaded(|scene, proxy| {
        proxy.set(Faults { bytes_per_second: 200_000, ..Faults::default() });
        run_below_the_bound(scene);
        // Load over. The network is as it was; or what has folded would take minutes.
        proxy.set(Faults::default());
    });
}

fn overloaded(away: fn(&mut Scene, &FaultProxy)) {
    let rng = Rng::printed();
    let (source, target) = (Server::start(), Server::start());
    let proxy = FaultProxy::to(target.port(), &rng);
    let launch = Launch::default().args(["--source", &source.url(), "--target", &proxy.url()]);
    let interlay = launch.args(BRISK).args(BOUNDS).expect_warnings().start();
    let port = interlay.port();
    let mut scene = Scene::start(source, target, interlay, port, &rng, wide);
    scene.clients.go_on_for(5_000);
    away(&mut scene, &proxy);
    scene.converges();
}

/// Runs the load to its end, and looks at the interlay's memory meanwhile.
fn run_below_the_bound(scene: &Scene) {
    let pid = scene.interlay.pid();
    let before = usage::bytes(pid, "VmRSS");
    while scene.goes_on() {
        scene.clients.go_on_for(1_000);
        let grown = usage::bytes(pid, "VmRSS").saturating_sub(before);
        assert!(grown < GROWTH_MAX, "the interlay has grown by {grown} bytes: {:#}", scene.interlay.status());
    }
}
