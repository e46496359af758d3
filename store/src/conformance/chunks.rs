//! Chunks: immutable, named by their hash.

use bytes::Bytes;

use super::fixtures::assert_kind;
use super::{Outcome, Subject};
use crate::chunk::{CHUNK_MAX_BYTES, Chunk, ChunkId, UploadId};
use crate::error::StoreErrorKind;
use crate::store::Store;

pub async fn chunks_come_back(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    for length in [0, 1, 100_000, CHUNK_MAX_BYTES] {
        let bytes = Bytes::from(vec![0x42; length]);
        let id = ChunkId::of(&bytes);
        assert_eq!(store.chunk("acme", id).await.unwrap(), None);
        for _ in 0..2 {
            store.put_chunk("acme", Chunk::of(bytes.clone())).await.unwrap();
            assert_eq!(store.chunk("acme", id).await.unwrap(), Some(bytes.clone()));
        }
    }
    Outcome::Passed
}

pub async fn chunks_belong_to_a_realm(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let bytes = Bytes::from_static(b"the secret of one realm");
    let id = ChunkId::of(&bytes);
    store.put_chunk("acme", Chunk::of(bytes.clone())).await.unwrap();
    for realm in ["acm", "acme-2", "other", ""] {
        assert_eq!(store.chunk(realm, id).await.unwrap(), None);
    }
    store.put_chunk("other", Chunk::of(bytes.clone())).await.unwrap();
    assert_eq!(store.chunk("other", id).await.unwrap(), Some(bytes));
    Outcome::Passed
}

pub async fn realms_that_cannot_have_chunks_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let chunk = Chunk::of(Bytes::from_static(b"x"));
    let long = "r".repeat(1025);
    for realm in ["a\0b", "\0", &long] {
        assert_kind(store.put_chunk(realm, chunk.clone()).await, StoreErrorKind::Invalid);
        let staged = store.stage_chunk(realm, chunk.clone(), upload(1)).await;
        assert_kind(staged, StoreErrorKind::Invalid);
    }
    Outcome::Passed
}

pub async fn a_chunk_above_the_limit_is_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let large = Chunk::of(Bytes::from(vec![1; CHUNK_MAX_BYTES + 1]));
    assert_kind(store.put_chunk("acme", large.clone()).await, StoreErrorKind::Invalid);
    let staged = store.stage_chunk("acme", large.clone(), upload(1)).await;
    assert_kind(staged, StoreErrorKind::Invalid);
    assert_eq!(store.chunk("acme", large.id()).await.unwrap(), None);
    Outcome::Passed
}

fn upload(number: u8) -> UploadId {
    UploadId([number; 16])
}

async fn stage(store: &dyn Store, bytes: &'static [u8], by: u8) -> ChunkId {
    let chunk = Chunk::of(Bytes::from_static(bytes));
    let id = chunk.id();
    store.stage_chunk("acme", chunk, upload(by)).await.unwrap();
    id
}

async fn discard(store: &dyn Store, ids: &[ChunkId], by: u8) -> u64 {
    store.discard_chunks("acme", ids, upload(by)).await.unwrap()
}

async fn is_there(store: &dyn Store, id: ChunkId) -> bool {
    let is_there = store.chunk("acme", id).await.unwrap().is_some();
    let listed = store.chunks("acme", None, 1_000).await.unwrap();
    assert_eq!(listed.iter().any(|chunk| chunk.id == id), is_there);
    is_there
}

pub async fn staged_chunks_go_with_the_last_upload_that_holds_them(
    subject: &mut dyn Subject,
) -> Outcome {
    let store = &*subject.store();
    let alone = stage(store, b"of one upload", 1).await;
    assert_eq!(stage(store, b"of one upload", 1).await, alone);
    let shared = stage(store, b"of two uploads", 1).await;
    stage(store, b"of two uploads", 2).await;
    let other = ChunkId::of(b"never staged");
    assert_eq!(discard(store, &[alone, shared, other], 3).await, 0);
    assert!(is_there(store, alone).await && is_there(store, shared).await);
    assert_eq!(discard(store, &[alone, shared, other], 1).await, 1);
    assert!(!is_there(store, alone).await && is_there(store, shared).await);
    assert_eq!(discard(store, &[alone, shared], 1).await, 0);
    assert!(is_there(store, shared).await);
    assert_eq!(discard(store, &[shared], 2).await, 1);
    assert!(!is_there(store, shared).await);

    // Of the same bytes in another realm, nobody has let go.
    let bytes = Bytes::from_static(b"of two realms");
    let id = stage(store, b"of two realms", 1).await;
    store.stage_chunk("other", Chunk::of(bytes.clone()), upload(1)).await.unwrap();
    assert_eq!(discard(store, &[id], 1).await, 1);
    assert_eq!(store.chunk("other", id).await.unwrap(), Some(bytes));
    Outcome::Passed
}

pub async fn staged_chunks_that_somebody_puts_stay(subject: &mut dyn Subject) -> Outcome {
    let store = &*subject.store();
    let put = |bytes: &'static [u8]| store.put_chunk("acme", Chunk::of(Bytes::from_static(bytes)));
    put(b"put before").await.unwrap();
    let before = stage(store, b"put before", 1).await;
    let between = stage(store, b"put between", 1).await;
    put(b"put between").await.unwrap();
    stage(store, b"put between", 2).await;
    for by in [1, 2] {
        assert_eq!(discard(store, &[before, between], by).await, 0);
    }
    assert!(is_there(store, before).await && is_there(store, between).await);

    // Too many to tell apart: it is left to its collector.
    for by in 0..20 {
        stage(store, b"of many uploads", by).await;
    }
    let many = ChunkId::of(b"of many uploads");
    for by in 0..20 {
        assert_eq!(discard(store, &[many], by).await, 0);
    }
    assert!(is_there(store, many).await);
    Outcome::Passed
}

pub async fn staged_chunks_that_were_collected_are_held_anew(subject: &mut dyn Subject) -> Outcome {
    let store = &*subject.store();
    let id = stage(store, b"collected", 1).await;
    let touched = store.chunks("acme", None, 10).await.unwrap()[0].touched_ms;
    assert_eq!(store.delete_chunks("acme", &[id], touched + 1).await.unwrap(), 1);
    assert!(!is_there(store, id).await);
    stage(store, b"collected", 2).await;
    assert_eq!(discard(store, &[id], 1).await, 0);
    assert!(is_there(store, id).await);
    assert_eq!(discard(store, &[id], 2).await, 1);
    Outcome::Passed
}

/// Whoever comes first: what somebody holds is there, and the last one takes it away.
pub async fn chunks_are_staged_and_discarded_at_once(subject: &mut dyn Subject) -> Outcome {
    let (store, peer) = (&*subject.store(), subject.peer().await);
    let peer = peer.as_deref().unwrap_or(store);
    let id = ChunkId::of(b"at once");
    for round in 0..10u8 {
        let (one, two) = (2 * round + 1, 2 * round + 2);
        stage(store, b"at once", one).await;
        let ids = [id];
        let (_, staged) = tokio::join!(discard(store, &ids, one), stage(peer, b"at once", two));
        assert!(is_there(store, staged).await);
        assert_eq!(discard(store, &[id], two).await, 1);
        assert!(!is_there(store, id).await);
    }
    Outcome::Passed
}
