//! The sample application at work: its queries, on keys as uneven as real ones, with a few writes.
//!
//! [`drive`] measures, [`compare`] proves: every query and parameter that was used is asked of both
//! servers afterwards, and the answers must be equal byte for byte. A read that follows a write is
//! checked on the spot.

mod compare;
mod drive;
mod keys;
mod queries;
mod wire;
mod zipf;

pub use compare::{Comparison, compare};
pub use drive::{Load, Outcome, drive};
pub use keys::Keys;
pub(crate) use wire::{Text, inline, placeholders};
pub(crate) use zipf::Zipf;
