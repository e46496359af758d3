//! Earlier states of nodes: a full copy, or nothing, and the diffs since.

use std::sync::Arc;

use vdom_core::limits::FULL_COPY_EVERY_CHANGES;
use vdom_core::{Node, NodeId, NodePath, Result, VectorClock};
use vdom_store::{Numbered, View, ViewKind};

use super::branch::Branch;
use super::error::from_store;
use super::records::{Entry, PlaceRecord, decode_batch, decode_history, history_id, place_id};

/// The node as it was at `revision`, tombstones included; `None` where it did
/// not exist yet.
pub(crate) async fn node_at_revision(
    branch: &Branch,
    id: NodeId,
    revision: u64,
) -> Result<Option<Arc<Node>>> {
    let watermark = branch.watermark().position.revision;
    if let Some(node) = in_tail(branch, revision, |node| node.id == id, watermark) {
        return Ok(Some(node));
    }
    let rows = history_rows(branch, id, revision, FULL_COPY_EVERY_CHANGES as usize + 1).await?;
    let mut replay = Vec::new();
    let mut base = None;
    for row in &rows {
        let record = decode_history(&row.value)?;
        if let Some(copy) = record.copy {
            base = Some(copy);
            break;
        }
        replay.push((record.number, record.index));
    }
    let mut node = base.map(Arc::new);
    let mut reader = EntryReader::new(branch);
    for (number, index) in replay.into_iter().rev() {
        let entry = reader.entry(number, index).await?;
        node = Some(Arc::new(branch.node_after(node.as_deref(), &entry).await?));
    }
    Ok(node)
}

/// The live node that was at `path` at `revision`.
pub(crate) async fn path_at_revision(
    branch: &Branch,
    path: &NodePath,
    revision: u64,
) -> Result<Option<Arc<Node>>> {
    let watermark = branch.watermark().position.revision;
    let touches = |node: &Node| node.path == *path;
    if let Some(node) = in_tail(branch, revision, touches, watermark)
        && let Some(node) = node_at_revision(branch, node.id, revision).await?
        && node.live
        && node.path == *path
    {
        return Ok(Some(node));
    }
    let (from, to) = (place_id(path, 0), place_id(path, revision));
    let rows = branch.store.scan_back(branch.log, ViewKind::Place, &from, &to, 1).await;
    let rows = rows.map_err(|error| from_store(error, &branch.address))?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let Some(holder) = PlaceRecord::decode(&row.value)?.holder else {
        return Ok(None);
    };
    let node = node_at_revision(branch, holder, revision).await?;
    Ok(node.filter(|node| node.live && node.path == *path))
}

