//! Chunks that nothing names, and a gateway that goes on serving while it deletes them.

use vdom_core::ErrorCode;
use vdom_core::limits::{CHUNK_BYTES, CHUNK_GRACE, CHUNK_READ_GRACE};
use vdom_store::{Append, Batch, BatchId, Chunk, ChunkId, LogName};

use super::*;
use crate::maintenance::{collect, verify};

const EVERY: Duration = Duration::from_secs(60);

/// A clock that stands where it is put.
fn standing(now_ms: &Arc<AtomicU64>) -> Environment {
    let (now_ms, drawn) = (now_ms.clone(), AtomicU64::new(1));
    Environment::new(
        move || SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms.load(Ordering::Relaxed)),
        Duration::default,
        move |bytes| {
            let drawn = drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            for (place, byte) in bytes.iter_mut().zip(drawn.into_iter().cycle()) {
                *place = byte;
            }
            Ok(())
        },
    )
}

async fn put_chunk(store: &dyn Store, text: &'static str) -> ChunkId {
    let bytes = Bytes::from_static(text.as_bytes());
    let chunk = Chunk::of(bytes);
    let id = chunk.id();
    store.put_chunk("default", chunk).await.expect("stored");
    id
}

/// When a chunk was last put, if it is there.
async fn touched(store: &dyn Store, id: ChunkId) -> Option<u64> {
    let chunks = store.chunks("default", None, 1_000).await.expect("listed");
    chunks.into_iter().find(|chunk| chunk.id == id).map(|chunk| chunk.touched_ms)
}

/// The first time at which everything that is stored now is old enough.
async fn once_old(store: &dyn Store) -> u64 {
    let chunks = store.chunks("default", None, 1_000).await.expect("listed");
    let newest = chunks.iter().map(|chunk| chunk.touched_ms).max().expect("a chunk");
    newest + CHUNK_GRACE.as_millis() as u64 + 1
}

#[tokio::test(start_paused = true)]
async fn a_running_gateway_deletes_what_nothing_names() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let now_ms = Arc::new(AtomicU64::new(0));
    let room = room_in(standing(&now_ms), store.clone(), Quotas::default());
    room.keep_collected(EVERY);
    // Also before anything was ever written.
    let orphan = put_chunk(&*store, "left by a crash").await;
    now_ms.store(once_old(&*store).await - 1, Ordering::Relaxed);
    tokio::time::sleep(2 * EVERY + CHUNK_READ_GRACE).await;
    assert!(touched(&*store, orphan).await.is_some(), "a ms too young");
    let content = "k".repeat(2 * CHUNK_BYTES);
    put(&room, "kept", &content).await;
    let second = put_chunk(&*store, "left by another").await;
    now_ms.store(once_old(&*store).await, Ordering::Relaxed);
    tokio::time::sleep(EVERY + CHUNK_READ_GRACE / 2).await;
    assert!(touched(&*store, orphan).await.is_some(), "somebody may still read it");
    tokio::time::sleep(2 * EVERY + CHUNK_READ_GRACE).await;
    assert_eq!((touched(&*store, orphan).await, touched(&*store, second).await), (None, None));
    assert_eq!(text_at(&room, "kept", None).await, Some(content));
    assert_eq!(verify(&maintained(&store), |_| {}).await.expect("verified").findings, []);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_puts_before_it_is_deleted_stays() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let orphan = put_chunk(&*store, "wanted again").await;
    let before = touched(&*store, orphan).await.expect("there");
    let now_ms = Arc::new(AtomicU64::new(once_old(&*store).await));
    let room = room_in(standing(&now_ms), store.clone(), Quotas::default());
    let found = room.registry.unnamed_chunks().await.expect("read");
    assert_eq!(found.len(), 1);
    while touched(&*store, orphan).await == Some(before) {
        put_chunk(&*store, "wanted again").await;
    }
    room.registry.delete_unnamed(&found).await;
    assert!(touched(&*store, orphan).await.is_some());
}

#[tokio::test]
async fn logs_of_other_rooms_name_chunks_too() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    put(&room, "a", "1").await;
    let (named, orphan) =
        (put_chunk(&*store, "a pack").await, put_chunk(&*store, "nobody's").await);
    let name = LogName {
        realm: "default".to_owned(),
        room: "git".to_owned(),
        segments: vec!["repo".to_owned()],
    };
    let (log, nothing) = (name.log_id(1), Bytes::new());
    let batch = Batch {
        id: BatchId([1; 16]),
        previous: [0; 32],
        descriptor: Some(name.incarnation(1)),
        first_revision: 1,
        count: 1,
        operations: Vec::new(),
        chunks: vec![named],
        closing: false,
        compacted_from: None,
        manifest: nothing.clone(),
        body: nothing.clone(),
    };
    let appended = store.append(log, 1, &batch).await.expect("appended");
    assert_eq!(appended, Append::Committed);
    let later = standing(&Arc::new(AtomicU64::new(once_old(&*store).await)));
    assert_eq!(collect(&maintained(&store), &later, "default").await, Ok(1));
    assert_eq!(touched(&*store, orphan).await, None);
    assert!(touched(&*store, named).await.is_some());
    // What stands for it once it is compacted is not known here.
    let orphan = put_chunk(&*store, "nobody's again").await;
    store.compact(log, &[(1, nothing)]).await.expect("compacted");
    let later = standing(&Arc::new(AtomicU64::new(once_old(&*store).await)));
    let refused = collect(&maintained(&store), &later, "default").await.expect_err("not known");
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert!(refused.message.contains("`git`"), "{refused}");
    assert!(touched(&*store, orphan).await.is_some());
}
