//! Torture: many clients send everything that there is on the same few keys, while servers, connections and the interlay
//! fail; then all is quiet, and both servers hold the same.
//!
//! Each scenario takes some seconds. `INTERLAY_TORTURE_SECONDS` makes it last longer (`make torture`), `INTERLAY_SEED`
//! repeats the choices.

mod torture {
    mod client;
    mod compare;
    mod diary;
    mod faults;
    mod form;
    mod overload;
    mod policies;
    mod scene;
    mod table;
    mod table_tests;
    #[path = "../memory/usage.rs"]
    mod usage;
}
