//! The table's rows, and calls made from them, in every world.

use std::collections::{BTreeMap, BTreeSet};

use interlay_tests::{Conn, Server, is_error, text};
use redis::Value;

use super::compare::Likeness;
use super::differences::{DIFFERENCES, Difference, is_listed};
use super::row::{self, Row};
use super::worlds::Protocol::{Resp2, Resp3};
use super::worlds::{Batch, Sent, Worlds};

/// Keys of every type, and none.
const KINDS: [&str; 7] = ["str", "list", "set", "zset", "hash", "stream", "none"];

/// As many arguments as no command with a fixed number of them has.
const MANY: usize = 60;

fn rows() -> impl Iterator<Item = &'static Row> {
    super::data::ROWS.iter().chain(super::server::ROWS)
}

#[test]
fn every_command_has_a_row() {
    let server = Server::start();
    let without: Vec<_> = arities(&server).into_keys().filter(|name| rows().all(|row| row.name != name)).collect();
    assert!(without.is_empty(), "commands without a row in the table: {without:?}");
}

#[test]
fn calls_instead_of_those_left_out_fail() {
    let server = Server::start();
    for row in rows().filter(|row| row.left_out.is_some()) {
        for call in row::calls(row.calls) {
            let reply = server.call(&call);
            assert!(is_error(&reply), "{call:?} succeeds, though {:?}: {}", row.left_out, text(&reply));
        }
    }
}

#[test]
fn differences_listed_are_there() {
    let worlds = Worlds::start();
    for Difference { begins, example, why } in DIFFERENCES {
        let calls: Vec<_> = row::calls(example).iter().map(Conn::encode).collect();
        let batch = Batch { name: (*begins).to_owned(), calls: vec![calls.concat()], likeness: Likeness::Bytes, sent: Sent::Whole };
        let unlike = worlds.unlike(Resp2, &[batch]);
        assert!(unlike.iter().any(|(request, _)| is_listed(request)), "{example} gets the server's reply, though: {why}");
    }
}

#[test]
fn calls_get_the_servers_replies_in_resp2() {
    let batches: Vec<_> = rows().map(|row| Batch::marked(row.name, row::calls(row.calls), row.likeness)).collect();
    Worlds::start().assert_alike(&[Resp2], &batches);
}

#[test]
fn calls_in_mixed_case_get_the_servers_replies_in_resp3() {
    let mixed = |mut call: Vec<String>| {
        call[0] = call[0].chars().enumerate().map(|(at, char)| if at % 2 == 0 { char.to_ascii_lowercase() } else { char }).collect();
        call
    };
    let batches: Vec<_> = rows().map(|row| Batch::marked(row.name, row::calls(row.calls).into_iter().map(mixed), row.likeness)).collect();
    Worlds::start().assert_alike(&[Resp3], &batches);
}

#[test]
fn calls_in_a_transaction_get_the_servers_replies() {
    let worlds = Worlds::start();
    let rows = rows().filter(|row| !row.alone);
    let batches: Vec<_> = rows
        .map(|row| {
            let whole = |call: Vec<String>| [Conn::encode(["MULTI"]), Conn::encode(call), Conn::encode(["EXEC"])].concat();
            let calls = row::calls(row.calls).into_iter().map(whole).collect();
            Batch { name: row.name.to_owned(), calls, likeness: row.likeness, sent: Sent::Marked }
        })
        .collect();
    worlds.assert_alike(&[Resp2, Resp3], &batches);
}

#[test]
fn keys_of_every_type_get_the_servers_replies() {
    let worlds = Worlds::start();
    let mut conn = worlds.alone().conn();
    let mut batches = Vec::new();
    for row in rows().filter(|row| !row.alone) {
        for call in row::calls(row.calls).into_iter().filter(|call| is_of(call, row.name)).take(2) {
            let keys = conn.call(["COMMAND", "GETKEYS"].into_iter().chain(call.iter().map(String::as_str)));
            if is_error(&keys) {
                continue;
            }
            for place in (1..call.len()).filter(|place| holds(&keys, &call[*place])) {
                let calls = KINDS.map(|kind| {
                    let mut call = call.clone();
                    kind.clone_into(&mut call[place]);
                    call
                });
                batches.push(Batch::marked(row.name, calls, row.likeness));
            }
        }
    }
    worlds.assert_alike(&[Resp2, Resp3], &batches);
}

