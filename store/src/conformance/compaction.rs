//! What is compacted, removed or collected: gone itself, and nothing else with it.

use bytes::Bytes;

use super::fixtures::{KINDS, LogWriter, NODES, PLACES, assert_kind, at, fresh, key, node, row};
use super::{Outcome, Subject};
use crate::batch::LogEntry;
use crate::chunk::{Chunk, ChunkId};
use crate::error::StoreErrorKind;
use crate::log::LogFilter;
use crate::store::Append;
use crate::view::{PathRange, Watermark};

pub async fn a_compacted_batch_keeps_its_place(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let mut before = Vec::new();
    for number in 1..=4 {
        let mut batch = writer.batch(2);
        batch.operations = vec![key(number)];
        batch.chunks = vec![ChunkId::of(&[number])];
        before.push(writer.append(&*store, batch).await);
    }
    let manifest = |number: u64| Bytes::from(format!("what is left of {number}"));
    let manifests: Vec<_> = (1..=2).map(|number| (number, manifest(number))).collect();
    for _ in 0..2 {
        store.compact(writer.log, &manifests).await.unwrap();
    }
    // The first manifest stays.
    store.compact(writer.log, &[(1, Bytes::from_static(b"another"))]).await.unwrap();

    let rows = store.read(writer.log, 1, usize::MAX).await.unwrap();
    assert_eq!(rows.len(), 4);
    for (LogEntry { number, batch }, was) in rows.iter().zip(&before) {
        assert_eq!(
            (batch.id, batch.previous, batch.digest()),
            (was.id, was.previous, was.digest())
        );
        assert_eq!((batch.first_revision, batch.count), (was.first_revision, was.count));
        assert_eq!(batch.descriptor, was.descriptor);
        if *number <= 2 {
            assert_eq!(batch.compacted_from, Some(was.digest()));
            assert_eq!(batch.manifest, manifest(*number));
            assert!(batch.body.is_empty() && batch.chunks.is_empty());
            assert!(batch.operations.is_empty());
        } else {
            assert_eq!(batch, was);
        }
    }
    let keys = [key(1), key(2), key(3)];
    let found = store.find_operations(writer.log, &keys).await.unwrap();
    assert_eq!(found, [None, None, Some(3)]);
    for (revision, number) in [(1, 1), (4, 2), (5, 3)] {
        assert_eq!(store.number_of(writer.log, revision).await.unwrap(), Some(number));
    }
    let filter = LogFilter::of_realm("acme");
    assert_eq!(store.logs(&filter).await.unwrap(), [writer.descriptor.clone()]);
    // A number once used is never free again.
    let mut late = before[1].clone();
    late.id = fresh();
    assert_eq!(store.append(writer.log, 2, &late).await.unwrap(), Append::Conflict);
    assert_eq!(store.append(writer.log, 2, &before[1]).await.unwrap(), Append::Committed);
    writer.append_many(&*store, 1).await;
    let missing = store.compact(writer.log, &[(9, manifest(9))]).await;
    assert_kind(missing, StoreErrorKind::Invalid);
    Outcome::Passed
}

pub async fn a_log_whose_end_is_compacted_goes_on(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    writer.append_many(&*store, 2).await;
    let left = Bytes::from_static(b"left");
    store.compact(writer.log, &[(1, left.clone()), (2, left)]).await.unwrap();
    if subject.reopen().await {
        writer.append_many(&*subject.store(), 1).await;
        assert_eq!(subject.store().read(writer.log, 1, usize::MAX).await.unwrap().len(), 3);
        return Outcome::Passed;
    }
    writer.append_many(&*store, 1).await;
    assert_eq!(store.read(writer.log, 1, usize::MAX).await.unwrap().len(), 3);
    Outcome::Passed
}

pub async fn an_operation_used_again_finds_the_newer_batch(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    for _ in 0..2 {
        let mut batch = writer.batch(1);
        batch.operations = vec![key(7)];
        writer.append(&*store, batch).await;
    }
    assert_eq!(store.find_operations(writer.log, &[key(7)]).await.unwrap(), [Some(2)]);
    store.compact(writer.log, &[(1, Bytes::new())]).await.unwrap();
    assert_eq!(store.find_operations(writer.log, &[key(7)]).await.unwrap(), [Some(2)]);
    Outcome::Passed
}

