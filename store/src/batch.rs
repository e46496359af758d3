//! A batch: the unit that a log appends, and what it carries for the store.

pub(crate) mod codec;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use crate::chunk::ChunkId;
use crate::hex_id::shown_as_hex;
use crate::log::{LogDescriptor, LogId};

/// The most that [`Batch::encode`] may give, in bytes.
pub const BATCH_MAX_BYTES: usize = 4 << 20;

/// Says whether the batch that stands at a number is the one that was appended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(pub [u8; 16]);

/// An operation id as the store indexes it: a hash of subject and id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationKey(pub [u8; 16]);

shown_as_hex!(BatchId, OperationKey);

/// A row of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// Given by the writer; what stands at a number with our id is ours.
    pub id: BatchId,
    /// [`Batch::digest`] of the batch before; zero for the first.
    pub previous: [u8; 32],
    /// What the log is about; on the first batch only.
    pub descriptor: Option<LogDescriptor>,
    /// The revision of the first change; of the next one where there is none.
    pub first_revision: u64,
    /// How many changes the batch holds; may be 0.
    pub count: u32,
    /// The operation ids of the changes, in any order.
    pub operations: Vec<OperationKey>,
    /// The chunks that the batch names.
    pub chunks: Vec<ChunkId>,
    /// True when the log ends here.
    pub closing: bool,
    /// Of a batch that was compacted: the digest that it had with its changes.
    pub compacted_from: Option<[u8; 32]>,
    /// What happened, without contents: cheap to read for an overlay.
    pub manifest: Bytes,
    /// The contents that the manifest points into.
    pub body: Bytes,
}

/// A batch, and the number that it stands at in its log: 1, 2, 3 … without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogEntry {
    pub number: u64,
    pub batch: Batch,
}

/// What a batch says of itself, and its manifest; not its contents.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as those of `Batch` and `LogEntry`")]
pub struct BatchOutline {
    pub number: u64,
    pub first_revision: u64,
    pub count: u32,
    pub closing: bool,
    pub manifest: Bytes,
}

/// Where a log begins, and where it ends; the same batch where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogEnds {
    pub log: LogId,
    pub first: BatchOutline,
    pub last: BatchOutline,
}

impl From<&LogEntry> for BatchOutline {
    /// The manifest is copied: it would keep the contents in memory.
    fn from(LogEntry { number, batch }: &LogEntry) -> Self {
        let Batch { first_revision, count, closing, manifest, .. } = batch;
        Self {
            number: *number,
            first_revision: *first_revision,
            count: *count,
            closing: *closing,
            manifest: Bytes::copy_from_slice(manifest),
        }
    }
}

impl fmt::Debug for BatchOutline {
    /// Without the manifest: it belongs to users, and not into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchOutline")
            .field("number", &self.number)
            .field("first_revision", &self.first_revision)
            .field("count", &self.count)
            .field("closing", &self.closing)
            .field("manifest_bytes", &self.manifest.len())
            .finish()
    }
}

impl Batch {
    /// What is left of a batch once its changes are compacted: its place in the chain,
    /// and what `manifest` says of them.
    #[must_use]
    pub fn into_compacted(self, manifest: Bytes) -> Self {
        let compacted_from = Some(self.digest());
        let (operations, chunks, body) = (Vec::new(), Vec::new(), Bytes::new());
        Self { operations, chunks, compacted_from, manifest, body, ..self }
    }
}

impl fmt::Debug for Batch {
    /// Without contents: they belong to users, and not into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("id", &self.id)
            .field("previous", &hex::encode(self.previous))
            .field("descriptor", &self.descriptor)
            .field("first_revision", &self.first_revision)
            .field("count", &self.count)
            .field("operations", &self.operations.len())
            .field("chunks", &self.chunks.len())
            .field("closing", &self.closing)
            .field("compacted", &self.compacted_from.is_some())
            .field("manifest_bytes", &self.manifest.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
