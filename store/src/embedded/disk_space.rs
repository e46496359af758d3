//! Room on the disk: writes are refused in time, because one that fails stops the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use parking_lot::Mutex;

use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// How long an answer of the file system holds.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The file system that a store is on.
pub(super) struct DiskSpace {
    path: PathBuf,
    min_free_bytes: u64,
    seen: Mutex<Option<FreeSpace>>,
}

#[derive(Clone, Copy)]
struct FreeSpace {
    at: Instant,
    free_bytes: u64,
}

impl DiskSpace {
    pub(super) fn new(path: &Path, min_free_bytes: u64) -> Self {
        Self { path: path.to_owned(), min_free_bytes, seen: Mutex::new(None) }
    }

    /// Refuses while there is too little room.
    pub(super) fn check(&self) -> StoreResult<()> {
        let free_bytes = self.free_bytes()?;
        if free_bytes >= self.min_free_bytes {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Full,
            format_args!(
                "the disk of the store at {} has {free_bytes} bytes free, writes need {}: \
                 make room on it",
                self.path.display(),
                self.min_free_bytes
            ),
        ))
    }

    fn free_bytes(&self) -> StoreResult<u64> {
        let mut seen = self.seen.lock();
        if let Some(seen) = seen.filter(|seen| seen.at.elapsed() < LOOK_AGAIN) {
            return Ok(seen.free_bytes);
        }
        let free_bytes = free_bytes(&self.path)?;
        *seen = Some(FreeSpace { at: Instant::now(), free_bytes });
        Ok(free_bytes)
    }
}

/// How much room the file system of a store has for us.
pub(super) fn free_bytes(directory: &Path) -> StoreResult<u64> {
    let disk = rustix::fs::statvfs(directory).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            format_args!("cannot see the disk of the store at {}: {error}", directory.display()),
        )
    })?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
