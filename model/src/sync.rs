//! What `crate::sync` is in pgkeel, for loom: every use is a place where another thread may go first.

use std::hash::{BuildHasherDefault, DefaultHasher};

pub use loom::sync::atomic::AtomicU64;

/// Without chance: an exhaustive test has to be able to repeat itself.
pub struct RandomState(BuildHasherDefault<DefaultHasher>);

impl RandomState {
    /// The same each time.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "as the one of the standard library is used"
    )]
    pub fn new() -> Self {
        Self(BuildHasherDefault::default())
    }
}

impl std::hash::BuildHasher for RandomState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.build_hasher()
    }
}

/// A lock that is never poisoned.
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("a model that panics has ended")
    }
}
