//! Rows and watermarks: only ever forward.

use std::sync::Arc;

use bytes::Bytes;

use super::fixtures::{
    ACTORS, CHANGES, KINDS, LogWriter, NODES, RandomSequence, assert_kind, at, node, row,
};
use super::{Outcome, Subject};
use crate::error::StoreErrorKind;
use crate::view::{
    VIEW_ID_MAX_BYTES, VIEW_PATH_MAX_BYTES, VIEW_VALUE_MAX_BYTES, ViewWrite, Watermark,
};

pub async fn rows_only_move_forward(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mut stored = node(b"n", "a", 5);
    store.write_views(log, std::slice::from_ref(&stored), None).await.unwrap();
    let mut later = |epoch, revision, wins: bool| {
        let mut write = node(b"n", "b", revision);
        write.view.position = at(epoch, revision);
        write.view.value = Bytes::from(format!("at {epoch}.{revision}"));
        if wins {
            stored = write.clone();
        }
        (write, stored.view.clone())
    };
    let steps = [
        later(1, 4, false),
        later(1, 5, false),
        later(1, 6, true),
        later(0, 99, false),
        later(2, 1, true),
        later(1, 7, false),
        later(2, 2, true),
    ];
    for (write, expected) in steps {
        store.write_views(log, std::slice::from_ref(&write), None).await.unwrap();
        let view = store.view(log, NODES, b"n").await.unwrap();
        assert_eq!(view, Some(expected), "after {:?}", write.view.position);
    }
    assert_eq!(store.view(log, NODES, b"other").await.unwrap(), None);
    Outcome::Passed
}

pub async fn kinds_and_logs_are_apart(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let (one, two) = (LogWriter::new("one").log, LogWriter::new("two").log);
    let writes = KINDS.map(|kind| {
        let revision = 10 + u64::from(kind.number);
        row(kind, b"same", revision)
    });
    store.write_views(one, &writes, None).await.unwrap();
    for write in &writes {
        let view = store.view(one, write.kind, b"same").await.unwrap();
        assert_eq!(view.as_ref(), Some(&write.view));
        assert_eq!(store.view(two, write.kind, b"same").await.unwrap(), None);
    }
    // A path of another kind is kept, and no row of kind NODES.
    let mut with_path = node(b"h", "some/path", 1);
    with_path.kind = CHANGES;
    store.write_views(one, std::slice::from_ref(&with_path), None).await.unwrap();
    let view = store.view(one, CHANGES, b"h").await.unwrap();
    assert_eq!(view, Some(with_path.view));
    assert_eq!(store.views_at(one, NODES, "some/path").await.unwrap(), []);
    // An id may be empty, and of any bytes.
    for id in [&b""[..], &[0], &[0, 0], &[0xff; VIEW_ID_MAX_BYTES]] {
        let write = row(ACTORS, id, 1);
        store.write_views(two, std::slice::from_ref(&write), None).await.unwrap();
        let view = store.view(two, ACTORS, id).await.unwrap();
        assert_eq!(view, Some(write.view));
    }
    Outcome::Passed
}

pub async fn many_rows_at_once(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let writes: Vec<_> =
        (0..2500_u64).map(|number| row(CHANGES, &number.to_be_bytes(), number + 1)).collect();
    let watermark = Watermark { position: at(1, 2500), number: 40 };
    store.write_views(log, &writes, Some(watermark)).await.unwrap();
    let (first, last) = (0_u64.to_be_bytes(), 2499_u64.to_be_bytes());
    let rows = store.scan_reverse(log, CHANGES, &first, &last, 5000).await.unwrap();
    assert!(rows.iter().eq(writes.iter().rev().map(|write| &write.view)));
    assert_eq!(store.watermark(log).await.unwrap(), watermark);
    Outcome::Passed
}

pub async fn the_newest_of_one_call_wins(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let revisions = [(b"a", [1, 2, 3]), (b"b", [3, 2, 1]), (b"c", [2, 3, 1])];
    let writes: Vec<_> = revisions
        .iter()
        .flat_map(|(id, order)| order.map(|revision| node(*id, &format!("p{revision}"), revision)))
        .collect();
    store.write_views(log, &writes, None).await.unwrap();
    for (id, _) in revisions {
        let view = store.view(log, NODES, id).await.unwrap();
        assert_eq!(view, Some(node(id, "p3", 3).view));
    }
    assert_eq!(store.views_at(log, NODES, "p1").await.unwrap(), []);
    assert_eq!(store.views_at(log, NODES, "p2").await.unwrap(), []);
    assert_eq!(store.views_at(log, NODES, "p3").await.unwrap().len(), 3);
    Outcome::Passed
}

pub async fn derivers_in_any_order_agree(subject: &mut dyn Subject) -> Outcome {
    const ROUNDS: u64 = 40;
    let store = subject.store();
    let other = subject.peer().await.unwrap_or_else(|| Arc::clone(&store));
    let log = LogWriter::new("main").log;
    let mut derivers = tokio::task::JoinSet::new();
    for (seed, store) in [(1, store.clone()), (2, other.clone()), (3, store.clone()), (4, other)] {
        derivers.spawn(async move {
            let mut random = RandomSequence(seed);
            for _ in 0..ROUNDS {
                let writes: Vec<_> = (0..5).map(|_| moved(&mut random, ROUNDS)).collect();
                store.write_views(log, &writes, None).await.unwrap();
            }
            // Each ends with the last state of all, so that all have written it.
            let writes: Vec<_> = (0..8).map(|id| final_state(id, ROUNDS)).collect();
            store.write_views(log, &writes, None).await.unwrap();
        });
    }
    derivers.join_all().await;
    for id in 0..8 {
        let expected = final_state(id, ROUNDS);
        let view = store.view(log, NODES, &[id]).await.unwrap();
        assert_eq!(view.as_ref(), Some(&expected.view));
        let path = expected.view.path.as_deref().unwrap();
        assert_eq!(
            store.views_at(log, NODES, path).await.unwrap(),
            std::slice::from_ref(&expected.view)
        );
    }
    Outcome::Passed
}

