//! What a branch's writer is asked, and how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use vdom_core::dom::calls::{SetOutcome, WriteOutcome};
use vdom_core::{Error, Result};
use vdom_store::OperationKey;

use crate::branch::Branch;
use crate::records::{Checkpoint, ControlRecord};
use crate::writer::{Proposal, SetProposal};

/// A branch with its writer; the writer ends when the last handle is dropped.
pub(crate) struct BranchHandle {
    pub branch: Arc<Branch>,
    pub writer: mpsc::Sender<Command>,
}

/// What a branch's writer is asked, and where it answers.
pub(crate) enum Command {
    /// Evaluate one diff, with those that are queued beside it, and append it.
    Write { proposal: Box<Proposal>, reply: oneshot::Sender<Result<WriteOutcome>> },
    /// Evaluate a change set and append it, or nothing of it.
    WriteSet { proposal: Box<SetProposal>, reply: oneshot::Sender<Result<SetOutcome>> },
    /// Append something that is no change.
    Control { record: ControlRecord, reply: oneshot::Sender<Result<()>> },
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

impl BranchHandle {
    /// Asks the branch's writer, and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(command(reply)).await.map_err(|_| writer_gone())?;
        answer.await.map_err(|_| writer_gone())?
    }
}

/// The answer to whoever waits for a writer that is gone.
fn writer_gone() -> Error {
    Error::unavailable("the branch is being closed: try again").retry_after(Duration::from_secs(1))
}
