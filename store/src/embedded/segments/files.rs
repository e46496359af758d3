//! The segments' files as reads see them: some stay open.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::SegmentFolder;
use super::frame::{self, FrameKey, Location};
use crate::error::{StoreError, StoreErrorKind};

/// Opens segments for reading, and keeps those that were used last.
pub(in crate::embedded) struct SegmentFiles {
    folder: SegmentFolder,
    kept: usize,
    /// The last used one is first.
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

/// Why a frame could not be read.
pub(in crate::embedded) enum ReadFault {
    /// The segment is not there: the frame may have been moved out of it meanwhile.
    SegmentGone,
    /// Another frame stands there, or none.
    Damaged,
    Refused(StoreError),
}

impl SegmentFiles {
    pub(in crate::embedded) fn new(folder: SegmentFolder, kept: usize) -> Self {
        Self { folder, kept: kept.max(2), open: Mutex::default() }
    }

    /// The body of the frame at a location.
    pub(in crate::embedded) fn read(
        &self,
        location: Location,
        key: FrameKey,
    ) -> Result<Bytes, ReadFault> {
        let segment = location.at.segment;
        let file = self.get(segment).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadFault::SegmentGone,
            _ => ReadFault::Refused(self.unreadable(segment, &error)),
        })?;
        let mut frame = vec![0; location.frame_bytes() as usize];
        match file.read_exact_at(&mut frame, u64::from(location.at.offset)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadFault::Damaged);
            }
            Err(error) => return Err(ReadFault::Refused(self.unreadable(segment, &error))),
        }
        frame::body_of(&frame.into(), location, key).ok_or(ReadFault::Damaged)
    }

    pub(in crate::embedded) fn get(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(number, _)| *number == segment) {
            let (number, file) = open.remove(at).unwrap_or_else(|| unreachable!("it is there"));
            open.push_front((number, Arc::clone(&file)));
            return Ok(file);
        }
        // Under the lock, so that a segment which is forgotten stays so.
        let file = Arc::new(File::open(self.folder.segment(segment))?);
        open.push_front((segment, Arc::clone(&file)));
        open.truncate(self.kept);
        Ok(file)
    }

    /// Lets go of a segment that was removed.
    pub(in crate::embedded) fn forget(&self, segment: u32) {
        self.open.lock().retain(|(number, _)| *number != segment);
    }

    /// What is said where something does not stand at its location.
    pub(in crate::embedded) fn damaged(
        &self,
        location: Location,
        what: impl fmt::Display,
    ) -> StoreError {
        StoreError::new(
            StoreErrorKind::Damaged,
            format_args!(
                "the store is damaged: {what} is not at {} of {}; restore it from a backup",
                location.at.offset,
                self.folder.segment(location.at.segment).display()
            ),
        )
    }

    fn unreadable(&self, segment: u32, error: &io::Error) -> StoreError {
        StoreError::new(
            StoreErrorKind::Unavailable,
            format_args!("cannot read {}: {error}", self.folder.segment(segment).display()),
        )
    }
}
