//! `WriteDiff`: what is accepted, what conflicts, what is refused.

use vdom_core::dom::calls::ConflictReason;
use vdom_core::dom::diff::TextOperation;
use vdom_core::limits::{CHUNK_BYTES, VIEW_LAG_MAX_BYTES};
use vdom_core::{ErrorCode, NodeId, NodeKind};
use vdom_store::memory::ViewFaults;

use super::*;

#[tokio::test]
async fn revisions_follow_without_gaps_and_clocks_grow() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let second = put(&room, "b", "2").await;
    let third = accepted(&room, edit(&first, "a", Diff::put_file(b"3"))).await;
    assert_eq!((first.revision, second.revision, third.revision), (1, 2, 3));
    assert_eq!((first.version, third.version), (1, 2));
    assert_eq!(third.node_id, first.node_id);
    assert_eq!(third.clock.get("anna"), 2);
    assert_eq!(first.epoch, third.epoch);
    assert!(first.epoch > 0);
}

#[tokio::test]
async fn a_stale_clock_conflicts_and_shows_both_sides() {
    let room = room();
    let first = put(&room, "a", "one").await;
    let second = accepted(&room, edit(&first, "a", Diff::put_file(b"two"))).await;
    let conflict = conflicted(&room, edit(&first, "a", Diff::put_file(b"three"))).await;
    assert_eq!(conflict.reason, ConflictReason::StaleClock);
    assert_eq!(conflict.current_clock, second.clock);
    assert_eq!(conflict.current_content.as_deref(), Some(&b"two"[..]));
    assert_eq!(conflict.base_content.as_deref(), Some(&b"one"[..]));
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("two"));

    let request =
        WriteDiff { on_conflict: OnConflict::Overwrite, ..edit(&first, "a", Diff::put_file(b"4")) };
    assert_eq!(accepted(&room, request).await.version, 3);
}

#[tokio::test]
async fn an_empty_clock_means_that_the_path_must_not_exist() {
    let room = room();
    put(&room, "a", "1").await;
    let conflict = conflicted(&room, write("a", Diff::put_file(b"2"))).await;
    assert_eq!(conflict.reason, ConflictReason::PathExists);
    assert_eq!(accepted(&room, overwrite("a", "3")).await.version, 2);
}

#[tokio::test]
async fn a_clock_from_the_future_is_refused() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let mut request = edit(&first, "a", Diff::put_file(b"2"));
    request.clock = VectorClock::from_entries([("anna".into(), 9)]).expect("valid");
    let error = room.write_diff(&caller("anna"), request).await.expect_err("ahead");
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.contains("ahead"), "{error}");
}

#[tokio::test]
async fn a_clock_needs_its_node() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let mut request = edit(&first, "a", Diff::put_file(b"2"));
    request.node_id = None;
    let error = room.write_diff(&caller("anna"), request).await.expect_err("no node_id");
    assert_eq!(error.code, ErrorCode::InvalidArgument);

    let mut request = edit(&first, "a", Diff::put_file(b"2"));
    request.node_id = Some(NodeId([7; 16]));
    let error = room.write_diff(&caller("anna"), request).await.expect_err("unknown node");
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_deleted_and_recreated_path_is_a_new_node() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let deleted = accepted(&room, edit(&first, "a", Diff::delete())).await;
    assert_eq!(text_at(&room, "a", None).await, None);
    let second = put(&room, "a", "2").await;
    assert_ne!(second.node_id, first.node_id);
    assert_eq!(second.version, 1);

    let conflict = conflicted(&room, edit(&first, "a", Diff::put_file(b"x"))).await;
    assert_eq!(conflict.reason, ConflictReason::Deleted);
    let request = edit(&deleted, "a", Diff::put_file(b"x"));
    let error = room.write_diff(&caller("anna"), request).await.expect_err("a tombstone");
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
}

#[tokio::test]
async fn a_rename_keeps_the_node_and_may_edit_it() {
    let room = room();
    let first = put(&room, "a", "hello").await;
    put(&room, "taken", "").await;
    let to = |target: &str, then: Option<&Bytes>| Diff::rename(&path(target), then);
    let conflict = conflicted(&room, edit(&first, "a", to("taken", None))).await;
    assert_eq!(conflict.reason, ConflictReason::TargetExists);

    let then = Diff::text(&[TextOperation::Retain(5), TextOperation::insert("!")]);
    let moved = accepted(&room, edit(&first, "a", to("b", Some(&then)))).await;
    assert_eq!(moved.node_id, first.node_id);
    assert_eq!(text_at(&room, "a", None).await, None);
    assert_eq!(text_at(&room, "b", None).await.as_deref(), Some("hello!"));
    put(&room, "a", "another").await;
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("another"));
}

