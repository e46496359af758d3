//! `vdom rebuild`: every view anew, from the logs alone.

use vdom_core::Result;
use vdom_edge::Environment;

use super::MaintainedStore;
use crate::error::from_store;
use crate::log_names::{address_of, all_logs};

/// Of how many logs the views were rebuilt, and how many revisions those have together.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    pub logs: u64,
    pub changes: u64,
}

/// Removes all views and builds them again: from the newest checkpoint of each log, or from
/// its first change. `progress` is told how many revisions that were so far.
///
/// Interrupted, it leaves views that the next start completes.
///
/// # Errors
/// Where a log is damaged, or the store cannot be read or written.
pub async fn rebuild(
    store: &MaintainedStore,
    environment: &Environment,
    mut progress: impl FnMut(u64),
) -> Result<RebuildReport> {
    let logs = all_logs(store.permitted()).await?;
    // All of them first: a log may read the views of what it continues.
    for log in &logs {
        let cleared = store.permitted().clear_views(log.log_id()).await;
        cleared.map_err(|error| from_store(error, log.log_id()))?;
    }
    let room = store.room(environment);
    let mut report = RebuildReport::default();
    for log in &logs {
        report.changes += room.registry.build_views(&address_of(log)?, log.incarnation).await?;
        report.logs += 1;
        progress(report.changes);
    }
    room.close().await;
    Ok(report)
}
