//! Appends what was accepted as one batch, until the outcome is known.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, UNKNOWN_OUTCOME_MAX};
use vdom_core::{BranchAddress, Content, ContentChunk, Hash, Result};
use vdom_security::PermittedStore;
use vdom_store::{Append, Batch, BatchId, ChunkId, LogId, OperationKey, StoreErrorKind};

use crate::branch::views_wait::VIEWS_WAIT_MAX;
use crate::branch::{AppliedBatch, AppliedChange, Head};
use crate::content::packs::{PackWriter, StoredDiff};
use crate::error::from_store;
use crate::records::{
    Checkpoint, ControlRecord, Packed, Piece, Pin, encode_batch, encode_packed, encode_piece,
};
use crate::uploads::{LeftToBatch, Upload};
use crate::writer::{Writer, compaction_limit, open_conflict};

/// The changes of a large set are kept in chunks of about this size.
const PIECE_MAX_BYTES: usize = 512 << 10;
const UNKNOWN_OUTCOME_PAUSE: Duration = Duration::from_millis(50);
const UNKNOWN_OUTCOME_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Changes in their stored form.
struct Encoded {
    manifest: Bytes,
    body: Bytes,
    /// What stands outside of the batch.
    chunks: Vec<ChunkId>,
}

impl Writer {
    /// Appends staged changes as one batch and makes them visible; false where
    /// another batch stands at its number.
    pub(super) async fn append(
        &self,
        changes: Vec<(Vec<u8>, AppliedChange)>,
        packs: Vec<ContentChunk>,
        control_records: Vec<ControlRecord>,
        mut uploads: Vec<&Upload>,
        begun: Instant,
    ) -> Result<bool> {
        let head = self.branch.head();
        let (revision, hash) = after(head, changes.iter().map(|(_, applied)| applied));
        let own = self.uploads.begin(&self.permit, &self.branch.address);
        uploads.push(&own);
        let stored =
            self.encode(&own, head.epoch, hash, &changes, packs, control_records.clone()).await?;
        let mut chunks = chunks(&changes);
        chunks.extend(stored.chunks);
        let mut operations = operation_keys(&changes);
        for control in &control_records {
            chunks.extend(control.named_chunks()?);
            operations.extend(control.operation_key());
        }
        chunks.sort_unstable();
        chunks.dedup();
        let batch = Batch {
            count: changes.len() as u32,
            operations,
            chunks,
            manifest: stored.manifest,
            body: stored.body,
            ..self.next_batch(head)?
        };
        let number = head.number + 1;
        // From here on the batch may stand in the log, whoever still waits for it.
        let left: Vec<_> =
            uploads.iter().filter_map(|upload| upload.leave_to_batch(&batch.chunks)).collect();
        if self.append_until_known(number, &batch).await? == Append::Conflict {
            left.into_iter().for_each(LeftToBatch::take_back);
            return Ok(false);
        }
        self.metrics.appended(changes.len(), begun.elapsed());
        let changes: Vec<_> = changes.into_iter().map(|(_, applied)| applied).collect();
        let head = Head { revision, hash, number, digest: batch.digest(), ..head };
        self.branch.publish(AppliedBatch::new(head, changes, control_records), begun);
        Ok(true)
    }

    /// Appends how far the log may be compacted: 0 for nothing.
    pub(super) async fn append_limit(&self, wanted: u64) -> Result<u64> {
        let now_ms = self.environment.now_ms();
        loop {
            self.check_open()?;
            let head = self.branch.head();
            self.branch.await_views(head.number, VIEWS_WAIT_MAX).await?;
            let limit = compaction_limit::limit(&self.branch, wanted, now_ms).await?;
            if limit == 0 || self.try_append_control_records(&[ControlRecord::Limit(limit)]).await?
            {
                return Ok(limit);
            }
            self.catch_up().await?;
        }
    }

    /// Appends a checkpoint where none came since the one that it was built on: who wrote
    /// that one may have removed rows that this one would lack.
    pub(super) async fn append_checkpoint(
        &self,
        checkpoint: Box<Checkpoint>,
        built_on: u64,
    ) -> Result<()> {
        let record = [ControlRecord::Checkpoint(checkpoint)];
        loop {
            let newest = self.branch.compaction().checkpoint;
            if newest.map_or(0, |newest| newest.number) != built_on
                || self.try_append_control_records(&record).await?
            {
                return Ok(());
            }
            self.catch_up().await?;
        }
    }

    /// Appends pins as one batch; answers each, as what it pins may be compacted already.
    pub(super) async fn append_pins(&self, pins: &[Pin]) -> Result<Vec<Result<()>>> {
        loop {
            let kept: Vec<_> =
                pins.iter().map(|pin| self.branch.check_kept(pin.revision)).collect();
            let records: Vec<_> = pins
                .iter()
                .zip(&kept)
                .filter(|(_, kept)| kept.is_ok())
                .map(|(pin, _)| ControlRecord::from(*pin))
                .collect();
            if records.is_empty() || self.try_append_control_records(&records).await? {
                return Ok(kept);
            }
            self.catch_up().await?;
        }
    }

