//! Compaction: changes that retention no longer asks for make room, their hashes stay.
//!
//! First the log says up to where, so that nobody can begin to rely on what goes; then
//! a checkpoint that stands in for it is written and named; then the batches are compacted in
//! place, and rows that nobody can ask for are removed. Each step may be repeated, so
//! whoever compacts next goes on where the last one was interrupted.

mod checkpoint_writer;
mod compaction_point;

pub(crate) use checkpoint_writer::CheckpointWriter;
pub(crate) use compaction_point::CompactionPoint;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use vdom_core::limits::COMPACTION_MIN_CHANGES;
use vdom_core::{BranchAddress, ErrorCode, Hash, Result};
use vdom_edge::Environment;
use vdom_security::{Duty, Permit};
use vdom_store::Position;

use crate::branch::point_in_time::{EntryReader, hash_at, number_of};
use crate::branch::row_pages::RowPages;
use crate::branch::{Branch, checkpoint, idempotency};
use crate::error::from_store;
use crate::records::{Checkpoint, DocumentView, decode_batch, encode_compacted};
use crate::registry::BranchRegistry;
use crate::writer::{BranchHandle, Command, batch_at, own_oldest};

const PAGE_BYTES: usize = 8 << 20;
const ROWS_PER_DELETION: usize = 1_024;
/// Nobody waits for a compaction: views that lag may take their time.
const VIEWS_WAIT_MAX: Duration = Duration::from_secs(60);

/// How much of the history is kept at least; what is beyond both is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many changes of each branch; `None`: the count decides nothing.
    pub changes: Option<u64>,
    /// What is younger than this; `None`: age decides nothing.
    pub age: Option<Duration>,
}

/// What a compaction did to a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// The oldest revision that can be read now.
    pub oldest_revision: u64,
    /// How many changes were taken out.
    pub changes: u64,
    /// How many rows were removed.
    pub rows: u64,
}

/// Compacts all branches now and then; runs until the room is dropped.
pub(crate) async fn run(registry: Weak<BranchRegistry>, retention: Retention, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        for address in registry.branches_of_all_realms().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "branches cannot be listed: compaction waits");
            Vec::new()
        }) {
            match registry.compact(&address, retention, COMPACTION_MIN_CHANGES).await {
                Ok(Some(report)) => tracing::info!(
                    branch = %address, changes = report.changes,
                    oldest_revision = report.oldest_revision, "history compacted"
                ),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(branch = %address, %error, "compaction is left for the next time");
                }
            }
        }
    }
}

impl BranchRegistry {
    /// Compacts a branch, where it is not deleted and that takes out at least `min_changes`.
    pub(crate) async fn compact(
        &self,
        address: &BranchAddress,
        retention: Retention,
        min_changes: u64,
    ) -> Result<Option<CompactionReport>> {
        let permit = self.permits.of(Duty::Compact);
        // What another gateway has done of it is not to be done again.
        let handle = match self.verified_existing(permit, address).await {
            Err(error) if error.code == ErrorCode::NotFound => return Ok(None),
            handle => handle?,
        };
        compact_branch(&handle, permit, &self.environment, retention, min_changes).await
    }
}

/// Compacts a branch, its head verified, as far as retention, and those who continue it,
/// allow. `None` where that is less than `min_changes`.
pub(crate) async fn compact_branch(
    handle: &BranchHandle,
    permit: &Permit,
    environment: &Environment,
    retention: Retention,
    min_changes: u64,
) -> Result<Option<CompactionReport>> {
    let branch = &*handle.branch;
    let known = branch.compaction();
    let wanted = wanted(branch, retention, environment.now_ms()).await?;
    // What an earlier compaction has begun is completed first.
    let begun = known.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.revision) < known.limit;
    let is_enough = wanted >= own_oldest(branch).saturating_add(min_changes.max(1));
    let limit = if begun || !is_enough {
        known.limit
    } else {
        handle.ask(|reply| Command::Limit { wanted, reply }).await?
    };
    if limit == 0 {
        return Ok(None);
    }
    loop {
        let known = branch.compaction();
        // Another compaction may have gone on to a later revision meanwhile.
        let limit = limit.max(known.limit);
        let covers = |checkpoint: &&Arc<Checkpoint>| checkpoint.revision >= limit;
        let standing = known.checkpoint.as_ref().filter(covers);
        let done = if let Some(checkpoint) = standing {
            finish(branch, permit, environment, checkpoint).await.map(Some)
        } else {
            let known = known.checkpoint.as_deref();
            write_checkpoint(handle, environment, limit, known).await.map(|()| None)
        };
        match done {
            Ok(Some(report)) => return Ok(report),
            Ok(None) => {}
            Err(error) => {
                // It may rest on what another compaction has taken out.
                if branch.is_behind_checkpoint(&error).await? {
                    handle.verify_head().await?;
                }
                let is_outdated = branch.compaction().limit > limit
                    || branch.is_outdated(known.checkpoint.as_deref(), &error);
                if !is_outdated {
                    return Err(error);
                }
            }
        }
    }
}

/// Up to which revision retention asks for nothing.
async fn wanted(branch: &Branch, retention: Retention, now_ms: i64) -> Result<u64> {
    let head = branch.head().revision;
    let by_count = retention.changes.map(|changes| head.saturating_sub(changes));
    let by_age = match retention.age {
        Some(age) => {
            let before = now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            Some(last_before(branch, before).await?)
        }
        None => None,
    };
    Ok(match (by_count, by_age) {
        (Some(count), Some(age)) => count.min(age),
        (count, age) => count.or(age).unwrap_or(0),
    })
}

