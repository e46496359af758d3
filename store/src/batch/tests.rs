//! The stored form of a batch: what was written comes back, anything else is found out.

use bytes::Bytes;
use proptest::prelude::*;

use sha2::{Digest, Sha256};

use super::codec::digest_in;
use super::*;
use crate::chunk::ChunkId;
use crate::error::StoreErrorKind;
use crate::log::LogName;

fn any_batch() -> impl Strategy<Value = Batch> {
    let segments = proptest::collection::vec("[a-z/]{0,8}", 0..4);
    let name = ("[a-z]{1,8}", "[a-z]{0,4}", segments).prop_map(|(realm, room, mut segments)| {
        if room.is_empty() {
            segments.resize(2, String::new());
        }
        LogName { realm, room, segments }
    });
    let descriptor = proptest::option::of((name, 1..9_u64))
        .prop_map(|log| log.map(|(name, incarnation)| LogDescriptor { name, incarnation }));
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    (
        (any::<[u8; 16]>(), any::<[u8; 32]>(), descriptor, any::<u64>(), any::<u32>()),
        (
            proptest::collection::vec(any::<[u8; 16]>(), 0..5),
            proptest::collection::vec(any::<[u8; 32]>(), 0..5),
            any::<bool>(),
            proptest::option::of(any::<[u8; 32]>()),
            bytes(),
            bytes(),
        ),
    )
        .prop_map(
            |(
                (id, previous, descriptor, first_revision, count),
                (operations, chunks, closing, compacted_from, manifest, body),
            )| Batch {
                id: BatchId(id),
                previous,
                descriptor,
                first_revision,
                count,
                operations: operations.into_iter().map(OperationKey).collect(),
                chunks: chunks.into_iter().map(ChunkId).collect(),
                closing,
                compacted_from,
                manifest: manifest.into(),
                body: body.into(),
            },
        )
}

fn sample() -> Batch {
    Batch {
        id: BatchId([7; 16]),
        previous: [1; 32],
        descriptor: None,
        first_revision: 12,
        count: 2,
        operations: vec![OperationKey([3; 16])],
        chunks: vec![],
        closing: false,
        compacted_from: None,
        manifest: Bytes::from_static(b"manifest"),
        body: Bytes::from_static(b"body"),
    }
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(batch in any_batch()) {
        let encoded = batch.encode().unwrap();
        prop_assert_eq!(encoded.len(), batch.encoded_len());
        prop_assert_eq!(digest_in(&encoded, &batch), batch.digest());
        prop_assert_eq!(Batch::decode(&encoded).unwrap(), batch);
    }

    #[test]
    fn a_compacted_batch_keeps_its_digest(batch in any_batch()) {
        let compacted = batch.clone().into_compacted(Bytes::from_static(b"left"));
        prop_assert_eq!(compacted.digest(), batch.digest());
        let read = Batch::decode(&compacted.encode().unwrap()).unwrap();
        prop_assert_eq!(read.digest(), batch.digest());
        prop_assert_eq!(read, compacted);
    }

    #[test]
    fn every_flipped_bit_is_found(batch in any_batch(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut encoded = batch.encode().unwrap().to_vec();
        let at = at.index(encoded.len());
        encoded[at] ^= 1_u8 << bit;
        prop_assert_eq!(Batch::decode(&encoded.into()).unwrap_err().kind, StoreErrorKind::Damaged);
    }

    #[test]
    fn every_cut_is_found(batch in any_batch(), at in any::<prop::sample::Index>()) {
        let encoded = batch.encode().unwrap();
        let cut = encoded.slice(..at.index(encoded.len()));
        prop_assert_eq!(Batch::decode(&cut).unwrap_err().kind, StoreErrorKind::Damaged);
    }
}

#[test]
fn manifest_and_body_are_not_copied() {
    let encoded = sample().encode().unwrap();
    let range = encoded.as_ptr_range();
    let decoded = Batch::decode(&encoded).unwrap();
    assert!(range.contains(&decoded.manifest.as_ptr()));
    assert!(range.contains(&decoded.body.as_ptr()));
}

#[test]
fn the_size_limit_is_exact() {
    let mut batch = sample();
    let rest = BATCH_MAX_BYTES - batch.encoded_len();
    batch.body = vec![0; rest + 4].into();
    assert_eq!(batch.encode().unwrap().len(), BATCH_MAX_BYTES);
    batch.body = vec![0; rest + 5].into();
    let error = batch.encode().unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Invalid);
    assert!(error.message.contains("4194304"), "{error}");
}

#[test]
fn a_newer_format_is_named_as_such() {
    let mut encoded = sample().encode().unwrap().to_vec();
    encoded[3] = 2;
    let content = encoded.len() - 32;
    let digest = Sha256::digest(&encoded[..content]);
    encoded[content..].copy_from_slice(&digest);
    let error = Batch::decode(&encoded.into()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NewerFormat);
}

#[test]
fn lengths_that_lie_are_found_even_under_a_right_checksum() {
    let mut encoded = sample().encode().unwrap().to_vec();
    encoded[8] += 1;
    let content = encoded.len() - 32;
    let digest = Sha256::digest(&encoded[..content]);
    encoded[content..].copy_from_slice(&digest);
    assert_eq!(Batch::decode(&encoded.into()).unwrap_err().kind, StoreErrorKind::Damaged);
}

/// The stored form is a promise to the stores of earlier releases.
#[test]
fn the_stored_form_stays() {
    let digest = hex::encode(sample().digest());
    assert_eq!(digest, "a489ac3dab99cfe9376347be5d837fa1e18072b73b83a77d4a40a25082e4380a");
    let segments = vec!["web".to_owned(), "main".to_owned()];
    let name = LogName { realm: "acme".to_owned(), room: String::new(), segments };
    let first = Batch { previous: [0; 32], descriptor: Some(name.incarnation(1)), ..sample() };
    assert_eq!(
        hex::encode(first.digest()),
        "9ac4b40184bf14aad75bbddd594eb9d82c75a293593134d0b313f3458ad9ba0e"
    );
}

#[test]
fn debug_shows_no_contents() {
    let shown = format!("{:?}", sample());
    assert!(shown.contains("body_bytes: 4"), "{shown}");
    assert!(shown.contains("BatchId(07070707070707070707070707070707)"), "{shown}");
    assert!(!shown.contains("[98, 111"), "{shown}");
}
