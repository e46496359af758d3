//! A gateway's way to its store: every call takes its time, and one of them may be the
//! gateway's last.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use vdom_store::{
    Append, Batch, Chunk, ChunkId, CommitHint, Guarantees, LogDescriptor, LogEnds, LogEntry,
    LogFilter, LogId, LogName, OperationKey, PathRange, Store, StoreResult, StoredChunk, UploadId,
    View, ViewKind, ViewWrite, Watermark,
};

use crate::random::mixed;

/// No scenario needs so many calls.
const CALLS_MAX: u64 = 200_000;

/// The store as one run of a gateway reaches it.
pub(super) struct GatewayStore {
    inner: Arc<dyn Store>,
    seed: u64,
    delay_ms: u64,
    state: Mutex<State>,
    /// Told when the gateway ends.
    pub(super) ended: Notify,
}

#[derive(Default)]
struct State {
    /// How many calls of a kind there were: what one takes depends on nothing else.
    calls: BTreeMap<&'static str, u64>,
    /// So many more calls, then none is answered.
    left: Option<u64>,
    has_ended: bool,
    total: u64,
}

impl GatewayStore {
    /// A way to a store whose calls take at most `delay_ms`.
    pub(super) fn new(inner: Arc<dyn Store>, seed: u64, delay_ms: u64) -> Self {
        Self { inner, seed, delay_ms, state: Mutex::default(), ended: Notify::new() }
    }

    /// The gateway ends at its call number `at` from now, before or after that took effect.
    pub(super) fn end_at(&self, at: u64) {
        self.state.lock().left = Some(at);
    }

    /// The gateway goes on.
    pub(super) fn go_on(&self) {
        self.state.lock().left = None;
    }

    /// Nothing is answered any more: the process is gone.
    pub(super) fn end(&self) {
        self.state.lock().has_ended = true;
    }

    /// Whether the process is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().has_ended
    }

    async fn pass(&self, call: &'static str) {
        match self.begin(call) {
            None => pending().await,
            Some(0) => {}
            Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
        }
    }

    /// How many ms a call takes; `None`: there is no answer.
    fn begin(&self, call: &'static str) -> Option<u64> {
        let mut state = self.state.lock();
        if let Some(left) = &mut state.left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => state.has_ended = true,
            }
        }
        state.total += 1;
        assert!(state.total <= CALLS_MAX, "{call} is called for ever");
        if state.has_ended {
            self.ended.notify_one();
            return None;
        }
        let count = state.calls.entry(call).or_default();
        *count += 1;
        let name = call.bytes().fold(0, |sum, byte| sum * 31 % 65_521 + u64::from(byte));
        Some(mixed(self.seed ^ mixed((name << 32) ^ *count)) % (self.delay_ms + 1))
    }

    /// A call that changes something may be the last one after it took effect, too.
    async fn passed<T>(&self, answer: T) -> T {
        if self.state.lock().left.is_some() {
            self.pass("answer").await;
        }
        answer
    }
}

#[async_trait]
impl Store for GatewayStore {
    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        self.pass("append").await;
        self.passed(self.inner.append(log, number, batch).await).await
    }

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>> {
        self.pass("read").await;
        self.inner.read(log, from, max_bytes).await
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        self.pass("last").await;
        self.inner.last(log).await
    }

    async fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        self.pass("ends").await;
        self.inner.ends(logs).await
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        self.pass("number_of").await;
        self.inner.number_of(log, revision).await
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        self.pass("confirm").await;
        self.inner.confirm(log, head).await
    }

    async fn next_batches(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>> {
        self.pass("next_batches").await;
        self.inner.next_batches(logs).await
    }

    fn commit_hints(&self) -> broadcast::Receiver<CommitHint> {
        self.inner.commit_hints()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        self.pass("find_operations").await;
        self.inner.find_operations(log, keys).await
    }

    async fn compact(&self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        self.pass("compact").await;
        self.passed(self.inner.compact(log, manifests).await).await
    }

    async fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        self.pass("find").await;
        self.inner.find(name).await
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        self.pass("logs").await;
        self.inner.logs(filter).await
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        self.pass("realms").await;
        self.inner.realms().await
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        self.pass("write_views").await;
        self.passed(self.inner.write_views(log, writes, watermark).await).await
    }

    async fn watermark(&self, log: LogId) -> StoreResult<Watermark> {
        self.pass("watermark").await;
        self.inner.watermark(log).await
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        self.pass("view").await;
        self.inner.view(log, kind, id).await
    }

    async fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>> {
        self.pass("views_at").await;
        self.inner.views_at(log, kind, path).await
    }

    async fn scan_paths(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        self.pass("scan_paths").await;
        self.inner.scan_paths(log, kind, range).await
    }

    async fn scan_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        self.pass("scan_reverse").await;
        self.inner.scan_reverse(log, kind, from, to, limit).await
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        self.pass("delete_views").await;
        self.passed(self.inner.delete_views(log, kind, ids).await).await
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        self.pass("clear_views").await;
        self.inner.clear_views(log).await
    }

    async fn put_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        self.pass("put_chunk").await;
        self.passed(self.inner.put_chunk(realm, chunk).await).await
    }

    async fn stage_chunk(&self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()> {
        self.pass("stage_chunk").await;
        self.passed(self.inner.stage_chunk(realm, chunk, upload).await).await
    }

    async fn discard_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        self.pass("discard_chunks").await;
        self.passed(self.inner.discard_chunks(realm, ids, upload).await).await
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        self.pass("chunk").await;
        self.inner.chunk(realm, id).await
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        self.pass("chunks").await;
        self.inner.chunks(realm, after, limit).await
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        self.pass("delete_chunks").await;
        self.inner.delete_chunks(realm, ids, touched_before_ms).await
    }

    async fn ready(&self) -> StoreResult<()> {
        self.inner.ready().await
    }

    async fn reclaim(&self) -> StoreResult<()> {
        self.inner.reclaim().await
    }

    async fn close(&self) -> StoreResult<()> {
        self.inner.close().await
    }
}
