//! Rows by path.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::fixtures::{
    ACTORS, CHANGES, EXPORTS, LogWriter, NODES, RandomSequence, SHEETS, assert_kind, node, row_at,
    tombstone,
};
use super::{Outcome, Subject};
use crate::error::StoreErrorKind;
use crate::log::LogId;
use crate::store::Store;
use crate::view::{PathRange, View, ViewKind, ViewWrite};

pub async fn a_tombstone_hides_and_stays(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    store.write_views(log, &[node(b"old", "a/b", 1)], None).await.unwrap();
    let deleted = tombstone(b"old", "a/b", 2);
    store.write_views(log, std::slice::from_ref(&deleted), None).await.unwrap();
    let view = store.view(log, NODES, b"old").await.unwrap();
    assert_eq!(view.as_ref(), Some(&deleted.view));
    assert_eq!(store.views_at(log, NODES, "a/b").await.unwrap(), []);
    assert_eq!(paths(&*store, log, &all()).await, Vec::<String>::new());

    // A recreated path is another node beside the tombstone.
    let recreated = node(b"new", "a/b", 3);
    store.write_views(log, std::slice::from_ref(&recreated), None).await.unwrap();
    assert_eq!(
        store.views_at(log, NODES, "a/b").await.unwrap(),
        std::slice::from_ref(&recreated.view)
    );
    let everything = PathRange { include_tombstones: true, ..all() };
    let rows = store.scan_paths(log, NODES, &everything).await.unwrap();
    assert_eq!(rows, [recreated.view, deleted.view]);
    Outcome::Passed
}

pub async fn a_rename_moves_the_row(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let before = [node(b"1", "a", 1), node(b"2", "b", 2)];
    store.write_views(log, &before, None).await.unwrap();
    // The two swap their paths.
    let after = [node(b"1", "b", 3), node(b"2", "a", 3)];
    store.write_views(log, &after, None).await.unwrap();
    assert_eq!(store.views_at(log, NODES, "a").await.unwrap(), [after[1].view.clone()]);
    assert_eq!(store.views_at(log, NODES, "b").await.unwrap(), [after[0].view.clone()]);
    let rows = store.scan_paths(log, NODES, &all()).await.unwrap();
    assert_eq!(rows, [after[1].view.clone(), after[0].view.clone()]);
    // A row that gives its path up is found by its id alone.
    let mut nowhere = node(b"1", "", 4);
    nowhere.view.path = None;
    store.write_views(log, std::slice::from_ref(&nowhere), None).await.unwrap();
    assert_eq!(store.views_at(log, NODES, "b").await.unwrap(), []);
    assert_eq!(paths(&*store, log, &all()).await, ["a"]);
    assert_eq!(store.view(log, NODES, b"1").await.unwrap(), Some(nowhere.view));
    Outcome::Passed
}

pub async fn a_prefix_takes_whole_segments(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    // In the order of their bytes; '!', '-' and '.' come before '/'.
    let names = [
        "LIB/a",
        "li",
        "lib",
        "lib!",
        "lib!/a",
        "lib-x/a",
        "lib.rs",
        "lib/a",
        "lib/a/b",
        "lib/a.b",
        "lib/z",
        "lib0",
        "library",
        "library/a",
        "lic",
        "ünï/cödé",
    ];
    let mut sorted = names;
    sorted.sort_unstable();
    let writes: Vec<_> = names.map(|path| node(path.as_bytes(), path, 1)).into();
    store.write_views(log, &writes, None).await.unwrap();

    let below = |prefix: &str| PathRange { prefix: prefix.to_owned(), ..all() };
    assert_eq!(paths(&*store, log, &below("")).await, sorted);
    let lib = ["lib", "lib/a", "lib/a.b", "lib/a/b", "lib/z"];
    assert_eq!(paths(&*store, log, &below("lib")).await, lib);
    assert_eq!(paths(&*store, log, &below("lib/a")).await, ["lib/a", "lib/a/b"]);
    assert_eq!(paths(&*store, log, &below("library")).await, ["library", "library/a"]);
    assert_eq!(paths(&*store, log, &below("ünï")).await, ["ünï/cödé"]);
    assert_eq!(paths(&*store, log, &below("lib-x")).await, ["lib-x/a"]);
    assert_eq!(paths(&*store, log, &below("none")).await, Vec::<String>::new());
    Outcome::Passed
}

