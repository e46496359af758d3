//! The stored forms of the document room: what its batches and views hold.
//!
//! A manifest is a CBOR array `[version, epoch, hash, [change, …], packed]`: the
//! chain's hash after the batch, and its changes as byte strings
//! (`vdom_core::change`). The body is their diffs, one after the other. A change
//! set that is too large for that has its changes in pieces and its diffs in packs,
//! one after the other too, each a chunk that `packed` names.
//!
//! A view's value is a CBOR head, its length before it, and raw bytes after it, so
//! that contents are sliced and never copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use vdom_core::calls::ChangeEvent;
use vdom_core::change::chain_hash;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    Change, ChangeSetHeader, ChunkPart, ConflictId, Content, ContentChunk, Error, ErrorCode, Hash,
    Node, NodeId, NodeKind, NodePath, OperationId, Result, VectorClock,
};
use vdom_store::{Numbered, OperationKey};

use super::packs::{PackReader, StoredDiff};

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
    pub diff: StoredDiff,
}

/// What a batch says.
#[derive(Debug)]
pub(crate) struct BatchRecord {
    /// The incarnation that its changes belong to.
    pub epoch: u64,
    /// The hash of the last change up to its end.
    pub hash: Hash,
    /// Of the first of its changes.
    pub first_revision: u64,
    /// How many changes it has.
    pub count: u32,
    /// What it says besides.
    pub notes: Vec<Note>,
    changes: Changes,
}

#[derive(Debug)]
enum Changes {
    AtHand(Vec<Entry>),
    Packed(Packed),
}

/// What a change set has outside of its batch.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Packed {
    /// Its changes.
    #[n(0)]
    pub pieces: Vec<Piece>,
    /// Their diffs.
    #[n(1)]
    pub packs: Vec<ContentChunk>,
    /// What the set says of all its changes, as its first change has it.
    #[n(2)]
    pub header: Option<ChangeSetHeader>,
}

/// A chunk of changes: a CBOR array of byte strings.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct Piece {
    /// The chunk.
    #[n(0)]
    pub chunk: ContentChunk,
    /// How many changes it has.
    #[n(1)]
    pub count: u32,
    /// Which pack has the diff of the first of them.
    #[n(2)]
    pub pack: u32,
    /// Where in that pack.
    #[n(3)]
    pub start: u32,
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
    #[n(4)]
    packed: Option<Packed>,
    #[n(5)]
    notes: Vec<Note>,
}

/// What a batch says besides changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Note {
    /// In a first batch: the branch continues another one of the same repo.
    #[n(0)]
    Origin {
        /// Its name.
        #[n(0)]
        branch: String,
        /// Which log of that name.
        #[n(1)]
        incarnation: u64,
        /// The last revision that both have.
        #[n(2)]
        revision: u64,
        /// Its epoch, where this is the same branch after a restore.
        #[n(3)]
        previous_epoch: Option<u64>,
    },
    /// Another branch continues this one: what it needs must be kept.
    #[n(1)]
    Pin {
        /// Its log.
        #[cbor(n(0), with = "minicbor::bytes")]
        log: [u8; 32],
        /// The last revision that both have.
        #[n(1)]
        revision: u64,
    },
    /// A write was refused, and is kept until someone resolves it.
    #[n(2)]
    Conflict(#[n(0)] Box<KeptConflict>),
    /// A kept conflict is resolved.
    #[n(3)]
    Resolved(#[n(0)] ConflictId),
}

/// A refused write. What stood there is read from the history.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptConflict {
    /// Its name.
    #[n(0)]
    pub id: ConflictId,
    /// Why it was refused.
    #[n(1)]
    pub reason: KeptReason,
    /// The node that stood there.
    #[n(2)]
    pub node_id: NodeId,
    /// The head that it was refused on.
    #[n(3)]
    pub revision: u64,
    /// When, ms since the Unix epoch.
    #[n(4)]
    pub timestamp_ms: i64,
    /// Who was refused.
    #[n(5)]
    pub subject: String,
    /// The node that the writer named.
    #[n(6)]
    pub asked_node_id: Option<NodeId>,
    /// The path that the writer named.
    #[n(7)]
    pub asked_path: Option<NodePath>,
    /// The kind that the writer named.
    #[n(8)]
    pub asked_kind: Option<NodeKind>,
    /// The diff, in its stored form.
    #[cbor(n(9), with = "minicbor::bytes")]
    pub diff: Vec<u8>,
    /// What the writer had seen.
    #[n(10)]
    pub clock: VectorClock,
    /// Whose clock entry would have moved.
    #[n(11)]
    pub actor: String,
    /// Who made it.
    #[n(12)]
    pub author: String,
    /// Why.
    #[n(13)]
    pub message: String,
    /// Free words.
    #[n(14)]
    pub metadata: BTreeMap<String, String>,
    /// What made it safe to repeat.
    #[n(15)]
    pub operation_id: Option<OperationId>,
}

