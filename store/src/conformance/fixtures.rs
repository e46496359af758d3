//! Batches and rows for the checks.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::batch::{Batch, BatchId, OperationKey};
use crate::error::{StoreErrorKind, StoreResult};
use crate::log::{LogDescriptor, LogId, LogName};
use crate::store::{Append, Store};
use crate::view::{Position, View, ViewFlags, ViewKind, ViewKindRange, ViewWrite};

/// Kinds of rows as one room registers them …
pub(super) const NODES: ViewKind = ViewKind::new(1, ViewFlags::PATH_INDEXED);
pub(super) const CHANGES: ViewKind = ViewKind::new(2, ViewFlags::WRITTEN_ONCE);
pub(super) const ACTORS: ViewKind = ViewKind::new(3, ViewFlags::NONE);
pub(super) const PLACES: ViewKind = ViewKind::new(4, ViewFlags::WRITTEN_ONCE);
const _: () = assert!(ViewKindRange::new(1, 15).holds(&[NODES, CHANGES, ACTORS, PLACES]));

/// … and as another one does.
pub(super) const SHEETS: ViewKind = ViewKind::new(32, ViewFlags::PATH_INDEXED);
pub(super) const CELLS: ViewKind = ViewKind::new(33, ViewFlags::NONE);
pub(super) const EXPORTS: ViewKind =
    ViewKind::new(47, ViewFlags { written_once: true, path_indexed: true });
const _: () = assert!(ViewKindRange::new(32, 47).holds(&[SHEETS, CELLS, EXPORTS]));

/// The kinds of both.
pub(super) const KINDS: [ViewKind; 7] = [NODES, CHANGES, ACTORS, PLACES, SHEETS, CELLS, EXPORTS];

/// A writer of one log.
#[derive(Clone)]
pub(super) struct LogWriter {
    pub(super) log: LogId,
    pub(super) descriptor: LogDescriptor,
    pub(super) next: u64,
    pub(super) next_revision: u64,
    pub(super) previous: [u8; 32],
}

impl LogWriter {
    /// A writer of a log that does not exist yet.
    pub(super) fn new(branch: &str) -> Self {
        Self::of(descriptor("acme", "web", branch, 1))
    }

    pub(super) fn of(descriptor: LogDescriptor) -> Self {
        let log = descriptor.log_id();
        Self { log, descriptor, next: 1, next_revision: 1, previous: [0; 32] }
    }

    /// The next batch, with so many changes; unlike any other.
    pub(super) fn batch(&self, count: u32) -> Batch {
        let id = fresh();
        Batch {
            id,
            previous: self.previous,
            descriptor: (self.next == 1).then(|| self.descriptor.clone()),
            first_revision: self.next_revision,
            count,
            operations: Vec::new(),
            chunks: Vec::new(),
            closing: false,
            compacted_from: None,
            manifest: Bytes::from(format!("manifest of {id}")),
            body: Bytes::from(format!("body of {id}")),
        }
    }

    /// Takes note that the batch was committed.
    pub(super) fn advance(&mut self, batch: &Batch) {
        self.next += 1;
        self.next_revision += u64::from(batch.count);
        self.previous = batch.digest();
    }

    /// Appends a batch, which must succeed.
    pub(super) async fn append(&mut self, store: &dyn Store, batch: Batch) -> Batch {
        let answer = store.append(self.log, self.next, &batch).await;
        assert_eq!(answer.unwrap(), Append::Committed);
        self.advance(&batch);
        batch
    }

    /// Appends so many batches of one change each.
    pub(super) async fn append_many(&mut self, store: &dyn Store, batches: usize) -> Vec<Batch> {
        let mut appended = Vec::with_capacity(batches);
        for _ in 0..batches {
            appended.push(self.append(store, self.batch(1)).await);
        }
        appended
    }
}

pub(super) fn descriptor(realm: &str, repo: &str, branch: &str, incarnation: u64) -> LogDescriptor {
    log_name(realm, "", &[repo, branch]).incarnation(incarnation)
}

pub(super) fn log_name(realm: &str, room: &str, segments: &[&str]) -> LogName {
    let segments = segments.iter().map(|segment| (*segment).to_owned()).collect();
    LogName { realm: realm.to_owned(), room: room.to_owned(), segments }
}

/// A batch id that no other batch of this process has.
pub(super) fn fresh() -> BatchId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    BatchId(id)
}

pub(super) fn key(number: u8) -> OperationKey {
    OperationKey([number; 16])
}

pub(super) fn at(epoch: u64, revision: u64) -> Position {
    Position { epoch, revision }
}

/// A live row of kind NODES, which has a path.
pub(super) fn node(id: &[u8], path: &str, revision: u64) -> ViewWrite {
    let view = View {
        id: Bytes::copy_from_slice(id),
        path: Some(path.to_owned()),
        live: true,
        position: at(1, revision),
        value: Bytes::from(format!("{path} at {revision}")),
    };
    ViewWrite { kind: NODES, view }
}

/// The row of a deleted node; it keeps the path.
pub(super) fn tombstone(id: &[u8], path: &str, revision: u64) -> ViewWrite {
    let mut write = node(id, path, revision);
    write.view.live = false;
    write
}

/// A row without a path.
pub(super) fn row(kind: ViewKind, id: &[u8], revision: u64) -> ViewWrite {
    let mut write = node(id, "", revision);
    write.kind = kind;
    write.view.path = None;
    write
}

pub(super) fn assert_kind<T: std::fmt::Debug>(result: StoreResult<T>, kind: StoreErrorKind) {
    match result {
        Err(error) => assert_eq!(error.kind, kind, "{error}"),
        Ok(answer) => panic!("{answer:?} in place of {kind:?}"),
    }
}

/// A small generator, so that checks with random input repeat.
pub(super) struct RandomSequence(pub(super) u64);

impl RandomSequence {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A row with a path, of any kind.
pub(super) fn row_at(kind: ViewKind, id: &[u8], path: &str, revision: u64) -> ViewWrite {
    ViewWrite { kind, ..node(id, path, revision) }
}
