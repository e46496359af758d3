//! A node: one versioned document of a branch.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::clock::VectorClock;
use crate::identifiers::{Hash, NodeId};
use crate::names::NodePath;

/// What a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum NodeKind {
    /// Bytes.
    #[n(1)]
    File,
    /// A BSON document that says what someone means to do.
    #[n(2)]
    Intent,
    /// A BSON document about other nodes.
    #[n(3)]
    Meta,
}

impl NodeKind {
    /// True where the content is a BSON document.
    pub fn is_document(self) -> bool {
        self != Self::File
    }
}

/// A piece of a content that is kept apart: at most 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ContentChunk {
    /// SHA-256 of the piece; its name in the store.
    #[n(0)]
    pub hash: Hash,
    /// Its size in bytes.
    #[n(1)]
    pub length: u32,
}

/// A run of bytes within a chunk that holds the diffs of a large change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkPart {
    /// The whole chunk.
    pub chunk: ContentChunk,
    /// Where the run begins in it.
    pub start: u32,
    /// Its size in bytes.
    pub length: u32,
}

/// The bytes of a node, at hand or by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// At most 1 MiB.
    Inline(Bytes),
    /// At most 1 MiB, until the node's view is written.
    Part(ChunkPart),
    /// Above 1 MiB: pieces in order.
    Chunked(Vec<ContentChunk>),
}

impl Content {
    /// The size in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Part(part) => u64::from(part.length),
            Self::Chunked(chunks) => chunks.iter().map(|chunk| u64::from(chunk.length)).sum(),
        }
    }

    /// True for no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The state of a node after one of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Kept across renames.
    pub id: NodeId,
    /// Where it is, or was when it was deleted.
    pub path: NodePath,
    /// What it holds.
    pub kind: NodeKind,
    /// False for a tombstone; its content is then empty.
    pub live: bool,
    /// How many changes it has had.
    pub version: u64,
    /// What was seen of it by all its writers.
    pub clock: VectorClock,
    /// When each actor of the clock last changed it, as a version.
    pub last_used: BTreeMap<String, u64>,
    /// The bytes.
    pub content: Content,
    /// File mode, symlink target, data subject …
    pub attributes: BTreeMap<String, String>,
    /// Of the last change.
    pub author: String,
    /// Of the last change, ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// Of the last change.
    pub metadata: BTreeMap<String, String>,
    /// The epoch of the last change.
    pub epoch: u64,
    /// The revision of the last change.
    pub changed_revision: u64,
}
