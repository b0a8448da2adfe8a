//! Recorded traffic: what clients sent and when, to be sent again to any server.
//!
//! A trace holds what clients send after they have logged in: never a password of a login, but whatever is in their
//! statements and parameters.

mod day;
mod format;
mod login;
mod record;
mod replay;

pub use day::record_day;
pub use format::{Event, Recorded, What, Writer};
pub use record::record;
pub(crate) use replay::replay;
pub use replay::{Replayed, replay_file};
