//! Several diffs accepted as one.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{AckLevel, Conflict, OnConflict, WriteDiff, Written};
use crate::identifiers::OperationId;
use crate::names::BranchAddress;

/// What is the same for all diffs of a change set; the diffs follow as
/// [`ChangeSetPart`]s. Message and metadata are the set's as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WriteDiffs {
    pub address: BranchAddress,
    /// Makes the whole set safe to repeat; its diffs have none of their own.
    pub operation_id: Option<OperationId>,
    /// The revision that the branch must be at; `None`: any.
    pub expected_revision: Option<u64>,
    /// Where a diff does not say it for itself.
    pub on_conflict: OnConflict,
    /// What the answer must promise.
    pub min_ack: AckLevel,
    /// In whose name; `None`: the subject's.
    pub author: Option<String>,
    /// When it was made, where that is another time than now.
    pub authored_at_ms: Option<i64>,
    pub message: String,
    pub metadata: BTreeMap<String, String>,
}

/// A part of the stream that brings a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeSetPart {
    /// The next diff. Its address is the set's; operation id, author and
    /// `min_ack` are the set's alone.
    Diff(Box<WriteDiff>),
    /// The next piece of the content of the diff before, which is
    /// [`DiffSource::Follows`](super::DiffSource::Follows).
    Content(Bytes),
}

/// What became of a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// All of it is in the log.
    Written(SetWritten),
    /// None of it is.
    Conflicted(SetConflicts),
}

/// An accepted change set: the revisions of its first and last change, and when it was
/// accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SetWritten {
    pub epoch: u64,
    pub first_revision: u64,
    pub last_revision: u64,
    /// What is promised.
    pub ack: AckLevel,
    pub timestamp_ms: i64,
    /// The request's.
    pub operation_id: Option<OperationId>,
    /// One for each diff, in order; empty for a set of more than
    /// [`CHANGE_SET_RESULTS_MAX`](crate::limits::CHANGE_SET_RESULTS_MAX) diffs.
    pub results: Vec<Written>,
}

/// A change set that disagrees with what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SetConflicts {
    pub epoch: u64,
    /// The head that the refusal was decided on.
    pub revision: u64,
    /// The request's.
    pub operation_id: Option<OperationId>,
    /// One for each diff, in order: `None` where it alone would have been
    /// accepted. Of a set of more than
    /// [`CHANGE_SET_RESULTS_MAX`](crate::limits::CHANGE_SET_RESULTS_MAX) diffs
    /// only the first conflicts.
    pub results: Vec<Option<Box<Conflict>>>,
}

/// A range of changes to undo by an ordinary change set; see
/// [`checked_revisions`](super::checked_revisions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RevertChanges {
    pub address: BranchAddress,
    pub first_revision: u64,
    pub last_revision: u64,
    /// The epoch that the revisions belong to; `None`: the current one.
    pub epoch: Option<u64>,
    /// What to do about nodes that changed since.
    pub on_conflict: OnConflict,
    /// In whose name; `None`: the subject's.
    pub author: Option<String>,
    /// Empty: one that says which range.
    pub message: String,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}
