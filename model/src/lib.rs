//! pgkeel's own `freshness` and `cache`, with loom's atomics and locks in the place of the real ones.
//!
//! The files are the proxy's (symbolic links), not copies: what is proven here is proven of what runs. The tests beside
//! this library take readers, writers and those who look after them through every interleaving.

pub mod cache;
pub mod freshness;
pub mod sync;

/// As much of pgkeel's configuration as the cache asks for.
pub mod config {
    use std::time::Duration;

    /// How long an entry may be served.
    #[derive(Clone, Copy, Debug)]
    pub enum Ttl {
        /// For so long.
        After(Duration),
        /// Always.
        Never,
    }

    impl Ttl {
        /// The time, if it ends.
        #[must_use]
        pub const fn duration(self) -> Option<Duration> {
            match self {
                Self::After(duration) => Some(duration),
                Self::Never => None,
            }
        }
    }
}
