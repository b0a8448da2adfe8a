//! Private servers for tests, the demo and the load-test harness, and the sample application's work to drive them with.

pub mod demo;
pub mod floor;
mod frames;
pub mod harness;
pub mod report;
pub mod sandbox;
pub mod trace;
pub mod workload;
