//! The one writer of a branch: takes what is queued, evaluates it against the
//! staged state, appends it as one batch, and makes that visible.

mod admission;
mod append;
mod catch_up;
mod compaction_limit;
mod gathered;
mod kept_conflicts;
pub(crate) mod merge;
mod pins;
mod proposal;
mod propose;
mod queue;
mod recorded;
mod rules;
mod set_proposal;
mod staging;
mod verdict;
mod write_sets;

pub(crate) use admission::{Growing, SetAdmission, refused_already};
pub(crate) use append::append_until_known;
pub(crate) use catch_up::{catch_up, recover};
pub(crate) use compaction_limit::{batch_at, own_oldest};
pub(crate) use kept_conflicts::{answered, open_conflict};
pub(crate) use proposal::{Proposal, request_hash, store_large_put};
pub(crate) use propose::{explain_conflict, is_of_diff, propose};
pub(crate) use queue::{BranchHandle, Command, CommandQueue, Queued};
pub(crate) use recorded::recorded;
pub(crate) use rules::check_staged;
pub(crate) use set_proposal::{SetItem, SetProposal, located};

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use vdom_core::dom::calls::WriteOutcome;
use vdom_core::limits::{VIEW_LAG_MAX_BYTES, VIEW_LAG_MAX_CHANGES};
use vdom_core::{Error, Result};
use vdom_edge::Environment;
use vdom_security::Permit;

use crate::branch::Branch;
use crate::error::from_store;
use crate::metrics::DomMetrics;
use crate::uploads::Uploads;
use crate::writer::gathered::{Commands, Gathered, PendingWrite};
use crate::writer::staging::Staging;
use crate::writer::verdict::Verdict;
use crate::writer::write_sets::EarlySets;

/// Runs until every handle of the branch is dropped.
pub(crate) async fn run(
    branch: Arc<Branch>,
    mut queue: mpsc::Receiver<Queued>,
    permit: Permit,
    environment: Environment,
    metrics: DomMetrics,
    uploads: Uploads,
) {
    let writer = Writer { branch, permit, environment, metrics, uploads };
    let mut early = EarlySets::default();
    let mut next = None;
    loop {
        if next.is_none() {
            // `None` once nobody can ask any more.
            let received = match early.deadline() {
                None => Some(queue.recv().await),
                Some(deadline) => timeout_at(deadline, queue.recv()).await.ok(),
            };
            next = match received {
                Some(None) => return,
                received => received.flatten(),
            };
        }
        let mut gathered = Gathered::default();
        next = next.and_then(|first| gathered.take(first));
        while next.is_none()
            && gathered.has_room()
            && let Ok(more) = queue.try_recv()
        {
            next = gathered.take(more);
        }
        // On the heap, so that a branch takes little memory while nothing is asked of it.
        Box::pin(writer.answer(gathered, &mut early)).await;
    }
}

struct Writer {
    branch: Arc<Branch>,
    permit: Permit,
    environment: Environment,
    metrics: DomMetrics,
    uploads: Uploads,
}

impl Writer {
    async fn answer(&self, mut gathered: Gathered, early: &mut EarlySets) {
        match std::mem::take(&mut gathered.commands) {
            Commands::Writes(writes) => {
                let answers = self.evaluate_and_append(&writes).await;
                answer_each(writes.into_iter().map(|(_, reply)| reply), answers);
            }
            Commands::Sets(sets) => self.write_sets(sets, early).await,
            Commands::Pins(pins) => {
                let (pins, replies): (Vec<_>, Vec<_>) = pins.into_iter().unzip();
                answer_each(replies.into_iter(), self.append_pins(&pins).await);
            }
            Commands::Alone(command) => self.answer_one(command).await,
            Commands::None => {}
        }
        let verifications = std::mem::take(&mut gathered.verifications);
        if !verifications.is_empty() {
            let verified = self.verify_head().await;
            let answers = verified.map(|()| verifications.iter().map(|_| Ok(())).collect());
            answer_each(verifications.into_iter(), answers);
        }
        // Each round answers those that are due.
        while early.are_due(self.branch.head().revision) {
            self.write_sets(Vec::new(), early).await;
        }
    }

