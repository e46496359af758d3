//! The embedded store from inside: groups, marks, records.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Bound::{Excluded, Included};

use tempfile::TempDir;
use tokio::sync::oneshot::Receiver;

use super::commit_group::CommitGroup;
use super::keyspace::Keyspace;
use super::marker::{LastGroups, Marker};
use super::write_cache::WriteCache;
use super::*;
use crate::view::{Position, ViewFlags};

#[test]
fn rows_that_move_twice_in_a_group_have_one_place() {
    let (_directory, engine) = engine();
    let moves = [("a", 1), ("b", 2), ("a", 3), ("c", 2)];
    let (mut group, mut cache) = (CommitGroup::default(), WriteCache::default());
    let mut replies = Vec::new();
    for (path, revision) in moves {
        let writes = vec![node(path, revision)];
        let watermark = Some(mark(revision));
        let (reply, receiver) = oneshot::channel();
        let request = WriteRequest::Views { log: LOG, writes, watermark, reply };
        group.take(request, &engine.snapshot(), &mut cache);
        replies.push(receiver);
    }
    assert!(group.durable().is_empty());
    commit(&engine, group);
    assert!(replies.iter_mut().all(|reply| reply.try_recv().unwrap().is_ok()));
    let snapshot = engine.snapshot();
    for (path, rows) in [("a", 1), ("b", 0), ("c", 0)] {
        assert_eq!(read::views_at(&snapshot, LOG, NODES, path).unwrap().len(), rows, "{path}");
    }
    assert_eq!(read::watermark(&snapshot, LOG).unwrap(), mark(3));
}

#[test]
fn a_clear_that_was_broken_off_leaves_no_row_without_its_path() {
    for (same_process, revision) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
        let (_directory, engine) = engine();
        let mut cache = WriteCache::default();
        let mut write = |writes, keys: Option<Vec<Bytes>>| {
            if !same_process {
                cache = WriteCache::default();
            }
            let mut group = CommitGroup::default();
            let (reply, _receiver) = oneshot::channel();
            let request = match keys {
                Some(keys) => WriteRequest::ClearViews { log: LOG, keys, reply },
                None => WriteRequest::Views { log: LOG, writes, watermark: None, reply },
            };
            group.take(request, &engine.snapshot(), &mut cache);
            commit(&engine, group);
            read::views_at(&engine.snapshot(), LOG, NODES, "a").unwrap().len()
        };
        assert_eq!(write(vec![node("a", 1)], None), 1);
        // Rows by path go first.
        assert_eq!(write(Vec::new(), Some(vec![keys::path(LOG, NODES, "a", b"node").into()])), 0);
        assert_eq!(write(vec![node("a", revision)], None), 1, "{same_process} {revision}");
    }
}

#[test]
fn rows_are_written_before_the_watermark_that_speaks_of_them() {
    let (_directory, engine) = engine();
    let (mut group, mut cache) = (CommitGroup::default(), WriteCache::default());
    let (reply, _receiver): (_, Receiver<StoreResult<()>>) = oneshot::channel();
    let writes = vec![node("a", 1)];
    let request = WriteRequest::Views { log: LOG, writes, watermark: Some(mark(1)), reply };
    group.take(request, &engine.snapshot(), &mut cache);
    let (rows, _) = group.into_rows(1, |_| 0);
    let (_, last, _) = rows.last().unwrap();
    assert_eq!(*last, keys::watermark(LOG));
}

#[test]
fn a_marker_is_read_back_and_its_damage_found() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path(), directory.path().join("MARK"));
    Marker::create(&file, LastGroups::default()).unwrap();
    let open = || EngineMarker::open(path, &file);
    let holds = |groups: &LastGroups| open().unwrap().check(path, groups).is_ok();
    for groups in [[0, 1, 0, 0], [0, 1, 0, 2], [0, 3, 0, 2]] {
        open().unwrap().set(groups).unwrap();
    }
    assert!(holds(&[0, 3, 0, 2]));
    assert!(holds(&[0, 4, 0, 2]));
    for lost in [[0, 2, 0, 2], [0, 3, 0, 1]] {
        assert!(!holds(&lost), "{lost:?}");
    }
    let whole = fs::read(&file).unwrap();
    let break_at = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    // The last one stands in the slot that is not the one before it's.
    let newest = open().unwrap().slot;
    break_at(4096 * newest);
    assert!(!holds(&[0, 2, 0, 2]));
    break_at(4096 * (1 - newest));
    assert!(holds(&[0, 1, 0, 2]) && !holds(&[0, 0, 0, 2]));
    for broken in [vec![0; whole.len()], vec![]] {
        fs::write(&file, broken).unwrap();
        assert_eq!(open().err().unwrap().kind, StoreErrorKind::Damaged);
    }
}

