//! Logs that have ended, which nobody may need any more.

use vdom_core::{BranchAddress, BranchName, Result};
use vdom_security::PermittedStore;
use vdom_store::LogId;

use crate::error::from_store;
use crate::log_names::log_name;
use crate::log_reader::LogReader;
use crate::records::{ControlRecord, decode_batch};

/// Whether a log has ended, and what it continues is compacted beyond where it does: then
/// nobody can read it.
pub(crate) async fn has_lost_its_past(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    incarnation: u64,
) -> Result<bool> {
    let failed = |error| from_store(error, address);
    let mut log = log_name(address).incarnation(incarnation).log_id();
    let last = store.last(log).await.map_err(failed)?;
    if last.is_none_or(|last| !last.batch.closing) {
        return Ok(false);
    }
    let mut needed = u64::MAX;
    loop {
        let first = store.read(log, 1, 1).await.map_err(failed)?;
        let Some(first) = first.first() else { return Ok(false) };
        let first = decode_batch(first)?;
        let Some(parent) = first.parent() else { return Ok(false) };
        let branch = BranchName::parse(parent.branch)?;
        let address = BranchAddress { branch, ..address.clone() };
        log = log_name(&address).incarnation(parent.incarnation).log_id();
        needed = needed.min(parent.revision);
        if limit_of(store, &address, log).await? > needed {
            return Ok(true);
        }
    }
}

/// Up to which revision a log may be compacted, as it says itself; its views may not know yet.
async fn limit_of(store: PermittedStore<'_>, address: &BranchAddress, log: LogId) -> Result<u64> {
    let mut limit = 0;
    let mut pages = LogReader::new(store, log, 1, address);
    while let Some(page) = pages.next().await? {
        for log_entry in &page {
            for control in decode_batch(log_entry)?.control_records {
                if let ControlRecord::Limit(revision) = control {
                    limit = limit.max(revision);
                }
            }
        }
    }
    Ok(limit)
}