    /// Appends a batch without changes.
    pub(super) async fn append_control_records(&self, records: Vec<ControlRecord>) -> Result<()> {
        while !self.try_append_control_records(&records).await? {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Appends the end of the log.
    pub(super) async fn close(&self, operation: Option<OperationKey>) -> Result<()> {
        loop {
            self.check_open()?;
            let operations = operation.into_iter().collect();
            let end = Batch { operations, closing: true, ..self.next_batch(self.branch.head())? };
            if self.try_append_without_changes(end, Vec::new()).await? {
                return Ok(());
            }
            self.catch_up().await?;
        }
    }

    /// Appends a batch without changes, once; false where another batch stands at its number.
    async fn try_append_control_records(&self, records: &[ControlRecord]) -> Result<bool> {
        self.check_open()?;
        let (mut operations, mut chunks) = (Vec::new(), Vec::new());
        for record in records {
            if let ControlRecord::Resolved(id) = record {
                open_conflict(&self.branch, *id).await?;
            }
            operations.extend(record.operation_key());
            chunks.extend(record.named_chunks()?);
        }
        let batch = Batch { operations, chunks, ..self.next_batch(self.branch.head())? };
        self.try_append_without_changes(batch, records.to_vec()).await
    }

    async fn try_append_without_changes(
        &self,
        batch: Batch,
        control_records: Vec<ControlRecord>,
    ) -> Result<bool> {
        let head = self.branch.head();
        let begun = Instant::now();
        let (manifest, body) = encode_batch(head.epoch, head.hash, &[], control_records.clone())?;
        let batch = Batch { manifest, body, ..batch };
        let number = head.number + 1;
        if self.append_until_known(number, &batch).await? == Append::Conflict {
            return Ok(false);
        }
        let head = Head { number, digest: batch.digest(), closed: batch.closing, ..head };
        self.branch.publish(AppliedBatch::new(head, Vec::new(), control_records), begun);
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

    /// The stored form of changes: in the batch where they fit, else in chunks that
    /// are durable when this answers.
    async fn encode(
        &self,
        upload: &Upload,
        epoch: u64,
        hash: Hash,
        changes: &[(Vec<u8>, AppliedChange)],
        mut packs: Vec<ContentChunk>,
        control_records: Vec<ControlRecord>,
    ) -> Result<Encoded> {
        let inline = changes.iter().map(|(record, applied)| match &applied.entry.diff {
            StoredDiff::Inline(diff) => Some((record.as_slice(), diff)),
            StoredDiff::Packed(_) => None,
        });
        let inline: Option<Vec<_>> = inline.collect();
        if let Some(inline) = inline {
            let bytes: usize = inline.iter().map(|(record, diff)| record.len() + diff.len()).sum();
            if bytes <= BATCH_CONTENT_MAX_BYTES {
                let (manifest, body) = encode_batch(epoch, hash, &inline, control_records)?;
                return Ok(Encoded { manifest, body, chunks: Vec::new() });
            }
            let mut writer = PackWriter::new(upload);
            for (_, diff) in &inline {
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
            let chunk = upload.stage(encode_piece(&records)?).await?;
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
        let manifest =
            encode_packed(epoch, hash, Packed { pieces, packs, header }, control_records)?;
        Ok(Encoded { manifest, body: Bytes::new(), chunks })
    }

    async fn append_until_known(&self, number: u64, batch: &Batch) -> Result<Append> {
        let branch = &self.branch;
        append_until_known(
            branch.store_with(&self.permit),
            &branch.address,
            branch.log,
            number,
            batch,
        )
        .await
    }
}

/// Appends until the outcome is known: the log cannot go on before that. After hours the batch is
/// given up, since what it names may be collected from then on; should it stand there after all,
/// the next append finds it.
pub(crate) async fn append_until_known(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
    number: u64,
    batch: &Batch,
) -> Result<Append> {
    let mut pause = UNKNOWN_OUTCOME_PAUSE;
    let mut unknown = false;
    let begun = Instant::now();
    loop {
        match store.append(log, number, batch).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) if begun.elapsed() > UNKNOWN_OUTCOME_MAX => {
                return Err(from_store(error, address));
            }
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

/// Revision and hash after changes that follow `head`.
fn after<'a>(head: Head, changes: impl Iterator<Item = &'a AppliedChange>) -> (u64, Hash) {
    changes
        .last()
        .map_or((head.revision, head.hash), |last| (last.entry.change.revision, last.entry.hash))
}

fn operation_keys(changes: &[(Vec<u8>, AppliedChange)]) -> Vec<OperationKey> {
    changes
        .iter()
        .filter_map(|(_, applied)| {
            let change = &applied.entry.change;
            let operation = change.operation?;
            Some(crate::records::operation_key(&change.subject, operation.id))
        })
        .collect()
}

fn chunks(changes: &[(Vec<u8>, AppliedChange)]) -> Vec<ChunkId> {
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
