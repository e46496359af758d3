//! Nodes and trees as of a revision.

use bytes::Bytes;

use crate::dom::node::Node;
use crate::identifiers::{NodeId, OperationId};
use crate::names::{BranchAddress, NodePath};

/// How a request names a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NodeSelector {
    Id(NodeId),
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
    /// How old the confirmation of the head may be; 0: confirm now.
    pub max_age_ms: Option<u64>,
    /// Wait for the write with this operation id.
    pub after_operation: Option<OperationId>,
}

impl ReadAt {
    /// Whether the read may wait for what others have not written yet.
    pub fn waits(&self) -> bool {
        self.min_revision.is_some() || self.after_operation.is_some()
    }
}

/// A node to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ReadSnapshot {
    pub address: BranchAddress,
    pub node: NodeSelector,
    pub at: ReadAt,
}

/// Many nodes to read as of one revision, to be answered in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ReadSnapshots {
    pub address: BranchAddress,
    pub nodes: Vec<NodeSelector>,
    pub at: ReadAt,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway's store.
    Store,
    /// A sidecar's memory.
    Cache,
}

/// How current an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Since the branch's head was last confirmed.
    pub age_ms: u64,
    /// True when the head cannot be confirmed now.
    pub stale: bool,
    /// Where the answer comes from.
    pub source: Source,
}

/// A node as it was read, with its bytes at hand or by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Snapshot {
    pub node: Node,
    pub epoch: u64,
    /// What the answer is as of.
    pub revision: u64,
    pub freshness: Freshness,
}

/// A subtree to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ReadTree {
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub prefix: String,
    pub at: ReadAt,
    /// Also contents up to 1 MiB.
    pub include_content: bool,
}

/// A node of a tree as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TreeEntry {
    /// With an empty content.
    pub node: Node,
    pub size_bytes: u64,
    /// Where it was asked for and is at most 1 MiB.
    pub content: Option<Bytes>,
    pub epoch: u64,
    /// What the whole tree is as of.
    pub revision: u64,
}
