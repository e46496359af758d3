//! Chunks on the disk: appended to segments, found by rows of the engine.
//!
//! A frame holds the realm of its chunk, a zero byte and the bytes, and is known by their hash. Its
//! rows are written to the engine once the frame lasts, without a sync: the row [`keys::INDEXED`],
//! written with them, says up to where the engine knows the segments, and what follows is read
//! from these when the store is opened. A chunk whose removal a power cut took back is there again,
//! and is nobody's: it is left to its collector.

mod changes;
mod removal;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

pub(super) use self::changes::ChunkChanges;
pub(super) use self::writer::ChunkWriter;
use super::engine::{Engine, RowChange};
use super::keyspace::Keyspace;
use super::options::EmbeddedOptions;
use super::segments::{
    FrameHead, FrameIndex, FrameKey, Location, ReadFault, SegmentFiles, SegmentFolder,
    SegmentPosition,
};
use super::{keys, read, record};
use crate::chunk::{CHUNK_MAX_BYTES, ChunkId, REALM_MAX_BYTES, touched_at_ms};
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// Where the chunks of a store are.
pub(super) fn folder(directory: &Path, options: &EmbeddedOptions) -> SegmentFolder {
    let frame_max_bytes = (CHUNK_MAX_BYTES + REALM_MAX_BYTES + 1) as u32;
    let (path, segment_bytes) = (directory.join("chunks"), options.segment_bytes);
    SegmentFolder::new(path, "chunks", segment_bytes, segment_bytes / 64, frame_max_bytes)
}

/// The chunks of an open store, as everybody sees them.
pub(super) struct ChunkSegments {
    engine: Arc<Engine>,
    folder: SegmentFolder,
    files: SegmentFiles,
    known: Mutex<Known>,
}

/// What memory knows of the segments.
struct Known {
    /// Up to where the engine knows the frames.
    end: SegmentPosition,
    /// How many bytes of each segment were replaced.
    replaced: BTreeMap<u32, u64>,
    /// Segments that cannot be read to their ends.
    damaged: HashSet<u32>,
}

impl ChunkSegments {
    fn open(engine: Arc<Engine>, folder: SegmentFolder, open_files: usize) -> StoreResult<Self> {
        let snapshot = engine.snapshot();
        let known = Known {
            end: read::indexed(&snapshot, Keyspace::Chunks)?,
            replaced: read::replaced(&snapshot, Keyspace::Chunks)?,
            damaged: HashSet::new(),
        };
        drop(snapshot);
        let files = SegmentFiles::new(folder.clone(), open_files);
        Ok(Self { engine, folder, files, known: Mutex::new(known) })
    }

    /// The bytes of a chunk; `None` if it is not there.
    pub(super) fn read(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        let mut gone = None;
        loop {
            let snapshot = self.engine.snapshot();
            let Some(location) = read::chunk_location(&snapshot, realm, id)? else {
                return snapshot.get(Keyspace::Chunks, &keys::inline_chunk(realm, id));
            };
            drop(snapshot);
            match self.files.read(location, key(id)) {
                Ok(body) if realm_of(&body)? == realm => {
                    return Ok(Some(body.slice(realm.len() + 1..)));
                }
                // It was moved meanwhile, or removed.
                Err(ReadFault::SegmentGone) if gone != Some(location) => gone = Some(location),
                Err(ReadFault::Refused(error)) => return Err(error),
                Ok(_) | Err(ReadFault::Damaged | ReadFault::SegmentGone) => {
                    return Err(self.files.damaged(location, format_args!("chunk {id}")));
                }
            }
        }
    }

    /// How many bytes of a segment were replaced.
    pub(super) fn replaced(&self, segment: u32) -> u64 {
        self.known.lock().replaced.get(&segment).copied().unwrap_or_default()
    }

    fn write(&self, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> StoreResult<()> {
        let rows = rows.into_iter().map(|(key, value)| -> RowChange {
            let value = value.map(|value| record::seal(&key, &value));
            (Keyspace::Chunks, key, value)
        });
        self.engine.write(rows, false).map_err(|error| {
            let what = format_args!("rows about chunks cannot be written: {error}");
            StoreError::new(StoreErrorKind::Unavailable, what)
        })
    }
}

impl FrameIndex for ChunkSegments {
    fn end(&self) -> SegmentPosition {
        self.known.lock().end
    }

    fn keep_segments(&self, segments: &[u32]) -> StoreResult<()> {
        let is_gone = |segment: &u32| segments.binary_search(segment).is_err();
        let mut known = self.known.lock();
        let gone: Vec<_> = known.replaced.keys().copied().filter(is_gone).collect();
        known.replaced.retain(|segment, _| !is_gone(segment));
        drop(known);
        self.write(gone.into_iter().map(|segment| (keys::segment(segment), None)).collect())
    }

    fn take(&self, head: FrameHead, at: SegmentPosition, body: Bytes) -> StoreResult<()> {
        let (realm, id) = (realm_of(&body)?, ChunkId(head.key.id));
        let location = Location { at, length: head.length };
        let old = read::chunk_location(&self.engine.snapshot(), realm, id)?;
        let mut rows = vec![(keys::INDEXED.to_vec(), Some(location.end().encode().to_vec()))];
        if old.is_none_or(|old| old.at < at) {
            rows.push((keys::chunk(realm, id), Some(location.encode().to_vec())));
            // When that was, is gone with its row: it is kept as if it was now, and stays. What an
            // older row says of uploads, or holds itself, was removed before this was put.
            let touched = touched_at_ms().to_be_bytes().to_vec();
            rows.push((keys::touched(realm, id), Some(touched)));
            rows.push((keys::holders(realm, id), None));
            rows.push((keys::inline_chunk(realm, id), None));
            if let Some(old) = old {
                let mut known = self.known.lock();
                let replaced = known.replaced.entry(old.at.segment).or_default();
                *replaced += u64::from(old.frame_bytes());
                rows.push((keys::segment(old.at.segment), Some(replaced.to_be_bytes().to_vec())));
            }
        }
        self.write(rows)?;
        self.known.lock().end = location.end();
        Ok(())
    }

    fn set_end(&self, end: SegmentPosition) -> StoreResult<()> {
        // A segment before the end may be removed, so the engine must not look for it any more.
        self.write(vec![(keys::INDEXED.to_vec(), Some(end.encode().to_vec()))])?;
        self.known.lock().end = end;
        Ok(())
    }
}

/// What the frame of a chunk is known by.
fn key(id: ChunkId) -> FrameKey {
    FrameKey { id: id.0, number: 0 }
}

/// The realm in what the frame of a chunk holds.
pub(super) fn realm_of(body: &[u8]) -> StoreResult<&str> {
    let end = body.iter().take(REALM_MAX_BYTES + 1).position(|byte| *byte == 0);
    let realm = end.and_then(|end| std::str::from_utf8(&body[..end]).ok());
    realm.ok_or_else(|| {
        let what = "the store is damaged: a frame names no realm; restore it from a backup";
        StoreError::new(StoreErrorKind::Damaged, what)
    })
}
