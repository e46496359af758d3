//! A segment's file: made, appended to, synced and sealed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES, LogPosition};
use crate::embedded::directory::sync_directory;

/// Where the segments are, below the store's directory.
pub(super) const FOLDER: &str = "log";
/// The marker of the last acknowledged frame, beside them.
pub(super) const MARKER: &str = "MARK";

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentSizes {
    /// A segment that has so much is sealed.
    pub(super) segment_bytes: u64,
    /// By so much a file is extended before it is written: a sync of what has its place on the
    /// disk already takes a fraction of one that must find it.
    pub(super) extended_by: u64,
}

impl SegmentSizes {
    pub(super) fn new(segment_bytes: u64) -> Self {
        Self { segment_bytes, extended_by: (segment_bytes / 8).max(1 << 16) }
    }
}

/// The segment that frames are appended to.
pub(super) struct ActiveSegment {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    /// Where the next frame goes.
    end: u32,
    allocated: u64,
    sizes: SegmentSizes,
}

impl ActiveSegment {
    /// Makes the file of a segment, which lasts.
    pub(super) fn create(folder: &Path, number: u32, sizes: SegmentSizes) -> io::Result<Self> {
        let path = path(folder, number);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let file = Arc::new(file);
        let mut segment = Self { number, file, end: 0, allocated: 0, sizes };
        segment.append(&frame::header(number))?;
        segment.file.sync_all()?;
        sync_directory(folder)?;
        Ok(segment)
    }

    /// Goes on with a segment whose frames end there.
    pub(super) fn go_on(
        file: Arc<File>,
        end: LogPosition,
        sizes: SegmentSizes,
    ) -> io::Result<Self> {
        let allocated = file.metadata()?.len();
        Ok(Self { number: end.segment, file, end: end.offset, allocated, sizes })
    }

    /// Where the next frame goes.
    pub(super) fn end(&self) -> LogPosition {
        LogPosition { segment: self.number, offset: self.end }
    }

    /// Where the frame goes that follows some which are not written yet.
    pub(super) fn end_after(&self, frames: &[u8]) -> LogPosition {
        // What is written at once has less than 4 GiB.
        LogPosition { segment: self.number, offset: self.end + frames.len() as u32 }
    }

    pub(super) fn is_full(&self) -> bool {
        u64::from(self.end) >= self.sizes.segment_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end <= HEADER_BYTES
    }

    /// Writes frames that were made for where the segment ends; they do not last yet.
    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let end = u64::from(self.end) + frames.len() as u64;
        while self.allocated < end {
            // Where the file system cannot, or has no more, the write itself tells.
            let extended_by = self.sizes.extended_by;
            let flags = rustix::fs::FallocateFlags::empty();
            let _ = rustix::fs::fallocate(&self.file, flags, self.allocated, extended_by);
            self.allocated += extended_by;
        }
        self.file.write_all_at(frames, u64::from(self.end))?;
        self.end = u32::try_from(end).map_err(|_| io::Error::other("a segment is above 4 GiB"))?;
        Ok(())
    }

    /// Makes all frames last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Ends the segment for good; all of it lasts.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let mut seal = Vec::new();
        frame::push_seal(&mut seal, self.end());
        self.append(&seal)?;
        self.file.set_len(u64::from(self.end))?;
        self.file.sync_all()
    }
}

/// Reads the frames of a segment one by one.
pub(super) struct FrameReader<'a> {
    file: &'a File,
    at: LogPosition,
    length: u64,
}

/// What stands in a segment where a frame could be.
pub(super) enum Found {
    Frame {
        head: FrameHead,
        at: LogPosition,
        batch: Vec<u8>,
    },
    Seal,
    /// Neither: zeros, something torn, or damage.
    Nothing,
}

impl<'a> FrameReader<'a> {
    /// From a frame on.
    pub(super) fn new(file: &'a File, at: LogPosition) -> io::Result<Self> {
        Ok(Self { file, at, length: file.metadata()?.len() })
    }

    /// Where the next frame is looked for.
    pub(super) fn position(&self) -> LogPosition {
        self.at
    }

    pub(super) fn next(&mut self) -> io::Result<Found> {
        let mut head = [0; FRAME_HEAD_BYTES as usize];
        let body = u64::from(self.at.offset) + u64::from(FRAME_HEAD_BYTES);
        if body > self.length {
            return Ok(Found::Nothing);
        }
        self.file.read_exact_at(&mut head, u64::from(self.at.offset))?;
        let head = FrameHead::decode(&head);
        if head.is_seal(self.at) {
            return Ok(Found::Seal);
        }
        if !head.is_plausible() || body + u64::from(head.length) > self.length {
            return Ok(Found::Nothing);
        }
        let mut batch = vec![0; head.length as usize];
        self.file.read_exact_at(&mut batch, body)?;
        if !head.is_of(self.at, &batch) {
            return Ok(Found::Nothing);
        }
        let at = self.at;
        self.at.offset += FRAME_HEAD_BYTES + head.length;
        Ok(Found::Frame { head, at, batch })
    }
}

/// Whether the file begins as that segment does.
pub(super) fn has_header(file: &File, number: u32) -> io::Result<bool> {
    let mut header = [0; HEADER_BYTES as usize];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(header == frame::header(number)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.segment"))
}

/// The segments in a folder, in ascending order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u32>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
        segments.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    segments.sort_unstable();
    Ok(segments)
}