#[test]
fn wrong_arity_gets_the_servers_error() {
    let worlds = Worlds::start();
    let arities = arities(worlds.alone());
    let batches: Vec<_> = arities
        .iter()
        .map(|(name, arity)| {
            let words: Vec<String> = name.split('|').map(str::to_owned).collect();
            let with = |args: usize| words.iter().cloned().chain((0..args).map(|arg| arg.to_string())).collect::<Vec<_>>();
            let wrong = |argc: usize| if *arity < 0 { argc < arity.unsigned_abs() } else { argc != arity.unsigned_abs() };
            let calls = [0, 1, 2, MANY].map(with).into_iter().filter(|call| wrong(call.len()));
            Batch::marked(name, calls, Likeness::Bytes)
        })
        .collect();
    worlds.assert_alike(&[Resp2, Resp3], &batches);
}

#[test]
fn unknown_commands_get_the_servers_error() {
    let worlds = Worlds::start();
    let long = "x".repeat(300);
    let unknown: Vec<Vec<&str>> = vec![
        vec!["NOSUCH"],
        vec!["nosuch", "a", "b c", ""],
        vec![""],
        vec!["", "a"],
        vec!["GE"],
        vec!["GETT", "str"],
        vec!["GET ", "str"],
        vec!["GET\r\n", "str"],
        vec!["CLIENT|ID"],
        vec![&long],
        vec![&long, &long, &long],
        vec!["nosuch", &long, "b"],
        vec!["nosuch", "quote'\"", "line\r\n"],
        vec!["MULTI|EXEC"],
    ];
    let arities = arities(worlds.alone());
    let containers: BTreeSet<&str> = arities.keys().filter_map(|name| name.split_once('|')).map(|(container, _)| container).collect();
    let of_containers = containers.into_iter().map(|container| {
        let calls = [vec![container, "nosuch"], vec![container, "NoSuch", "a", ""], vec![container, ""], vec![container, &long]];
        Batch::marked(container, calls, Likeness::Bytes)
    });
    let batches: Vec<_> = std::iter::once(Batch::marked("unknown", unknown, Likeness::Bytes)).chain(of_containers).collect();
    worlds.assert_alike(&[Resp2, Resp3], &batches);
}

/// Every command and subcommand of a server with its arity, as `COMMAND` tells. A container is none, unless it can be
/// called by itself.
fn arities(server: &Server) -> BTreeMap<String, isize> {
    let Value::Array(commands) = redis::cmd("COMMAND").query(&mut server.client()).expect("COMMAND") else { panic!("COMMAND's reply") };
    let mut arities = BTreeMap::new();
    for command in &commands {
        add(command, &mut arities);
    }
    arities
}

fn add(command: &Value, arities: &mut BTreeMap<String, isize>) {
    let Value::Array(fields) = command else { panic!("a command of COMMAND: {command:?}") };
    let name: String = redis::from_redis_value_ref(&fields[0]).expect("a name");
    let arity: isize = redis::from_redis_value_ref(&fields[1]).expect("an arity");
    let subcommands: &[Value] = if let Some(Value::Array(subcommands)) = fields.get(9) { subcommands } else { &[] };
    if subcommands.is_empty() || arity == -1 {
        arities.insert(name, arity);
    }
    for subcommand in subcommands {
        add(subcommand, arities);
    }
}

/// Whether a call is of the command with this full name.
fn is_of(call: &[String], name: &str) -> bool {
    name.split('|').zip(call).all(|(name, word)| name.eq_ignore_ascii_case(word))
}

/// Whether a flat array of bulk strings has this one.
fn holds(keys: &[u8], key: &str) -> bool {
    let bulk = format!("${}\r\n{key}\r\n", key.len());
    keys.windows(bulk.len()).any(|window| window == bulk.as_bytes())
}
