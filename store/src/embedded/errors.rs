//! Errors that name the store's directory.

use std::io;
use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};

/// What is on the disk is not what was written: `what` names the part.
pub(super) fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format_args!(
            "the store at {} is damaged: {what}; restore it from a backup",
            path.display()
        ),
    )
}

/// The disk refuses; `what` is what was tried, such as `cannot create`.
pub(super) fn unavailable(path: &Path, what: &str, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format_args!("{what} the store at {}: {error}", path.display()),
    )
}
