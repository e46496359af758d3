//! The memory backend: deterministic by a seed, with faults on request.
//!
//! Handles made with [`Memory::peer`] share one content, as gateways share a
//! database: each hears early words about what the others append.

mod faults;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;

pub use self::faults::{AppendFault, ViewFaults};
use self::faults::{Faults, ViewFate};
use self::state::State;
use crate::batch::{Batch, LogDescriptor, LogId, Numbered, OperationKey};
use crate::contract::{
    Append, ChunkId, EARLY_BATCH_MAX_BYTES, EARLY_QUEUE, Early, LogFilter, Promises, Store,
    StoreError, StoreErrorKind, StoreResult, StoredChunk, check_chunk,
};
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// A store that lives as long as its last handle.
pub struct Memory {
    world: Arc<World>,
    shared: bool,
    early: broadcast::Sender<Early>,
    cut_off: AtomicBool,
}

/// What all handles share.
struct World {
    state: Mutex<State>,
    faults: Mutex<Faults>,
    listeners: Mutex<Vec<broadcast::Sender<Early>>>,
}

impl Memory {
    /// An empty store for one process; `seed` decides what faults do.
    pub fn new(seed: u64) -> Self {
        Self::join(World::new(seed), false)
    }

    /// An empty store that says that others may append too.
    pub fn shared(seed: u64) -> Self {
        Self::join(World::new(seed), true)
    }

    /// Another handle on the same content, as another process would have it.
    #[must_use]
    pub fn peer(&self) -> Self {
        Self::join(Arc::clone(&self.world), true)
    }

    /// The next append of any handle that would succeed answers
    /// [`StoreErrorKind::OutcomeUnknown`] instead. Calls queue up.
    pub fn fail_next_append(&self, fault: AppendFault) {
        self.world.faults.lock().appends.push_back(fault);
    }

    /// From now on view writes of all handles go wrong as often as this says.
    pub fn disturb_views(&self, faults: ViewFaults) {
        self.world.faults.lock().views = faults;
    }

    /// Applies the view writes that are still under way, in an order by seed.
    pub fn settle_views(&self) {
        let late = self.world.faults.lock().take_late();
        let mut state = self.world.state.lock();
        for write in late {
            state.write_views(write.log, &write.writes, write.watermark);
        }
    }

    /// From now on early words are lost, or no longer.
    pub fn lose_early_words(&self, lose: bool) {
        self.world.faults.lock().lose_early = lose;
    }

    /// Cuts this handle off from the content, or connects it again.
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::SeqCst);
    }

    fn join(world: Arc<World>, shared: bool) -> Self {
        let (early, _) = broadcast::channel(EARLY_QUEUE);
        world.listeners.lock().push(early.clone());
        Self { world, shared, early, cut_off: AtomicBool::new(false) }
    }

    fn reach(&self) -> StoreResult<&World> {
        if self.cut_off.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "this handle of the memory store is cut off",
            ));
        }
        Ok(&self.world)
    }

    fn announce(&self, log: LogId, number: u64, batch: &Batch) {
        if self.world.faults.lock().lose_early {
            return;
        }
        let batch = (batch.encoded_len() <= EARLY_BATCH_MAX_BYTES).then(|| batch.clone());
        let word = Early { log, number, batch };
        for listener in self.world.listeners.lock().iter() {
            if !listener.same_channel(&self.early) {
                // Nobody listening is fine: the poll is what is complete.
                let _ = listener.send(word.clone());
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.world.listeners.lock().retain(|listener| !listener.same_channel(&self.early));
    }
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            faults: Mutex::new(Faults::new(seed)),
            listeners: Mutex::default(),
        })
    }
}

#[async_trait]
impl Store for Memory {
    fn promises(&self) -> Promises {
        Promises {
            backend: "memory",
            durability: "Nothing survives the process.".to_owned(),
            shared: self.shared,
            warnings: vec![
                "The store is in memory: what is written is lost at the end.".to_owned(),
            ],
        }
    }

