//! What is safe to repeat: the first answer comes again, whatever happened since, and no
//! operation id stands for two requests.

use futures::{StreamExt, stream};
use vdom_core::dom::calls::{
    BranchSummary, ChangeSetPart, CreateBranch, DeleteBranch, Resolution, ResolveOutcome,
    RevertChanges, SetOutcome,
};
use vdom_core::{BranchName, ConflictId, ErrorCode};

use super::merging::resolve_under;
use super::*;
use crate::Retention;

fn branch(name: &str) -> BranchAddress {
    BranchAddress::parse("", "repo", name).expect("valid")
}

fn from_main(name: &str, number: u8) -> CreateBranch {
    CreateBranch {
        address: branch(name),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: None,
        operation_id: Some(operation(number)),
    }
}

async fn create(room: &DocumentRoom, request: CreateBranch) -> Result<BranchSummary> {
    room.create_branch(&caller("anna"), request).await
}

async fn compact(room: &DocumentRoom, on: &str) -> Option<u64> {
    let keep = Retention { changes: Some(1), age: None };
    let report = room.registry.compact(&branch(on), keep, 1).await.expect("compacted");
    report.map(|report| report.oldest_revision)
}

fn text(content: &str) -> Bytes {
    Diff::put_file(content.as_bytes())
}

async fn kept(room: &DocumentRoom, seen: &Written, diff: Bytes) -> ConflictId {
    let stale = WriteDiff { keep_conflict: true, ..edit(seen, "a", diff) };
    conflicted(room, stale).await.conflict_id.expect("kept")
}

pub(super) async fn resolve(
    room: &DocumentRoom,
    id: ConflictId,
    resolution: Resolution,
    number: u8,
) -> Result<ResolveOutcome> {
    resolve_under(Some(operation(number)), room, id, resolution).await
}

/// Two gateways over one store, so that a retry may come to the other one.
fn two_rooms() -> (DocumentRoom, DocumentRoom) {
    let store = MemoryStore::shared(1);
    (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())))
}

