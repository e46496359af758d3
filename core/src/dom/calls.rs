//! What the document room is asked and what it answers, whatever the transport.

mod change_sets;
mod conflicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::VectorClock;
use crate::dom::change::{ChangeSetHeader, ChangeSetPosition};
use crate::dom::node::NodeKind;
use crate::identifiers::{ConflictId, Hash, NodeId, OperationId};
use crate::names::{BranchAddress, BranchName, NodePath};

pub use change_sets::{
    ChangeSetPart, RevertChanges, SetConflicts, SetOutcome, SetWritten, WriteDiffs,
};
pub use conflicts::{
    ConflictPage, ListConflicts, Resolution, ResolveConflict, ResolveOutcome, StoredConflict,
};

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
    /// A `put` whose content was staged as chunks of the store.
    Staged(Vec<crate::dom::node::ContentChunk>),
    /// A `put` whose content follows as parts of the same stream.
    Follows,
}

/// One diff to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteDiff {
    /// Where.
    pub address: BranchAddress,
    /// Needed when `clock` is not empty.
    pub node_id: Option<NodeId>,
    /// Needed for a creation; else it must be the node's.
    pub path: Option<NodePath>,
    /// Of a creation; `None` is FILE.
    pub kind: Option<NodeKind>,
    /// How the node changes.
    pub diff: DiffSource,
    /// What the writer had seen of the node.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    /// What the answer must promise.
    pub min_ack: AckLevel,
    /// Keep a conflict until someone resolves it.
    pub keep_conflict: bool,
    /// `None`: the subject.
    pub actor: Option<String>,
    /// `None`: the subject.
    pub author: Option<String>,
    /// Why.
    pub message: String,
    /// Free words.
    pub metadata: BTreeMap<String, String>,
    /// Makes the write safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is in the log.
    Written(Written),
    /// Nothing was written.
    Conflicted(Box<Conflict>),
}

/// An accepted write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The node.
    pub node_id: NodeId,
    /// Its version now.
    pub version: u64,
    /// Its clock now.
    pub clock: VectorClock,
    /// The branch's epoch; 0 of a LOCAL answer.
    pub epoch: u64,
    /// The change's revision; 0 of a LOCAL answer.
    pub revision: u64,
    /// What is promised.
    pub ack: AckLevel,
    /// True when a merge was written.
    pub merged: bool,
    /// When it was accepted, ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// As asked.
    pub operation_id: Option<OperationId>,
}

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

/// What stands where a write was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Why.
    pub reason: ConflictReason,
    /// The node that stands there.
    pub node_id: NodeId,
    /// Its path.
    pub path: NodePath,
    /// Its kind.
    pub kind: NodeKind,
    /// Its clock.
    pub current_clock: VectorClock,
    /// Its version.
    pub current_version: u64,
    /// Its content; `None` above 1 MiB.
    pub current_content: Option<Bytes>,
    /// Who changed it last.
    pub current_author: String,
    /// When, ms since the Unix epoch.
    pub current_timestamp_ms: i64,
    /// What the writer's clock stood for; `None`: no longer known.
    pub base_content: Option<Bytes>,
    /// The byte ranges or fields that cannot be merged.
    pub hunks: Vec<ConflictHunk>,
    /// The branch's epoch.
    pub epoch: u64,
    /// The head that the refusal was decided on.
    pub revision: u64,
    /// As asked.
    pub operation_id: Option<OperationId>,
    /// Under which the conflict was kept, where that was asked for.
    pub conflict_id: Option<ConflictId>,
}

/// A place that cannot be merged: byte ranges of a text as (start, length), or a
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictHunk {
    /// In the base content.
    pub base: (u64, u64),
    /// In the current content.
    pub current: (u64, u64),
    /// In the proposed content.
    pub proposed: (u64, u64),
    /// The field of a document as a JSON Pointer, or `attributes.` and the name
    /// of one; of a text, empty.
    pub field: String,
}

/// Which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSelector {
    /// By its id.
    Id(NodeId),
    /// By where it is.
    Path(NodePath),
}

/// As of when to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// `None`: the latest.
    pub revision: Option<u64>,
    /// The epoch that `revision` belongs to; `None`: the current one.
    pub epoch: Option<u64>,
    /// Wait until this revision is known.
    pub min_revision: Option<u64>,
    /// The epoch that `min_revision` belongs to; `None`: the current one.
    pub min_epoch: Option<u64>,
    /// How old the confirmation of the head may be, in ms; 0: confirm now.
    pub max_age_ms: Option<u64>,
    /// Wait for the write with this operation id.
    pub after_operation: Option<OperationId>,
}

