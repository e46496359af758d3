//! One write and what becomes of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Conflict;
use crate::clock::VectorClock;
use crate::dom::node::NodeKind;
use crate::identifiers::{NodeId, OperationId};
use crate::names::{BranchAddress, NodePath};

/// What to do when the writer had not seen the node as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Write nothing and say what stands there.
    #[default]
    Reject,
    /// Write a three-way merge when it is clean, else as Reject.
    Merge,
    /// Apply to what is there.
    Overwrite,
}

/// What an answer promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckLevel {
    /// Fsynced in the sidecar's log.
    Local,
    /// Survives power loss or failover.
    #[default]
    Committed,
}

/// The bytes of a diff as a client sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffSource {
    /// A BSON document; not yet looked at.
    Bson(Bytes),
    /// A `put` whose content follows as parts of the same stream.
    Follows,
}

/// One diff to write. An empty `clock` creates a node; any other says what the writer had
/// seen of one that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WriteDiff {
    pub address: BranchAddress,
    /// Needed when `clock` is not empty.
    pub node_id: Option<NodeId>,
    /// Needed for a creation; else it must be the node's.
    pub path: Option<NodePath>,
    /// Of a creation; `None` is FILE.
    pub kind: Option<NodeKind>,
    pub diff: DiffSource,
    pub clock: VectorClock,
    pub on_conflict: OnConflict,
    /// What the answer must promise.
    pub min_ack: AckLevel,
    /// Keep a conflict until someone resolves it.
    pub keep_conflict: bool,
    /// Whose clock entry moves; `None`: the subject's.
    pub actor: Option<String>,
    /// In whose name; `None`: the subject's.
    pub author: Option<String>,
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    /// Makes the write safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// A write whose diff is not said here: a `put` whose content comes beside it, in pieces of
/// up to 100 MB in all. The fields are those of [`WriteDiff`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they stand at `WriteDiff`")]
pub struct WriteContent {
    pub address: BranchAddress,
    pub node_id: Option<NodeId>,
    pub path: Option<NodePath>,
    pub kind: Option<NodeKind>,
    pub clock: VectorClock,
    pub on_conflict: OnConflict,
    pub min_ack: AckLevel,
    pub keep_conflict: bool,
    pub actor: Option<String>,
    pub author: Option<String>,
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    pub operation_id: Option<OperationId>,
    /// How many bytes will come, where the client says so.
    pub expected_bytes: Option<u64>,
}

impl WriteContent {
    /// The same write with this diff.
    pub fn with_diff(self, diff: DiffSource) -> WriteDiff {
        let Self {
            address,
            node_id,
            path,
            kind,
            clock,
            on_conflict,
            min_ack,
            keep_conflict,
            actor,
            author,
            message,
            metadata,
            operation_id,
            expected_bytes: _,
        } = self;
        WriteDiff {
            address,
            node_id,
            path,
            kind,
            diff,
            clock,
            on_conflict,
            min_ack,
            keep_conflict,
            actor,
            author,
            message,
            metadata,
            operation_id,
        }
    }
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is in the log.
    Written(Written),
    /// Nothing was written.
    Conflicted(Box<Conflict>),
}

/// An accepted write: the node's version and clock after it, and its place in the branch,
/// which is 0 in a LOCAL answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Written {
    pub node_id: NodeId,
    pub version: u64,
    pub clock: VectorClock,
    pub epoch: u64,
    pub revision: u64,
    /// What is promised.
    pub ack: AckLevel,
    /// True when a merge was written.
    pub merged: bool,
    pub timestamp_ms: i64,
    /// The request's.
    pub operation_id: Option<OperationId>,
}
