//! Collection: chunks that nothing names any more make room.
//!
//! A chunk is put before the batch that names it, and within a part of the grace time. So one that
//! was unnamed when the logs were read, and that nobody has put for all of the grace time, stays
//! unnamed: whoever names it later has put it again, and then it is not deleted.

use std::collections::HashSet;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;
use vdom_core::limits::{CHUNK_GRACE, CHUNK_READ_GRACE};
use vdom_core::{BranchAddress, Error, ErrorCode, Result};
use vdom_security::{Duty, PermittedStore};
use vdom_store::{ChunkId, LogEntry, LogFilter};

use crate::branch::checkpoint;
use crate::error::from_store;
use crate::log_names::address_of;
use crate::log_reader::LogReader;
use crate::records::{ControlRecord, decode_batch};
use crate::registry::BranchRegistry;

const CHUNKS_PER_PAGE: usize = 1_024;
/// A gateway deletes no more chunks of a realm in one round: their names are kept in memory.
const CHUNKS_PER_ROUND: usize = 1 << 16;
/// Beside its calls, a gateway reads logs for a tenth of the time.
const PAUSES_PER_READ: u32 = 9;

/// How fast logs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nobody else uses the store.
    Full,
    /// Others are served meanwhile.
    BesideCalls,
}

/// The chunks of a realm that may be deleted.
pub(crate) struct Unnamed {
    realm: String,
    chunks: Vec<ChunkId>,
    /// Those that were put at or after this time stay.
    touched_before_ms: u64,
}

/// Deletes chunks of all realms that nothing names now and then; runs until the room is dropped.
pub(crate) async fn run(registry: Weak<BranchRegistry>, every: Duration) {
    loop {
        let Some(pause) = registry.upgrade().map(|it| it.environment.jittered(every)) else {
            return;
        };
        // Gateways on one store take turns more often than not.
        tokio::time::sleep(pause).await;
        let Some(strong) = registry.upgrade() else { return };
        let found = strong.unnamed_chunks().await;
        drop(strong);
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the realms cannot be listed: no chunk is collected this time");
            Vec::new()
        });
        if found.is_empty() {
            continue;
        }
        // Readers of what is compacted, also elsewhere, come to their end or hear of it.
        tokio::time::sleep(CHUNK_READ_GRACE).await;
        let Some(strong) = registry.upgrade() else { return };
        strong.delete_unnamed(&found).await;
    }
}

impl BranchRegistry {
    /// Of each realm the chunks that nothing names; one that cannot be read is left out.
    pub(crate) async fn unnamed_chunks(&self) -> Result<Vec<Unnamed>> {
        let store = self.store.with(self.permits.of(Duty::Collect));
        let stored = store.realms().await.map_err(|error| from_store(error, "the store"))?;
        let known = self.authority.realms().map(ToString::to_string);
        // In a realm without a log, somebody may have begun to write the first.
        let realms: std::collections::BTreeSet<_> = stored.into_iter().chain(known).collect();
        let mut found = Vec::new();
        for realm in realms {
            let now_ms = self.environment.now_ms();
            match unnamed(store, now_ms, &realm, Pace::BesideCalls, CHUNKS_PER_ROUND).await {
                Ok(unnamed) if unnamed.chunks.is_empty() => {}
                Ok(unnamed) => found.push(unnamed),
                Err(error) => {
                    tracing::warn!(realm, %error, "no chunk of the realm is collected this time");
                }
            }
        }
        Ok(found)
    }

    pub(crate) async fn delete_unnamed(&self, found: &[Unnamed]) {
        let store = self.store.with(self.permits.of(Duty::Collect));
        for unnamed in found {
            match delete(store, unnamed).await {
                Ok(deleted) => {
                    self.metrics.collected(deleted);
                    tracing::info!(realm = unnamed.realm, chunks = deleted, "chunks collected");
                }
                Err(error) => {
                    let realm = &unnamed.realm;
                    tracing::warn!(realm, %error, "chunks are left for the next collection");
                }
            }
        }
    }
}

/// The chunks of a realm that no batch and no checkpoint names, and that nobody has put for a day;
/// at most so many.
///
/// # Errors
/// Where the store is damaged or cannot be read, and `FailedPrecondition` where only another
/// program knows what a log names.
pub(crate) async fn unnamed(
    store: PermittedStore<'_>,
    now_ms: i64,
    realm: &str,
    pace: Pace,
    max: usize,
) -> Result<Unnamed> {
    // Before the logs are read: what is named later was touched later.
    let now_ms = u64::try_from(now_ms).unwrap_or_default();
    let touched_before_ms = now_ms.saturating_sub(CHUNK_GRACE.as_millis() as u64);
    let named = named_in(store, realm, pace).await?;
    let (mut chunks, mut after) = (Vec::new(), None);
    while chunks.len() < max {
        let page = store.chunks(realm, after, CHUNKS_PER_PAGE).await;
        let page = page.map_err(|error| from_store(error, realm))?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let old = page.iter().filter(|chunk| chunk.touched_ms < touched_before_ms);
        chunks.extend(old.map(|chunk| chunk.id).filter(|id| !named.contains(id)));
    }
    Ok(Unnamed { realm: realm.to_owned(), chunks, touched_before_ms })
}

/// Deletes what nobody has put meanwhile; tells how many.
pub(crate) async fn delete(store: PermittedStore<'_>, unnamed: &Unnamed) -> Result<u64> {
    let Unnamed { realm, chunks, touched_before_ms } = unnamed;
    let mut deleted = 0;
    for page in chunks.chunks(CHUNKS_PER_PAGE) {
        let gone = store.delete_chunks(realm, page, *touched_before_ms).await;
        deleted += gone.map_err(|error| from_store(error, realm))?;
    }
    Ok(deleted)
}

/// What a batch names, and what the checkpoint in it names.
pub(crate) async fn named_by(
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

async fn named_in(store: PermittedStore<'_>, realm: &str, pace: Pace) -> Result<HashSet<ChunkId>> {
    // Chunks are a realm's: logs of every room name some of them.
    let logs = store.logs(&LogFilter::of_every_room(realm)).await;
    let mut named = HashSet::new();
    for log in logs.map_err(|error| from_store(error, realm))? {
        let address = if log.name.room.is_empty() { Some(address_of(&log)?) } else { None };
        let mut pages = LogReader::new(store, log.log_id(), 1, &realm);
        loop {
            let begun = Instant::now();
            let Some(page) = pages.next().await? else { break };
            for log_entry in &page {
                match &address {
                    Some(address) => named.extend(named_by(store, address, log_entry).await?),
                    None => named.extend(named_by_stranger(&log.name.room, realm, log_entry)?),
                }
            }
            if pace == Pace::BesideCalls {
                tokio::time::sleep(begun.elapsed() * PAUSES_PER_READ).await;
            }
        }
    }
    Ok(named)
}

/// What a batch of another room names: all that it relies on, unless it is compacted.
fn named_by_stranger(room: &str, realm: &str, log_entry: &LogEntry) -> Result<Vec<ChunkId>> {
    if log_entry.batch.compacted_from.is_none() {
        return Ok(log_entry.batch.chunks.clone());
    }
    Err(Error::new(
        ErrorCode::FailedPrecondition,
        format!(
            "a log of room `{room}` in realm `{realm}` is compacted, and what it names now is not \
             known here: collect with a program that has this room"
        ),
    ))
}
