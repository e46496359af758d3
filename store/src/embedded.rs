//! The embedded backend: one process, one disk, one fsync for all who wait.
//!
//! One thread, the committer, makes every write; reads go to the engine at once.
//! Point reads are made where they are asked for, scans on the blocking pool.

mod committer;
mod directory;
mod disk;
mod engine;
mod group;
mod journals;
mod keys;
mod manifests;
mod mark;
mod read;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, oneshot};

use self::committer::{Committer, Request};
use self::directory::Directory;
use self::disk::Disk;
use self::engine::{Engine, Moment};
use crate::batch::{Batch, LogDescriptor, LogId, Numbered, OperationKey};
use crate::chain;
use crate::contract::{
    Append, ChunkId, EARLY_QUEUE, Early, LogFilter, Promises, Store, StoreError, StoreErrorKind,
    StoreResult, StoredChunk, check_chunk,
};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// So many point reads are made in place; more go to the blocking pool.
const POINT_READS_IN_PLACE: usize = 64;

/// So many rows are cleared by one write.
const CLEARED_AT_ONCE: usize = 8_192;

/// How much memory and disk the embedded store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// For blocks read from disk, in bytes.
    pub cache_bytes: u64,
    /// For the newest rows of each of the four families, in bytes; a burst may take
    /// five times that. A store keeps what it was created with.
    pub memtable_bytes: u64,
    /// Open files kept at hand; at least 10.
    pub open_files: usize,
    /// Writes are refused while the disk has less room than this, in bytes.
    pub min_free_bytes: u64,
}

impl Default for EmbeddedOptions {
    /// For a gateway.
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            memtable_bytes: 16 << 20,
            open_files: 512,
            min_free_bytes: 256 << 20,
        }
    }
}

impl EmbeddedOptions {
    /// For a process that must stay small.
    pub fn small() -> Self {
        Self {
            cache_bytes: 1 << 20,
            memtable_bytes: 1 << 20,
            open_files: 32,
            min_free_bytes: 64 << 20,
        }
    }
}

/// A store in a directory that belongs to this process alone.
pub struct Embedded {
    open: RwLock<Option<Arc<Open>>>,
    /// Ends when the last user of the directory is gone.
    released: Mutex<Option<oneshot::Receiver<()>>>,
    early: broadcast::Sender<Early>,
    disk: Disk,
    shown_path: String,
}

/// An open store. The fields are dropped in this order: the engine before the lock.
struct Open {
    committer: Committer,
    engine: Arc<Engine>,
    _directory: Arc<Directory>,
}

