//! How much a realm may hold, and what still goes once it holds that.

use vdom_core::dom::calls::{CreateBranch, DeleteBranch};
use vdom_core::{BranchName, Error, ErrorCode};

use vdom_store::memory::ViewFaults;

use super::branches::{branch, delete, fork, from, set_in};
use super::restores::restored;
use super::two_gateways::compact_in;
use super::*;
use crate::maintenance::rebuild;

fn quotas(nodes: u64, bytes: u64) -> Quotas {
    Quotas { nodes: Some(nodes), bytes: Some(bytes) }
}

async fn refused(room: &DocumentRoom, request: WriteDiff) -> Error {
    room.write_diff(&caller("anna"), request).await.expect_err("beyond the quota")
}

fn is_beyond(error: &Error, rule: &str) {
    assert_eq!(error.code, ErrorCode::Exhausted, "{error}");
    assert_eq!(error.rule.as_deref(), Some(rule), "{error}");
}

#[tokio::test]
async fn a_realm_takes_no_more_than_its_quota() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_with(store.clone(), quotas(3, 100));
    put(&room, "a", &"x".repeat(40)).await;
    put(&room, "b", &"x".repeat(40)).await;
    is_beyond(&refused(&room, write("c", Diff::put_file(&[0; 21]))).await, "quotas.bytes");
    is_beyond(&refused(&room, overwrite("a", &"x".repeat(61))).await, "quotas.bytes");
    put(&room, "c", &"x".repeat(20)).await;
    is_beyond(&refused(&room, write("d", Diff::put_file(b""))).await, "quotas.nodes");
    // What makes room, or takes none, is never refused.
    accepted(&room, overwrite("a", "less")).await;
    let to = WriteDiff {
        on_conflict: OnConflict::Overwrite,
        ..write("b", Diff::rename(&path("e"), None))
    };
    accepted(&room, to).await;
    let delete = WriteDiff { on_conflict: OnConflict::Overwrite, ..write("c", Diff::delete()) };
    accepted(&room, delete).await;
    put(&room, "d", "now").await;
    is_beyond(&refused(&room, write("f", Diff::put_file(b""))).await, "quotas.nodes");
    room.close().await;
    drop(room);

    // Another start counts the same.
    let room = room_with(store.clone(), quotas(3, 100));
    is_beyond(&refused(&room, write("f", Diff::put_file(b""))).await, "quotas.nodes");
    let room = room_with(store, quotas(4, 100));
    put(&room, "f", "room").await;
}

#[tokio::test]
async fn all_branches_of_a_realm_count_and_deleted_ones_do_not() {
    let room = room_with(Arc::new(MemoryStore::new(1)), quotas(2, 1_000));
    put(&room, "a", "one").await;
    let next = BranchAddress::parse("", "repo", "next").expect("valid");
    let create = CreateBranch {
        address: next.clone(),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: None,
        operation_id: None,
    };
    room.create_branch(&caller("anna"), create).await.expect("a fork takes nothing");
    let to = |at: &str| WriteDiff { address: next.clone(), ..overwrite(at, "forked") };
    accepted(&room, to("a")).await;
    is_beyond(&refused(&room, to("b")).await, "quotas.nodes");
    let delete = DeleteBranch { address: next.clone(), operation_id: None };
    room.delete_branch(&caller("anna"), delete).await.expect("deleted");
    put(&room, "b", "there is room again").await;
}

