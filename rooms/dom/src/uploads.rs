//! Uploads: what each has staged in the store, how much each caller has, and what becomes of it.
//!
//! A chunk is stored before the batch that names it. Until then it belongs to an upload, and goes
//! with it: when the last handle of an upload is dropped, for whatever reason, the chunks that it
//! made and that no batch may name are discarded. The store sees to it that nobody loses a chunk
//! that another upload staged too, or that anybody put (`docs/adr/0005-staged-chunks.md`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use vdom_core::identifiers::Hash;
use vdom_core::limits::UPLOAD_MAX;
use vdom_core::{BranchAddress, ContentChunk, Error, ErrorCode, RealmName, Result};
use vdom_edge::Environment;
use vdom_security::{GuardedStore, Permit};
use vdom_store::{Chunk, ChunkId, StoreErrorKind, UploadId};

use crate::error::from_store;
use crate::metrics::DomMetrics;

/// How often discarding is tried; what is left then is collected.
const DISCARDS_MAX: u32 = 8;
const DISCARD_PAUSE: Duration = Duration::from_millis(100);

/// Begins uploads, and knows how much those of each caller have staged. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Uploads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: GuardedStore,
    environment: Environment,
    metrics: DomMetrics,
    /// Of each caller at a time.
    staged_bytes_max: u64,
    staged_bytes: Mutex<HashMap<CallerKey, u64>>,
    tasks: TaskTracker,
}

/// Realm and subject.
type CallerKey = (RealmName, Arc<str>);

impl Uploads {
    /// No upload yet; each caller may have so many bytes staged at a time.
    pub(crate) fn new(
        store: GuardedStore,
        environment: Environment,
        metrics: DomMetrics,
        staged_bytes_max: u64,
    ) -> Self {
        let (staged_bytes, tasks) = (Mutex::default(), TaskTracker::new());
        Self(Arc::new(Shared {
            store,
            environment,
            metrics,
            staged_bytes_max,
            staged_bytes,
            tasks,
        }))
    }

    /// An upload of a caller, or of the gateway itself; costs nothing before its first chunk.
    pub(crate) fn begin(&self, permit: &Permit, address: &BranchAddress) -> Upload {
        Upload(Arc::new(Staged {
            shared: self.0.clone(),
            permit: permit.clone(),
            address: address.clone(),
            begun: OnceLock::new(),
            chunks: Mutex::default(),
        }))
    }

