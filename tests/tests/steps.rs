//! Faults in the middle of each step of a move, by hand and guided: nothing acknowledged is lost, the step goes on or says why not,
//! and at the end both sides are equal.

mod steps {
    mod fault;
    mod guided;
    mod manual;
    mod scene;
    mod writers;
}
