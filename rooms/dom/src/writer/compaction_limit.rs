//! Up to which revision a branch may be compacted.

use std::collections::HashSet;

use vdom_core::Result;
use vdom_security::PermittedStore;
use vdom_store::{LogDescriptor, LogId};

use crate::branch::Branch;
use crate::branch::point_in_time::number_of;
use crate::branch::row_pages::RowPages;
use crate::error::from_store;
use crate::log_reader::LogReader;
use crate::records::{ControlRecord, DocumentView, decode_batch, decode_record};

/// Up to which revision those who continue a branch, and the shape of its log, let it
/// be compacted, where that shall be at most `wanted`; 0 for nothing. Only on the
/// branch's writer, and with complete views.
pub(crate) async fn limit(branch: &Branch, wanted: u64) -> Result<u64> {
    let mut wanted = wanted.min(branch.head().revision);
    let mut pins = RowPages::new(branch, DocumentView::Pin);
    while let Some(page) = pins.next().await? {
        for pin in page {
            let revision: u64 = decode_record(&pin.value)?;
            let log = LogId(pin.id[..].try_into().unwrap_or_default());
            if revision < wanted && is_in_use(branch.store(), log).await? {
                wanted = revision;
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

/// Whether a branch that continues another still needs what it continues: while it is
/// being made, is open, was restored since, or is continued itself.
async fn is_in_use(store: PermittedStore<'_>, log: LogId) -> Result<bool> {
    let resource = format!("log {log}");
    let failed = |error| from_store(error, &resource);
    let mut waiting = vec![log];
    let mut known = HashSet::new();
    while let Some(log) = waiting.pop() {
        if !known.insert(log) {
            continue;
        }
        // A pin comes before the branch that it is for.
        let Some(last) = store.last(log).await.map_err(failed)? else { return Ok(true) };
        if !last.batch.closing {
            return Ok(true);
        }
        let mut pages = LogReader::new(store, log, 1, &resource);
        while let Some(page) = pages.next().await? {
            for log_entry in page {
                if let Some(log) = &log_entry.batch.descriptor {
                    waiting.extend(restored_from(store, log).await?);
                }
                for control in decode_batch(&log_entry)?.control_records {
                    if let ControlRecord::Pin { log, .. } = control {
                        waiting.push(LogId(log));
                    }
                }
            }
        }
    }
    Ok(false)
}

/// The log that a restore lets go on where this one ended.
async fn restored_from(store: PermittedStore<'_>, log: &LogDescriptor) -> Result<Option<LogId>> {
    let next = LogDescriptor { incarnation: log.incarnation + 1, ..log.clone() }.log_id();
    let first = store.read(next, 1, 1).await;
    let first = first.map_err(|error| from_store(error, format_args!("log {next}")))?;
    let Some(first) = first.first() else { return Ok(None) };
    let is_restored = |control: &ControlRecord| {
        matches!(control, ControlRecord::Parent { previous_epoch: Some(_), .. })
    };
    Ok(decode_batch(first)?.control_records.iter().any(is_restored).then_some(next))
}

pub(crate) async fn batch_at(branch: &Branch, number: u64) -> Result<vdom_store::Batch> {
    let batches = branch.store().read(branch.log, number, 1).await;
    let batches = batches.map_err(|error| from_store(error, &branch.address))?;
    let batch = batches.into_iter().next().map(|log_entry| log_entry.batch);
    batch.ok_or_else(|| crate::branch::broken_chain(&branch.address, number))
}
