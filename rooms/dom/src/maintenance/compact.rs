//! `vdom compact`: what retention no longer asks for makes room, in every branch.

use vdom_core::Result;
use vdom_edge::Environment;

use super::MaintainedStore;
use super::collect::collect;
use crate::compaction::{CompactionReport, Retention};
use crate::error::from_store;

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
    store: &MaintainedStore,
    environment: &Environment,
    retention: Retention,
    mut progress: impl FnMut(u64),
) -> Result<StoreCompactionReport> {
    let failed = |error| from_store(error, "the store");
    let room = store.room(environment);
    let mut report = StoreCompactionReport::default();
    let mut changes = 0;
    for address in room.registry.branches_of_all_realms().await? {
        if let Some(branch) = room.registry.compact(&address, retention, 1).await? {
            changes += branch.changes;
            progress(changes);
            report.branches.push((address.to_string(), branch));
        }
    }
    room.close().await;
    for realm in store.permitted().realms().await.map_err(failed)? {
        report.chunks += collect(store, environment, &realm).await?;
    }
    store.permitted().reclaim().await.map_err(failed)?;
    Ok(report)
}
