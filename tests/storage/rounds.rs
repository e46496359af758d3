//! What an embedded store is filled with in rounds, and the same read back.

use std::path::Path;

use bytes::Bytes;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{
    Append, Batch, BatchId, Chunk, ChunkId, LogDescriptor, LogFilter, LogId, LogName, OperationKey,
    PathRange, Position, Store, StoreError, View, ViewWrite, Watermark,
};

use super::{HISTORY, NODES};

/// How many logs a round goes through.
pub(super) const LOGS: u64 = 3;

pub(super) fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, EmbeddedOptions::small())
}

/// One round writes a batch, rows, a watermark and a chunk for each log; repeating
/// a round changes nothing.
pub(super) async fn fill(store: &EmbeddedStore, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for log_number in 0..LOGS {
            let id = log(log_number);
            let batch = batch(log_number, round, digest_before(store, log_number, round).await);
            assert_eq!(store.append(id, round, &batch).await.unwrap(), Append::Committed);
            let watermark = Watermark { position: position(round), number: round };
            store.write_views(id, &rows(round), Some(watermark)).await.unwrap();
        }
        let chunk = Chunk::of(chunk(round));
        // The second time it is touched, which is another kind of write.
        for _ in 0..2 {
            store.put_chunk("acme", chunk.clone()).await.unwrap();
        }
    }
}

/// Holds every answer to what `fill(.., 1..end)` wrote; there may be more.
pub(super) async fn check(store: &EmbeddedStore, end: u64) -> Result<(), StoreError> {
    let filter = LogFilter::of_realm("acme");
    let descriptors: Vec<_> = (0..LOGS).map(descriptor).collect();
    assert_eq!(store.logs(&filter).await?, descriptors);
    assert_eq!(store.realms().await?, ["acme"]);
    for log_number in 0..LOGS {
        let id = log(log_number);
        let read = store.read(id, 1, usize::MAX).await?;
        assert!(read.len() as u64 >= end - 1, "batches are missing");
        assert_eq!(store.last(id).await?.as_ref(), read.last());
        let mut previous = [0; 32];
        for (number, row) in (1..).zip(&read) {
            assert_eq!(row.number, number);
            assert_eq!(row.batch, batch(log_number, number, previous));
            previous = row.batch.digest();
        }
        for number in 1..end {
            assert_eq!(store.number_of(id, number).await?, Some(number));
            let key = operation(number);
            assert_eq!(store.find_operations(id, &[key]).await?, [Some(number)]);
        }
        let watermark = store.watermark(id).await?;
        assert!(read.len() as u64 >= watermark.number);
        for write in (1..=watermark.number).flat_map(rows) {
            if write.kind == HISTORY {
                let view = store.view(id, write.kind, &write.view.id).await?;
                assert_eq!(view, Some(write.view));
            }
        }
        let everything = PathRange {
            prefix: String::new(),
            after: None,
            include_tombstones: true,
            limit: usize::MAX,
        };
        let nodes = store.scan_paths(id, NODES, &everything).await?;
        assert_eq!(nodes.len() as u64, watermark.number.min(5), "{watermark:?}");
        for node in nodes {
            let revision = node.position.revision;
            assert_eq!(node, rows(revision)[0].view);
            assert!(revision + 5 > watermark.number);
        }
    }
    for number in 1..end {
        let chunk = chunk(number);
        assert_eq!(store.chunk("acme", ChunkId::of(&chunk)).await?, Some(chunk));
    }
    Ok(())
}

fn descriptor(log_number: u64) -> LogDescriptor {
    LogName {
        realm: "acme".to_owned(),
        room: String::new(),
        segments: vec!["web".to_owned(), format!("branch-{log_number}")],
    }
    .incarnation(1)
}

pub(super) fn log(log_number: u64) -> LogId {
    descriptor(log_number).log_id()
}

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision }
}

fn operation(number: u64) -> OperationKey {
    OperationKey([number as u8; 16])
}

pub(super) fn batch(log_number: u64, number: u64, previous: [u8; 32]) -> Batch {
    let mut id = [log_number as u8; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Batch {
        id: BatchId(id),
        previous,
        descriptor: (number == 1).then(|| descriptor(log_number)),
        first_revision: number,
        count: 1,
        operations: vec![operation(number)],
        chunks: vec![ChunkId::of(&chunk(number))],
        closing: false,
        compacted_from: None,
        manifest: Bytes::from(format!("manifest {number}")),
        body: Bytes::from(format!("body {number} ").repeat(100)),
    }
}

pub(super) async fn digest_before(store: &EmbeddedStore, log_number: u64, number: u64) -> [u8; 32] {
    let before = store.next_batches(&[(log(log_number), number - 1)]).await.unwrap();
    before.first().map_or([0; 32], |(_, row)| row.batch.digest())
}

pub(super) fn rows(number: u64) -> [ViewWrite; 2] {
    let node = number % 5;
    let view = |id: Bytes, path: Option<String>| View {
        id,
        path,
        live: !number.is_multiple_of(7),
        position: position(number),
        value: Bytes::from(format!("value {number} ").repeat(30)),
    };
    let node_id = Bytes::copy_from_slice(&node.to_be_bytes());
    let history_id = Bytes::copy_from_slice(&number.to_be_bytes());
    [
        ViewWrite { kind: NODES, view: view(node_id, Some(format!("dir/{number}"))) },
        ViewWrite { kind: HISTORY, view: view(history_id, None) },
    ]
}

pub(super) fn chunk(number: u64) -> Bytes {
    Bytes::from(format!("chunk {number} ").repeat(200))
}
