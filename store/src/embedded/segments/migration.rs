//! From format 1, whose engine held the batches themselves, to segments.
//!
//! All batches are written to segments beside the store; only when these last do they get their
//! name, and only then the store its new format. A crash before that leaves a store of format 1,
//! and the next opening begins again. The engine's rows are cleared after it.

use std::fs;
use std::io;
use std::path::Path;

use super::frame;
use super::index;
use super::recent::row;
use super::segment::{ActiveSegment, FOLDER, MARKER, SegmentSizes};
use crate::batch::Batch;
use crate::embedded::directory::{Directory, sync_directory};
use crate::embedded::engine::Engine;
use crate::embedded::errors::{damaged, unavailable};
use crate::embedded::marker::Marker;
use crate::embedded::{keys, record};
use crate::error::StoreResult;

const ROWS_AT_ONCE: usize = 512;
const FRAMES_BYTES: usize = 1 << 20;

/// Moves the batches of the engine into segments, where the store has format 1.
pub(super) fn migrate(
    directory: &Directory,
    engine: &Engine,
    sizes: SegmentSizes,
) -> StoreResult<()> {
    let path = directory.path();
    let failed = |error: &io::Error| unavailable(path, "cannot change the format of", error);
    if directory.has_unsegmented_logs()? {
        tracing::info!(store = %path.display(), "the logs of the store move into segments");
        let (new, folder) = (path.join(format!("{FOLDER}.new")), path.join(FOLDER));
        if holds_frames(path, &folder)? && engine.unsegmented().next().is_none() {
            return Err(damaged(path, "its FORMAT file is that of another store"));
        }
        for folder in [&new, &folder] {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&error));
                }
                _ => {}
            }
        }
        fs::create_dir(&new).map_err(|error| failed(&error))?;
        write_segments(path, &new, engine, sizes)?;
        engine.sync().map_err(|error| failed(&io::Error::other(error)))?;
        let named = fs::rename(&new, &folder).and_then(|()| sync_directory(path));
        named.and_then(|()| directory.set_format()).map_err(|error| failed(&error))?;
    }
    engine.remove_unsegmented().map_err(|error| failed(&io::Error::other(error)))
}

/// Whether anything was acknowledged in segments.
fn holds_frames(directory: &Path, folder: &Path) -> StoreResult<bool> {
    let marker = folder.join(MARKER);
    let failed = |error: io::Error| unavailable(directory, "cannot read the segments of", &error);
    if !marker.try_exists().map_err(failed)? {
        return Ok(false);
    }
    let values = Marker::<2>::open(directory, &marker)?.values;
    Ok(values > [1, u64::from(frame::HEADER_BYTES)])
}

fn write_segments(
    directory: &Path,
    folder: &Path,
    engine: &Engine,
    sizes: SegmentSizes,
) -> StoreResult<()> {
    let failed = |error: io::Error| unavailable(directory, "cannot change the format of", &error);
    let engine_failed = |error| failed(io::Error::other(error));
    let mut segment = ActiveSegment::create(folder, 1, sizes).map_err(failed)?;
    let (mut frames, mut rows) = (Vec::new(), Vec::new());
    let write = |segment: &mut ActiveSegment, frames: &mut Vec<u8>| {
        segment.append(frames)?;
        frames.clear();
        if segment.is_full() {
            segment.seal()?;
            *segment = ActiveSegment::create(folder, segment.number + 1, sizes)?;
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
        let at = segment.end_after(&frames);
        let location = frame::push_frame(&mut frames, at, log, number, &encoded);
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
    Marker::create(&folder.join(MARKER), marked).map_err(failed)?;
    sync_directory(folder).map_err(failed)
}
