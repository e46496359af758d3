//! Whether the server reads linearizably, as its answers say.

use std::time::Duration;

use ::mongodb::error::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A server that has no such reads is asked again after so long: it may be another one then.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Failed to parse, illegal operation, no such command, invalid options, command not
/// supported, not a replica set, read concern majority not enabled, not implemented,
/// unknown field.
const NOT_SUPPORTED: [i32; 9] = [9, 20, 59, 72, 115, 123, 148, 238, 40415];

/// What is known of the server; until it refuses, it is taken to read linearizably.
#[derive(Debug, Default)]
pub(super) struct LinearizableReads {
    refused: Mutex<Option<Instant>>,
}

impl LinearizableReads {
    /// Whether the next read should be linearizable.
    pub(super) fn are_due(&self) -> bool {
        self.refused.lock().is_none_or(|refused| refused.elapsed() >= ASK_AGAIN)
    }

    /// Whether the server has refused the last one.
    pub(super) fn are_refused(&self) -> bool {
        self.refused.lock().is_some()
    }

    /// The server has answered one.
    pub(super) fn answered(&self) {
        *self.refused.lock() = None;
    }

    /// Notes what a failed one says of the server; true where it has no such reads. An
    /// election, a lost connection and the like say nothing.
    pub(super) fn failed(&self, error: &Error) -> bool {
        let is_refusal = matches!(&*error.kind, ErrorKind::Command(error) if NOT_SUPPORTED.contains(&error.code));
        if is_refusal && self.refused.lock().replace(Instant::now()).is_none() {
            tracing::warn!(%error, "no linearizable reads");
        }
        is_refusal
    }
}
