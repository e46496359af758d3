//! Opening a folder of segments: what its index does not know yet is read, and the torn end that a
//! crash leaves is told from damage.
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

use super::SegmentFolder;
use super::frame::{FrameHead, HEADER_BYTES, SegmentPosition};
use super::segment::{self, ActiveSegment, Found, FrameReader};
use crate::embedded::errors::{damaged, unavailable};
use crate::embedded::marker::Marker;
use crate::embedded::torn_end;
use crate::error::{StoreError, StoreResult};

impl SegmentFolder {
    /// Writes the last segment again, as it stands there, and makes it last; to be called before
    /// anything that speaks of its frames is made to last. `directory` is that of the store.
    pub(in crate::embedded) fn renew_last(&self, directory: &Path) -> StoreResult<()> {
        let what = format!("cannot sync the segments of the {} of", self.of);
        let failed = |error| unavailable(directory, &what, &error);
        let segments = self.segments().map_err(failed)?;
        let Some(last) = segments.last() else { return Ok(()) };
        let path = self.segment(*last);
        let end = File::open(&path).and_then(|file| torn_end::end_of_contents(&file, 0));
        end.and_then(|end| torn_end::renew(&path, end)).map_err(failed)
    }
}

/// What finds frames again; it may be behind them.
pub(in crate::embedded) trait FrameIndex {
    /// Up to where it knows the frames.
    fn end(&self) -> SegmentPosition;

    /// Forgets all segments but those that there are, in ascending order.
    fn keep_segments(&self, segments: &[u32]) -> StoreResult<()>;

    /// Takes in a frame, which it may know already.
    fn take(&self, head: FrameHead, at: SegmentPosition, body: Bytes) -> StoreResult<()>;

    /// Notes that all frames up to there are taken in.
    fn set_end(&self, end: SegmentPosition) -> StoreResult<()>;
}

/// What is opened.
pub(in crate::embedded) struct Recovery<'a, I> {
    /// Of the store, for people.
    pub(in crate::embedded) directory: &'a Path,
    pub(in crate::embedded) folder: &'a SegmentFolder,
    pub(in crate::embedded) index: &'a I,
}

/// A folder of segments to go on with.
pub(in crate::embedded) struct Recovered {
    pub(in crate::embedded) active: ActiveSegment,
    /// The end of what was acknowledged.
    pub(in crate::embedded) marker: Marker<2>,
}

impl<I: FrameIndex> Recovery<'_, I> {
    /// The segment to go on with, once the index knows all frames.
    pub(in crate::embedded) fn run(&self) -> StoreResult<Recovered> {
        let marker = Marker::<2>::open(self.directory, &self.folder.marker())?;
        let active = self.active(position(marker.values))?;
        Ok(Recovered { active, marker })
    }

    /// `marked`: up to where frames were acknowledged, or further.
    fn active(&self, marked: SegmentPosition) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        let segments = self.folder.segments().map_err(failed)?;
        let start = self.index.end();
        let Some(last) = segments.last().copied() else {
            if start.max(marked) > SegmentPosition::default() {
                let what = format!("the segments of its {} are gone", self.folder.of);
                return Err(damaged(self.directory, &what));
            }
            return self.create(1);
        };
        self.index.keep_segments(&segments)?;
        let first = start.segment.max(1);
        let is_there = |segment: &u32| segments.binary_search(segment).is_ok();
        let needed = first..=last.max(start.segment).max(marked.segment);
        if let Some(gone) = needed.clone().find(|segment| !is_there(segment)) {
            let what = format!("segment {gone} of its {} is gone", self.folder.of);
            return Err(damaged(self.directory, &what));
        }
        for number in needed {
            let file = File::open(self.folder.segment(number)).map_err(failed)?;
            if !segment::has_header(&file, number).map_err(failed)? {
                return self.make_again(&file, number, number == last, marked);
            }
            let length = file.metadata().map_err(failed)?.len();
            if number == start.segment && length < u64::from(start.offset) {
                return Err(
                    self.unreadable(SegmentPosition { segment: number, offset: length as u32 })
                );
            }
            let header_end = SegmentPosition { segment: number, offset: HEADER_BYTES };
            let (end, is_sealed) = self.scan(&file, start.max(header_end))?;
            if number < last && !is_sealed {
                return Err(self.unreadable(end));
            }
            if number == last && !is_sealed {
                return self.go_on(&file, end, marked);
            }
        }
        self.create(last + 1)
    }

    /// Takes the frames of a segment into the index, and tells where they end, and whether with
    /// a seal.
    fn scan(&self, file: &File, start: SegmentPosition) -> StoreResult<(SegmentPosition, bool)> {
        let failed = |error: io::Error| self.failed(&error);
        let mut frames = FrameReader::new(file, start, self.folder).map_err(failed)?;
        loop {
            match frames.next().map_err(failed)? {
                Found::Frame { head, at, body } => self.index.take(head, at, body.into())?,
                found => {
                    self.index.set_end(frames.position())?;
                    return Ok((frames.position(), matches!(found, Found::Seal)));
                }
            }
        }
    }

    /// Goes on with the last segment, whose frames end there.
    fn go_on(
        &self,
        file: &File,
        end: SegmentPosition,
        marked: SegmentPosition,
    ) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        if end < marked {
            tracing::error!(of = self.folder.of, ?end, ?marked, "segments lost frames");
            let what = format!("acknowledged writes to its {} are gone", self.folder.of);
            return Err(damaged(self.directory, &what));
        }
        let path = self.folder.segment(end.segment);
        let whole_bytes = u64::from(end.offset);
        let is_torn = torn_end::end_of_contents(file, whole_bytes).map_err(failed)? > whole_bytes;
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        if is_torn {
            tracing::warn!(segment = %path.display(), whole_bytes, "a torn segment is cut");
            file.set_len(whole_bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        ActiveSegment::go_on(Arc::new(file), end, self.folder).map_err(failed)
    }

    /// Makes the last segment again where the one before it was its end, and no more than its
    /// name lasted.
    fn make_again(
        &self,
        file: &File,
        number: u32,
        is_last: bool,
        marked: SegmentPosition,
    ) -> StoreResult<ActiveSegment> {
        let failed = |error: io::Error| self.failed(&error);
        let header_end = SegmentPosition { segment: number, offset: HEADER_BYTES };
        let written = torn_end::end_of_contents(file, u64::from(HEADER_BYTES)).map_err(failed)?;
        let is_used = marked >= header_end || self.index.end() >= header_end;
        if !is_last || is_used || written > u64::from(HEADER_BYTES) {
            return Err(self.unreadable(SegmentPosition { segment: number, offset: 0 }));
        }
        self.create(number)
    }

    fn create(&self, number: u32) -> StoreResult<ActiveSegment> {
        let made = ActiveSegment::create(self.folder, number);
        let made = made.map_err(|error| self.failed(&error))?;
        self.index.set_end(made.end())?;
        Ok(made)
    }

    fn unreadable(&self, at: SegmentPosition) -> StoreError {
        let path = self.folder.segment(at.segment);
        let what = format!("the segment {} cannot be read from {} on", path.display(), at.offset);
        damaged(self.directory, &what)
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        unavailable(self.directory, "cannot open the segments of", error)
    }
}

fn position([segment, offset]: [u64; 2]) -> SegmentPosition {
    // What is no place in the segments is after all of them.
    let part = |value| u32::try_from(value).unwrap_or(u32::MAX);
    SegmentPosition { segment: part(segment), offset: part(offset) }
}