/// A node to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSnapshot {
    /// Where.
    pub address: BranchAddress,
    /// Which.
    pub node: NodeSelector,
    /// When.
    pub at: ReadAt,
}

/// Many nodes to read as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSnapshots {
    /// Where.
    pub address: BranchAddress,
    /// Which; answered in this order.
    pub nodes: Vec<NodeSelector>,
    /// When.
    pub at: ReadAt,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the store.
    Store,
    /// From a sidecar's cache.
    Cache,
}

/// How current an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Since the branch's head was last confirmed, in ms.
    pub age_ms: u64,
    /// True when the head cannot be confirmed now.
    pub stale: bool,
    /// Where the answer comes from.
    pub source: Source,
}

/// A node as it was read, with its bytes at hand or by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The node.
    pub node: crate::dom::node::Node,
    /// The branch's epoch.
    pub epoch: u64,
    /// The revision that the answer is as of.
    pub revision: u64,
    /// How current that is.
    pub freshness: Freshness,
}

/// A subtree to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadTree {
    /// Where.
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub prefix: String,
    /// When.
    pub at: ReadAt,
    /// Also contents up to 1 MiB.
    pub include_content: bool,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Where.
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub paths: Vec<String>,
    /// `None`: from now.
    pub from: Option<ResumePoint>,
    /// Also diffs, up to 1 MiB each.
    pub include_diffs: bool,
}

/// A place to resume from: every event after it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The epoch.
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
    /// The hash of the change at that revision, where it is known.
    pub hash: Option<Hash>,
}

/// What a subscription delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A change.
    Change(Box<ChangeEvent>),
    /// Everything up to here was delivered.
    Progress {
        /// The branch's epoch.
        epoch: u64,
        /// Its head.
        revision: u64,
        /// How sure that is.
        freshness: Freshness,
    },
}

/// A change as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeEvent {
    /// The record.
    pub change: Arc<crate::dom::change::Change>,
    /// What its change set says of all its changes.
    pub set: Option<Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff; `None` where it was not asked for or is above 1 MiB.
    pub diff: Option<Bytes>,
}

impl ChangeEvent {
    /// Why it was made: its own message, or that of its change set.
    pub fn message(&self) -> &str {
        match &self.set {
            Some(set) if self.change.message.is_empty() => &set.message,
            _ => &self.change.message,
        }
    }

    /// Free words about it, and those about its change set that it leaves open.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.set.as_ref().map(|set| set.metadata.clone()).unwrap_or_default();
        metadata.extend(self.change.metadata.clone());
        metadata
    }

    /// Whether a reader may resume after this event.
    pub fn is_resume_point(&self) -> bool {
        self.change.change_set.is_none_or(|ChangeSetPosition { index, size, .. }| index + 1 == size)
    }
}

/// Which changes to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetHistory {
    /// Where.
    pub address: BranchAddress,
    /// `None`: the whole branch.
    pub node: Option<NodeSelector>,
    /// Only older ones than this; `None`: from the newest.
    pub before_revision: Option<u64>,
    /// At most so many.
    pub limit: u32,
    /// Also diffs, up to 1 MiB each.
    pub include_diffs: bool,
}

/// Changes, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// Newest first.
    pub changes: Vec<ChangeEvent>,
    /// `None`: no older ones.
    pub next_before_revision: Option<u64>,
    /// The branch's epoch.
    pub epoch: u64,
    /// The head that the answer is as of.
    pub revision: u64,
}

/// A repo as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSummary {
    /// Its name.
    pub name: String,
    /// How many branches it has.
    pub branches: u32,
}

/// A branch as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchSummary {
    /// Its name.
    pub name: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its head.
    pub revision: u64,
    /// The head's hash in the chain.
    pub head_hash: Hash,
    /// The branch that it was created from, and at which revision.
    pub origin: Option<(BranchName, u64)>,
}

/// A branch to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBranch {
    /// The new branch.
    pub address: BranchAddress,
    /// The branch of the same repo that it continues; `None`: it begins empty.
    pub from: Option<BranchName>,
    /// Where it leaves that branch; `None`: at the latest revision.
    pub at_revision: Option<u64>,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// A branch to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteBranch {
    /// Which.
    pub address: BranchAddress,
    /// Makes the call safe to repeat.
    pub operation_id: Option<OperationId>,
}

/// A node of a tree as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// The node; its content is left empty.
    pub node: crate::dom::node::Node,
    /// The size of the content.
    pub size_bytes: u64,
    /// The content, where it was asked for and is at most 1 MiB.
    pub content: Option<Bytes>,
    /// The branch's epoch.
    pub epoch: u64,
    /// The revision that the whole tree is as of.
    pub revision: u64,
}
