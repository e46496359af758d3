//! The content of a memory store: ordered maps, no time, no chance.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;

use bytes::Bytes;

use crate::batch::codec::digest_in;
use crate::batch::{Batch, BatchOutline, LogEnds, LogEntry, OperationKey};
use crate::chunk::{Chunk, ChunkId, Holders, StoredChunk, UploadId};
use crate::error::StoreResult;
use crate::incarnations::IncarnationSearch;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain::{self, LogTail};
use crate::store::Append;
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// All that a memory store holds, ordered as the contract lists it.
#[derive(Default)]
pub(super) struct MemoryState {
    logs: BTreeMap<LogId, BTreeMap<u64, LogRow>>,
    operations: BTreeMap<(LogId, OperationKey), u64>,
    /// By the number of their kind.
    views: BTreeMap<(LogId, u8, Bytes), View>,
    paths: BTreeMap<(LogId, u8), BTreeSet<(String, Bytes)>>,
    watermarks: BTreeMap<LogId, Watermark>,
    chunks: BTreeMap<(String, ChunkId), ChunkRow>,
}

struct ChunkRow {
    bytes: Bytes,
    touched_ms: u64,
    /// `None`: it stays until it is collected.
    holders: Option<Holders>,
}

struct LogRow {
    batch: Batch,
    digest: [u8; 32],
}

impl MemoryState {
    /// The digest of a batch that may be inserted; `None` where the number is taken.
    pub(super) fn check(
        &self,
        log: LogId,
        number: u64,
        batch: &Batch,
    ) -> StoreResult<Option<[u8; 32]>> {
        let encoded = batch.encode()?;
        log_chain::check_shape(log, number, batch)?;
        let rows = self.logs.get(&log);
        if rows.is_some_and(|rows| rows.contains_key(&number)) {
            return Ok(None);
        }
        let tail = rows.and_then(BTreeMap::last_key_value).map(|(number, row)| LogTail {
            number: *number,
            digest: row.digest,
            closing: row.batch.closing,
        });
        log_chain::check_follows(log, tail.as_ref(), number, batch)?;
        Ok(Some(digest_in(&encoded, batch)))
    }

    pub(super) fn conflict_or_ours(&self, log: LogId, number: u64, batch: &Batch) -> Append {
        match self.at(log, number) {
            Some(stored) if stored.batch.id == batch.id => Append::Committed,
            _ => Append::Conflict,
        }
    }

    pub(super) fn insert(&mut self, log: LogId, number: u64, batch: &Batch, digest: [u8; 32]) {
        for key in &batch.operations {
            self.operations.insert((log, *key), number);
        }
        let row = LogRow { batch: batch.clone(), digest };
        self.logs.entry(log).or_default().insert(number, row);
    }

