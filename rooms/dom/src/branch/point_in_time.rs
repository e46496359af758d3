//! Earlier states of nodes: a full copy, or nothing, and the diffs since.

use std::sync::Arc;

use vdom_core::dom::change::CHAIN_START;
use vdom_core::limits::FULL_COPY_EVERY_CHANGES;
use vdom_core::{Change, Error, ErrorCode, Hash, Node, NodeId, NodePath, Result, VectorClock};
use vdom_store::{LogEntry, View};

use crate::branch::{Branch, checkpoint, history_compacted};
use crate::content::packs::PackReader;
use crate::error::from_store;
use crate::records::{
    BatchRecord, Checkpoint, DocumentView, LoggedChange, PathHistoryRecord, decode_batch,
    decode_history, decode_record, history_id, path_history_id,
};

/// The node as it was at `revision`, tombstones included; `None` where it did
/// not exist yet.
pub(crate) async fn node_at_revision(
    branch: &Branch,
    id: NodeId,
    revision: u64,
) -> Result<Option<Arc<Node>>> {
    if let Some(parent) = branch.parent.as_ref().filter(|parent| revision <= parent.revision) {
        return Box::pin(node_at_revision(&parent.branch, id, revision)).await;
    }
    branch.check_kept(revision)?;
    // What has not changed since is as it was.
    if let Some(node) = branch.node_in_memory(id).filter(|node| node.changed_revision <= revision) {
        return Ok(Some(node));
    }
    if let Some(node) = in_tail(branch, revision, id) {
        return Ok(Some(node));
    }
    loop {
        // Again each time: the checkpoint may have come after the last look.
        branch.check_kept(revision)?;
        let checkpoint = branch.compaction().checkpoint;
        match replayed(branch, checkpoint.as_deref(), id, revision).await {
            // What it rests on was compacted meanwhile: there is a checkpoint for that now.
            Err(error) if branch.is_outdated(checkpoint.as_deref(), &error) => {}
            node => return node,
        }
    }
}

/// The node from a full copy, from the checkpoint or from the parent, and the
/// changes since.
async fn replayed(
    branch: &Branch,
    checkpoint: Option<&Checkpoint>,
    id: NodeId,
    revision: u64,
) -> Result<Option<Arc<Node>>> {
    let limit = FULL_COPY_EVERY_CHANGES as usize + 1;
    let (from, to) = (history_id(id, 0), history_id(id, revision));
    let rows = scan(branch, DocumentView::History, &from, &to, limit).await?;
    branch.check_rows(checkpoint, revision).await?;
    let covered = checkpoint.map_or(0, |checkpoint| checkpoint.revision);
    let mut replay = Vec::new();
    let mut copy = None;
    for row in rows.iter().take_while(|row| row.position.revision > covered) {
        let record = decode_history(&row.value)?;
        if record.copy.is_some() {
            copy = record.copy;
            break;
        }
        replay.push((record.number, record.index));
    }
    if let (None, Some(checkpoint)) = (&copy, checkpoint) {
        copy = checkpoint::node(branch, checkpoint, id).await?;
    }
    let mut node = match (copy, &branch.parent) {
        (Some(copy), _) => Some(Arc::new(copy)),
        (None, Some(parent)) => parent.node(id).await?,
        (None, None) => None,
    };
    let mut reader = EntryReader::new(branch);
    for (number, index) in replay.into_iter().rev() {
        let entry = reader.entry(number, index).await?;
        let version = node.as_ref().map_or(0, |node| node.version);
        if entry.change.version != version + 1 {
            return Err(version_missing(branch, &entry.change, version));
        }
        let after = branch.node_after(node.as_deref(), &entry, reader.packs()).await?;
        node = Some(Arc::new(after));
    }
    Ok(node)
}

/// The live node that was at `path` at `revision`.
pub(crate) async fn path_at_revision(
    branch: &Branch,
    path: &NodePath,
    revision: u64,
) -> Result<Option<Arc<Node>>> {
    if let Some(parent) = branch.parent.as_ref().filter(|parent| revision <= parent.revision) {
        return Box::pin(path_at_revision(&parent.branch, path, revision)).await;
    }
    branch.check_kept(revision)?;
    // A change set may let one node come after which another leaves.
    for id in holders_in_tail(branch, revision, path) {
        let node = node_at_revision(branch, id, revision).await?;
        if let Some(node) = node.filter(|node| node.live && node.path == *path) {
            return Ok(Some(node));
        }
    }
    let (from, to) = (path_history_id(path, 0), path_history_id(path, revision));
    let rows = whole_rows(branch, DocumentView::PathHistory, &from, &to, 1, revision).await?;
    branch.check_kept(revision)?;
    let holder = match (rows.first(), &branch.parent) {
        (Some(row), _) => decode_record::<PathHistoryRecord>(&row.value)?.holder,
        (None, Some(parent)) => parent.node_at(path).await?.map(|node| node.id),
        (None, None) => None,
    };
    let Some(holder) = holder else {
        return Ok(None);
    };
    let node = node_at_revision(branch, holder, revision).await?;
    Ok(node.filter(|node| node.live && node.path == *path))
}

