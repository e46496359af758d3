//! The stored forms of rows: a CBOR head, its length before it, and raw bytes after
//! it, so that contents are sliced and never copied.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use vdom_core::{
    Content, ContentChunk, Error, Node, NodeId, NodeKind, NodePath, Result, VectorClock,
};

use vdom_store::{LogId, Position, View};

use super::{ControlRecord, damaged_view};

/// Where a change of a node stands in the log: the number of its batch, and which change
/// of that; perhaps also the node after it.
#[derive(Debug)]
pub(crate) struct HistoryRecord {
    pub number: u64,
    /// Which change of the batch, from 0.
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
pub(crate) fn path_history_id(path: &NodePath, revision: u64) -> Bytes {
    let mut id = BytesMut::with_capacity(24);
    id.put_slice(&Sha256::digest(path.as_str())[..16]);
    id.put_u64(revision);
    id.freeze()
}

/// A branch that continues this one, as its creator pinned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Of the other branch.
    pub log: LogId,
    /// The last revision that both have.
    pub revision: u64,
    /// Ms since the Unix epoch; not always known.
    pub made_at_ms: Option<i64>,
}

impl From<Pin> for ControlRecord {
    fn from(Pin { log, revision, made_at_ms }: Pin) -> Self {
        Self::Pin { log: log.0, revision, made_at_ms }
    }
}

/// The id of a row about a pin.
pub(crate) fn pin_id(log: &[u8; 32], revision: u64) -> Bytes {
    let mut id = BytesMut::with_capacity(40);
    id.put_slice(log);
    id.put_u64(revision);
    id.freeze()
}

/// The value of a row about a pin: its revision, and after that when it was made.
pub(crate) fn encode_pin(revision: u64, made_at_ms: Option<i64>) -> Result<Bytes> {
    let mut value = minicbor::to_vec(revision).map_err(Error::internal)?;
    minicbor::encode(made_at_ms, &mut value).map_err(Error::internal)?;
    Ok(value.into())
}

/// Reads a row about a pin; the oldest ones have the log alone as id, and the revision alone as
/// value.
pub(crate) fn decode_pin(row: &View) -> Result<Pin> {
    let log = row.id.get(..32).and_then(|id| id.try_into().ok());
    let log = LogId(log.ok_or_else(|| damaged_view("a pin names no log"))?);
    let mut value = minicbor::Decoder::new(&row.value);
    let revision = value.u64().map_err(damaged_view)?;
    let is_at_end = value.position() == row.value.len();
    let made_at_ms = if is_at_end { None } else { value.decode().map_err(damaged_view)? };
    Ok(Pin { log, revision, made_at_ms })
}

/// Who holds a path from a revision on.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct PathHistoryRecord {
    /// `None`: nobody.
    #[n(0)]
    pub holder: Option<NodeId>,
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
        Content::Part(_) => {
            return Err(Error::internal("a node's content is loaded before its view is written"));
        }
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

/// The row of a node.
pub(crate) fn node_row(node: &Node) -> Result<View> {
    Ok(View {
        id: Bytes::copy_from_slice(node.id.as_bytes()),
        path: Some(node.path.to_string()),
        live: node.live,
        position: Position { epoch: node.epoch, revision: node.changed_revision },
        value: encode_node(node)?,
    })
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

/// Reads what [`encode_history`] wrote.
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
