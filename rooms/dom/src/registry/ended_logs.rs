//! Logs that have ended, which nobody may need any more.

use vdom_core::{BranchAddress, BranchName, Result};
use vdom_security::PermittedStore;
use vdom_store::LogEntry;

use crate::error::from_store;
use crate::records::{ControlRecord, decode_batch};
use crate::registry::open::log_descriptor;

/// Whether a log has ended, and what it continues is compacted beyond where it does: then
/// nobody can read it.
pub(crate) async fn has_lost_its_past(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    incarnation: u64,
) -> Result<bool> {
    let failed = |error| from_store(error, address);
    let mut log = log_descriptor(address, incarnation).log_id();
    let last = store.last(log).await.map_err(failed)?;
    if last.is_none_or(|last| !last.batch.closing) {
        return Ok(false);
    }
    loop {
        let first = store.read(log, 1, 1).await.map_err(failed)?;
        let Some(first) = first.first() else { return Ok(false) };
        let parent = decode_batch(first)?.control_records.into_iter().find_map(|it| match it {
            ControlRecord::Parent { branch, incarnation, revision, .. } => {
                Some((branch, incarnation, revision))
            }
            _ => None,
        });
        let Some((name, incarnation, revision)) = parent else { return Ok(false) };
        let address = BranchAddress { branch: BranchName::parse(&name)?, ..address.clone() };
        log = log_descriptor(&address, incarnation).log_id();
        let next = store.number_of(log, revision + 1).await.map_err(failed)?;
        let Some(next) = next else { continue };
        let next = store.read(log, next, 1).await.map_err(failed)?;
        // Past the head it is the last one that holds a change.
        let is_gone = |next: &LogEntry| {
            let batch = &next.batch;
            let end = batch.first_revision + u64::from(batch.count);
            batch.compacted_from.is_some() && revision + 1 < end
        };
        if next.first().is_some_and(is_gone) {
            return Ok(true);
        }
    }
}
