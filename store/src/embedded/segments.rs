//! Segments: files that frames are appended to, each group of them with one write and one sync.
//!
//! What a frame holds, and what finds it again, is the business of who appends. Frames are never
//! changed: what stands in for one is appended as well, and a segment of which much was replaced is
//! removed once what is left of it has been moved ([`removal`]).

mod files;
mod frame;
mod recovery;
mod removal;
mod segment;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::sync_directory;
use super::errors::unavailable;
use super::marker::Marker;
use crate::error::StoreResult;
pub(super) use files::{ReadFault, SegmentFiles};
pub(super) use frame::{
    FrameHead, FrameKey, HEADER_BYTES, Location, SegmentPosition, frame_head, push_frame,
};
pub(super) use recovery::{FrameIndex, Recovered, Recovery};
pub(super) use removal::{FrameMover, MovedFrame, REMOVED_FROM, REMOVED_FROM_ON_REQUEST, remove};
pub(super) use segment::ActiveSegment;
#[cfg(test)]
pub(super) use tests::last_segment;

/// The file that says up to where frames were acknowledged.
const MARKER: &str = "MARK";

/// A folder of segments.
#[derive(Clone, Debug)]
pub(super) struct SegmentFolder {
    path: PathBuf,
    /// What its frames hold, for people.
    of: &'static str,
    /// A segment that has so much is sealed.
    segment_bytes: u64,
    /// By so much a file is extended before it is written: a sync of what has its place on the
    /// disk already takes a fraction of one that must find it.
    extended_by: u64,
    /// What a frame holds at most; what is longer is not read.
    body_max_bytes: u32,
}

impl SegmentFolder {
    pub(super) fn new(
        path: PathBuf,
        of: &'static str,
        segment_bytes: u64,
        extended_by: u64,
        body_max_bytes: u32,
    ) -> Self {
        let (segment_bytes, extended_by) = (segment_bytes.min(2 << 30), extended_by.max(1 << 16));
        Self { path, of, segment_bytes, extended_by, body_max_bytes }
    }

    /// Makes the folder, which holds no frame; it lasts once its parent is synced.
    pub(super) fn create(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Marker::create(&self.marker(), [0; 2])?;
        sync_directory(&self.path)
    }

    /// The same in another place.
    pub(super) fn named(&self, path: PathBuf) -> Self {
        Self { path, ..self.clone() }
    }

    /// Whether any frame was acknowledged in it; false where it is not there.
    pub(super) fn holds_frames(&self, directory: &Path) -> StoreResult<bool> {
        let segments = self
            .segments()
            .map_err(|error| unavailable(directory, "cannot read the segments of", &error))?;
        // Without them its marker may be half made.
        if segments.is_empty() {
            return Ok(false);
        }
        let values = Marker::<2>::open(directory, &self.marker())?.values;
        Ok(values > [1, u64::from(HEADER_BYTES)])
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the marker is of what was acknowledged.
    pub(super) fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    pub(super) fn segment(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number:010}.segment"))
    }

    /// The segments in it, in ascending order; none where the folder is not there.
    pub(super) fn segments(&self) -> io::Result<Vec<u32>> {
        let mut segments = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(segments),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
            segments.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        segments.sort_unstable();
        Ok(segments)
    }
}
