//! The one writer of a branch: takes what is queued, decides it against the
//! staged state, appends it as one batch, and makes that visible.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use vdom_core::dom::calls::{OnConflict, SetOutcome, WriteOutcome};
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES, VIEW_LAG_MAX_CHANGES};
use vdom_core::{
    BranchAddress, ConflictId, Content, ContentChunk, Diff, Error, Hash, NodeId, NodeKind,
    NodePath, Operation, Result, VectorClock,
};
use vdom_store::{Append, Batch, BatchId, ChunkId, LogId, OperationKey, Store, StoreErrorKind};

use super::branch::{Applied, AppliedBatch, Branch, BranchHandle, Head, broken_chain};
use super::change_set::{self, Judged, SetProposal};
use super::compaction;
use super::conflicts;
use super::content;
use super::decide::{Staging, Verdict, concerns_the_store};
use super::derive;
use super::error::from_store;
use super::packs::{PackWriter, StoredDiff};
use super::records::{
    Note, Packed, Piece, decode_batch, encode_batch, encode_packed, encode_piece,
};
use crate::metrics::{DomMetrics, Outcome};
use vdom_edge::Environment;
use vdom_security::Permit;

/// The changes of a large set are kept in chunks of about this size.
const PIECE_MAX_BYTES: usize = 512 << 10;
const READ_AHEAD_BYTES: usize = 8 << 20;
const UNKNOWN_OUTCOME_PAUSE: Duration = Duration::from_millis(50);
const UNKNOWN_OUTCOME_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A write that was checked as far as it can be without the branch's state.
#[derive(Clone, Debug)]
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
    pub stored: StoredDiff,
    /// SHA-256 of that.
    pub diff_hash: Hash,
    /// The pack that the diff's bytes are a slice of, if they are.
    pub pack: Option<(ContentChunk, Bytes)>,
    /// What the writer had seen.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    /// Whose clock entry moves.
    pub actor: String,
    /// Who made it.
    pub author: String,
    /// When it was made, ms since the Unix epoch, where that is another time.
    pub authored_at_ms: Option<i64>,
    /// Why.
    pub message: String,
    /// Free words.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// What makes it safe to repeat, and how the store finds it.
    pub operation: Option<(Operation, OperationKey)>,
    /// True when a three-way merge made the diff.
    pub merged: bool,
    /// Keep a conflict until someone resolves it.
    pub keep_conflict: bool,
    /// The kept conflict that is resolved once this is written.
    pub resolves: Option<ConflictId>,
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
    /// Write a change set.
    WriteSet {
        /// What to write.
        proposal: Box<SetProposal>,
        /// Where to answer.
        reply: oneshot::Sender<Result<SetOutcome>>,
    },
    /// Append something that is no change.
    Note {
        /// What.
        note: Note,
        /// Where to answer.
        reply: oneshot::Sender<Result<()>>,
    },
    /// Let the log say up to which revision it may be compacted; answers that, or 0 for
    /// nothing.
    Limit {
        /// At most this far.
        wanted: u64,
        /// Where to answer.
        reply: oneshot::Sender<Result<u64>>,
    },
    /// End the log.
    Close {
        /// What makes it safe to repeat.
        operation: Option<OperationKey>,
        /// Where to answer.
        reply: oneshot::Sender<Result<()>>,
    },
    /// Prove the head, reading on where the log goes on.
    Confirm {
        /// Where to answer.
        reply: oneshot::Sender<Result<()>>,
    },
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

