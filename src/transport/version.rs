//! Has a file changed?

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What tells one content of a file from another: device, inode, length, and the time of its last change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version(Option<(u64, u64, u64, i64, i64)>);

impl Version {
    /// That of a file now. One that cannot be looked at has one, too.
    pub(super) fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.map(|found| {
            let modified = (found.mtime(), found.mtime_nsec());
            (
                found.dev(),
                found.ino(),
                found.len(),
                modified.0,
                modified.1,
            )
        }))
    }
}
