//! A group: what one write of the engine, and one fsync, makes of many requests.

mod chunks;

use std::collections::HashMap;

use bytes::Bytes;

use super::chunks::ChunkChanges;
use super::engine::{RowChange, Snapshot};
use super::keyspace::Keyspace;
use super::segments::SegmentPosition;
use super::write_cache::{StoredRow, WriteCache};
use super::write_request::{PendingReply, Reply, WriteRequest};
use super::{keys, read, record};
use crate::error::StoreResult;
use crate::log::LogId;
use crate::view::{View, ViewKind, ViewWrite, Watermark};

/// A group takes no more once it holds so much.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_REQUESTS: usize = 4096;

/// The requests of a group, judged against what was written before them.
#[derive(Default)]
pub(super) struct CommitGroup {
    rows: Vec<RowChange>,
    /// Where the row of a key is in `rows`: a key is written once.
    staged: HashMap<(Keyspace, Vec<u8>), usize>,
    watermarks: HashMap<LogId, Watermark>,
    waiting: Vec<PendingReply>,
    bytes: usize,
    /// The keyspaces that somebody waits for an fsync of.
    durable: Vec<Keyspace>,
    chunks: ChunkChanges,
}

/// What shall be done once a group is committed.
pub(super) enum AfterGroup {
    Seal(Reply<()>),
    Close(Reply<()>),
}

impl CommitGroup {
    /// Of chunks that are appended there.
    pub(super) fn new(chunks_at: SegmentPosition) -> Self {
        Self { chunks: ChunkChanges::new(chunks_at), ..Self::default() }
    }

    /// Takes a request in. Gives back what must wait for the end of the group.
    pub(super) fn take(
        &mut self,
        request: WriteRequest,
        snapshot: &Snapshot<'_>,
        cache: &mut WriteCache,
    ) -> Option<AfterGroup> {
        let waiting = match request {
            WriteRequest::Views { log, writes, watermark, reply } => {
                PendingReply::Done(reply, self.write_views(snapshot, cache, log, writes, watermark))
            }
            WriteRequest::Chunk { realm, chunk, reply } => {
                PendingReply::Done(reply, self.put_chunk(snapshot, &realm, chunk))
            }
            WriteRequest::StageChunk { realm, chunk, upload, reply } => {
                PendingReply::Done(reply, self.stage_chunk(snapshot, &realm, chunk, upload))
            }
            WriteRequest::MoveChunks { frames, reply } => {
                PendingReply::Done(reply, self.move_chunks(snapshot, frames))
            }
            WriteRequest::DiscardChunks { realm, ids, upload, reply } => {
                PendingReply::Counted(reply, self.discard_chunks(snapshot, &realm, &ids, upload))
            }
            WriteRequest::DeleteViews { log, kind, ids, reply } => {
                PendingReply::Done(reply, self.delete_views(snapshot, cache, log, kind, &ids))
            }
            WriteRequest::ClearViews { log, keys, reply } => {
                self.clear_views(cache, log, keys);
                PendingReply::Done(reply, Ok(()))
            }
            WriteRequest::DeleteChunks { realm, ids, before_ms, reply } => {
                PendingReply::Counted(reply, self.delete_chunks(snapshot, &realm, &ids, before_ms))
            }
            WriteRequest::SealChunks { reply } => return Some(AfterGroup::Seal(reply)),
            WriteRequest::Close { reply } => return Some(AfterGroup::Close(reply)),
        };
        self.waiting.push(waiting);
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes + self.chunks.frames_bytes() >= GROUP_BYTES
            || self.waiting.len() >= GROUP_REQUESTS
    }

    /// The keyspaces that somebody waits for an fsync of.
    pub(super) fn durable(&self) -> &[Keyspace] {
        &self.durable
    }

    /// What the group does to the segments of chunks; its rows are written after that.
    pub(super) fn chunks(&self) -> &ChunkChanges {
        &self.chunks
    }

    /// The rows to write, and who waits for them. `replaced` tells how much of a segment was
    /// replaced before, in bytes.
    pub(super) fn into_rows(
        mut self,
        number: u64,
        replaced: impl Fn(u32) -> u64,
    ) -> (Vec<RowChange>, Vec<PendingReply>) {
        for (key, value) in std::mem::take(&mut self.chunks).into_rows(replaced) {
            self.put(Keyspace::Chunks, key, &value);
        }
        for (log, watermark) in std::mem::take(&mut self.watermarks) {
            self.put(Keyspace::Views, keys::watermark(log), &record::encode_watermark(watermark));
        }
        for keyspace in std::mem::take(&mut self.durable) {
            self.put(keyspace, keys::LAST_GROUP.to_vec(), &number.to_be_bytes());
        }
        (self.rows, self.waiting)
    }

