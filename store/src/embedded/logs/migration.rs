//! From format 1, whose engine held the batches themselves, to segments.
//!
//! All batches are written to segments beside the store; only when these last do they get their
//! name, and only then the store its new format. A crash before that leaves a store of format 1,
//! and the next opening begins again.

use std::fs;
use std::io;
use std::path::Path;

use super::index;
use super::recent::row;
use crate::batch::Batch;
use crate::embedded::directory::sync_directory;
use crate::embedded::engine::Engine;
use crate::embedded::errors::{damaged, unavailable};
use crate::embedded::marker::Marker;
use crate::embedded::segments::{ActiveSegment, FrameKey, SegmentFolder, push_frame};
use crate::embedded::{keys, record};
use crate::error::StoreResult;

const ROWS_AT_ONCE: usize = 512;
const FRAMES_BYTES: usize = 1 << 20;

/// Writes the batches that an engine holds to the segments of its store.
pub(in crate::embedded) fn migrate(
    directory: &Path,
    engine: &Engine,
    folder: &SegmentFolder,
) -> StoreResult<()> {
    let failed = |error: &io::Error| unavailable(directory, "cannot change the format of", error);
    tracing::info!(store = %directory.display(), "the logs of the store move into segments");
    if folder.holds_frames(directory)? && engine.unsegmented().next().is_none() {
        return Err(damaged(directory, "its FORMAT file is that of another store"));
    }
    let new = folder.named(folder.path().with_extension("new"));
    for folder in [&new, folder] {
        match fs::remove_dir_all(folder.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
    }
    fs::create_dir(new.path()).map_err(|error| failed(&error))?;
    write_segments(directory, &new, engine)?;
    engine.sync().map_err(|error| failed(&io::Error::other(error)))?;
    let named = fs::rename(new.path(), folder.path()).and_then(|()| sync_directory(directory));
    named.map_err(|error| failed(&error))
}

fn write_segments(directory: &Path, folder: &SegmentFolder, engine: &Engine) -> StoreResult<()> {
    let failed = |error: io::Error| unavailable(directory, "cannot change the format of", &error);
    let engine_failed = |error| failed(io::Error::other(error));
    let mut segment = ActiveSegment::create(folder, 1).map_err(failed)?;
    let (mut frames, mut rows) = (Vec::new(), Vec::new());
    let write = |segment: &mut ActiveSegment, frames: &mut Vec<u8>| {
        segment.append(frames)?;
        frames.clear();
        if segment.is_full() {
            segment.seal()?;
            *segment = ActiveSegment::create(folder, segment.number + 1)?;
        }
        Ok(())
    };
    for batch in engine.unsegmented() {
        let (key, encoded) = batch?;
        if key == keys::LAST_GROUP {
            continue;
        }
        let Some((log, number)) = keys::of_unsegmented_batch(&key) else {
            return Err(record::damaged(&key, "the key has another length"));
        };
        Batch::decode(&encoded)?;
        let at = segment.end_after(frames.len());
        let location = push_frame(&mut frames, at, FrameKey { id: log.0, number }, &encoded);
        rows.push(row(keys::location(log, number), Some(&location.encode())));
        if rows.len() >= ROWS_AT_ONCE {
            engine.write(rows.drain(..), false).map_err(engine_failed)?;
        }
        if frames.len() >= FRAMES_BYTES {
            write(&mut segment, &mut frames).map_err(failed)?;
        }
    }
    write(&mut segment, &mut frames).map_err(failed)?;
    segment.sync().map_err(failed)?;
    let end = segment.end();
    rows.push(index::indexed(end));
    engine.write(rows.drain(..), false).map_err(engine_failed)?;
    let marked = [u64::from(end.segment), u64::from(end.offset)];
    Marker::create(&folder.marker(), marked).map_err(failed)?;
    sync_directory(folder.path()).map_err(failed)
}
