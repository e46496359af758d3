//! What is done beside appends: the index is written behind, and segments whose frames were
//! mostly replaced give their room back.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::files::SegmentFiles;
use super::frame::{HEADER_BYTES, Location, LogPosition};
use super::index::LogIndex;
use super::request::{LogRequest, MaintenanceTask, MovedFrame};
use super::segment::{self, Found, FrameReader};
use crate::embedded::directory::Directory;
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
    pub(super) stop: StopReason,
    pub(super) directory: Arc<Directory>,
}

impl Maintenance {
    pub(super) fn run(self, mut tasks: mpsc::UnboundedReceiver<MaintenanceTask>) {
        while let Some(task) = tasks.blocking_recv() {
            match task {
                MaintenanceTask::WriteIndex => {
                    if self.write_index().is_err() {
                        return;
                    }
                    if let Err(error) = self.reclaim(REPLACED_PART) {
                        tracing::warn!(%error, "the room of replaced batches is given back later");
                    }
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
        self.index.write_behind().map_err(|error| {
            let reason = self.stop.because_of(self.directory.path(), &error);
            StoreError::new(StoreErrorKind::Stopped, reason)
        })
    }

    fn reclaim_on_request(&self) -> StoreResult<()> {
        self.ask(|reply| LogRequest::Seal { reply })?;
        self.write_index()?;
        self.reclaim(REPLACED_PART_ON_REQUEST)
    }

    /// Removes the segments of which such a part was replaced; what is left in them is moved.
    fn reclaim(&self, part: u64) -> StoreResult<()> {
        // The one that is appended to, and those that the index does not know whole, stay.
        let before = self.index.end().segment;
        let mut gone = Vec::new();
        for (segment, replaced) in self.index.replaced() {
            let path = segment::path(&self.folder, segment);
            let bytes = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.failed(&error)),
            };
            if segment < before && replaced * part >= bytes && self.move_frames(segment)? {
                gone.push(segment);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        // Only once it lasts that nothing is looked for in them any more.
        self.write_index()?;
        self.engine.sync().map_err(|error| self.failed(&io::Error::other(error)))?;
        for segment in gone {
            self.files.forget(segment);
            let removed = fs::remove_file(segment::path(&self.folder, segment));
            removed.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Moves what a segment still holds; false where it cannot be read to its end.
    fn move_frames(&self, segment: u32) -> StoreResult<bool> {
        let failed = |error: io::Error| self.failed(&error);
        let file = self.files.get(segment).map_err(failed)?;
        let start = LogPosition { segment, offset: HEADER_BYTES };
        let mut reader = FrameReader::new(&file, start).map_err(failed)?;
        let (mut frames, mut bytes) = (Vec::new(), 0);
        loop {
            let found = reader.next().map_err(failed)?;
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
                    tracing::error!(segment, at = ?reader.position(), "a segment is damaged");
                    return Ok(false);
                }
            };
            if !frames.is_empty() && (ended || bytes >= MOVED_AT_ONCE) {
                bytes = 0;
                let frames = std::mem::take(&mut frames);
                self.ask(|reply| LogRequest::Move { frames, reply })?;
            }
            if ended {
                return Ok(true);
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

    fn failed(&self, error: &io::Error) -> StoreError {
        let directory = self.directory.path();
        crate::embedded::errors::unavailable(directory, "cannot give back room of", error)
    }
}
