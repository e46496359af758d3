//! Rows of kind Node by path.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::fixtures::{Random, Writer, node, tombstone};
use super::{Outcome, Subject};
use crate::batch::LogId;
use crate::contract::Store;
use crate::view::{PathRange, View, ViewKind, ViewWrite};

pub async fn a_tombstone_hides_and_stays(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = Writer::new("main").log;
    store.write_views(log, &[node(b"old", "a/b", 1)], None).await.unwrap();
    let deleted = tombstone(b"old", "a/b", 2);
    store.write_views(log, std::slice::from_ref(&deleted), None).await.unwrap();
    let view = store.view(log, ViewKind::Node, b"old").await.unwrap();
    assert_eq!(view.as_ref(), Some(&deleted.view));
    assert_eq!(store.views_at(log, "a/b").await.unwrap(), []);
    assert_eq!(paths(&*store, log, &all()).await, Vec::<String>::new());

    // A recreated path is another node beside the tombstone.
    let recreated = node(b"new", "a/b", 3);
    store.write_views(log, std::slice::from_ref(&recreated), None).await.unwrap();
    assert_eq!(store.views_at(log, "a/b").await.unwrap(), std::slice::from_ref(&recreated.view));
    let everything = PathRange { include_tombstones: true, ..all() };
    let rows = store.scan_paths(log, &everything).await.unwrap();
    assert_eq!(rows, [recreated.view, deleted.view]);
    Outcome::Passed
}

pub async fn a_rename_moves_the_row(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = Writer::new("main").log;
    let before = [node(b"1", "a", 1), node(b"2", "b", 2)];
    store.write_views(log, &before, None).await.unwrap();
    // The two swap their paths.
    let after = [node(b"1", "b", 3), node(b"2", "a", 3)];
    store.write_views(log, &after, None).await.unwrap();
    assert_eq!(store.views_at(log, "a").await.unwrap(), [after[1].view.clone()]);
    assert_eq!(store.views_at(log, "b").await.unwrap(), [after[0].view.clone()]);
    let rows = store.scan_paths(log, &all()).await.unwrap();
    assert_eq!(rows, [after[1].view.clone(), after[0].view.clone()]);
    // A row that gives its path up is found by its id alone.
    let mut nowhere = node(b"1", "", 4);
    nowhere.view.path = None;
    store.write_views(log, std::slice::from_ref(&nowhere), None).await.unwrap();
    assert_eq!(store.views_at(log, "b").await.unwrap(), []);
    assert_eq!(paths(&*store, log, &all()).await, ["a"]);
    assert_eq!(store.view(log, ViewKind::Node, b"1").await.unwrap(), Some(nowhere.view));
    Outcome::Passed
}

pub async fn a_prefix_takes_whole_segments(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let log = Writer::new("main").log;
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
    let log = Writer::new("main").log;
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
    assert_eq!(store.scan_paths(log, &nothing).await.unwrap(), []);
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
    let log = Writer::new("main").log;
    let mut random = Random(42);
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

fn all() -> PathRange {
    PathRange { prefix: String::new(), after: None, include_tombstones: false, limit: 1000 }
}

async fn paths(store: &dyn Store, log: LogId, range: &PathRange) -> Vec<String> {
    let rows = store.scan_paths(log, range).await.unwrap();
    rows.into_iter().map(|row| row.path.unwrap()).collect()
}

/// All rows of a range, read in pages of `limit`.
async fn in_pages(store: &dyn Store, log: LogId, range: &PathRange, limit: usize) -> Vec<View> {
    let mut range = PathRange { limit, ..range.clone() };
    let mut rows: Vec<View> = Vec::new();
    loop {
        let page = store.scan_paths(log, &range).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return rows };
        range.after = Some((last.path.clone().unwrap(), last.id.clone()));
        rows.extend(page);
    }
}
