//! Private servers for tests and the demo, and the sample application's work to drive them with.

pub mod demo;
pub mod sandbox;
pub mod tiers;
pub mod workload;
