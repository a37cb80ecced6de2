//! What needs more of a connection than one request and one reply, with many clients at once, while mirroring, under
//! every policy and through faults: queues, transactions, subscriptions, tracking, users, scripts, pauses.
//!
//! That single commands answer as a server does is for `commands.rs`, and client libraries are for `clients.rs`.

mod sessions {
    mod clients;
    mod pipelines;
    mod queue_faults;
    mod queues;
    mod scene;
    mod scripts;
    mod subscribers;
    mod tracking;
    mod transaction_faults;
    mod transactions;
    mod users;
}
