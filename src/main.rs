//! The `pgkeel` program.
fn main() {}
