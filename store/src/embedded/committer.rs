//! The one thread that writes rows and chunks: whoever waits shares the next write and its fsync.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::chunks::ChunkWriter;
use super::commit_group::{AfterGroup, CommitGroup};
use super::directory::Directory;
use super::engine::Engine;
use super::marker::{EngineMarker, LastGroups};
use super::stopping::{self, StopReason, Stopped, start_thread};
use super::write_cache::WriteCache;
use super::write_request::{PendingReply, Reply, WriteRequest};
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// How many requests wait before callers wait to ask.
const QUEUE_REQUESTS: usize = 1024;

/// The way to the thread; it ends when this is dropped.
pub(super) struct Committer {
    requests: mpsc::Sender<WriteRequest>,
    stopped: Stopped,
}

impl Committer {
    pub(super) fn start(
        engine: Arc<Engine>,
        directory: Arc<Directory>,
        chunks: ChunkWriter,
        marker: EngineMarker,
        group: u64,
        stopped: &Stopped,
    ) -> StoreResult<Self> {
        let (requests, receiver) = mpsc::channel(QUEUE_REQUESTS);
        let worker = CommitterThread {
            engine,
            directory,
            chunks,
            marker,
            group,
            cache: WriteCache::default(),
            stop: stopped.reason_of_a_thread(),
        };
        start_thread("store-committer", move || worker.run(receiver))?;
        Ok(Self { requests, stopped: stopped.clone() })
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn submit<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> WriteRequest,
    ) -> StoreResult<T> {
        stopping::ask(&self.requests, &self.stopped, request).await
    }

    /// The same where waiting may block the thread.
    pub(super) fn submit_blocking<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> WriteRequest,
    ) -> StoreResult<T> {
        stopping::ask_blocking(&self.requests, &self.stopped, request)
    }
}

struct CommitterThread {
    engine: Arc<Engine>,
    chunks: ChunkWriter,
    marker: EngineMarker,
    /// The last group that was made durable.
    group: u64,
    cache: WriteCache,
    stop: StopReason,
    directory: Arc<Directory>,
}

impl CommitterThread {
    fn run(mut self, mut requests: mpsc::Receiver<WriteRequest>) {
        while let Some(first) = requests.blocking_recv() {
            let (group, after) = self.gather(first, &mut requests);
            if !self.commit(group) {
                return;
            }
            let goes_on = match after {
                None => true,
                Some(AfterGroup::Seal(reply)) => {
                    self.roll_chunks(Some(PendingReply::Done(reply, Ok(()))))
                }
                Some(AfterGroup::Close(reply)) => {
                    // An answer that nobody waits for is no loss.
                    let _ = reply.send(self.flush());
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// All that waits now, until the group is full or the store shall close.
    fn gather(
        &mut self,
        first: WriteRequest,
        requests: &mut mpsc::Receiver<WriteRequest>,
    ) -> (CommitGroup, Option<AfterGroup>) {
        let mut group = CommitGroup::new(self.chunks.end());
        self.cache.trim();
        let snapshot = self.engine.snapshot();
        let mut next = Some(first);
        while let Some(request) = next {
            let after = group.take(request, &snapshot, &mut self.cache);
            if after.is_some() {
                return (group, after);
            }
            next = if group.is_full() { None } else { requests.try_recv().ok() };
        }
        (group, None)
    }

    /// Writes a group and answers all who wait for it; false when the store must stop.
    fn commit(&mut self, group: CommitGroup) -> bool {
        let durable = group.durable().to_vec();
        let number = self.group + u64::from(!durable.is_empty());
        let appended = self.chunks.append(group.chunks()).map_err(|error| error.to_string());
        let replaced = group.chunks().replaced_by_segment();
        let segments = Arc::clone(self.chunks.segments());
        let (rows, replies) = group.into_rows(number, |segment| segments.replaced(segment));
        let written = appended.and_then(|()| {
            self.chunks.take_note(&replaced);
            if rows.is_empty() {
                return Ok(());
            }
            self.engine.write(rows, !durable.is_empty()).map_err(|error| error.to_string())
        });
        let marked = written.and_then(|()| {
            self.group = number;
            if durable.is_empty() {
                return Ok(());
            }
            let mut groups: LastGroups = self.marker.values;
            for keyspace in &durable {
                groups[1 + *keyspace as usize] = number;
            }
            self.marker.set(groups).map_err(|error| error.to_string())
        });
        let Err(error) = marked else {
            replies.into_iter().for_each(PendingReply::send);
            return !self.chunks.is_full() || self.roll_chunks(None);
        };
        // What the disk holds now is unknown, and another fsync would not tell.
        let reason = self.stop.because_of(self.directory.path(), &error);
        for waiting in replies {
            waiting.fail(&reason);
        }
        false
    }

    /// Goes on with a new segment of chunks and answers; false when the store must stop.
    fn roll_chunks(&mut self, reply: impl IntoIterator<Item = PendingReply>) -> bool {
        let rolled = self.chunks.roll();
        let stopped = rolled.map_err(|error| self.stop.because_of(self.directory.path(), &error));
        for reply in reply {
            match &stopped {
                Ok(()) => reply.send(),
                Err(reason) => reply.fail(reason),
            }
        }
        stopped.is_ok()
    }

    fn flush(&self) -> StoreResult<()> {
        let chunks_flushed = self.chunks.sync().map_err(|error| error.to_string());
        let flushed =
            chunks_flushed.and_then(|()| self.engine.sync().map_err(|error| error.to_string()));
        let note = || self.marker.sync().and_then(|()| self.directory.set_closed());
        flushed.and_then(|()| note().map_err(|error| error.to_string())).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!(
                    "cannot flush the store at {}: {error}",
                    self.directory.path().display()
                ),
            )
        })
    }
}
