//! What is written by hand is what the generated code reads, and the other way round.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use vdom_core::dom::calls::{Freshness, Snapshot, Source};
use vdom_core::{Content, Node, NodeId, NodeKind, NodePath, VectorClock};
use vdom_proto::v1 as wire;

use super::*;
use crate::dom::convert::encode;

fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{0,3}", "[ -~ü]{0,80}", 0..4)
}

prop_compose! {
    fn nodes()(
        id in any::<[u8; 16]>(),
        path in "[a-z]{1,8}(/[a-zü]{1,60}){0,3}",
        kind in prop::sample::select(vec![NodeKind::File, NodeKind::Intent, NodeKind::Meta]),
        (version, epoch, changed_revision) in any::<(u64, u64, u64)>(),
        clock in btree_map("[a-z]{1,6}", 1..=u64::MAX, 0..30),
        content in vec(any::<u8>(), 0..20_000),
        (attributes, metadata) in (words(), words()),
        author in "[a-z]{0,9}",
        timestamp_ms in any::<i64>(),
    ) -> Node {
        Node {
            id: NodeId(id),
            path: NodePath::parse(&path).expect("a path"),
            kind,
            live: true,
            version,
            clock: VectorClock::from_entries(clock).expect("a clock"),
            last_used: BTreeMap::new(),
            content: Content::Inline(Bytes::from(content)),
            attributes,
            author,
            timestamp_ms,
            metadata,
            epoch,
            changed_revision,
        }
    }
}

prop_compose! {
    fn freshness()(
        (age_ms, stale) in any::<(u64, bool)>(),
        source in prop::sample::select(vec![Source::Store, Source::Cache]),
    ) -> Freshness {
        Freshness { age_ms, stale, source }
    }
}

prop_compose! {
    /// As clients send them, and as none would.
    fn requests()(
        node_id in prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..20)],
        (repo, branch, realm) in ("[ -~ü]{0,9}", "[ -~ü]{0,9}", "[ -~ü]{0,9}"),
        path in "([a-zü]{1,9}(/[a-z]{1,60})?)?",
        (revision, epoch) in (rarely(), rarely()),
        (min_revision, min_epoch) in (often(), often()),
        max_age_ms in option::of(often()),
        after_operation in prop_oneof![9 => Just(Vec::new()), 1 => vec(any::<u8>(), 16)],
    ) -> wire::ReadSnapshotRequest {
        wire::ReadSnapshotRequest {
            node_id: node_id.into(),
            repo,
            branch,
            path,
            revision,
            min_revision,
            min_epoch,
            realm,
            max_age_ms,
            epoch,
            after_operation: after_operation.into(),
        }
    }
}

fn often() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..300_u64, any::<u64>()]
}

fn rarely() -> impl Strategy<Value = u64> {
    prop_oneof![9 => Just(0), 1 => any::<u64>()]
}

/// The same by the generated code; `None` where no cache can answer.
fn expected(request: &wire::ReadSnapshotRequest) -> Option<CachedReadRequest<'_>> {
    let is_of_the_past = request.revision != 0 || request.epoch != 0;
    let names_one_node = request.node_id.is_empty() != request.path.is_empty();
    let is_cacheable = !is_of_the_past
        && names_one_node
        && request.after_operation.is_empty()
        && request.max_age_ms != Some(0);
    is_cacheable.then_some(CachedReadRequest {
        node_id: &request.node_id,
        realm: &request.realm,
        repo: &request.repo,
        branch: &request.branch,
        path: &request.path,
        min_revision: request.min_revision,
        min_epoch: request.min_epoch,
        max_age_ms: request.max_age_ms,
    })
}

