//! The one thread that writes: whoever waits shares the next write and its fsync.

use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::directory::Directory;
use super::engine::Engine;
use super::group::{AtHand, Group, Waiting};
use super::mark::Mark;
use crate::batch::{Batch, LogId};
use crate::contract::{Append, ChunkId, StoreError, StoreErrorKind, StoreResult};
use crate::view::{ViewKind, ViewWrite, Watermark};

/// How many requests wait before callers wait to ask.
const QUEUE_REQUESTS: usize = 1024;

/// Where the outcome of a request goes.
pub(super) type Answer<T> = oneshot::Sender<StoreResult<T>>;

/// What the committer is asked to write.
pub(super) enum Request {
    Append { log: LogId, number: u64, batch: Box<Batch>, encoded: Bytes, answer: Answer<Append> },
    Views { log: LogId, writes: Vec<ViewWrite>, watermark: Option<Watermark>, answer: Answer<()> },
    Chunk { realm: String, id: ChunkId, bytes: Bytes, answer: Answer<()> },
    Compact { log: LogId, emptied: Vec<(u64, Bytes)>, answer: Answer<()> },
    DeleteViews { log: LogId, kind: ViewKind, ids: Vec<Bytes>, answer: Answer<()> },
    ClearViews { log: LogId, keys: Vec<Bytes>, answer: Answer<()> },
    DeleteChunks { realm: String, ids: Vec<ChunkId>, before_ms: u64, answer: Answer<u64> },
    Close { answer: Answer<()> },
}

/// The way to the thread; it ends when this is dropped.
pub(super) struct Committer {
    requests: mpsc::Sender<Request>,
    stopped: Arc<OnceLock<String>>,
}

impl Committer {
    pub(super) fn start(
        engine: Arc<Engine>,
        directory: Arc<Directory>,
        mark: Mark,
        group: u64,
    ) -> StoreResult<Self> {
        let (requests, receiver) = mpsc::channel(QUEUE_REQUESTS);
        let stopped = Arc::new(OnceLock::new());
        let worker = Worker {
            engine,
            directory,
            mark,
            group,
            at_hand: AtHand::default(),
            stop: Stop(Arc::clone(&stopped)),
        };
        let started = thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || worker.run(receiver));
        match started {
            Ok(_) => Ok(Self { requests, stopped }),
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!("cannot start the store's thread: {error}"),
            )),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> StoreResult<T> {
        let (answer, receiver) = oneshot::channel();
        if self.requests.send(request(answer)).await.is_err() {
            self.check()?;
            return Err(StoreError::new(StoreErrorKind::Stopped, "the store is closed"));
        }
        receiver.await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::OutcomeUnknown,
                "the store ended before it answered",
            ))
        })
    }

    /// Refuses once a write has failed.
    pub(super) fn check(&self) -> StoreResult<()> {
        match self.stopped.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::new(StoreErrorKind::Stopped, reason)),
        }
    }
}

struct Worker {
    engine: Arc<Engine>,
    directory: Arc<Directory>,
    mark: Mark,
    /// The last group that was made durable.
    group: u64,
    at_hand: AtHand,
    stop: Stop,
}

impl Worker {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let (group, close) = self.gather(first, &mut requests);
            if !self.commit(group) {
                return;
            }
            if let Some(answer) = close {
                // An answer that nobody waits for is no loss.
                let _ = answer.send(self.flush());
                return;
            }
        }
    }

    /// All that waits now, until the group is full or the store shall close.
    fn gather(
        &mut self,
        first: Request,
        requests: &mut mpsc::Receiver<Request>,
    ) -> (Group, Option<Answer<()>>) {
        let mut group = Group::default();
        self.at_hand.trim();
        let moment = self.engine.moment();
        let mut next = Some(first);
        while let Some(request) = next {
            if let Some(close) = group.take(request, &moment, &mut self.at_hand) {
                return (group, Some(close));
            }
            next = if group.is_full() { None } else { requests.try_recv().ok() };
        }
        (group, None)
    }

    /// Writes a group and answers all who wait for it; false when the store must stop.
    fn commit(&mut self, group: Group) -> bool {
        let durable = group.durable().to_vec();
        let number = self.group + u64::from(!durable.is_empty());
        let (rows, answers) = group.into_rows(number);
        let written = if rows.is_empty() {
            Ok(())
        } else {
            self.engine.write(rows, !durable.is_empty()).map_err(|error| error.to_string())
        };
        let marked = written.and_then(|()| {
            self.group = number;
            if durable.is_empty() {
                return Ok(());
            }
            self.mark.set(&durable, number).map_err(|error| error.to_string())
        });
        let Err(error) = marked else {
            answers.into_iter().for_each(Waiting::answer);
            return true;
        };
        // What the disk holds now is unknown, and another fsync would not tell.
        let reason = self.stop.because(format!(
            "the store at {} has stopped because a write failed: {error}; \
             see to the disk and restart",
            self.directory.path().display()
        ));
        tracing::error!(reason, "store stopped");
        for waiting in answers {
            waiting.fail(reason);
        }
        false
    }

    fn flush(&self) -> StoreResult<()> {
        let flushed = self.engine.sync().map_err(|error| error.to_string());
        let note = || self.mark.sync().and_then(|()| self.directory.set_closed());
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

/// Tells callers that the thread has ended, however it did.
struct Stop(Arc<OnceLock<String>>);

impl Stop {
    fn because(&self, reason: String) -> &str {
        self.0.get_or_init(|| reason)
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.get_or_init(|| "the store is closed".to_owned());
    }
}
