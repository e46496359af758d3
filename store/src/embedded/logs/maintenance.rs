//! What is done beside appends: the index is written behind, and segments whose frames were
//! mostly replaced give their room back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::index::LogIndex;
use super::request::{LogRequest, MaintenanceTask};
use crate::embedded::directory::Directory;
use crate::embedded::engine::Engine;
use crate::embedded::segments::{
    self, FrameKey, FrameMover, Location, MovedFrame, REMOVED_FROM, REMOVED_FROM_ON_REQUEST,
    SegmentFiles, SegmentFolder, SegmentPosition,
};
use crate::embedded::stopping::StopReason;
use crate::embedded::write_request::Reply;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::LogId;

/// What the thread owns.
pub(super) struct Maintenance {
    pub(super) folder: SegmentFolder,
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
                    let _ = self.reclaim(REMOVED_FROM);
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
        let SegmentPosition { segment, offset } = self.index.end();
        let replaced = self.index.replaced().get(&segment).copied().unwrap_or_default();
        if replaced * REMOVED_FROM_ON_REQUEST >= u64::from(offset) {
            // The one that is appended to is removed with the others.
            self.ask(|reply| LogRequest::Seal { reply })?;
        }
        self.reclaim(REMOVED_FROM_ON_REQUEST)
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
        let directory = self.directory.path();
        let removed =
            segments::remove(directory, &self.folder, &self.files, (segment, replaced), part, self);
        match removed {
            Ok(false) => Ok(()),
            Ok(true) => self.index.forget_segment(segment).map_err(|error| self.stopped_by(&error)),
            Err(error) => {
                if error.kind == StoreErrorKind::Damaged {
                    self.damaged.insert(segment);
                }
                Err(error)
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
}

impl FrameMover for Maintenance {
    fn is_found_at(&self, key: FrameKey, location: Location, _: &[u8]) -> StoreResult<bool> {
        Ok(self.index.location(LogId(key.id), key.number)? == Some(location))
    }

    fn move_frames(&self, frames: Vec<MovedFrame>) -> StoreResult<()> {
        self.ask(|reply| LogRequest::Move { frames, reply })
    }

    fn make_index_last(&self) -> StoreResult<()> {
        self.write_index()?;
        self.engine.sync().map_err(|error| self.stopped_by(&error))
    }
}