    fn write_views(
        &mut self,
        snapshot: &Snapshot<'_>,
        cache: &mut WriteCache,
        log: LogId,
        writes: Vec<ViewWrite>,
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        for write in writes {
            self.write_view(snapshot, cache, log, write.kind, &write.view)?;
        }
        let Some(watermark) = watermark else { return Ok(()) };
        let stored = match self.watermarks.get(&log) {
            Some(watermark) => *watermark,
            None => read::watermark(snapshot, log)?,
        };
        if watermark > stored {
            self.watermarks.insert(log, watermark);
        }
        Ok(())
    }

    fn write_view(
        &mut self,
        snapshot: &Snapshot<'_>,
        cache: &mut WriteCache,
        log: LogId,
        kind: ViewKind,
        view: &View,
    ) -> StoreResult<()> {
        let key = keys::row(log, kind, &view.id);
        let mut keeps_row_by_path = false;
        // Where nothing changes, the row that stands there need not be read.
        if !kind.flags.written_once
            && let Some(mut stored) = cache.take_row(snapshot, log, kind, &view.id, &key)?
        {
            if stored.position >= view.position {
                // What a clear that was broken off has taken away comes back with the newest.
                if stored.position == view.position && !stored.has_row_by_path {
                    self.put_row_by_path(log, kind, &view.id, stored.path.as_deref(), stored.live);
                    stored.has_row_by_path = true;
                }
                cache.rows.insert(key, Some(stored));
                return Ok(());
            }
            keeps_row_by_path =
                stored.has_row_by_path && stored.path == view.path && stored.live == view.live;
            if let Some(path) = indexed_path(kind, stored.path.as_deref())
                && !keeps_row_by_path
            {
                self.stage(Keyspace::Views, keys::path(log, kind, path, &view.id), None);
            }
        }
        if !keeps_row_by_path {
            self.put_row_by_path(log, kind, &view.id, view.path.as_deref(), view.live);
        }
        self.put(Keyspace::Views, key.clone(), &record::encode_row(view));
        if !kind.flags.written_once || kind.flags.path_indexed {
            let stored = StoredRow {
                position: view.position,
                path: view.path.clone(),
                live: view.live,
                has_row_by_path: true,
            };
            cache.rows.insert(key, Some(stored));
        }
        Ok(())
    }

    fn put_row_by_path(
        &mut self,
        log: LogId,
        kind: ViewKind,
        id: &[u8],
        path: Option<&str>,
        live: bool,
    ) {
        if let Some(path) = indexed_path(kind, path) {
            self.put(Keyspace::Views, keys::path(log, kind, path, id), &[u8::from(live)]);
        }
    }

    fn delete_views(
        &mut self,
        snapshot: &Snapshot<'_>,
        cache: &mut WriteCache,
        log: LogId,
        kind: ViewKind,
        ids: &[Bytes],
    ) -> StoreResult<()> {
        for id in ids {
            let key = keys::row(log, kind, id);
            if let Some(StoredRow { path: Some(path), .. }) =
                cache.take_row(snapshot, log, kind, id, &key)?
                && kind.flags.path_indexed
            {
                self.stage(Keyspace::Views, keys::path(log, kind, &path, id), None);
            }
            self.stage(Keyspace::Views, key.clone(), None);
            cache.rows.insert(key, None);
        }
        Ok(())
    }

    fn clear_views(&mut self, cache: &mut WriteCache, log: LogId, keys: Vec<Bytes>) {
        self.watermarks.remove(&log);
        for key in keys {
            self.stage(Keyspace::Views, key.to_vec(), None);
            cache.rows.insert(key.into(), None);
        }
        // Those whose rows by path are gone before they are.
        for stored in cache.rows.values_mut().flatten() {
            stored.has_row_by_path = false;
        }
    }

    fn make_durable(&mut self, keyspaces: &[Keyspace]) {
        for keyspace in keyspaces {
            if !self.durable.contains(keyspace) {
                self.durable.push(*keyspace);
            }
        }
    }

    /// The value of a key, this group's requests so far taken in.
    fn stored(
        &self,
        snapshot: &Snapshot<'_>,
        keyspace: Keyspace,
        key: &[u8],
    ) -> StoreResult<Option<Bytes>> {
        match self.staged.get(&(keyspace, key.to_vec())) {
            Some(at) => {
                let sealed = self.rows[*at].2.as_ref();
                sealed.map(|sealed| record::unseal(key, sealed)).transpose()
            }
            None => snapshot.get(keyspace, key),
        }
    }

    fn put(&mut self, keyspace: Keyspace, key: Vec<u8>, value: &[u8]) {
        let value = record::seal(&key, value);
        self.stage(keyspace, key, Some(value));
    }

    fn stage(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        if let Some(at) = self.staged.get(&(keyspace, key.clone())) {
            self.rows[*at].2 = value;
        } else {
            self.staged.insert((keyspace, key.clone()), self.rows.len());
            self.rows.push((keyspace, key, value));
        }
    }
}

/// The path that a row of this kind is found by.
fn indexed_path(kind: ViewKind, path: Option<&str>) -> Option<&str> {
    path.filter(|_| kind.flags.path_indexed)
}