pub async fn pages_follow_path_and_id(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mut writes = Vec::new();
    for path in ["lib", "lib-x", "lib/a", "lib/b", "m"] {
        // Tombstones share a path; ids of any bytes.
        for id in [&b"\0"[..], b"\0\0", b"1", b"\xff"] {
            let id = [path.as_bytes(), id].concat();
            let mut write = node(&id, path, 1);
            write.view.live = id.ends_with(b"1");
            writes.push(write);
        }
    }
    store.write_views(log, &writes, None).await.unwrap();
    for prefix in ["", "lib", "lib/a", "z"] {
        for include_tombstones in [true, false] {
            let range = PathRange { prefix: prefix.to_owned(), include_tombstones, ..all() };
            let mut expected: Vec<_> = (writes.iter().map(|write| write.view.clone()))
                .filter(|view| include_tombstones || view.live)
                .filter(|view| range.covers(view.path.as_deref().unwrap()))
                .collect();
            expected.sort_by_key(|view| (view.path.clone(), view.id.clone()));
            for limit in [1, 2, 3, 7, 100] {
                assert_eq!(in_pages(&*store, log, &range, limit).await, expected, "{prefix:?}");
            }
        }
    }
    let nothing = PathRange { limit: 0, ..all() };
    assert_eq!(store.scan_paths(log, NODES, &nothing).await.unwrap(), []);
    // A page may begin after what is gone, or outside of the prefix.
    let beyond = |path: &str| PathRange {
        prefix: "lib".to_owned(),
        after: Some((path.to_owned(), Bytes::new())),
        ..all()
    };
    assert_eq!(paths(&*store, log, &beyond("a")).await, ["lib", "lib/a", "lib/b"]);
    assert_eq!(paths(&*store, log, &beyond("lib.gone")).await, ["lib/a", "lib/b"]);
    assert_eq!(paths(&*store, log, &beyond("lib/aa")).await, ["lib/b"]);
    assert_eq!(paths(&*store, log, &beyond("m")).await, Vec::<String>::new());
    Outcome::Passed
}

pub async fn random_moves_agree_with_a_model(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    let mut random = RandomSequence(42);
    let mut model: BTreeMap<Bytes, View> = BTreeMap::new();
    for _ in 0..30 {
        let mut writes = Vec::new();
        for _ in 0..6 {
            // One position of a node means one row.
            let (id, revision) = (random.below(12) as u8, random.below(60));
            let path = ["a", "a/b", "a/b/c", "a-b", "b"][(revision % 5) as usize];
            let mut write = node(&[id], path, revision);
            write.view.live = revision % 4 > 0;
            writes.push(write);
        }
        store.write_views(log, &writes, None).await.unwrap();
        for ViewWrite { view, .. } in writes {
            let stored = model.entry(view.id.clone()).or_insert_with(|| view.clone());
            if view.position > stored.position {
                *stored = view;
            }
        }
        for (prefix, include_tombstones) in [("", true), ("", false), ("a", true), ("a/b", false)] {
            let range = PathRange { prefix: prefix.to_owned(), include_tombstones, ..all() };
            let mut expected: Vec<_> = (model.values())
                .filter(|view| include_tombstones || view.live)
                .filter(|view| range.covers(view.path.as_deref().unwrap()))
                .cloned()
                .collect();
            expected.sort_by_key(|view| (view.path.clone(), view.id.clone()));
            assert_eq!(in_pages(&*store, log, &range, 4).await, expected);
        }
    }
    Outcome::Passed
}

