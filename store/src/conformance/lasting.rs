//! What is there after closing and opening again.

use bytes::Bytes;

use super::fixtures::{CHANGES, LogWriter, NODES, at, key, node, row, tombstone};
use super::{Outcome, Subject};
use crate::chunk::{Chunk, ChunkId};
use crate::log::LogFilter;
use crate::store::Append;
use crate::view::{PathRange, Watermark};

const CANNOT: Outcome = Outcome::Skipped("nothing lasts in this backend");

pub async fn everything_is_there_after_reopening(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let mut batches = writer.append_many(&*store, 20).await;
    let mut batch = writer.batch(3);
    batch.operations = vec![key(1), key(2)];
    batches.push(writer.append(&*store, batch).await);
    let rows = [node(b"1", "b", 1), tombstone(b"2", "a", 2), row(CHANGES, b"1", 1)];
    let watermark = Watermark { position: at(1, 23), number: 21 };
    store.write_views(writer.log, &rows, Some(watermark)).await.unwrap();
    let chunk = Bytes::from(vec![9; 2 << 20]);
    store.put_chunk("acme", Chunk::of(chunk.clone())).await.unwrap();
    store.ready().await.unwrap();
    drop(store);

    for _ in 0..2 {
        if !subject.reopen().await {
            return CANNOT;
        }
        let store = subject.store();
        store.ready().await.unwrap();
        let read = store.read(writer.log, 1, usize::MAX).await.unwrap();
        assert!(read.iter().map(|row| &row.batch).eq(&batches));
        assert_eq!(store.last(writer.log).await.unwrap().as_ref(), read.last());
        assert_eq!(store.number_of(writer.log, 22).await.unwrap(), Some(21));
        let keys = [key(2), key(3), key(1)];
        let found = store.find_operations(writer.log, &keys).await.unwrap();
        assert_eq!(found, [Some(21), None, Some(21)]);
        let filter = LogFilter::of_realm("acme");
        assert_eq!(store.logs(&filter).await.unwrap(), [writer.descriptor.clone()]);

        assert_eq!(store.watermark(writer.log).await.unwrap(), watermark);
        for write in &rows {
            let view = store.view(writer.log, write.kind, &write.view.id).await.unwrap();
            assert_eq!(view.as_ref(), Some(&write.view));
        }
        let everything =
            PathRange { prefix: String::new(), after: None, include_tombstones: true, limit: 10 };
        let scanned = store.scan_paths(writer.log, NODES, &everything).await.unwrap();
        assert_eq!(scanned, [rows[1].view.clone(), rows[0].view.clone()]);
        let stored = store.chunk("acme", ChunkId::of(&chunk)).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&chunk));
    }
    Outcome::Passed
}

pub async fn a_reopened_log_goes_on(subject: &mut dyn Subject) -> Outcome {
    let mut writer = LogWriter::new("main");
    let mut all = Vec::new();
    for _ in 0..3 {
        let store = subject.store();
        all.extend(writer.append_many(&*store, 3).await);
        drop(store);
        if !subject.reopen().await {
            return CANNOT;
        }
        let store = subject.store();
        // The answer to the last append may have been lost with the process.
        let again = store.append(writer.log, writer.next - 1, &all[all.len() - 1]).await;
        assert_eq!(again.unwrap(), Append::Committed);
        let lost = store.append(writer.log, writer.next - 1, &writer.batch(1)).await;
        assert_eq!(lost.unwrap(), Append::Conflict);
        assert!(store.confirm(writer.log, all.len() as u64).await.unwrap());
    }
    let read = subject.store().read(writer.log, 1, usize::MAX).await.unwrap();
    assert!(read.iter().map(|row| &row.batch).eq(&all));
    Outcome::Passed
}
