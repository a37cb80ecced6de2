//! Bad input: what clients send that no client should. Redis's own words come back, byte for byte; a broken client
//! costs its own connection and nobody else's; and what it has sent by half reaches neither server.

mod bad_input {
    mod auth;
    mod clients;
    mod protocol;
    mod session;
    mod twins;
    #[path = "../memory/usage.rs"]
    mod usage;
}
