//! The one thread that appends: whoever waits shares the next write and its sync.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::read::LogReader;
use super::recent::{ChangeKind, IndexChange};
use super::request::{AppendRequest, LogRequest, MaintenanceTask};
use crate::batch::codec::digest_in;
use crate::batch::{Batch, BatchId};
use crate::embedded::directory::Directory;
use crate::embedded::marker::Marker;
use crate::embedded::segments::{
    ActiveSegment, FrameKey, Location, MovedFrame, SegmentFolder, SegmentPosition, push_frame,
};
use crate::embedded::stopping::StopReason;
use crate::embedded::write_request::Reply;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::LogId;
use crate::log_chain::{self, LogTail};
use crate::store::Append;

/// A group takes no more once it holds so much.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_REQUESTS: usize = 4096;

/// After a group of so many changes others are probably waiting for the processor to ask: a sync
/// for each of them costs more of it than what they wait for.
const MANY_CHANGES: u32 = 8;

/// Ends of logs that are remembered.
const TAILS_REMEMBERED: usize = 1 << 16;

/// A buffer that became larger than this is not kept.
const BUFFER_BYTES: usize = 1 << 20;

/// What the thread owns.
pub(super) struct LogWriter {
    pub(super) folder: SegmentFolder,
    pub(super) reader: Arc<LogReader>,
    pub(super) active: ActiveSegment,
    /// The end of what was acknowledged.
    pub(super) marker: Marker<2>,
    pub(super) tails: HashMap<LogId, LogTail>,
    pub(super) buffer: Vec<u8>,
    /// How many changes the last group appended.
    pub(super) last_changes: u32,
    pub(super) maintenance: mpsc::UnboundedSender<MaintenanceTask>,
    /// Whether the index shall be written behind, and that did not begin yet.
    pub(super) is_asked: Arc<AtomicBool>,
    pub(super) stop: StopReason,
    pub(super) directory: Arc<Directory>,
}

/// Requests that share a write, judged against what was written before them.
#[derive(Default)]
struct Group {
    changes: Vec<IndexChange>,
    batches: HashMap<(LogId, u64), BatchId>,
    /// What has one place already in this group.
    replaced: HashSet<(LogId, u64)>,
    appends: Vec<(Reply<Append>, StoreResult<Append>)>,
    appended_changes: u32,
    others: Vec<(Reply<()>, StoreResult<()>)>,
}

