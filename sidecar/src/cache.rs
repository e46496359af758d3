//! The nodes that are kept in memory: bounded by bytes, each as of a position
//! in its branch that only moves forward.
//!
//! What keeps them true stands in [`crate::branch`].

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use equivalent::Equivalent;
use moka::sync::Cache;
use vdom_api::dom::grpc::protobuf::EncodedNode;
use vdom_core::dom::calls::NodeSelector;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Content, Error, Node, NodeId, NodePath};

/// The largest content that is kept; larger ones are read from the gateway.
pub(crate) const CACHED_CONTENT_MAX_BYTES: usize = CHUNK_BYTES;

/// What an entry costs besides the bytes it holds.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// A place in a branch's log; ordered by epoch, then revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The incarnation of the log.
    pub(crate) epoch: u64,
    /// The place in it.
    pub(crate) revision: u64,
}

/// How a node is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NodeKey {
    /// By where it is.
    Path(NodePath),
    /// By its id.
    Id(NodeId),
}

impl From<&NodeSelector> for NodeKey {
    fn from(selector: &NodeSelector) -> Self {
        match selector {
            NodeSelector::Path(path) => Self::Path(path.clone()),
            NodeSelector::Id(id) => Self::Id(*id),
        }
    }
}

impl From<NodeKey> for NodeSelector {
    fn from(key: NodeKey) -> Self {
        match key {
            NodeKey::Path(path) => Self::Path(path),
            NodeKey::Id(id) => Self::Id(id),
        }
    }
}

/// A key without bytes of its own. The number is the branch's, new each time a
/// branch is followed anew, so that nothing older can be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyRef<'a> {
    Path(u64, &'a str),
    Id(u64, NodeId),
}

impl KeyRef<'_> {
    fn branch(&self) -> u64 {
        match self {
            Self::Path(branch, _) | Self::Id(branch, _) => *branch,
        }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    branch: u64,
    node: NodeKey,
}

impl Key {
    fn borrowed(&self) -> KeyRef<'_> {
        match &self.node {
            NodeKey::Path(path) => KeyRef::Path(self.branch, path.as_str()),
            NodeKey::Id(id) => KeyRef::Id(self.branch, *id),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// The node that is there.
    Node(Arc<CachedNode>),
    /// That nothing is there.
    Missing(Arc<Missing>),
    /// Where a node was seen last, for keys that are ids. A hint: whoever
    /// follows it checks the id that it finds.
    PathHint(NodePath),
}

impl Slot {
    /// What the slot is as of; `None` of a hint.
    pub(crate) fn position(&self) -> Option<Position> {
        match self {
            Self::Node(node) => Some(node.position),
            Self::Missing(missing) => Some(missing.position),
            Self::PathHint(_) => None,
        }
    }

    fn weight(&self) -> u32 {
        let bytes = match self {
            Self::Node(node) => node.constant.len(),
            Self::Missing(missing) => missing.error.message.len(),
            Self::PathHint(path) => path.as_str().len(),
        };
        u32::try_from(bytes + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
    }
}

/// That nothing is at a path, in the gateway's words.
#[derive(Debug)]
pub(crate) struct Missing {
    /// The gateway's `NotFound`.
    pub(crate) error: Error,
    pub(crate) position: Position,
}

/// A node as of a position, and the part of its answer that never changes.
#[derive(Debug)]
pub(crate) struct CachedNode {
    /// Its content is a slice of `constant`.
    node: Node,
    position: Position,
    constant: Bytes,
}

impl CachedNode {
    /// Keeps a node; `None` where its content is too large or not at hand.
    pub(crate) fn new(mut node: Node, position: Position) -> Option<Self> {
        let Content::Inline(content) = &node.content else { return None };
        if content.len() > CACHED_CONTENT_MAX_BYTES {
            return None;
        }
        let EncodedNode { message: constant, content } =
            EncodedNode::new(node.clone(), position.epoch);
        node.content = Content::Inline(constant.slice(content));
        Some(Self { node, position, constant })
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// What it is as of.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn content(&self) -> Bytes {
        match &self.node.content {
            Content::Inline(bytes) => bytes.clone(),
            Content::Part(_) | Content::Chunked(_) => Bytes::new(),
        }
    }

    /// An encoded `ReadSnapshotResponse` without `revision` and `freshness`.
    pub(crate) fn constant(&self) -> &Bytes {
        &self.constant
    }
}

/// The nodes of all branches. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NodeCache {
    slots: Cache<Key, Slot>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How the cache does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheFigures {
    /// Reads that were answered from memory.
    pub(crate) hits: u64,
    /// Reads that had to ask the gateway.
    pub(crate) misses: u64,
    /// How many slots there are.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl NodeCache {
    /// A cache of at most so many bytes.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let slots = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &Key, slot: &Slot| slot.weight())
            .support_invalidation_closures()
            .build();
        Self { slots, counters: Arc::default() }
    }

    /// What is known of a key.
    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Slot> {
        self.slots.get(&key)
    }

    /// The node behind a key; an id is followed to where its node was seen.
    pub(crate) fn find(&self, key: KeyRef<'_>) -> Option<Slot> {
        match (self.slots.get(&key)?, key) {
            (Slot::PathHint(path), KeyRef::Id(branch, id)) => {
                let there = self.slots.get(&KeyRef::Path(branch, path.as_str()))?;
                matches!(&there, Slot::Node(found) if found.node.id == id).then_some(there)
            }
            (slot, _) => Some(slot),
        }
    }

    /// Keeps a slot, unless what is there is newer.
    pub(crate) fn put(&self, branch: u64, node: NodeKey, slot: Slot) {
        let key = Key { branch, node };
        let is_older = |there: &Slot| there.position() > slot.position();
        if !self.slots.get(&key.borrowed()).as_ref().is_some_and(is_older) {
            self.slots.insert(key, slot);
        }
    }

    /// Lets go of what is known of a key.
    pub(crate) fn remove(&self, key: KeyRef<'_>) {
        self.slots.invalidate(&key);
    }

    /// Lets go of a branch.
    pub(crate) fn remove_branch(&self, branch: u64) {
        let removed =
            self.slots.invalidate_entries_if(move |key, _| key.borrowed().branch() == branch);
        debug_assert!(removed.is_ok(), "invalidation closures are switched on");
        self.slots.run_pending_tasks();
    }

    /// Counts a read that was answered from memory.
    pub(crate) fn count_hit(&self) {
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a read that had to ask the gateway.
    pub(crate) fn count_miss(&self) {
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// How the cache does.
    pub(crate) fn figures(&self) -> CacheFigures {
        self.slots.run_pending_tasks();
        CacheFigures {
            hits: self.counters.hits.load(Ordering::Relaxed),
            misses: self.counters.misses.load(Ordering::Relaxed),
            entries: self.slots.entry_count(),
            bytes: self.slots.weighted_size(),
        }
    }
}

#[cfg(test)]
mod tests;
