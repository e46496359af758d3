//! Events applied to cached nodes.

use vdom_core::ChangeKind::{Create, Delete, Rename, Update};
use vdom_core::Error;
use vdom_core::dom::diff::TextOperation;

use super::*;
use crate::cache::Missing;
use crate::fixtures::{EventBuilder, at, id, node, path};

const BRANCH: u64 = 1;

/// A cache that knows the first version of a node at `a`.
fn known() -> NodeCache {
    let cache = NodeCache::new(1 << 24);
    keep(&cache, node(1, "a", 1, b"one"), 1);
    cache
}

fn keep(cache: &NodeCache, node: Node, revision: u64) {
    let key = NodeKey::Path(node.path.clone());
    let cached = CachedNode::new(node, at(revision)).unwrap();
    cache.put(BRANCH, key, Slot::Node(Arc::new(cached)));
}

fn apply(cache: &NodeCache, event: EventBuilder) {
    let event = event.build();
    let left = event.change.change_set.map_or(0, |set| set.size - set.index - 1);
    to_cache(cache, BRANCH, &event, at(event.change.revision + u64::from(left)));
}

fn content_at(cache: &NodeCache, at_path: &str) -> Option<Bytes> {
    match cache.get(KeyRef::Path(BRANCH, at_path))? {
        Slot::Node(node) => Some(node.content()),
        _ => None,
    }
}

#[test]
fn a_put_brings_the_new_state_whole() {
    let cache = known();
    apply(&cache, EventBuilder::new(Update, 1, "a", 2).put(b"two"));
    let Some(Slot::Node(after)) = cache.get(KeyRef::Path(BRANCH, "a")) else {
        panic!("the node is known");
    };
    assert_eq!(after.content(), "two");
    assert_eq!(after.position(), at(2));
    let node = after.node();
    assert_eq!((node.version, node.changed_revision, node.timestamp_ms), (2, 2, 2_000));
    assert_eq!(node.attributes["mode"], "644", "attributes outlive a put");
}

#[test]
fn an_edit_is_applied_to_what_is_known() {
    let cache = known();
    let edit = Diff::text(&[TextOperation::Retain(3), TextOperation::Insert(" more".into())]);
    apply(&cache, EventBuilder::new(Update, 1, "a", 2).diff(edit));
    assert_eq!(content_at(&cache, "a").as_deref(), Some(&b"one more"[..]));
}

#[test]
fn what_the_event_does_not_tell_is_no_longer_known() {
    let omitted = || EventBuilder::new(Update, 1, "a", 2);
    let edit = Diff::text(&[TextOperation::Delete(99)]);
    let skipped = || EventBuilder::new(Update, 1, "a", 2).put(b"three").version(3);
    for event in [omitted(), omitted().diff(edit), skipped(), EventBuilder::new(Delete, 1, "a", 2)]
    {
        let cache = known();
        apply(&cache, event);
        assert!(cache.get(KeyRef::Path(BRANCH, "a")).is_none());
    }
}

#[test]
fn a_change_that_was_seen_already_changes_nothing() {
    let cache = NodeCache::new(1 << 20);
    keep(&cache, node(1, "a", 3, b"three"), 5);
    apply(&cache, EventBuilder::new(Update, 1, "a", 4).put(b"two"));
    assert_eq!(content_at(&cache, "a").as_deref(), Some(&b"three"[..]));
}

#[test]
fn nodes_that_nobody_reads_stay_out() {
    let cache = known();
    apply(&cache, EventBuilder::new(Create, 2, "b", 2).put(b"new"));
    assert!(cache.get(KeyRef::Path(BRANCH, "b")).is_none());
}

#[test]
fn a_creation_ends_that_nothing_is_there() {
    let cache = NodeCache::new(1 << 20);
    let missing = Missing { error: Error::not_found("no node"), position: at(1) };
    cache.put(BRANCH, NodeKey::Path(path("b")), Slot::Missing(Arc::new(missing)));
    apply(&cache, EventBuilder::new(Create, 2, "b", 2).put(b"new"));
    assert_eq!(content_at(&cache, "b").as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_rename_takes_what_is_known_along() {
    let cache = known();
    let to = Diff::rename(&path("b"), None);
    apply(&cache, EventBuilder::new(Rename, 1, "b", 2).from("a").diff(to));
    assert_eq!(content_at(&cache, "a"), None);
    assert_eq!(content_at(&cache, "b").as_deref(), Some(&b"one"[..]));
    assert!(matches!(cache.find(KeyRef::Id(BRANCH, id(1))), Some(Slot::Node(_))));
}

#[test]
fn two_nodes_that_swap_paths_in_a_change_set_are_not_confused() {
    let cache = known();
    keep(&cache, node(2, "b", 1, b"other"), 1);
    let rename = |number, from: &str, to: &str, revision, index| {
        let diff = Diff::rename(&path(to), None);
        EventBuilder::new(Rename, number, to, revision).from(from).diff(diff).in_set(index, 2)
    };
    apply(&cache, rename(1, "a", "b", 2, 0));
    apply(&cache, rename(2, "b", "a", 3, 1));
    assert_eq!(content_at(&cache, "b").as_deref(), Some(&b"one"[..]));
    assert_eq!(content_at(&cache, "a"), None, "what was there was overwritten before it moved");
}