/// The node that was at `path` last, where none is there now.
pub(crate) async fn last_at(branch: &Branch, path: &NodePath) -> Result<Option<NodeId>> {
    let watermark = branch.watermark().position.revision;
    let touches = |node: &Node| node.path == *path;
    if let Some(node) = in_tail(branch, u64::MAX, touches, watermark) {
        return Ok(Some(node.id));
    }
    let (from, to) = (place_id(path, 0), place_id(path, u64::MAX));
    let rows = branch.store.scan_back(branch.log, ViewKind::Place, &from, &to, 2).await;
    for row in rows.map_err(|error| from_store(error, &branch.address))? {
        if let Some(holder) = PlaceRecord::decode(&row.value)?.holder {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

/// The version of a node that a writer with exactly this clock had seen; `None`
/// where it is not kept.
pub(crate) async fn node_with_clock(
    branch: &Branch,
    current: &Node,
    clock: &VectorClock,
) -> Result<Option<Arc<Node>>> {
    // Every change adds one to one entry, and folding keeps the sum.
    let version: u64 = clock.entries().values().fold(0, |sum, seen| sum.saturating_add(*seen));
    if version == 0 || version >= current.version {
        return Ok(None);
    }
    let mut at = current.changed_revision;
    let mut known = current.version;
    while known > version {
        let step = (known - version + 1).min(1_024) as usize;
        let revisions = changed_at(branch, current.id, at, step).await?;
        let Some(oldest) = revisions.last().copied() else {
            return Ok(None);
        };
        if revisions.len() < 2 {
            return Ok(None);
        }
        known -= revisions.len() as u64 - 1;
        at = oldest;
    }
    let node = node_at_revision(branch, current.id, at).await?;
    Ok(node.filter(|node| node.clock == *clock))
}

/// The number of the batch that holds `revision`.
pub(crate) async fn number_of(branch: &Branch, revision: u64) -> Result<u64> {
    let number = branch.store.number_of(branch.log, revision).await;
    let number = number.map_err(|error| from_store(error, &branch.address))?;
    number.ok_or_else(|| super::branch::broken_chain(&branch.address, 0))
}

/// Reads changes by where they stand, a batch at a time.
pub(crate) struct EntryReader<'a> {
    branch: &'a Branch,
    batch: Option<(u64, Vec<Entry>)>,
}

impl<'a> EntryReader<'a> {
    /// Nothing read yet.
    pub(crate) fn new(branch: &'a Branch) -> Self {
        Self { branch, batch: None }
    }

    /// The change at `index` of batch `number`.
    pub(crate) async fn entry(&mut self, number: u64, index: u32) -> Result<Entry> {
        let entries = self.batch(number).await?;
        entries
            .get(index as usize)
            .cloned()
            .ok_or_else(|| super::branch::broken_chain(&self.branch.address, number))
    }

    /// The change at `revision`, if its batch is the one that was read last.
    pub(crate) fn known(&self, revision: u64) -> Option<Entry> {
        let (_, entries) = self.batch.as_ref()?;
        entries.iter().find(|entry| entry.change.revision == revision).cloned()
    }

    /// The changes of batch `number`.
    pub(crate) async fn batch(&mut self, number: u64) -> Result<&[Entry]> {
        if self.batch.as_ref().is_none_or(|(known, _)| *known != number) {
            let branch = self.branch;
            let batches: Vec<Numbered> = branch
                .store
                .read(branch.log, number, 1)
                .await
                .map_err(|error| from_store(error, &branch.address))?;
            let numbered = batches
                .first()
                .ok_or_else(|| super::branch::broken_chain(&branch.address, number))?;
            self.batch = Some((number, decode_batch(numbered)?.entries));
        }
        Ok(self.batch.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default())
    }
}

/// The revisions up to `revision` at which a node changed, newest first, at most
/// `limit`.
pub(crate) async fn changed_at(
    branch: &Branch,
    id: NodeId,
    revision: u64,
    limit: usize,
) -> Result<Vec<u64>> {
    let watermark = branch.watermark().position.revision;
    let tail = branch.tail_after(watermark).unwrap_or_default();
    let mut revisions: Vec<u64> = tail
        .iter()
        .rev()
        .flat_map(|batch| batch.changes.iter().rev())
        .filter(|applied| applied.node.id == id)
        .map(|applied| applied.entry.change.revision)
        .filter(|changed| *changed <= revision)
        .take(limit)
        .collect();
    if revisions.len() < limit {
        let upto = revision.min(watermark);
        for row in history_rows(branch, id, upto, limit - revisions.len()).await? {
            revisions.push(row.position.revision);
        }
    }
    Ok(revisions)
}

async fn history_rows(
    branch: &Branch,
    id: NodeId,
    revision: u64,
    limit: usize,
) -> Result<Vec<View>> {
    let (from, to) = (history_id(id, 0), history_id(id, revision));
    let rows = branch.store.scan_back(branch.log, ViewKind::History, &from, &to, limit).await;
    rows.map_err(|error| from_store(error, &branch.address))
}

/// The last node in the part of the log that has no views yet, at or before
/// `revision`, that fits.
fn in_tail(
    branch: &Branch,
    revision: u64,
    fits: impl Fn(&Node) -> bool,
    watermark: u64,
) -> Option<Arc<Node>> {
    let tail = branch.tail_after(watermark)?;
    tail.iter()
        .rev()
        .flat_map(|batch| batch.changes.iter().rev())
        .filter(|applied| applied.entry.change.revision <= revision)
        .find(|applied| fits(&applied.node))
        .map(|applied| applied.node.clone())
}
