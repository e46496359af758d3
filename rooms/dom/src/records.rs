//! The stored forms of the document room: what its batches and views hold.
//!
//! A manifest is a CBOR array `[version, epoch, hash, [change, …], packed, control
//! records,
//! hashes]`: the chain's hash after the batch, and its changes as byte strings
//! (`vdom_core::dom::change`). The body is their diffs, one after the other. A change
//! set that is too large for that has its changes in pieces and its diffs in packs,
//! one after the other too, each a chunk that `packed` names. Of a compacted batch
//! only the hashes of its changes are left.

mod control;
mod kinds;
mod recorded_result;
mod stored;
mod views;

pub(crate) use control::{
    CHECKPOINT_ID, Checkpoint, CheckpointPiece, ControlRecord, KeptConflict, KeptReason, LIMIT_ID,
    Parent, decode_record, encode_record,
};
pub(crate) use kinds::DocumentView;
pub(crate) use recorded_result::RecordedResult;
pub(crate) use stored::{ChangeFilter, LogCursor, each_stored};
pub(crate) use views::{
    HistoryRecord, PathHistoryRecord, Pin, decode_history, decode_node, decode_pin, encode_history,
    encode_pin, history_id, node_row, path_history_id, pin_id,
};

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::ChangeEvent;
use vdom_core::dom::change::chain_hash;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    Change, ChangeSetHeader, ChunkPart, ContentChunk, Diff, Error, ErrorCode, Hash, OperationId,
    Result,
};
use vdom_store::{BatchOutline, LogEntry, OperationKey};

use crate::content::packs::{PackReader, StoredDiff};

const MANIFEST_VERSION: u32 = 1;

/// A change as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct LoggedChange {
    pub change: Arc<Change>,
    /// What its change set says of all its changes.
    pub set: Option<Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff as it is stored.
    pub diff: StoredDiff,
}

/// What the manifest of a batch says.
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
    pub control_records: Vec<ControlRecord>,
    changes: Changes,
}

/// What the manifest of a batch says beside its changes.
#[derive(Debug)]
pub(crate) struct OutlineRecord {
    /// As in [`BatchRecord`].
    pub epoch: u64,
    /// The same.
    pub hash: Hash,
    control_records: Vec<ControlRecord>,
}

#[derive(Debug)]
enum Changes {
    Inline(Vec<LoggedChange>),
    Packed(Packed),
    Compacted(Vec<Hash>),
}

/// What a change set has outside of its batch.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Packed {
    #[n(0)]
    pub pieces: Vec<Piece>,
    #[n(1)]
    pub packs: Vec<ContentChunk>,
    /// What the set says of all its changes, as its first change has it.
    #[n(2)]
    pub header: Option<ChangeSetHeader>,
}

/// A chunk of changes: a CBOR array of byte strings.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct Piece {
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
    control_records: Vec<ControlRecord>,
    /// Of a compacted batch, the hashes of its changes, one after the other.
    #[cbor(n(6), with = "minicbor::bytes")]
    hashes: Option<Vec<u8>>,
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
    control_records: Vec<ControlRecord>,
) -> Result<(Bytes, Bytes)> {
    let records = changes.iter().map(|(record, _)| Record(record)).collect();
    let version = MANIFEST_VERSION;
    let manifest =
        Manifest { version, epoch, hash, records, packed: None, control_records, hashes: None };
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
    control_records: Vec<ControlRecord>,
) -> Result<Bytes> {
    let (records, packed) = (Vec::new(), Some(packed));
    let version = MANIFEST_VERSION;
    let manifest =
        Manifest { version, epoch, hash, records, packed, control_records, hashes: None };
    minicbor::to_vec(manifest).map(Bytes::from).map_err(Error::internal)
}