/// A write to a journal, as the engine makes it.
fn journal_write(sequence: u64, items: u32) -> Vec<u8> {
    let mut contents = Vec::new();
    for item in 0..items {
        contents.extend([2, 0, 0]);
        contents.extend(7_u64.to_le_bytes());
        contents.extend(3_u16.to_le_bytes());
        contents.extend(20_000_u32.to_le_bytes().repeat(2));
        contents.extend(b"key");
        contents.extend(vec![item as u8; 20_000]);
    }
    let checksum = xxhash_rust::xxh3::xxh3_64(&contents);
    let mut write = vec![1];
    write.extend(items.to_le_bytes());
    write.extend(sequence.to_le_bytes());
    write.extend(contents);
    write.push(3);
    write.extend(checksum.to_le_bytes());
    write.extend([b'F', b'J', b'L', 3]);
    write
}

#[test]
fn journals_are_read_as_the_engine_writes_them() {
    let (directory, engine) = engine();
    for number in 0..50_u8 {
        let key = vec![number];
        let value = record::seal(&key, &vec![number; 200 * usize::from(number)]);
        engine.write([(Keyspace::Views, key, Some(value))], true).unwrap();
    }
    drop(engine);
    let length = || {
        let bytes = fs::read(directory.path().join("0.jnl")).unwrap();
        bytes.iter().rposition(|byte| *byte != 0)
    };
    let before = length();
    for was_closed in [true, false] {
        let cut = journals::check(directory.path(), directory.path(), was_closed).unwrap();
        assert!(cut.is_none(), "nothing is cut");
        assert!(before.unwrap() > 50 * 200 && length() == before);
    }
}

#[test]
fn a_journal_says_that_a_keyspace_was_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    let keyspace = database.keyspace("logs", fjall::KeyspaceCreateOptions::default).unwrap();
    keyspace.insert("key", "value").unwrap();
    keyspace.clear().unwrap();
    keyspace.insert("key", "another").unwrap();
    drop((keyspace, database));
    assert!(journals::check(directory.path(), directory.path(), false).unwrap().is_none());
}

#[test]
fn journals_are_held_to_what_they_must_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = |number: u32| directory.path().join(format!("{number}.jnl"));
    // The tenth comes after the ninth, and zeros at an end are no part of it.
    let written = [(9, [1, 2]), (10, [3, 5]), (11, [6, 8])];
    let whole = written.map(|(number, sequences)| {
        (number, sequences.map(|sequence| journal_write(sequence, 3)).concat())
    });
    let restore = || {
        for (number, bytes) in &whole {
            fs::write(path(*number), [&bytes[..], &vec![0; 70_000]].concat()).unwrap();
        }
    };
    let check = || journals::check(directory.path(), directory.path(), false);
    let kind = || check().err().unwrap().kind;
    restore();
    assert!(check().unwrap().is_none());
    let length = whole[0].1.len();
    for at in [0, 1, 5, 12, 13, 14, 20, 24, 40, 30_000, length / 2, length - 5, length - 1] {
        for number in [9, 10] {
            let mut bytes = fs::read(path(number)).unwrap();
            bytes[at] ^= 0x40;
            fs::write(path(number), bytes).unwrap();
            assert_eq!(kind(), StoreErrorKind::Damaged, "{at} of {number}");
            restore();
        }
        // The last one may be torn, and keeps what is whole.
        let mut bytes = fs::read(path(11)).unwrap();
        bytes[at] ^= 0x40;
        fs::write(path(11), &bytes).unwrap();
        let kept = if at < length / 2 { 0 } else { length / 2 };
        match check() {
            Ok(cut) => {
                assert_eq!(fs::metadata(path(11)).unwrap().len(), kept as u64, "{at}");
                let beside = directory.path().join("11.jnl.cut");
                let set_aside = fs::read(&beside).unwrap();
                assert!(set_aside.len() >= length - kept);
                assert!(bytes[kept..].starts_with(&set_aside));
                cut.unwrap().forget().unwrap();
                assert!(!beside.exists());
            }
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Damaged),
        }
        restore();
    }
    // A sequence number that repeats or falls back.
    for sequence in [4, 5] {
        fs::write(path(11), journal_write(sequence, 1)).unwrap();
        assert_eq!(kind(), StoreErrorKind::Damaged);
    }
}

#[test]
fn a_half_made_engine_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let half_made = directory.path().join("engine.new");
    fs::create_dir(&half_made).unwrap();
    fs::write(half_made.join("lock"), "").unwrap();
    fs::write(half_made.join("version"), "").unwrap();
    EmbeddedStore::open(directory.path(), EmbeddedOptions::small()).unwrap();
    assert!(!half_made.exists());
}

#[test]
fn a_manifest_that_is_another_is_found_out() {
    let (directory, engine) = engine();
    drop(engine);
    let check = || manifests::check(directory.path(), directory.path());
    check().unwrap();
    for name in ["current", "v0"] {
        let path = directory.path().join("keyspaces/1").join(name);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, flipped).unwrap();
            assert_eq!(check().unwrap_err().kind, StoreErrorKind::Damaged, "{at} of {name}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(check().unwrap_err().kind, StoreErrorKind::Damaged);
        fs::write(&path, whole).unwrap();
    }
    check().unwrap();
}

