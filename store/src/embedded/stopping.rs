//! The threads that write, how they are asked, and why a store has stopped: once a write fails,
//! for good.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::write_request::Reply;
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// The reason, once there is one; its clones share it.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<OnceLock<String>>);

/// Held by a thread that writes: when it ends, however it does, the store has stopped.
pub(super) struct StopReason(Stopped);

impl Stopped {
    pub(super) fn reason_of_a_thread(&self) -> StopReason {
        StopReason(self.clone())
    }

    /// Refuses once a write has failed.
    pub(super) fn check(&self) -> StoreResult<()> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::new(StoreErrorKind::Stopped, reason)),
        }
    }
}

/// Starts a thread that writes.
pub(super) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> StoreResult<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            format_args!("cannot start the store's thread: {error}"),
        )
    })
}

/// Sends a request to a thread that writes, and waits for its answer.
pub(super) async fn ask<R, T>(
    requests: &mpsc::Sender<R>,
    stopped: &Stopped,
    request: impl FnOnce(Reply<T>) -> R,
) -> StoreResult<T> {
    let (reply, receiver) = oneshot::channel();
    if requests.send(request(reply)).await.is_err() {
        stopped.check()?;
        return Err(closed());
    }
    answer(receiver).await
}

/// The same where waiting may block the thread.
pub(super) fn ask_blocking<R, T>(
    requests: &mpsc::Sender<R>,
    stopped: &Stopped,
    request: impl FnOnce(Reply<T>) -> R,
) -> StoreResult<T> {
    let (reply, receiver) = oneshot::channel();
    if requests.blocking_send(request(reply)).is_err() {
        stopped.check()?;
        return Err(closed());
    }
    receiver.blocking_recv().unwrap_or_else(|_| Err(unanswered()))
}

/// Waits for the answer of a thread that may have ended.
pub(super) async fn answer<T>(receiver: oneshot::Receiver<StoreResult<T>>) -> StoreResult<T> {
    receiver.await.unwrap_or_else(|_| Err(unanswered()))
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Stopped, "the store is closed")
}

fn unanswered() -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, "the store ended before it answered")
}

impl StopReason {
    /// Stops the store because a write failed; gives what everybody is told.
    pub(super) fn because_of(&self, directory: &Path, error: &impl fmt::Display) -> String {
        let reason = self.0.0.get_or_init(|| {
            format!(
                "the store at {} has stopped because a write failed: {error}; \
                 see to the disk and restart",
                directory.display()
            )
        });
        tracing::error!(reason, "store stopped");
        reason.clone()
    }
}

impl Drop for StopReason {
    fn drop(&mut self) {
        self.0.0.get_or_init(|| "the store is closed".to_owned());
    }
}
