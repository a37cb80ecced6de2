//! Faults: servers that go down, stop, come back empty or talk nonsense, connections that break at any byte, and an
//! interlay that is killed. Clients see documented answers and nothing hangs; what differs afterwards is known as dirty.

mod faults {
    mod broken_link;
    mod checks;
    mod cuts;
    mod process;
    mod source;
    mod target;
    #[path = "../memory/usage.rs"]
    mod usage;
}
