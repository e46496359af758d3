//! What the index of the logs learns from frames when they are opened.

use std::io;

use bytes::Bytes;

use super::read::LogReader;
use super::recent::{ChangeKind, IndexChange};
use crate::batch::Batch;
use crate::embedded::segments::{FrameHead, FrameIndex, FrameKey, Location, SegmentPosition};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::LogId;

impl FrameIndex for LogReader {
    fn end(&self) -> SegmentPosition {
        self.index.end()
    }

    fn keep_segments(&self, segments: &[u32]) -> StoreResult<()> {
        self.index.keep_segments(segments).map_err(not_written)
    }

    fn take(&self, head: FrameHead, at: SegmentPosition, body: Bytes) -> StoreResult<()> {
        let FrameKey { id, number } = head.key;
        let log = LogId(id);
        let location = Location { at, length: head.length };
        let batch = Batch::decode(&body)?;
        let kind = match self.index.location(log, number)? {
            None => Some(ChangeKind::appended(log, &batch)),
            Some(old) if old.at < at => Some(self.replaced(log, number, old, &batch)?),
            // The engine knows it, and had no time to say up to where it knows all.
            Some(_) => None,
        };
        let change = kind.map(|kind| IndexChange { log, number, location, kind });
        self.index.take(change, location.end());
        if self.index.is_large() {
            self.index.write_behind().map_err(not_written)?;
        }
        Ok(())
    }

    fn set_end(&self, end: SegmentPosition) -> StoreResult<()> {
        self.index.take([], end);
        Ok(())
    }
}

impl LogReader {
    /// What a frame changes that stands in for an older one.
    fn replaced(
        &self,
        log: LogId,
        number: u64,
        old: Location,
        batch: &Batch,
    ) -> StoreResult<ChangeKind> {
        let mut removed = Vec::new();
        if batch.compacted_from.is_some() {
            let encoded = self.read(log, number, old)?;
            let encoded = encoded.ok_or_else(|| self.damaged(log, number, old))?;
            let operations = Batch::decode(&encoded)?.operations;
            removed = self.index.operations_found_in(log, number, operations)?;
        }
        Ok(ChangeKind::Replaced { old, removed })
    }
}

fn not_written(error: fjall::Error) -> StoreError {
    let error = io::Error::other(error);
    let what = format_args!("the index of the logs cannot be written: {error}");
    StoreError::new(StoreErrorKind::Unavailable, what)
}
