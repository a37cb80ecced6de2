//! The table is whole.

use std::collections::BTreeSet;

use interlay_tests::{Conn, Rng, Server, is_error, text};

use super::form::Draw;
use super::table::{self, LEFT_OUT, TABLE, WHOLE};

/// Requests in which every row, and every word of it, is met many times.
const REQUESTS: usize = 60_000;

/// The same of those that are drawn once in thousands of times.
const MORE_REQUESTS: usize = 10 * REQUESTS;

/// A name of a command, with that of its subcommand if it has some.
fn name(args: &[Vec<u8>]) -> String {
    let has_subcommands = matches!(&*args[0], b"XGROUP" | b"FUNCTION" | b"SCRIPT");
    text(&args[..if has_subcommands { 2 } else { 1 }].join(&b' '))
}

#[test]
fn every_write_of_the_server_is_in_the_table() {
    let mut draw = Draw::new(Rng::printed());
    let mut names: BTreeSet<String> = LEFT_OUT.iter().map(|(name, _)| (*name).to_owned()).collect();
    for _ in 0..MORE_REQUESTS {
        let form = table::pick(WHOLE, &mut draw.rng);
        names.insert(name(&draw.request(form).args));
    }
    let server = Server::start();
    let mut list = redis::cmd("COMMAND");
    list.arg("LIST").arg("FILTERBY").arg("ACLCAT").arg("write");
    let writes: Vec<String> = list.query(&mut server.client()).expect("the commands that write");
    let known = |name: &&String| names.contains(&name.to_uppercase().replace('|', " "));
    let missing: Vec<_> = writes.iter().filter(|name| !known(name)).collect();
    assert!(writes.len() > 100 && missing.is_empty(), "no row has {missing:?}");
}

#[test]
fn every_row_does_something_now_and_then() {
    let mut draw = Draw::new(Rng::printed());
    let server = Server::start();
    let mut conn = server.conn();
    let mut failing: BTreeSet<_> = TABLE.iter().flat_map(|(_, rows)| *rows).map(|(_, form)| *form).collect();
    for n in 0..MORE_REQUESTS {
        if n >= REQUESTS && failing.is_empty() {
            break;
        }
        let form = table::pick(WHOLE, &mut draw.rng);
        let request = draw.request(form);
        // Waiting takes its time; in a transaction nobody waits.
        let reply = conn.pipeline(&[Conn::encode(["MULTI"]), Conn::encode(&request.args), Conn::encode(["EXEC"])]).swap_remove(2);
        let reply = reply.strip_prefix(b"*1\r\n").unwrap_or(&reply);
        draw.remember(&request, reply);
        if !is_error(reply) {
            failing.remove(form.text);
        }
    }
    assert!(failing.is_empty(), "only errors come of {failing:#?}");
}
