//! Sets up, runs, tests, checks and builds Countersign.
fn main() {}
