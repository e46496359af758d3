//! Nodes that were read or written lately, of all branches, in bounded memory.
//!
//! A branch's writer puts what it publishes; a reader may only put back what it read
//! while nothing was published, so that nothing old comes after something newer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use vdom_core::{Content, Node, NodeId, NodePath};

/// What an entry takes beside its content and names.
const ENTRY_BYTES: usize = 1_024;
/// The same of who is at a path.
const HOLDER_BYTES: usize = 256;

/// The nodes of all branches. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodeCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    nodes: Cache<(u64, NodeId), Arc<Node>, EntryBytes>,
    /// Who is at a path, or that nobody is.
    holders: Cache<(u64, NodePath), Option<NodeId>, EntryBytes>,
    next_branch: AtomicU64,
}

/// About how many bytes an entry takes.
#[derive(Clone, Debug)]
struct EntryBytes;

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
        let (of_nodes, of_holders) = (max_bytes / 4 * 3, max_bytes / 4);
        let entries = |bytes: u64, each: usize| usize::try_from(bytes).unwrap_or(usize::MAX) / each;
        Self(Arc::new(Shared {
            nodes: Cache::with_weighter(entries(of_nodes, ENTRY_BYTES), of_nodes, EntryBytes),
            holders: Cache::with_weighter(
                entries(of_holders, HOLDER_BYTES),
                of_holders,
                EntryBytes,
            ),
            next_branch: AtomicU64::new(0),
        }))
    }

    /// Room for a branch that is being opened; of an earlier opening it knows nothing.
    pub(crate) fn branch(&self) -> BranchNodeCache {
        let branch = self.0.next_branch.fetch_add(1, Ordering::Relaxed);
        BranchNodeCache { all: self.clone(), branch }
    }
}

impl BranchNodeCache {
    /// A node, tombstones included.
    pub(crate) fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.all.0.nodes.get(&(self.branch, id))
    }

    /// Who is at a path.
    pub(crate) fn holder(&self, path: &NodePath) -> Holder {
        match self.all.0.holders.get(&(self.branch, path.clone())) {
            None => Holder::Unknown,
            Some(None) => Holder::Nobody,
            Some(Some(id)) => Holder::Node(id),
        }
    }

    /// Puts the newest state of a node.
    pub(crate) fn put(&self, node: &Arc<Node>) {
        if matches!(node.content, Content::Part(_)) {
            // The views have its content inline.
            self.all.0.nodes.remove(&(self.branch, node.id));
        } else {
            self.all.0.nodes.insert((self.branch, node.id), node.clone());
        }
    }

    /// Puts who is at a path now.
    pub(crate) fn hold(&self, path: &NodePath, holder: Option<NodeId>) {
        self.all.0.holders.insert((self.branch, path.clone()), holder);
    }
}

impl Weighter<(u64, NodeId), Arc<Node>> for EntryBytes {
    fn weight(&self, _: &(u64, NodeId), node: &Arc<Node>) -> u64 {
        let content = match &node.content {
            Content::Inline(bytes) => bytes.len(),
            Content::Part(_) => 0,
            Content::Chunked(chunks) => chunks.len() * 40,
        };
        (ENTRY_BYTES + content + node.path.as_str().len()) as u64
    }
}

impl Weighter<(u64, NodePath), Option<NodeId>> for EntryBytes {
    fn weight(&self, (_, path): &(u64, NodePath), _: &Option<NodeId>) -> u64 {
        (HOLDER_BYTES + path.as_str().len()) as u64
    }
}