#[test]
fn a_record_belongs_to_its_key() {
    let sealed = record::seal(b"key", b"value");
    assert_eq!(record::unseal(b"key", &sealed).unwrap(), &b"value"[..]);
    for key in [&b"kez"[..], b"ke", b"keyv"] {
        let error = record::unseal(key, &sealed).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Damaged);
    }
    for at in 0..sealed.len() {
        let mut flipped = sealed.to_vec();
        flipped[at] ^= 0x10;
        assert!(record::unseal(b"key", &flipped.into()).is_err());
    }
    assert!(record::unseal(b"key", &sealed.slice(..3)).is_err());
}

#[test]
fn empty_ranges_are_empty() {
    let (_directory, engine) = engine();
    engine.write([(Keyspace::Index, b"b".to_vec(), Some(record::seal(b"b", b"")))], false).unwrap();
    let snapshot = engine.snapshot();
    let count = |from, to| snapshot.range(Keyspace::Index, from, to).count();
    assert_eq!(count(Included(&b"b"[..]), Included(&b"b"[..])), 1);
    assert_eq!(count(Included(&b"a"[..]), Excluded(&b"b"[..])), 0);
    assert_eq!(count(Excluded(&b"b"[..]), Excluded(&b"b"[..])), 0);
    assert_eq!(count(Included(&b"c"[..]), Included(&b"a"[..])), 0);
}

#[test]
fn keys_of_a_log_stay_in_its_ranges() {
    for kind in [NODES, SHEETS] {
        keys_of_a_kind_stay_in_its_ranges(kind);
    }
}

fn keys_of_a_kind_stay_in_its_ranges(kind: ViewKind) {
    let paths = ["", "a", "a!", "a/b", "a/b/c", "ab", "\u{10ffff}"];
    let (from, to) = keys::all_rows(LOG, kind);
    let mut keys_in_order = BTreeSet::new();
    for path in paths {
        for id in [&b""[..], &[0], &[0xff; 8]] {
            let key = keys::path(LOG, kind, path, id);
            assert!(from <= key && key < to);
            assert_eq!(keys::path_and_id(kind, &key), Some((path, id)));
            keys_in_order.insert((path, id, key));
        }
    }
    assert!(keys_in_order.iter().map(|(_, _, key)| key).is_sorted());
    let (from, to) = keys::rows_at(LOG, kind, "a");
    let at = keys_in_order.iter().filter(|(_, _, key)| from <= *key && *key < to);
    assert!(at.map(|(path, _, _)| *path).all(|path| path == "a"));
    let (from, to) = keys::rows_below(LOG, kind, "a");
    let below = keys_in_order.iter().filter(|(_, _, key)| from <= *key && *key < to);
    assert!(below.map(|(path, _, _)| *path).eq(["a/b", "a/b", "a/b", "a/b/c", "a/b/c", "a/b/c"]));
}

/// The keys of stores that earlier releases wrote.
#[test]
fn the_keys_of_the_first_format_stay() {
    let key = |key: Vec<u8>| hex::encode(key).replace(&LOG.to_string(), "-");
    assert_eq!(key(keys::row(LOG, NODES, b"id")), "76-016964");
    assert_eq!(key(keys::path(LOG, NODES, "a/b", b"id")), "70-612f62006964");
    // Kinds that came later have their numbers in them.
    assert_eq!(key(keys::path(LOG, SHEETS, "a/b", b"id")), "71-20612f62006964");
}

const LOG: LogId = LogId([5; 32]);
const NODES: ViewKind = ViewKind::new(1, ViewFlags::PATH_INDEXED);
const SHEETS: ViewKind = ViewKind::new(32, ViewFlags::PATH_INDEXED);

fn engine() -> (TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path(), &EmbeddedOptions::small()).unwrap();
    (directory, engine)
}

fn commit(engine: &Engine, group: CommitGroup) {
    let durable = !group.durable().is_empty();
    let (rows, waiting) = group.into_rows(1, |_| 0);
    engine.write(rows, durable).unwrap();
    for waiting in waiting {
        waiting.send();
    }
}

fn node(path: &str, revision: u64) -> ViewWrite {
    let view = View {
        id: Bytes::from_static(b"node"),
        path: Some(path.to_owned()),
        live: true,
        position: Position { epoch: 1, revision },
        value: Bytes::new(),
    };
    ViewWrite { kind: NODES, view }
}

fn mark(revision: u64) -> Watermark {
    Watermark { position: Position { epoch: 1, revision }, number: revision }
}

/// A store that was dropped is free once its threads have ended.
pub(super) async fn opened_when_free(
    path: &Path,
    options: EmbeddedOptions,
) -> StoreResult<EmbeddedStore> {
    loop {
        match EmbeddedStore::open(path, options) {
            Err(error) if error.kind == StoreErrorKind::AlreadyOpen => {
                tokio::task::yield_now().await;
            }
            opened => return opened,
        }
    }
}

/// Numbers by seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) % bound as u64) as usize
    }
}