impl LogWriter {
    /// Serves requests until there can be no more; tells how many groups it wrote.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<LogRequest>) -> u64 {
        let mut groups = 0;
        // A compaction or a move is a group of its own: two could replace the same batch.
        let mut held_back = None;
        while let Some(first) = held_back.take().or_else(|| requests.blocking_recv()) {
            let mut group = Group::default();
            let mut next = Some(first);
            if self.last_changes >= MANY_CHANGES {
                // Whoever is about to ask shall share the sync.
                std::thread::yield_now();
            }
            self.forget_tails();
            while let Some(request) = next {
                match request {
                    LogRequest::Append(request) => self.append(&mut group, *request),
                    other if !group.appends.is_empty() => {
                        held_back = Some(other);
                        break;
                    }
                    LogRequest::Compact { log, manifests, reply } => {
                        let outcome = self.compact(&mut group, log, manifests);
                        group.others.push((reply, outcome));
                        break;
                    }
                    LogRequest::Move { frames, reply } => {
                        let outcome = self.move_frames(&mut group, frames);
                        group.others.push((reply, outcome));
                        break;
                    }
                    LogRequest::Seal { reply } => {
                        let sealed = if self.active.is_empty() { Ok(()) } else { self.roll() };
                        if !self.answer(reply, sealed) {
                            return groups;
                        }
                        break;
                    }
                    LogRequest::Close { reply } => {
                        let closed = self.close();
                        // An answer that nobody waits for is no loss.
                        let _ = reply.send(closed);
                        return groups;
                    }
                }
                next = if self.is_full(&group) { None } else { requests.try_recv().ok() };
            }
            groups += u64::from(!self.buffer.is_empty());
            self.last_changes = group.appended_changes;
            if !self.commit(group) {
                return groups;
            }
        }
        groups
    }

    fn append(&mut self, group: &mut Group, request: AppendRequest) {
        let AppendRequest { log, number, batch, encoded, reply } = request;
        let outcome = self.judge(group, log, number, &batch, &encoded);
        group.appends.push((reply, outcome));
    }

    fn judge(
        &mut self,
        group: &mut Group,
        log: LogId,
        number: u64,
        batch: &Batch,
        encoded: &Bytes,
    ) -> StoreResult<Append> {
        let tail = match self.tails.get(&log) {
            Some(tail) => Some(*tail),
            None => self.reader.tail(log)?,
        };
        if tail.is_some_and(|tail| number <= tail.number) {
            let id = match group.batches.get(&(log, number)) {
                Some(id) => Some(*id),
                None => self.reader.batch(log, number)?.map(|entry| entry.batch.id),
            };
            return Ok(if id == Some(batch.id) { Append::Committed } else { Append::Conflict });
        }
        log_chain::check_follows(log, tail.as_ref(), number, batch)?;
        let location = self.push(log, number, encoded);
        group.appended_changes += batch.count;
        let kind = ChangeKind::appended(log, batch);
        group.changes.push(IndexChange { log, number, location, kind });
        group.batches.insert((log, number), batch.id);
        let digest = digest_in(encoded, batch);
        self.tails.insert(log, LogTail { number, digest, closing: batch.closing });
        Ok(Append::Committed)
    }

    fn compact(
        &mut self,
        group: &mut Group,
        log: LogId,
        manifests: Vec<(u64, Bytes)>,
    ) -> StoreResult<()> {
        for (number, manifest) in manifests {
            let Some(old) = self.reader.index.location(log, number)? else {
                return Err(log_chain::no_such_batch(log, number));
            };
            let Some(entry) = self.reader.batch(log, number)? else {
                return Err(log_chain::no_such_batch(log, number));
            };
            if entry.batch.compacted_from.is_some() || !group.replaced.insert((log, number)) {
                continue;
            }
            let operations = entry.batch.operations.clone();
            let removed = self.reader.index.operations_found_in(log, number, operations)?;
            let encoded = entry.batch.into_compacted(manifest).encode()?;
            let location = self.push(log, number, &encoded);
            let kind = ChangeKind::Replaced { old, removed };
            group.changes.push(IndexChange { log, number, location, kind });
        }
        Ok(())
    }

    fn move_frames(&mut self, group: &mut Group, frames: Vec<MovedFrame>) -> StoreResult<()> {
        for MovedFrame { key, old, body } in frames {
            let (log, number) = (LogId(key.id), key.number);
            // It may have been compacted meanwhile.
            if self.reader.index.location(log, number)? == Some(old) {
                let location = self.push(log, number, &body);
                let kind = ChangeKind::Replaced { old, removed: Vec::new() };
                group.changes.push(IndexChange { log, number, location, kind });
            }
        }
        Ok(())
    }

    /// Adds a frame to what is written next.
    fn push(&mut self, log: LogId, number: u64, encoded: &Bytes) -> Location {
        let at = self.active.end_after(self.buffer.len());
        push_frame(&mut self.buffer, at, FrameKey { id: log.0, number }, encoded)
    }

    fn is_full(&self, group: &Group) -> bool {
        self.buffer.len() >= GROUP_BYTES || group.appends.len() >= GROUP_REQUESTS
    }

    /// Writes a group and answers all who wait for it; false when the store must stop.
    fn commit(&mut self, group: Group) -> bool {
        let Group { changes, appends, others, .. } = group;
        let written = if self.buffer.is_empty() { Ok(()) } else { self.write() };
        if let Err(reason) = written {
            for (reply, outcome) in appends {
                let outcome = outcome.and_then(|_| unknown(&reason));
                drop(reply.send(outcome));
            }
            for (reply, outcome) in others {
                drop(reply.send(outcome.and_then(|()| stopped(&reason))));
            }
            return false;
        }
        self.reader.index.take(changes, self.active.end());
        // A caller that has gone is no reason to stop.
        for (reply, outcome) in appends {
            drop(reply.send(outcome));
        }
        for (reply, outcome) in others {
            drop(reply.send(outcome));
        }
        let tended = if self.active.is_full() { self.roll() } else { self.tend_index() };
        tended.map_err(|error| self.stop_because(&error)).is_ok()
    }

    /// Writes what was pushed and makes it last; or the reason why the store has stopped.
    fn write(&mut self) -> Result<(), String> {
        let synced = self.active.append(&self.buffer).and_then(|()| self.active.sync());
        let SegmentPosition { segment, offset } = self.active.end();
        let marked = synced.and_then(|()| self.marker.set([u64::from(segment), u64::from(offset)]));
        if self.buffer.capacity() > BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        // What the disk holds now is unknown, and another sync would not tell.
        marked.map_err(|error| self.stop_because(&error))
    }

    /// Goes on with a new segment.
    fn roll(&mut self) -> std::io::Result<()> {
        self.active.seal()?;
        let next = self.active.number + 1;
        self.active = ActiveSegment::create(&self.folder, next)?;
        self.reader.index.take([], self.active.end());
        // So that a start reads no more than the last segments.
        self.ask_for_index();
        Ok(())
    }

    /// Has the index written behind where memory holds much of it.
    fn tend_index(&self) -> std::io::Result<()> {
        let index = &self.reader.index;
        if index.is_overrun() {
            return index.write_behind().map_err(std::io::Error::other);
        }
        if index.is_large() {
            self.ask_for_index();
        }
        Ok(())
    }

    fn ask_for_index(&self) {
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            // Where its thread has ended, the store has stopped.
            let _ = self.maintenance.send(MaintenanceTask::WriteIndex);
        }
    }

    fn close(&mut self) -> StoreResult<()> {
        let synced = self.active.sync().and_then(|()| self.marker.sync());
        synced.map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!(
                    "cannot flush the store at {}: {error}",
                    self.directory.path().display()
                ),
            )
        })
    }

    /// Answers once something was tried that stops the store where it fails; false where it did.
    fn answer(&self, reply: Reply<()>, tried: std::io::Result<()>) -> bool {
        let outcome = tried.map_err(|error| self.stop_because(&error));
        let goes_on = outcome.is_ok();
        drop(reply.send(outcome.or_else(|reason| stopped(&reason))));
        goes_on
    }

    fn stop_because(&self, error: &std::io::Error) -> String {
        self.stop.because_of(self.directory.path(), error)
    }

    fn forget_tails(&mut self) {
        if self.tails.len() > TAILS_REMEMBERED {
            self.tails.clear();
        }
    }
}

fn unknown<T>(reason: &str) -> StoreResult<T> {
    Err(StoreError::new(StoreErrorKind::OutcomeUnknown, reason))
}

fn stopped<T>(reason: &str) -> StoreResult<T> {
    Err(StoreError::new(StoreErrorKind::Stopped, reason))
}
