//! What a group makes of requests about chunks.

use bytes::Bytes;

use super::CommitGroup;
use crate::chunk::{Chunk, ChunkId, Holders, UploadId, touched_at_ms};
use crate::embedded::engine::Snapshot;
use crate::embedded::keyspace::Keyspace;
use crate::embedded::segments::{Location, MovedFrame};
use crate::embedded::{chunks, keys, read, record};
use crate::error::StoreResult;

impl CommitGroup {
    pub(super) fn put_chunk(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        chunk: Chunk,
    ) -> StoreResult<()> {
        let holders = keys::holders(realm, chunk.id());
        if self.stored(snapshot, Keyspace::Chunks, &holders)?.is_some() {
            self.stage(Keyspace::Chunks, holders, None);
        }
        self.put_or_touch(snapshot, realm, chunk)?;
        Ok(())
    }

    pub(super) fn stage_chunk(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        chunk: Chunk,
        upload: UploadId,
    ) -> StoreResult<()> {
        let id = chunk.id();
        let holders = self.holders(snapshot, realm, id)?;
        let is_new = self.put_or_touch(snapshot, realm, chunk)?;
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
        chunk: Chunk,
    ) -> StoreResult<bool> {
        let id = chunk.id();
        let inline = keys::inline_chunk(realm, id);
        let is_new = self.chunk_location(snapshot, realm, id)?.is_none()
            && self.stored(snapshot, Keyspace::Chunks, &inline)?.is_none();
        self.put(Keyspace::Chunks, keys::touched(realm, id), &touched_at_ms().to_be_bytes());
        if is_new {
            let location = self.chunks.append(realm, chunk);
            self.put(Keyspace::Chunks, keys::chunk(realm, id), &location.encode());
        } else {
            self.make_durable(&[Keyspace::Chunks]);
        }
        Ok(is_new)
    }

    /// Where the frame of a chunk stands.
    fn chunk_location(
        &self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
    ) -> StoreResult<Option<Location>> {
        let key = keys::chunk(realm, id);
        let stored = self.stored(snapshot, Keyspace::Chunks, &key)?;
        stored.map(|bytes| record::decode_location(&key, &bytes)).transpose()
    }

    pub(super) fn move_chunks(
        &mut self,
        snapshot: &Snapshot<'_>,
        frames: Vec<MovedFrame>,
    ) -> StoreResult<()> {
        for frame in frames {
            let (realm, id) = (chunks::realm_of(&frame.body)?.to_owned(), ChunkId(frame.key.id));
            // It may have been removed meanwhile.
            if self.chunk_location(snapshot, &realm, id)? == Some(frame.old) {
                let location = self.chunks.append_again(frame);
                self.put(Keyspace::Chunks, keys::chunk(&realm, id), &location.encode());
            }
        }
        Ok(())
    }

    /// Which uploads hold a chunk, this group's requests so far taken in.
    fn holders(
        &self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
    ) -> StoreResult<Option<Holders>> {
        let key = keys::holders(realm, id);
        let stored = self.stored(snapshot, Keyspace::Chunks, &key)?;
        let decoded = |bytes: Bytes| {
            let damaged = || record::damaged(&key, "it names no uploads");
            Holders::decode(&bytes).ok_or_else(damaged)
        };
        stored.map(decoded).transpose()
    }

    pub(super) fn discard_chunks(
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
                self.remove_chunk(snapshot, realm, *id)?;
                removed += 1;
            } else {
                self.put(Keyspace::Chunks, keys::holders(realm, *id), &left.encode());
            }
        }
        Ok(removed)
    }

    fn remove_chunk(
        &mut self,
        snapshot: &Snapshot<'_>,
        realm: &str,
        id: ChunkId,
    ) -> StoreResult<()> {
        let inline = keys::inline_chunk(realm, id);
        if self.stored(snapshot, Keyspace::Chunks, &inline)?.is_some() {
            self.stage(Keyspace::Chunks, inline, None);
        }
        if let Some(location) = self.chunk_location(snapshot, realm, id)? {
            self.chunks.replace(location);
            self.stage(Keyspace::Chunks, keys::chunk(realm, id), None);
        }
        for key in [keys::touched(realm, id), keys::holders(realm, id)] {
            self.stage(Keyspace::Chunks, key, None);
        }
        Ok(())
    }

    pub(super) fn delete_chunks(
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
                self.remove_chunk(snapshot, realm, *id)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}
