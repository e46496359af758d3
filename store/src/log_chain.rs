//! What an append must keep, whichever backend takes it.

use std::fmt;

use crate::batch::Batch;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::LogId;

/// The end of a log: all that is needed to judge the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogTail {
    pub(crate) number: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) closing: bool,
}

/// Refuses a batch that could stand at no such number of any log.
pub(crate) fn check_shape(log: LogId, number: u64, batch: &Batch) -> StoreResult<()> {
    let first = number == 1;
    if number == 0 {
        return invalid(log, number, "batches are numbered from 1");
    }
    if first && batch.descriptor.is_none() {
        return invalid(log, number, "the first batch must describe its log");
    }
    if first && batch.previous != [0; 32] {
        return invalid(log, number, "the first batch follows no other");
    }
    if let Some(fault) = batch.descriptor.as_ref().and_then(|log| log.name.fault()) {
        return invalid(log, number, fault);
    }
    if !first && batch.descriptor.is_some() {
        return invalid(log, number, "only the first batch describes its log");
    }
    Ok(())
}

/// Refuses a batch that does not follow the end of its log.
pub(crate) fn check_follows(
    log: LogId,
    tail: Option<&LogTail>,
    number: u64,
    batch: &Batch,
) -> StoreResult<()> {
    let head = tail.map_or(0, |tail| tail.number);
    if number != head + 1 {
        return invalid(log, number, format_args!("the log ends at {head}, this leaves a gap"));
    }
    let Some(tail) = tail else { return Ok(()) };
    if tail.closing {
        return invalid(log, number, format_args!("the log was closed by batch {head}"));
    }
    if batch.previous != tail.digest {
        return invalid(log, number, format_args!("it does not name the digest of batch {head}"));
    }
    Ok(())
}

/// Holds a batch that was read to the digest of the one before it.
pub(crate) fn check_chain(
    log: LogId,
    number: u64,
    before: [u8; 32],
    batch: &Batch,
) -> StoreResult<()> {
    if batch.previous == before {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Damaged,
        format_args!(
            "batch {number} of log {log} does not follow batch {}: restore from a backup",
            number - 1
        ),
    ))
}

/// The refusal to touch a batch that does not exist.
pub(crate) fn no_such_batch(log: LogId, number: u64) -> StoreError {
    StoreError::new(
        StoreErrorKind::Invalid,
        format_args!("log {log} has no batch {number}: only what was committed can be compacted"),
    )
}

fn invalid(log: LogId, number: u64, why: impl fmt::Display) -> StoreResult<()> {
    Err(StoreError::new(
        StoreErrorKind::Invalid,
        format_args!("append of batch {number} to log {log}: {why}"),
    ))
}
