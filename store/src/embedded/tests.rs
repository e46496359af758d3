//! The embedded store from inside: groups, marks, records.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Bound::{Excluded, Included};

use tempfile::TempDir;
use tokio::sync::oneshot::Receiver;

use super::engine::Space;
use super::group::{Group, Tails};
use super::*;
use crate::batch::BatchId;
use crate::view::Position;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_logs_share_their_fsyncs() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(directory.path(), EmbeddedOptions::small()).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..1000_u32 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut log = [0; 32];
            log[..4].copy_from_slice(&number.to_be_bytes());
            store.append(LogId(log), 1, &batch(1, [0; 32])).await.unwrap()
        });
    }
    assert!(writers.join_all().await.iter().all(|answer| *answer == Append::Committed));
    let groups = read::last_group(&store.reach().unwrap().engine.moment()).unwrap();
    assert!((1..=100).contains(&groups), "{groups} fsyncs for 1000 logs");
    store.close().await.unwrap();
}

#[test]
fn requests_of_a_group_see_one_another() {
    let (_directory, engine) = engine();
    let mut tails = Tails::default();
    let mut group = Group::default();
    let moment = engine.moment();
    let first = batch(1, [0; 32]);
    let mut second = batch(2, first.digest());
    second.operations = vec![OperationKey([1; 16])];
    let mut rival = second.clone();
    rival.id = BatchId([99; 16]);
    let mut stranger = batch(4, [0; 32]);
    stranger.descriptor = None;
    let asked = [(1, &first), (2, &second), (2, &rival), (2, &second), (4, &stranger)];
    let receivers = asked.map(|(number, batch)| {
        let (answer, receiver) = oneshot::channel();
        let (encoded, batch) = (batch.encode().unwrap(), Box::new(batch.clone()));
        let request = Request::Append { log: LOG, number, batch, encoded, answer };
        assert!(group.take(request, &moment, &mut tails).is_none());
        receiver
    });
    commit(&engine, group);
    let [one, two, lost, again, gap] = receivers.map(|mut receiver| receiver.try_recv().unwrap());
    assert_eq!(one.unwrap(), Append::Committed);
    assert_eq!(two.unwrap(), Append::Committed);
    assert_eq!(lost.unwrap(), Append::Taken);
    assert_eq!(again.unwrap(), Append::Committed);
    assert_eq!(gap.unwrap_err().kind, StoreErrorKind::Invalid);
    let page = read::batches(&engine.moment(), LOG, 1, usize::MAX).unwrap();
    assert_eq!(page.len(), 2);
}

#[test]
fn rows_that_move_twice_in_a_group_have_one_place() {
    let (_directory, engine) = engine();
    let moves = [("a", 1), ("b", 2), ("a", 3), ("c", 2)];
    let mut group = Group::default();
    let mut answers = Vec::new();
    for (path, revision) in moves {
        let writes = vec![node(path, revision)];
        let watermark = Some(mark(revision));
        let (answer, receiver) = oneshot::channel();
        let request = Request::Views { log: LOG, writes, watermark, answer };
        group.take(request, &engine.moment(), &mut Tails::default());
        answers.push(receiver);
    }
    assert!(!group.is_durable());
    commit(&engine, group);
    assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()));
    let moment = engine.moment();
    for (path, rows) in [("a", 1), ("b", 0), ("c", 0)] {
        assert_eq!(read::views_at(&moment, LOG, path).unwrap().len(), rows, "{path}");
    }
    assert_eq!(read::watermark(&moment, LOG).unwrap(), mark(3));
}

#[test]
fn rows_are_written_before_the_watermark_that_speaks_of_them() {
    let (_directory, engine) = engine();
    let mut group = Group::default();
    let (answer, _receiver): (_, Receiver<StoreResult<()>>) = oneshot::channel();
    let writes = vec![node("a", 1)];
    let request = Request::Views { log: LOG, writes, watermark: Some(mark(1)), answer };
    group.take(request, &engine.moment(), &mut Tails::default());
    let (rows, _) = group.into_rows(1);
    let (_, last, _) = rows.last().unwrap();
    assert_eq!(*last, keys::watermark(LOG));
}

