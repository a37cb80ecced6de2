//! A source that wants a password: what a client may do before it has given it.

use interlay_tests::{Launch, Server, eventually, text};

use super::twins::{PASSWORD, Twins};

#[test]
fn nothing_but_auth_is_carried_out_before_auth() {
    Twins::with_password().assert_same([
        "PING\r\n",
        "GET k\r\nSET k v\r\nDBSIZE\r\n",
        "SELECT 1\r\nCLIENT ID\r\nCLIENT SETNAME a\r\nCLIENT GETNAME\r\nCOMMAND COUNT\r\nMULTI\r\n",
        "HELLO\r\nHELLO 2\r\nHELLO 3\r\nHELLO 4\r\nHELLO x\r\nHELLO 3 SETNAME a\r\n",
        "QUIT\r\n",
        "RESET\r\nPING\r\n",
        "AUTH\r\nAUTH a b c\r\n",
    ]);
}

#[test]
fn unknown_commands_and_wrong_arity_come_before_authentication() {
    Twins::with_password().assert_same(["NOSUCH a\r\n", "GET\r\n", "GET a b\r\n", "CLIENT NOSUCH\r\n", "CLIENT\r\n", "SELECT\r\n"]);
}

#[test]
fn right_password_opens_and_a_wrong_one_does_not() {
    let twins = Twins::with_password();
    twins.assert_same([
        "AUTH wrong\r\nGET k\r\n",
        "AUTH default wrong\r\nGET k\r\n",
        "AUTH nobody sesame\r\nGET k\r\n",
        "AUTH \"\\xff\\xfe\"\r\nGET k\r\n",
        "AUTH sesame\r\nSET k 1\r\nGET k\r\n",
        "AUTH default sesame\r\nGET k\r\n",
        "AUTH wrong\r\nAUTH sesame\r\nGET k\r\n",
        "AUTH sesame\r\nAUTH wrong\r\nGET k\r\n",
        "AUTH sesame\r\nRESET\r\nGET k\r\n",
        "HELLO 3 AUTH default sesame\r\nGET nil\r\n",
        "HELLO 3 AUTH default sesame SETNAME me\r\nCLIENT GETNAME\r\n",
        "HELLO 3 AUTH default wrong\r\nGET nil\r\n",
        "HELLO 3 AUTH default wrong SETNAME me\r\nAUTH sesame\r\nCLIENT GETNAME\r\nGET nil\r\n",
        "AUTH sesame\r\nHELLO 3\r\nGET nil\r\n",
    ]);
    twins.assert_in_step();
}

#[test]
fn limits_are_narrow_before_authentication_and_wide_behind_it() {
    let arguments = |count: usize| format!("*{}\r\n$4\r\nMGET\r\n{}", count + 1, "$1\r\nk\r\n".repeat(count));
    let bytes = |count: usize| format!("*2\r\n$4\r\nECHO\r\n${count}\r\n{}\r\n", "x".repeat(count));
    let before = [arguments(9), arguments(10), arguments(100), bytes(16_384), bytes(16_385), bytes(100_000)];
    let behind = before.clone().map(|request| format!("AUTH {PASSWORD}\r\n{request}"));
    Twins::with_password().assert_same(before.into_iter().chain(behind));
}

#[test]
fn requests_pipelined_behind_auth_wait_for_its_verdict() {
    let twins = Twins::with_password();
    let mut conn = twins.interlay().conn();
    conn.send(format!("AUTH {PASSWORD}\r\n{}", "INCR n\r\n".repeat(1000)));
    assert_eq!(conn.reply(), b"+OK\r\n");
    for n in 1..=1000 {
        assert_eq!(conn.reply(), format!(":{n}\r\n").into_bytes());
    }
}

#[test]
fn users_are_served_with_their_own_rights_where_the_default_user_may_do_nothing() {
    let (source, target) = (Server::start(), Server::start());
    let mut admin = source.conn();
    for user in
        [&["app", "on", ">pw", "~*", "&*", "+@all"][..], &["other", "on", ">pw2", "~o*", "+@all", "-flushall"], &["default", "-@all"]]
    {
        assert_eq!(admin.call([&["ACL", "SETUSER"], user].concat()), b"+OK\r\n");
    }
    let url = format!("redis://app:pw@127.0.0.1:{}", source.port());
    let interlay = Launch::default().args(["--source", &url, "--target", &target.url()]).start();
    let mut conn = interlay.conn();
    let unauthenticated = "-NOAUTH Authentication required.\r\n";
    assert_eq!(text(&conn.call(["SET", "k", "v"])), text(unauthenticated.as_bytes()));
    assert!(conn.call(["AUTH", "other", "wrong"]).starts_with(b"-WRONGPASS"));
    assert_eq!(text(&conn.call(["SET", "k", "v"])), text(unauthenticated.as_bytes()));
    for (user, password, key) in [("other", "pw2", "o"), ("app", "pw", "k")] {
        assert_eq!(text(&conn.call(["AUTH", user, password])), text(b"+OK\r\n"));
        assert_eq!(text(&conn.call(["SET", key, user])), text(b"+OK\r\n"));
        let elsewhere = conn.call(["SET", "k", "v"]);
        assert_eq!(elsewhere.starts_with(b"-NOPERM"), user == "other", "{}", text(&elsewhere));
        assert_eq!(conn.call(["FLUSHALL"]).starts_with(b"-NOPERM"), user == "other");
    }
    assert_eq!(text(&conn.call(["AUTH", "default", "any"])), text(b"+OK\r\n"));
    assert!(conn.call(["SET", "k", "v"]).starts_with(b"-NOPERM"));
    assert_eq!(text(&conn.call(["AUTH", "other", "pw2"])), text(b"+OK\r\n"));
    assert_eq!(text(&conn.call(["SET", "o", "mirrored"])), text(b"+OK\r\n"));
    interlay.settled();
    assert_eq!(target.call(["GET", "o"]), b"$8\r\nmirrored\r\n");
}

#[test]
fn password_of_a_source_that_is_down_still_guards_the_target_s_data() {
    let (mut source, target) = (Server::start(), Server::start());
    assert_eq!(target.call(["SET", "k", "secret"]), b"+OK\r\n");
    source.kill();
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", source.port());
    let args = ["--source", &url, "--target", &target.url(), "--policy", "target-authoritative"];
    let interlay = Launch::default().args(args).expect_warnings().unready().start();
    eventually("the target is connected", || interlay.status()["target"]["connected"] == true);
    let mut conn = interlay.conn();
    for request in [&["GET", "k"][..], &["SET", "k", "v"], &["KEYS", "*"]] {
        assert_eq!(text(&conn.call(request)), text(b"-NOAUTH Authentication required.\r\n"), "{request:?}");
    }
    assert_eq!(target.call(["GET", "k"]), b"$6\r\nsecret\r\n");
}
