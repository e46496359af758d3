//! What a change does to what is known of its node: the new state where the
//! event tells it whole, else nothing is known any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::ChangeEvent;
use vdom_core::dom::diff::{Diff, NewContent};
use vdom_core::{Change, ChangeKind, Content, Node, NodePath};

use crate::cache::{CachedNode, KeyRef, NodeCache, NodeKey, Position, Slot};

/// Applies a change to a branch's part of the cache. `at` is the end of what was
/// accepted as one with it.
pub(crate) fn to_cache(cache: &NodeCache, branch: u64, event: &ChangeEvent, at: Position) {
    let change = &*event.change;
    let before = node_at(cache, branch, change.old_path.as_ref().unwrap_or(&change.path), change);
    let here = KeyRef::Path(branch, change.path.as_str());
    let there = cache.get(here);
    // Whoever loaded it since has seen the change already.
    let is_known = there.as_ref().and_then(Slot::position).is_some_and(|position| position >= at);

    if let Some(old_path) = &change.old_path {
        // Another node may be there by now, where a change set swaps paths.
        if before.is_some() || !holds_node(cache, branch, old_path) {
            cache.remove(KeyRef::Path(branch, old_path.as_str()));
        }
        if before.is_some() {
            let hint = Slot::PathHint(change.path.clone());
            cache.put(branch, NodeKey::Id(change.node_id), hint);
        }
    }
    if is_known {
        return;
    }
    // Nodes that nobody here reads stay out of memory.
    let is_wanted = there.is_some() || (change.old_path.is_some() && before.is_some());
    let after = is_wanted.then(|| node_after(event, before.as_deref())).flatten();
    match after.and_then(|node| CachedNode::new(node, at)) {
        Some(node) => {
            let path = NodeKey::Path(change.path.clone());
            cache.put(branch, path, Slot::Node(Arc::new(node)));
        }
        None => cache.remove(here),
    }
}

/// The changed node as it is known at `path`.
fn node_at(
    cache: &NodeCache,
    branch: u64,
    path: &NodePath,
    change: &Change,
) -> Option<Arc<CachedNode>> {
    match cache.get(KeyRef::Path(branch, path.as_str()))? {
        Slot::Node(node) if node.node().id == change.node_id => Some(node),
        _ => None,
    }
}

fn holds_node(cache: &NodeCache, branch: u64, path: &NodePath) -> bool {
    matches!(cache.get(KeyRef::Path(branch, path.as_str())), Some(Slot::Node(_)))
}

/// The node after a change, where the event and the state before tell it.
fn node_after(event: &ChangeEvent, before: Option<&CachedNode>) -> Option<Node> {
    let change = &*event.change;
    if change.kind == ChangeKind::Delete {
        return None;
    }
    let is_next = match before {
        Some(before) => before.node().version + 1 == change.version,
        None => change.kind == ChangeKind::Create,
    };
    let diff = Diff::parse(event.diff.as_ref()?).ok().filter(|_| is_next)?;
    let no_attributes = BTreeMap::new();
    let (content, attributes) = match before {
        Some(before) => (before.content(), &before.node().attributes),
        None if diff.creates() => (Bytes::new(), &no_attributes),
        None => return None,
    };
    let applied =
        vdom_core::dom::diff::apply(&diff, change.node_kind, &content, attributes).ok()?;
    let content = match applied.content {
        NewContent::Unchanged => content,
        NewContent::Bytes(bytes) => bytes,
        NewContent::Chunks(_) => return None,
    };
    Some(Node {
        id: change.node_id,
        path: change.path.clone(),
        kind: change.node_kind,
        live: true,
        version: change.version,
        clock: change.clock.clone(),
        last_used: BTreeMap::new(),
        content: Content::Inline(content),
        attributes: applied.attributes.unwrap_or_else(|| attributes.clone()),
        author: change.author.clone(),
        timestamp_ms: change.timestamp_ms,
        metadata: change.metadata.clone(),
        epoch: change.epoch,
        changed_revision: change.revision,
    })
}

#[cfg(test)]
mod tests;
