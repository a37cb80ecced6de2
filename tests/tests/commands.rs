//! Every command of the installed server gets the same replies through Interlay as from the server itself: in
//! passthrough and while mirroring, in RESP2 and RESP3.
//!
//! `commands/data.rs` and `commands/server.rs` are the table, a row a command; `commands/differences.rs` is the list of what
//! differs on purpose.

mod commands {
    mod compare;
    mod data;
    mod differences;
    mod row;
    mod scenes;
    mod sequences;
    mod server;
    mod tests;
    mod worlds;
}
