//! The faults that a memory store plays, and that the same seed plays them again.

use bytes::Bytes;

use super::*;
use crate::view::{Position, ViewFlags};

const LOG: LogId = LogId([1; 32]);
const NODES: ViewKind = ViewKind::new(1, ViewFlags::PATH_INDEXED);

#[tokio::test]
async fn the_same_seed_plays_the_same_faults() {
    let played = [7, 7, 8].map(|seed| async move {
        let store = MemoryStore::new(seed);
        store.disturb_views(ViewFaults { lost: 30, late: 30 });
        let mut seen = Vec::new();
        for revision in 1..60 {
            let written = store.write_views(LOG, &rows(revision), Some(mark(revision))).await;
            seen.push((written.is_ok(), state(&store).await));
        }
        store.settle_views();
        (seen, state(&store).await)
    });
    let [first, again, other] = futures_in_order(played).await;
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test]
async fn lost_and_late_writes_never_put_the_watermark_before_the_rows() {
    for seed in 0..50 {
        let store = MemoryStore::new(seed);
        store.disturb_views(ViewFaults { lost: 20, late: 20 });
        for revision in 1..30 {
            // Who derives goes on only when the views are written.
            while store.write_views(LOG, &rows(revision), Some(mark(revision))).await.is_err() {
                let (watermark, positions) = state(&store).await;
                assert!(positions.iter().all(|at| *at >= watermark), "seed {seed}");
            }
        }
        store.settle_views();
        assert_eq!(state(&store).await, (29, vec![29; 4]), "seed {seed}");
    }
}

#[tokio::test]
async fn late_writes_arrive_when_they_are_settled() {
    let store = MemoryStore::new(1);
    store.disturb_views(ViewFaults { lost: 0, late: 100 });
    let late = store.write_views(LOG, &rows(5), Some(mark(5))).await.unwrap_err();
    assert_eq!(late.kind, StoreErrorKind::Unavailable);
    assert_eq!(state(&store).await, (0, vec![]));
    store.settle_views();
    assert_eq!(state(&store).await, (5, vec![5; 4]));
}

#[tokio::test]
async fn a_handle_that_is_cut_off_reaches_nothing() {
    let store = MemoryStore::shared(1);
    let peer = store.peer();
    peer.cut_off(true);
    assert_eq!(peer.confirm(LOG, 0).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(peer.ready().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert!(store.confirm(LOG, 0).await.unwrap());
    peer.cut_off(false);
    assert!(peer.confirm(LOG, 0).await.unwrap());
}

#[tokio::test]
async fn a_taken_number_uses_no_fault_up() {
    let store = MemoryStore::new(1);
    let batch = first_batch(1);
    assert_eq!(store.append(LOG, 1, &batch).await.unwrap(), Append::Committed);
    store.fail_next_append(AppendFault::AfterEffect);
    assert_eq!(store.append(LOG, 1, &first_batch(2)).await.unwrap(), Append::Conflict);
    assert_eq!(store.append(LOG, 1, &batch).await.unwrap(), Append::Committed);
    let other = store.append(LogId([2; 32]), 1, &batch).await.unwrap_err();
    assert_eq!(other.kind, StoreErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn commit_hints_can_be_lost() {
    let store = MemoryStore::shared(1);
    let peer = store.peer();
    let mut hints = store.commit_hints();
    peer.lose_commit_hints(true);
    peer.append(LOG, 1, &first_batch(1)).await.unwrap();
    peer.lose_commit_hints(false);
    peer.append(LogId([2; 32]), 1, &first_batch(2)).await.unwrap();
    assert_eq!(hints.recv().await.unwrap().log, LogId([2; 32]));
    assert!(hints.try_recv().is_err());
}

async fn futures_in_order<T, F: Future<Output = T>>(futures: [F; 3]) -> [T; 3] {
    let [first, second, third] = futures;
    [first.await, second.await, third.await]
}

/// The watermark, and the positions of the rows.
async fn state(store: &MemoryStore) -> (u64, Vec<u64>) {
    let mut positions = Vec::new();
    for id in 0..4 {
        let view = store.view(LOG, NODES, &[id]).await.unwrap();
        positions.extend(view.map(|view| view.position.revision));
    }
    (store.watermark(LOG).await.unwrap().number, positions)
}

fn rows(revision: u64) -> Vec<ViewWrite> {
    let row = |id: u8| View {
        id: Bytes::copy_from_slice(&[id]),
        path: None,
        live: true,
        position: Position { epoch: 1, revision },
        value: Bytes::new(),
    };
    (0..4).map(|id| ViewWrite { kind: NODES, view: row(id) }).collect()
}

fn mark(revision: u64) -> Watermark {
    Watermark { position: Position { epoch: 1, revision }, number: revision }
}

fn first_batch(id: u8) -> Batch {
    let name = |name: &str| name.to_owned();
    Batch {
        id: crate::BatchId([id; 16]),
        previous: [0; 32],
        descriptor: Some(
            LogName {
                realm: name("acme"),
                room: String::new(),
                segments: vec![name("web"), name("main")],
            }
            .incarnation(1),
        ),
        first_revision: 1,
        count: 0,
        operations: Vec::new(),
        chunks: Vec::new(),
        closing: false,
        compacted_from: None,
        manifest: Bytes::new(),
        body: Bytes::new(),
    }
}
