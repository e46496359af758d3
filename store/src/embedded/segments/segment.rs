//! A segment's file: made, appended to, synced and sealed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::SegmentFolder;
use super::frame::{self, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES, SegmentPosition};
use crate::embedded::directory::sync_directory;

/// The segment that frames are appended to.
pub(in crate::embedded) struct ActiveSegment {
    pub(in crate::embedded) number: u32,
    pub(in crate::embedded) file: Arc<File>,
    /// Where the next frame goes.
    end: u32,
    allocated: u64,
    sealed_at: u64,
    extended_by: u64,
}

impl ActiveSegment {
    /// Makes the file of a segment, which lasts.
    pub(in crate::embedded) fn create(folder: &SegmentFolder, number: u32) -> io::Result<Self> {
        let path = folder.segment(number);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let start = SegmentPosition { segment: number, offset: 0 };
        let mut segment = Self::go_on(Arc::new(file), start, folder)?;
        segment.append(&frame::header(number))?;
        segment.file.sync_all()?;
        sync_directory(folder.path())?;
        Ok(segment)
    }

    /// Goes on with a segment whose frames end there.
    pub(in crate::embedded) fn go_on(
        file: Arc<File>,
        end: SegmentPosition,
        folder: &SegmentFolder,
    ) -> io::Result<Self> {
        let allocated = file.metadata()?.len();
        let (sealed_at, extended_by) = (folder.segment_bytes, folder.extended_by);
        let SegmentPosition { segment: number, offset: end } = end;
        Ok(Self { number, file, end, allocated, sealed_at, extended_by })
    }

    /// Where the next frame goes.
    pub(in crate::embedded) fn end(&self) -> SegmentPosition {
        SegmentPosition { segment: self.number, offset: self.end }
    }

    /// Where the frame goes that follows some which are not written yet.
    pub(in crate::embedded) fn end_after(&self, frames_bytes: usize) -> SegmentPosition {
        // What is written at once has less than 4 GiB.
        SegmentPosition { segment: self.number, offset: self.end + frames_bytes as u32 }
    }

    pub(in crate::embedded) fn is_full(&self) -> bool {
        u64::from(self.end) >= self.sealed_at
    }

    pub(in crate::embedded) fn is_empty(&self) -> bool {
        self.end <= HEADER_BYTES
    }

    /// Writes frames, or parts of them, that were made for where the segment ends; they do not last yet.
    pub(in crate::embedded) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let end = u64::from(self.end) + frames.len() as u64;
        while self.allocated < end {
            // Where the file system cannot, or has no more, the write itself tells.
            let flags = rustix::fs::FallocateFlags::empty();
            let _ = rustix::fs::fallocate(&self.file, flags, self.allocated, self.extended_by);
            self.allocated += self.extended_by;
        }
        self.file.write_all_at(frames, u64::from(self.end))?;
        self.end = u32::try_from(end).map_err(|_| io::Error::other("a segment is above 4 GiB"))?;
        Ok(())
    }

    /// Makes all frames last.
    pub(in crate::embedded) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Ends the segment for good; all of it lasts.
    pub(in crate::embedded) fn seal(&mut self) -> io::Result<()> {
        self.append(&frame::seal(self.end()))?;
        self.file.set_len(u64::from(self.end))?;
        self.file.sync_all()
    }
}

/// Reads the frames of a segment one by one.
pub(super) struct FrameReader<'a> {
    file: &'a File,
    at: SegmentPosition,
    length: u64,
    body_max_bytes: u32,
}

/// What stands in a segment where a frame could be.
pub(super) enum Found {
    Frame {
        head: FrameHead,
        at: SegmentPosition,
        body: Vec<u8>,
    },
    Seal,
    /// Neither: zeros, something torn, or damage.
    Nothing,
}

impl<'a> FrameReader<'a> {
    /// From a frame on.
    pub(super) fn new(
        file: &'a File,
        at: SegmentPosition,
        folder: &SegmentFolder,
    ) -> io::Result<Self> {
        let body_max_bytes = folder.body_max_bytes;
        Ok(Self { file, at, length: file.metadata()?.len(), body_max_bytes })
    }

    /// Where the next frame is looked for.
    pub(super) fn position(&self) -> SegmentPosition {
        self.at
    }

    pub(super) fn next(&mut self) -> io::Result<Found> {
        let mut head = [0; FRAME_HEAD_BYTES as usize];
        let start = u64::from(self.at.offset) + u64::from(FRAME_HEAD_BYTES);
        if start > self.length {
            return Ok(Found::Nothing);
        }
        self.file.read_exact_at(&mut head, u64::from(self.at.offset))?;
        let head = FrameHead::decode(&head);
        if head.is_seal(self.at) {
            return Ok(Found::Seal);
        }
        let is_plausible = 0 < head.length && head.length <= self.body_max_bytes;
        if !is_plausible || start + u64::from(head.length) > self.length {
            return Ok(Found::Nothing);
        }
        let mut body = vec![0; head.length as usize];
        self.file.read_exact_at(&mut body, start)?;
        if !head.is_of(self.at, &body) {
            return Ok(Found::Nothing);
        }
        let at = self.at;
        self.at.offset += FRAME_HEAD_BYTES + head.length;
        Ok(Found::Frame { head, at, body })
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
