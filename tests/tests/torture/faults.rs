//! With faults: of the servers, of the network, of the interlay.

use std::path::Path;

use interlay_tests::{Data, FaultProxy, Faults, Interlay, Launch, Rng, Server, eventually};

use super::client::whole;
use super::scene::{BRISK, Scene};

/// A server that has on disk what it has acknowledged.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Replies between two faults, at most.
const CALM: u64 = 4_000;

/// Bytes after which connections to a server break, on average: several times what Interlay asks for when it connects.
const BYTES_PER_CUT: u64 = 300_000;

/// The same for clients' connections: a few hundred requests.
const BYTES_PER_CLIENT: u64 = 60_000;

/// Waits until a side's connection is known to be up, or down.
fn connected(interlay: &Interlay, side: &str, is: bool) {
    eventually(&format!("the {side} is connected: {is}"), || interlay.status()[side]["connected"] == is);
}

#[test]
fn target_that_stops_and_goes_on() {
    let mut rng = Rng::printed();
    let mut scene = Scene::of(&["--effect-timeout-ms", "300"], &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(CALM));
        scene.target.freeze();
        scene.clients.go_on_for(rng.below(4 * CALM));
        if rng.below(2) == 0 {
            connected(&scene.interlay, "target", false);
        }
        scene.target.thaw();
        connected(&scene.interlay, "target", true);
    }
    scene.converges();
}

#[test]
fn source_that_stops_and_goes_on() {
    let mut rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(CALM));
        scene.source.freeze();
        let lag = scene.interlay.number("lag_effects");
        eventually("the target has answered what there was", || scene.interlay.number("lag_effects") == 0 || lag == 0);
        scene.source.thaw();
    }
    scene.converges();
}

#[test]
fn target_that_comes_back_empty() {
    let mut rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(2 * CALM));
        scene.target.kill();
        scene.clients.go_on_for(rng.below(CALM));
        scene.target.restart(Data::Lost);
        connected(&scene.interlay, "target", true);
    }
    scene.converges();
}

#[test]
fn target_that_comes_back_with_old_data() {
    let mut rng = Rng::printed();
    let mut scene = Scene::of(&[], &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(2 * CALM));
        scene.target.save();
        scene.clients.go_on_for(rng.below(CALM));
        scene.target.restart(Data::Kept);
        connected(&scene.interlay, "target", true);
    }
    scene.converges();
}

#[test]
fn source_that_comes_back_with_its_data() {
    source_comes_back(Data::Kept, &DURABLE);
}

#[test]
fn source_that_comes_back_empty() {
    source_comes_back(Data::Lost, &[]);
}

fn source_comes_back(data: Data, args: &[&str]) {
    let mut rng = Rng::printed();
    let (source, target) = (Server::with_args(args), Server::start());
    let interlay = Interlay::mirroring(&source, &target).args(BRISK).expect_warnings().start();
    let port = interlay.port();
    let mut scene = Scene::start(source, target, interlay, port, &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(2 * CALM));
        scene.source.restart(data);
        connected(&scene.interlay, "source", true);
    }
    scene.converges();
}

#[test]
fn connections_to_the_target_that_break() {
    connections_break(&[1]);
}

#[test]
fn connections_to_the_source_that_break() {
    connections_break(&[0]);
}

#[test]
fn connections_to_both_that_break() {
    connections_break(&[0, 1]);
}

#[test]
fn connections_that_break_during_bursts() {
    let (proxies, mut scene, rng) = proxied();
    let mut chance = rng.clone();
    scene.run_in_bursts(&rng, whole, |_, begins| {
        for proxy in &proxies {
            // In a burst there are fewer bytes. Often no lane can be connected while it lasts.
            let faults = Faults { bytes_per_cut: BYTES_PER_CUT / 10 * chance.below(2), ..Faults::default() };
            proxy.set(if begins { faults } else { Faults::default() });
        }
    });
    scene.converges();
}

/// A scene in which only the connections of the sides numbered so, source and target, break.
fn connections_break(sides: &[usize]) {
    let (proxies, mut scene, mut rng) = proxied();
    while scene.goes_on() {
        for side in sides {
            proxies[*side].set(Faults {
                bytes_per_cut: BYTES_PER_CUT * rng.below(3),
                piece_bytes_max: rng.below(2) * 1_000,
                chunks_per_stall: 20,
                stall_ms_max: 20,
                ..Faults::default()
            });
        }
        scene.clients.go_on_for(rng.below(CALM));
    }
    proxies.iter().for_each(|proxy| proxy.set(Faults::default()));
    scene.converges();
}

/// A scene with a network that can be made bad between the interlay and the source, and the target.
fn proxied() -> ([FaultProxy; 2], Scene, Rng) {
    let rng = Rng::printed();
    let (source, target) = (Server::start(), Server::start());
    let proxies = [FaultProxy::to(source.port(), &rng.fork(1)), FaultProxy::to(target.port(), &rng.fork(2))];
    let args = ["--source", &proxies[0].url(), "--target", &proxies[1].url()];
    let interlay = Launch::default().args(args).args(BRISK).expect_warnings().start();
    let port = interlay.port();
    let scene = Scene::start(source, target, interlay, port, &rng, whole);
    (proxies, scene, rng)
}

#[test]
fn clients_that_vanish() {
    let rng = Rng::printed();
    let (source, target) = (Server::start(), Server::start());
    let interlay = Interlay::mirroring(&source, &target).expect_warnings().start();
    let proxy = FaultProxy::to(interlay.port(), &rng);
    proxy.set(Faults { bytes_per_cut: BYTES_PER_CLIENT, piece_bytes_max: 300, ..Faults::default() });
    let port = proxy.port();
    let mut scene = Scene::start(source, target, interlay, port, &rng, whole);
    scene.run();
    proxy.set(Faults::default());
    scene.converges();
}

#[test]
fn interlay_that_is_killed() {
    killed_interlay(|_, _| {});
}

#[test]
fn interlay_that_is_killed_while_the_target_is_away() {
    killed_interlay(|scene, rng| {
        if rng.below(2) == 0 {
            scene.target.freeze();
            scene.clients.go_on_for(rng.below(CALM));
        }
    });
}

/// Kills the interlay again and again, each time after `before`, and starts it with the same state directory.
fn killed_interlay(before: fn(&Scene, &mut Rng)) {
    let mut rng = Rng::printed();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("state");
    let (source, target) = (Server::start(), Server::start());
    let args = ["--state-dir", Path::to_str(&state).expect("a path in ASCII")];
    let interlay = Interlay::mirroring(&source, &target).args(args).args(BRISK).expect_warnings().unready().start();
    // A client finds somebody at this port, whether or not the interlay lives.
    let front = FaultProxy::to(interlay.port(), &rng);
    let mut scene = Scene::start(source, target, interlay, front.port(), &rng, whole);
    while scene.goes_on() {
        scene.clients.go_on_for(rng.below(2 * CALM));
        before(&scene, &mut rng);
        scene.interlay.kill();
        scene.target.thaw();
        scene.interlay.restart();
    }
    connected(&scene.interlay, "target", true);
    scene.converges();
}
