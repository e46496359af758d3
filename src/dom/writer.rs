//! The one writer of a branch: takes what is queued, decides it against the
//! staged state, appends it as one batch, and makes that visible.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use vdom_core::calls::{OnConflict, WriteOutcome};
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES, VIEW_LAG_MAX_CHANGES};
use vdom_core::{Diff, Error, Hash, NodeId, NodeKind, NodePath, Operation, Result, VectorClock};
use vdom_store::{Append, Batch, BatchId, ChunkId, OperationKey, StoreErrorKind};

use super::branch::{Applied, AppliedBatch, Branch, Head, broken_chain};
use super::decide::{Staging, Verdict};
use super::error::from_store;
use super::records::{decode_batch, encode_batch};
use crate::environment::Environment;
use crate::observe::DomMetrics;
use crate::security::Permit;

const READ_AHEAD_BYTES: usize = 8 << 20;
const UNKNOWN_OUTCOME_PAUSE: Duration = Duration::from_millis(50);
const UNKNOWN_OUTCOME_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A write that was checked as far as it can be without the branch's state.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// The right to make it.
    pub permit: Permit,
    /// Which node, where the writer knows it.
    pub node_id: Option<NodeId>,
    /// Where.
    pub path: Option<NodePath>,
    /// What it holds.
    pub kind: Option<NodeKind>,
    /// How it changes.
    pub diff: Diff,
    /// The diff as it will be stored.
    pub stored: Bytes,
    /// What the writer had seen.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    /// Whose clock entry moves.
    pub actor: String,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// Free words.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// What makes it safe to repeat, and how the store finds it.
    pub operation: Option<(Operation, OperationKey)>,
}

/// What a branch's writer is asked.
pub(crate) enum Command {
    /// Write a diff.
    Write {
        /// What to write.
        proposal: Box<Proposal>,
        /// Where to answer.
        reply: oneshot::Sender<Result<WriteOutcome>>,
    },
    /// Prove the head, reading on where the log goes on.
    Confirm {
        /// Where to answer.
        reply: oneshot::Sender<Result<()>>,
    },
}

/// Runs until every handle of the branch is dropped.
pub(crate) async fn run(
    branch: Arc<Branch>,
    mut queue: mpsc::Receiver<Command>,
    environment: Environment,
    metrics: DomMetrics,
) {
    let writer = Writer { branch, environment, metrics };
    while let Some(first) = queue.recv().await {
        let mut writes = Vec::new();
        let mut confirms = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Write { proposal, reply } => {
                    bytes += proposal.stored.len();
                    writes.push((proposal, reply));
                }
                Command::Confirm { reply } => confirms.push(reply),
            }
            let has_room = writes.len() < BATCH_MAX_CHANGES && bytes < BATCH_CONTENT_MAX_BYTES;
            next = if has_room { queue.try_recv().ok() } else { None };
        }
        if !writes.is_empty() {
            writer.write(writes).await;
        }
        if !confirms.is_empty() {
            let confirmed = writer.confirm().await;
            for reply in confirms {
                // Who asked may have stopped waiting.
                let _ = reply.send(confirmed.clone());
            }
        }
    }
}

struct Writer {
    branch: Arc<Branch>,
    environment: Environment,
    metrics: DomMetrics,
}

type Pending = (Box<Proposal>, oneshot::Sender<Result<WriteOutcome>>);

