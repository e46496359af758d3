//! The embedded backend: one process, one disk, one fsync for all who wait.
//!
//! Batches are appended to segments by one thread; chunks to segments of their own, and rows to the
//! engine, by another. Reads go to either at once. Point reads are made where they are asked for, scans on
//! the blocking pool.

mod chunks;
mod commit_group;
mod committer;
mod directory;
mod disk_space;
mod engine;
mod errors;
mod formats;
mod journals;
mod keys;
mod keyspace;
mod logs;
mod manifests;
mod marker;
mod options;
mod read;
mod record;
mod segments;
mod stopping;
#[cfg(test)]
mod tests;
mod torn_end;
mod write_cache;
mod write_request;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, oneshot};

use self::chunks::{ChunkSegments, ChunkWriter};
use self::committer::Committer;
use self::directory::Directory;
use self::disk_space::DiskSpace;
use self::engine::{Engine, Snapshot};
use self::logs::{LogReader, SegmentedLogs};
use self::marker::EngineMarker;
pub use self::options::EmbeddedOptions;
use self::segments::REMOVED_FROM;
use self::stopping::Stopped;
use self::write_request::WriteRequest;
use crate::batch::{Batch, LogEnds, LogEntry, OperationKey};
use crate::chunk::{Chunk, ChunkId, StoredChunk, UploadId};
use crate::commit_hint::{CommitHint, HINT_QUEUE};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain;
use crate::store::{Append, Guarantees, Store};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// So many point reads are made in place; more go to the blocking pool.
const POINT_READS_IN_PLACE: usize = 64;

/// So many rows are cleared by one write.
const CLEARED_AT_ONCE: usize = 8_192;

/// Once so many chunks are removed, their room is given back.
const CHUNKS_RECLAIMED_AT_ONCE: u64 = 32;

/// A store in a directory that belongs to this process alone.
pub struct EmbeddedStore {
    open: RwLock<Option<Arc<OpenStore>>>,
    /// Ends when the last user of the directory is gone.
    released: Mutex<Option<oneshot::Receiver<()>>>,
    hints: broadcast::Sender<CommitHint>,
    disk: DiskSpace,
    shown_path: String,
}

/// An open store. The fields are dropped in this order: the engine before the lock.
struct OpenStore {
    logs: SegmentedLogs,
    committer: Committer,
    chunks: Arc<ChunkSegments>,
    engine: Arc<Engine>,
    stopped: Stopped,
    removed_chunks: RemovedChunks,
    directory: Arc<Directory>,
}

/// Chunks whose room was not given back yet.
#[derive(Default)]
struct RemovedChunks {
    count: AtomicU64,
    /// Held while room is given back: once at a time.
    reclaiming: Mutex<()>,
}

impl OpenStore {
    /// Makes the rows last that were written so far.
    fn sync_rows(&self) -> StoreResult<()> {
        self.engine.sync().map_err(|error| {
            let what = format_args!("rows of the store cannot be made to last: {error}");
            StoreError::new(StoreErrorKind::Unavailable, what)
        })
    }

    /// Takes note of removed chunks, and gives their room back now and then, beside other calls.
    fn removed_chunks(self: &Arc<Self>, removed: u64) {
        let count = self.removed_chunks.count.fetch_add(removed, Ordering::Relaxed) + removed;
        if removed == 0 || count < CHUNKS_RECLAIMED_AT_ONCE {
            return;
        }
        let open = Arc::clone(self);
        // Nobody waits for it.
        drop(tokio::task::spawn_blocking(move || {
            let Some(_one) = open.removed_chunks.reclaiming.try_lock() else { return };
            open.removed_chunks.count.store(0, Ordering::Relaxed);
            // What could not be done is logged, and done later.
            let _ = open.chunks.reclaim(&open.directory, &open.committer, REMOVED_FROM);
        }));
    }
}

