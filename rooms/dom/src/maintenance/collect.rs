//! Chunks that nothing names any more make room.

use std::collections::HashSet;

use vdom_core::limits::CHUNK_GRACE;
use vdom_core::{BranchAddress, Result};
use vdom_edge::Environment;
use vdom_security::PermittedStore;
use vdom_store::{ChunkId, LogEntry, LogFilter};

use super::MaintainedStore;
use crate::branch::checkpoint;
use crate::error::from_store;
use crate::log_names::address_of;
use crate::log_reader::LogReader;
use crate::records::{ControlRecord, decode_batch};

const CHUNKS_PER_PAGE: usize = 1_024;

/// Deletes the chunks of a realm that no batch and no checkpoint names, and that nobody has
/// put for a day: who writes puts a chunk before the batch that names it. Tells how
/// many.
///
/// # Errors
/// Where the store is damaged, or cannot be read or written.
pub async fn collect(
    store: &MaintainedStore,
    environment: &Environment,
    realm: &str,
) -> Result<u64> {
    let store = store.permitted();
    let failed = |error| from_store(error, realm);
    let grace_ms = CHUNK_GRACE.as_millis() as u64;
    // Before the logs are read: what is named later was touched later.
    let now_ms = u64::try_from(environment.now_ms()).unwrap_or_default();
    let named = named_in(store, realm).await?;
    let (mut deleted, mut after) = (0, None);
    loop {
        let page = store.chunks(realm, after, CHUNKS_PER_PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { return Ok(deleted) };
        after = Some(last.id);
        let unnamed: Vec<_> =
            page.iter().map(|chunk| chunk.id).filter(|id| !named.contains(id)).collect();
        let before_ms = now_ms.saturating_sub(grace_ms);
        deleted += store.delete_chunks(realm, &unnamed, before_ms).await.map_err(failed)?;
    }
}

/// What a batch names, and what the checkpoint in it names.
pub(super) async fn named_by(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log_entry: &LogEntry,
) -> Result<Vec<ChunkId>> {
    let mut named = log_entry.batch.chunks.clone();
    for control in decode_batch(log_entry)?.control_records {
        // Batches of earlier versions do not name those of kept conflicts.
        named.extend(control.named_chunks()?);
        if let ControlRecord::Checkpoint(checkpoint) = control {
            named.extend(checkpoint::named_contents(store, address, &checkpoint).await?);
        }
    }
    Ok(named)
}

async fn named_in(store: PermittedStore<'_>, realm: &str) -> Result<HashSet<ChunkId>> {
    let failed = |error| from_store(error, realm);
    let filter = LogFilter::of_realm(realm);
    let mut named = HashSet::new();
    for log in store.logs(&filter).await.map_err(failed)? {
        let address = address_of(&log)?;
        let mut pages = LogReader::new(store, log.log_id(), 1, &realm);
        while let Some(page) = pages.next().await? {
            for log_entry in &page {
                named.extend(named_by(store, &address, log_entry).await?);
            }
        }
    }
    Ok(named)
}
