//! Why a store refuses, and what its caller does about it.

use std::fmt;

/// What a call answers, or why the store refuses it.
pub type StoreResult<T> = Result<T, StoreError>;

/// What went wrong, for the caller to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Try again later: no server, no primary.
    Unavailable,
    /// There is no room for writes until someone makes some; reads go on.
    Full,
    /// Closed, or ended for good by a failed write: only a new start helps.
    Stopped,
    /// An append may or may not have happened: append the same batch again.
    OutcomeUnknown,
    /// What was asked for is gone.
    Compacted,
    /// A checksum does not match, or a record cannot be decoded.
    Damaged,
    /// Another process has the store open.
    AlreadyOpen,
    /// The store was written by a newer release.
    NewerFormat,
    /// The call breaks the contract, such as a batch above the limit.
    Invalid,
}

/// A refusal: its kind for the program, its message for an operator.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// What was wrong, where, and what to do; may name files and servers, so it
    /// is for operators, not for clients.
    pub message: String,
}

impl StoreError {
    /// An error of this kind.
    pub fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}
