//! `interlay migrate`: a copy without a listener, once and live.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use interlay_tests::{Interlay, Server, assert_equal, eventually};

fn fill(server: &Server) {
    for n in 0..300 {
        server.call(["SET", &format!("string{n}"), "v", "EX", "5000"]);
        server.call(["HSET", &format!("hash{n}"), "a", "1", "b", "2"]);
        server.call(["XADD", &format!("stream{n}"), "1-1", "f", "v"]);
    }
}

#[test]
fn everything_is_copied_and_compared() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source);
    let said = Interlay::command(&["migrate", "--source", &source.url(), "--target", &target.url()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("OK:900 V:0 >:0 <:0 T:0"), "{said:?}");
    assert_equal(&source, &target);
}

#[test]
fn what_blocks_is_told_and_nothing_is_copied() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source);
    target.call(["SET", "stranger", "v"]);
    let said = Interlay::command(&["migrate", "--source", &source.url(), "--target", &target.url()]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("target-not-empty") && said.stderr.contains("nothing was copied"), "{said:?}");
    assert_eq!(target.call(["DBSIZE"]), b":1\r\n");
    let said = Interlay::command(&["migrate", "--force", "--source", &source.url(), "--target", &target.url()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_equal(&source, &target);
}

#[test]
fn live_follows_what_others_write_until_told_to_stop() {
    let (source, target) = (Server::start(), Server::start());
    fill(&source);
    let mut child = Command::new(interlay_tests::binary())
        .args(["migrate", "--live", "--source", &source.url(), "--target", &target.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("interlay runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("is followed")), "every key is copied");
    source.call(["SET", "later", "v"]);
    source.call(["HDEL", "hash1", "a"]);
    source.call(["DEL", "stream1"]);
    eventually("what others write is followed", || {
        target.call(["EXISTS", "later"]) == b":1\r\n"
            && target.call(["HLEN", "hash1"]) == b":1\r\n"
            && target.call(["EXISTS", "stream1"]) == b":0\r\n"
    });
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let said: Vec<_> = lines.collect();
    let output = child.wait_with_output().expect("it ends");
    let equal = said.iter().any(|line| line.starts_with("OK:900 V:0"));
    assert!(output.status.success() && equal, "{said:?}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&source, &target);
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let source = Server::start();
    let said = Interlay::command(&["migrate", "--source", &source.url()]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("target"), "{said:?}");
}
