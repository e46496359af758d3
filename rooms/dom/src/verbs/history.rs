//! `GetHistory`: the changes of a node, or of a branch, newest first.

use std::collections::BTreeMap;

use bytes::Bytes;
use vdom_core::dom::calls::{ChangeEvent, GetHistory, HistoryPage, NodeSelector};
use vdom_core::limits::HISTORY_PAGE_MAX_CHANGES;
use vdom_core::{NodeId, Result};

use crate::branch::Branch;
use crate::branch::point_in_time::{
    EntryReader, changed_at, last_at, node_at_revision, path_at_revision,
};
use crate::records::event;
use crate::verbs::read_snapshot::no_such_node;
use crate::writer::BranchHandle;

/// How many bytes of diffs, messages and metadata an answer takes before it ends early.
const PAGE_MAX_BYTES: usize = 2 << 20;

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
    let revisions = match &request.node {
        None => {
            let before = newest.saturating_sub(limit as u64 + 1).max(branch.oldest_revision());
            (before + 1..=newest).rev().collect()
        }
        Some(selector) => {
            let id = node_id(branch, selector, newest, head.revision).await?;
            revisions_of_node(branch, id, newest, limit + 1).await?
        }
    };
    let mut changes = Vec::new();
    let mut bytes = 0;
    let (mut reader, mut packs) = (EntryReader::new(branch), branch.packs());
    for revision in revisions.iter().take(limit) {
        let entry = reader.at_revision(*revision).await?;
        let event = event(&entry, request.include_diffs, &mut packs).await?;
        bytes += length(&event);
        if !changes.is_empty() && bytes > PAGE_MAX_BYTES {
            break;
        }
        changes.push(event);
    }
    let next_before_revision = changes
        .last()
        .filter(|_| revisions.len() > changes.len())
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

/// At which revisions a node changed, newest first; the newest ones.
pub(super) async fn revisions_of_node(
    branch: &Branch,
    id: NodeId,
    newest: u64,
    limit: usize,
) -> Result<Vec<u64>> {
    let revisions = changed_at(branch, id, newest, limit).await?;
    if revisions.is_empty() && !exists(branch, id).await? {
        return Err(no_such_node(branch, &NodeSelector::Id(id), newest));
    }
    Ok(revisions)
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

/// How many bytes an event brings that nothing else bounds.
fn length(event: &ChangeEvent) -> usize {
    let in_metadata = |metadata: &BTreeMap<String, String>| -> usize {
        metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
    };
    event.diff.as_ref().map_or(0, Bytes::len)
        + event.message().len()
        + in_metadata(&event.change.metadata)
        + event.set.as_ref().map_or(0, |set| in_metadata(&set.metadata))
}