impl Embedded {
    /// Opens the store in this directory, or creates it.
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyOpen`], [`StoreErrorKind::NewerFormat`],
    /// [`StoreErrorKind::Damaged`], and [`StoreErrorKind::Unavailable`] where the
    /// disk refuses; the message names the directory.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> StoreResult<Self> {
        let path = path.as_ref();
        let (directory, mark, released) = Directory::open(path)?;
        directory.create_engine(|engine| Engine::create(engine, &options))?;
        manifests::check(path, &directory.engine_path())?;
        let was_closed = directory.take_closed()?;
        let cut = journals::check(path, &directory.engine_path(), was_closed)?;
        let engine = Engine::open(&directory.engine_path(), &options)?;
        let groups = read::last_groups(&engine.moment())?;
        match (mark.check(path, &groups), cut) {
            (Ok(()), Some(cut)) => cut.forget()?,
            (Err(error), Some(cut)) => return Err(cut.add_to(&error)),
            (checked, None) => checked?,
        }
        let group = mark::newest(&groups);
        let (engine, directory) = (Arc::new(engine), Arc::new(directory));
        let committer = Committer::start(Arc::clone(&engine), Arc::clone(&directory), mark, group)?;
        let open = Open { committer, engine, _directory: directory };
        let (early, _) = broadcast::channel(EARLY_QUEUE);
        Ok(Self {
            open: RwLock::new(Some(Arc::new(open))),
            released: Mutex::new(Some(released)),
            early,
            disk: Disk::new(path, options.min_free_bytes),
            shown_path: path.display().to_string(),
        })
    }

    fn reach(&self) -> StoreResult<Arc<Open>> {
        let Some(open) = self.open.read().clone() else {
            return Err(StoreError::new(
                StoreErrorKind::Stopped,
                format_args!("the store at {} is closed", self.shown_path),
            ));
        };
        open.committer.check()?;
        Ok(open)
    }

    fn reach_to_write(&self) -> StoreResult<Arc<Open>> {
        let open = self.reach()?;
        self.disk.check()?;
        Ok(open)
    }

    /// Runs a scan where it may block.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Moment<'_>) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let open = self.reach()?;
        match tokio::task::spawn_blocking(move || scan(&open.engine.moment())).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!("a scan of the store at {} ended: {error}", self.shown_path),
            )),
        }
    }
}

#[async_trait]
impl Store for Embedded {
    fn promises(&self) -> Promises {
        Promises {
            backend: "embedded",
            durability: "An acknowledged write is on this machine's disk (fsync).".to_owned(),
            shared: false,
            warnings: Vec::new(),
        }
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        let open = self.reach_to_write()?;
        chain::check_shape(log, number, batch)?;
        let encoded = batch.encode()?;
        let batch = Box::new(batch.clone());
        open.committer.ask(|answer| Request::Append { log, number, batch, encoded, answer }).await
    }

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<Numbered>> {
        self.scan(move |moment| read::batches(moment, log, from, max_bytes)).await
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<Numbered>> {
        read::last(&self.reach()?.engine.moment(), log)
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        read::number_of(&self.reach()?.engine.moment(), log, revision)
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        Ok(read::batch(&self.reach()?.engine.moment(), log, head.saturating_add(1))?.is_none())
    }

    async fn next_of(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, Numbered)>> {
        if logs.len() <= POINT_READS_IN_PLACE {
            return read::next_of(&self.reach()?.engine.moment(), logs);
        }
        let logs = logs.to_vec();
        self.scan(move |moment| read::next_of(moment, &logs)).await
    }

    fn early(&self) -> broadcast::Receiver<Early> {
        // No other process can append, so nothing is ever sent.
        self.early.subscribe()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        if keys.len() <= POINT_READS_IN_PLACE {
            return read::operations(&self.reach()?.engine.moment(), log, keys);
        }
        let keys = keys.to_vec();
        self.scan(move |moment| read::operations(moment, log, &keys)).await
    }

    async fn compact(&self, log: LogId, emptied: &[(u64, Bytes)]) -> StoreResult<()> {
        // It makes room, so a full disk is no reason to refuse it.
        let open = self.reach()?;
        let emptied = emptied.to_vec();
        open.committer.ask(|answer| Request::Compact { log, emptied, answer }).await
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        let filter = filter.clone();
        self.scan(move |moment| read::logs(moment, &filter)).await
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        self.scan(read::realms).await
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        let open = self.reach_to_write()?;
        writes.iter().try_for_each(ViewWrite::check)?;
        let writes = writes.to_vec();
        open.committer.ask(|answer| Request::Views { log, writes, watermark, answer }).await
    }

    async fn watermark(&self, log: LogId) -> StoreResult<Watermark> {
        read::watermark(&self.reach()?.engine.moment(), log)
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        read::view(&self.reach()?.engine.moment(), log, kind, id)
    }

    async fn views_at(&self, log: LogId, path: &str) -> StoreResult<Vec<View>> {
        read::views_at(&self.reach()?.engine.moment(), log, path)
    }

    async fn scan_paths(&self, log: LogId, range: &PathRange) -> StoreResult<Vec<View>> {
        let range = range.clone();
        self.scan(move |moment| read::paths(moment, log, &range)).await
    }

    async fn scan_back(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.scan(move |moment| read::back(moment, log, kind, &from, &to, limit)).await
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        let open = self.reach()?;
        let ids = ids.to_vec();
        open.committer.ask(|answer| Request::DeleteViews { log, kind, ids, answer }).await
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        loop {
            let find = move |moment: &Moment<'_>| read::keys_of_views(moment, log, CLEARED_AT_ONCE);
            let keys = self.scan(find).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let open = self.reach()?;
            open.committer.ask(|answer| Request::ClearViews { log, keys, answer }).await?;
        }
    }

    async fn put_chunk(&self, realm: &str, id: ChunkId, bytes: Bytes) -> StoreResult<()> {
        let open = self.reach_to_write()?;
        check_chunk(id, &bytes)?;
        let realm = realm.to_owned();
        open.committer.ask(|answer| Request::Chunk { realm, id, bytes, answer }).await
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        let realm = realm.to_owned();
        self.scan(move |moment| read::chunk(moment, &realm, id)).await
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        let realm = realm.to_owned();
        self.scan(move |moment| read::chunks(moment, &realm, after, limit)).await
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        let open = self.reach()?;
        let (realm, ids, before_ms) = (realm.to_owned(), ids.to_vec(), touched_before_ms);
        let ask = |answer| Request::DeleteChunks { realm, ids, before_ms, answer };
        open.committer.ask(ask).await
    }

    async fn ready(&self) -> StoreResult<()> {
        self.reach_to_write().map(|_| ())
    }

    async fn reclaim(&self) -> StoreResult<()> {
        let open = self.reach()?;
        match tokio::task::spawn_blocking(move || open.engine.reclaim()).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!("giving back room of the store at {} ended: {error}", self.shown_path),
            )),
        }
    }

    async fn close(&self) -> StoreResult<()> {
        let open = self.open.write().take();
        let released = self.released.lock().take();
        let (Some(open), Some(released)) = (open, released) else { return Ok(()) };
        let flushed = open.committer.ask(|answer| Request::Close { answer }).await;
        // The engine waits for its threads when it goes.
        thread::spawn(move || drop(open));
        // The sender is dropped, never used: this is how its end is heard.
        let _ = released.await;
        flushed
    }
}
