//! The load-test harness: scenarios, targets, and rounds in which every target has its turn.
//!
//! Targets take turns in short slices (A B C, B C A, ...), so that whatever else the machine does falls on all of
//! them, and figures are compared within a round.

mod counters;
mod drive;
mod outcome;
mod pace;
mod player;
mod progress;
mod run;
mod scenario;
mod session;
mod target;
mod values;

pub(crate) use drive::HourOfWork;
pub(crate) use outcome::Outcome;
pub use run::{Settings, run};
pub use scenario::{
    Action, Draw, Pace, Protocol, Scenario, Step, Trace, Values, standard_directory,
};
pub use target::{COLD, DIRECT, FLOOR, OFF, STANDARD, WARM};
