//! What depends on the clock, on chance or on what only one server knows reaches the other server exactly: in RESP2 and in
//! RESP3, alone and inside a transaction.
//!
//! That everything else does is for `mirror.rs` and `commands.rs`.

mod effects {
    mod forms;
    mod scene;
    mod sorted;
}