/// Why a kept write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum KeptReason {
    #[n(1)]
    StaleClock,
    #[n(2)]
    PathExists,
    #[n(3)]
    Deleted,
    #[n(4)]
    TargetExists,
    #[n(5)]
    Merge,
}

/// The stored form of a kept conflict as a row.
pub(crate) fn encode_conflict(conflict: &KeptConflict) -> Result<Bytes> {
    minicbor::to_vec(conflict).map(Bytes::from).map_err(Error::internal)
}

/// Reads a kept conflict.
pub(crate) fn decode_conflict(value: &[u8]) -> Result<KeptConflict> {
    minicbor::decode(value).map_err(damaged_view)
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Record<'a>(#[cbor(b(0), with = "minicbor::bytes")] &'a [u8]);

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
    changes: &[(&[u8], &Bytes)],
    notes: Vec<Note>,
) -> Result<(Bytes, Bytes)> {
    let records = changes.iter().map(|(record, _)| Record(record)).collect();
    let version = MANIFEST_VERSION;
    let manifest = Manifest { version, epoch, hash, records, packed: None, notes };
    let manifest = minicbor::to_vec(manifest).map_err(Error::internal)?;
    let mut body = BytesMut::with_capacity(changes.iter().map(|(_, diff)| diff.len()).sum());
    for (_, diff) in changes {
        body.put_slice(diff);
    }
    Ok((manifest.into(), body.freeze()))
}

/// The manifest of a batch whose changes are in pieces.
pub(crate) fn encode_packed(
    epoch: u64,
    hash: Hash,
    packed: Packed,
    notes: Vec<Note>,
) -> Result<Bytes> {
    let (records, packed) = (Vec::new(), Some(packed));
    let version = MANIFEST_VERSION;
    let manifest = Manifest { version, epoch, hash, records, packed, notes };
    minicbor::to_vec(manifest).map(Bytes::from).map_err(Error::internal)
}

/// The stored form of a piece.
pub(crate) fn encode_piece(records: &[&[u8]]) -> Result<Bytes> {
    let records: Vec<_> = records.iter().map(|record| Record(record)).collect();
    minicbor::to_vec(records).map(Bytes::from).map_err(Error::internal)
}

/// Reads a batch; diffs are slices of its body.
pub(crate) fn decode_batch(numbered: &Numbered) -> Result<BatchRecord> {
    let number = numbered.number;
    let manifest: Manifest<'_> =
        minicbor::decode(&numbered.batch.manifest).map_err(|error| damaged_batch(number, error))?;
    if manifest.version != MANIFEST_VERSION {
        let why = format!("manifest version {} is not known", manifest.version);
        return Err(damaged_batch(number, why));
    }
    let changes = match manifest.packed {
        Some(packed) => Changes::Packed(packed),
        None => Changes::AtHand(entries_at_hand(number, manifest.records, &numbered.batch.body)?),
    };
    Ok(BatchRecord {
        epoch: manifest.epoch,
        hash: manifest.hash,
        first_revision: numbered.batch.first_revision,
        count: numbered.batch.count,
        notes: manifest.notes,
        changes,
    })
}

impl BatchRecord {
    /// In how many pieces the changes are.
    pub(crate) fn pieces(&self) -> usize {
        match &self.changes {
            Changes::AtHand(_) => 1,
            Changes::Packed(packed) => packed.pieces.len(),
        }
    }