pub async fn removed_rows_are_gone_and_others_stay(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let (log, other) = (LogWriter::new("main").log, LogWriter::new("other").log);
    let rows = [node(b"a", "lib/a", 1), node(b"b", "lib/b", 2), row(PLACES, b"a", 3)];
    for log in [log, other] {
        store.write_views(log, &rows, None).await.unwrap();
    }
    let ids = [Bytes::from_static(b"a"), Bytes::from_static(b"never there")];
    store.delete_views(log, NODES, &ids).await.unwrap();
    assert_eq!(store.view(log, NODES, b"a").await.unwrap(), None);
    assert!(store.views_at(log, NODES, "lib/a").await.unwrap().is_empty());
    let all =
        PathRange { prefix: "lib".to_owned(), after: None, include_tombstones: true, limit: 10 };
    assert_eq!(store.scan_paths(log, NODES, &all).await.unwrap(), [rows[1].view.clone()]);
    assert!(store.view(log, PLACES, b"a").await.unwrap().is_some());
    assert!(store.view(other, NODES, b"a").await.unwrap().is_some());
    // An older row may come again, as nothing stands there.
    store.write_views(log, &[node(b"a", "lib/c", 1)], None).await.unwrap();
    assert_eq!(store.views_at(log, NODES, "lib/c").await.unwrap().len(), 1);
    Outcome::Passed
}

pub async fn cleared_views_can_be_written_anew(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let (log, other) = (LogWriter::new("main").log, LogWriter::new("other").log);
    let watermark = Watermark { position: at(1, 9), number: 4 };
    for log in [log, other] {
        let rows: Vec<_> = KINDS.map(|kind| row(kind, b"same", 9)).into();
        store.write_views(log, &rows, Some(watermark)).await.unwrap();
        store.write_views(log, &[node(b"n", "a", 9)], None).await.unwrap();
    }
    store.clear_views(log).await.unwrap();
    assert_eq!(store.watermark(log).await.unwrap(), Watermark::default());
    for kind in KINDS {
        assert_eq!(store.view(log, kind, b"same").await.unwrap(), None);
        assert!(store.view(other, kind, b"same").await.unwrap().is_some());
    }
    assert!(store.views_at(log, NODES, "a").await.unwrap().is_empty());
    assert_eq!(store.watermark(other).await.unwrap(), watermark);
    let earlier = Watermark { position: at(1, 2), number: 1 };
    store.write_views(log, &[node(b"n", "b", 2)], Some(earlier)).await.unwrap();
    assert_eq!(store.watermark(log).await.unwrap(), earlier);
    assert_eq!(store.views_at(log, NODES, "b").await.unwrap().len(), 1);
    Outcome::Passed
}

pub async fn chunks_are_listed_and_collected(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut ids = Vec::new();
    for number in 0..5u8 {
        let bytes = Bytes::from(vec![number; 10]);
        ids.push(ChunkId::of(&bytes));
        for realm in ["acme", "other"] {
            store.put_chunk(realm, Chunk::of(bytes.clone())).await.unwrap();
        }
    }
    ids.sort();
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|chunk: &crate::chunk::StoredChunk| chunk.id);
        let page = store.chunks("acme", after, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        listed.extend(page);
    }
    assert_eq!(listed.iter().map(|chunk| chunk.id).collect::<Vec<_>>(), ids);
    assert!(listed.iter().all(|chunk| chunk.touched_ms > 0));
    // What was put at or after the time stays.
    let oldest = listed.iter().map(|chunk| chunk.touched_ms).min().unwrap();
    assert_eq!(store.delete_chunks("acme", &ids, oldest).await.unwrap(), 0);
    let later = listed.iter().map(|chunk| chunk.touched_ms).max().unwrap() + 1;
    assert_eq!(store.delete_chunks("acme", &ids[..2], later).await.unwrap(), 2);
    assert_eq!(store.delete_chunks("acme", &ids[..2], later).await.unwrap(), 0);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(store.chunk("acme", *id).await.unwrap().is_some(), at >= 2);
        assert!(store.chunk("other", *id).await.unwrap().is_some());
    }
    assert_eq!(store.chunks("acme", None, 10).await.unwrap().len(), 3);
    Outcome::Passed
}
