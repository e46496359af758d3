//! A group: what one write of the engine, and one fsync, makes of many requests.

use std::collections::HashMap;

use bytes::Bytes;

use super::engine::{RowChange, Snapshot};
use super::keyspace::Keyspace;
use super::write_cache::{StoredRow, WriteCache};
use super::write_request::{PendingReply, Reply, WriteRequest};
use super::{keys, read, record};
use crate::chunk::{ChunkId, Holders, UploadId, touched_at_ms};
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
}

impl CommitGroup {
    /// Takes a request in. Gives back who wants the store closed.
    pub(super) fn take(
        &mut self,
        request: WriteRequest,
        snapshot: &Snapshot<'_>,
        cache: &mut WriteCache,
    ) -> Option<Reply<()>> {
        let waiting = match request {
            WriteRequest::Views { log, writes, watermark, reply } => {
                PendingReply::Done(reply, self.write_views(snapshot, cache, log, writes, watermark))
            }
            WriteRequest::Chunk { realm, id, bytes, reply } => {
                PendingReply::Done(reply, self.put_chunk(snapshot, &realm, id, &bytes))
            }
            WriteRequest::StageChunk { realm, id, bytes, upload, reply } => {
                let staged = self.stage_chunk(snapshot, &realm, id, &bytes, upload);
                PendingReply::Done(reply, staged)
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
            WriteRequest::Close { reply } => return Some(reply),
        };
        self.waiting.push(waiting);
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES || self.waiting.len() >= GROUP_REQUESTS
    }

    /// The keyspaces that somebody waits for an fsync of.
    pub(super) fn durable(&self) -> &[Keyspace] {
        &self.durable
    }

    /// The rows to write, and who waits for them.
    pub(super) fn into_rows(mut self, number: u64) -> (Vec<RowChange>, Vec<PendingReply>) {
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

    fn put_chunk(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
        bytes: &Bytes,
    ) -> StoreResult<()> {
        let holders = keys::holders(realm, id);
        if self.is_stored(snapshot, Keyspace::Chunks, &holders)? {
            self.stage(Keyspace::Chunks, holders, None);
        }
        self.put_or_touch(snapshot, realm, id, bytes)?;
        Ok(())
    }

    fn stage_chunk(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
        bytes: &Bytes,
        upload: UploadId,
    ) -> StoreResult<()> {
        let holders = self.holders(snapshot, realm, id)?;
        let is_new = self.put_or_touch(snapshot, realm, id, bytes)?;
        let key = keys::holders(realm, id);
        match (is_new, holders) {
            (true, _) => self.put(Keyspace::Chunks, key, &Holders::first(upload).encode()),
            (false, None) => {}
            (false, Some(holders)) => match holders.with(upload) {
                Some(holders) => self.put(Keyspace::Chunks, key, &holders.encode()),
                None => self.stage(Keyspace::Chunks, key, None),
            },
        }
        Ok(())
    }

    /// True where it was not there.
    fn put_or_touch(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
        bytes: &Bytes,
    ) -> StoreResult<bool> {
        let key = keys::chunk(realm, id);
        let is_new = !self.is_stored(snapshot, Keyspace::Chunks, &key)?;
        if is_new {
            self.put(Keyspace::Chunks, key, bytes);
        }
        self.put(Keyspace::Chunks, keys::touched(realm, id), &touched_at_ms().to_be_bytes());
        self.make_durable(&[Keyspace::Chunks]);
        Ok(is_new)
    }

    /// Which uploads hold a chunk, this group's requests so far taken in.
    fn holders(
        &self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
    ) -> StoreResult<Option<Holders>> {
        let key = keys::holders(realm, id);
        let stored = match self.staged.get(&(Keyspace::Chunks, key.clone())) {
            Some(at) => {
                let sealed = self.rows[*at].2.as_ref();
                sealed.map(|sealed| record::unseal(&key, sealed)).transpose()?
            }
            None => snapshot.get(Keyspace::Chunks, &key)?,
        };
        let decoded = |bytes: Bytes| {
            let damaged = || record::damaged(&key, "it names no uploads");
            Holders::decode(&bytes).ok_or_else(damaged)
        };
        stored.map(decoded).transpose()
    }

    fn discard_chunks(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        let mut removed = 0;
        for id in ids {
            let holders = self.holders(snapshot, realm, *id)?;
            let Some(left) = holders.and_then(|holders| holders.without(upload)) else { continue };
            if left.is_empty() {
                self.remove_chunk(realm, *id);
                removed += 1;
            } else {
                self.put(Keyspace::Chunks, keys::holders(realm, *id), &left.encode());
            }
        }
        Ok(removed)
    }

    fn remove_chunk(&mut self, realm: &str, id: ChunkId) {
        for key in [keys::chunk(realm, id), keys::touched(realm, id), keys::holders(realm, id)] {
            self.stage(Keyspace::Chunks, key, None);
        }
    }

    fn delete_chunks(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        ids: &[ChunkId],
        before_ms: u64,
    ) -> StoreResult<u64> {
        let mut deleted = 0;
        for id in ids {
            let touched = keys::touched(realm, *id);
            // One that this group touches is in use.
            let is_touched_now = self.staged.contains_key(&(Keyspace::Chunks, touched.clone()));
            let at = read::touched(snapshot, realm, *id)?;
            if !is_touched_now && at.is_some_and(|at| at < before_ms) {
                self.remove_chunk(realm, *id);
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    fn make_durable(&mut self, keyspaces: &[Keyspace]) {
        for keyspace in keyspaces {
            if !self.durable.contains(keyspace) {
                self.durable.push(*keyspace);
            }
        }
    }

    fn is_stored(
        &self,
        snapshot: &Snapshot<'_>,
        keyspace: Keyspace,
        key: &[u8],
    ) -> StoreResult<bool> {
        match self.staged.get(&(keyspace, key.to_vec())) {
            Some(at) => Ok(self.rows[*at].2.is_some()),
            None => Ok(snapshot.get(keyspace, key)?.is_some()),
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