proptest! {
    #[test]
    fn both_parts_of_an_answer_are_the_answer(
        node in nodes(),
        epoch in any::<u64>(),
        revision in any::<u64>(),
        freshness in freshness(),
    ) {
        let Content::Inline(content) = node.content.clone() else { unreachable!("inline") };
        let encoded = EncodedNode::new(node.clone(), epoch);
        prop_assert_eq!(&encoded.message[encoded.content.clone()], &content[..]);
        let mut state = Vec::new();
        put_read_state(revision, freshness, &mut state);
        prop_assert!(state.len() <= READ_STATE_MAX_BYTES, "{}", state.len());
        let whole = encode::snapshot(Snapshot { node, epoch, revision, freshness });
        for message in [[&state[..], &encoded.message].concat(), [&encoded.message, &state[..]].concat()] {
            prop_assert_eq!(&wire::ReadSnapshotResponse::decode(&message[..]).expect("read"), &whole);
        }
    }

    #[test]
    fn a_request_is_read_as_the_generated_code_reads_it(request in requests()) {
        let message = request.encode_to_vec();
        prop_assert_eq!(CachedReadRequest::decode(&message), expected(&request));
    }

    #[test]
    fn what_is_no_request_is_never_read_as_one(
        request in requests(),
        place in any::<prop::sample::Index>(),
        noise in vec(any::<u8>(), 0..24),
    ) {
        let mut message = request.encode_to_vec();
        let at = place.index(message.len() + 1);
        message.splice(at.., noise);
        if let Some(read) = CachedReadRequest::decode(&message) {
            let request = wire::ReadSnapshotRequest::decode(&message[..]).expect("readable");
            prop_assert_eq!(Some(read), expected(&request));
        }
    }
}

fn request() -> wire::ReadSnapshotRequest {
    wire::ReadSnapshotRequest {
        repo: "app".into(),
        branch: "main".into(),
        path: "src/lib.rs".into(),
        realm: "acme".into(),
        min_revision: 300,
        min_epoch: 1 << 40,
        max_age_ms: Some(1_000),
        ..Default::default()
    }
}

#[test]
fn a_request_is_read_as_it_was_written() {
    let bytes = request().encode_to_vec();
    let expected = CachedReadRequest {
        node_id: &[],
        realm: "acme",
        repo: "app",
        branch: "main",
        path: "src/lib.rs",
        min_revision: 300,
        min_epoch: 1 << 40,
        max_age_ms: Some(1_000),
    };
    assert_eq!(CachedReadRequest::decode(&bytes), Some(expected));
    for length in 0..bytes.len() {
        // Whatever breaks off is either refused or has fewer fields.
        assert_ne!(CachedReadRequest::decode(&bytes[..length]), Some(expected));
    }
}

#[test]
fn what_memory_cannot_answer_is_left_alone() {
    let changes: [fn(&mut wire::ReadSnapshotRequest); 6] = [
        |request| request.revision = 5,
        |request| request.epoch = 5,
        |request| request.after_operation = vec![1; 16].into(),
        |request| request.max_age_ms = Some(0),
        |request| request.node_id = vec![1; 16].into(),
        |request| request.path.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut request = request();
        change(&mut request);
        assert_eq!(CachedReadRequest::decode(&request.encode_to_vec()), None, "change {number}");
    }
    assert_eq!(CachedReadRequest::decode(&[0xff; 12]), None, "a number without an end");
    assert_eq!(CachedReadRequest::decode(&[0x22, 2, 0xff, 0xfe]), None, "text that is none");
}

#[test]
fn the_changing_bytes_fit_and_decode() {
    for (revision, age_ms, stale) in [(0, 0, false), (u64::MAX, u64::MAX, true)] {
        let mut bytes = Vec::new();
        put_read_state(revision, Freshness { age_ms, stale, source: Source::Cache }, &mut bytes);
        assert!(bytes.len() <= READ_STATE_MAX_BYTES, "{}", bytes.len());
        let answer = wire::ReadSnapshotResponse::decode(&bytes[..]).expect("read");
        assert_eq!(answer.revision, revision);
        let source = wire::freshness::Source::Cache.into();
        assert_eq!(answer.freshness, Some(wire::Freshness { age_ms, stale, source }));
    }
}
