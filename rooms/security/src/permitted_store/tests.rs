//! A permit covers its realm, and writes only where it was granted for them.

use vdom_core::RealmName;
use vdom_store::memory::MemoryStore;

use super::*;
use crate::{Authority, Duty};

fn refused<T>(result: StoreResult<T>) -> bool {
    result.is_err_and(|error| error.kind == StoreErrorKind::Invalid)
}

#[tokio::test]
async fn a_permit_covers_its_realm_alone() {
    let store = GuardedStore::new(Arc::new(MemoryStore::new(1)));
    let (_, permits) = Authority::new([]);
    let own = permits.of(Duty::Append).within(&RealmName::parse("own").expect("valid"));
    let chunk = Chunk::of(Bytes::from_static(b"bytes"));

    store.with(&own).put_chunk("own", chunk.clone()).await.expect("its own realm");
    assert!(refused(store.with(&own).put_chunk("other", chunk.clone()).await));
    assert!(refused(store.with(&own).chunk("other", chunk.id()).await));
    assert!(refused(store.with(&own).logs(&LogFilter::of_realm("other")).await));
    assert!(refused(store.with(&own).realms().await));
    assert!(store.with(permits.of(Duty::Maintain)).realms().await.is_ok());
}

#[tokio::test]
async fn a_permit_to_read_writes_nothing() {
    let store = GuardedStore::new(Arc::new(MemoryStore::new(1)));
    let (_, permits) = Authority::new([]);
    let reads = permits.of(Duty::CountUsage);
    let id = ChunkId::of(b"bytes");

    assert!(refused(
        store.with(reads).put_chunk("own", Chunk::of(Bytes::from_static(b"bytes"))).await
    ));
    assert!(refused(store.with(reads).delete_chunks("own", &[id], 0).await));
    assert!(refused(store.with(reads).reclaim().await));
    assert_eq!(store.with(reads).chunk("own", id).await.expect("may be read"), None);
}
