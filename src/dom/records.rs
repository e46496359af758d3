//! The stored forms of the document room: what its batches and views hold.
//!
//! A manifest is a CBOR array `[version, epoch, hash, [change, …]]`: the chain's
//! hash after the batch, and its changes as byte strings
//! (`vdom_core::change`). The body is their diffs, one after the other. A view's value is a CBOR head, its length before it, and raw bytes
//! after it, so that contents are sliced and never copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use vdom_core::change::chain_hash;
use vdom_core::{
    BranchAddress, Change, ChangeSetHeader, Content, ContentChunk, Error, ErrorCode, Hash, Node,
    NodeId, NodeKind, NodePath, OperationId, Result, VectorClock,
};
use vdom_store::{LogId, Numbered, OperationKey};

const MANIFEST_VERSION: u32 = 1;

/// A change as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The record.
    pub change: Arc<Change>,
    /// What its change set says of all its changes.
    pub set: Option<Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff as it is stored.
    pub diff: Bytes,
}

/// What a batch says.
#[derive(Debug)]
pub(crate) struct BatchRecord {
    /// The incarnation that its changes belong to.
    pub epoch: u64,
    /// The hash of the last change up to its end.
    pub hash: Hash,
    /// Its changes, in order.
    pub entries: Vec<Entry>,
}

#[derive(Encode, Decode)]
struct Manifest<'a> {
    #[n(0)]
    version: u32,
    #[n(1)]
    epoch: u64,
    #[n(2)]
    hash: Hash,
    #[b(3)]
    records: Vec<Record<'a>>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Record<'a>(#[cbor(b(0), with = "minicbor::bytes")] &'a [u8]);

/// Names the log of an incarnation of a branch.
pub(crate) fn log_id(address: &BranchAddress, incarnation: u64) -> LogId {
    let mut hasher = Sha256::new();
    hasher.update(b"vdom.log.1");
    for name in [address.realm.as_str(), address.repo.as_str(), address.branch.as_str()] {
        hasher.update(name.as_bytes());
        hasher.update([0]);
    }
    hasher.update(incarnation.to_be_bytes());
    LogId(hasher.finalize().into())
}

/// How the store indexes an operation id: per subject.
pub(crate) fn operation_key(subject: &str, id: OperationId) -> OperationKey {
    let mut hasher = Sha256::new();
    hasher.update(subject.as_bytes());
    hasher.update([0]);
    hasher.update(id.as_bytes());
    let digest = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    OperationKey(key)
}

/// Manifest and body of a batch, from encoded changes and their diffs.
pub(crate) fn encode_batch(
    epoch: u64,
    hash: Hash,
    changes: &[(Vec<u8>, Bytes)],
) -> Result<(Bytes, Bytes)> {
    let records = changes.iter().map(|(record, _)| Record(record)).collect();
    let manifest = Manifest { version: MANIFEST_VERSION, epoch, hash, records };
    let manifest = minicbor::to_vec(manifest).map_err(Error::internal)?;
    let mut body = BytesMut::with_capacity(changes.iter().map(|(_, diff)| diff.len()).sum());
    for (_, diff) in changes {
        body.put_slice(diff);
    }
    Ok((manifest.into(), body.freeze()))
}

/// Reads a batch; diffs are slices of its body.
pub(crate) fn decode_batch(numbered: &Numbered) -> Result<BatchRecord> {
    let damaged = |why: String| {
        Error::new(ErrorCode::DataLoss, "a stored batch cannot be read: see the server's log")
            .context(format!("batch {}: {why}", numbered.number))
    };
    let manifest: Manifest<'_> =
        minicbor::decode(&numbered.batch.manifest).map_err(|error| damaged(error.to_string()))?;
    if manifest.version != MANIFEST_VERSION {
        return Err(damaged(format!("manifest version {} is not known", manifest.version)));
    }
    let mut entries = Vec::with_capacity(manifest.records.len());
    let mut set = None;
    let mut offset = 0usize;
    for Record(record) in manifest.records {
        let change = Change::decode(record)?;
        let end = offset + change.diff_length as usize;
        if change.set_header.is_some() || change.change_set.is_none() {
            set = change.set_header.clone().map(Arc::new);
        }
        if end > numbered.batch.body.len() {
            return Err(damaged(format!("the diff of revision {} is cut", change.revision)));
        }
        entries.push(Entry {
            hash: chain_hash(record),
            change: Arc::new(change),
            set: set.clone(),
            diff: numbered.batch.body.slice(offset..end),
        });
        offset = end;
    }
    Ok(BatchRecord { epoch: manifest.epoch, hash: manifest.hash, entries })
}

/// Where a change of a node stands in the log, and perhaps the node after it.
#[derive(Debug)]
pub(crate) struct HistoryRecord {
    /// The batch.
    pub number: u64,
    /// The change's place in the batch.
    pub index: u32,
    /// A full copy of the node after the change.
    pub copy: Option<Node>,
}

/// The id of a history row.
pub(crate) fn history_id(node_id: NodeId, revision: u64) -> Bytes {
    let mut id = BytesMut::with_capacity(24);
    id.put_slice(node_id.as_bytes());
    id.put_u64(revision);
    id.freeze()
}

/// The id of a row about who came to or left a path.
pub(crate) fn place_id(path: &NodePath, revision: u64) -> Bytes {
    let mut id = BytesMut::with_capacity(24);
    id.put_slice(&Sha256::digest(path.as_str())[..16]);
    id.put_u64(revision);
    id.freeze()
}

/// Who holds a path from a revision on.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct PlaceRecord {
    /// `None`: nobody.
    #[n(0)]
    pub holder: Option<NodeId>,
}