/// The node that was at `path` last up to `revision`, where none is there then.
pub(crate) async fn last_at(
    branch: &Branch,
    path: &NodePath,
    revision: u64,
) -> Result<Option<NodeId>> {
    if let Some(id) = holders_in_tail(branch, revision, path).first() {
        return Ok(Some(*id));
    }
    let (from, to) = (path_history_id(path, 0), path_history_id(path, revision));
    for row in whole_rows(branch, DocumentView::PathHistory, &from, &to, 2, revision).await? {
        if let Some(holder) = decode_record::<PathHistoryRecord>(&row.value)?.holder {
            return Ok(Some(holder));
        }
    }
    match &branch.parent {
        Some(parent) => {
            Box::pin(last_at(&parent.branch, path, revision.min(parent.revision))).await
        }
        None => Ok(None),
    }
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
    let node = match revision_of_version(branch, current, version).await? {
        Some(revision) => node_at_revision(branch, current.id, revision).await?,
        // It may be the version that the checkpoint has.
        None => match branch.compaction().checkpoint {
            Some(checkpoint) => {
                checkpoint::node(branch, &checkpoint, current.id).await?.map(Arc::new)
            }
            None => None,
        },
    };
    Ok(node.filter(|node| node.clock == *clock))
}

/// The revision at which a node had a version; `None` where that is not kept.
async fn revision_of_version(branch: &Branch, current: &Node, version: u64) -> Result<Option<u64>> {
    let (mut at, mut known) = (current.changed_revision, current.version);
    while known > version {
        let step = (known - version + 1).min(1_024) as usize;
        let revisions = changed_at(branch, current.id, at, step).await?;
        let Some(oldest) = revisions.last().copied().filter(|_| revisions.len() >= 2) else {
            return Ok(None);
        };
        known -= revisions.len() as u64 - 1;
        at = oldest;
    }
    Ok(Some(at))
}

/// The hash of the change at `revision`, which may be the last one that is compacted.
pub(crate) async fn hash_at(branch: &Branch, revision: u64) -> Result<Hash> {
    if let Some(parent) = branch.parent.as_ref().filter(|parent| revision <= parent.revision) {
        return Box::pin(hash_at(&parent.branch, revision)).await;
    }
    let head = branch.head();
    let mut reader = EntryReader::new(branch);
    match revision {
        0 => Ok(CHAIN_START),
        revision if revision == head.revision => Ok(head.hash),
        // What is compacted ends with a batch, which has the hash of its last change.
        revision if revision == branch.compaction().limit => {
            Ok(reader.batch(number_of(branch, revision).await?).await?.hash)
        }
        revision => Ok(reader.at_revision(revision).await?.hash),
    }
}

/// The number of the batch that holds `revision`.
pub(crate) async fn number_of(branch: &Branch, revision: u64) -> Result<u64> {
    let number = branch.store().number_of(branch.log, revision).await;
    let number = number.map_err(|error| from_store(error, &branch.address))?;
    number.ok_or_else(|| crate::branch::broken_chain(&branch.address, 0))
}

/// Reads changes by where they stand, a piece of a batch at a time.
pub(crate) struct EntryReader<'a> {
    branch: &'a Branch,
    packs: PackReader<'a>,
    batch: Option<(u64, BatchRecord)>,
    piece: Option<(u64, usize, Vec<LoggedChange>)>,
    /// Of the branch that this one continues.
    before: Option<Box<EntryReader<'a>>>,
}

impl<'a> EntryReader<'a> {
    /// Nothing read yet.
    pub(crate) fn new(branch: &'a Branch) -> Self {
        let before =
            branch.parent.as_ref().map(|parent| Box::new(EntryReader::new(&parent.branch)));
        Self { branch, packs: branch.packs(), batch: None, piece: None, before }
    }