impl Writer {
    async fn write(&self, pending: Vec<Pending>) {
        let answers = self.decide_and_append(&pending).await;
        match answers {
            Ok(answers) => {
                for ((_, reply), answer) in pending.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                for (_, reply) in pending {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// One answer for each proposal, resting on a head that was proven after
    /// all of them had arrived.
    async fn decide_and_append(&self, pending: &[Pending]) -> Result<Vec<Result<WriteOutcome>>> {
        self.wait_for_views().await;
        loop {
            let proposals: Vec<_> = pending.iter().map(|(proposal, _)| &**proposal).collect();
            let mut staging = Staging::new(&self.branch, self.environment.now_ms());
            let verdicts = staging.decide(&proposals).await?;
            let begun = Instant::now();
            let proven = if staging.changes.is_empty() {
                let needs_proof = verdicts.iter().any(Verdict::rests_on_head);
                !needs_proof || self.confirm_once().await?
            } else {
                self.append(std::mem::take(&mut staging.changes), begun).await?
            };
            if proven {
                for verdict in &verdicts {
                    self.metrics.judged(verdict.outcome());
                }
                return Ok(verdicts.into_iter().map(Verdict::into_answer).collect());
            }
            self.catch_up().await?;
        }
    }

    /// Appends staged changes as one batch and makes them visible; false where
    /// another batch stands at its number.
    async fn append(&self, changes: Vec<(Vec<u8>, Applied)>, begun: Instant) -> Result<bool> {
        let head = self.branch.head();
        let encoded: Vec<_> = changes
            .iter()
            .map(|(record, applied)| (record.clone(), applied.entry.diff.clone()))
            .collect();
        let (revision, hash) = after(head, changes.iter().map(|(_, applied)| applied));
        let (manifest, body) = encode_batch(head.epoch, hash, &encoded)?;
        let number = head.number + 1;
        let batch = Batch {
            id: BatchId(self.environment.random()?),
            previous: head.digest,
            descriptor: (number == 1).then(|| self.branch.descriptor.clone()),
            first_revision: head.revision + 1,
            count: changes.len() as u32,
            operations: operation_keys(&changes),
            chunks: chunks(&changes),
            closing: false,
            manifest,
            body,
        };
        if self.settle(number, &batch).await? == Append::Taken {
            return Ok(false);
        }
        self.metrics.appended(changes.len(), begun.elapsed());
        let changes: Vec<_> = changes.into_iter().map(|(_, applied)| applied).collect();
        let head = Head { epoch: head.epoch, revision, hash, number, digest: batch.digest() };
        self.branch.publish(AppliedBatch { head, changes }, begun);
        Ok(true)
    }

    /// Appends until the outcome is known: the log cannot go on before that.
    async fn settle(&self, number: u64, batch: &Batch) -> Result<Append> {
        let mut pause = UNKNOWN_OUTCOME_PAUSE;
        let mut unknown = false;
        loop {
            match self.branch.store.append(self.branch.log, number, batch).await {
                Ok(outcome) => return Ok(outcome),
                Err(error)
                    if error.kind == StoreErrorKind::OutcomeUnknown
                        || (unknown && error.kind == StoreErrorKind::Unavailable) =>
                {
                    unknown = true;
                    tracing::warn!(
                        branch = %self.branch.address, number, %error,
                        "the outcome of an append is not known: appending the same batch again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(UNKNOWN_OUTCOME_PAUSE_MAX);
                }
                Err(error) => return Err(from_store(error, &self.branch.address)),
            }
        }
    }

    /// Proves the head, reading on as often as the log went on.
    async fn confirm(&self) -> Result<()> {
        while !self.confirm_once().await? {
            self.catch_up().await?;
        }
        Ok(())
    }

    async fn confirm_once(&self) -> Result<bool> {
        let begun = Instant::now();
        let confirmed = self.branch.store.confirm(self.branch.log, self.branch.head().number).await;
        let confirmed = confirmed.map_err(|error| from_store(error, &self.branch.address))?;
        if confirmed {
            self.branch.confirmed(begun);
        }
        Ok(confirmed)
    }

    /// Reads and publishes what others appended.
    async fn catch_up(&self) -> Result<()> {
        catch_up(&self.branch).await
    }

    async fn wait_for_views(&self) {
        loop {
            let caught_up = self.branch.derived.notified();
            if self.branch.view_lag_changes() <= VIEW_LAG_MAX_CHANGES {
                return;
            }
            caught_up.await;
        }
    }
}

/// Reads the log on from the head and publishes what stands there. Only for the
/// writer, and before it runs.
pub(crate) async fn catch_up(branch: &Branch) -> Result<()> {
    loop {
        let begun = Instant::now();
        let next = branch.head().number + 1;
        let batches = branch.store.read(branch.log, next, READ_AHEAD_BYTES).await;
        let batches = batches.map_err(|error| from_store(error, &branch.address))?;
        if batches.is_empty() {
            return Ok(());
        }
        for numbered in batches {
            let head = branch.head();
            let record = decode_batch(&numbered)?;
            let continues = numbered.number == head.number + 1
                && numbered.batch.previous == head.digest
                && record.entries.first().is_none_or(|first| first.change.previous == head.hash);
            if !continues {
                return Err(broken_chain(&branch.address, numbered.number));
            }
            let epoch = record.epoch;
            let digest = numbered.batch.digest();
            let changes = branch.apply(record).await?;
            let (revision, hash) = after(head, changes.iter());
            let head = Head { epoch, revision, hash, number: numbered.number, digest };
            branch.publish(AppliedBatch { head, changes }, begun);
        }
    }
}

/// Revision and hash after changes that follow `head`.
fn after<'a>(head: Head, changes: impl Iterator<Item = &'a Applied>) -> (u64, Hash) {
    changes
        .last()
        .map_or((head.revision, head.hash), |last| (last.entry.change.revision, last.entry.hash))
}

fn operation_keys(changes: &[(Vec<u8>, Applied)]) -> Vec<OperationKey> {
    changes
        .iter()
        .filter_map(|(_, applied)| {
            let change = &applied.entry.change;
            let operation = change.operation?;
            Some(super::records::operation_key(&change.subject, operation.id))
        })
        .collect()
}

fn chunks(changes: &[(Vec<u8>, Applied)]) -> Vec<ChunkId> {
    let named = |hash: Hash| ChunkId(hash.0);
    let mut chunks: Vec<_> = changes
        .iter()
        .filter_map(|(_, applied)| match &applied.node.content {
            vdom_core::Content::Chunked(chunks) => Some(chunks),
            vdom_core::Content::Inline(_) => None,
        })
        .flatten()
        .map(|chunk| named(chunk.hash))
        .collect();
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

/// The answer to whoever waits for a writer that is gone.
pub(crate) fn writer_gone() -> Error {
    Error::unavailable("the branch is being closed: try again").retry_after(Duration::from_secs(1))
}
