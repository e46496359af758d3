//! Opening the segments: what the index does not know yet is read, and the torn end that a crash
//! leaves is told from damage.
//!
//! - Every segment but the last was sealed, and must be.
//! - The last one may be torn after what was acknowledged, which the marker beside the segments
//!   tells. It is cut after its last whole frame.
//! - Unless the store was closed, the end of the last one may be whole in memory alone, because its
//!   sync never came or failed. It is written again before anything rests on it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::files::ReadFault;
use super::frame::{FrameHead, HEADER_BYTES, Location, LogPosition};
use super::read::LogReader;
use super::recent::{ChangeKind, IndexChange};
use super::segment::{self, ActiveSegment, Found, FrameReader, SegmentSizes};
use crate::batch::Batch;
use crate::embedded::errors::{damaged, unavailable};
use crate::embedded::torn_end;
use crate::error::{StoreError, StoreResult};
use crate::log::LogId;

/// Writes the last segment again, as it stands there, and makes it last.
pub(super) fn renew_last(directory: &Path, folder: &Path) -> StoreResult<()> {
    let failed = |error| unavailable(directory, "cannot sync the segments of", &error);
    let segments = match segment::list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        segments => segments.map_err(failed)?,
    };
    let Some(last) = segments.last() else { return Ok(()) };
    let path = segment::path(folder, *last);
    let end = File::open(&path).and_then(|file| torn_end::end_of_contents(&file, 0));
    end.and_then(|end| torn_end::renew(&path, end)).map_err(failed)
}

/// What is opened.
pub(super) struct Recovery<'a> {
    /// Of the store, for people.
    pub(super) directory: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) reader: &'a LogReader,
    /// Up to where frames were acknowledged, or further.
    pub(super) marked: LogPosition,
    pub(super) sizes: SegmentSizes,
}

impl Recovery<'_> {
    /// The segment to go on with.
    pub(super) fn run(&self) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        let segments = segment::list(self.folder).map_err(failed)?;
        let start = self.reader.index.end();
        let Some(last) = segments.last().copied() else {
            if start.max(self.marked) > LogPosition::default() {
                return Err(damaged(self.directory, "the segments of its logs are gone"));
            }
            return self.create(1);
        };
        self.reader
            .index
            .keep_segments(&segments)
            .map_err(|error| failed(io::Error::other(error)))?;
        let first = start.segment.max(1);
        let is_there = |segment: &u32| segments.binary_search(segment).is_ok();
        let needed = first..=last.max(start.segment).max(self.marked.segment);
        if let Some(gone) = needed.clone().find(|segment| !is_there(segment)) {
            return Err(damaged(self.directory, &format!("segment {gone} of its logs is gone")));
        }
        for number in needed {
            let file = File::open(segment::path(self.folder, number)).map_err(failed)?;
            if !segment::has_header(&file, number).map_err(failed)? {
                return self.make_again(&file, number, number == last);
            }
            let length = file.metadata().map_err(failed)?.len();
            if number == start.segment && length < u64::from(start.offset) {
                return Err(self.unreadable(LogPosition { segment: number, offset: length as u32 }));
            }
            let header_end = LogPosition { segment: number, offset: HEADER_BYTES };
            let (end, is_sealed) = self.scan(&file, start.max(header_end))?;
            if number < last && !is_sealed {
                return Err(self.unreadable(end));
            }
            if number == last && !is_sealed {
                return self.go_on(&file, end);
            }
        }
        self.create(last + 1)
    }

    /// Takes the frames of a segment into the index, and tells where they end, and whether with
    /// a seal.
    fn scan(&self, file: &File, start: LogPosition) -> StoreResult<(LogPosition, bool)> {
        let failed = |error: io::Error| self.failed(&error);
        let mut frames = FrameReader::new(file, start).map_err(failed)?;
        loop {
            match frames.next().map_err(failed)? {
                Found::Frame { head, at, batch } => self.take(head, at, &batch.into())?,
                found => {
                    self.reader.index.take([], frames.position());
                    return Ok((frames.position(), matches!(found, Found::Seal)));
                }
            }
        }
    }

    /// Takes a frame into the index.
    fn take(&self, head: FrameHead, at: LogPosition, encoded: &Bytes) -> StoreResult<()> {
        let index = &self.reader.index;
        let (log, number) = (head.log, head.number);
        let location = Location { at, length: head.length };
        let batch = Batch::decode(encoded)?;
        let kind = match index.location(log, number)? {
            None => Some(ChangeKind::appended(log, &batch)),
            Some(old) if old.at < at => Some(self.replaced(log, number, old, &batch)?),
            // The engine knows it, and had no time to say up to where it knows all.
            Some(_) => None,
        };
        index.take(kind.map(|kind| IndexChange { log, number, location, kind }), location.end());
        if index.is_large() {
            let written = index.write_behind();
            written.map_err(|error| self.failed(&io::Error::other(error)))?;
        }
        Ok(())
    }

    /// What a frame changes that stands in for an older one.
    fn replaced(
        &self,
        log: LogId,
        number: u64,
        old: Location,
        batch: &Batch,
    ) -> StoreResult<ChangeKind> {
        let LogReader { index, files } = self.reader;
        let mut removed = Vec::new();
        if batch.compacted_from.is_some() {
            let encoded = files.read(old, log, number).map_err(|fault| match fault {
                ReadFault::Refused(error) => error,
                ReadFault::SegmentGone => files.damaged(old, log, number),
            })?;
            removed =
                index.operations_found_in(log, number, Batch::decode(&encoded)?.operations)?;
        }
        Ok(ChangeKind::Replaced { old, removed })
    }

    /// Goes on with the last segment, whose frames end there.
    fn go_on(&self, file: &File, end: LogPosition) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        if end < self.marked {
            tracing::error!(?end, marked = ?self.marked, "the logs lost frames");
            return Err(damaged(self.directory, "acknowledged writes to its logs are gone"));
        }
        let path = segment::path(self.folder, end.segment);
        let whole_bytes = u64::from(end.offset);
        let is_torn = torn_end::end_of_contents(file, whole_bytes).map_err(failed)? > whole_bytes;
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        if is_torn {
            tracing::warn!(segment = %path.display(), whole_bytes, "a torn segment is cut");
            file.set_len(whole_bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        ActiveSegment::go_on(Arc::new(file), end, self.sizes).map_err(failed)
    }

    /// Makes the last segment again where the one before it was its end, and no more than its
    /// name lasted.
    fn make_again(&self, file: &File, number: u32, is_last: bool) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        let header_end = LogPosition { segment: number, offset: HEADER_BYTES };
        let written = torn_end::end_of_contents(file, u64::from(HEADER_BYTES)).map_err(failed)?;
        let is_used = self.marked >= header_end || self.reader.index.end() >= header_end;
        if !is_last || is_used || written > u64::from(HEADER_BYTES) {
            return Err(self.unreadable(LogPosition { segment: number, offset: 0 }));
        }
        self.create(number)
    }

    fn create(&self, number: u32) -> StoreResult<ActiveSegment> {
        let made = ActiveSegment::create(self.folder, number, self.sizes);
        let made = made.map_err(|error| self.failed(&error))?;
        self.reader.index.take([], made.end());
        Ok(made)
    }

    fn unreadable(&self, at: LogPosition) -> StoreError {
        let path = segment::path(self.folder, at.segment);
        let what = format!("the segment {} cannot be read from {} on", path.display(), at.offset);
        damaged(self.directory, &what)
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        unavailable(self.directory, "cannot open the segments of", error)
    }
}
