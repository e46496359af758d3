//! What a branch still knows after a restore: what it answered, and which conflicts are open.

use futures::{StreamExt, stream};
use vdom_core::dom::calls::{ChangeSetPart, CreateBranch, ListConflicts, Resolution, SetOutcome};
use vdom_core::dom::diff::TextOperation;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{ConflictId, ErrorCode};

use super::branches::{branch, delete, from, set_in};
use super::forks::first_batch;
use super::retries::resolve;
use super::two_gateways::compact_in;
use super::*;
use crate::branch::point_in_time::hash_at;
use crate::maintenance::{backup, collect, rebuild, restore, verify};
use crate::records::ControlRecord;
use crate::registry::open::log_descriptor;

/// What a backup of the store makes of an empty one.
pub(super) async fn restored(store: &MemoryStore) -> MemoryStore {
    let store: Arc<dyn Store> = Arc::new(store.peer());
    let (file, _) = backup(&maintained(&store), Vec::new(), |_| {}).await.expect("a backup");
    let new = MemoryStore::shared(2);
    let filled: Arc<dyn Store> = Arc::new(new.peer());
    let file = std::io::Cursor::new(file);
    restore(&maintained(&filled), &environment(), file, |_| {}).await.expect("restored");
    new
}

fn peer(store: &MemoryStore) -> DocumentRoom {
    room_over(Arc::new(store.peer()))
}

/// Appends a `+` to `a`; done twice, it shows.
fn plus(number: u8) -> WriteDiff {
    WriteDiff {
        operation_id: Some(operation(number)),
        on_conflict: OnConflict::Overwrite,
        ..write("a", Diff::text(&[TextOperation::insert("+")]))
    }
}

async fn write_set(room: &DocumentRoom, number: u8) -> Result<SetOutcome> {
    let parts = [overwrite("s", "1"), overwrite("t", "1")];
    let parts = parts.map(|diff| Ok(ChangeSetPart::Diff(Box::new(diff))));
    let set = WriteDiffs { operation_id: Some(operation(number)), ..set() };
    room.write_diffs(&caller("anna"), set, stream::iter(parts).boxed()).await
}

/// Open conflicts, one a page.
async fn open(room: &DocumentRoom) -> Vec<ConflictId> {
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied();
        let request = ListConflicts { address: address(), paths: vec![], after, limit: 1 };
        let page = room.list_conflicts(&caller("anna"), request).await.expect("listed");
        ids.extend(page.conflicts.iter().map(|conflict| conflict.id));
        if !page.more {
            return ids;
        }
    }
}

#[tokio::test]
async fn what_was_answered_before_a_restore_is_answered_so_again() {
    for is_compacted in [false, true] {
        let store = MemoryStore::shared(1);
        let room = peer(&store);
        let first = put(&room, "a", "one").await;
        accepted(&room, edit(&first, "a", Diff::put_file(b"two"))).await;
        let stale = WriteDiff { keep_conflict: true, ..edit(&first, "a", Diff::put_file(b"m")) };
        let conflict = conflicted(&room, stale).await.conflict_id.expect("kept");
        let written = accepted(&room, plus(1)).await;
        let of_set = write_set(&room, 2).await.expect("written");
        let resolved = resolve(&room, conflict, Resolution::Ours, 3).await.expect("resolved");
        let create =
            || CreateBranch { operation_id: Some(operation(4)), ..from("n", "main", None) };
        let created = room.create_branch(&caller("anna"), create()).await.expect("created");
        for number in 0..5 {
            set_in(&room, "main", "b", &number.to_string()).await;
        }
        if is_compacted {
            // Not beyond where the other branch begins.
            assert_eq!(compact_in(&room, "main", 1).await, Some(5));
        }
        room.close().await;

        let mut store = store;
        for _ in 0..2 {
            store = restored(&store).await;
            for room in [peer(&store), peer(&store)] {
                assert_eq!(accepted(&room, plus(1)).await, written);
                assert_eq!(write_set(&room, 2).await.as_ref(), Ok(&of_set));
                let again = resolve(&room, conflict, Resolution::Ours, 3).await;
                assert_eq!(again.as_ref(), Ok(&resolved));
                let again = room.create_branch(&caller("anna"), create()).await.expect("again");
                assert_eq!((again.revision, &again.origin), (created.revision, &created.origin));
                assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("+two"));
                let other = DiffSource::Bson(Diff::put_file(b"other"));
                let other = WriteDiff { diff: other, ..plus(1) };
                let refused = room.write_diff(&caller("anna"), other).await.expect_err("other");
                assert_eq!(refused.code, ErrorCode::FailedPrecondition);
                let at = ReadAt { after_operation: Some(operation(1)), ..ReadAt::default() };
                read_at(&room, "a", at).await.expect("it is known");
                room.close().await;
            }
            // What is compacted now stands after what is remembered.
            let room = peer(&store);
            for number in 0..3 {
                set_in(&room, "main", "b", &number.to_string()).await;
            }
            compact_in(&room, "main", 1).await.expect("compacted");
            assert_eq!(accepted(&room, plus(1)).await, written);
            room.close().await;
        }
    }
}

