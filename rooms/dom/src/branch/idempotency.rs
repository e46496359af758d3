//! What was answered under an operation id, for as long as it is recorded.
//!
//! The log has it; where its changes are compacted, a row has it in their place.

use bytes::Bytes;
use vdom_core::{BranchAddress, Error, ErrorCode, OperationId, Result};
use vdom_store::{OperationKey, Position, View};

use crate::branch::Branch;
use crate::error::from_store;
use crate::records::{
    ControlRecord, DocumentView, LoggedChange, RecordedResult, decode_batch, decode_record,
    encode_record, operation_key,
};

/// For each key what was answered under it, also before a restore, if that is still recorded
/// at `now_ms`.
pub(crate) async fn find(
    branch: &Branch,
    keys: &[OperationKey],
    now_ms: i64,
) -> Result<Vec<Option<RecordedResult>>> {
    let mut found = vec![None; keys.len()];
    for (log, upto) in branch.through_restores() {
        let (missing, wanted): (Vec<usize>, Vec<OperationKey>) =
            keys.iter().copied().enumerate().filter(|(at, _)| found[*at].is_none()).unzip();
        for (at, recorded) in missing.into_iter().zip(find_in(log, upto, &wanted).await?) {
            found[at] = recorded;
        }
    }
    let is_kept = |recorded: &RecordedResult| recorded.is_kept(now_ms);
    Ok(found.into_iter().map(|recorded| recorded.filter(is_kept)).collect())
}

/// Whether a write with this key is part of the branch as it is known here.
pub(crate) async fn is_known(branch: &Branch, key: OperationKey) -> Result<bool> {
    for (log, upto) in branch.through_restores() {
        let (store, head) = (log.store(), log.head());
        let found = store.find_operations(log.log, &[key]).await;
        let found = found.map_err(|error| from_store(error, &log.address))?;
        let is_known = match found.first().copied().flatten() {
            Some(number) if upto < head.revision => {
                in_batch(log, upto, number, key).await?.is_some()
            }
            Some(number) => number <= head.number,
            None => in_rows(log, key).await?.is_some(),
        };
        if is_known {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What one log has of each key up to a revision.
async fn find_in(
    branch: &Branch,
    upto: u64,
    keys: &[OperationKey],
) -> Result<Vec<Option<RecordedResult>>> {
    let head = branch.head();
    if keys.is_empty() || head.number == 0 {
        return Ok(vec![None; keys.len()]);
    }
    let numbers = branch.store().find_operations(branch.log, keys).await;
    let numbers = numbers.map_err(|error| from_store(error, &branch.address))?;
    let mut found = Vec::with_capacity(keys.len());
    for (key, number) in keys.iter().zip(numbers) {
        found.push(match number.filter(|number| *number <= head.number) {
            Some(number) => in_batch(branch, upto, number, *key).await?,
            None if branch.oldest_revision() > 0 => in_rows(branch, *key).await?,
            None => None,
        });
    }
    Ok(found)
}

/// What a batch answered, as rows that are kept in its place.
pub(crate) fn rows(
    entries: &[LoggedChange],
    control_records: &[ControlRecord],
    position: Position,
    now_ms: i64,
) -> Result<Vec<View>> {
    let mut rows = Vec::new();
    let mut add = |key: OperationKey, position, recorded: &RecordedResult| {
        if recorded.is_kept(now_ms) {
            let (id, value) = (Bytes::copy_from_slice(&key.0), encode_record(recorded)?);
            rows.push(View { id, path: None, live: true, position, value });
        }
        Ok(())
    };
    for (at, entry) in entries.iter().enumerate() {
        let Some(recorded) = RecordedResult::of(&entries[at..]) else { continue };
        let change = &entry.change;
        let position = Position { epoch: change.epoch, revision: change.revision };
        add(operation_key(&change.subject, recorded.operation.id), position, &recorded)?;
    }
    for control in control_records {
        if let ControlRecord::Answered { key, result } = control {
            add(OperationKey(*key), position, result)?;
        }
    }
    Ok(rows)
}

/// The refusal of an operation id that was used for something else.
pub(crate) fn used_before(id: OperationId, address: &BranchAddress) -> Error {
    Error::new(
        ErrorCode::FailedPrecondition,
        format!(
            "operation_id {id} was used before with other content: use a new one for a new write"
        ),
    )
    .resource(address)
}

/// Whether the row of an operation is still needed.
pub(crate) fn is_row_kept(row: &View, now_ms: i64) -> Result<bool> {
    Ok(decode_record::<RecordedResult>(&row.value)?.is_kept(now_ms))
}

async fn in_batch(
    branch: &Branch,
    upto: u64,
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
    if record.first_revision + u64::from(record.count) - 1 > upto {
        return Ok(None);
    }
    for control in &record.control_records {
        if let ControlRecord::Answered { key: of, result } = control
            && *of == key.0
        {
            return Ok(Some(RecordedResult::clone(result)));
        }
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
