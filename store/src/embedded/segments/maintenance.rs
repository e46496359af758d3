//! What is done beside appends: the index is written behind, and segments whose frames were
//! mostly replaced give their room back.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::files::SegmentFiles;
use super::frame::{HEADER_BYTES, Location, LogPosition};
use super::index::LogIndex;
use super::request::{LogRequest, MaintenanceTask, MovedFrame};
use super::segment::{self, Found, FrameReader};
use crate::embedded::directory::{Directory, sync_directory};
use crate::embedded::disk_space;
use crate::embedded::engine::Engine;
use crate::embedded::stopping::StopReason;
use crate::embedded::write_request::Reply;
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// One part in so many of a segment must have been replaced for the segment to be removed.
const REPLACED_PART: u64 = 2;
/// The same where somebody asks for the room.
const REPLACED_PART_ON_REQUEST: u64 = 16;

/// Frames are moved in runs of so many bytes.
const MOVED_AT_ONCE: usize = 1 << 20;

/// What the thread owns.
pub(super) struct Maintenance {
    pub(super) folder: PathBuf,
    pub(super) index: Arc<LogIndex>,
    pub(super) files: Arc<SegmentFiles>,
    pub(super) engine: Arc<Engine>,
    /// The way to the thread that appends, which ends when nobody else has one.
    pub(super) writer: mpsc::WeakSender<LogRequest>,
    /// Whether somebody asked for the index to be written, and it did not begin yet.
    pub(super) is_asked: Arc<AtomicBool>,
    /// Segments that cannot be read to their ends.
    pub(super) damaged: HashSet<u32>,
    pub(super) stop: StopReason,
    pub(super) directory: Arc<Directory>,
}

impl Maintenance {
    pub(super) fn run(mut self, mut tasks: mpsc::UnboundedReceiver<MaintenanceTask>) {
        while let Some(task) = tasks.blocking_recv() {
            match task {
                MaintenanceTask::WriteIndex => {
                    self.is_asked.store(false, Ordering::Release);
                    if self.write_index().is_err() {
                        return;
                    }
                    // What could not be done is logged, and done later.
                    let _ = self.reclaim(REPLACED_PART);
                }
                MaintenanceTask::Reclaim { reply } => drop(reply.send(self.reclaim_on_request())),
                MaintenanceTask::Close { reply } => {
                    drop(reply.send(self.write_index()));
                    return;
                }
            }
        }
    }

    /// Where this fails, the store stops.
    fn write_index(&self) -> StoreResult<()> {
        self.index.write_behind().map_err(|error| self.stopped_by(&error))
    }

    fn reclaim_on_request(&mut self) -> StoreResult<()> {
        self.write_index()?;
        let LogPosition { segment, offset } = self.index.end();
        let replaced = self.index.replaced().get(&segment).copied().unwrap_or_default();
        if replaced * REPLACED_PART_ON_REQUEST >= u64::from(offset) {
            // The one that is appended to is removed with the others.
            self.ask(|reply| LogRequest::Seal { reply })?;
        }
        self.reclaim(REPLACED_PART_ON_REQUEST)
    }

    /// Removes the segments of which such a part was replaced, one after the other; of those that
    /// cannot be, tells the first reason.
    fn reclaim(&mut self, part: u64) -> StoreResult<()> {
        let mut outcome = Ok(());
        for (segment, replaced) in self.index.replaced() {
            // The one that is appended to, and those that the index does not know whole, stay.
            if segment >= self.index.end().segment || self.damaged.contains(&segment) {
                continue;
            }
            let reclaimed = self.reclaim_segment(segment, replaced, part);
            if let Err(error) = reclaimed {
                if error.kind == StoreErrorKind::Stopped {
                    return Err(error);
                }
                tracing::warn!(segment, %error, "the room of replaced batches is not given back");
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    fn reclaim_segment(&mut self, segment: u32, replaced: u64, part: u64) -> StoreResult<()> {
        let path = segment::path(&self.folder, segment);
        let bytes = fs::metadata(&path).map_err(|error| self.failed(&error))?.len();
        if replaced * part < bytes {
            return Ok(());
        }
        let kept = bytes.saturating_sub(replaced);
        let free = disk_space::free_bytes(self.directory.path())?;
        // A write that fails would stop the store.
        if free < 4 * kept {
            return Err(StoreError::new(
                StoreErrorKind::Full,
                format_args!("{free} bytes are free, moving {kept} takes more"),
            ));
        }
        self.move_frames(segment)?;
        // Only once it lasts that nothing is looked for in it any more.
        self.write_index()?;
        self.engine.sync().map_err(|error| self.stopped_by(&error))?;
        let removed = fs::remove_file(path).and_then(|()| sync_directory(&self.folder));
        self.files.forget(segment);
        removed.map_err(|error| self.failed(&error))?;
        self.index.forget_segment(segment).map_err(|error| self.stopped_by(&error))
    }

    /// Moves what a segment still holds.
    fn move_frames(&mut self, segment: u32) -> StoreResult<()> {
        let file = self.files.get(segment).map_err(|error| self.failed(&error))?;
        let start = LogPosition { segment, offset: HEADER_BYTES };
        let reader = FrameReader::new(&file, start);
        let mut reader = reader.map_err(|error| self.failed(&error))?;
        let (mut frames, mut bytes) = (Vec::new(), 0);
        loop {
            let found = reader.next().map_err(|error| self.failed(&error))?;
            let ended = match found {
                Found::Frame { head, at, batch } => {
                    let old = Location { at, length: head.length };
                    if self.index.location(head.log, head.number)? == Some(old) {
                        bytes += batch.len();
                        let encoded = Bytes::from(batch);
                        let (log, number) = (head.log, head.number);
                        frames.push(MovedFrame { log, number, old, encoded });
                    }
                    false
                }
                Found::Seal => true,
                Found::Nothing => {
                    self.damaged.insert(segment);
                    let at = reader.position().offset;
                    return Err(StoreError::new(
                        StoreErrorKind::Damaged,
                        format_args!("segment {segment} cannot be read from {at} on"),
                    ));
                }
            };
            if !frames.is_empty() && (ended || bytes >= MOVED_AT_ONCE) {
                bytes = 0;
                let frames = std::mem::take(&mut frames);
                self.ask(|reply| LogRequest::Move { frames, reply })?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Asks the thread that appends, and waits for its answer.
    fn ask(&self, request: impl FnOnce(Reply<()>) -> LogRequest) -> StoreResult<()> {
        let closed = || StoreError::new(StoreErrorKind::Stopped, "the store is closed");
        let writer = self.writer.upgrade().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        writer.blocking_send(request(reply)).map_err(|_| closed())?;
        drop(writer);
        answer.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }

    fn stopped_by(&self, error: &impl std::fmt::Display) -> StoreError {
        let reason = self.stop.because_of(self.directory.path(), error);
        StoreError::new(StoreErrorKind::Stopped, reason)
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        let directory = self.directory.path();
        crate::embedded::errors::unavailable(directory, "cannot give back room of", error)
    }
}
