//! How much a realm may hold, and what still goes once it holds that.

use vdom_core::dom::calls::{CreateBranch, DeleteBranch};
use vdom_core::{BranchName, Error, ErrorCode};

use super::*;

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
    room.registry.count_all_usage().await.expect("counted");
    put(&room, "b", "there is room again").await;
}
