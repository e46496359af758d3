//! The one writer of a branch: takes what is queued, decides it against the
//! staged state, appends it as one batch, and makes that visible.

mod append;
mod catch_up;
mod compaction_limit;
mod kept_conflicts;
mod merge;
mod proposal;
mod propose;
mod queue;
mod rules;
mod set_proposal;
mod staging;
mod verdict;

pub(crate) use append::append_settled;
pub(crate) use catch_up::{catch_up, catch_up_first};
pub(crate) use compaction_limit::{batch_at, own_oldest};
pub(crate) use kept_conflicts::conflict_row;
pub(crate) use proposal::{Proposal, request_hash, staged, store_apart};
pub(crate) use propose::{explain, propose};
pub(crate) use queue::{BranchHandle, Command};
pub(crate) use set_proposal::{SetItem, SetProposal, located};

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use vdom_core::dom::calls::{SetOutcome, WriteOutcome};
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES, VIEW_LAG_MAX_CHANGES};
use vdom_core::{Error, Result};
use vdom_edge::Environment;

use crate::branch::Branch;
use crate::error::from_store;
use crate::metrics::{DomMetrics, Outcome};
use crate::writer::set_proposal::Judged;
use crate::writer::staging::Staging;
use crate::writer::verdict::{Verdict, concerns_the_store};

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
        let mut alone = None;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Write { proposal, reply } => {
                    bytes += proposal.stored.len();
                    writes.push((proposal, reply));
                }
                Command::Confirm { reply } => confirms.push(reply),
                command => alone = Some(command),
            }
            // What is no single diff has a batch of its own.
            let has_room = alone.is_none()
                && writes.len() < BATCH_MAX_CHANGES
                && bytes < BATCH_CONTENT_MAX_BYTES;
            next = if has_room { queue.try_recv().ok() } else { None };
        }
        if !writes.is_empty() {
            writer.write(writes).await;
        }
        // Who asked may have stopped waiting.
        match alone {
            Some(Command::WriteSet { proposal, reply }) => {
                let _ = reply.send(writer.write_set(&proposal).await);
            }
            Some(Command::Note { note, reply }) => {
                let _ = reply.send(writer.append_note(Some(note), None).await);
            }
            Some(Command::Limit { wanted, reply }) => {
                let _ = reply.send(writer.append_limit(wanted).await);
            }
            Some(Command::Close { operation, reply }) => {
                let _ = reply.send(writer.append_note(None, operation).await);
            }
            Some(Command::Write { .. } | Command::Confirm { .. }) | None => {}
        }
        if !confirms.is_empty() {
            let confirmed = writer.confirm().await;
            for reply in confirms {
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
            self.check_open()?;
            let proposals: Vec<_> = pending.iter().map(|(proposal, _)| &**proposal).collect();
            let mut staging = Staging::new(&self.branch, self.environment.now_ms());
            let mut verdicts = staging.decide(&proposals).await?;
            let begun = Instant::now();
            let changes = std::mem::take(&mut staging.changes);
            let notes = kept_conflicts::notes(
                &self.branch,
                self.environment.now_ms(),
                &proposals,
                &mut verdicts,
            )
            .await?;
            let proven = if changes.is_empty() && notes.is_empty() {
                let needs_proof = verdicts.iter().any(Verdict::rests_on_head);
                !needs_proof || self.confirm_once().await?
            } else {
                self.append(changes, Vec::new(), notes, begun).await?
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

    /// One answer for the whole set, resting on a head that was proven after it had
    /// arrived.
    async fn write_set(&self, proposal: &SetProposal) -> Result<SetOutcome> {
        self.wait_for_views().await;
        loop {
            self.check_open()?;
            let judged =
                set_proposal::judge(&self.branch, self.environment.now_ms(), proposal).await;
            let begun = Instant::now();
            let proven = match &judged {
                // The append proves an acceptance.
                Ok(Judged::Accepted { .. } | Judged::Repeated(_)) => true,
                Err(error) if concerns_the_store(error) => return Err(error.clone()),
                Ok(Judged::Conflicted(_)) | Err(_) => self.confirm_once().await?,
            };
            if !proven {
                self.catch_up().await?;
                continue;
            }
            let (outcome, answer) = match judged {
                Ok(Judged::Accepted { changes, written }) => {
                    let packs = proposal.packs.clone();
                    if !self.append(changes, packs, Vec::new(), begun).await? {
                        self.catch_up().await?;
                        continue;
                    }
                    (Outcome::Accepted, Ok(SetOutcome::Written(written)))
                }
                Ok(Judged::Repeated(written)) => {
                    (Outcome::Repeated, Ok(SetOutcome::Written(written)))
                }
                Ok(Judged::Conflicted(conflicts)) => {
                    (Outcome::Conflicted, Ok(SetOutcome::Conflicted(conflicts)))
                }
                Err(error) => (Outcome::Refused, Err(error)),
            };
            self.metrics.judged(outcome);
            return answer;
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.branch.head().closed { Err(deleted(&self.branch)) } else { Ok(()) }
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
            self.branch.hurry.notify_one();
            caught_up.await;
        }
    }
}

/// The refusal of a branch whose log has ended.
pub(crate) fn deleted(branch: &Branch) -> Error {
    Error::not_found(format!("{} was deleted", branch.address)).resource(&branch.address)
}
