//! Conflicts: what stands in the way of a write, kept until someone resolves it where that
//! is asked for.

use bytes::Bytes;

use super::{HistoryPage, WriteDiff, Written};
use crate::clock::VectorClock;
use crate::dom::node::NodeKind;
use crate::identifiers::{ConflictId, NodeId, OperationId};
use crate::names::{BranchAddress, NodePath};

/// Why two writers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictReason {
    /// The node changed since the writer saw it.
    StaleClock,
    /// The clock was empty, but the path exists.
    PathExists,
    /// The node was deleted since the writer saw it.
    Deleted,
    /// The target of a rename exists.
    TargetExists,
    /// A merge left conflicting hunks.
    Merge,
}

/// What stands where a write was refused: the node, and who changed it last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Conflict {
    pub reason: ConflictReason,
    pub node_id: NodeId,
    pub path: NodePath,
    pub kind: NodeKind,
    pub current_clock: VectorClock,
    pub current_version: u64,
    /// `None` above 1 MiB.
    pub current_content: Option<Bytes>,
    pub current_author: String,
    pub current_timestamp_ms: i64,
    /// What the writer's clock stood for; `None`: no longer known.
    pub base_content: Option<Bytes>,
    /// What cannot be merged.
    pub hunks: Vec<ConflictHunk>,
    pub epoch: u64,
    /// The head that the refusal was decided on.
    pub revision: u64,
    /// The request's.
    pub operation_id: Option<OperationId>,
    /// Under which the conflict was kept, where that was asked for.
    pub conflict_id: Option<ConflictId>,
}

/// A place that cannot be merged: byte ranges of a text as (start, length), in each of the
/// three contents, or a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ConflictHunk {
    pub base: (u64, u64),
    pub current: (u64, u64),
    pub proposed: (u64, u64),
    /// The field of a document as a JSON Pointer, or `attributes.` and the name
    /// of one; of a text, empty.
    pub field: String,
}

/// A refused write that was kept: by whom and when it was made, and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StoredConflict {
    pub id: ConflictId,
    pub conflict: Conflict,
    pub request: WriteDiff,
    pub timestamp_ms: i64,
    pub subject: String,
}

/// Which conflicts to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListConflicts {
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub paths: Vec<String>,
    /// See [`checked_conflict_limit`](super::checked_conflict_limit).
    pub limit: u32,
    /// Only those after this one in the order of listing.
    pub after: Option<ConflictId>,
}

/// Kept conflicts in the order of their ids, and whether there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ConflictPage {
    pub conflicts: Vec<StoredConflict>,
    pub more: bool,
}

/// A kept conflict to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExplainConflict {
    pub address: BranchAddress,
    pub id: ConflictId,
}

/// What a kept conflict is about as things stand now.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictExplanation {
    /// The conflict as it is listed.
    pub stored: StoredConflict,
    /// The changes of the node that the refused writer had not seen, without diffs;
    /// at most [`EXPLAINED_CHANGES_MAX`](crate::limits::EXPLAINED_CHANGES_MAX).
    pub unseen: HistoryPage,
    /// What [`Resolution::Merge`] comes to as of the revision of `unseen`.
    pub merge: MergePreview,
}

/// What a merge would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergePreview {
    /// It would be written.
    Clean,
    /// The two disagree, at these places of what stands there now; none are named
    /// where the disagreement has no places, such as two paths.
    Conflicting(Vec<ConflictHunk>),
    /// The node is gone, or what the writer had seen of it is no longer known.
    Impossible,
}

/// How a conflict ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// What stands there stays.
    Ours,
    /// What was refused is applied to what stands there.
    Theirs,
    /// Both, where they merge cleanly.
    Merge,
    /// This content: bytes of a FILE, BSON of a document.
    Manual(Bytes),
}

/// A conflict to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ResolveConflict {
    pub address: BranchAddress,
    pub id: ConflictId,
    pub resolution: Resolution,
    /// What the resolver had seen of the node; empty: as it stands.
    pub clock: VectorClock,
    pub message: String,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// What became of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveOutcome {
    /// It is resolved; `None` where nothing had to be written.
    Resolved(Option<Written>),
    /// The node changed since, or does not merge: the conflict stays.
    Conflicted(Box<Conflict>),
}
