//! What was answered under an operation id, for as long as it is recorded.
//!
//! The log has it; where its changes are compacted, a row has it in their place.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use vdom_core::dom::calls::{AckLevel, SetWritten, Written};
use vdom_core::limits::{CHANGE_SET_RESULTS_MAX, CHUNK_BYTES, OPERATION_KEPT};
use vdom_core::{Change, NodeId, Operation, Result, VectorClock};
use vdom_store::{OperationKey, Position, View};

use crate::branch::Branch;
use crate::error::from_store;
use crate::records::{
    DocumentView, LoggedChange, decode_batch, decode_record, encode_record, operation_key,
};

/// An accepted write, or change set, that carried an operation id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RecordedResult {
    #[n(0)]
    pub operation: Operation,
    /// When it was accepted, ms since the Unix epoch.
    #[n(1)]
    pub timestamp_ms: i64,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    first_revision: u64,
    #[n(4)]
    size: u32,
    /// What became of its diffs: of all, or where they are too many, of the first.
    #[n(5)]
    results: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Answer {
    #[n(0)]
    node_id: NodeId,
    #[n(1)]
    version: u64,
    #[n(2)]
    clock: VectorClock,
    #[n(3)]
    merged: bool,
}

/// For each key what was answered under it, if that is still recorded at `now_ms`.
pub(crate) async fn find(
    branch: &Branch,
    keys: &[OperationKey],
    now_ms: i64,
) -> Result<Vec<Option<RecordedResult>>> {
    let head = branch.head();
    if keys.is_empty() || head.number == 0 {
        return Ok(vec![None; keys.len()]);
    }
    let numbers = branch.store().find_operations(branch.log, keys).await;
    let numbers = numbers.map_err(|error| from_store(error, &branch.address))?;
    let mut found = Vec::with_capacity(keys.len());
    for (key, number) in keys.iter().zip(numbers) {
        let recorded = match number.filter(|number| *number <= head.number) {
            Some(number) => in_batch(branch, number, *key).await?,
            None if branch.oldest_revision() > 0 => in_rows(branch, *key).await?,
            None => None,
        };
        found.push(recorded.filter(|recorded| recorded.is_kept(now_ms)));
    }
    Ok(found)
}

/// Whether a write with this key is part of the branch as it is known here.
pub(crate) async fn is_known(branch: &Branch, key: OperationKey) -> Result<bool> {
    let found = branch.store().find_operations(branch.log, &[key]).await;
    let found = found.map_err(|error| from_store(error, &branch.address))?;
    match found.first().copied().flatten() {
        Some(number) => Ok(number <= branch.head().number),
        None => Ok(in_rows(branch, key).await?.is_some()),
    }
}

/// What the changes of a batch were answered, as rows that are kept in their place.
pub(crate) fn rows(entries: &[LoggedChange], now_ms: i64) -> Result<Vec<View>> {
    let mut rows = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let Some(recorded) = RecordedResult::of(&entries[at..]) else { continue };
        if recorded.is_kept(now_ms) {
            let change = &entry.change;
            let key = operation_key(&change.subject, recorded.operation.id);
            rows.push(View {
                id: Bytes::copy_from_slice(&key.0),
                path: None,
                live: true,
                position: Position { epoch: change.epoch, revision: change.revision },
                value: encode_record(&recorded)?,
            });
        }
    }
    Ok(rows)
}

/// Whether the row of an operation is still needed.
pub(crate) fn is_row_kept(row: &View, now_ms: i64) -> Result<bool> {
    Ok(decode_record::<RecordedResult>(&row.value)?.is_kept(now_ms))
}

impl RecordedResult {
    /// The answer to the write, or to the first of its diffs.
    pub(crate) fn written(&self) -> Option<Written> {
        self.results.first().map(|answer| self.answer(0, answer))
    }

    /// The answer to the change set.
    pub(crate) fn set_written(&self) -> SetWritten {
        let size = self.size as usize;
        let is_complete = size <= CHANGE_SET_RESULTS_MAX && self.results.len() == size;
        let results = self.results.iter().filter(|_| is_complete).enumerate();
        SetWritten {
            epoch: self.epoch,
            first_revision: self.first_revision,
            last_revision: self.first_revision + u64::from(self.size) - 1,
            ack: AckLevel::Committed,
            timestamp_ms: self.timestamp_ms,
            operation_id: None,
            results: results.map(|(index, answer)| self.answer(index as u64, answer)).collect(),
        }
    }

    /// What the change that comes first was written for, where it carries an operation.
    fn of(entries: &[LoggedChange]) -> Option<Self> {
        let first = &entries.first()?.change;
        let operation = first.operation?;
        let size = first.change_set.map_or(1, |position| position.size);
        let answer = |change: &Change| Answer {
            node_id: change.node_id,
            version: change.version,
            clock: change.clock.clone(),
            merged: change.merged,
        };
        let of_set = entries.get(..size as usize).unwrap_or(entries);
        let kept = if size as usize <= CHANGE_SET_RESULTS_MAX { of_set } else { &entries[..1] };
        Some(
            Self {
                operation,
                timestamp_ms: first.timestamp_ms,
                epoch: first.epoch,
                first_revision: first.revision,
                size,
                results: kept.iter().map(|entry| answer(&entry.change)).collect(),
            }
            .within_row_limit(),
        )
    }

    /// With the answer to the first diff alone where all take too much room for a row.
    fn within_row_limit(mut self) -> Self {
        let entries = self.results.iter().map(|answer| answer.clock.entries());
        let bytes: usize = entries
            .map(|clock| 32 + clock.keys().map(|actor| actor.len() + 12).sum::<usize>())
            .sum();
        if bytes > CHUNK_BYTES {
            self.results.truncate(1);
        }
        self
    }

    fn answer(&self, index: u64, answer: &Answer) -> Written {
        Written {
            node_id: answer.node_id,
            version: answer.version,
            clock: answer.clock.clone(),
            epoch: self.epoch,
            revision: self.first_revision + index,
            ack: AckLevel::Committed,
            merged: answer.merged,
            timestamp_ms: self.timestamp_ms,
            operation_id: (index == 0).then_some(self.operation.id),
        }
    }

    fn is_kept(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.timestamp_ms) <= OPERATION_KEPT.as_millis() as i64
    }
}

async fn in_batch(
    branch: &Branch,
    number: u64,
    key: OperationKey,
) -> Result<Option<RecordedResult>> {
    let batches = branch.store().read(branch.log, number, 1).await;
    let batches = batches.map_err(|error| from_store(error, &branch.address))?;
    let Some(log_entry) = batches.first() else { return Ok(None) };
    let record = decode_batch(log_entry)?;
    if record.compacted().is_some() {
        // It was compacted since its number was found.
        return in_rows(branch, key).await;
    }
    // Of a change set, the first change carries the operation.
    let entries = record.all(&mut branch.packs()).await?;
    let carries = |entry: &LoggedChange| {
        let change = &entry.change;
        change
            .operation
            .is_some_and(|operation| operation_key(&change.subject, operation.id) == key)
    };
    Ok(entries.iter().position(carries).and_then(|at| RecordedResult::of(&entries[at..])))
}

async fn in_rows(branch: &Branch, key: OperationKey) -> Result<Option<RecordedResult>> {
    let row = branch.store().view(branch.log, DocumentView::Operation.kind(), &key.0).await;
    let row = row.map_err(|error| from_store(error, &branch.address))?;
    row.map(|row| decode_record(&row.value)).transpose()
}
