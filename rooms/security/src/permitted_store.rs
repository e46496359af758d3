//! The store behind permits: nobody reaches it without one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;
use vdom_store::{
    Append, Batch, Chunk, ChunkId, CommitHint, Guarantees, LogDescriptor, LogEnds, LogEntry,
    LogFilter, LogId, LogName, OperationKey, PathRange, Store, StoreError, StoreErrorKind,
    StoreResult, StoredChunk, UploadId, View, ViewKind, ViewWrite, Watermark,
};

use crate::authorize::Permit;

/// A store that opens to who shows a permit. Cheap to clone.
#[derive(Clone)]
pub struct GuardedStore(Arc<dyn Store>);

impl GuardedStore {
    /// Takes the store in; who holds it otherwise needs no permit.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// The store as far as the permit goes.
    pub fn with<'a>(&'a self, permit: &'a Permit) -> PermittedStore<'a> {
        PermittedStore { store: &*self.0, permit }
    }

    /// What the store guarantees for as long as it is open.
    pub fn guarantees(&self) -> Guarantees {
        self.0.guarantees()
    }
}

impl fmt::Debug for GuardedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("GuardedStore").field(&self.0.guarantees().backend).finish()
    }
}

/// The calls of [`Store`], each under a permit.
///
/// # Errors
/// Beside those of the store, every call fails with [`StoreErrorKind::Invalid`] where the
/// permit does not cover it: what names another realm than the permit's, and writes under
/// a permit to read. A log is known here by its id alone: whoever derives the id from a
/// name checks the realm, as opening a branch does.
#[derive(Clone, Copy)]
#[must_use]
pub struct PermittedStore<'a> {
    store: &'a dyn Store,
    permit: &'a Permit,
}

#[expect(missing_docs, reason = "the calls of `Store`, which says what they do")]
impl PermittedStore<'_> {
    pub async fn append(self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        self.may_write()?;
        if let Some(descriptor) = &batch.descriptor {
            self.covers(&descriptor.name.realm)?;
        }
        self.store.append(log, number, batch).await
    }

    pub async fn read(self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>> {
        self.store.read(log, from, max_bytes).await
    }

    pub async fn last(self, log: LogId) -> StoreResult<Option<LogEntry>> {
        self.store.last(log).await
    }

    pub async fn ends(self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        self.store.ends(logs).await
    }

    pub async fn number_of(self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        self.store.number_of(log, revision).await
    }

    pub async fn confirm(self, log: LogId, head: u64) -> StoreResult<bool> {
        self.store.confirm(log, head).await
    }

    pub async fn next_batches(self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>> {
        self.covers_all()?;
        self.store.next_batches(logs).await
    }

    pub fn commit_hints(self) -> broadcast::Receiver<CommitHint> {
        self.store.commit_hints()
    }

    pub async fn find_operations(
        self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        self.store.find_operations(log, keys).await
    }

    pub async fn compact(self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        self.may_write()?;
        self.store.compact(log, manifests).await
    }

    pub async fn find(self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        self.covers(&name.realm)?;
        self.store.find(name).await
    }

    pub async fn logs(self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        self.covers(&filter.realm)?;
        self.store.logs(filter).await
    }

    pub async fn realms(self) -> StoreResult<Vec<String>> {
        self.covers_all()?;
        self.store.realms().await
    }

    pub async fn write_views(
        self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        self.may_write()?;
        self.store.write_views(log, writes, watermark).await
    }

    pub async fn watermark(self, log: LogId) -> StoreResult<Watermark> {
        self.store.watermark(log).await
    }

    pub async fn view(self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        self.store.view(log, kind, id).await
    }

    pub async fn views_at(self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>> {
        self.store.views_at(log, kind, path).await
    }

    pub async fn scan_paths(
        self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        self.store.scan_paths(log, kind, range).await
    }

    pub async fn scan_reverse(
        self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        self.store.scan_reverse(log, kind, from, to, limit).await
    }

    pub async fn delete_views(self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        self.may_write()?;
        self.store.delete_views(log, kind, ids).await
    }

    pub async fn clear_views(self, log: LogId) -> StoreResult<()> {
        self.may_write()?;
        self.store.clear_views(log).await
    }

    pub async fn put_chunk(self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        self.may_write()?;
        self.covers(realm)?;
        self.store.put_chunk(realm, chunk).await
    }

    pub async fn stage_chunk(self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()> {
        self.may_write()?;
        self.covers(realm)?;
        self.store.stage_chunk(realm, chunk, upload).await
    }

    pub async fn discard_chunks(
        self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        self.may_write()?;
        self.covers(realm)?;
        self.store.discard_chunks(realm, ids, upload).await
    }

    pub async fn chunk(self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        self.covers(realm)?;
        self.store.chunk(realm, id).await
    }

    pub async fn chunks(
        self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        self.covers(realm)?;
        self.store.chunks(realm, after, limit).await
    }

    pub async fn delete_chunks(
        self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        self.may_write()?;
        self.covers(realm)?;
        self.store.delete_chunks(realm, ids, touched_before_ms).await
    }

    pub async fn reclaim(self) -> StoreResult<()> {
        self.may_write()?;
        self.covers_all()?;
        self.store.reclaim().await
    }

    pub async fn close(self) -> StoreResult<()> {
        self.may_write()?;
        self.covers_all()?;
        self.store.close().await
    }

    fn covers(self, realm: &str) -> StoreResult<()> {
        match self.permit.realm() {
            Some(own) if own.as_str() != realm => Err(self.refused(&format!("realm `{realm}`"))),
            _ => Ok(()),
        }
    }

    fn covers_all(self) -> StoreResult<()> {
        match self.permit.realm() {
            Some(_) => Err(self.refused("all realms")),
            None => Ok(()),
        }
    }

    fn may_write(self) -> StoreResult<()> {
        if self.permit.may_write() { Ok(()) } else { Err(self.refused("writes")) }
    }

    fn refused(self, what: &str) -> StoreError {
        let message = format!("the permit of {} does not cover {what}", self.permit.subject());
        StoreError::new(StoreErrorKind::Invalid, message)
    }
}

impl fmt::Debug for PermittedStore<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PermittedStore").field(self.permit).finish()
    }
}

#[cfg(test)]
#[path = "permitted_store/tests.rs"]
mod tests;
