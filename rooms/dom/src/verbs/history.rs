//! `GetHistory`: the changes of a node, or of a branch, newest first.

use vdom_core::dom::calls::{ChangeEvent, GetHistory, HistoryPage, NodeSelector};
use vdom_core::limits::HISTORY_PAGE_MAX_CHANGES;
use vdom_core::{NodeId, Result};

use crate::branch::Branch;
use crate::branch::point_in_time::{
    EntryReader, changed_at, last_at, node_at_revision, path_at_revision,
};
use crate::records::{LoggedChange, event};
use crate::verbs::read_snapshot::no_such_node;
use crate::writer::BranchHandle;

/// How many bytes of diffs an answer takes before it ends early.
const PAGE_DIFFS_MAX_BYTES: usize = 2 << 20;

pub(crate) async fn list(handle: &BranchHandle, request: &GetHistory) -> Result<HistoryPage> {
    match request.before_revision {
        None => handle.at_newest(|| page(handle, request)).await,
        Some(_) => page(handle, request).await,
    }
}

async fn page(handle: &BranchHandle, request: &GetHistory) -> Result<HistoryPage> {
    let branch = &*handle.branch;
    let head = branch.head();
    let newest = request
        .before_revision
        .map_or(head.revision, |before| before.saturating_sub(1).min(head.revision));
    let limit = request.limit.clamp(1, HISTORY_PAGE_MAX_CHANGES) as usize;
    // One more than asked for tells whether there are older ones.
    let entries = match &request.node {
        None => of_branch(branch, newest, limit + 1).await?,
        Some(selector) => {
            let id = node_id(branch, selector, newest, head.revision).await?;
            of_node(branch, id, newest, limit + 1).await?
        }
    };
    let mut changes = Vec::with_capacity(limit.min(entries.len()));
    let mut bytes = 0;
    let mut packs = branch.packs();
    for entry in entries.iter().take(limit) {
        let event = event(entry, request.include_diffs, &mut packs).await?;
        let size = event.diff.as_ref().map_or(0, bytes::Bytes::len);
        if !changes.is_empty() && bytes + size > PAGE_DIFFS_MAX_BYTES {
            break;
        }
        bytes += size;
        changes.push(event);
    }
    let next_before_revision = changes
        .last()
        .filter(|_| entries.len() > changes.len())
        .map(|event: &ChangeEvent| event.change.revision);
    Ok(HistoryPage { changes, next_before_revision, epoch: head.epoch, revision: head.revision })
}

/// The node that is named: by its path, also where it was before it was deleted.
async fn node_id(
    branch: &Branch,
    selector: &NodeSelector,
    newest: u64,
    head: u64,
) -> Result<NodeId> {
    let path = match selector {
        NodeSelector::Id(id) => return Ok(*id),
        NodeSelector::Path(path) => path,
    };
    let now = match branch.node_at(path).await? {
        // The views may have more than the log as this gateway knows it.
        Some(node) if node.changed_revision > head => path_at_revision(branch, path, head).await?,
        found => found,
    };
    if let Some(node) = now {
        return Ok(node.id);
    }
    match path_at_revision(branch, path, newest).await? {
        Some(node) => Ok(node.id),
        None => last_at(branch, path, newest)
            .await?
            .ok_or_else(|| no_such_node(branch, selector, newest)),
    }
}

pub(super) async fn of_node(
    branch: &Branch,
    id: NodeId,
    newest: u64,
    limit: usize,
) -> Result<Vec<LoggedChange>> {
    let mut reader = EntryReader::new(branch);
    let mut entries = Vec::new();
    for revision in changed_at(branch, id, newest, limit).await? {
        entries.push(reader.at_revision(revision).await?);
    }
    if entries.is_empty() && !exists(branch, id).await? {
        return Err(no_such_node(branch, &NodeSelector::Id(id), newest));
    }
    Ok(entries)
}

/// Whether a node is known as of the head, live or not.
async fn exists(branch: &Branch, id: NodeId) -> Result<bool> {
    let head = branch.head().revision;
    match branch.node(id).await? {
        Some(node) if node.changed_revision > head => {
            Ok(node_at_revision(branch, id, head).await?.is_some())
        }
        found => Ok(found.is_some()),
    }
}

async fn of_branch(branch: &Branch, newest: u64, limit: usize) -> Result<Vec<LoggedChange>> {
    let mut reader = EntryReader::new(branch);
    let oldest = newest.saturating_sub(limit as u64).max(branch.oldest_revision()) + 1;
    let mut entries = Vec::new();
    for revision in (oldest..=newest).rev() {
        entries.push(reader.at_revision(revision).await?);
    }
    Ok(entries)
}