#[tokio::test]
async fn conflicts_that_were_open_are_open_after_a_restore_until_somebody_resolves_them() {
    let store = MemoryStore::shared(1);
    let room = peer(&store);
    let first = put(&room, "a", "one").await;
    accepted(&room, edit(&first, "a", Diff::put_file(b"two"))).await;
    let large = "x".repeat(CHUNK_BYTES + 1);
    let keep = |number: u8, content: &str| WriteDiff {
        keep_conflict: true,
        operation_id: Some(operation(number)),
        ..edit(&first, "a", Diff::put_file(content.as_bytes()))
    };
    let mut ids = Vec::new();
    for (number, content) in [(1, "theirs"), (2, "ours"), (3, &*large), (4, "resolved")] {
        ids.push(conflicted(&room, keep(number, content)).await.conflict_id.expect("kept"));
    }
    resolve(&room, ids[3], Resolution::Ours, 10).await.expect("resolved");
    room.close().await;

    let sorted = |ids: &[ConflictId]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(id.0));
        ids
    };
    let store = restored(&store).await;
    let room = peer(&store);
    assert_eq!(open(&room).await, sorted(&ids[..3]));
    // The same write, refused again, is the same conflict; one that was resolved stays so.
    for (number, content, id) in [(2, "ours", ids[1]), (4, "resolved", ids[3])] {
        assert_eq!(conflicted(&room, keep(number, content)).await.conflict_id, Some(id));
    }
    resolve(&room, ids[0], Resolution::Theirs, 11).await.expect("resolved");
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("theirs"));
    resolve(&room, ids[1], Resolution::Ours, 12).await.expect("resolved");
    assert_eq!(open(&room).await, [ids[2]]);
    for number in 0..3 {
        set_in(&room, "main", "b", &number.to_string()).await;
    }
    compact_in(&room, "main", 1).await.expect("compacted");
    assert_eq!(open(&room).await, [ids[2]], "what is resolved is not open for being compacted");
    room.close().await;

    let shared: Arc<dyn Store> = Arc::new(store.peer());
    let now = SystemTime::now() + Duration::from_secs(2 * 24 * 60 * 60);
    let later = Environment::new(move || now, Duration::default, |_| Ok(()));
    collect(&maintained(&shared), &later, "default").await.expect("collected");
    rebuild(&maintained(&shared), &environment(), |_| {}).await.expect("rebuilt");
    assert!(verify(&maintained(&shared), |_| {}).await.expect("verified").findings.is_empty());
    let store = restored(&store).await;
    let room = peer(&store);
    assert_eq!(open(&room).await, [ids[2]], "also of the restore of a restore");
    resolve(&room, ids[2], Resolution::Theirs, 13).await.expect("resolved");
    let read = read_at(&room, "a", ReadAt::default()).await.expect("there").node;
    assert_eq!(read.content.len(), large.len() as u64);
    assert_eq!(open(&room).await, []);
    let gone = resolve(&room, ids[2], Resolution::Theirs, 14).await.expect_err("resolved");
    assert_eq!(gone.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_came_after_the_revision_where_a_restore_goes_on_is_not_remembered() {
    let store = MemoryStore::shared(1);
    let room = peer(&store);
    let first = put(&room, "a", "").await;
    let early = WriteDiff { keep_conflict: true, ..write("a", Diff::put_file(b"early")) };
    let early = conflicted(&room, early).await.conflict_id.expect("kept");
    let kept = accepted(&room, plus(1)).await;
    accepted(&room, plus(2)).await;
    let late = WriteDiff { keep_conflict: true, ..write("a", Diff::put_file(b"late")) };
    conflicted(&room, late).await;
    let permit = room.registry.permits.of(vdom_security::Duty::Compact);
    let handle = room.registry.existing(permit, &address()).await.expect("open");
    let hash = hash_at(&handle.branch, 2).await.expect("kept");
    drop(handle);
    delete(&room, "main").await.expect("ended");

    let parent = ControlRecord::Parent {
        branch: "main".to_owned(),
        incarnation: 1,
        revision: 2,
        previous_epoch: Some(first.epoch),
    };
    let descriptor = log_descriptor(&branch("main"), 2);
    let log = descriptor.log_id();
    let batch = first_batch(descriptor, 3, first.epoch + 1, hash, parent);
    store.append(log, 1, &batch).await.expect("appended");
    let room = peer(&store);
    assert_eq!(accepted(&room, plus(1)).await, kept);
    assert_eq!(open(&room).await, [early]);
    assert_eq!(accepted(&room, plus(2)).await.revision, 3, "it is done anew");
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("++"));
}
