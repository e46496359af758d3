//! Up to which revision a branch may be compacted.

use vdom_core::Result;

use crate::branch::Branch;
use crate::branch::point_in_time::number_of;
use crate::branch::row_pages::RowPages;
use crate::error::from_store;
use crate::records::{DocumentView, decode_pin};
use crate::writer::pins;

/// Up to which revision those who continue a branch, and the shape of its log, let it
/// be compacted, where that shall be at most `wanted`; 0 for nothing. Only on the
/// branch's writer, and with complete views.
pub(crate) async fn limit(branch: &Branch, wanted: u64, now_ms: i64) -> Result<u64> {
    let mut wanted = wanted.min(branch.head().revision);
    let mut rows = RowPages::new(branch, DocumentView::Pin);
    while let Some(page) = rows.next().await? {
        for row in page {
            let (pin, inherited) = (decode_pin(&row)?, branch.inherited_revision());
            if let Some(needed) = pins::needed_by(branch.store(), pin, inherited, now_ms).await? {
                wanted = wanted.min(needed);
            }
        }
    }
    if wanted <= own_oldest(branch) {
        return Ok(0);
    }
    // A batch goes as a whole, and a change set with it.
    let batch = batch_at(branch, number_of(branch, wanted).await?).await?;
    let last = batch.first_revision + u64::from(batch.count) - 1;
    let limit = if last <= wanted { last } else { batch.first_revision - 1 };
    Ok(if limit > own_oldest(branch) { limit } else { 0 })
}

/// The oldest own revision that is kept.
pub(crate) fn own_oldest(branch: &Branch) -> u64 {
    branch.compaction().limit.max(branch.inherited_revision())
}

pub(crate) async fn batch_at(branch: &Branch, number: u64) -> Result<vdom_store::Batch> {
    let batches = branch.store().read(branch.log, number, 1).await;
    let batches = batches.map_err(|error| from_store(error, &branch.address))?;
    let batch = batches.into_iter().next().map(|log_entry| log_entry.batch);
    batch.ok_or_else(|| crate::branch::broken_chain(&branch.address, number))
}