/// The manifest that is left of a batch whose changes are compacted.
pub(crate) fn encode_compacted(record: &BatchRecord, hashes: &[Hash]) -> Result<Bytes> {
    // A pin of what the branch continues may come before what is compacted.
    let is_kept = |control: &&ControlRecord| {
        matches!(control, ControlRecord::Parent { .. } | ControlRecord::Pin { .. })
    };
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        epoch: record.epoch,
        hash: record.hash,
        records: Vec::new(),
        packed: None,
        control_records: record.control_records.iter().filter(is_kept).cloned().collect(),
        hashes: Some(hashes.iter().flat_map(|hash| hash.0).collect()),
    };
    minicbor::to_vec(manifest).map(Bytes::from).map_err(Error::internal)
}

/// The stored form of a piece.
pub(crate) fn encode_piece(records: &[&[u8]]) -> Result<Bytes> {
    let records: Vec<_> = records.iter().map(|record| Record(record)).collect();
    minicbor::to_vec(records).map(Bytes::from).map_err(Error::internal)
}

/// Reads a batch; diffs are slices of its body.
pub(crate) fn decode_batch(log_entry: &LogEntry) -> Result<BatchRecord> {
    let number = log_entry.number;
    let manifest = manifest_of(number, &log_entry.batch.manifest)?;
    let changes = match (manifest.hashes, manifest.packed) {
        (Some(hashes), _) => {
            let (hashes, []) = hashes.as_chunks() else {
                return Err(damaged_batch(number, "a list of hashes has a part of one"));
            };
            Changes::Compacted(hashes.iter().copied().map(Hash).collect())
        }
        (None, Some(packed)) => Changes::Packed(packed),
        (None, None) => {
            Changes::Inline(inline_entries(number, manifest.records, &log_entry.batch.body)?)
        }
    };
    Ok(BatchRecord {
        epoch: manifest.epoch,
        hash: manifest.hash,
        first_revision: log_entry.batch.first_revision,
        count: log_entry.batch.count,
        control_records: manifest.control_records,
        changes,
    })
}

/// Reads what a batch says beside its changes.
pub(crate) fn decode_outline(outline: &BatchOutline) -> Result<OutlineRecord> {
    let Manifest { epoch, hash, control_records, .. } =
        manifest_of(outline.number, &outline.manifest)?;
    Ok(OutlineRecord { epoch, hash, control_records })
}

fn manifest_of(number: u64, manifest: &[u8]) -> Result<Manifest<'_>> {
    let manifest: Manifest<'_> =
        minicbor::decode(manifest).map_err(|error| damaged_batch(number, error))?;
    if manifest.version != MANIFEST_VERSION {
        let why = format!("manifest version {} is not known", manifest.version);
        return Err(damaged_batch(number, why));
    }
    Ok(manifest)
}

impl OutlineRecord {
    /// As [`BatchRecord::parent`].
    pub(crate) fn parent(&self) -> Option<Parent<'_>> {
        self.control_records.iter().find_map(ControlRecord::parent)
    }
}

impl BatchRecord {
    /// What the branch continues, where it is the first of a log and says that.
    pub(crate) fn parent(&self) -> Option<Parent<'_>> {
        self.control_records.iter().find_map(ControlRecord::parent)
    }

    /// Whether it is the first of a log with which a restore goes on where another ended.
    pub(crate) fn is_restored(&self) -> bool {
        self.parent().is_some_and(|parent| parent.previous_epoch.is_some())
    }

    /// The hashes of its changes, where they are all that is left of them.
    pub(crate) fn compacted(&self) -> Option<&[Hash]> {
        match &self.changes {
            Changes::Compacted(hashes) => Some(hashes),
            Changes::Inline(_) | Changes::Packed(_) => None,
        }
    }

    /// In how many pieces the changes are.
    pub(crate) fn pieces(&self) -> usize {
        match &self.changes {
            Changes::Inline(_) | Changes::Compacted(_) => 1,
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
    ) -> Result<Vec<LoggedChange>> {
        match &self.changes {
            Changes::Inline(entries) if piece == 0 => Ok(entries.clone()),
            Changes::Inline(_) => Ok(Vec::new()),
            Changes::Compacted(_) => {
                Err(Error::new(ErrorCode::Compacted, "these changes are no longer kept"))
            }
            Changes::Packed(packed) => {
                let Some(piece) = packed.pieces.get(piece) else { return Ok(Vec::new()) };
                let bytes = reader.pack(piece.chunk).await?;
                packed.entries(piece, &bytes)
            }
        }
    }

    /// All changes, in order.
    pub(crate) async fn all(&self, reader: &mut PackReader<'_>) -> Result<Vec<LoggedChange>> {
        let mut entries = Vec::with_capacity(self.count as usize);
        for piece in 0..self.pieces() {
            entries.append(&mut self.entries(piece, reader).await?);
        }
        Ok(entries)
    }
}