/// Fills a branch with nodes until the quota has no room; answers how many there was room for.
async fn room_for(room: &DocumentRoom, on: &str, prefix: &str) -> u64 {
    for written in 0.. {
        let request = write(&format!("{prefix}{written}"), Diff::put_file(b"x"));
        match room.write_diff(&caller("anna"), WriteDiff { address: branch(on), ..request }).await {
            Ok(_) => {}
            Err(error) => {
                is_beyond(&error, "quotas.nodes");
                return written;
            }
        }
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_is_deleted_and_made_again_counts_what_it_holds_now() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let start = || room_with(Arc::new(store.peer()), quotas(10, 1_000));
    let (here, there) = (start(), start());
    assert_eq!(room_for(&here, "main", "a").await, 10);
    // It stays open there.
    is_beyond(&refused(&there, write("b", Diff::put_file(b""))).await, "quotas.nodes");
    delete(&here, "main").await.expect("deleted");
    set_in(&here, "main", "b", "x").await;
    for room in [&here, &there] {
        room.registry.count_all_usage().await.expect("counted");
    }
    assert_eq!(room_for(&start(), "main", "c").await, 9, "also after a start");
    tokio::time::sleep(Duration::from_secs(3)).await;
    read_at(&there, "b", ReadAt::default()).await.expect("open there");
    delete(&here, "main").await.expect("deleted");
    // There nobody counts anew: the end of the log is heard of.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(room_for(&there, "other", "d").await, 10);
    // What others continue of it does not count.
    fork(&here, "next", "other", None).await;
    delete(&here, "other").await.expect("deleted");
    here.registry.count_all_usage().await.expect("counted");
    assert_eq!(room_for(&here, "next", "e").await, 10);
}

#[tokio::test]
async fn a_start_counts_what_views_do_not_have_yet() {
    for seed in 0..8 {
        count_behind_views(seed).await;
    }
}

async fn count_behind_views(seed: u64) {
    let store = Arc::new(MemoryStore::new(seed));
    let start = || room_with(store.clone(), quotas(4, 100));
    // No view write arrives whole.
    store.disturb_views(ViewFaults { lost: 100, late: 0 });
    let room = start();
    put(&room, "a", &"x".repeat(40)).await;
    set_in(&room, "other", "b", &"x".repeat(40)).await;
    let fork = from("next", "main", None);
    room.create_branch(&caller("anna"), fork).await.expect("a fork takes nothing");
    set_in(&room, "next", "a", "forked").await;
    drop(room);
    store.disturb_views(ViewFaults::default());
    for _ in 0..2 {
        let room = start();
        let new = WriteDiff { address: branch("new"), ..write("c", Diff::put_file(&[0; 15])) };
        is_beyond(&refused(&room, new).await, "quotas.bytes");
        room.registry.count_all_usage().await.expect("counted");
        drop(room);
    }
    let room = start();
    // Opened after it was counted, each counts once.
    set_in(&room, "main", "a", &"x".repeat(39)).await;
    set_in(&room, "other", "b", &"x".repeat(39)).await;
    set_in(&room, "new", "c", "x").await;
    is_beyond(&refused(&room, write("d", Diff::put_file(b"x"))).await, "quotas.nodes");
}

#[tokio::test]
async fn a_branch_that_was_restored_counts_once() {
    let store = MemoryStore::shared(1);
    let start = |store: &MemoryStore| room_with(Arc::new(store.peer()), quotas(4, 100));
    let room = start(&store);
    put(&room, "a", &"x".repeat(40)).await;
    put(&room, "b", &"x".repeat(40)).await;
    put(&room, "c", "").await;
    room.close().await;
    let mut store = store;
    for _ in 0..2 {
        store = restored(&store).await;
        let room = start(&store);
        let new = || WriteDiff { address: branch("new"), ..write("n", Diff::put_file(&[0; 21])) };
        is_beyond(&refused(&room, new()).await, "quotas.bytes");
        // A node that changes is still one node.
        set_in(&room, "main", "a", &"y".repeat(40)).await;
        let delete = WriteDiff { on_conflict: OnConflict::Overwrite, ..write("c", Diff::delete()) };
        accepted(&room, delete).await;
        is_beyond(&refused(&room, new()).await, "quotas.bytes");
        assert_eq!(room_for(&room, "main", "n").await, 2);
        let away = |at: &str| WriteDiff {
            on_conflict: OnConflict::Overwrite,
            ..write(at, Diff::delete())
        };
        accepted(&room, away("n0")).await;
        accepted(&room, away("n1")).await;
        put(&room, "c", "").await;
        compact_in(&room, "main", 1).await.expect("compacted");
        room.close().await;
        let maintained = maintained(&(Arc::new(store.peer()) as Arc<dyn Store>));
        rebuild(&maintained, &environment(), |_| {}).await.expect("rebuilt");
        let room = start(&store);
        is_beyond(&refused(&room, new()).await, "quotas.bytes");
        assert_eq!(room_for(&room, "main", "n").await, 1, "also counted from a checkpoint");
        accepted(&room, away("n0")).await;
        room.close().await;
    }
    let room = start(&store);
    delete(&room, "main").await.expect("deleted");
    assert_eq!(room_for(&room, "main", "n").await, 4, "nothing of before the restore counts");
    assert_eq!(room_for(&start(&store), "other", "n").await, 0, "nor after a start");
}