impl PlaceRecord {
    /// The stored form.
    pub(crate) fn encode(self) -> Result<Bytes> {
        minicbor::to_vec(self).map(Bytes::from).map_err(Error::internal)
    }

    /// Reads the stored form.
    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        minicbor::decode(value).map_err(damaged_view)
    }
}

#[derive(Encode, Decode)]
struct NodeHead {
    #[n(0)]
    id: NodeId,
    #[n(1)]
    path: NodePath,
    #[n(2)]
    kind: NodeKind,
    #[n(3)]
    live: bool,
    #[n(4)]
    version: u64,
    #[n(5)]
    clock: VectorClock,
    #[n(6)]
    last_used: BTreeMap<String, u64>,
    #[n(7)]
    chunks: Option<Vec<ContentChunk>>,
    #[n(8)]
    attributes: BTreeMap<String, String>,
    #[n(9)]
    author: String,
    #[n(10)]
    timestamp_ms: i64,
    #[n(11)]
    metadata: BTreeMap<String, String>,
    #[n(12)]
    epoch: u64,
    #[n(13)]
    changed_revision: u64,
}

#[derive(Encode, Decode)]
struct HistoryHead {
    #[n(0)]
    number: u64,
    #[n(1)]
    index: u32,
}

/// The stored form of a node.
pub(crate) fn encode_node(node: &Node) -> Result<Bytes> {
    let (chunks, content) = match &node.content {
        Content::Inline(bytes) => (None, bytes.clone()),
        Content::Chunked(chunks) => (Some(chunks.clone()), Bytes::new()),
    };
    let head = NodeHead {
        id: node.id,
        path: node.path.clone(),
        kind: node.kind,
        live: node.live,
        version: node.version,
        clock: node.clock.clone(),
        last_used: node.last_used.clone(),
        chunks,
        attributes: node.attributes.clone(),
        author: node.author.clone(),
        timestamp_ms: node.timestamp_ms,
        metadata: node.metadata.clone(),
        epoch: node.epoch,
        changed_revision: node.changed_revision,
    };
    with_head(&head, &content)
}

/// Reads a stored node; its content is a slice of `value`.
pub(crate) fn decode_node(value: &Bytes) -> Result<Node> {
    let (head, content): (NodeHead, Bytes) = split_head(value)?;
    Ok(Node {
        id: head.id,
        path: head.path,
        kind: head.kind,
        live: head.live,
        version: head.version,
        clock: head.clock,
        last_used: head.last_used,
        content: head.chunks.map_or(Content::Inline(content), Content::Chunked),
        attributes: head.attributes,
        author: head.author,
        timestamp_ms: head.timestamp_ms,
        metadata: head.metadata,
        epoch: head.epoch,
        changed_revision: head.changed_revision,
    })
}

/// The stored form of a history row.
pub(crate) fn encode_history(record: &HistoryRecord) -> Result<Bytes> {
    let copy = record.copy.as_ref().map(encode_node).transpose()?;
    let head = HistoryHead { number: record.number, index: record.index };
    with_head(&head, copy.as_deref().unwrap_or_default())
}

/// Reads a history row.
pub(crate) fn decode_history(value: &Bytes) -> Result<HistoryRecord> {
    let (head, copy): (HistoryHead, Bytes) = split_head(value)?;
    let copy = (!copy.is_empty()).then(|| decode_node(&copy)).transpose()?;
    Ok(HistoryRecord { number: head.number, index: head.index, copy })
}

fn with_head<T: Encode<()>>(head: &T, rest: &[u8]) -> Result<Bytes> {
    let head = minicbor::to_vec(head).map_err(Error::internal)?;
    let mut value = BytesMut::with_capacity(4 + head.len() + rest.len());
    value.put_u32(head.len() as u32);
    value.put_slice(&head);
    value.put_slice(rest);
    Ok(value.freeze())
}

fn split_head<T>(value: &Bytes) -> Result<(T, Bytes)>
where
    T: for<'b> Decode<'b, ()>,
{
    let length: [u8; 4] = value
        .get(..4)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| damaged_view("its length is cut"))?;
    let end = 4 + u32::from_be_bytes(length) as usize;
    let head = value.get(4..end).ok_or_else(|| damaged_view("its head is cut"))?;
    let head = minicbor::decode(head).map_err(damaged_view)?;
    Ok((head, value.slice(end..)))
}

fn damaged_view(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored view cannot be read: rebuild the views")
        .context(format!("view: {why}"))
}