impl EmbeddedStore {
    /// Opens the store in this directory, or creates it.
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyOpen`], [`StoreErrorKind::NewerFormat`],
    /// [`StoreErrorKind::Damaged`], and [`StoreErrorKind::Unavailable`] where the
    /// disk refuses; the message names the directory.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> StoreResult<Self> {
        let path = path.as_ref();
        let (logs, chunks) = (logs::folder(path, &options), chunks::folder(path, &options));
        let create = || logs.create().and_then(|()| chunks.create());
        let (directory, released) = Directory::open(path, create)?;
        let marker = EngineMarker::open(path, &directory.marker())?;
        directory.create_engine(|engine| Engine::create(engine, &options))?;
        manifests::check(path, &directory.engine_path())?;
        let was_closed = directory.take_closed()?;
        if !was_closed {
            logs.renew_last(path)?;
            chunks.renew_last(path)?;
        }
        let cut = journals::check(path, &directory.engine_path(), was_closed)?;
        let engine = Engine::open(&directory.engine_path(), &options)?;
        let groups = read::last_groups(&engine.snapshot())?;
        match (marker.check(path, &groups), cut) {
            (Ok(()), Some(cut)) => cut.forget()?,
            (Err(error), Some(cut)) => return Err(cut.add_to(&error)),
            (checked, None) => checked?,
        }
        formats::upgrade(&directory, &engine, &options)?;
        let group = marker::newest(&groups);
        let (engine, directory) = (Arc::new(engine), Arc::new(directory));
        let stopped = Stopped::default();
        let logs = SegmentedLogs::open(&directory, &engine, &options, &stopped)?;
        let writer = ChunkWriter::open(&directory, &engine, &options)?;
        let chunks = Arc::clone(writer.segments());
        let removed_chunks = RemovedChunks::default();
        let (of_engine, of_directory) = (Arc::clone(&engine), Arc::clone(&directory));
        let committer = Committer::start(of_engine, of_directory, writer, marker, group, &stopped)?;
        let open =
            OpenStore { logs, committer, chunks, engine, stopped, removed_chunks, directory };
        let (hints, _) = broadcast::channel(HINT_QUEUE);
        Ok(Self {
            open: RwLock::new(Some(Arc::new(open))),
            released: Mutex::new(Some(released)),
            hints,
            disk: DiskSpace::new(path, options.min_free_bytes),
            shown_path: path.display().to_string(),
        })
    }

    fn opened(&self) -> StoreResult<Arc<OpenStore>> {
        let Some(open) = self.open.read().clone() else {
            return Err(StoreError::new(
                StoreErrorKind::Stopped,
                format_args!("the store at {} is closed", self.shown_path),
            ));
        };
        open.stopped.check()?;
        Ok(open)
    }

    fn writable(&self) -> StoreResult<Arc<OpenStore>> {
        let open = self.opened()?;
        self.disk.check()?;
        Ok(open)
    }

    /// Runs a scan of the engine where it may block.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Snapshot<'_>) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.run_blocking(move |open| scan(&open.engine.snapshot())).await
    }

    /// Runs a scan of logs where it may block.
    async fn scan_logs<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&LogReader) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.run_blocking(move |open| scan(open.logs.reader())).await
    }

    /// Runs what may block.
    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OpenStore) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let open = self.opened()?;
        match tokio::task::spawn_blocking(move || work(&open)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!("work on the store at {} ended: {error}", self.shown_path),
            )),
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            backend: "embedded",
            durability: "An acknowledged write is on this machine's disk (fsync).".to_owned(),
            shared: false,
            warnings: Vec::new(),
        }
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        let open = self.writable()?;
        log_chain::check_shape(log, number, batch)?;
        let encoded = batch.encode()?;
        open.logs.append(log, number, batch.clone(), encoded).await
    }

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>> {
        // One batch, or none, is a point read.
        {
            let open = self.opened()?;
            let reader = open.logs.reader();
            if max_bytes == 1 || !reader.stands(log, from)? {
                return reader.batches(log, from, max_bytes);
            }
        }
        self.scan_logs(move |reader| reader.batches(log, from, max_bytes)).await
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        self.opened()?.logs.reader().last(log)
    }

    async fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        let logs = logs.to_vec();
        self.scan_logs(move |reader| reader.ends(&logs)).await
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        self.opened()?.logs.reader().number_of(log, revision)
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        Ok(!self.opened()?.logs.reader().stands(log, head.saturating_add(1))?)
    }

    async fn next_batches(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>> {
        if logs.len() <= POINT_READS_IN_PLACE {
            return self.opened()?.logs.reader().next_batches(logs);
        }
        let logs = logs.to_vec();
        self.scan_logs(move |reader| reader.next_batches(&logs)).await
    }

    fn commit_hints(&self) -> broadcast::Receiver<CommitHint> {
        // No other process can append, so nothing is ever sent.
        self.hints.subscribe()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        if keys.len() <= POINT_READS_IN_PLACE {
            return self.opened()?.logs.reader().operations(log, keys);
        }
        let keys = keys.to_vec();
        self.scan_logs(move |reader| reader.operations(log, &keys)).await
    }

    async fn compact(&self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        // It makes room, so a full disk is no reason to refuse it.
        let open = self.opened()?;
        // What is removed was taken over by rows, which must not be lost where it is gone.
        self.run_blocking(OpenStore::sync_rows).await?;
        open.logs.compact(log, manifests.to_vec()).await
    }

    async fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        self.opened()?.logs.reader().find(name)
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        let filter = filter.clone();
        self.scan_logs(move |reader| reader.logs(&filter)).await
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        self.scan_logs(LogReader::realms).await
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        let open = self.writable()?;
        writes.iter().try_for_each(ViewWrite::check)?;
        let writes = writes.to_vec();
        open.committer.submit(|reply| WriteRequest::Views { log, writes, watermark, reply }).await
    }

    async fn watermark(&self, log: LogId) -> StoreResult<Watermark> {
        read::watermark(&self.opened()?.engine.snapshot(), log)
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        read::view(&self.opened()?.engine.snapshot(), log, kind, id)
    }

    async fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        read::views_at(&self.opened()?.engine.snapshot(), log, kind, path)
    }

    async fn scan_paths(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        let range = range.clone();
        self.scan(move |snapshot| read::paths(snapshot, log, kind, &range)).await
    }

    async fn scan_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.scan(move |snapshot| read::rows_in_reverse(snapshot, log, kind, &from, &to, limit))
            .await
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        let open = self.opened()?;
        let ids = ids.to_vec();
        open.committer.submit(|reply| WriteRequest::DeleteViews { log, kind, ids, reply }).await
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        loop {
            let find =
                move |snapshot: &Snapshot<'_>| read::keys_of_views(snapshot, log, CLEARED_AT_ONCE);
            let keys = self.scan(find).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let open = self.opened()?;
            open.committer.submit(|reply| WriteRequest::ClearViews { log, keys, reply }).await?;
        }
    }

    async fn put_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        let open = self.writable()?;
        chunk.check(realm)?;
        let realm = realm.to_owned();
        open.committer.submit(|reply| WriteRequest::Chunk { realm, chunk, reply }).await
    }

    async fn stage_chunk(&self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()> {
        let open = self.writable()?;
        chunk.check(realm)?;
        let realm = realm.to_owned();
        let ask = |reply| WriteRequest::StageChunk { realm, chunk, upload, reply };
        open.committer.submit(ask).await
    }

    async fn discard_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        let open = self.opened()?;
        let (realm, ids) = (realm.to_owned(), ids.to_vec());
        let ask = |reply| WriteRequest::DiscardChunks { realm, ids, upload, reply };
        let removed = open.committer.submit(ask).await?;
        open.removed_chunks(removed);
        Ok(removed)
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        let realm = realm.to_owned();
        self.run_blocking(move |open| open.chunks.read(&realm, id)).await
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        let realm = realm.to_owned();
        self.scan(move |snapshot| read::chunks(snapshot, &realm, after, limit)).await
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        let open = self.opened()?;
        let (realm, ids, before_ms) = (realm.to_owned(), ids.to_vec(), touched_before_ms);
        let ask = |reply| WriteRequest::DeleteChunks { realm, ids, before_ms, reply };
        let removed = open.committer.submit(ask).await?;
        open.removed_chunks(removed);
        Ok(removed)
    }

    async fn ready(&self) -> StoreResult<()> {
        self.writable().map(|_| ())
    }

    async fn reclaim(&self) -> StoreResult<()> {
        // The engine first: it gives room back and needs none.
        self.run_blocking(|open| open.engine.reclaim()).await?;
        let chunks = self.run_blocking(|open| {
            let _one = open.removed_chunks.reclaiming.lock();
            open.chunks.reclaim_on_request(&open.directory, &open.committer)
        });
        let chunks = chunks.await;
        // Whether or not the chunks have room to give.
        self.opened()?.logs.reclaim().await.and(chunks)
    }

    async fn close(&self) -> StoreResult<()> {
        let open = self.open.write().take();
        let released = self.released.lock().take();
        let (Some(open), Some(released)) = (open, released) else { return Ok(()) };
        let logs_flushed = open.logs.close().await;
        // Whatever is not noted as closed is looked at when it is opened.
        let flushed = match logs_flushed {
            Ok(()) => open.committer.submit(|reply| WriteRequest::Close { reply }).await,
            refused => refused,
        };
        // The engine waits for its threads when it goes.
        thread::spawn(move || drop(open));
        // The sender is dropped, never used: this is how its end is heard.
        let _ = released.await;
        flushed
    }
}
