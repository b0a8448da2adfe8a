//! Where threads meet: what is shared between them, and chance.
//!
//! The modules that an exhaustive test takes through every interleaving have their atomics, locks and hashers from
//! here; the package `model` compiles the same files with others in their place.

pub use std::hash::RandomState;
pub use std::sync::atomic::AtomicU64;

pub use parking_lot::Mutex;