    async fn append(&self, log: LogId, number: u64, batch: &Batch) -> StoreResult<Append> {
        let world = self.reach()?;
        let mut state = world.state.lock();
        let digest = state.check(log, number, batch)?;
        let Some(digest) = digest else {
            return Ok(state.taken_or_ours(log, number, batch));
        };
        let fault = world.faults.lock().appends.pop_front();
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

    async fn read(&self, log: LogId, from: u64, max_bytes: usize) -> StoreResult<Vec<Numbered>> {
        Ok(self.reach()?.state.lock().read(log, from, max_bytes))
    }

    async fn last(&self, log: LogId) -> StoreResult<Option<Numbered>> {
        Ok(self.reach()?.state.lock().last(log))
    }

    async fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        Ok(self.reach()?.state.lock().number_of(log, revision))
    }

    async fn confirm(&self, log: LogId, head: u64) -> StoreResult<bool> {
        Ok(self.reach()?.state.lock().at(log, head + 1).is_none())
    }

    async fn next_of(&self, logs: &[(LogId, u64)]) -> StoreResult<Vec<(LogId, Numbered)>> {
        let state = self.reach()?.state.lock();
        let next = |&(log, number): &(LogId, u64)| Some((log, state.at(log, number)?));
        Ok(logs.iter().filter_map(next).collect())
    }

    fn early(&self) -> broadcast::Receiver<Early> {
        self.early.subscribe()
    }

    async fn find_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        let state = self.reach()?.state.lock();
        Ok(keys.iter().map(|key| state.operation(log, *key)).collect())
    }

    async fn compact(&self, log: LogId, emptied: &[(u64, Bytes)]) -> StoreResult<()> {
        self.reach()?.state.lock().compact(log, emptied)
    }

    async fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        Ok(self.reach()?.state.lock().logs(filter))
    }

    async fn realms(&self) -> StoreResult<Vec<String>> {
        Ok(self.reach()?.state.lock().realms())
    }

    async fn write_views(
        &self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        let world = self.reach()?;
        writes.iter().try_for_each(ViewWrite::check)?;
        // An earlier write that was on its way arrives around this one.
        let fate = world.faults.lock().view_fate(log, writes, watermark);
        let mut state = world.state.lock();
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
        Ok(self.reach()?.state.lock().watermark(log))
    }

    async fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> StoreResult<Option<View>> {
        Ok(self.reach()?.state.lock().view(log, kind, id))
    }

    async fn views_at(&self, log: LogId, path: &str) -> StoreResult<Vec<View>> {
        Ok(self.reach()?.state.lock().views_at(log, path))
    }

    async fn scan_paths(&self, log: LogId, range: &PathRange) -> StoreResult<Vec<View>> {
        Ok(self.reach()?.state.lock().scan_paths(log, range))
    }

    async fn scan_back(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        Ok(self.reach()?.state.lock().scan_back(log, kind, from, to, limit))
    }

    async fn delete_views(&self, log: LogId, kind: ViewKind, ids: &[Bytes]) -> StoreResult<()> {
        self.reach()?.state.lock().delete_views(log, kind, ids);
        Ok(())
    }

    async fn clear_views(&self, log: LogId) -> StoreResult<()> {
        self.reach()?.state.lock().clear_views(log);
        Ok(())
    }

    async fn put_chunk(&self, realm: &str, id: ChunkId, bytes: Bytes) -> StoreResult<()> {
        let world = self.reach()?;
        check_chunk(id, &bytes)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        world.state.lock().put_chunk(realm, id, bytes, now.as_millis() as u64);
        Ok(())
    }

    async fn chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        Ok(self.reach()?.state.lock().chunk(realm, id))
    }

    async fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        Ok(self.reach()?.state.lock().chunks(realm, after, limit))
    }

    async fn delete_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        Ok(self.reach()?.state.lock().delete_chunks(realm, ids, touched_before_ms))
    }

    async fn ready(&self) -> StoreResult<()> {
        self.reach().map(|_| ())
    }

    async fn reclaim(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn close(&self) -> StoreResult<()> {
        Ok(())
    }
}