#[test]
fn a_failed_group_leaves_appends_unknown_and_refusals_as_they_are() {
    let (_directory, engine) = engine();
    let mut group = Group::default();
    let receivers = [(1, batch(1, [0; 32])), (3, batch(3, [0; 32]))].map(|(number, batch)| {
        let (answer, receiver) = oneshot::channel();
        let (encoded, batch) = (batch.encode().unwrap(), Box::new(batch));
        let request = Request::Append { log: LOG, number, batch, encoded, answer };
        group.take(request, &engine.moment(), &mut Tails::default());
        receiver
    });
    let (_, waiting) = group.into_rows(1);
    for waiting in waiting {
        waiting.fail("no disk");
    }
    let kinds = receivers.map(|mut receiver| receiver.try_recv().unwrap().unwrap_err().kind);
    assert_eq!(kinds, [StoreErrorKind::OutcomeUnknown, StoreErrorKind::Invalid]);
}

#[test]
fn a_mark_is_read_back_and_its_damage_found() {
    let directory = tempfile::tempdir().unwrap();
    let reopened = || Directory::open(directory.path()).map(|(_, mark, _)| mark.group());
    for group in [1, 2, 3] {
        let (_lock, mut mark, _) = Directory::open(directory.path()).unwrap();
        assert_eq!(mark.group(), group - 1);
        mark.set(group).unwrap();
    }
    let file = directory.path().join("MARK");
    let whole = fs::read(&file).unwrap();
    let broken = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        reopened()
    };
    // 3 stands in the second slot, 2 in the first.
    assert_eq!(broken(0).unwrap(), 3);
    assert_eq!(broken(4096).unwrap(), 2);
    let zeros = vec![0; whole.len()];
    fs::write(&file, zeros).unwrap();
    assert_eq!(reopened().unwrap_err().kind, StoreErrorKind::Damaged);
    fs::write(&file, []).unwrap();
    assert_eq!(reopened().unwrap_err().kind, StoreErrorKind::Damaged);
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
    engine.write([(Space::Index, b"b".to_vec(), Some(record::seal(b"b", b"")))], false).unwrap();
    let moment = engine.moment();
    let count = |from, to| moment.range(Space::Index, from, to).count();
    assert_eq!(count(Included(&b"b"[..]), Included(&b"b"[..])), 1);
    assert_eq!(count(Included(&b"a"[..]), Excluded(&b"b"[..])), 0);
    assert_eq!(count(Excluded(&b"b"[..]), Excluded(&b"b"[..])), 0);
    assert_eq!(count(Included(&b"c"[..]), Included(&b"a"[..])), 0);
}

#[test]
fn keys_of_a_log_stay_in_its_ranges() {
    let paths = ["", "a", "a!", "a/b", "a/b/c", "ab", "\u{10ffff}"];
    let (from, to) = keys::all_rows(LOG);
    let mut keys_in_order = BTreeSet::new();
    for path in paths {
        for id in [&b""[..], &[0], &[0xff; 8]] {
            let key = keys::path(LOG, path, id);
            assert!(from <= key && key < to);
            assert_eq!(keys::path_and_id(&key), Some((path, id)));
            keys_in_order.insert((path, id, key));
        }
    }
    assert!(keys_in_order.iter().map(|(_, _, key)| key).is_sorted());
    let (from, to) = keys::rows_at(LOG, "a");
    let at = keys_in_order.iter().filter(|(_, _, key)| from <= *key && *key < to);
    assert!(at.map(|(path, _, _)| *path).all(|path| path == "a"));
    let (from, to) = keys::rows_below(LOG, "a");
    let below = keys_in_order.iter().filter(|(_, _, key)| from <= *key && *key < to);
    assert!(below.map(|(path, _, _)| *path).eq(["a/b", "a/b", "a/b", "a/b/c", "a/b/c", "a/b/c"]));
}

const LOG: LogId = LogId([5; 32]);

fn engine() -> (TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path(), &EmbeddedOptions::small()).unwrap();
    (directory, engine)
}

fn commit(engine: &Engine, group: Group) {
    let durable = group.is_durable();
    let (rows, waiting) = group.into_rows(1);
    engine.write(rows, durable).unwrap();
    for waiting in waiting {
        waiting.answer();
    }
}

fn batch(number: u8, previous: [u8; 32]) -> Batch {
    let name = |name: &str| name.to_owned();
    let descriptor = LogDescriptor {
        realm: name("acme"),
        repo: name("web"),
        branch: name("main"),
        incarnation: 1,
    };
    Batch {
        id: BatchId([number; 16]),
        previous,
        descriptor: (number == 1).then_some(descriptor),
        first_revision: number.into(),
        count: 1,
        operations: Vec::new(),
        chunks: Vec::new(),
        closing: false,
        manifest: Bytes::from_static(b"manifest"),
        body: Bytes::from_static(b"body"),
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
    ViewWrite { kind: ViewKind::Node, view }
}

fn mark(revision: u64) -> Watermark {
    Watermark { position: Position { epoch: 1, revision }, number: revision }
}