#[tokio::test]
async fn only_a_put_creates() {
    let room = room();
    for diff in [Diff::delete(), Diff::text(&[]), Diff::rename(&path("b"), None)] {
        let result = room.write_diff(&caller("anna"), write("a", diff)).await;
        assert_eq!(result.expect_err("nothing there").code, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn repeating_an_operation_answers_the_same_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let request =
        WriteDiff { operation_id: Some(operation(1)), ..write("a", Diff::put_file(b"1")) };
    let first = accepted(&room, request.clone()).await;
    assert_eq!(accepted(&room, request.clone()).await, first);
    room.close().await;

    let room = room_over(store);
    assert_eq!(accepted(&room, request.clone()).await, first);
    let other = WriteDiff { diff: DiffSource::Bson(Diff::put_file(b"2")), ..request.clone() };
    let error = room.write_diff(&caller("anna"), other).await.expect_err("other content");
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.contains("used before"), "{error}");

    // Another subject's operation of the same id is another one.
    let elsewhere = WriteDiff { path: Some(path("b")), ..request };
    let outcome = room.write_diff(&caller("bob"), elsewhere).await;
    assert!(matches!(outcome, Ok(WriteOutcome::Written(_))), "{outcome:?}");
}

#[tokio::test]
async fn repeats_that_wait_together_are_written_once() {
    let room = room();
    let request =
        WriteDiff { operation_id: Some(operation(1)), ..write("a", Diff::put_file(b"1")) };
    let writes = (0..16).map(|_| accepted(&room, request.clone()));
    let answers = futures::future::join_all(writes).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(put(&room, "b", "").await.revision, 2);
}

#[tokio::test]
async fn an_actor_belongs_to_the_subject_that_wrote_under_it_first() {
    let room = room();
    let as_actor =
        |at: &str| WriteDiff { actor: Some("laptop".into()), ..write(at, Diff::put_file(b"")) };
    let first = accepted(&room, as_actor("a")).await;
    assert_eq!(first.clock.get("laptop"), 1);
    let error = room.write_diff(&caller("bob"), as_actor("b")).await.expect_err("not his");
    assert_eq!((error.code, error.rule.as_deref()), (ErrorCode::PermissionDenied, Some("actor")));
    accepted(&room, as_actor("c")).await;
}

#[tokio::test]
async fn writing_in_anothers_name_needs_the_right() {
    let room = room();
    let mut plain = caller("anna");
    plain.scopes = Scopes::parse("dom.write");
    let request = WriteDiff { author: Some("bob".into()), ..write("a", Diff::put_file(b"")) };
    let error = room.write_diff(&plain, request.clone()).await.expect_err("no dom.author");
    assert_eq!(error.rule.as_deref(), Some("dom.author"));
    let own = WriteDiff { author: Some("anna".into()), ..request };
    assert!(room.write_diff(&plain, own).await.is_ok());
}

#[tokio::test]
async fn documents_and_files_keep_apart() {
    let room = room();
    let empty_document = b"\x05\0\0\0\0";
    let document = WriteDiff {
        kind: Some(NodeKind::Meta),
        ..write("meta", Diff::put_document(empty_document))
    };
    let written = accepted(&room, document).await;
    let request = edit(&written, "meta", Diff::put_file(b"bytes"));
    let error = room.write_diff(&caller("anna"), request).await.expect_err("bytes in META");
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let request = WriteDiff { kind: Some(NodeKind::File), ..overwrite("meta", "x") };
    let error = room.write_diff(&caller("anna"), request).await.expect_err("another kind");
    assert!(error.message.contains("keeps its kind"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_promised_is_refused() {
    let room = room();
    let local = WriteDiff { min_ack: AckLevel::Local, ..write("a", Diff::put_file(b"")) };
    let error = room.write_diff(&caller("anna"), local).await.expect_err("LOCAL");
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let error = text_at(&room, "a", None).await;
    assert_eq!(error, None);
}

#[tokio::test]
async fn a_large_put_is_kept_in_chunks_and_comes_back_whole() {
    let room = room();
    let content: Vec<u8> = (0..3_500_000u32).map(|byte| (byte % 251) as u8).collect();
    accepted(&room, write("large", Diff::put_file(&content))).await;
    let snapshot = read_at(&room, "large", ReadAt::default()).await.expect("there");
    assert_eq!(snapshot.node.content, Content::Inline(content.into()));
}

#[tokio::test]
async fn many_writers_get_every_revision_once() {
    let room = room();
    let writes = (0..500).map(|number| put_number(&room, number));
    let mut revisions = futures::future::join_all(writes).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=500).collect::<Vec<u64>>());
}

async fn put_number(room: &DocumentRoom, number: u32) -> u64 {
    put(room, &format!("n/{number}"), "x").await.revision
}

#[tokio::test]
async fn nobody_writes_as_an_actor_that_is_the_name_of_another_subject() {
    let room = room();
    let written = put(&room, "a", "1").await;
    let as_anna = || WriteDiff {
        actor: Some("anna".to_owned()),
        ..edit(&written, "a", Diff::put_file(b"2"))
    };
    let refused = async || room.write_diff(&caller("bob"), as_anna()).await.expect_err("hers").code;
    assert_eq!(refused().await, ErrorCode::PermissionDenied);
    let handle = room
        .registry
        .existing(&room.registry.permits.of(vdom_security::Duty::Compact).clone(), &address())
        .await
        .expect("open");
    handle.branch.views_complete(1).await;
    assert_eq!(refused().await, ErrorCode::PermissionDenied, "once the views are written, too");
}

#[tokio::test(start_paused = true)]
async fn writes_wait_while_the_views_lack_more_bytes_than_memory_should_hold() {
    let store = MemoryStore::new(1);
    let room = room_over(Arc::new(store.peer()));
    store.disturb_views(ViewFaults { lost: 100, late: 0 });
    let content = "x".repeat(CHUNK_BYTES - 1_024);
    let written = Arc::new(AtomicU64::new(0));
    for number in 0..100 {
        let (room, written) = (room.clone(), written.clone());
        let diff = Diff::put_file(content.as_bytes());
        tokio::spawn(async move {
            accepted(&room, write(&number.to_string(), diff)).await;
            written.fetch_add(1, Ordering::Relaxed);
        });
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let early = written.load(Ordering::Relaxed);
    // Each is in memory as a diff and as a content.
    let most = (VIEW_LAG_MAX_BYTES / (2 * CHUNK_BYTES) + 4) as u64;
    assert!((1..=most).contains(&early), "{early} were written, at most {most} fit");
    store.disturb_views(ViewFaults::default());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(written.load(Ordering::Relaxed), 100, "they only waited");
}
