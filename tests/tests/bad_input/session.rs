//! Commands about the client's own connection, which Interlay answers itself, used wrongly.

use super::twins::Twins;

#[test]
fn wrong_arity_gets_redis_s_error() {
    Twins::start().assert_same(
        [
            "SELECT",
            "SELECT 1 2",
            "AUTH",
            "AUTH a b c",
            "CLIENT",
            "CLIENT ID x",
            "CLIENT SETNAME",
            "CLIENT SETNAME a b",
            "CLIENT GETNAME x",
            "RESET x",
            "QUIT x",
        ]
        .map(line),
    );
}

#[test]
fn unknown_subcommands_get_redis_s_error() {
    Twins::start().assert_same(["CLIENT NOSUCH", "CLIENT NOSUCH a b", "client nosuch", "CLIENT \"\"", "CLIENT HELP"].map(line));
}

#[test]
fn select_of_what_is_no_database_leaves_the_database() {
    let twins = Twins::start();
    twins.assert_same(
        [
            "SELECT x",
            "SELECT 99",
            "SELECT -1",
            "SELECT +1",
            "SELECT 01",
            "SELECT 99999999999999999999",
            "SELECT \"\"",
            "SELECT 3\r\nSELECT 99\r\nSET k v\r\nDBSIZE\r\nSELECT 0\r\nDBSIZE",
        ]
        .map(line),
    );
    twins.assert_in_step();
}

#[test]
fn hello_refuses_what_redis_refuses() {
    Twins::start().assert_same(
        [
            "HELLO 1",
            "HELLO 4",
            "HELLO x",
            "HELLO 3x",
            "HELLO 02",
            "HELLO +3",
            "HELLO 99999999999999999999",
            "HELLO \"\"",
            "HELLO 3 NOSUCH",
            "HELLO 3 AUTH a",
            "HELLO 3 SETNAME",
            "HELLO 3 SETNAME \"a b\"",
            "HELLO 3 SETNAME a NOSUCH\r\nCLIENT GETNAME",
            "HELLO 3 AUTH nobody pw",
            "HELLO SETNAME a",
            "HELLO",
            "HELLO 2",
            "HELLO 3",
            "HELLO 3 SETNAME me\r\nCLIENT GETNAME",
            "HELLO 3 SETNAME me AUTH nobody pw\r\nCLIENT GETNAME",
            "HELLO 3\r\nHELLO 4\r\nGET nil\r\nHELLO 2\r\nGET nil",
        ]
        .map(line),
    );
}

#[test]
fn names_follow_redis_s_rules() {
    let bad = ["CLIENT SETNAME \"a b\"", "CLIENT SETNAME \"a\\n\"", "CLIENT SETNAME \"\\xff\"", "CLIENT SETNAME \"\\x7f\""];
    let good = ["CLIENT GETNAME", "CLIENT SETNAME me", "CLIENT SETNAME \"\"", "CLIENT SETNAME ~!"];
    let lines = bad.into_iter().chain(good).map(|name| line(&format!("CLIENT SETNAME before\r\n{name}\r\nCLIENT GETNAME")));
    Twins::start().assert_same(lines);
}

#[test]
fn auth_without_a_password_to_check_gets_redis_s_error() {
    Twins::start().assert_same(["AUTH pw", "AUTH default pw", "AUTH nobody pw", "AUTH \"\\xff\"", "AUTH \"\""].map(line));
}

#[test]
fn quit_and_reset_end_and_begin_a_session() {
    let twins = Twins::start();
    twins.assert_same(
        [
            "QUIT",
            "SET k 1\r\nQUIT\r\nSET k 2",
            "SELECT 3\r\nCLIENT SETNAME me\r\nHELLO 3\r\nRESET\r\nCLIENT GETNAME\r\nSET k 3\r\nSELECT 3\r\nEXISTS k",
        ]
        .map(line),
    );
    twins.assert_in_step();
}

fn line(text: &str) -> String {
    format!("{text}\r\n")
}
