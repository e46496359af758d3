//! The cache: bounded, and only ever forward.

use prost::Message;
use vdom_proto::v1 as wire;

use super::*;
use crate::fixtures::{at, id, node, path};

fn slot(number: u8, at_path: &str, revision: u64, content: &[u8]) -> Slot {
    let cached = CachedNode::new(node(number, at_path, 1, content), at(revision)).unwrap();
    Slot::Node(Arc::new(cached))
}

fn content_at(cache: &NodeCache, key: KeyRef<'_>) -> Option<Bytes> {
    match cache.find(key)? {
        Slot::Node(node) => Some(node.content()),
        _ => None,
    }
}

#[test]
fn an_entry_moves_only_forward() {
    let cache = NodeCache::new(1 << 20);
    let (key, there) = (|| NodeKey::Path(path("a")), KeyRef::Path(1, "a"));
    cache.put(1, key(), slot(1, "a", 5, b"five"));
    cache.put(1, key(), slot(1, "a", 4, b"four"));
    assert_eq!(content_at(&cache, there).as_deref(), Some(&b"five"[..]));
    cache.put(1, key(), slot(1, "a", 6, b"six"));
    assert_eq!(content_at(&cache, there).as_deref(), Some(&b"six"[..]));
}

#[test]
fn an_id_leads_only_to_its_own_node() {
    let cache = NodeCache::new(1 << 20);
    cache.put(1, NodeKey::Id(id(1)), Slot::PathHint(path("a")));
    assert!(cache.find(KeyRef::Id(1, id(1))).is_none(), "nothing is known at the path");
    cache.put(1, NodeKey::Path(path("a")), slot(1, "a", 5, b"one"));
    assert_eq!(content_at(&cache, KeyRef::Id(1, id(1))).as_deref(), Some(&b"one"[..]));
    cache.put(1, NodeKey::Path(path("a")), slot(2, "a", 6, b"two"));
    assert!(cache.find(KeyRef::Id(1, id(1))).is_none(), "another node is there now");
}

#[test]
fn a_branch_goes_alone_and_wholly() {
    let cache = NodeCache::new(1 << 20);
    cache.put(1, NodeKey::Path(path("a")), slot(1, "a", 5, b"one"));
    cache.put(2, NodeKey::Path(path("a")), slot(1, "a", 5, b"two"));
    cache.remove_branch(1);
    assert!(cache.get(KeyRef::Path(1, "a")).is_none());
    assert_eq!(content_at(&cache, KeyRef::Path(2, "a")).as_deref(), Some(&b"two"[..]));
    assert_eq!(cache.figures().entries, 1);
}

#[test]
fn the_cache_stays_below_its_cap() {
    let max_bytes = 64 << 10;
    let cache = NodeCache::new(max_bytes);
    for number in 0..200 {
        let name = format!("file-{number}");
        cache.put(1, NodeKey::Path(path(&name)), slot(1, &name, 5, &[0; 1_024]));
    }
    let figures = cache.figures();
    assert!(figures.bytes <= max_bytes, "{figures:?}");
    assert!(figures.entries > 10, "{figures:?}");
}

#[test]
fn a_large_content_is_not_kept() {
    let content = vec![0; CACHED_CONTENT_MAX_BYTES + 1];
    assert!(CachedNode::new(node(1, "a", 1, &content), at(5)).is_none());
}

#[test]
fn the_prepared_part_of_an_answer_is_the_answer_but_for_what_changes() {
    for length in [0, 4, 300, 70_000] {
        let content = vec![7; length];
        let original = node(1, "src/a.rs", 3, &content);
        let cached = CachedNode::new(original.clone(), at(5)).unwrap();
        assert_eq!(*cached.node(), original);
        let answer = wire::ReadSnapshotResponse::decode(cached.constant().clone()).unwrap();
        assert_eq!(answer.content, content);
        assert_eq!((answer.revision, answer.freshness), (0, None));
        assert_eq!((answer.version, answer.path.as_str()), (3, "src/a.rs"));
        assert_eq!(answer.attributes["mode"], "644");
    }
}
