//! Several diffs accepted as one.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{AckLevel, Conflict, OnConflict, WriteDiff, Written};
use crate::identifiers::OperationId;
use crate::names::BranchAddress;

/// What is the same for all diffs of a change set; the diffs follow as
/// [`ChangeSetPart`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteDiffs {
    /// Where.
    pub address: BranchAddress,
    /// Makes the whole set safe to repeat; its diffs have none of their own.
    pub operation_id: Option<OperationId>,
    /// The revision that the branch must be at; `None`: any.
    pub expected_revision: Option<u64>,
    /// What to do about conflicts where a diff does not say it for itself.
    pub on_conflict: OnConflict,
    /// What the answer must promise.
    pub min_ack: AckLevel,
    /// `None`: the subject.
    pub author: Option<String>,
    /// When it was made, ms since the Unix epoch, where that is another time.
    pub authored_at_ms: Option<i64>,
    /// Why, of the set as a whole.
    pub message: String,
    /// Free words about the set as a whole.
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

/// An accepted change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetWritten {
    /// The branch's epoch.
    pub epoch: u64,
    /// Of its first change.
    pub first_revision: u64,
    /// Of its last change.
    pub last_revision: u64,
    /// What is promised.
    pub ack: AckLevel,
    /// When it was accepted, ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// As asked.
    pub operation_id: Option<OperationId>,
    /// One for each diff, in order; empty for a set of more than
    /// [`CHANGE_SET_RESULTS_MAX`](crate::limits::CHANGE_SET_RESULTS_MAX) diffs.
    pub results: Vec<Written>,
}

/// A change set that disagrees with what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetConflicts {
    /// The branch's epoch.
    pub epoch: u64,
    /// The head that the refusal was decided on.
    pub revision: u64,
    /// As asked.
    pub operation_id: Option<OperationId>,
    /// One for each diff, in order: `None` where it alone would have been
    /// accepted. Of a set of more than
    /// [`CHANGE_SET_RESULTS_MAX`](crate::limits::CHANGE_SET_RESULTS_MAX) diffs
    /// only the first conflicts.
    pub results: Vec<Option<Box<Conflict>>>,
}

/// A range of changes to undo by an ordinary change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevertChanges {
    /// Where.
    pub address: BranchAddress,
    /// The first change to undo.
    pub first_revision: u64,
    /// The last one.
    pub last_revision: u64,
    /// The epoch that the revisions belong to; `None`: the current one.
    pub epoch: Option<u64>,
    /// What to do about nodes that changed since.
    pub on_conflict: OnConflict,
    /// `None`: the subject.
    pub author: Option<String>,
    /// Why; empty: which range.
    pub message: String,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}
