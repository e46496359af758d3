//! The segments' files as reads see them: some stay open.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{self, Location};
use super::segment;
use crate::error::{StoreError, StoreErrorKind};
use crate::log::LogId;

/// Opens segments for reading, and keeps those that were used last.
pub(super) struct SegmentFiles {
    folder: PathBuf,
    kept: usize,
    /// The last used one is first.
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

/// Why a batch could not be read.
pub(super) enum ReadFault {
    /// The segment is not there: the batch may have been moved out of it meanwhile.
    SegmentGone,
    Refused(StoreError),
}

impl SegmentFiles {
    pub(super) fn new(folder: PathBuf, kept: usize) -> Self {
        Self { folder, kept: kept.max(2), open: Mutex::default() }
    }

    /// The batch at a location, in its stored form.
    pub(super) fn read(
        &self,
        location: Location,
        log: LogId,
        number: u64,
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
                return Err(ReadFault::Refused(self.damaged(location, log, number)));
            }
            Err(error) => return Err(ReadFault::Refused(self.unreadable(segment, &error))),
        }
        let batch = frame::batch_of(&frame.into(), location, log, number);
        batch.ok_or_else(|| ReadFault::Refused(self.damaged(location, log, number)))
    }

    pub(super) fn get(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(number, _)| *number == segment) {
            let (number, file) = open.remove(at).unwrap_or_else(|| unreachable!("it is there"));
            open.push_front((number, Arc::clone(&file)));
            return Ok(file);
        }
        // Under the lock, so that a segment which is forgotten stays so.
        let file = Arc::new(File::open(segment::path(&self.folder, segment))?);
        open.push_front((segment, Arc::clone(&file)));
        open.truncate(self.kept);
        Ok(file)
    }

    /// Lets go of a segment that was removed.
    pub(super) fn forget(&self, segment: u32) {
        self.open.lock().retain(|(number, _)| *number != segment);
    }

    pub(super) fn damaged(&self, location: Location, log: LogId, number: u64) -> StoreError {
        StoreError::new(
            StoreErrorKind::Damaged,
            format_args!(
                "the store is damaged: batch {number} of log {log} is not at {} of {}; \
                 restore it from a backup",
                location.at.offset,
                segment::path(&self.folder, location.at.segment).display()
            ),
        )
    }

    fn unreadable(&self, segment: u32, error: &io::Error) -> StoreError {
        StoreError::new(
            StoreErrorKind::Unavailable,
            format_args!("cannot read {}: {error}", segment::path(&self.folder, segment).display()),
        )
    }
}
