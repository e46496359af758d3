//! Deadlines around every operation, and what its failure means.

use std::future::Future;
use std::time::Duration;

use ::mongodb::error::{Error, ErrorKind, WriteFailure};
use tokio::time::timeout;

use crate::error::{StoreError, StoreErrorKind, StoreResult};

const DUPLICATE_KEY: i32 = 11000;

/// The write stands at the primary, or may: write concern failed, shutdown, primary
/// stepped down, time limit exceeded, recovering.
const OUTCOME_UNKNOWN: [i32; 8] = [50, 64, 91, 189, 11600, 11601, 11602, 13436];

/// The edge between the driver's world and ours.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    /// Hosts and database, for messages; never the password.
    pub(super) place: String,
    pub(super) deadline: Duration,
}

/// Why an insert has not succeeded.
pub(super) enum InsertFailure {
    /// Something stands under that `_id`, committed or not.
    Duplicate,
    Other(StoreError),
}

impl Boundary {
    /// Awaits an operation that changes nothing, or that may be repeated as it is.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> StoreResult<T> {
        match timeout(self.deadline, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.unavailable(what, &error.kind)),
            Err(_) => Err(self.unavailable(what, "no answer in time")),
        }
    }

    /// Awaits an insert; nobody knows what became of it when the answer is lost.
    pub(super) async fn insert<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, InsertFailure> {
        let error = match timeout(self.deadline, operation).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(InsertFailure::Other(self.unknown(what, "no answer in time"))),
        };
        Err(match &*error.kind {
            ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY => {
                InsertFailure::Duplicate
            }
            kind if is_refusal(kind) => InsertFailure::Other(self.unavailable(what, kind)),
            kind => InsertFailure::Other(self.unknown(what, kind)),
        })
    }

    pub(super) fn unavailable(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        self.error(StoreErrorKind::Unavailable, what, why)
    }

    pub(super) fn unknown(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        self.error(StoreErrorKind::OutcomeUnknown, what, why)
    }

    pub(super) fn damaged(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        self.error(StoreErrorKind::Damaged, what, why)
    }

    fn error(&self, kind: StoreErrorKind, what: &str, why: impl std::fmt::Display) -> StoreError {
        StoreError::new(kind, format_args!("{what} at {}: {why}", self.place))
    }
}

/// Whether the failure says for certain that nothing was written.
fn is_refusal(kind: &ErrorKind) -> bool {
    match kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => !OUTCOME_UNKNOWN.contains(&error.code),
        ErrorKind::Command(error) => !OUTCOME_UNKNOWN.contains(&error.code),
        ErrorKind::ServerSelection { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::DnsResolve { .. } => true,
        _ => false,
    }
}
