//! Nodes that were read or written lately, of all branches, in bounded memory.
//!
//! A branch's writer puts what it publishes; a reader may only put back what it read
//! while nothing was published, so that nothing old comes after something newer.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Content, Node, NodeId, NodePath};

/// What an entry takes beside its content and names.
const ENTRY_BYTES: u64 = 1_024;
/// The same of who is at a path.
const HOLDER_BYTES: u64 = 256;

/// The cache is in parts, each behind a lock: of at least so many bytes, and at most so many.
const PART_MIN_BYTES: u64 = 8 * CHUNK_BYTES as u64;
const PARTS_MAX: u64 = 64;

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
        Self(Arc::new(Shared {
            nodes: cache(of_nodes, ENTRY_BYTES),
            holders: cache(of_holders, HOLDER_BYTES),
            next_branch: AtomicU64::new(0),
        }))
    }

    /// Room for a branch that is being opened; of an earlier opening it knows nothing.
    pub(crate) fn branch(&self) -> BranchNodeCache {
        let branch = self.0.next_branch.fetch_add(1, Ordering::Relaxed);
        BranchNodeCache { all: self.clone(), branch }
    }
}

/// A cache of so many bytes, whose entries take so many each at least.
fn cache<K: Eq + Hash, V: Clone>(max_bytes: u64, each: u64) -> Cache<K, V, EntryBytes>
where
    EntryBytes: Weighter<K, V>,
{
    // A part takes nothing that is larger than itself, so each shall hold several large nodes.
    let parts = (max_bytes / PART_MIN_BYTES).clamp(1, PARTS_MAX);
    let parts = 1 << parts.ilog2();
    let options = OptionsBuilder::new()
        .shards(parts)
        .weight_capacity(max_bytes)
        .estimated_items_capacity(usize::try_from(max_bytes / each).unwrap_or(usize::MAX))
        .build();
    let options = options.unwrap_or_else(|error| unreachable!("both are said: {error}"));
    Cache::with_options(
        options,
        EntryBytes,
        DefaultHashBuilder::default(),
        DefaultLifecycle::default(),
    )
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
        ENTRY_BYTES + (content + node.path.as_str().len()) as u64
    }
}

impl Weighter<(u64, NodePath), Option<NodeId>> for EntryBytes {
    fn weight(&self, (_, path): &(u64, NodePath), _: &Option<NodeId>) -> u64 {
        HOLDER_BYTES + path.as_str().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use vdom_core::{NodeKind, VectorClock};

    use super::*;

    fn node(id: u8, bytes: usize) -> Arc<Node> {
        Arc::new(Node {
            id: NodeId([id; 16]),
            path: NodePath::parse(&format!("n{id}")).expect("a path"),
            kind: NodeKind::File,
            live: true,
            version: 1,
            clock: VectorClock::default(),
            last_used: BTreeMap::new(),
            content: Content::Inline(Bytes::from(vec![id; bytes])),
            attributes: BTreeMap::new(),
            author: String::new(),
            timestamp_ms: 0,
            metadata: BTreeMap::new(),
            epoch: 1,
            changed_revision: 1,
        })
    }

    #[test]
    fn the_largest_contents_have_room() {
        for max_bytes in [4 << 20, 8 << 20, 48 << 20, 4 << 30] {
            let cache = NodeCache::new(max_bytes).branch();
            for id in 0..2 {
                cache.put(&node(id, CHUNK_BYTES));
                assert!(cache.node(NodeId([id; 16])).is_some(), "{max_bytes}");
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let cache = NodeCache::new(8 << 20).branch();
        for id in 0..100 {
            cache.put(&node(id, CHUNK_BYTES / 2));
        }
        let kept = (0..100).filter(|id| cache.node(NodeId([*id; 16])).is_some()).count();
        assert!((6..=12).contains(&kept), "{kept}");
    }
}