/// The last own revision that was accepted before a time; the times of a log ascend.
async fn last_before(branch: &Branch, before_ms: i64) -> Result<u64> {
    let mut reader = EntryReader::new(branch);
    let (mut low, mut high) = (own_oldest(branch), branch.head().revision);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if reader.at_revision(middle).await?.change.timestamp_ms < before_ms {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// Writes what stands in for the changes up to `limit`, and lets the log name it unless
/// another checkpoint than `known` stands there by now: this one may lack what that stands
/// in for.
async fn write_checkpoint(
    handle: &BranchHandle,
    environment: &Environment,
    limit: u64,
    known: Option<&Checkpoint>,
) -> Result<()> {
    let branch = &*handle.branch;
    let now_ms = environment.now_ms();
    let number = number_of(branch, limit).await?;
    // A row that is still to be written would be missing.
    branch.await_views(number, VIEWS_WAIT_MAX).await?;
    let mut point = CompactionPoint::after(branch, limit, number, now_ms).await?;
    let mut writer = CheckpointWriter::new(branch);
    // Before the rows: what is compacted meanwhile has become rows before that.
    let mut next = first_whole(branch, number).await?;
    while next <= number {
        for log_entry in
            read(branch, next).await?.into_iter().take_while(|row| row.number <= number)
        {
            next = log_entry.number + 1;
            if log_entry.batch.operations.is_empty() {
                continue;
            }
            let record = decode_batch(&log_entry)?;
            let entries = record.all(&mut branch.packs()).await?;
            let position =
                Position { epoch: record.epoch, revision: log_entry.batch.first_revision };
            let answered = &record.control_records;
            for row in idempotency::rows(&entries, answered, position, now_ms)? {
                writer.add(DocumentView::Operation, row).await?;
            }
        }
    }
    writer.add_views(&mut point).await?;
    let checkpoint = Box::new(writer.finish(&point, hash_at(branch, limit).await?).await?);
    let built_on = known.map_or(0, |known| known.number);
    handle.ask(|reply| Command::Checkpoint { checkpoint, built_on, reply }).await
}

/// Takes out what a checkpoint stands in for; `None` where nothing was left to do.
async fn finish(
    branch: &Branch,
    permit: &Permit,
    environment: &Environment,
    checkpoint: &Checkpoint,
) -> Result<Option<CompactionReport>> {
    let (store, log) = (branch.store_with(permit), branch.log);
    let mut report =
        CompactionReport { oldest_revision: checkpoint.revision, ..CompactionReport::default() };
    let mut next = first_whole(branch, checkpoint.number).await?;
    if next > checkpoint.number {
        return Ok(None);
    }
    // Found here before they are no longer found in their batches.
    checkpoint::install(store, &branch.address, log, checkpoint, &[DocumentView::Operation])
        .await?;
    while next <= checkpoint.number {
        let mut manifests: Vec<(u64, Bytes)> = Vec::new();
        for log_entry in read(branch, next).await? {
            if log_entry.number > checkpoint.number {
                break;
            }
            next = log_entry.number + 1;
            let record = decode_batch(&log_entry)?;
            if record.compacted().is_some() {
                // By another gateway, just now.
                continue;
            }
            let entries = record.all(&mut branch.packs()).await?;
            let hashes: Vec<Hash> = entries.iter().map(|entry| entry.hash).collect();
            report.changes += hashes.len() as u64;
            manifests.push((log_entry.number, encode_compacted(&record, &hashes)?));
        }
        let compacted = store.compact(log, &manifests).await;
        compacted.map_err(|error| from_store(error, &branch.address))?;
    }
    report.rows = remove_rows(branch, permit, environment, checkpoint).await?;
    Ok(Some(report))
}

/// Removes the rows that are of no use from the checkpoint on.
async fn remove_rows(
    branch: &Branch,
    permit: &Permit,
    environment: &Environment,
    checkpoint: &Checkpoint,
) -> Result<u64> {
    let now_ms = environment.now_ms();
    let mut point =
        CompactionPoint::after(branch, checkpoint.revision, checkpoint.number, now_ms).await?;
    let mut removed = 0;
    for kind in DocumentView::ALL {
        let mut pages = RowPages::new(branch, kind);
        while let Some(page) = pages.next().await? {
            let mut unneeded = Vec::new();
            for row in page {
                if !point.is_after(kind, &row) && !point.needs(kind, &row)? {
                    unneeded.push(row.id);
                }
            }
            for ids in unneeded.chunks(ROWS_PER_DELETION) {
                let deleted =
                    branch.store_with(permit).delete_views(branch.log, kind.kind(), ids).await;
                deleted.map_err(|error| from_store(error, &branch.address))?;
            }
            removed += unneeded.len() as u64;
        }
    }
    Ok(removed)
}

/// The first batch that is not compacted, where those up to `number` may be; batches
/// are compacted in order.
async fn first_whole(branch: &Branch, number: u64) -> Result<u64> {
    let (mut low, mut high) = (1, number + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if batch_at(branch, middle).await?.compacted_from.is_some() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

async fn read(branch: &Branch, from: u64) -> Result<Vec<vdom_store::LogEntry>> {
    let page = branch.store().read(branch.log, from, PAGE_BYTES).await;
    let page = page.map_err(|error| from_store(error, &branch.address))?;
    if page.is_empty() {
        return Err(crate::branch::broken_chain(&branch.address, from));
    }
    Ok(page)
}
