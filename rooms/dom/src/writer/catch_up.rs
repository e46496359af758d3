//! Reads the log on from the head: what others appended, and what a start finds.

use tokio::time::Instant;
use vdom_core::limits::VIEW_LAG_MAX_CHANGES;
use vdom_core::{Error, Result};
use vdom_security::Permit;

use crate::branch::{AppliedBatch, Branch, Head, broken_chain};
use crate::error::from_store;
use crate::records::decode_batch;
use crate::views::view_builder;

const READ_AHEAD_BYTES: usize = 8 << 20;

/// Reads the log on from the head and publishes what stands there. Only for the
/// writer, and before it runs.
pub(crate) async fn catch_up(branch: &Branch) -> Result<()> {
    while read_on(branch).await? {}
    Ok(())
}

/// As [`catch_up`], before anything else runs: where the views lag far behind, they
/// are written on the way, so that memory does not hold the whole log.
pub(crate) async fn recover(branch: &Branch, build_views: &Permit) -> Result<()> {
    while read_on(branch).await? {
        if branch.view_lag_changes() > VIEW_LAG_MAX_CHANGES {
            view_builder::complete(branch, build_views).await?;
        }
    }
    Ok(())
}

/// Reads a page of the log and publishes it; false where there was none.
async fn read_on(branch: &Branch) -> Result<bool> {
    let begun = Instant::now();
    let next = branch.head().number + 1;
    let batches = branch.store().read(branch.log, next, READ_AHEAD_BYTES).await;
    let batches = batches.map_err(|error| from_store(error, &branch.address))?;
    if batches.is_empty() {
        return Ok(false);
    }
    for log_entry in batches {
        let head = branch.head();
        let record = decode_batch(&log_entry)?;
        if record.compacted().is_some() {
            return Err(compacted_meanwhile(branch));
        }
        let entries = record.all(&mut branch.packs()).await?;
        let continues = log_entry.number == head.number + 1
            && log_entry.batch.previous == head.digest
            && entries.first().is_none_or(|first| first.change.previous == head.hash);
        if !continues {
            return Err(broken_chain(&branch.address, log_entry.number));
        }
        if record.parent().is_some() && branch.parent.is_none() {
            // It was opened before somebody created it from another.
            branch.retire();
            return Err(Error::unavailable("the branch was created just now: try again")
                .resource(&branch.address));
        }
        let changes = match branch.apply(entries).await {
            Err(error) if branch.is_behind_checkpoint(&error).await? => {
                return Err(compacted_meanwhile(branch));
            }
            changes => changes?,
        };
        let head = Head {
            epoch: record.epoch,
            revision: record.first_revision + u64::from(record.count) - 1,
            hash: record.hash,
            number: log_entry.number,
            digest: log_entry.batch.digest(),
            closed: log_entry.batch.closing,
        };
        branch.publish(AppliedBatch::new(head, changes, record.control_records), begun);
    }
    Ok(true)
}

/// It was compacted while this gateway was away: views begin at the checkpoint.
fn compacted_meanwhile(branch: &Branch) -> Error {
    branch.retire();
    Error::unavailable("the branch was compacted meanwhile: try again").resource(&branch.address)
}
