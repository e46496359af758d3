//! Branches that continue others, and branches that end.

use futures::{StreamExt, TryStreamExt};
use vdom_core::dom::calls::{
    CreateBranch, DeleteBranch, Event, GetHistory, ReadSnapshots, ReadTree, ResumePoint, Subscribe,
};
use vdom_core::{BranchName, ErrorCode};

use super::*;
use crate::registry::longest_kept;

pub(super) fn branch(name: &str) -> BranchAddress {
    BranchAddress::parse("", "repo", name).expect("valid")
}

pub(super) fn from(name: &str, parent: &str, at_revision: Option<u64>) -> CreateBranch {
    CreateBranch {
        address: branch(name),
        from: Some(BranchName::parse(parent).expect("valid")),
        at_revision,
        operation_id: None,
    }
}

pub(super) async fn fork(
    room: &DocumentRoom,
    name: &str,
    parent: &str,
    at: Option<u64>,
) -> BranchSummary {
    room.create_branch(&caller("anna"), from(name, parent, at)).await.expect("created")
}

pub(super) async fn delete(room: &DocumentRoom, name: &str) -> Result<()> {
    let request = DeleteBranch { address: branch(name), operation_id: None };
    room.delete_branch(&caller("anna"), request).await
}

pub(super) async fn set_in(room: &DocumentRoom, on: &str, at: &str, content: &str) -> Written {
    accepted(room, WriteDiff { address: branch(on), ..overwrite(at, content) }).await
}

async fn change_in(room: &DocumentRoom, on: &str, at: &str, diff: Bytes) -> Written {
    let request =
        WriteDiff { address: branch(on), on_conflict: OnConflict::Overwrite, ..write(at, diff) };
    accepted(room, request).await
}

async fn text_in(room: &DocumentRoom, on: &str, at: &str, revision: Option<u64>) -> Option<String> {
    let when = ReadAt { revision, ..ReadAt::default() };
    let request =
        ReadSnapshot { address: branch(on), node: NodeSelector::Path(path(at)), at: when };
    room.read_snapshot(&caller("anna"), request).await.ok().map(|snapshot| text_of(&snapshot))
}

async fn tree(room: &DocumentRoom, on: &str, prefix: &str, at: Option<u64>) -> Vec<String> {
    let request = ReadTree {
        address: branch(on),
        prefix: prefix.to_owned(),
        at: ReadAt { revision: at, ..ReadAt::default() },
        include_content: true,
    };
    let entries = room.read_tree(&caller("anna"), request).await.expect("a tree");
    let shown = |entry: vdom_core::dom::calls::TreeEntry| {
        let content = String::from_utf8(entry.content.unwrap_or_default().to_vec());
        format!("{}={}", entry.node.path, content.expect("text"))
    };
    entries.map_ok(shown).try_collect().await.expect("whole")
}

async fn revisions(room: &DocumentRoom, on: &str, after: u64, upto: u64, epoch: u64) -> Vec<u64> {
    let request = Subscribe {
        address: branch(on),
        paths: vec![],
        from: Some(ResumePoint { epoch, revision: after, hash: None }),
        include_diffs: false,
    };
    let mut events = events_of(room, &caller("anna"), request).await.expect("a stream");
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        match event.expect("no error") {
            Event::Change(change) => {
                assert_eq!(change.change.epoch, epoch);
                seen.push(change.change.revision);
            }
            Event::Progress { revision, .. } if revision >= upto => break,
            Event::Progress { .. } => {}
        }
    }
    seen
}

/// `main` with a, b/c, b/d and e, left at revision 4 by `next`, and both gone on.
async fn two_branches(room: &DocumentRoom) {
    for (at, content) in [("a", "a1"), ("b/c", "c1"), ("b/d", "d1"), ("e", "e1")] {
        put(room, at, content).await;
    }
    let summary = fork(room, "next", "main", None).await;
    assert_eq!(summary.revision, 4);
    assert_eq!(summary.origin, Some((BranchName::parse("main").expect("valid"), 4)));
    set_in(room, "main", "a", "a2").await;
    change_in(room, "main", "e", Diff::delete()).await;
    set_in(room, "next", "b/c", "c2").await;
    change_in(room, "next", "b/d", Diff::rename(&path("z"), None)).await;
    set_in(room, "next", "n", "n1").await;
}