    /// What packs hold.
    pub(crate) fn packs(&mut self) -> &mut PackReader<'a> {
        &mut self.packs
    }

    /// The change at `index` of batch `number`.
    pub(crate) async fn entry(&mut self, number: u64, index: u32) -> Result<LoggedChange> {
        let (piece, before) = self.batch(number).await?.piece_of(index);
        let address = &self.branch.address;
        let entries = self.piece(number, piece).await?;
        let entry = entries.get((index - before) as usize).cloned();
        entry.ok_or_else(|| crate::branch::broken_chain(address, number))
    }

    /// The change at `revision`.
    pub(crate) async fn at_revision(&mut self, revision: u64) -> Result<LoggedChange> {
        if let Some((_, _, entries)) = &self.piece
            && let Some(entry) = entries.iter().find(|entry| entry.change.revision == revision)
        {
            return Ok(entry.clone());
        }
        if let (Some(parent), Some(before)) = (&self.branch.parent, &mut self.before)
            && revision <= parent.revision
        {
            let entry = Box::pin(before.at_revision(revision)).await?;
            // To its readers, what a branch continues is its own.
            let epoch = self.branch.head().epoch;
            let change = Change { epoch, ..Change::clone(&entry.change) };
            return Ok(LoggedChange { change: Arc::new(change), ..entry });
        }
        let limit = self.branch.compaction().limit;
        if revision <= limit {
            return Err(history_compacted(self.branch, revision.saturating_sub(1), limit));
        }
        if let Some(entry) = self.branch.entry_in_memory(revision) {
            return Ok(entry);
        }
        let number = number_of(self.branch, revision).await?;
        let first = self.batch(number).await?.first_revision;
        self.entry(number, revision.saturating_sub(first) as u32).await
    }

    /// What batch `number` says.
    pub(crate) async fn batch(&mut self, number: u64) -> Result<&BatchRecord> {
        let branch = self.branch;
        if self.batch.as_ref().is_none_or(|(known, _)| *known != number) {
            let batches: Vec<LogEntry> = branch
                .store()
                .read(branch.log, number, 1)
                .await
                .map_err(|error| from_store(error, &branch.address))?;
            let log_entry = batches
                .first()
                .ok_or_else(|| crate::branch::broken_chain(&branch.address, number))?;
            self.batch = Some((number, decode_batch(log_entry)?));
        }
        match &self.batch {
            Some((_, batch)) => Ok(batch),
            None => Err(crate::branch::broken_chain(&branch.address, number)),
        }
    }

    /// The changes of a piece of batch `number`, in order; none past the last piece.
    pub(crate) async fn piece(&mut self, number: u64, piece: usize) -> Result<&[LoggedChange]> {
        if self.piece.as_ref().is_none_or(|(known, at, _)| (*known, *at) != (number, piece)) {
            self.batch(number).await?;
            if let Some((_, batch)) = &self.batch {
                if batch.compacted().is_some() {
                    let limit = self.branch.compaction().limit;
                    return Err(history_compacted(self.branch, batch.first_revision - 1, limit));
                }
                let entries = batch.entries(piece, &mut self.packs).await?;
                self.piece = Some((number, piece, entries));
            }
        }
        Ok(self.piece.as_ref().map(|(_, _, entries)| entries.as_slice()).unwrap_or_default())
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
    let (written, tail) = branch.unwritten();
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
        let upto = revision.min(written);
        let oldest = branch.compaction().limit;
        let (from, to, rest) = (history_id(id, 0), history_id(id, upto), limit - revisions.len());
        let rows = whole_rows(branch, DocumentView::History, &from, &to, rest, upto).await?;
        let kept = rows.iter().map(|row| row.position.revision).filter(|at| *at > oldest);
        revisions.extend(kept);
    }
    if let Some(parent) = branch.parent.as_ref().filter(|_| revisions.len() < limit) {
        let (upto, rest) = (revision.min(parent.revision), limit - revisions.len());
        revisions.extend(Box::pin(changed_at(&parent.branch, id, upto, rest)).await?);
    }
    Ok(revisions)
}

/// Rows about `revision`, newest first, none of which was removed before they were read.
async fn whole_rows(
    branch: &Branch,
    kind: DocumentView,
    from: &[u8],
    to: &[u8],
    limit: usize,
    revision: u64,
) -> Result<Vec<View>> {
    loop {
        let checkpoint = branch.compaction().checkpoint;
        let rows = scan(branch, kind, from, to, limit).await?;
        match branch.check_rows(checkpoint.as_deref(), revision).await {
            Err(error) if branch.is_outdated(checkpoint.as_deref(), &error) => {}
            checked => return checked.map(|()| rows),
        }
    }
}

async fn scan(
    branch: &Branch,
    kind: DocumentView,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<View>> {
    let rows = branch.store().scan_reverse(branch.log, kind.kind(), from, to, limit).await;
    rows.map_err(|error| from_store(error, &branch.address))
}

/// The refusal of a state whose changes do not follow one another.
fn version_missing(branch: &Branch, change: &Change, version: u64) -> Error {
    let (id, revision) = (change.node_id, change.revision);
    Error::new(
        ErrorCode::Compacted,
        format!(
            "what node {id} of {} was before revision {revision} is no longer kept: read it anew \
             and go on from there",
            branch.address
        ),
    )
    .resource(&branch.address)
    .context(format!("version {} comes after version {version}", change.version))
}

/// A node as the part of the log that is in memory leaves it, at or before `revision`.
fn in_tail(branch: &Branch, revision: u64, id: NodeId) -> Option<Arc<Node>> {
    branch.find_in_tail(revision, |applied| (applied.node.id == id).then(|| applied.node.clone()))
}

/// The nodes that changes in memory, up to a revision, left at a path, newest first.
fn holders_in_tail(branch: &Branch, revision: u64, path: &NodePath) -> Vec<NodeId> {
    let mut holders = Vec::new();
    branch.find_in_tail::<()>(revision, |applied| {
        if applied.node.path == *path && !holders.contains(&applied.node.id) {
            holders.push(applied.node.id);
        }
        None
    });
    holders
}
