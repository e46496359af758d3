//! A proposal through the queue of its branch, and what a conflict is about.

use vdom_core::dom::calls::{Conflict, ConflictReason, WriteOutcome};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Diff, Error, ErrorCode, OperationId, Result, VectorClock};

use crate::branch::Branch;
use crate::content;
use crate::writer::merge::{MergeAttempt, merge_base, try_merge};
use crate::writer::{BranchHandle, Command, Proposal};

/// Has the branch's writer evaluate a proposal, and explains a conflict.
pub(crate) async fn propose(
    handle: &BranchHandle,
    proposal: Box<Proposal>,
) -> Result<WriteOutcome> {
    let proposed = Proposed::of(&proposal);
    match handle.ask(|reply| Command::Write { proposal, reply }).await? {
        WriteOutcome::Written(written) => Ok(WriteOutcome::Written(written)),
        // On its own: what waits for most writes stays small.
        conflicted @ WriteOutcome::Conflicted(_) => {
            Box::pin(proposed.explained(&handle.branch, conflicted)).await
        }
    }
}

/// What an answer says of the proposal that it is about.
pub(crate) struct Proposed {
    clock: VectorClock,
    diff: Diff,
    operation_id: Option<OperationId>,
}

impl Proposed {
    pub(crate) fn of(proposal: &Proposal) -> Self {
        let operation_id = proposal.operation.map(|(operation, _)| operation.id);
        Self { clock: proposal.clock.clone(), diff: proposal.diff.clone(), operation_id }
    }

    /// The outcome, a conflict with what it is about.
    pub(crate) async fn explained(
        self,
        branch: &Branch,
        outcome: WriteOutcome,
    ) -> Result<WriteOutcome> {
        match outcome {
            WriteOutcome::Written(written) => Ok(WriteOutcome::Written(written)),
            WriteOutcome::Conflicted(mut conflict) => {
                conflict.operation_id = self.operation_id;
                let explained = explain_conflict(branch, &mut conflict, &self.clock, &self.diff);
                Box::pin(explained).await?;
                Ok(WriteOutcome::Conflicted(conflict))
            }
        }
    }
}

/// Whether an attempt to merge failed because the diff does not fit what it was made of:
/// then there is nothing to compare, and nobody else to blame.
pub(crate) fn is_of_diff(error: &Error) -> bool {
    matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::FailedPrecondition)
}

/// Adds what the writer had seen, and where it disagrees with what stands there.
pub(crate) async fn explain_conflict(
    branch: &Branch,
    conflict: &mut Conflict,
    clock: &VectorClock,
    diff: &Diff,
) -> Result<()> {
    let Some(current) = branch.node(conflict.node_id).await? else { return Ok(()) };
    let Some(base) = merge_base(branch, &current, clock).await? else { return Ok(()) };
    if base.content.len() <= CHUNK_BYTES as u64 {
        let content = content::load(branch.store(), &branch.address, &base.content).await?;
        conflict.base_content = Some(content);
    }
    if conflict.reason == ConflictReason::StaleClock && current.live {
        conflict.hunks = match try_merge(branch, Some(&base), &current, diff).await {
            Ok(MergeAttempt::Conflicting(hunks)) => hunks,
            Ok(_) => Vec::new(),
            Err(error) if is_of_diff(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
    }
    Ok(())
}
