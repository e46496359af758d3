//! Chunks: immutable, named by their hash.

use bytes::Bytes;

use super::fixtures::assert_kind;
use super::{Outcome, Subject};
use crate::chunk::{CHUNK_MAX_BYTES, ChunkId};
use crate::error::StoreErrorKind;

pub async fn chunks_come_back(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    for length in [0, 1, 100_000, CHUNK_MAX_BYTES] {
        let bytes = Bytes::from(vec![0x42; length]);
        let id = ChunkId::of(&bytes);
        assert_eq!(store.chunk("acme", id).await.unwrap(), None);
        for _ in 0..2 {
            store.put_chunk("acme", id, bytes.clone()).await.unwrap();
            assert_eq!(store.chunk("acme", id).await.unwrap(), Some(bytes.clone()));
        }
    }
    Outcome::Passed
}

pub async fn chunks_belong_to_a_realm(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let bytes = Bytes::from_static(b"the secret of one realm");
    let id = ChunkId::of(&bytes);
    store.put_chunk("acme", id, bytes.clone()).await.unwrap();
    for realm in ["acm", "acme-2", "other", ""] {
        assert_eq!(store.chunk(realm, id).await.unwrap(), None);
    }
    store.put_chunk("other", id, bytes.clone()).await.unwrap();
    assert_eq!(store.chunk("other", id).await.unwrap(), Some(bytes));
    Outcome::Passed
}

pub async fn chunks_that_are_not_what_they_say_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let id = ChunkId::of(b"right");
    let answer = store.put_chunk("acme", id, Bytes::from_static(b"wrong")).await;
    assert_kind(answer, StoreErrorKind::Invalid);
    let large = Bytes::from(vec![1; CHUNK_MAX_BYTES + 1]);
    let answer = store.put_chunk("acme", ChunkId::of(&large), large).await;
    assert_kind(answer, StoreErrorKind::Invalid);
    assert_eq!(store.chunk("acme", id).await.unwrap(), None);
    Outcome::Passed
}