pub async fn paths_belong_to_a_kind(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let (log, other) = (LogWriter::new("main").log, LogWriter::new("other").log);
    let kinds = [NODES, SHEETS, EXPORTS];
    // The same ids and paths in kinds of two rooms.
    let rows = |kind: ViewKind| {
        let revision = u64::from(kind.number);
        [("1", "a"), ("2", "a/b"), ("3", "b")]
            .map(|(id, path)| row_at(kind, id.as_bytes(), path, revision))
    };
    for kind in kinds {
        store.write_views(log, &rows(kind), None).await.unwrap();
    }
    let views = |kind| rows(kind).map(|write| write.view);
    for kind in kinds {
        let expected = views(kind);
        assert_eq!(store.scan_paths(log, kind, &all()).await.unwrap(), expected);
        let below = PathRange { prefix: "a".to_owned(), ..all() };
        assert_eq!(store.scan_paths(log, kind, &below).await.unwrap(), expected[..2]);
        let rest = PathRange { after: Some(("a".to_owned(), Bytes::from_static(b"1"))), ..all() };
        assert_eq!(store.scan_paths(log, kind, &rest).await.unwrap(), expected[1..]);
        assert_eq!(store.views_at(log, kind, "b").await.unwrap(), expected[2..]);
        assert_eq!(store.views_at(other, kind, "b").await.unwrap(), []);
    }
    // What is moved, removed or cleared in one kind is so in that kind alone.
    let moved = row_at(SHEETS, b"2", "c", 99);
    store.write_views(log, std::slice::from_ref(&moved), None).await.unwrap();
    store.delete_views(log, EXPORTS, &[Bytes::from_static(b"2")]).await.unwrap();
    assert_eq!(store.views_at(log, SHEETS, "a/b").await.unwrap(), []);
    assert_eq!(store.views_at(log, SHEETS, "c").await.unwrap(), [moved.view]);
    assert_eq!(store.views_at(log, EXPORTS, "a/b").await.unwrap(), []);
    assert_eq!(store.scan_paths(log, EXPORTS, &all()).await.unwrap().len(), 2);
    assert_eq!(store.scan_paths(log, NODES, &all()).await.unwrap(), views(NODES));
    store.clear_views(log).await.unwrap();
    for kind in kinds {
        assert_eq!(store.scan_paths(log, kind, &all()).await.unwrap(), []);
    }
    Outcome::Passed
}

pub async fn kinds_without_paths_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = LogWriter::new("main").log;
    for kind in [CHANGES, ACTORS] {
        // A path may be kept all the same.
        let write = row_at(kind, b"1", "a", 1);
        store.write_views(log, std::slice::from_ref(&write), None).await.unwrap();
        assert_eq!(store.view(log, kind, b"1").await.unwrap(), Some(write.view));
        assert_kind(store.views_at(log, kind, "a").await, StoreErrorKind::Invalid);
        assert_kind(store.scan_paths(log, kind, &all()).await, StoreErrorKind::Invalid);
    }
    Outcome::Passed
}

fn all() -> PathRange {
    PathRange { prefix: String::new(), after: None, include_tombstones: false, limit: 1000 }
}

async fn paths(store: &dyn Store, log: LogId, range: &PathRange) -> Vec<String> {
    let rows = store.scan_paths(log, NODES, range).await.unwrap();
    rows.into_iter().map(|row| row.path.unwrap()).collect()
}

/// All rows of a range, read in pages of `limit`.
async fn in_pages(store: &dyn Store, log: LogId, range: &PathRange, limit: usize) -> Vec<View> {
    let mut range = PathRange { limit, ..range.clone() };
    let mut rows: Vec<View> = Vec::new();
    loop {
        let page = store.scan_paths(log, NODES, &range).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return rows };
        range.after = Some((last.path.clone().unwrap(), last.id.clone()));
        rows.extend(page);
    }
}