    /// The piece that holds the change at this place in the batch, and how many
    /// changes come before it.
    pub(crate) fn piece_of(&self, index: u32) -> (usize, u32) {
        let Changes::Packed(packed) = &self.changes else { return (0, 0) };
        let mut before = 0;
        for (at, piece) in packed.pieces.iter().enumerate() {
            if index < before + piece.count {
                return (at, before);
            }
            before += piece.count;
        }
        (packed.pieces.len(), before)
    }

    /// The changes of a piece, in order; none for one that is not there.
    pub(crate) async fn entries(
        &self,
        piece: usize,
        reader: &mut PackReader<'_>,
    ) -> Result<Vec<Entry>> {
        match &self.changes {
            Changes::AtHand(entries) if piece == 0 => Ok(entries.clone()),
            Changes::AtHand(_) => Ok(Vec::new()),
            Changes::Packed(packed) => {
                let Some(piece) = packed.pieces.get(piece) else { return Ok(Vec::new()) };
                let bytes = reader.pack(piece.chunk).await?;
                packed.entries(piece, &bytes)
            }
        }
    }

    /// All changes, in order.
    pub(crate) async fn all(&self, reader: &mut PackReader<'_>) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(self.count as usize);
        for piece in 0..self.pieces() {
            entries.append(&mut self.entries(piece, reader).await?);
        }
        Ok(entries)
    }
}

impl Packed {
    fn entries(&self, piece: &Piece, bytes: &[u8]) -> Result<Vec<Entry>> {
        let damaged = |why: &str| damaged_view(format!("a piece of a change set: {why}"));
        let records: Vec<Record<'_>> = minicbor::decode(bytes).map_err(damaged_view)?;
        let set = self.header.clone().map(Arc::new);
        let (mut pack, mut start) = (piece.pack as usize, piece.start);
        let mut entries = Vec::with_capacity(records.len());
        for Record(record) in records {
            let change = Change::decode(record)?;
            let mut chunk = self.packs.get(pack).ok_or_else(|| damaged("a pack is missing"))?;
            if start == chunk.length {
                (pack, start) = (pack + 1, 0);
                chunk = self.packs.get(pack).ok_or_else(|| damaged("a pack is missing"))?;
            }
            let part = ChunkPart { chunk: *chunk, start, length: change.diff_length };
            start += change.diff_length;
            if start > chunk.length {
                return Err(damaged("a diff is cut"));
            }
            entries.push(Entry {
                hash: chain_hash(record),
                change: Arc::new(change),
                set: set.clone(),
                diff: StoredDiff::Packed(part),
            });
        }
        Ok(entries)
    }
}

fn entries_at_hand(number: u64, records: Vec<Record<'_>>, body: &Bytes) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(records.len());
    let mut set = None;
    let mut offset = 0usize;
    for Record(record) in records {
        let change = Change::decode(record)?;
        let end = offset + change.diff_length as usize;
        if change.set_header.is_some() || change.change_set.is_none() {
            set = change.set_header.clone().map(Arc::new);
        }
        if end > body.len() {
            let why = format!("the diff of revision {} is cut", change.revision);
            return Err(damaged_batch(number, why));
        }
        entries.push(Entry {
            hash: chain_hash(record),
            change: Arc::new(change),
            set: set.clone(),
            diff: StoredDiff::AtHand(body.slice(offset..end)),
        });
        offset = end;
    }
    Ok(entries)
}

/// A change as a reader sees it, with its diff where that is wanted and at most 1 MiB.
pub(crate) async fn event(
    entry: &Entry,
    with_diff: bool,
    packs: &mut PackReader<'_>,
) -> Result<ChangeEvent> {
    let diff = match &entry.diff {
        diff if with_diff && diff.len() <= CHUNK_BYTES => Some(packs.diff(diff).await?),
        _ => None,
    };
    let (change, set) = (entry.change.clone(), entry.set.clone());
    Ok(ChangeEvent { change, set, hash: entry.hash, diff })
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

fn damaged_batch(number: u64, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored batch cannot be read: see the server's log")
        .context(format!("batch {number}: {why}"))
}

fn damaged_view(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored view cannot be read: rebuild the views")
        .context(format!("view: {why}"))
}
