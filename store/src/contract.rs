//! The contract that every backend keeps.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;

use crate::batch::{Batch, LogDescriptor, LogId, Numbered, OperationKey, shown_as_hex};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// Names a chunk: the SHA-256 of its stored bytes, within a realm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 32]);

shown_as_hex!(ChunkId);

impl ChunkId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// A chunk as the collector sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its name.
    pub id: ChunkId,
    /// When it was last put, in ms since the Unix epoch.
    pub touched_ms: u64,
}

/// The largest chunk; a larger content takes several.
pub const CHUNK_MAX_BYTES: usize = 8 << 20;

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The batch stands at its number and would survive power loss or failover.
    Committed,
    /// Another batch stands there: read on and decide again.
    Taken,
}

/// Which logs to list.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Exactly this realm.
    pub realm: String,
    /// Exactly this repo.
    pub repo: Option<String>,
    /// Exactly this branch.
    pub branch: Option<String>,
}

impl LogFilter {
    /// Whether the filter takes this log in.
    pub fn takes(&self, log: &LogDescriptor) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        self.realm == log.realm && is(&self.repo, &log.repo) && is(&self.branch, &log.branch)
    }
}

/// What a server promises; found out by trying, not by its topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promises {
    /// `embedded`, `memory` or `mongodb`.
    pub backend: &'static str,
    /// What an acknowledged write survives, for people.
    pub durability: String,
    /// Other processes may append to the same logs.
    pub shared: bool,
    /// What cannot be promised, a sentence each; empty when all is.
    pub warnings: Vec<String>,
}

/// An early word that a batch was committed by somebody else. May be lost, late
/// or repeated: only [`Store::next_of`] is complete.
#[derive(Clone, Debug)]
pub struct Early {
    /// Where.
    pub log: LogId,
    /// Which.
    pub number: u64,
    /// The batch, where the backend had it at hand.
    pub batch: Option<Batch>,
}

/// Batches up to this size are carried by early words.
pub(crate) const EARLY_BATCH_MAX_BYTES: usize = 64 << 10;

/// How many early words wait for a slow listener; older ones are dropped.
pub(crate) const EARLY_QUEUE: usize = 256;

/// Logs, views and chunks.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store promises.
    fn promises(&self) -> Promises;

    /// Puts `batch` at `number` of `log` if nothing stands there. Answers
    /// [`Append::Committed`] also when this very batch (same id) already stands
    /// there and is committed. [`StoreErrorKind::OutcomeUnknown`] is settled by
    /// appending the same batch again. [`StoreErrorKind::Invalid`] where the batch
    /// cannot stand there: a gap, a wrong digest of the batch before, a closed log.
    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append>;

    /// Committed batches from `from` on, consecutive, until about `max_bytes`
    /// (at least one if there is one).
    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<Numbered>>;

    /// The last committed batch, if the log exists.
    async fn last(&self, log: LogId) -> StoreResult<Option<Numbered>>;

    /// The number of the batch that holds `revision` (the greatest number whose
    /// `first_revision` is at or below it and whose `count` is above 0); past the
    /// head, of the last batch that holds a change.
    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>>;

    /// Proves whether `head` + 1 was still free at a moment after the call began.
    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool>;

    /// For each log the batch at the given number, if it is committed: the feed
    /// that is complete and ordered. `logs` may be long; the backend slices.
    async fn next_of(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, Numbered)>>;

    /// Early words about batches that other processes committed.
    fn early(&self) -> broadcast::Receiver<Early>;

    /// For each key the number of the newest batch that carries it.
    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>>;

    /// Takes the changes out of batches, each of which keeps its number, its place in
    /// the chain and the manifest that is given for it; their operations are no longer
    /// found. What is compacted already stays as it is.
    /// [`StoreErrorKind::Invalid`] where a batch does not exist.
    async fn compact(&self, log: LogId, emptied: &[(u64, Bytes)]) -> StoreResult<()>;

    /// The logs that exist, by their first batches, in ascending order.
    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>>;

    /// The realms that have a log, in ascending order.
    async fn realms(&self) -> StoreResult<Vec<String>>;

    /// Writes rows, each only if its position is after the stored one's; then
    /// moves the watermark forward. Losing to a newer row is success.
    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()>;

    /// How far the views of `log` are complete.
    async fn watermark(&self, log: LogId) -> StoreResult<Watermark>;

    /// One row, tombstones included.
    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>>;

    /// The live rows of kind Node at exactly this path.
    async fn views_at(&self, log: LogId, path: &str) -> StoreResult<Vec<View>>;

    /// Rows of kind Node by path.
    async fn scan_paths(&self, log: LogId, range: &PathRange) -> StoreResult<Vec<View>>;

    /// Rows with `from` <= id <= `to`, descending by id, at most `limit`.
    async fn scan_back(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>>;

    /// Removes rows that are not needed any more, whatever their positions.
    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()>;

    /// Removes all rows of a log and its watermark, so that they can be derived anew.
    async fn clear_views(&self, log: LogId) -> StoreResult<()>;

    /// Stores a chunk, or touches it; durable when it answers.
    /// [`StoreErrorKind::Invalid`] above [`CHUNK_MAX_BYTES`] or under a wrong name.
    async fn put_chunk(&self, realm: &str, id: ChunkId, bytes: Bytes) -> StoreResult<()>;

    /// Reads a chunk; `None` if it is not there.
    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>>;

    /// The chunks of a realm after one, by id, at most `limit`.
    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>>;

    /// Removes chunks, but for those that were touched at or after a time, in ms since
    /// the Unix epoch; tells how many it removed.
    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64>;

    /// Whether the store can take writes now; the reason when it cannot.
    async fn ready(&self) -> StoreResult<()>;

    /// Gives back the room of what was removed, as far as the backend does not do that
    /// by itself; may take long.
    async fn reclaim(&self) -> StoreResult<()>;

    /// Flushes and releases everything.
    async fn close(&self) -> StoreResult<()>;
}

/// A store's answer.
pub type StoreResult<T> = Result<T, StoreError>;

/// What went wrong, for the caller to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Try again later: no server, no primary.
    Unavailable,
    /// There is no room for writes until someone makes some; reads go on.
    Full,
    /// Closed, or ended for good by a failed write: only a new start helps.
    Stopped,
    /// An append may or may not have happened: append the same batch again.
    OutcomeUnknown,
    /// What was asked for is gone.
    Compacted,
    /// A checksum does not match, or a record cannot be decoded.
    Damaged,
    /// Another process has the store open.
    AlreadyOpen,
    /// The store was written by a newer release.
    NewerFormat,
    /// The call breaks the contract, such as a batch above the limit.
    Invalid,
}

/// Why a store refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// What was wrong, where, and what to do; may name files and servers, so it
    /// is for operators, not for clients.
    pub message: String,
}

impl StoreError {
    /// An error of this kind.
    pub fn new(kind: StoreErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}

/// Refuses bytes that are not what they are named.
pub(crate) fn check_chunk(id: ChunkId, bytes: &[u8]) -> StoreResult<()> {
    if bytes.len() > CHUNK_MAX_BYTES {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!(
                "chunk {id} has {} bytes, the limit is {CHUNK_MAX_BYTES}: split the content",
                bytes.len()
            ),
        ));
    }
    if ChunkId::of(bytes) != id {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("chunk {id} is not the SHA-256 of its bytes"),
        ));
    }
    Ok(())
}
