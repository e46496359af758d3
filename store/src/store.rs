//! The contract that every backend keeps.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::batch::{Batch, LogEnds, LogEntry, OperationKey};
use crate::chunk::{Chunk, ChunkId, StoredChunk, UploadId};
use crate::commit_hint::CommitHint;
use crate::error::StoreResult;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};
#[cfg(doc)]
use crate::{chunk::CHUNK_MAX_BYTES, error::StoreErrorKind};

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The batch stands at its number and would survive power loss or failover.
    Committed,
    /// Another batch stands there: read on and decide again.
    Conflict,
}

/// What a store guarantees; found out by trying, not by a server's topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// `embedded`, `memory` or `mongodb`.
    pub backend: &'static str,
    /// What an acknowledged write survives, a sentence for people.
    pub durability: String,
    /// Other processes may append to the same logs.
    pub shared: bool,
    /// What cannot be guaranteed, a sentence each; empty when all is.
    pub warnings: Vec<String>,
}

/// Logs, views and chunks.
///
/// # Errors
/// Any call fails with [`StoreErrorKind::Unavailable`] (try again later) or
/// [`StoreErrorKind::Stopped`] (only a new start helps), any read also with
/// [`StoreErrorKind::Damaged`], and writes that take room with [`StoreErrorKind::Full`].
/// What else a call may answer stands at the call.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store guarantees now.
    fn guarantees(&self) -> Guarantees;

    /// Puts `batch` at `number` of `log` if nothing stands there. Answers
    /// [`Append::Committed`] also when this very batch (same id) already stands
    /// there and is committed.
    ///
    /// # Errors
    /// [`StoreErrorKind::OutcomeUnknown`] is settled by appending the same batch again.
    /// [`StoreErrorKind::Invalid`] where the batch cannot stand there: a gap, a wrong
    /// digest of the batch before, a closed log.
    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append>;

    /// Committed batches from number `from` on, consecutive, until about `max_bytes`
    /// (at least one if there is one).
    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>>;

    /// The last committed batch, if the log exists.
    async fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>>;

    /// The ends of those of the logs that exist, in any order. `logs` may be long; the
    /// backend slices.
    async fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>>;

    /// The number of the batch that holds `revision` (the greatest number whose
    /// `first_revision` is at or below it and whose `count` is above 0); past the
    /// head, of the last batch that holds a change.
    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>>;

    /// Proves whether `head` + 1 was still free at a moment after the call began.
    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool>;

    /// For each log the batch at the given number, if it is committed: the feed
    /// that is complete and ordered. `logs` may be long; the backend slices.
    async fn next_batches(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>>;

    /// Hints about batches that other processes commit from now on.
    fn commit_hints(&self) -> broadcast::Receiver<CommitHint>;

    /// For each key the number of the newest batch that carries it.
    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>>;

    /// Takes the changes out of batches, given by their numbers and the manifests that
    /// shall stand in for what they held. Each keeps its number and its place in the
    /// chain; its operations are no longer found. What is compacted already stays as it
    /// is. Rows that were written before are as lasting as what is removed.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] where a batch does not exist.
    async fn compact(&self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()>;

    /// The newest log of a name, closed or not; found by the ids that the name can have,
    /// however many logs there are.
    async fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>>;

    /// The logs that exist, by their first batches, in ascending order.
    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>>;

    /// The realms that have a log, in ascending order.
    async fn realms(&self) -> StoreResult<Vec<String>>;

    /// Writes rows, each only if its position is after the stored one's; then
    /// moves the watermark forward. Losing to a newer row is success.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`], with nothing written, where a row is above a limit.
    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()>;

    /// How far the views of `log` are complete.
    async fn watermark(&self, log: LogId) -> StoreResult<Watermark>;

    /// The row of this id, if there is one; it may be a tombstone.
    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>>;

    /// The live rows of a kind at exactly this path.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] where the kind is not indexed by path.
    async fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>>;

    /// Rows of a kind by path.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] where the kind is not indexed by path.
    async fn scan_paths(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>>;

    /// Rows with `from` <= id <= `to`, descending by id, at most `limit`.
    async fn scan_reverse(
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
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] above [`CHUNK_MAX_BYTES`], or for a realm with a zero byte or
    /// more than 1,024.
    async fn put_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()>;

    /// Stores or touches a chunk for an upload that may come to nothing; durable when it
    /// answers. What the upload made stays its own until somebody else puts it: uploads that
    /// stage the same bytes hold the chunk together, and [`Store::put_chunk`] makes it stay.
    ///
    /// # Errors
    /// As those of [`Store::put_chunk`].
    async fn stage_chunk(&self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()>;

    /// An upload lets go of chunks that it staged: those that it was the last to hold, and that
    /// nobody else has put since, are removed. Tells how many; repeating it removes no more.
    async fn discard_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64>;

    /// The bytes of a chunk; `None` if it is not there.
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

    /// Makes all that was written last, and releases what the store holds. Later calls
    /// fail with [`StoreErrorKind::Stopped`]; closing again changes nothing.
    async fn close(&self) -> StoreResult<()>;
}
