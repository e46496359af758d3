//! Nodes that were read or written lately, of all branches, in bounded memory.
//!
//! A branch's writer puts what it publishes; a reader may only put back what it read
//! while nothing was published, so that nothing old comes after something newer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use vdom_core::{Content, Node, NodeId, NodePath};

/// What an entry takes beside its content and names.
const ENTRY_BYTES: usize = 1_024;

/// The nodes of all branches. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodeCache {
    nodes: Cache<(u64, NodeId), Arc<Node>>,
    /// Who is at a path, or that nobody is.
    holders: Cache<(u64, NodePath), Option<NodeId>>,
    next_branch: Arc<AtomicU64>,
}

/// Those of one branch.
#[derive(Debug)]
pub(crate) struct BranchNodeCache {
    all: NodeCache,
    branch: u64,
}

/// Who is at a path, as far as the cache knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It must be read.
    Unknown,
    Nobody,
    Node(NodeId),
}

impl NodeCache {
    /// Nothing yet, and at most about so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            nodes: Cache::builder()
                .max_capacity(max_bytes / 4 * 3)
                .weigher(move |_, node: &Arc<Node>| {
                    let content = match &node.content {
                        Content::Inline(bytes) => bytes.len(),
                        Content::Part(_) => 0,
                        Content::Chunked(chunks) => chunks.len() * 40,
                    };
                    weight(ENTRY_BYTES + content + node.path.as_str().len())
                })
                .build(),
            holders: Cache::builder()
                .max_capacity(max_bytes / 4)
                .weigher(move |(_, path): &(u64, NodePath), _| {
                    weight(ENTRY_BYTES / 4 + path.as_str().len())
                })
                .build(),
            next_branch: Arc::default(),
        }
    }

    /// Room for a branch that is being opened; of an earlier opening it knows nothing.
    pub(crate) fn branch(&self) -> BranchNodeCache {
        let branch = self.next_branch.fetch_add(1, Ordering::Relaxed);
        BranchNodeCache { all: self.clone(), branch }
    }
}

impl BranchNodeCache {
    /// A node, tombstones included.
    pub(crate) fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.all.nodes.get(&(self.branch, id))
    }

    /// Who is at a path.
    pub(crate) fn holder(&self, path: &NodePath) -> Holder {
        match self.all.holders.get(&(self.branch, path.clone())) {
            None => Holder::Unknown,
            Some(None) => Holder::Nobody,
            Some(Some(id)) => Holder::Node(id),
        }
    }

    /// Puts the newest state of a node.
    pub(crate) fn put(&self, node: &Arc<Node>) {
        if matches!(node.content, Content::Part(_)) {
            // The views have its content inline.
            self.all.nodes.invalidate(&(self.branch, node.id));
        } else {
            self.all.nodes.insert((self.branch, node.id), node.clone());
        }
    }

    /// Puts who is at a path now.
    pub(crate) fn hold(&self, path: &NodePath, holder: Option<NodeId>) {
        self.all.holders.insert((self.branch, path.clone()), holder);
    }
}
