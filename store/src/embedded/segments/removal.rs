//! Room given back: segments of which much was replaced are removed, once what is left of them was
//! appended again.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::SegmentFolder;
use super::files::SegmentFiles;
use super::frame::{FrameKey, HEADER_BYTES, Location, SegmentPosition};
use super::segment::{Found, FrameReader};
use crate::embedded::directory::sync_directory;
use crate::embedded::{disk_space, errors};
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// One part in so many of a segment must have been replaced for the segment to be removed.
pub(in crate::embedded) const REMOVED_FROM: u64 = 2;
/// The same where somebody asks for the room.
pub(in crate::embedded) const REMOVED_FROM_ON_REQUEST: u64 = 16;

/// Frames are moved in runs of so many bytes.
const MOVED_AT_ONCE: usize = 1 << 20;

/// A frame that stands in a segment which shall go.
pub(in crate::embedded) struct MovedFrame {
    pub(in crate::embedded) key: FrameKey,
    pub(in crate::embedded) old: Location,
    pub(in crate::embedded) body: Bytes,
}

/// Who appends frames again, and knows where they stand.
pub(in crate::embedded) trait FrameMover {
    /// Whether this is where the frame is looked for.
    fn is_found_at(&self, key: FrameKey, location: Location, body: &[u8]) -> StoreResult<bool>;

    /// Appends those that are still looked for where they stand.
    fn move_frames(&self, frames: Vec<MovedFrame>) -> StoreResult<()>;

    /// Makes it last where frames are looked for.
    fn make_index_last(&self) -> StoreResult<()>;
}

/// Removes a sealed segment if one part in `part` of it was replaced, in bytes; tells whether.
/// `directory` is that of the store.
///
/// # Errors
/// `Full` where the disk has no room for what is left of it, `Damaged` where it cannot be read.
pub(in crate::embedded) fn remove(
    directory: &Path,
    folder: &SegmentFolder,
    files: &SegmentFiles,
    (segment, replaced): (u32, u64),
    part: u64,
    mover: &impl FrameMover,
) -> StoreResult<bool> {
    let failed =
        |error: io::Error| errors::unavailable(directory, "cannot give back room of", &error);
    let path = folder.segment(segment);
    let bytes = match fs::metadata(&path) {
        // A removal before this one could not tell.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        metadata => metadata.map_err(failed)?.len(),
    };
    if replaced * part < bytes {
        return Ok(false);
    }
    let kept = bytes.saturating_sub(replaced);
    let free = disk_space::free_bytes(directory)?;
    // A write that fails would stop the store.
    if free < 4 * kept {
        return Err(StoreError::new(
            StoreErrorKind::Full,
            format_args!("{free} bytes are free, moving {kept} takes more"),
        ));
    }
    let file = files.get(segment).map_err(failed)?;
    let start = SegmentPosition { segment, offset: HEADER_BYTES };
    let mut reader = FrameReader::new(&file, start, folder).map_err(failed)?;
    let (mut frames, mut waiting) = (Vec::new(), 0);
    loop {
        let ended = match reader.next().map_err(failed)? {
            Found::Frame { head, at, body } => {
                let old = Location { at, length: head.length };
                if mover.is_found_at(head.key, old, &body)? {
                    waiting += body.len();
                    frames.push(MovedFrame { key: head.key, old, body: body.into() });
                }
                false
            }
            Found::Seal => true,
            Found::Nothing => {
                let at = reader.position().offset;
                return Err(StoreError::new(
                    StoreErrorKind::Damaged,
                    format_args!("segment {segment} cannot be read from {at} on"),
                ));
            }
        };
        if !frames.is_empty() && (ended || waiting >= MOVED_AT_ONCE) {
            waiting = 0;
            mover.move_frames(std::mem::take(&mut frames))?;
        }
        if ended {
            break;
        }
    }
    // Only once it lasts that nothing is looked for in it any more.
    mover.make_index_last()?;
    let removed = fs::remove_file(path).and_then(|()| sync_directory(folder.path()));
    files.forget(segment);
    removed.map_err(failed)?;
    Ok(true)
}
