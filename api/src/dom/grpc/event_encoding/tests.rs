//! What is written from a stored change is what `encode` makes of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use vdom_core::dom::calls::ChangeEvent;
use vdom_core::dom::events::StoredChange;
use vdom_core::{
    Change, ChangeKind, ChangeSetHeader, ChangeSetPosition, Hash, NodeId, NodeKind, NodePath,
    Operation, OperationId, VectorClock,
};

use super::*;

fn address() -> BranchAddress {
    BranchAddress::parse("acme", "vdom", "feature/x").expect("an address")
}

fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{0,3}", "[ -~ü]{0,80}", 0..4)
}

fn paths() -> impl Strategy<Value = NodePath> {
    "[a-z]{1,8}(/[a-zü]{1,60}){0,3}".prop_map(|path| NodePath::parse(&path).expect("a path"))
}

fn clocks() -> impl Strategy<Value = VectorClock> {
    btree_map("[a-z]{1,6}", 1..=u64::MAX, 0..30)
        .prop_map(|entries| VectorClock::from_entries(entries).expect("a clock"))
}

fn kinds() -> impl Strategy<Value = (ChangeKind, NodeKind)> {
    use ChangeKind::{Create, Delete, Rename, Update};
    use NodeKind::{File, Intent, Meta};
    let changes = prop::sample::select(vec![Create, Update, Delete, Rename]);
    (changes, prop::sample::select(vec![File, Intent, Meta]))
}

fn positions() -> impl Strategy<Value = ChangeSetPosition> {
    (any::<[u8; 16]>(), any::<u32>(), any::<u32>())
        .prop_map(|(id, index, size)| ChangeSetPosition { id: OperationId(id), index, size })
}

prop_compose! {
    fn changes()(
        (kind, node_kind) in kinds(),
        (path, old_path) in (paths(), option::of(paths())),
        (epoch, revision, version) in any::<(u64, u64, u64)>(),
        (clock, metadata) in (clocks(), words()),
        (actor, author, message) in ("[a-z]{0,9}", "[a-z]{0,9}", "[ -~]{0,300}"),
        (timestamp_ms, authored_at_ms) in any::<(i64, Option<i64>)>(),
        operation in option::of(any::<[u8; 16]>()),
        change_set in option::of(positions()),
        node_id in any::<[u8; 16]>(),
    ) -> Change {
        Change {
            epoch,
            revision,
            previous: Hash([1; 32]),
            diff_hash: Hash([2; 32]),
            diff_length: 4,
            node_id: NodeId(node_id),
            node_kind,
            kind,
            path,
            old_path,
            version,
            clock,
            actor,
            author,
            subject: "subject".to_owned(),
            message,
            metadata,
            timestamp_ms,
            authored_at_ms,
            operation: operation.map(|id| Operation { id: OperationId(id), request: Hash([3; 32]) }),
            change_set,
            data_subject: Some("subject".to_owned()),
            encryption: None,
            merged: true,
            set_header: None,
        }
    }
}

proptest! {
    #[test]
    fn a_stored_change_is_written_as_its_event(
        change in changes(),
        set in option::of(("[a-z]{0,9}", words())),
        diff in option::of(prop::collection::vec(any::<u8>(), 0..3_000)),
        hash in any::<[u8; 32]>(),
        shown_epoch in any::<u64>(),
    ) {
        let set = set.map(|(message, metadata)| Arc::new(ChangeSetHeader { message, metadata }));
        let (hash, diff) = (Hash(hash), diff.map(Bytes::from));
        let stored = BatchEvent::Stored(StoredChange {
            record: change.encode().into(),
            revision: change.revision,
            change_set: change.change_set,
            epoch: shown_epoch,
            set: set.clone(),
            hash,
            diff: diff.clone(),
        });
        let shown = Arc::new(Change { epoch: shown_epoch, ..change });
        let event = BatchEvent::Change(ChangeEvent { change: shown, set, hash, diff });
        prop_assert_eq!(stored.to_event(), event.to_event());
        for frames in [EventEncoding::Plain, EventEncoding::Gzip, EventEncoding::Zstd] {
            // What stands there already stays.
            let (mut from_stored, mut from_event) = (b"a".to_vec(), b"a".to_vec());
            frames.put_event(&address(), &stored, &mut from_stored).expect("encoded");
            frames.put_event(&address(), &event, &mut from_event).expect("encoded");
            prop_assert_eq!(&from_stored, &from_event);
            let message = encode::event(event.to_event().expect("read"), &address());
            let message = message.encode_to_vec();
            prop_assert_eq!(opened(frames, &from_stored[1..]), message);
        }
    }
}

#[test]
fn only_what_is_large_is_compressed() {
    for (size, compressed) in [(COMPRESS_ABOVE_BYTES, 0), (COMPRESS_ABOVE_BYTES + 1, 1)] {
        for (frames, flag) in [(EventEncoding::Plain, 0), (EventEncoding::Gzip, compressed)] {
            let mut out = Vec::new();
            let put = |out: &mut Vec<u8>| {
                out.put_bytes(7, size);
                Ok(())
            };
            frames.put(&mut out, put).expect("encoded");
            assert_eq!(out[0], flag, "{frames:?} {size}");
            assert_eq!(opened(frames, &out), vec![7; size]);
        }
    }
    // Noise does not get smaller.
    let mut noise = vec![0; 4_096];
    let mut state = 1_u32;
    noise.fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>| {
        out.put_slice(&noise);
        Ok(())
    };
    EventEncoding::Zstd.put(&mut out, put).expect("encoded");
    assert_eq!(out[0], 0);
}

#[test]
fn the_first_known_encoding_of_a_peer_is_taken() {
    let accepted = |names: Option<&'static str>, compression| {
        let headers = names.map(|names| (ACCEPTED, names)).into_iter();
        let headers = headers.map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        EventEncoding::accepted(&headers.collect(), compression)
    };
    let at_will = Compression::WhereAccepted;
    assert_eq!(accepted(None, at_will), EventEncoding::Plain);
    assert_eq!(accepted(Some("identity"), at_will), EventEncoding::Plain);
    assert_eq!(accepted(Some("identity,deflate, zstd,gzip"), at_will), EventEncoding::Zstd);
    assert_eq!(accepted(Some("gzip"), at_will), EventEncoding::Gzip);
    assert_eq!(accepted(Some("gzip"), Compression::Never), EventEncoding::Plain);
}

/// The message of a frame.
fn opened(frames: EventEncoding, mut frame: &[u8]) -> Vec<u8> {
    let flag = frame.get_u8();
    assert_eq!(frame.get_u32() as usize, frame.len());
    let mut message = Vec::new();
    match (flag, frames) {
        (0, _) => message.extend(frame),
        (1, EventEncoding::Gzip) => {
            flate2::read::GzDecoder::new(frame).read_to_end(&mut message).expect("gzip");
        }
        (1, EventEncoding::Zstd) => message = zstd::stream::decode_all(frame).expect("zstd"),
        _ => panic!("{frames:?} with flag {flag}"),
    }
    message
}