    /// Waits until the store has answered what it was asked for uploads, and all that ended ones
    /// have let go of is discarded.
    pub(crate) async fn settled(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// What came into the store for one write. Clones are of the same upload, which ends with the last.
#[derive(Clone, Debug)]
pub(crate) struct Upload(Arc<Staged>);

#[derive(Debug)]
struct Staged {
    shared: Arc<Shared>,
    permit: Permit,
    address: BranchAddress,
    begun: OnceLock<Begun>,
    chunks: Mutex<Chunks>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    id: UploadId,
    /// By the clock that chunks age by.
    at_ms: i64,
}

#[derive(Debug, Default)]
struct Chunks {
    /// All that were staged, or may have been.
    staged: HashSet<ChunkId>,
    bytes: u64,
    /// Those that a batch may name.
    named: HashSet<ChunkId>,
}

impl Upload {
    /// Stages bytes as one chunk, durable when it answers. Whoever stops waiting leaves no chunk
    /// behind: the upload ends only after the store has answered.
    ///
    /// # Errors
    /// `Exhausted` where the caller has too much staged already.
    pub(crate) async fn stage(&self, bytes: Bytes) -> Result<ContentChunk> {
        let length = bytes.len() as u32;
        let chunk = Chunk::of(bytes);
        let id = chunk.id();
        let upload = self.begun()?.id;
        self.take(id, u64::from(length))?;
        let Self(staged) = self.clone();
        let tasks = staged.shared.tasks.clone();
        let staging = tasks.spawn(async move {
            let store = staged.shared.store.with(&staged.permit);
            let stored = store.stage_chunk(staged.address.realm.as_str(), chunk, upload).await;
            stored.map_err(|error| from_store(error, &staged.address))
        });
        staging.await.map_err(Error::internal)??;
        Ok(ContentChunk { hash: Hash(id.0), length })
    }

    /// Leaves chunks to the batch that names them, which is about to be appended: once it may
    /// stand in the log, they stay. `None` where the upload has staged none.
    pub(crate) fn leave_to_batch(&self, ids: &[ChunkId]) -> Option<LeftToBatch> {
        self.0.begun.get()?;
        let mut chunks = self.0.chunks.lock();
        let left = ids.iter().copied().filter(|id| chunks.staged.contains(id));
        let left: Vec<_> = left.filter(|id| !chunks.named.contains(id)).collect();
        chunks.named.extend(&left);
        Some(LeftToBatch { upload: self.clone(), left })
    }

    /// Refuses an upload that has taken so long that a collector may be after its first chunks.
    pub(crate) fn check_age(&self) -> Result<()> {
        let Some(begun) = self.0.begun.get() else { return Ok(()) };
        let age_ms = self.0.shared.environment.now_ms().saturating_sub(begun.at_ms);
        if age_ms <= UPLOAD_MAX.as_millis() as i64 {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::DeadlineExceeded,
            format!(
                "the content took {} h to come, at most {} h are allowed: nothing was written; send \
                 it again",
                age_ms / 3_600_000,
                UPLOAD_MAX.as_secs() / 3_600
            ),
        )
        .resource(&self.0.address))
    }

    fn begun(&self) -> Result<Begun> {
        if let Some(begun) = self.0.begun.get() {
            return Ok(*begun);
        }
        let environment = &self.0.shared.environment;
        let begun = Begun { id: UploadId(environment.random()?), at_ms: environment.now_ms() };
        Ok(*self.0.begun.get_or_init(|| begun))
    }

    /// Counts a chunk, once.
    fn take(&self, id: ChunkId, length: u64) -> Result<()> {
        let mut chunks = self.0.chunks.lock();
        if chunks.staged.contains(&id) {
            return Ok(());
        }
        self.0.shared.count(&self.0.address.realm, &self.0.permit, length)?;
        chunks.staged.insert(id);
        chunks.bytes += length;
        Ok(())
    }
}

/// Chunks of an upload that a batch names.
#[must_use = "dropping it leaves them to the batch"]
#[derive(Debug)]
pub(crate) struct LeftToBatch {
    upload: Upload,
    left: Vec<ChunkId>,
}

impl LeftToBatch {
    /// The batch certainly does not stand in the log, and never will.
    pub(crate) fn take_back(self) {
        let mut chunks = self.upload.0.chunks.lock();
        for id in &self.left {
            chunks.named.remove(id);
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let Some(begun) = self.begun.get() else { return };
        let chunks = std::mem::take(self.chunks.get_mut());
        let counted = Counted {
            shared: self.shared.clone(),
            caller: (self.address.realm.clone(), self.permit.subject().clone()),
            bytes: chunks.bytes,
        };
        let unnamed: Vec<_> = chunks.staged.difference(&chunks.named).copied().collect();
        // A program that has ended discards nothing any more; a collector does.
        let Ok(runtime) = Handle::try_current() else { return };
        if unnamed.is_empty() {
            return;
        }
        let discard =
            discard(counted, self.permit.clone(), self.address.clone(), begun.id, unnamed);
        self.shared.tasks.spawn_on(discard, &runtime);
    }
}

/// Lets go of chunks; they count until that is done.
async fn discard(
    counted: Counted,
    permit: Permit,
    address: BranchAddress,
    upload: UploadId,
    chunks: Vec<ChunkId>,
) {
    let store = counted.shared.store.with(&permit);
    let mut pause = DISCARD_PAUSE;
    for attempt in 1.. {
        let error = match store.discard_chunks(address.realm.as_str(), &chunks, upload).await {
            Ok(discarded) => return counted.shared.metrics.discarded(discarded),
            Err(error) => error,
        };
        if attempt == DISCARDS_MAX || error.kind == StoreErrorKind::Stopped {
            tracing::warn!(
                branch = %address, chunks = chunks.len(), %error,
                "chunks of an upload that came to nothing stay until they are collected"
            );
            return;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// What a caller has staged counts until this is dropped.
#[derive(Debug)]
struct Counted {
    shared: Arc<Shared>,
    caller: CallerKey,
    bytes: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut staged = self.shared.staged_bytes.lock();
        if let Some(bytes) = staged.get_mut(&self.caller) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                staged.remove(&self.caller);
            }
        }
        self.shared.metrics.staged(-i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}

impl Shared {
    fn count(&self, realm: &RealmName, permit: &Permit, length: u64) -> Result<()> {
        let caller = (realm.clone(), permit.subject().clone());
        let mut staged = self.staged_bytes.lock();
        let after = staged.get(&caller).copied().unwrap_or_default().saturating_add(length);
        // What the gateway writes of its own accord is bounded by what it writes that for.
        if after > self.staged_bytes_max && !permit.is_of_system() {
            let subject = permit.subject();
            return Err(Error::new(
                ErrorCode::Exhausted,
                format!(
                    "`{subject}` would have {after} bytes of unfinished uploads, at most {} are \
                     allowed: nothing was written; wait until others have ended",
                    self.staged_bytes_max
                ),
            )
            .resource(realm)
            .retry_after(Duration::from_secs(1))
            .rule("limits.max_staged_bytes_per_caller"));
        }
        staged.insert(caller, after);
        self.metrics.staged(i64::try_from(length).unwrap_or(i64::MAX));
        Ok(())
    }
}
