//! Bringing a node back: the laws of reverts.

use proptest::prelude::*;

use super::*;
use crate::clock::VectorClock;
use crate::dom::diff::{NewContent, PutContent, apply};
use crate::dom::node::ContentChunk;
use crate::identifiers::{Hash, NodeId};
use crate::names::NodePath;

fn node(path: &str, content: Content, attributes: BTreeMap<String, String>, live: bool) -> Node {
    Node {
        id: NodeId([7; 16]),
        path: NodePath::parse(path).expect("a path"),
        kind: NodeKind::File,
        live,
        version: 1,
        clock: VectorClock::default(),
        last_used: BTreeMap::new(),
        content,
        attributes,
        author: String::new(),
        timestamp_ms: 0,
        metadata: BTreeMap::new(),
        epoch: 1,
        changed_revision: 1,
    }
}

fn file(path: &str, content: &'static str, mode: &str) -> Node {
    let attributes = [("mode".to_owned(), mode.to_owned())].into_iter().collect();
    node(path, Content::Inline(Bytes::from_static(content.as_bytes())), attributes, true)
}

/// The node after this diff as the gateway applies it.
fn after(found: Option<&Node>, diff: Option<&Bytes>, wanted: Option<&Node>) -> Option<Node> {
    let mut node = found.filter(|node| node.live).cloned();
    if let Some(diff) = diff {
        let diff = Diff::parse_stored(diff).expect("a diff");
        let mut changed = node.unwrap_or_else(|| {
            assert!(diff.creates());
            let path = wanted.expect("a node to create").path.as_str();
            self::node(path, Content::Inline(Bytes::new()), BTreeMap::new(), true)
        });
        let applied = apply(&diff, changed.kind, &Bytes::new(), &changed.attributes);
        let applied = applied.expect("applies");
        match applied.content {
            NewContent::Unchanged => {}
            NewContent::Bytes(bytes) => changed.content = Content::Inline(bytes),
            NewContent::Chunks(chunks) => changed.content = Content::Chunked(chunks),
        }
        changed.attributes = applied.attributes.unwrap_or(changed.attributes);
        changed.path = applied.path.unwrap_or(changed.path);
        node = (!applied.deleted).then_some(changed);
    }
    node
}

/// The kinds of the diff and of what it brings, from the outside in.
fn kinds(found: Option<&Node>, wanted: Option<&Node>) -> Vec<&'static str> {
    let diff = Diff::restore(found, wanted).expect("a diff");
    let mut next = diff.map(|diff| Diff::parse_stored(&diff).expect("a diff"));
    let mut kinds = Vec::new();
    while let Some(diff) = next {
        kinds.push(diff.kind_name());
        next = match diff {
            Diff::Rename { then, .. } | Diff::Attributes { then, .. } => then.map(|then| *then),
            _ => None,
        };
    }
    kinds
}

#[test]
fn only_what_differs_is_restored() {
    let old = file("a", "one", "644");
    assert_eq!(kinds(Some(&old), Some(&old)), [""; 0]);
    assert_eq!(kinds(Some(&file("a", "two", "644")), Some(&old)), ["put"]);
    assert_eq!(kinds(Some(&file("a", "one", "755")), Some(&old)), ["attr"]);
    assert_eq!(kinds(Some(&file("b", "one", "644")), Some(&old)), ["rename"]);
    assert_eq!(kinds(Some(&file("b", "one", "755")), Some(&old)), ["rename", "attr"]);
    assert_eq!(kinds(Some(&file("b", "two", "755")), Some(&old)), ["rename", "attr", "put"]);
}

#[test]
fn what_did_not_exist_is_deleted_and_what_was_deleted_created() {
    let old = file("a", "one", "644");
    let tombstone = Node { live: false, ..old.clone() };
    assert_eq!(kinds(Some(&old), None), ["delete"]);
    assert_eq!(kinds(Some(&old), Some(&tombstone)), ["delete"]);
    assert_eq!(kinds(Some(&tombstone), Some(&old)), ["attr", "put"]);
    assert_eq!(kinds(None, Some(&tombstone)), [""; 0]);
}

#[test]
fn a_document_and_chunks_come_back_as_they_were() {
    let document = crate::document::EMPTY;
    let content = Content::Inline(Bytes::from_static(&[]));
    let mut old = node("a", content, BTreeMap::new(), true);
    old.kind = NodeKind::Meta;
    old.content = Content::Inline(Bytes::copy_from_slice(&document));
    let put = Diff::restore(None, Some(&old)).expect("diffs");
    assert_eq!(put, Some(Diff::put_document(&document)));
    let chunks = vec![ContentChunk { hash: Hash([1; 32]), length: 5 }];
    old.content = Content::Chunked(chunks.clone());
    let put = Diff::restore(None, Some(&old)).expect("diffs");
    let put = put.expect("a diff");
    assert_eq!(put, Diff::stored_document_chunks(&chunks));
    let read = Diff::parse_stored(&put).expect("stored");
    assert_eq!(read, Diff::Put(PutContent::DocumentChunks(chunks.clone())));
    old.kind = NodeKind::File;
    let put = Diff::restore(None, Some(&old)).expect("diffs");
    assert_eq!(put, Some(Diff::stored_chunks(&chunks)));
}

fn nodes() -> impl Strategy<Value = Option<Node>> {
    let content = prop_oneof![
        "[a-c]{0,3}".prop_map(|text| Content::Inline(Bytes::from(text))),
        (0..3u8).prop_map(|seed| {
            Content::Chunked(vec![ContentChunk { hash: Hash([seed; 32]), length: 9 }])
        }),
    ];
    let attributes = prop::collection::btree_map("[xyz]", "[01]", 0..3);
    let node = ("[ab]", content, attributes, prop::bool::weighted(0.8))
        .prop_map(|(path, content, attributes, live)| node(&path, content, attributes, live));
    prop::option::weighted(0.9, node)
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(1_000))]

    #[test]
    fn restoring_brings_back_and_restoring_again_undoes_that(old in nodes(), new in nodes()) {
        let [live_old, live_new] = [&old, &new].map(|node| node.as_ref().filter(|node| node.live));
        let back = Diff::restore(new.as_ref(), old.as_ref()).expect("diffs");
        let restored = after(new.as_ref(), back.as_ref(), old.as_ref());
        prop_assert_eq!(restored.as_ref(), live_old);
        let forth = Diff::restore(restored.as_ref(), new.as_ref()).expect("diffs");
        let undone = after(restored.as_ref(), forth.as_ref(), new.as_ref());
        prop_assert_eq!(undone.as_ref(), live_new);
    }
}
