//! `on_conflict = MERGE`: what the writer made of what it had seen, and what stands
//! there now, made one.

use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::ConflictHunk;
use vdom_core::dom::diff;
use vdom_core::dom::diff::NewContent;
use vdom_core::dom::merge::{Merged, merge, merge_attributes};
use vdom_core::limits::MERGE_MAX_BYTES;
use vdom_core::{Content, Diff, Error, ErrorCode, Node, NodeKind, Result, VectorClock};

use crate::branch::Branch;
use crate::branch::point_in_time::node_with_clock;
use crate::content;

/// Contents of so many bytes together are merged where they are asked for.
const IN_PLACE_MAX_BYTES: usize = 64 << 10;

/// What trying to merge comes to.
#[derive(Debug)]
pub(crate) enum MergeAttempt {
    /// The node as both writers want it, its merged content at hand.
    Clean(Box<Node>),
    /// Where they disagree; nothing is said of what has no places, such as two paths.
    Conflicting(Vec<ConflictHunk>),
    /// What the writer had seen is no longer known.
    BaseMissing,
}

/// The version of a node that a writer with exactly this clock had seen.
pub(crate) async fn merge_base(
    branch: &Branch,
    node: &Node,
    clock: &VectorClock,
) -> Result<Option<Arc<Node>>> {
    // What is staged is newer than anything that the writer can have seen.
    let Some(published) = branch.node(node.id).await? else { return Ok(None) };
    if published.clock == *clock {
        return Ok(Some(published));
    }
    match node_with_clock(branch, &published, clock).await {
        // It was compacted on the way: the checkpoint may have it, or nothing has.
        Err(error) if error.code == ErrorCode::Compacted => {
            match node_with_clock(branch, &published, clock).await {
                Err(error) if error.code == ErrorCode::Compacted => Ok(None),
                found => found,
            }
        }
        found => found,
    }
}

/// Tries to merge a diff that was made of `base` into `current`.
pub(crate) async fn try_merge(
    branch: &Branch,
    base: Option<&Node>,
    current: &Node,
    diff: &Diff,
) -> Result<MergeAttempt> {
    let Some(base) = base.filter(|base| base.live) else {
        return Ok(MergeAttempt::BaseMissing);
    };
    let sizes = [&base.content, &current.content].map(Content::len);
    if sizes.into_iter().any(|size| size > MERGE_MAX_BYTES) && base.content != current.content {
        return Ok(MergeAttempt::Conflicting(Vec::new()));
    }
    let load = |node: &Node| {
        let content = node.content.clone();
        async move { content::load(branch.store(), &branch.address, &content).await }
    };
    let old = if diff.needs_content() { load(base).await? } else { Bytes::new() };
    let made = diff::apply(diff, current.kind, &old, &base.attributes)?;
    if made.deleted {
        return Ok(MergeAttempt::Conflicting(Vec::new()));
    }
    let wanted = made.path.as_ref().unwrap_or(&base.path);
    let path = if *wanted == base.path {
        &current.path
    } else if current.path == base.path || current.path == *wanted {
        wanted
    } else {
        return Ok(MergeAttempt::Conflicting(Vec::new()));
    };
    let attributes = match &made.attributes {
        None => current.attributes.clone(),
        Some(attributes) => {
            match merge_attributes(&base.attributes, &current.attributes, attributes) {
                Merged::Clean(attributes) => attributes,
                Merged::Conflicting(hunks) => return Ok(MergeAttempt::Conflicting(hunks)),
            }
        }
    };
    let content = match made.content {
        NewContent::Unchanged => current.content.clone(),
        NewContent::Chunks(chunks) if base.content == current.content => Content::Chunked(chunks),
        NewContent::Chunks(_) => return Ok(MergeAttempt::Conflicting(Vec::new())),
        NewContent::Bytes(proposed) => {
            let (base, standing) = (load(base).await?, load(current).await?);
            match merge_apart(current.kind, base, standing, proposed).await? {
                Merged::Clean(bytes) => Content::Inline(bytes),
                Merged::Conflicting(hunks) => return Ok(MergeAttempt::Conflicting(hunks)),
            }
        }
    };
    let path = path.clone();
    Ok(MergeAttempt::Clean(Box::new(Node { path, attributes, content, ..current.clone() })))
}

/// Merges contents; large ones where that delays nobody else.
async fn merge_apart(
    kind: NodeKind,
    base: Bytes,
    current: Bytes,
    proposed: Bytes,
) -> Result<Merged<Bytes>> {
    if base.len() + current.len() + proposed.len() <= IN_PLACE_MAX_BYTES {
        return merge(kind, &base, &current, &proposed);
    }
    let merging = tokio::task::spawn_blocking(move || merge(kind, &base, &current, &proposed));
    merging.await.map_err(Error::internal)?
}
