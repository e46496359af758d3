//! The memory backend: deterministic by a seed, with faults on request.
//!
//! Handles made with [`MemoryStore::peer`] share one content, as gateways share a
//! database: each hears commit hints about what the others append.

mod faults;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

pub use self::faults::{AppendFault, ViewFaults};
use self::faults::{Faults, ViewFate};
use self::state::MemoryState;
use crate::batch::{Batch, LogEnds, LogEntry, OperationKey};
use crate::chunk::{Chunk, ChunkId, StoredChunk, UploadId, touched_at_ms};
use crate::commit_hint::{CommitHint, HINT_QUEUE, HINTED_BATCH_MAX_BYTES};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::store::{Append, Guarantees, Store};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// A store that lives as long as its last handle.
pub struct MemoryStore {
    content: Arc<SharedContent>,
    shared: bool,
    hints: broadcast::Sender<CommitHint>,
    cut_off: AtomicBool,
    holds_finds: watch::Sender<bool>,
}

/// What all handles of one store have in common.
struct SharedContent {
    state: Mutex<MemoryState>,
    faults: Mutex<Faults>,
    listeners: Mutex<Vec<broadcast::Sender<CommitHint>>>,
}

impl MemoryStore {
    /// An empty store for one process; `seed` decides what faults do.
    pub fn new(seed: u64) -> Self {
        Self::join(SharedContent::new(seed), false)
    }

    /// An empty store that says that others may append too.
    pub fn shared(seed: u64) -> Self {
        Self::join(SharedContent::new(seed), true)
    }

    /// Another handle on the same content, as another process would have it.
    #[must_use]
    pub fn peer(&self) -> Self {
        Self::join(Arc::clone(&self.content), true)
    }

    /// The next append of any handle that would succeed answers
    /// [`StoreErrorKind::OutcomeUnknown`] instead. Calls queue up.
    pub fn fail_next_append(&self, fault: AppendFault) {
        self.content.faults.lock().appends.push_back(fault);
    }

    /// From now on view writes of all handles go wrong as often as this says.
    pub fn disturb_views(&self, faults: ViewFaults) {
        self.content.faults.lock().views = faults;
    }

    /// Applies the view writes that are still under way, in an order by seed.
    pub fn settle_views(&self) {
        let late = self.content.faults.lock().take_late();
        let mut state = self.content.state.lock();
        for write in late {
            state.write_views(write.log, &write.writes, write.watermark);
        }
    }

    /// From now on commit hints are lost, or no longer.
    pub fn lose_commit_hints(&self, lose: bool) {
        self.content.faults.lock().lose_hints = lose;
    }

    /// Cuts this handle off from the content, or connects it again.
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::SeqCst);
    }

    /// From now on what [`Store::find`] finds through this handle is answered late: once this
    /// is taken back.
    pub fn hold_finds(&self, hold: bool) {
        self.holds_finds.send_replace(hold);
    }

    fn join(content: Arc<SharedContent>, shared: bool) -> Self {
        let (hints, _) = broadcast::channel(HINT_QUEUE);
        content.listeners.lock().push(hints.clone());
        let (cut_off, holds_finds) = (AtomicBool::new(false), watch::Sender::new(false));
        Self { content, shared, hints, cut_off, holds_finds }
    }

    fn connected(&self) -> StoreResult<&SharedContent> {
        if self.cut_off.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "this handle of the memory store is cut off",
            ));
        }
        Ok(&self.content)
    }

    fn announce(&self, log: LogId, number: u64, batch: &Batch) {
        if self.content.faults.lock().lose_hints {
            return;
        }
        let batch = (batch.encoded_len() <= HINTED_BATCH_MAX_BYTES).then(|| batch.clone());
        let hint = CommitHint { log, number, batch };
        for listener in self.content.listeners.lock().iter() {
            if !listener.same_channel(&self.hints) {
                // Nobody listening is fine: the poll is what is complete.
                let _ = listener.send(hint.clone());
            }
        }
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.content.listeners.lock().retain(|listener| !listener.same_channel(&self.hints));
    }
}

