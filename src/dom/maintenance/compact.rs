//! `vdom compact`: what retention no longer asks for makes room, in every branch.

use std::collections::BTreeSet;
use std::sync::Arc;

use vdom_core::{ErrorCode, Result};
use vdom_store::Store;

use super::collect::collect;
use super::{address, all_logs, room_over};
use crate::dom::error::from_store;
use crate::dom::{CompactionReport, Retention};
use crate::environment::Environment;

/// What a compaction did to a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCompactionReport {
    /// The branches that were compacted, by name.
    pub branches: Vec<(String, CompactionReport)>,
    /// How many chunks were deleted.
    pub chunks: u64,
}

/// Compacts every branch as far as retention allows, deletes chunks that nothing names
/// any more, and gives back the room of all that was removed. `progress` is told how
/// many changes were compacted so far.
///
/// # Errors
/// Where the store is damaged, or cannot be read or written.
pub async fn compact(
    store: Arc<dyn Store>,
    environment: &Environment,
    retention: Retention,
    mut progress: impl FnMut(u64),
) -> Result<StoreCompactionReport> {
    let room = room_over(store.clone(), environment);
    let mut report = StoreCompactionReport::default();
    let mut changes = 0;
    let logs = all_logs(&*store).await?;
    let mut addresses = Vec::new();
    for log in logs.iter().filter(|log| !log.repo.is_empty()) {
        addresses.push(address(log)?);
    }
    addresses.dedup();
    for address in addresses {
        match room.shared.compact(&address, retention, 1).await {
            Ok(Some(branch)) => {
                changes += branch.changes;
                progress(changes);
                report.branches.push((address.to_string(), branch));
            }
            Ok(None) => {}
            // It was deleted.
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    room.close().await;
    let realms: BTreeSet<_> = logs.iter().map(|log| &log.realm).collect();
    for realm in realms {
        report.chunks += collect(&*store, environment, realm).await?;
    }
    store.reclaim().await.map_err(|error| from_store(error, "the store"))?;
    Ok(report)
}
