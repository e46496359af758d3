//! `ExplainConflict`: what a kept conflict is about as things stand now.

use bytes::Bytes;
use vdom_core::dom::calls::{ConflictExplanation, ExplainConflict, HistoryPage, MergePreview};
use vdom_core::limits::EXPLAINED_CHANGES_MAX;
use vdom_core::{Diff, Result};

use crate::branch::point_in_time::EntryReader;
use crate::records::event;
use crate::verbs::conflicts::stored;
use crate::verbs::history;
use crate::writer::merge::{MergeAttempt, merge_base, try_merge};
use crate::writer::{BranchHandle, is_of_diff, open_conflict};

pub(crate) async fn explain(
    handle: &BranchHandle,
    request: &ExplainConflict,
) -> Result<ConflictExplanation> {
    handle.at_newest(|| explained(handle, request)).await
}

async fn explained(
    handle: &BranchHandle,
    request: &ExplainConflict,
) -> Result<ConflictExplanation> {
    let branch = &*handle.branch;
    let kept = open_conflict(branch, request.id).await?;
    let (id, clock) = (kept.node_id, kept.clock.clone());
    let diff = Diff::parse_stored(&Bytes::copy_from_slice(&kept.diff))?;
    let stored = stored(branch, kept).await?;
    let head = branch.head();
    let current = branch.node(id).await?;
    let base = match &current {
        Some(node) => merge_base(branch, node, &clock).await?,
        None => None,
    };
    let merge = match current.as_ref().filter(|node| node.live) {
        None => MergePreview::Impossible,
        Some(node) => match try_merge(branch, base.as_deref(), node, &diff).await {
            Ok(MergeAttempt::Clean(_)) => MergePreview::Clean,
            Ok(MergeAttempt::Conflicting(hunks)) => MergePreview::Conflicting(hunks),
            Ok(MergeAttempt::BaseMissing) => MergePreview::Impossible,
            Err(error) if is_of_diff(&error) => MergePreview::Impossible,
            Err(error) => return Err(error),
        },
    };
    let seen = base.map_or(0, |base| base.changed_revision);
    let limit = EXPLAINED_CHANGES_MAX as usize;
    let mut revisions = history::revisions_of_node(branch, id, head.revision, limit + 1).await?;
    revisions.retain(|revision| *revision > seen);
    let mut changes = Vec::with_capacity(limit.min(revisions.len()));
    let (mut reader, mut packs) = (EntryReader::new(branch), branch.packs());
    for revision in revisions.iter().take(limit) {
        changes.push(event(&reader.at_revision(*revision).await?, false, &mut packs).await?);
    }
    let last = changes.last().filter(|_| revisions.len() > limit);
    let unseen = HistoryPage {
        next_before_revision: last.map(|event| event.change.revision),
        changes,
        epoch: head.epoch,
        revision: head.revision,
    };
    Ok(ConflictExplanation { stored, unseen, merge })
}
