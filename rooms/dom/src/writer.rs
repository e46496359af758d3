//! The one writer of a branch: takes what is queued, evaluates it against the
//! staged state, appends it as one batch, and makes that visible.

mod admission;
mod append;
mod catch_up;
mod compaction_limit;
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
use tokio::time::Instant;
use vdom_core::dom::calls::{SetOutcome, WriteOutcome};
use vdom_core::limits::{
    BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES, VIEW_LAG_MAX_BYTES, VIEW_LAG_MAX_CHANGES,
};
use vdom_core::{Error, Result};
use vdom_edge::Environment;
use vdom_security::Permit;

use crate::branch::Branch;
use crate::error::from_store;
use crate::metrics::{DomMetrics, Outcome};
use crate::records::Pin;
use crate::uploads::Uploads;
use crate::writer::set_proposal::SetVerdict;
use crate::writer::staging::Staging;
use crate::writer::verdict::{Verdict, concerns_the_store};

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
    while let Some(first) = queue.recv().await {
        // On the heap, so that a branch takes little memory while nothing is asked of it.
        Box::pin(writer.serve(first, &mut queue)).await;
    }
}

struct Writer {
    branch: Arc<Branch>,
    permit: Permit,
    environment: Environment,
    metrics: DomMetrics,
    uploads: Uploads,
}

type Pending = (Box<Proposal>, oneshot::Sender<Result<WriteOutcome>>);

impl Writer {
    /// Answers what is queued, from `first` on, as far as it goes together.
    async fn serve(&self, first: Queued, queue: &mut mpsc::Receiver<Queued>) {
        let mut writes = Vec::new();
        let mut verifications = Vec::new();
        let mut pins = Vec::new();
        let mut alone = None;
        let mut bytes = 0;
        let mut places = Vec::new();
        let mut next = Some(first);
        while let Some(Queued { command, place }) = next {
            places.push(place);
            match command {
                Command::Write { proposal, reply } => {
                    bytes += proposal.stored.len();
                    writes.push((proposal, reply));
                }
                Command::VerifyHead { reply } => verifications.push(reply),
                Command::Pin { pin, reply } => pins.push((pin, reply)),
                command => alone = Some(command),
            }
            // What is neither a single diff nor a pin has a batch of its own.
            let has_room = alone.is_none()
                && writes.len().max(pins.len()) < BATCH_MAX_CHANGES
                && bytes < BATCH_CONTENT_MAX_BYTES;
            next = if has_room { queue.try_recv().ok() } else { None };
        }
        if !writes.is_empty() {
            self.write(writes).await;
        }
        if !pins.is_empty() {
            self.pin(pins).await;
        }
        // Who asked may have stopped waiting.
        match alone {
            Some(Command::WriteSet { proposal, reply }) => {
                let _ = reply.send(self.write_set(&proposal).await);
            }
            Some(Command::Control { records, reply }) => {
                let _ = reply.send(self.append_control_records(records).await);
            }
            Some(Command::Limit { wanted, reply }) => {
                let _ = reply.send(self.append_limit(wanted).await);
            }
            Some(Command::Checkpoint { checkpoint, built_on, reply }) => {
                let _ = reply.send(self.append_checkpoint(checkpoint, built_on).await);
            }
            Some(Command::Close { operation, reply }) => {
                let _ = reply.send(self.close(operation).await);
            }
            Some(Command::Write { .. } | Command::Pin { .. } | Command::VerifyHead { .. })
            | None => {}
        }
        if !verifications.is_empty() {
            let verified = self.verify_head().await;
            for reply in verifications {
                let _ = reply.send(verified.clone());
            }
        }
    }

    async fn write(&self, pending: Vec<Pending>) {
        let answers = self.evaluate_and_append(&pending).await;
        answer_each(pending.into_iter().map(|(_, reply)| reply), answers);
    }

    async fn pin(&self, pending: Vec<(Pin, oneshot::Sender<Result<()>>)>) {
        let (pins, replies): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
        answer_each(replies.into_iter(), self.append_pins(&pins).await);
    }

    /// One answer for each proposal, resting on a head that was proven after
    /// all of them had arrived.
    async fn evaluate_and_append(&self, pending: &[Pending]) -> Result<Vec<Result<WriteOutcome>>> {
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

    /// One answer for the whole set, resting on a head that was proven after it had
    /// arrived.
    async fn write_set(&self, proposal: &SetProposal) -> Result<SetOutcome> {
        self.wait_for_views().await;
        loop {
            self.check_open()?;
            let now_ms = self.environment.now_ms();
            let verdict = set_proposal::evaluate(&self.branch, now_ms, proposal).await;
            let begun = Instant::now();
            let proven = match &verdict {
                // The append proves an acceptance.
                Ok(SetVerdict::Accepted { .. } | SetVerdict::Repeated(_)) => true,
                Ok(SetVerdict::Same(_)) if proposal.operation.is_some() => true,
                Ok(SetVerdict::Same(_) | SetVerdict::Conflicted(_)) | Err(_) => {
                    self.verify_head_once().await?
                }
            };
            if !proven {
                self.catch_up().await?;
                continue;
            }
            let (outcome, answer) = match verdict {
                Ok(SetVerdict::Accepted { changes, written }) => {
                    let packs = proposal.packs.clone();
                    let uploads = vec![&proposal.upload];
                    if !self.append(changes, packs, Vec::new(), uploads, begun).await? {
                        self.catch_up().await?;
                        continue;
                    }
                    (Outcome::Accepted, Ok(SetOutcome::Written(written)))
                }
                Ok(SetVerdict::Same(written)) => {
                    let stands = written.results.first();
                    let answered = proposal
                        .operation
                        .map(|operation| kept_conflicts::answered(operation, now_ms, stands));
                    if let Some(answered) = answered
                        && !self
                            .append(Vec::new(), Vec::new(), vec![answered], Vec::new(), begun)
                            .await?
                    {
                        self.catch_up().await?;
                        continue;
                    }
                    (Outcome::Repeated, Ok(SetOutcome::Written(written)))
                }
                Ok(SetVerdict::Repeated(written)) => {
                    (Outcome::Repeated, Ok(SetOutcome::Written(written)))
                }
                Ok(SetVerdict::Conflicted(conflicts)) => {
                    (Outcome::Conflicted, Ok(SetOutcome::Conflicted(conflicts)))
                }
                Err(error) if concerns_the_store(&error) => return Err(error),
                Err(error) => (Outcome::Refused, Err(error)),
            };
            self.metrics.evaluated(outcome);
            return answer;
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
