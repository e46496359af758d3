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

/// The server is not the primary, or no longer: it has written nothing.
const NOT_PRIMARY: [i32; 2] = [10107, 13435];

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
    /// Another server is the primary, or will be; nothing was written.
    NotPrimary(StoreError),
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

    /// Awaits a write that may be repeated as it is: once more where the server was not the
    /// primary any more, or the way to it was lost.
    pub(super) async fn repeatable<T, F>(
        &self,
        what: &str,
        operation: impl Fn() -> F,
    ) -> StoreResult<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let both = async {
            match operation().await {
                Err(error) if is_of_the_server(&error.kind) => operation().await,
                answer => answer,
            }
        };
        self.within(what, both).await
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
            kind if code_of(kind).is_some_and(|code| NOT_PRIMARY.contains(&code)) => {
                InsertFailure::NotPrimary(self.unavailable(what, kind))
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
    match code_of(kind) {
        Some(code) => !OUTCOME_UNKNOWN.contains(&code),
        None => matches!(
            kind,
            ErrorKind::ServerSelection { .. }
                | ErrorKind::Authentication { .. }
                | ErrorKind::InvalidArgument { .. }
                | ErrorKind::DnsResolve { .. }
        ),
    }
}

/// Whether another try may find a server that can.
fn is_of_the_server(kind: &ErrorKind) -> bool {
    match code_of(kind) {
        Some(code) => NOT_PRIMARY.contains(&code) || OUTCOME_UNKNOWN.contains(&code),
        None => matches!(kind, ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }),
    }
}

/// The code of a command, or of the one write in it, that failed.
fn code_of(kind: &ErrorKind) -> Option<i32> {
    match kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}