/// Changes in their stored form.
struct Encoded {
    manifest: Bytes,
    body: Bytes,
    /// What stands outside of the batch.
    chunks: Vec<ChunkId>,
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
            let notes = conflicts::notes(
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
            let judged = change_set::judge(&self.branch, self.environment.now_ms(), proposal).await;
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

    /// Appends staged changes as one batch and makes them visible; false where
    /// another batch stands at its number.
    async fn append(
        &self,
        changes: Vec<(Vec<u8>, Applied)>,
        packs: Vec<ContentChunk>,
        notes: Vec<Note>,
        begun: Instant,
    ) -> Result<bool> {
        let head = self.branch.head();
        let (revision, hash) = after(head, changes.iter().map(|(_, applied)| applied));
        let stored = self.encode(head.epoch, hash, &changes, packs, notes.clone()).await?;
        let mut chunks = chunks(&changes);
        chunks.extend(stored.chunks);
        chunks.sort_unstable();
        chunks.dedup();
        let batch = Batch {
            count: changes.len() as u32,
            operations: operation_keys(&changes),
            chunks,
            manifest: stored.manifest,
            body: stored.body,
            ..self.next_batch(head)?
        };
        let number = head.number + 1;
        if self.settle(number, &batch).await? == Append::Conflict {
            return Ok(false);
        }
        self.metrics.appended(changes.len(), begun.elapsed());
        let changes: Vec<_> = changes.into_iter().map(|(_, applied)| applied).collect();
        let head = Head { revision, hash, number, digest: batch.digest(), ..head };
        self.branch.publish(AppliedBatch::new(head, changes, notes), begun);
        Ok(true)
    }

    /// Appends how far the log may be compacted: 0 for nothing.
    async fn append_limit(&self, wanted: u64) -> Result<u64> {
        loop {
            self.check_open()?;
            let head = self.branch.head();
            self.branch.views_complete(head.number).await;
            let limit = compaction::limit(&self.branch, wanted).await?;
            if limit == 0 || self.try_append_note(Some(Note::Limit(limit)), None).await? {
                return Ok(limit);
            }
            self.catch_up().await?;
        }
    }

    /// Appends a batch without changes: a note, or the end of the log.
    async fn append_note(&self, note: Option<Note>, operation: Option<OperationKey>) -> Result<()> {
        while !self.try_append_note(note.clone(), operation).await? {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// The same, once; false where another batch stands at its number.
    async fn try_append_note(
        &self,
        note: Option<Note>,
        operation: Option<OperationKey>,
    ) -> Result<bool> {
        self.check_open()?;
        if let Some(Note::Pin { revision, .. }) = &note {
            self.branch.check_kept(*revision)?;
        }
        let head = self.branch.head();
        let begun = Instant::now();
        let closing = note.is_none();
        let notes: Vec<_> = note.iter().cloned().collect();
        let (manifest, body) = encode_batch(head.epoch, head.hash, &[], notes.clone())?;
        let operations = operation.into_iter().collect();
        let pieces = match &note {
            Some(Note::Base(base)) => base.pieces.as_slice(),
            _ => &[],
        };
        let chunks = pieces.iter().map(|piece| ChunkId(piece.chunk.hash.0)).collect();
        let batch = Batch { operations, chunks, closing, manifest, body, ..self.next_batch(head)? };
        let number = head.number + 1;
        if self.settle(number, &batch).await? == Append::Conflict {
            return Ok(false);
        }
        let head = Head { number, digest: batch.digest(), closed: closing, ..head };
        self.branch.publish(AppliedBatch::new(head, Vec::new(), notes), begun);
        Ok(true)
    }

    /// The batch after `head`, with nothing in it.
    fn next_batch(&self, head: Head) -> Result<Batch> {
        Ok(Batch {
            id: BatchId(self.environment.random()?),
            previous: head.digest,
            descriptor: (head.number == 0).then(|| self.branch.descriptor.clone()),
            first_revision: head.revision + 1,
            count: 0,
            operations: Vec::new(),
            chunks: Vec::new(),
            closing: false,
            compacted_from: None,
            manifest: Bytes::new(),
            body: Bytes::new(),
        })
    }

    fn check_open(&self) -> Result<()> {
        if self.branch.head().closed { Err(deleted(&self.branch)) } else { Ok(()) }
    }

    /// The stored form of changes: in the batch where they fit, else in chunks that
    /// are durable when this answers.
    async fn encode(
        &self,
        epoch: u64,
        hash: Hash,
        changes: &[(Vec<u8>, Applied)],
        mut packs: Vec<ContentChunk>,
        notes: Vec<Note>,
    ) -> Result<Encoded> {
        let at_hand = changes.iter().map(|(record, applied)| match &applied.entry.diff {
            StoredDiff::AtHand(diff) => Some((record.as_slice(), diff)),
            StoredDiff::Packed(_) => None,
        });
        let at_hand: Option<Vec<_>> = at_hand.collect();
        let (store, address) = (&*self.branch.store, &self.branch.address);
        if let Some(at_hand) = at_hand {
            let bytes: usize = at_hand.iter().map(|(record, diff)| record.len() + diff.len()).sum();
            if bytes <= BATCH_CONTENT_MAX_BYTES {
                let (manifest, body) = encode_batch(epoch, hash, &at_hand, notes)?;
                return Ok(Encoded { manifest, body, chunks: Vec::new() });
            }
            let mut writer = PackWriter::new(store, address);
            for (_, diff) in &at_hand {
                writer.add_packed(diff).await?;
            }
            packs = writer.finish().await?.1;
        }
        let mut pieces = Vec::new();
        let (mut pack, mut start) = (0usize, 0u32);
        let mut rest = changes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|(record, _)| {
                bytes += record.len() + 8;
                bytes <= PIECE_MAX_BYTES
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            if packs.get(pack).is_some_and(|chunk| chunk.length == start) {
                (pack, start) = (pack + 1, 0);
            }
            let records: Vec<_> = now.iter().map(|(record, _)| record.as_slice()).collect();
            let chunk = content::stage_chunk(store, address, encode_piece(&records)?).await?;
            let count = now.len() as u32;
            pieces.push(Piece { chunk, count, pack: pack as u32, start });
            for (_, applied) in now {
                if packs.get(pack).is_some_and(|chunk| chunk.length == start) {
                    (pack, start) = (pack + 1, 0);
                }
                start += applied.entry.diff.len() as u32;
            }
            rest = later;
        }
        let chunks = pieces.iter().map(|piece| piece.chunk).chain(packs.iter().copied());
        let chunks = chunks.map(|chunk| ChunkId(chunk.hash.0)).collect();
        let header = changes.first().and_then(|(_, first)| first.entry.change.set_header.clone());
        let manifest = encode_packed(epoch, hash, Packed { pieces, packs, header }, notes)?;
        Ok(Encoded { manifest, body: Bytes::new(), chunks })
    }

    async fn settle(&self, number: u64, batch: &Batch) -> Result<Append> {
        let branch = &self.branch;
        append_settled(&*branch.store, &branch.address, branch.log, number, batch).await
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

/// Appends until the outcome is known: the log cannot go on before that.
pub(crate) async fn append_settled(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
    number: u64,
    batch: &Batch,
) -> Result<Append> {
    let mut pause = UNKNOWN_OUTCOME_PAUSE;
    let mut unknown = false;
    loop {
        match store.append(log, number, batch).await {
            Ok(outcome) => return Ok(outcome),
            Err(error)
                if error.kind == StoreErrorKind::OutcomeUnknown
                    || (unknown
                        && matches!(
                            error.kind,
                            StoreErrorKind::Unavailable | StoreErrorKind::Full
                        )) =>
            {
                unknown = true;
                tracing::warn!(
                    branch = %address, number, %error,
                    "the outcome of an append is not known: appending the same batch again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(UNKNOWN_OUTCOME_PAUSE_MAX);
            }
            Err(error) => return Err(from_store(error, address)),
        }
    }
}

/// The refusal of a branch whose log has ended.
pub(crate) fn deleted(branch: &Branch) -> Error {
    Error::not_found(format!("{} was deleted", branch.address)).resource(&branch.address)
}

/// Reads the log on from the head and publishes what stands there. Only for the
/// writer, and before it runs.
pub(crate) async fn catch_up(branch: &Branch) -> Result<()> {
    while read_on(branch).await? {}
    Ok(())
}

/// As [`catch_up`], before anything else runs: where the views lag far behind, they
/// are written on the way, so that memory does not hold the whole log.
pub(crate) async fn catch_up_first(branch: &Branch) -> Result<()> {
    while read_on(branch).await? {
        if branch.view_lag_changes() > VIEW_LAG_MAX_CHANGES {
            derive::complete(branch).await?;
        }
    }
    Ok(())
}

/// Reads a page of the log and publishes it; false where there was none.
async fn read_on(branch: &Branch) -> Result<bool> {
    let begun = Instant::now();
    let next = branch.head().number + 1;
    let batches = branch.store.read(branch.log, next, READ_AHEAD_BYTES).await;
    let batches = batches.map_err(|error| from_store(error, &branch.address))?;
    if batches.is_empty() {
        return Ok(false);
    }
    for numbered in batches {
        let head = branch.head();
        let record = decode_batch(&numbered)?;
        if record.compacted().is_some() {
            // It was compacted while this gateway was away: views begin at the base.
            branch.retire();
            return Err(Error::unavailable("the branch was compacted meanwhile: try again")
                .resource(&branch.address));
        }
        let entries = record.all(&mut branch.packs()).await?;
        let continues = numbered.number == head.number + 1
            && numbered.batch.previous == head.digest
            && entries.first().is_none_or(|first| first.change.previous == head.hash);
        if !continues {
            return Err(broken_chain(&branch.address, numbered.number));
        }
        let continues_another = record.notes.iter().any(|note| matches!(note, Note::Origin { .. }));
        if continues_another && branch.origin.is_none() {
            // It was opened before somebody created it from another.
            branch.retire();
            return Err(Error::unavailable("the branch was created just now: try again")
                .resource(&branch.address));
        }
        let changes = branch.apply(entries).await?;
        let head = Head {
            epoch: record.epoch,
            revision: record.first_revision + u64::from(record.count) - 1,
            hash: record.hash,
            number: numbered.number,
            digest: numbered.batch.digest(),
            closed: numbered.batch.closing,
        };
        branch.publish(AppliedBatch::new(head, changes, record.notes), begun);
    }
    Ok(true)
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
    changes
        .iter()
        .filter_map(|(_, applied)| match &applied.node.content {
            Content::Chunked(chunks) => Some(chunks),
            Content::Inline(_) | Content::Part(_) => None,
        })
        .flatten()
        .map(|chunk| named(chunk.hash))
        .collect()
}

/// The answer to whoever waits for a writer that is gone.
fn writer_gone() -> Error {
    Error::unavailable("the branch is being closed: try again").retry_after(Duration::from_secs(1))
}
