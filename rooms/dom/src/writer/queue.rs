//! What a branch's writer is asked, and how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use vdom_core::dom::calls::{SetOutcome, WriteOutcome};
use vdom_core::limits::{WRITER_QUEUE_MAX_BYTES, WRITER_QUEUE_MAX_WRITES};
use vdom_core::{Error, ErrorCode, Result};
use vdom_store::OperationKey;

use crate::branch::Branch;
use crate::content::packs::StoredDiff;
use crate::records::{Checkpoint, ControlRecord, Pin};
use crate::views::view_builder::ViewBuilder;
use crate::writer::{Proposal, SetProposal};

/// A branch with its writer and who builds its views; both end when the last handle is
/// dropped.
pub(crate) struct BranchHandle {
    pub branch: Arc<Branch>,
    pub writer: CommandQueue,
    pub view_builder: ViewBuilder,
}

/// The way to a branch's writer, bounded by count and by bytes.
pub(crate) struct CommandQueue {
    commands: mpsc::Sender<Queued>,
    free_bytes: Arc<Semaphore>,
}

/// A command that has its place in the queue, and gives it back once it is answered.
pub(crate) struct Queued {
    pub command: Command,
    pub place: OwnedSemaphorePermit,
}

impl CommandQueue {
    /// An empty queue, and the writer's end of it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Queued>) {
        let (commands, queue) = mpsc::channel(WRITER_QUEUE_MAX_WRITES);
        let free_bytes = Arc::new(Semaphore::new(WRITER_QUEUE_MAX_BYTES));
        (Self { commands, free_bytes }, queue)
    }

    async fn send(&self, command: Command) -> Result<()> {
        let bytes = command.bytes().min(WRITER_QUEUE_MAX_BYTES) as u32;
        if let Ok(place) = Arc::clone(&self.free_bytes).try_acquire_many_owned(bytes)
            && let Ok(slot) = self.commands.try_reserve()
        {
            slot.send(Queued { command, place });
            return Ok(());
        }
        // On its own: what waits for most commands stays small.
        Box::pin(self.send_once_there_is_room(command, bytes)).await
    }

    async fn send_once_there_is_room(&self, command: Command, bytes: u32) -> Result<()> {
        let place = Arc::clone(&self.free_bytes).acquire_many_owned(bytes).await;
        let place = place.map_err(|_| writer_gone())?;
        self.commands.send(Queued { command, place }).await.map_err(|_| writer_gone())
    }

    /// Whether something that was asked is not answered yet, whoever waits for it.
    pub(crate) fn is_busy(&self) -> bool {
        // Each command holds its room.
        Arc::strong_count(&self.free_bytes) > 1
    }

    /// Has the head proven soon; a full queue does that anyway.
    pub(crate) fn request_verification(&self) {
        let (reply, _) = oneshot::channel();
        if let Ok(place) = Arc::clone(&self.free_bytes).try_acquire_many_owned(0) {
            let _ =
                self.commands.try_send(Queued { command: Command::VerifyHead { reply }, place });
        }
    }
}

/// What a branch's writer is asked, and where it answers.
pub(crate) enum Command {
    /// Evaluate one diff, with those that are queued beside it, and append it.
    Write { proposal: Box<Proposal>, reply: oneshot::Sender<Result<WriteOutcome>> },
    /// Evaluate a change set and append it, or nothing of it.
    WriteSet { proposal: Box<SetProposal>, reply: oneshot::Sender<Result<SetOutcome>> },
    /// Keep a revision for who continues the branch; appended with those that are queued
    /// beside it.
    Pin { pin: Pin, reply: oneshot::Sender<Result<()>> },
    /// Append a batch of what is no change.
    Control { records: Vec<ControlRecord>, reply: oneshot::Sender<Result<()>> },
    /// Let the log say up to which revision, at most `wanted`, it may be compacted; answers
    /// that, or 0 for nothing.
    Limit { wanted: u64, reply: oneshot::Sender<Result<u64>> },
    /// Let the log name a checkpoint, unless another one stands there than that of batch
    /// `built_on` (0: none), which it was built on.
    Checkpoint { checkpoint: Box<Checkpoint>, built_on: u64, reply: oneshot::Sender<Result<()>> },
    /// End the log: the branch is deleted.
    Close {
        /// What makes it safe to repeat.
        operation: Option<OperationKey>,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Prove the head, reading on where the log goes on.
    VerifyHead { reply: oneshot::Sender<Result<()>> },
}

impl Command {
    /// How many bytes of diffs it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        let inline = |stored: &StoredDiff| match stored {
            StoredDiff::Inline(bytes) => bytes.len(),
            StoredDiff::Packed(_) => 0,
        };
        match self {
            Self::Write { proposal, .. } => inline(&proposal.stored),
            Self::WriteSet { proposal, .. } => {
                proposal.items.iter().map(|item| inline(&item.stored)).sum()
            }
            _ => 0,
        }
    }
}

impl BranchHandle {
    /// Asks the branch's writer, and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(command(reply)).await?;
        answer.await.map_err(|_| writer_gone())?
    }

    /// Answers as of the newest revision that is known here. Where another gateway has
    /// compacted that, the branch reads on, and is asked again.
    pub(crate) async fn at_newest<T, F: Future<Output = Result<T>>>(
        &self,
        answer: impl Fn() -> F,
    ) -> Result<T> {
        match answer().await {
            Err(error) if matches!(error.code, ErrorCode::Compacted | ErrorCode::Unavailable) => {
                self.verify_head().await?;
                answer().await
            }
            answered => answered,
        }
    }
}

/// The answer to whoever waits for a writer that is gone.
fn writer_gone() -> Error {
    Error::unavailable("the branch is being closed: try again").retry_after(Duration::from_secs(1))
}
