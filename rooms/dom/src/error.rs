//! What the store's errors mean to a client.

use std::fmt;
use std::time::Duration;

use vdom_core::{Error, ErrorCode};
use vdom_store::{StoreError, StoreErrorKind};

/// The public error for a store's refusal; its own words are for the log.
pub(crate) fn from_store(error: StoreError, resource: impl fmt::Display) -> Error {
    let refused = match error.kind {
        StoreErrorKind::Unavailable | StoreErrorKind::AlreadyOpen | StoreErrorKind::NewerFormat => {
            Error::unavailable("the store cannot be used now: try again later")
                .retry_after(Duration::from_secs(1))
        }
        StoreErrorKind::Full => Error::new(
            ErrorCode::Exhausted,
            "the store has no room for writes, reads go on: make room on the server's disk",
        )
        .retry_after(Duration::from_secs(10)),
        StoreErrorKind::Stopped => Error::unavailable(
            "the store has stopped: see the server's log; writes without an answer may have been \
             made, repeat them with the same operation_id",
        )
        .retry_after(Duration::from_secs(10)),
        StoreErrorKind::OutcomeUnknown => Error::unavailable(
            "the outcome of the write is not known: repeat it with the same operation_id",
        )
        .retry_after(Duration::from_secs(1)),
        StoreErrorKind::Compacted => {
            Error::new(ErrorCode::Compacted, "that part of the history is no longer kept")
        }
        StoreErrorKind::Damaged => Error::new(
            ErrorCode::DataLoss,
            "stored bytes are damaged and are not served: see the server's log",
        ),
        StoreErrorKind::Invalid => Error::internal(&error.message),
    };
    refused.resource(resource).context(error.message)
}