    async fn answer_one(&self, command: Command) {
        // Who asked may have stopped waiting.
        match command {
            Command::Control { records, reply } => {
                let _ = reply.send(self.append_control_records(records).await);
            }
            Command::Limit { wanted, reply } => {
                let _ = reply.send(self.append_limit(wanted).await);
            }
            Command::Checkpoint { checkpoint, built_on, reply } => {
                let _ = reply.send(self.append_checkpoint(checkpoint, built_on).await);
            }
            Command::Close { operation, reply } => {
                let _ = reply.send(self.close(operation).await);
            }
            Command::Write { .. }
            | Command::WriteSet { .. }
            | Command::Pin { .. }
            | Command::VerifyHead { .. } => {}
        }
    }

    /// One answer for each proposal, resting on a head that was proven after
    /// all of them had arrived.
    async fn evaluate_and_append(
        &self,
        pending: &[PendingWrite],
    ) -> Result<Vec<Result<WriteOutcome>>> {
        self.wait_for_views().await;
        loop {
            self.check_open()?;
            let proposals: Vec<_> = pending.iter().map(|(proposal, _)| &**proposal).collect();
            let mut staging = Staging::new(&self.branch, self.environment.now_ms());
            let mut verdicts = match staging.evaluate(&proposals).await {
                // What it needed may have been compacted: the log says so by now.
                Err(_) if !self.verify_head_once().await? => {
                    self.catch_up().await?;
                    continue;
                }
                verdicts => verdicts?,
            };
            let begun = Instant::now();
            let changes = std::mem::take(&mut staging.changes);
            let control_records = kept_conflicts::control_records(
                &self.branch,
                self.environment.now_ms(),
                &proposals,
                &mut verdicts,
            )
            .await?;
            let proven = if changes.is_empty() && control_records.is_empty() {
                let needs_proof = verdicts.iter().any(Verdict::rests_on_head);
                !needs_proof || self.verify_head_once().await?
            } else {
                let uploads = proposals.iter().map(|proposal| &proposal.upload).collect();
                self.append(changes, Vec::new(), control_records, uploads, begun).await?
            };
            if proven {
                for verdict in &verdicts {
                    self.metrics.evaluated(verdict.outcome());
                }
                return Ok(verdicts.into_iter().map(Verdict::into_answer).collect());
            }
            self.catch_up().await?;
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.branch.head().closed { Err(branch_deleted(&self.branch)) } else { Ok(()) }
    }

    /// Proves the head, reading on as often as the log went on.
    async fn verify_head(&self) -> Result<()> {
        while !self.verify_head_once().await? {
            self.catch_up().await?;
        }
        Ok(())
    }

    async fn verify_head_once(&self) -> Result<bool> {
        let begun = Instant::now();
        let verified =
            self.branch.store().confirm(self.branch.log, self.branch.head().number).await;
        let verified = verified.map_err(|error| from_store(error, &self.branch.address))?;
        if verified {
            self.branch.head_verified(begun);
        }
        Ok(verified)
    }

    /// Reads and publishes what others appended.
    async fn catch_up(&self) -> Result<()> {
        catch_up(&self.branch).await
    }

    async fn wait_for_views(&self) {
        loop {
            let caught_up = self.branch.views_advanced.notified();
            if self.branch.view_lag_changes() <= VIEW_LAG_MAX_CHANGES
                && self.branch.view_lag_bytes() <= VIEW_LAG_MAX_BYTES
            {
                return;
            }
            self.branch.flush_requested.notify_one();
            caught_up.await;
        }
    }
}

/// Sends each its own answer, or all the error that none could be answered for.
fn answer_each<T>(
    replies: impl ExactSizeIterator<Item = oneshot::Sender<Result<T>>>,
    answers: Result<Vec<Result<T>>>,
) {
    let answers =
        answers.unwrap_or_else(|error| (0..replies.len()).map(|_| Err(error.clone())).collect());
    for (reply, answer) in replies.zip(answers) {
        // Who asked may have stopped waiting.
        let _ = reply.send(answer);
    }
}

/// The refusal of a branch whose log has ended.
pub(crate) fn branch_deleted(branch: &Branch) -> Error {
    Error::not_found(format!("{} was deleted", branch.address)).resource(&branch.address)
}
