//! Logs on the disk: batches are appended to segments.
//!
//! Where a batch stands is in an index that is written behind ([`index`]). What compaction leaves
//! of a batch is appended as well and stands in for it.

mod index;
mod maintenance;
mod migration;
mod read;
mod recent;
mod recovery;
mod request;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::index::LogIndex;
use self::maintenance::Maintenance;
pub(super) use self::migration::migrate;
pub(super) use self::read::LogReader;
use self::request::{AppendRequest, LogRequest, MaintenanceTask};
use self::writer::LogWriter;
use super::directory::Directory;
use super::engine::Engine;
use super::options::EmbeddedOptions;
use super::segments::{Recovered, Recovery, SegmentFiles, SegmentFolder};
use super::stopping::{self, Stopped, start_thread};
use super::write_request::Reply;
use crate::batch::{BATCH_MAX_BYTES, Batch};
use crate::error::StoreResult;
use crate::log::LogId;
use crate::store::Append;

/// How many requests wait before callers wait to ask.
const QUEUE_REQUESTS: usize = 1024;

/// The logs of an open store; its threads end when this is dropped.
pub(super) struct SegmentedLogs {
    requests: mpsc::Sender<LogRequest>,
    tasks: mpsc::UnboundedSender<MaintenanceTask>,
    reader: Arc<LogReader>,
    stopped: Stopped,
}

/// Where the batches of a store are.
pub(super) fn folder(directory: &Path, options: &EmbeddedOptions) -> SegmentFolder {
    let path = directory.join("log");
    let segment_bytes = options.segment_bytes;
    SegmentFolder::new(path, "logs", segment_bytes, segment_bytes / 8, BATCH_MAX_BYTES as u32)
}

impl SegmentedLogs {
    /// Opens the logs, and starts the threads that write them.
    pub(super) fn open(
        directory: &Arc<Directory>,
        engine: &Arc<Engine>,
        options: &EmbeddedOptions,
        stopped: &Stopped,
    ) -> StoreResult<Self> {
        let (tasks, waiting) = mpsc::unbounded_channel();
        let writer = recover(directory, engine, options, stopped, tasks.clone())?;
        let (requests, receiver) = mpsc::channel(QUEUE_REQUESTS);
        let reader = Arc::clone(&writer.reader);
        let maintenance = Maintenance {
            folder: writer.folder.clone(),
            index: Arc::clone(&reader.index),
            files: Arc::clone(&reader.files),
            engine: Arc::clone(engine),
            writer: requests.downgrade(),
            is_asked: Arc::clone(&writer.is_asked),
            damaged: HashSet::new(),
            stop: stopped.reason_of_a_thread(),
            directory: Arc::clone(directory),
        };
        start_thread("store-log", move || {
            let _ = writer.run(receiver);
        })?;
        start_thread("store-index", move || maintenance.run(waiting))?;
        Ok(Self { requests, tasks, reader, stopped: stopped.clone() })
    }

    pub(super) fn reader(&self) -> &Arc<LogReader> {
        &self.reader
    }

    /// Puts a batch at a number of a log; durable when it answers.
    pub(super) async fn append(
        &self,
        log: LogId,
        number: u64,
        batch: Batch,
        encoded: Bytes,
    ) -> StoreResult<Append> {
        self.ask(|reply| {
            LogRequest::Append(Box::new(AppendRequest { log, number, batch, encoded, reply }))
        })
        .await
    }

    /// Puts what compaction leaves of batches in their places.
    pub(super) async fn compact(
        &self,
        log: LogId,
        manifests: Vec<(u64, Bytes)>,
    ) -> StoreResult<()> {
        self.ask(|reply| LogRequest::Compact { log, manifests, reply }).await
    }

    /// Removes segments of which some was replaced.
    pub(super) async fn reclaim(&self) -> StoreResult<()> {
        let (reply, answer) = oneshot::channel();
        // Where its thread has ended, nobody answers.
        let _ = self.tasks.send(MaintenanceTask::Reclaim { reply });
        stopping::answer(answer).await
    }

    /// Makes all of it last, the index too, and ends the threads.
    pub(super) async fn close(&self) -> StoreResult<()> {
        self.ask(|reply| LogRequest::Close { reply }).await?;
        let (reply, answer) = oneshot::channel();
        let _ = self.tasks.send(MaintenanceTask::Close { reply });
        stopping::answer(answer).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> LogRequest) -> StoreResult<T> {
        stopping::ask(&self.requests, &self.stopped, request).await
    }
}

/// Who goes on with the segments, and the index as it is, after what a crash may have left.
fn recover(
    directory: &Arc<Directory>,
    engine: &Arc<Engine>,
    options: &EmbeddedOptions,
    stopped: &Stopped,
    maintenance: mpsc::UnboundedSender<MaintenanceTask>,
) -> StoreResult<LogWriter> {
    let folder = folder(directory.path(), options);
    // So much of the index may be in memory alone before it is written behind.
    let recent_bytes = usize::try_from(options.memtable_bytes / 4).unwrap_or(usize::MAX);
    let reader = LogReader {
        index: Arc::new(LogIndex::open(Arc::clone(engine), recent_bytes)?),
        files: Arc::new(SegmentFiles::new(folder.clone(), options.open_files / 4)),
    };
    let recovery = Recovery { directory: directory.path(), folder: &folder, index: &reader };
    let Recovered { active, marker } = recovery.run()?;
    Ok(LogWriter {
        folder,
        reader: Arc::new(reader),
        active,
        marker,
        tails: HashMap::new(),
        buffer: Vec::new(),
        last_changes: 0,
        maintenance,
        is_asked: Arc::default(),
        stop: stopped.reason_of_a_thread(),
        directory: Arc::clone(directory),
    })
}