#[tokio::test]
async fn a_branch_has_what_the_other_had_and_goes_its_own_way() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    two_branches(&room).await;
    // As it is in memory, as the views have it, and as another process reads it.
    for room in [room.clone(), room, room_over(store)] {
        assert_eq!(tree(&room, "main", "", None).await, ["a=a2", "b/c=c1", "b/d=d1"]);
        assert_eq!(tree(&room, "next", "", None).await, ["a=a1", "b/c=c2", "e=e1", "n=n1", "z=d1"]);
        assert_eq!(tree(&room, "next", "b", None).await, ["b/c=c2"]);
        assert_eq!(tree(&room, "next", "", Some(5)).await, ["a=a1", "b/c=c2", "b/d=d1", "e=e1"]);
        assert_eq!(tree(&room, "next", "", Some(2)).await, ["a=a1", "b/c=c1"]);
        assert_eq!(text_in(&room, "next", "a", None).await.as_deref(), Some("a1"));
        assert_eq!(text_in(&room, "next", "b/d", None).await, None);
        assert_eq!(text_in(&room, "next", "b/d", Some(5)).await.as_deref(), Some("d1"));
        assert_eq!(text_in(&room, "next", "z", None).await.as_deref(), Some("d1"));
        assert_eq!(text_in(&room, "next", "b/c", Some(4)).await.as_deref(), Some("c1"));
        room.close().await;
    }
}

#[tokio::test]
async fn history_and_events_run_through_both_logs() {
    let room = room();
    two_branches(&room).await;
    let summaries = branches_of(&room).await.expect("branches");
    let next = summaries.iter().find(|branch| branch.name == "next").expect("listed");
    assert_eq!(next.revision, 7);
    for after in 0..7 {
        let expected: Vec<_> = (after + 1..=7).collect();
        assert_eq!(revisions(&room, "next", after, 7, next.epoch).await, expected);
    }
    let page = |node| {
        let (before_revision, limit) = (None, 100);
        GetHistory { address: branch("next"), node, before_revision, limit, include_diffs: false }
    };
    let all = room.history(&caller("anna"), page(None)).await.expect("a page");
    assert_eq!(all.changes.len(), 7);
    // The chain goes on where the other branch was left.
    for pair in all.changes.windows(2) {
        assert_eq!(pair[0].change.previous, pair[1].hash);
    }
    let of_c = page(Some(NodeSelector::Path(path("b/c"))));
    let of_c = room.history(&caller("anna"), of_c).await.expect("a page");
    assert_eq!(of_c.changes.iter().map(|event| event.change.revision).collect::<Vec<_>>(), [5, 2]);
    assert_eq!(of_c.changes[0].change.version, 2, "the node is the same one");
}

#[tokio::test]
async fn branches_of_branches_leave_where_they_are_told_to() {
    let room = room();
    two_branches(&room).await;
    assert_eq!(fork(&room, "early", "next", Some(5)).await.revision, 5);
    assert_eq!(fork(&room, "earlier", "early", Some(3)).await.revision, 3);
    set_in(&room, "earlier", "f", "f1").await;
    assert_eq!(tree(&room, "early", "", None).await, ["a=a1", "b/c=c2", "b/d=d1", "e=e1"]);
    assert_eq!(tree(&room, "earlier", "", None).await, ["a=a1", "b/c=c1", "b/d=d1", "f=f1"]);
    let nodes = ["f", "a"].map(|at| NodeSelector::Path(path(at))).to_vec();
    let request = ReadSnapshots { address: branch("earlier"), nodes, at: ReadAt::default() };
    let many = room.read_snapshots(&caller("anna"), request).await.expect("snapshots");
    let many: Vec<_> = many.try_collect().await.expect("both");
    assert_eq!(many.iter().map(text_of).collect::<Vec<_>>(), ["f1", "a1"]);
    assert!(many.iter().all(|snapshot| snapshot.revision == 4));
}

