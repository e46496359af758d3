//! Why a store has stopped: once a write fails, for good.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// The reason, once there is one; its clones share it.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<OnceLock<String>>);

/// Held by a thread that writes: when it ends, however it does, the store has stopped.
pub(super) struct StopReason(Stopped);

impl Stopped {
    pub(super) fn reason_of_a_thread(&self) -> StopReason {
        StopReason(self.clone())
    }

    /// Refuses once a write has failed.
    pub(super) fn check(&self) -> StoreResult<()> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::new(StoreErrorKind::Stopped, reason)),
        }
    }
}

impl StopReason {
    /// Stops the store because a write failed; gives what everybody is told.
    pub(super) fn because_of(&self, directory: &Path, error: &impl fmt::Display) -> String {
        let reason = self.0.0.get_or_init(|| {
            format!(
                "the store at {} has stopped because a write failed: {error}; \
                 see to the disk and restart",
                directory.display()
            )
        });
        tracing::error!(reason, "store stopped");
        reason.clone()
    }
}

impl Drop for StopReason {
    fn drop(&mut self) {
        self.0.0.get_or_init(|| "the store is closed".to_owned());
    }
}
