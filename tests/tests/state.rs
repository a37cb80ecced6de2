//! The state directory: what cannot be relied upon is refused at the start, in words that say what to do.

use std::fs;
use std::path::Path;

use interlay_tests::{Interlay, Launch, Said, Server, free_port};
use tempfile::TempDir;

/// Both files of a state directory.
const FILES: [&str; 2] = ["identity.toml", "intent.bits"];

fn launch(source: &Server, target: &Server, state: &Path) -> Launch {
    Interlay::mirroring(source, target).args(["--state-dir", &state.display().to_string()])
}

/// Starts an interlay that is expected to end at once, and returns why it says it has.
fn refused(source: &Server, target: &Server, state: &Path) -> String {
    let address = || format!("127.0.0.1:{}", free_port());
    let (listen, admin, state) = (address(), address(), state.display().to_string());
    let servers = ["--source", &source.url(), "--target", &target.url()];
    let Said { code, stderr, .. } =
        Interlay::command(&[&["serve", "--listen", &listen, "--admin", &admin, "--state-dir", &state], &servers[..]].concat());
    assert_eq!(code, 1, "{stderr}");
    let (_, reason) = stderr.split_once("ERROR ended error=").expect("a reason");
    reason.to_owned()
}

/// The same directory as one that a killed interlay has left.
fn copy(state: &Path) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    for file in FILES {
        fs::copy(state.join(file), dir.path().join(file)).expect("a file of the state directory");
    }
    dir
}

#[test]
fn a_state_directory_that_cannot_be_relied_upon_is_refused() {
    let (source, target) = (Server::start(), Server::start());
    let left = TempDir::new().expect("a folder");
    launch(&source, &target, left.path()).start().kill();
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 7] = [
        ("identity.toml", |file| fs::remove_file(file).expect("a file"), "is missing"),
        ("identity.toml", |file| fs::write(file, "").expect("a file"), "does not begin as such a file does"),
        ("identity.toml", |file| edit(file, |bytes| bytes[20] ^= 1), "does not match its checksum"),
        ("intent.bits", |file| fs::remove_file(file).expect("a file"), "is missing"),
        ("intent.bits", |file| edit(file, |bytes| bytes.truncate(100)), "has 100 bytes instead of 12288"),
        ("intent.bits", |file| edit(file, |bytes| bytes[0] = 0), "does not begin as such a file does"),
        ("intent.bits", |file| edit(file, |bytes| bytes[17] ^= 1), "does not match its checksum"),
    ];
    for (name, damage, words) in cases {
        let state = copy(left.path());
        let file = state.path().join(name);
        damage(&file);
        let said = refused(&source, &target, state.path());
        let expected = format!("{} {words}", file.display());
        assert!(said.contains(&expected) && said.contains("interlay repair --all"), "{expected}: {said}");
        // Twice the same: a refusal mends nothing.
        assert_eq!(refused(&source, &target, state.path()), said);
    }
}

fn edit(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).expect("a file");
    change(&mut bytes);
    fs::write(file, bytes).expect("a file");
}

#[test]
fn a_state_directory_of_other_servers_is_refused() {
    let (source, target, other) = (Server::start(), Server::start(), Server::start());
    let state = TempDir::new().expect("a folder");
    launch(&source, &target, state.path()).start().kill();
    for (source, target, words) in [(&other, &target, "is of the source"), (&source, &other, "is of the target")] {
        let said = refused(source, target, state.path());
        assert!(said.contains(words) && said.contains("Name this pair's own directory"), "{said}");
    }
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let (source, target) = (Server::start(), Server::start());
    let state = TempDir::new().expect("a folder");
    fs::write(state.path().join("notes.txt"), "mine").expect("a file");
    let said = refused(&source, &target, state.path());
    assert!(said.contains("notes.txt") && said.contains("it is not Interlay's"), "{said}");
}

#[test]
fn two_interlays_cannot_share_a_state_directory_and_a_killed_one_leaves_it_free() {
    let (source, target) = (Server::start(), Server::start());
    let state = TempDir::new().expect("a folder");
    let mut interlay = launch(&source, &target, state.path()).expect_warnings().start();
    let said = refused(&source, &target, state.path());
    assert!(said.contains("is in use by another process"), "{said}");
    interlay.restart();
    assert_eq!(interlay.conn().call(["SET", "k", "v"]), b"+OK\r\n");
}