impl Packed {
    fn entries(&self, piece: &Piece, bytes: &[u8]) -> Result<Vec<LoggedChange>> {
        let records: Vec<Record<'_>> = minicbor::decode(bytes).map_err(damaged_view)?;
        let set = self.header.clone().map(Arc::new);
        let mut cursor = PackCursor::of(piece);
        let mut entries = Vec::with_capacity(records.len());
        for Record(record) in records {
            let change = Change::decode(record)?;
            let part = cursor.next(&self.packs, change.diff_length)?;
            entries.push(LoggedChange {
                hash: chain_hash(record),
                change: Arc::new(change),
                set: set.clone(),
                diff: StoredDiff::Packed(part),
            });
        }
        Ok(entries)
    }
}

/// Where in its packs the next diff of a piece is.
struct PackCursor {
    pack: usize,
    start: u32,
}

impl PackCursor {
    fn of(piece: &Piece) -> Self {
        Self { pack: piece.pack as usize, start: piece.start }
    }

    fn next(&mut self, packs: &[ContentChunk], length: u32) -> Result<ChunkPart> {
        let damaged = |why: &str| damaged_view(format!("a piece of a change set: {why}"));
        let mut chunk = packs.get(self.pack).ok_or_else(|| damaged("a pack is missing"))?;
        if self.start == chunk.length {
            (self.pack, self.start) = (self.pack + 1, 0);
            chunk = packs.get(self.pack).ok_or_else(|| damaged("a pack is missing"))?;
        }
        let part = ChunkPart { chunk: *chunk, start: self.start, length };
        self.start = self.start.saturating_add(length);
        if self.start > chunk.length {
            return Err(damaged("a diff is cut"));
        }
        Ok(part)
    }
}

fn inline_entries(
    number: u64,
    records: Vec<Record<'_>>,
    body: &Bytes,
) -> Result<Vec<LoggedChange>> {
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
        entries.push(LoggedChange {
            hash: chain_hash(record),
            change: Arc::new(change),
            set: set.clone(),
            diff: StoredDiff::Inline(body.slice(offset..end)),
        });
        offset = end;
    }
    Ok(entries)
}

/// A change as a reader sees it, with its diff where that is wanted and at most 1 MiB.
pub(crate) async fn event(
    entry: &LoggedChange,
    with_diff: bool,
    packs: &mut PackReader<'_>,
) -> Result<ChangeEvent> {
    let diff = match &entry.diff {
        diff if with_diff && diff.len() <= CHUNK_BYTES => shown_diff(packs.diff(diff).await?),
        _ => None,
    };
    let (change, set) = (entry.change.clone(), entry.set.clone());
    Ok(ChangeEvent { change, set, hash: entry.hash, diff })
}

/// What clients are shown of a stored diff: nothing where its content is above 1 MiB.
pub(crate) fn shown_diff(stored: Bytes) -> Option<Bytes> {
    let is_shown = stored.len() <= CHUNK_BYTES && !Diff::names_chunks(&stored);
    is_shown.then_some(stored)
}

fn damaged_batch(number: u64, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored batch cannot be read: see the server's log")
        .context(format!("batch {number}: {why}"))
}

pub(crate) fn damaged_view(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored view cannot be read: rebuild the views")
        .context(format!("view: {why}"))
}