#[tokio::test]
async fn a_name_is_taken_once_and_a_repeated_call_gets_its_answer() {
    let room = room();
    put(&room, "a", "1").await;
    let request =
        || CreateBranch { operation_id: Some(operation(9)), ..from("next", "main", None) };
    let first = room.create_branch(&caller("anna"), request()).await.expect("created");
    assert_eq!(room.create_branch(&caller("anna"), request()).await, Ok(first));
    for taken in [from("next", "main", None), from("main", "next", None)] {
        let error = room.create_branch(&caller("anna"), taken).await.expect_err("taken");
        assert_eq!(error.code, ErrorCode::AlreadyExists, "{error}");
    }
    let beyond = room.create_branch(&caller("anna"), from("other", "main", Some(7))).await;
    assert_eq!(beyond.expect_err("no such revision").code, ErrorCode::NotFound);
    let unknown = room.create_branch(&caller("anna"), from("other", "nowhere", None)).await;
    assert_eq!(unknown.expect_err("no such branch").code, ErrorCode::NotFound);
    let empty = CreateBranch { from: None, ..from("empty", "main", None) };
    let empty = room.create_branch(&caller("anna"), empty).await.expect("created");
    assert_eq!((empty.revision, empty.origin), (0, None));
    set_in(&room, "empty", "x", "1").await;
    assert_eq!(tree(&room, "empty", "", None).await, ["x=1"]);
}

#[tokio::test]
async fn a_deleted_branch_ends_and_its_name_begins_anew() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    two_branches(&room).await;
    let old = put(&room, "q", "1").await;
    let request =
        Subscribe { address: branch("main"), paths: vec![], from: None, include_diffs: false };
    let mut watcher = events_of(&room, &caller("anna"), request).await.expect("a stream");
    delete(&room, "main").await.expect("deleted");
    let end = loop {
        match watcher.next().await.expect("an end that is said") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.code, ErrorCode::NotFound, "{end}");
    for room in [room, room_over(store)] {
        assert_eq!(text_in(&room, "main", "a", None).await, None);
        assert_eq!(delete(&room, "main").await.expect_err("gone").code, ErrorCode::NotFound);
        // What was created from it keeps what it has.
        assert_eq!(tree(&room, "next", "", None).await, ["a=a1", "b/c=c2", "e=e1", "n=n1", "z=d1"]);
        let names = branches_of(&room).await;
        let names: Vec<_> = names.expect("branches").into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["next"]);
    }
    let room = room_over(Arc::new(MemoryStore::new(2)));
    let old_of_room = put(&room, "q", "1").await;
    delete(&room, "main").await.expect("deleted");
    let anew = put(&room, "q", "2").await;
    assert_eq!(anew.revision, 1);
    assert!(anew.epoch > old_of_room.epoch);
    assert_ne!(anew.node_id, old.node_id);
    let stale =
        ReadAt { min_revision: Some(1), min_epoch: Some(old_of_room.epoch), ..ReadAt::default() };
    let error = read_at(&room, "q", stale).await.expect_err("another epoch");
    assert_eq!(error.code, ErrorCode::EpochChanged);
}

#[tokio::test]
async fn a_branch_cannot_leave_within_a_change_set() {
    use vdom_core::dom::calls::ChangeSetPart;
    let room = room();
    let parts = ["a", "b", "c"]
        .map(|at| Ok(ChangeSetPart::Diff(Box::new(write(at, Diff::put_file(b"1"))))));
    let parts = futures::stream::iter(parts).boxed();
    room.write_diffs(&caller("anna"), set(), parts).await.expect("written");
    let error = room.create_branch(&caller("anna"), from("x", "main", Some(2))).await;
    let error = error.expect_err("within a set");
    assert!(error.message.contains("ends at 3"), "{error}");
    fork(&room, "x", "main", Some(3)).await;
}

#[tokio::test]
async fn only_an_administrator_deletes() {
    let room = room();
    put(&room, "a", "1").await;
    let writer = Caller { scopes: Scopes::parse("dom.read dom.write"), ..caller("anna") };
    let request = DeleteBranch { address: branch("main"), operation_id: None };
    let error = room.delete_branch(&writer, request).await.expect_err("denied");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert_eq!(error.rule.as_deref(), Some("dom.admin"));
    room.create_branch(&writer, from("next", "main", None)).await.expect("a writer may");
}

#[test]
fn of_unused_branches_those_that_were_used_last_stay_open() {
    let seconds = Duration::from_secs;
    assert_eq!(longest_kept(Vec::new()), seconds(60));
    let few = (1..=100).map(|at| (seconds(at), 1_000)).collect();
    assert_eq!(longest_kept(few), seconds(60));
    let many = (1..=3_000).map(|at| (Duration::from_millis(at), 1_000)).collect();
    assert_eq!(longest_kept(many), Duration::from_millis(2_049));
    let large = (1..=20).rev().map(|at| (seconds(at), 8 << 20)).collect();
    assert_eq!(longest_kept(large), seconds(9));
}