    pub(super) fn compact(&mut self, log: LogId, manifests: &[(u64, Bytes)]) -> StoreResult<()> {
        let rows = self.logs.entry(log).or_default();
        for (number, manifest) in manifests {
            let Some(row) = rows.get_mut(number) else {
                return Err(log_chain::no_such_batch(log, *number));
            };
            if row.batch.compacted_from.is_none() {
                for key in &row.batch.operations {
                    if self.operations.get(&(log, *key)) == Some(number) {
                        self.operations.remove(&(log, *key));
                    }
                }
                row.batch = row.batch.clone().into_compacted(manifest.clone());
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, log: LogId, from: u64, max_bytes: usize) -> Vec<LogEntry> {
        let mut bytes = 0;
        let rows = self.logs.get(&log).into_iter().flat_map(|rows| rows.range(from.max(1)..));
        rows.take_while(|(_, row)| {
            let first = bytes == 0;
            bytes += row.batch.encoded_len();
            first || bytes <= max_bytes
        })
        .map(|(number, row)| LogEntry { number: *number, batch: row.batch.clone() })
        .collect()
    }

    pub(super) fn at(&self, log: LogId, number: u64) -> Option<LogEntry> {
        let row = self.logs.get(&log)?.get(&number)?;
        Some(LogEntry { number, batch: row.batch.clone() })
    }

    pub(super) fn last(&self, log: LogId) -> Option<LogEntry> {
        let (number, row) = self.logs.get(&log)?.last_key_value()?;
        Some(LogEntry { number: *number, batch: row.batch.clone() })
    }

    pub(super) fn ends(&self, log: LogId) -> Option<LogEnds> {
        let (first, last) = (self.at(log, 1)?, self.last(log)?);
        Some(LogEnds { log, first: BatchOutline::from(&first), last: BatchOutline::from(&last) })
    }

    pub(super) fn number_of(&self, log: LogId, revision: u64) -> Option<u64> {
        let holds = |row: &LogRow| row.batch.first_revision <= revision && row.batch.count > 0;
        let mut rows = self.logs.get(&log)?.iter().rev();
        rows.find(|(_, row)| holds(row)).map(|(number, _)| *number)
    }

    pub(super) fn operation(&self, log: LogId, key: OperationKey) -> Option<u64> {
        self.operations.get(&(log, key)).copied()
    }

    pub(super) fn find(&self, name: &LogName) -> Option<LogDescriptor> {
        let exists = |_, log| Ok::<_, Infallible>(self.logs.contains_key(&log));
        let Ok(newest) = IncarnationSearch::run(name, exists);
        newest.map(|newest| name.incarnation(newest))
    }

    pub(super) fn logs(&self, filter: &LogFilter) -> Vec<LogDescriptor> {
        let mut logs: Vec<_> =
            self.descriptors().filter(|log| filter.matches(&log.name)).cloned().collect();
        logs.sort();
        logs.truncate(filter.limit.unwrap_or(usize::MAX));
        logs
    }

    pub(super) fn realms(&self) -> Vec<String> {
        let realms: BTreeSet<_> = self.descriptors().map(|log| log.name.realm.clone()).collect();
        realms.into_iter().collect()
    }

    pub(super) fn write_views(
        &mut self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) {
        for ViewWrite { kind, view } in writes {
            self.write_view(log, *kind, view);
        }
        if let Some(watermark) = watermark {
            let stored = self.watermarks.entry(log).or_default();
            *stored = watermark.max(*stored);
        }
    }

    pub(super) fn watermark(&self, log: LogId) -> Watermark {
        self.watermarks.get(&log).copied().unwrap_or_default()
    }

    pub(super) fn view(&self, log: LogId, kind: ViewKind, id: &[u8]) -> Option<View> {
        self.views.get(&(log, kind.number, Bytes::copy_from_slice(id))).cloned()
    }

    pub(super) fn views_at(&self, log: LogId, kind: ViewKind, path: &str) -> Vec<View> {
        let from = (path.to_owned(), Bytes::new());
        self.rows_by_path(log, kind, from)
            .take_while(|view| view.path.as_deref() == Some(path))
            .filter(|view| view.live)
            .cloned()
            .collect()
    }

    pub(super) fn scan_paths(&self, log: LogId, kind: ViewKind, range: &PathRange) -> Vec<View> {
        let from = range.after.clone().unwrap_or((range.prefix.clone(), Bytes::new()));
        let is_after = |view: &View| match (&range.after, &view.path) {
            (Some((path, id)), Some(at)) => (at, &view.id) > (path, id),
            _ => true,
        };
        self.rows_by_path(log, kind, from)
            .filter(|view| is_after(view) && (view.live || range.include_tombstones))
            .filter(|view| view.path.as_deref().is_some_and(|path| range.covers(path)))
            .take(range.limit)
            .cloned()
            .collect()
    }

    pub(super) fn scan_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Vec<View> {
        if from > to {
            return Vec::new();
        }
        let key = |id: &[u8]| (log, kind.number, Bytes::copy_from_slice(id));
        let rows = self.views.range(key(from)..=key(to)).rev();
        rows.take(limit).map(|(_, view)| view.clone()).collect()
    }

    pub(super) fn delete_views(&mut self, log: LogId, kind: ViewKind, ids: &[Bytes]) {
        for id in ids {
            let removed = self.views.remove(&(log, kind.number, id.clone()));
            if kind.flags.path_indexed
                && let Some(path) = removed.and_then(|view| view.path)
                && let Some(paths) = self.paths.get_mut(&(log, kind.number))
            {
                paths.remove(&(path, id.clone()));
            }
        }
    }

    pub(super) fn clear_views(&mut self, log: LogId) {
        self.views.retain(|(of, _, _), _| *of != log);
        self.paths.retain(|(of, _), _| *of != log);
        self.watermarks.remove(&log);
    }

    pub(super) fn put_chunk(&mut self, realm: &str, chunk: Chunk, now_ms: u64) {
        let key = (realm.to_owned(), chunk.id());
        let row = ChunkRow { bytes: chunk.into_bytes(), touched_ms: now_ms, holders: None };
        self.chunks.insert(key, row);
    }

    pub(super) fn stage_chunk(&mut self, realm: &str, chunk: Chunk, upload: UploadId, now_ms: u64) {
        let key = (realm.to_owned(), chunk.id());
        let holders = match self.chunks.remove(&key) {
            None => Some(Holders::first(upload)),
            Some(row) => row.holders.and_then(|holders| holders.with(upload)),
        };
        let row = ChunkRow { bytes: chunk.into_bytes(), touched_ms: now_ms, holders };
        self.chunks.insert(key, row);
    }

    pub(super) fn discard_chunks(&mut self, realm: &str, ids: &[ChunkId], upload: UploadId) -> u64 {
        let mut removed = 0;
        for id in ids {
            let key = (realm.to_owned(), *id);
            let Some(row) = self.chunks.get_mut(&key) else { continue };
            let Some(left) = row.holders.as_ref().and_then(|held| held.without(upload)) else {
                continue;
            };
            if left.is_empty() {
                self.chunks.remove(&key);
                removed += 1;
            } else {
                row.holders = Some(left);
            }
        }
        removed
    }

    pub(super) fn chunk(&self, realm: &str, id: ChunkId) -> Option<Bytes> {
        self.chunks.get(&(realm.to_owned(), id)).map(|chunk| chunk.bytes.clone())
    }

    pub(super) fn chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Vec<StoredChunk> {
        let from = match after {
            Some(after) => Bound::Excluded((realm.to_owned(), after)),
            None => Bound::Included((realm.to_owned(), ChunkId([0; 32]))),
        };
        let chunks = self.chunks.range((from, Bound::Unbounded));
        chunks
            .take_while(|((of, _), _)| of == realm)
            .take(limit)
            .map(|((_, id), chunk)| StoredChunk { id: *id, touched_ms: chunk.touched_ms })
            .collect()
    }

    pub(super) fn delete_chunks(
        &mut self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> u64 {
        let mut deleted = 0;
        for id in ids {
            let key = (realm.to_owned(), *id);
            if self.chunks.get(&key).is_some_and(|chunk| chunk.touched_ms < touched_before_ms) {
                self.chunks.remove(&key);
                deleted += 1;
            }
        }
        deleted
    }

    fn descriptors(&self) -> impl Iterator<Item = &LogDescriptor> {
        let firsts = self.logs.values().filter_map(|rows| rows.get(&1));
        firsts.filter_map(|row| row.batch.descriptor.as_ref())
    }

    fn write_view(&mut self, log: LogId, kind: ViewKind, view: &View) {
        let key = (log, kind.number, view.id.clone());
        let stored = self.views.get(&key);
        if stored.is_some_and(|stored| stored.position >= view.position) {
            return;
        }
        if kind.flags.path_indexed {
            let paths = self.paths.entry((log, kind.number)).or_default();
            if let Some(path) = stored.and_then(|stored| stored.path.clone()) {
                paths.remove(&(path, view.id.clone()));
            }
            if let Some(path) = &view.path {
                paths.insert((path.clone(), view.id.clone()));
            }
        }
        self.views.insert(key, view.clone());
    }

    /// The rows of a kind at or after a (path, id), in that order.
    fn rows_by_path(
        &self,
        log: LogId,
        kind: ViewKind,
        from: (String, Bytes),
    ) -> impl Iterator<Item = &View> {
        let paths = self.paths.get(&(log, kind.number)).into_iter();
        let paths = paths.flat_map(move |paths| paths.range(from.clone()..));
        paths.filter_map(move |(_, id)| self.views.get(&(log, kind.number, id.clone())))
    }
}