#[tokio::test]
async fn a_merge_that_had_nothing_to_write_is_answered_so_again() {
    let (here, there) = two_rooms();
    let first = put(&here, "a", "1\n2\n3\n").await;
    let second = accepted(&here, edit(&first, "a", text("1\n2\nX\n"))).await;
    let request = || WriteDiff {
        on_conflict: OnConflict::Merge,
        operation_id: Some(operation(5)),
        ..edit(&first, "a", text("1\n2\nX\n"))
    };
    let once = accepted(&here, request()).await;
    assert_eq!((once.revision, once.merged), (2, true));
    accepted(&here, edit(&second, "a", text("0\n2\n3\n"))).await;
    for room in [&here, &there] {
        assert_eq!(accepted(room, request()).await, once);
    }
    for n in 0..3 {
        accepted(&here, overwrite("a", &n.to_string())).await;
    }
    assert_eq!(compact(&here, "main").await, Some(5));
    for room in [&here, &there] {
        assert_eq!(accepted(room, request()).await, once, "also from compacted history");
        let other = WriteDiff { diff: DiffSource::Bson(text("other")), ..request() };
        let refused = room.write_diff(&caller("anna"), other).await.expect_err("other content");
        assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    }
    assert_eq!(text_at(&here, "a", None).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_set_of_one_that_had_nothing_to_write_names_a_revision_that_is_there() {
    for operation_id in [None, Some(operation(6))] {
        let room = room();
        let first = put(&room, "a", "1\n2\n3\n").await;
        accepted(&room, edit(&first, "a", text("1\n2\nX\n"))).await;
        let write = async || {
            let item = WriteDiff {
                on_conflict: OnConflict::Merge,
                ..edit(&first, "a", text("1\n2\nX\n"))
            };
            let parts = stream::iter([Ok(ChangeSetPart::Diff(Box::new(item)))]).boxed();
            let set = WriteDiffs { operation_id, ..set() };
            match room.write_diffs(&caller("anna"), set, parts).await {
                Ok(SetOutcome::Written(written)) => written,
                other => panic!("not written: {other:?}"),
            }
        };
        let once = write().await;
        assert_eq!((once.first_revision, once.last_revision), (2, 2));
        assert_eq!(once.results[0].revision, 2);
        let at = ReadAt { min_revision: Some(once.last_revision), ..ReadAt::default() };
        assert_eq!(read_at(&room, "a", at).await.expect("at least that").revision, 2);
        assert_eq!(write().await.last_revision, 2);
    }
}

#[tokio::test]
async fn a_branch_is_created_once_also_where_its_first_batch_is_compacted() {
    let room = room();
    put(&room, "a", "1").await;
    let first = create(&room, from_main("next", 9)).await.expect("created");
    for n in 0..5 {
        let diff = overwrite("a", &n.to_string());
        accepted(&room, WriteDiff { address: branch("next"), ..diff }).await;
    }
    assert_eq!(compact(&room, "next").await, Some(5));
    let again = create(&room, from_main("next", 9)).await.expect("answered again");
    assert_eq!((again.epoch, again.name), (first.epoch, first.name));
    let other = CreateBranch { from: None, ..from_main("next", 9) };
    let refused = create(&room, other).await.expect_err("other content");
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    let refused = create(&room, from_main("next", 8)).await.expect_err("taken");
    assert_eq!(refused.code, ErrorCode::AlreadyExists);
}

#[tokio::test]
async fn a_creation_or_deletion_that_comes_again_does_not_undo_what_came_between() {
    let room = room();
    put(&room, "a", "1").await;
    let delete = async || {
        let request = DeleteBranch { address: branch("next"), operation_id: Some(operation(2)) };
        room.delete_branch(&caller("anna"), request).await
    };
    create(&room, from_main("next", 1)).await.expect("created");
    delete().await.expect("deleted");
    let refused = create(&room, from_main("next", 1)).await.expect_err("it was deleted since");
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    create(&room, from_main("next", 3)).await.expect("created anew");
    delete().await.expect("answered again");
    let branches = branches_of(&room).await;
    let names: Vec<_> = branches.expect("listed").into_iter().map(|branch| branch.name).collect();
    assert_eq!(names, ["main", "next"]);
}

#[tokio::test]
async fn a_conflict_is_resolved_once_however_it_ends() {
    let (here, there) = two_rooms();
    let first = put(&here, "a", "one").await;
    accepted(&here, edit(&first, "a", text("two"))).await;
    let resolutions =
        [Resolution::Theirs, Resolution::Ours, Resolution::Manual(Bytes::from_static(b"by hand"))];
    for (number, resolution) in resolutions.into_iter().enumerate() {
        let number = number as u8 + 60;
        let id = kept(&here, &first, text(&number.to_string())).await;
        let once = resolve(&here, id, resolution.clone(), number).await.expect("resolved");
        accepted(&here, overwrite("a", "later")).await;
        for room in [&here, &there] {
            let again = resolve(room, id, resolution.clone(), number).await;
            assert_eq!(again.as_ref(), Ok(&once), "{resolution:?}");
            assert_eq!(text_at(room, "a", None).await.as_deref(), Some("later"));
            let other = resolve(room, id, Resolution::Merge, number).await.expect_err("other");
            assert_eq!(other.code, ErrorCode::FailedPrecondition);
        }
    }
}

#[tokio::test]
async fn a_revert_is_done_once_also_where_it_overwrites() {
    let (here, there) = two_rooms();
    put(&here, "a", "one").await;
    accepted(&here, overwrite("a", "two")).await;
    let revert = async |room: &DocumentRoom, last| {
        let request = RevertChanges {
            address: address(),
            first_revision: 2,
            last_revision: last,
            epoch: None,
            on_conflict: OnConflict::Overwrite,
            author: None,
            message: String::new(),
            operation_id: Some(operation(3)),
        };
        room.revert_changes(&caller("anna"), request).await
    };
    let once = revert(&here, 2).await.expect("reverted");
    accepted(&here, overwrite("a", "three")).await;
    for room in [&here, &there] {
        assert_eq!(revert(room, 2).await.as_ref(), Ok(&once));
        assert_eq!(text_at(room, "a", None).await.as_deref(), Some("three"));
        let refused = revert(room, 3).await.expect_err("another range");
        assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    }
}
