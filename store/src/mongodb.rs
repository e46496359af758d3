//! The MongoDB backend: one deployment shared by many gateways.
//!
//! | collection | `_id` | holds |
//! |---|---|---|
//! | `changes` | log id, number of fixed width | batches |
//! | `views` | log id, kind, row id in hex | rows |
//! | `watermarks` | log id | watermarks |
//! | `chunks` | hash, realm | chunks |
//!
//! Written for servers that promise little: every write may be repeated, every cursor
//! is sorted, and what a server can do is found out by trying it.

mod change_stream;
mod chunks;
mod connect;
mod documents;
mod errors;
mod forward_write;
mod handle;
mod linearizable_reads;
mod logs;
mod staged_chunks;
mod views;

use std::future::IntoFuture;
use std::sync::atomic::Ordering;

use ::mongodb::bson::doc;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

pub use self::connect::MongoOptions;
pub use self::handle::MongoStore;
use crate::batch::{Batch, LogEnds, LogEntry, OperationKey};
use crate::chunk::{Chunk, ChunkId, StoredChunk, UploadId};
use crate::commit_hint::CommitHint;
use crate::error::StoreResult;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain;
use crate::store::{Append, Guarantees, Store};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

#[async_trait]
impl Store for MongoStore {
    fn guarantees(&self) -> Guarantees {
        let mut guarantees = self.guarantees.clone();
        if self.linearizable.are_refused() {
            guarantees.warnings.push(connect::NO_LINEARIZABLE_READS.to_owned());
        }
        if !self.stream_is_open.load(Ordering::Relaxed) {
            guarantees.warnings.push(connect::NO_CHANGE_STREAM.to_owned());
        }
        guarantees
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        log_chain::check_shape(log, number, batch)?;
        self.append_batch(log, number, batch).await
    }

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>> {
        self.read_batches(log, from.max(1), max_bytes).await
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        self.last_batch(log).await
    }

    async fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        self.ends_of(logs).await
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        self.number_of_revision(log, revision).await
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        self.is_free(log, head.saturating_add(1)).await
    }

    async fn next_batches(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>> {
        self.batches_at(logs).await
    }

    fn commit_hints(&self) -> broadcast::Receiver<CommitHint> {
        self.hints.subscribe()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        self.numbers_of_operations(log, keys).await
    }

    async fn compact(&self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        self.compact_batches(log, manifests).await
    }

    async fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        self.newest_log(name).await
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        self.descriptors(filter).await
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        self.all_realms().await
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        writes.iter().try_for_each(ViewWrite::check)?;
        self.write_rows(log, writes).await?;
        match watermark {
            Some(watermark) => self.write_watermark(log, watermark).await,
            None => Ok(()),
        }
    }

    async fn watermark(&self, log: LogId) -> StoreResult<Watermark> {
        self.read_watermark(log).await
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        self.row(log, kind, id).await
    }

    async fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        self.live_rows_at(log, kind, path).await
    }

    async fn scan_paths(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        self.rows_by_path(log, kind, range).await
    }

    async fn scan_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        self.rows_in_reverse(log, kind, from, to, limit).await
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        self.delete_rows(log, kind, ids).await
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        self.delete_all_rows(log).await
    }

    async fn put_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        chunk.check(realm)?;
        self.write_chunk(realm, chunk).await
    }

    async fn stage_chunk(&self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()> {
        chunk.check(realm)?;
        self.write_staged_chunk(realm, chunk, upload).await
    }

    async fn discard_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        self.let_go_of_chunks(realm, ids, upload).await
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        self.read_chunk(realm, id).await
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        self.list_chunks(realm, after, limit).await
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        self.remove_chunks(realm, ids, touched_before_ms).await
    }

    async fn ready(&self) -> StoreResult<()> {
        let ping = self.collections.database.run_command(doc! { "ping": 1 });
        self.boundary.within("ping", ping.into_future()).await.map(|_| ())
    }

    async fn reclaim(&self) -> StoreResult<()> {
        // The server uses the room again.
        Ok(())
    }

    async fn close(&self) -> StoreResult<()> {
        self.watching.abort();
        let client = self.client.clone();
        self.boundary
            .within("close", async move {
                client.shutdown().immediate(true).await;
                Ok(())
            })
            .await
    }
}
