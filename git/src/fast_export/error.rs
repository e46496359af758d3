//! What is wrong with a stream, and where.

use std::{fmt, io};

/// How much of what was found is shown.
const SHOWN_MAX_BYTES: usize = 60;

/// What is wrong with a stream, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FastExportError {
    /// How many bytes of the stream stand before it.
    pub offset: u64,
    /// What was expected and what stands there.
    pub problem: String,
}

impl FastExportError {
    pub(super) fn unexpected(offset: u64, expected: &str, found: &[u8]) -> Self {
        let shown = &found[..found.len().min(SHOWN_MAX_BYTES)];
        let more = if shown.len() < found.len() { "…" } else { "" };
        let shown = shown.escape_ascii();
        Self { offset, problem: format!("expected {expected}, found \"{shown}{more}\"") }
    }

    pub(super) fn missing(offset: u64, expected: &str) -> Self {
        Self { offset, problem: format!("expected {expected}") }
    }

    pub(super) fn end(offset: u64, expected: &str) -> Self {
        Self { offset, problem: format!("the stream ends, expected {expected}") }
    }

    pub(super) fn too_large(offset: u64, what: &str, max_bytes: usize) -> Self {
        Self { offset, problem: format!("{what} of more than {max_bytes} bytes") }
    }

    pub(super) fn too_many(offset: u64, what: &str, max: usize) -> Self {
        Self { offset, problem: format!("more than {max} {what} of one commit") }
    }

    pub(super) fn io(offset: u64, error: &io::Error) -> Self {
        Self { offset, problem: format!("cannot be read: {error}") }
    }
}

impl fmt::Display for FastExportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at byte {}: {}", self.offset, self.problem)
    }
}

impl std::error::Error for FastExportError {}