/// Some earlier state of some node; the same revision is always the same row.
fn moved(random: &mut RandomSequence, revisions: u64) -> ViewWrite {
    let revision = 1 + random.below(revisions);
    let id = random.below(8) as u8;
    node(&[id], &format!("dir{}/{id}", revision % 7), revision)
}

fn final_state(id: u8, revisions: u64) -> ViewWrite {
    node(&[id], &format!("end/{id}"), revisions + 1)
}

pub async fn a_frozen_deriver_harms_nothing(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mark = |revision| Watermark { position: at(1, revision), number: revision };
    // One deriver stops with these in hand; the other goes on and finishes.
    let frozen = [node(b"a", "old", 1), node(b"b", "b", 2)];
    let fresh =
        [node(b"a", "old", 1), node(b"b", "b", 2), node(b"a", "new", 3), node(b"c", "c", 4)];
    store.write_views(log, &fresh, Some(mark(4))).await.unwrap();
    store.write_views(log, &frozen, Some(mark(2))).await.unwrap();

    assert_eq!(store.watermark(log).await.unwrap(), mark(4));
    let view = store.view(log, NODES, b"a").await.unwrap();
    assert_eq!(view, Some(node(b"a", "new", 3).view));
    assert_eq!(store.views_at(log, NODES, "old").await.unwrap(), []);
    assert_eq!(store.views_at(log, NODES, "new").await.unwrap().len(), 1);
    Outcome::Passed
}

pub async fn the_watermark_only_moves_forward(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mark = |epoch, revision, number| Watermark { position: at(epoch, revision), number };
    assert_eq!(store.watermark(log).await.unwrap(), Watermark::default());
    let steps = [
        (mark(1, 5, 2), mark(1, 5, 2)),
        (mark(1, 4, 9), mark(1, 5, 2)),
        (mark(1, 5, 3), mark(1, 5, 3)),
        (mark(1, 5, 2), mark(1, 5, 3)),
        (mark(2, 1, 1), mark(2, 1, 1)),
        (mark(1, 99, 99), mark(2, 1, 1)),
        (mark(2, 2, 1), mark(2, 2, 1)),
    ];
    for (written, expected) in steps {
        store.write_views(log, &[], Some(written)).await.unwrap();
        assert_eq!(store.watermark(log).await.unwrap(), expected, "after {written:?}");
    }
    store.write_views(log, &[node(b"a", "a", 9)], None).await.unwrap();
    assert_eq!(store.watermark(log).await.unwrap(), mark(2, 2, 1));
    assert_eq!(store.watermark(LogWriter::new("other").log).await.unwrap(), Watermark::default());
    Outcome::Passed
}

pub async fn rows_are_scanned_backwards(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let ids: [&[u8]; 7] = [b"", b"a", b"a\0", b"a\x01", b"ab", b"b", b"\xff\xff"];
    let writes = ids.map(|id| row(CHANGES, id, 1));
    store.write_views(log, &writes, None).await.unwrap();
    store.write_views(log, &[row(ACTORS, b"a5", 1)], None).await.unwrap();
    let ends: [&[u8]; 9] = [b"", b"0", b"a", b"a\0", b"aa", b"ab", b"b", b"c", &[0xff; 9]];
    for from in ends {
        for to in ends {
            for limit in [0, 1, 2, 99] {
                let expected: Vec<_> = (ids.iter().rev())
                    .filter(|id| from <= **id && **id <= to)
                    .take(limit)
                    .map(|id| Bytes::from_static(id))
                    .collect();
                let rows = store.scan_reverse(log, CHANGES, from, to, limit).await.unwrap();
                let found: Vec<_> = rows.into_iter().map(|row| row.id).collect();
                assert_eq!(found, expected, "{from:?} to {to:?}, at most {limit}");
            }
        }
    }
    Outcome::Passed
}

pub async fn rows_that_cannot_be_kept_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mut large = node(b"large", "large", 1);
    large.view.value = vec![1; VIEW_VALUE_MAX_BYTES + 1].into();
    let mut late = node(b"late", "late", 1);
    late.view.position.epoch = u64::MAX;
    let refused = [
        node(&[1; VIEW_ID_MAX_BYTES + 1], "id", 1),
        node(b"zero", "a\0b", 1),
        node(b"long", &"x".repeat(VIEW_PATH_MAX_BYTES + 1), 1),
        large,
        late,
    ];
    for write in refused {
        let writes = [node(b"fine", "fine", 1), write];
        let answer = store.write_views(log, &writes, Some(Watermark::default())).await;
        assert_kind(answer, StoreErrorKind::Invalid);
        assert_eq!(store.view(log, NODES, b"fine").await.unwrap(), None);
    }
    Outcome::Passed
}