impl SharedContent {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            faults: Mutex::new(Faults::new(seed)),
            listeners: Mutex::default(),
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            backend: "memory",
            durability: "Nothing survives the process.".to_owned(),
            shared: self.shared,
            warnings: vec![
                "The store is in memory: what is written is lost at the end.".to_owned(),
            ],
        }
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        let content = self.connected()?;
        let mut state = content.state.lock();
        let digest = state.check(log, number, batch)?;
        let Some(digest) = digest else {
            return Ok(state.conflict_or_ours(log, number, batch));
        };
        let fault = content.faults.lock().appends.pop_front();
        if fault != Some(AppendFault::BeforeEffect) {
            state.insert(log, number, batch, digest);
            drop(state);
            self.announce(log, number, batch);
        }
        match fault {
            None => Ok(Append::Committed),
            Some(_) => Err(StoreError::new(
                StoreErrorKind::OutcomeUnknown,
                format_args!("the answer to the append of batch {number} to log {log} was lost"),
            )),
        }
    }

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<LogEntry>> {
        Ok(self.connected()?.state.lock().read(log, from, max_bytes))
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        Ok(self.connected()?.state.lock().last(log))
    }

    async fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        let state = self.connected()?.state.lock();
        Ok(logs.iter().filter_map(|log| state.ends(*log)).collect())
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        Ok(self.connected()?.state.lock().number_of(log, revision))
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        Ok(self.connected()?.state.lock().at(log, head + 1).is_none())
    }

    async fn next_batches(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, LogEntry)>> {
        let state = self.connected()?.state.lock();
        let next = |&(log, number): &(LogId, u64)| Some((log, state.at(log, number)?));
        Ok(logs.iter().filter_map(next).collect())
    }

    fn commit_hints(&self) -> broadcast::Receiver<CommitHint> {
        self.hints.subscribe()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        let state = self.connected()?.state.lock();
        Ok(keys.iter().map(|key| state.operation(log, *key)).collect())
    }

    async fn compact(&self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        self.connected()?.state.lock().compact(log, manifests)
    }

    async fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        let found = self.connected()?.state.lock().find(name);
        // The sender is there for as long as this handle.
        let _ = self.holds_finds.subscribe().wait_for(|holds| !holds).await;
        Ok(found)
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        Ok(self.connected()?.state.lock().logs(filter))
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        Ok(self.connected()?.state.lock().realms())
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        let content = self.connected()?;
        writes.iter().try_for_each(ViewWrite::check)?;
        // An earlier write that was on its way arrives around this one.
        let fate = content.faults.lock().view_fate(log, writes, watermark);
        let mut state = content.state.lock();
        let result = match fate {
            ViewFate::Applied { overtaken } => {
                state.write_views(log, writes, watermark);
                for write in overtaken {
                    state.write_views(write.log, &write.writes, write.watermark);
                }
                return Ok(());
            }
            ViewFate::Lost { survivors } => {
                state.write_views(log, &survivors, None);
                "lost on its way"
            }
            ViewFate::Late => "not answered",
        };
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format_args!("a view write to log {log} was {result}"),
        ))
    }

    async fn watermark(&self, log: LogId) -> StoreResult<Watermark> {
        Ok(self.connected()?.state.lock().watermark(log))
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        Ok(self.connected()?.state.lock().view(log, kind, id))
    }

    async fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        Ok(self.connected()?.state.lock().views_at(log, kind, path))
    }

    async fn scan_paths(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        kind.check_path_index()?;
        Ok(self.connected()?.state.lock().scan_paths(log, kind, range))
    }

    async fn scan_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        Ok(self.connected()?.state.lock().scan_reverse(log, kind, from, to, limit))
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        self.connected()?.state.lock().delete_views(log, kind, ids);
        Ok(())
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        self.connected()?.state.lock().clear_views(log);
        Ok(())
    }

    async fn put_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        let content = self.connected()?;
        chunk.check(realm)?;
        content.state.lock().put_chunk(realm, chunk, touched_at_ms());
        Ok(())
    }

    async fn stage_chunk(&self, realm: &str, chunk: Chunk, upload: UploadId) -> StoreResult<()> {
        let content = self.connected()?;
        chunk.check(realm)?;
        content.state.lock().stage_chunk(realm, chunk, upload, touched_at_ms());
        Ok(())
    }

    async fn discard_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        Ok(self.connected()?.state.lock().discard_chunks(realm, ids, upload))
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        Ok(self.connected()?.state.lock().chunk(realm, id))
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        Ok(self.connected()?.state.lock().chunks(realm, after, limit))
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        Ok(self.connected()?.state.lock().delete_chunks(realm, ids, touched_before_ms))
    }

    async fn ready(&self) -> StoreResult<()> {
        self.connected().map(|_| ())
    }

    async fn reclaim(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn close(&self) -> StoreResult<()> {
        Ok(())
    }
}
