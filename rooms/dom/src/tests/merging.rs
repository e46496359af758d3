//! MERGE, conflicts that are kept, and reverts.

use vdom_core::dom::calls::{
    ConflictExplanation, ConflictReason, ExplainConflict, ListConflicts, MergePreview, Resolution,
    ResolveConflict, ResolveOutcome, RevertChanges, SetOutcome, StoredConflict,
};
use vdom_core::dom::diff::TextOperation;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{ConflictId, ErrorCode};

use super::*;
use crate::Retention;
use crate::maintenance::{backup, collect, verify};

const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

fn merging(seen: &Written, at: &str, diff: Bytes) -> WriteDiff {
    WriteDiff { on_conflict: OnConflict::Merge, ..edit(seen, at, diff) }
}

fn text(content: &str) -> Bytes {
    Diff::put_file(content.as_bytes())
}

/// A node at BASE, and what stands there since somebody else changed its first line.
async fn changed_by_another(room: &DocumentRoom) -> Written {
    let seen = put(room, "a", BASE).await;
    accepted(room, edit(&seen, "a", text(&BASE.replace("one", "ONE")))).await;
    seen
}

async fn list(room: &DocumentRoom) -> Vec<StoredConflict> {
    let request = ListConflicts { address: address(), paths: vec![], limit: 100, after: None };
    room.list_conflicts(&caller("anna"), request).await.expect("a page").conflicts
}

async fn resolve(
    room: &DocumentRoom,
    id: ConflictId,
    resolution: Resolution,
) -> Result<ResolveOutcome> {
    resolve_under(None, room, id, resolution).await
}

pub(super) async fn resolve_under(
    operation_id: Option<OperationId>,
    room: &DocumentRoom,
    id: ConflictId,
    resolution: Resolution,
) -> Result<ResolveOutcome> {
    let request = ResolveConflict {
        address: address(),
        id,
        resolution,
        clock: VectorClock::default(),
        message: String::new(),
        operation_id,
    };
    room.resolve_conflict(&caller("anna"), request).await
}

fn reverting(first_revision: u64, last_revision: u64) -> RevertChanges {
    RevertChanges {
        address: address(),
        first_revision,
        last_revision,
        epoch: None,
        on_conflict: OnConflict::Reject,
        author: None,
        message: String::new(),
        operation_id: None,
    }
}

async fn revert(room: &DocumentRoom, request: RevertChanges) -> Result<SetOutcome> {
    room.revert_changes(&caller("anna"), request).await
}

async fn reverted(room: &DocumentRoom, request: RevertChanges) {
    let outcome = revert(room, request).await;
    assert!(matches!(outcome, Ok(SetOutcome::Written(_))), "{outcome:?}");
}

#[tokio::test]
async fn changes_to_other_lines_both_stay() {
    let room = room();
    let seen = changed_by_another(&room).await;
    let written = accepted(&room, merging(&seen, "a", text(&BASE.replace("five", "FIVE")))).await;
    assert!(written.merged);
    assert_eq!(written.version, 3);
    let merged = BASE.replace("one", "ONE").replace("five", "FIVE");
    assert_eq!(text_at(&room, "a", None).await, Some(merged));
}

#[tokio::test]
async fn the_same_change_twice_is_nothing_to_write() {
    let room = room();
    let seen = changed_by_another(&room).await;
    let written = accepted(&room, merging(&seen, "a", text(&BASE.replace("one", "ONE")))).await;
    assert!(written.merged);
    assert_eq!((written.version, written.revision), (2, 2));
}

#[tokio::test]
async fn changes_to_the_same_line_conflict_and_say_where() {
    let room = room();
    let seen = changed_by_another(&room).await;
    for on_conflict in [OnConflict::Merge, OnConflict::Reject] {
        let mine = edit(&seen, "a", text(&BASE.replace("one", "eins")));
        let conflict = conflicted(&room, WriteDiff { on_conflict, ..mine }).await;
        let reason = match on_conflict {
            OnConflict::Merge => ConflictReason::Merge,
            _ => ConflictReason::StaleClock,
        };
        assert_eq!(conflict.reason, reason);
        assert_eq!(conflict.base_content.as_deref(), Some(BASE.as_bytes()));
        assert_eq!(conflict.hunks.len(), 1);
        assert_eq!(conflict.hunks[0].base, (0, 4));
    }
    assert_eq!(text_at(&room, "a", None).await, Some(BASE.replace("one", "ONE")));
}

#[tokio::test]
async fn an_edit_and_a_rename_both_happen_and_a_deletion_conflicts() {
    let room = room();
    let seen = put(&room, "a", BASE).await;
    let moved = accepted(&room, edit(&seen, "a", Diff::rename(&path("b"), None))).await;
    let mode = Diff::attributes([("mode", "100755")], []).expect("valid");
    accepted(&room, merging(&seen, "a", mode)).await;
    let last = accepted(&room, merging(&seen, "a", text("new\n"))).await;
    assert_eq!(text_at(&room, "b", None).await.as_deref(), Some("new\n"));
    let elsewhere = merging(&seen, "a", Diff::rename(&path("c"), None));
    assert_eq!(conflicted(&room, elsewhere).await.reason, ConflictReason::Merge);
    let delete = merging(&moved, "b", Diff::delete());
    assert_eq!(conflicted(&room, delete).await.reason, ConflictReason::Merge);
    accepted(&room, edit(&last, "b", Diff::delete())).await;
    let late = merging(&moved, "b", text("late"));
    assert_eq!(conflicted(&room, late).await.reason, ConflictReason::Deleted);
}

#[tokio::test]
async fn a_kept_conflict_waits_for_who_resolves_it() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let seen = changed_by_another(&room).await;
    let mine = || WriteDiff {
        keep_conflict: true,
        operation_id: Some(operation(3)),
        ..edit(&seen, "a", text(&BASE.replace("one", "eins")))
    };
    let conflict = conflicted(&room, mine()).await;
    let id = conflict.conflict_id.expect("kept");
    assert_eq!(conflicted(&room, mine()).await.conflict_id, Some(id), "repeated, it is the same");
    let room = room_over(store);
    let kept = list(&room).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id, kept[0].subject.as_str()), (id, "anna"));
    assert_eq!(kept[0].conflict.current_content.as_deref(), conflict.current_content.as_deref());
    assert_eq!(kept[0].conflict.base_content.as_deref(), Some(BASE.as_bytes()));
    assert_eq!(kept[0].conflict.hunks, conflict.hunks);
    assert_eq!(kept[0].request.path, Some(path("a")));

    let outcome = resolve(&room, id, Resolution::Merge).await.expect("an answer");
    assert!(matches!(outcome, ResolveOutcome::Conflicted(_)), "it does not merge: {outcome:?}");
    assert_eq!(list(&room).await.len(), 1);
    let outcome = resolve(&room, id, Resolution::Theirs).await.expect("an answer");
    assert!(matches!(outcome, ResolveOutcome::Resolved(Some(_))), "{outcome:?}");
    assert_eq!(text_at(&room, "a", None).await, Some(BASE.replace("one", "eins")));
    assert!(list(&room).await.is_empty());
    let error = resolve(&room, id, Resolution::Ours).await.expect_err("resolved before");
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn an_explanation_says_what_the_writer_had_not_seen_and_whether_it_merges_now() {
    let room = room();
    let seen = put(&room, "a", BASE).await;
    let other = |content: String| overwrite("a", &content);
    accepted(&room, other(BASE.replace("one", "ONE"))).await;
    put(&room, "b", "unrelated").await;
    let mine =
        WriteDiff { keep_conflict: true, ..edit(&seen, "a", text(&BASE.replace("one", "eins"))) };
    let id = conflicted(&room, mine).await.conflict_id.expect("kept");
    let explain = || async {
        let request = ExplainConflict { address: address(), id };
        room.explain_conflict(&caller("anna"), request).await
    };
    let unseen = |explained: &ConflictExplanation| {
        let changes = explained.unseen.changes.iter();
        changes.map(|event| event.change.revision).collect::<Vec<_>>()
    };
    let explained = explain().await.expect("explained");
    assert_eq!(explained.stored, list(&room).await.remove(0));
    assert_eq!(unseen(&explained), [2]);
    assert!(matches!(&explained.merge, MergePreview::Conflicting(hunks) if hunks.len() == 1));

    let back = accepted(&room, other(BASE.replace("five", "FIVE"))).await;
    let explained = explain().await.expect("explained");
    assert_eq!(unseen(&explained), [4, 2]);
    assert_eq!((explained.merge, explained.unseen.revision), (MergePreview::Clean, 4));

    for number in 0..25 {
        accepted(&room, other(number.to_string())).await;
    }
    let explained = explain().await.expect("explained");
    assert_eq!(unseen(&explained), (10..=29).rev().collect::<Vec<_>>());
    assert_eq!(explained.unseen.next_before_revision, Some(10));

    let delete = WriteDiff { clock: VectorClock::default(), ..edit(&back, "a", Diff::delete()) };
    accepted(&room, WriteDiff { on_conflict: OnConflict::Overwrite, ..delete }).await;
    assert_eq!(explain().await.expect("explained").merge, MergePreview::Impossible);
    resolve(&room, id, Resolution::Ours).await.expect("resolved");
    assert_eq!(explain().await.expect_err("resolved").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn theirs_is_what_the_writer_made_of_what_it_had_seen() {
    let there =
        [TextOperation::Retain(6), TextOperation::Delete(5), TextOperation::insert("there")];
    let there = Diff::text(&there);
    let renamed = Diff::rename(&path("b"), Some(&there));
    let attributed = Diff::attributes_then([("mode", "x")], [], Some(&there)).expect("valid");
    for (number, (diff, at, content)) in [
        (there.clone(), "a", "hello there\n"),
        (renamed, "b", "hello there\n"),
        (attributed, "a", "hello there\n"),
        (Diff::rename(&path("b"), None), "b", "# title\nhello world\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let room = room();
        let first = put(&room, "a", "hello world\n").await;
        let owner = Diff::attributes_then([("owner", "bob")], [], None).expect("valid");
        let second = accepted(&room, edit(&first, "a", text("# title\nhello world\n"))).await;
        accepted(&room, edit(&second, "a", owner)).await;
        let stale = WriteDiff { keep_conflict: true, ..edit(&first, "a", diff) };
        let id = conflicted(&room, stale).await.conflict_id.expect("kept");
        let outcome = resolve(&room, id, Resolution::Theirs).await.expect("an answer");
        assert!(matches!(outcome, ResolveOutcome::Resolved(Some(_))), "{number}: {outcome:?}");
        let read = read_at(&room, at, ReadAt::default()).await.expect("it is there");
        assert_eq!(text_of(&read), content, "{number}");
        assert_eq!(read.node.attributes.get("owner").map(String::as_str), Some("bob"));
        assert!(list(&room).await.is_empty());
    }
}

#[tokio::test]
async fn theirs_of_a_node_that_is_gone_creates_it_and_of_what_stands_there_writes_nothing() {
    let room = room();
    let edit_of = |word: &str| Diff::text(&[TextOperation::insert(word)]);
    let first = put(&room, "a", "world").await;
    let second = accepted(&room, edit(&first, "a", text("hello world"))).await;
    let keep = async |diff| {
        let stale = WriteDiff { keep_conflict: true, ..edit(&first, "a", diff) };
        conflicted(&room, stale).await.conflict_id.expect("kept")
    };
    let same = keep(edit_of("hello ")).await;
    let outcome = resolve(&room, same, Resolution::Theirs).await;
    assert_eq!(outcome, Ok(ResolveOutcome::Resolved(None)));
    let gone = keep(edit_of("old ")).await;
    accepted(&room, edit(&second, "a", Diff::delete())).await;
    let outcome = resolve(&room, gone, Resolution::Theirs).await.expect("an answer");
    assert!(matches!(outcome, ResolveOutcome::Resolved(Some(_))), "{outcome:?}");
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("old world"));
    assert!(list(&room).await.is_empty());
}

#[tokio::test]
async fn a_large_content_that_was_refused_outlives_collection_and_compaction() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let first = put(&room, "a", "one").await;
    accepted(&room, edit(&first, "a", text("two"))).await;
    let large = "x".repeat(CHUNK_BYTES + 1);
    let stale = WriteDiff { keep_conflict: true, ..edit(&first, "a", text(&large)) };
    let id = conflicted(&room, stale).await.conflict_id.expect("kept");
    let days = std::cell::Cell::new(0);
    let collected = async || {
        days.set(days.get() + 2);
        let now = SystemTime::now() + Duration::from_secs(days.get() * 24 * 60 * 60);
        let later = Environment::new(move || now, Duration::default, |_| Ok(()));
        collect(&maintained(&store), &later, "default").await.expect("collected")
    };
    assert_eq!(collected().await, 0);
    for number in 0..5 {
        accepted(&room, overwrite("a", &number.to_string())).await;
    }
    let keep = Retention { changes: Some(1), age: None };
    let compacted = room.registry.compact(&address(), keep, 1).await.expect("compacted");
    assert!(compacted.is_some());
    collected().await;
    let (_, report) = backup(&maintained(&store), Vec::new(), |_| {}).await.expect("a backup");
    assert!(report.chunks >= 2, "{report:?}");
    let outcome = resolve(&room, id, Resolution::Theirs).await.expect("an answer");
    assert!(matches!(outcome, ResolveOutcome::Resolved(Some(_))), "{outcome:?}");
    let read = read_at(&room, "a", ReadAt::default()).await.expect("it is there");
    assert_eq!(read.node.content.len(), large.len() as u64);
    assert_eq!(verify(&maintained(&store), |_| {}).await.expect("verified").findings, []);
}

#[tokio::test]
async fn ours_and_manual_end_a_conflict_too() {
    let room = room();
    let seen = changed_by_another(&room).await;
    for (number, resolution, expected) in [
        (1, Resolution::Ours, BASE.replace("one", "ONE")),
        (2, Resolution::Manual(Bytes::from_static(b"by hand")), "by hand".to_owned()),
    ] {
        let mine = WriteDiff {
            keep_conflict: true,
            operation_id: Some(operation(number)),
            ..edit(&seen, "a", text("mine"))
        };
        let id = conflicted(&room, mine).await.conflict_id.expect("kept");
        resolve(&room, id, resolution).await.expect("resolved");
        assert_eq!(text_at(&room, "a", None).await, Some(expected));
        assert!(list(&room).await.is_empty());
    }
}

#[tokio::test]
async fn a_revert_brings_back_what_was_and_a_revert_of_it_the_rest() {
    let room = room();
    let a = put(&room, "a", "a1").await;
    let b = put(&room, "b", "b1").await;
    let c = put(&room, "c", "c1").await;
    accepted(&room, edit(&a, "a", text("a2"))).await;
    accepted(&room, edit(&b, "b", Diff::rename(&path("z"), Some(&text("b2"))))).await;
    accepted(&room, edit(&c, "c", Diff::delete())).await;
    put(&room, "d", "d1").await;
    let all = ["a", "b", "c", "d", "z"];
    let state = |room: DocumentRoom| async move {
        let mut texts = Vec::new();
        for at in all {
            texts.push(text_at(&room, at, None).await);
        }
        texts
    };
    let shown = |texts: [Option<&str>; 5]| texts.map(|text| text.map(str::to_owned)).to_vec();
    let after = shown([Some("a2"), None, None, Some("d1"), Some("b2")]);
    assert_eq!(state(room.clone()).await, after);
    reverted(&room, reverting(4, 7)).await;
    let before = shown([Some("a1"), Some("b1"), Some("c1"), None, None]);
    assert_eq!(state(room.clone()).await, before);
    reverted(&room, reverting(8, 11)).await;
    assert_eq!(state(room.clone()).await, after);
}

#[tokio::test]
async fn what_changed_since_is_not_reverted_silently() {
    let room = room();
    let first = put(&room, "a", BASE).await;
    let second = accepted(&room, edit(&first, "a", text(&BASE.replace("one", "ONE")))).await;
    accepted(&room, edit(&second, "a", text(&BASE.replace("one", "ONE").replace("five", "FIVE"))))
        .await;
    let outcome = revert(&room, reverting(2, 2)).await.expect("an answer");
    assert!(matches!(outcome, SetOutcome::Conflicted(_)), "{outcome:?}");
    reverted(&room, RevertChanges { on_conflict: OnConflict::Merge, ..reverting(2, 2) }).await;
    assert_eq!(text_at(&room, "a", None).await, Some(BASE.replace("five", "FIVE")));
    reverted(&room, RevertChanges { on_conflict: OnConflict::Overwrite, ..reverting(2, 2) }).await;
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some(BASE));
}

#[tokio::test]
async fn a_repeated_revert_gets_its_first_answer_and_a_bad_range_is_refused() {
    let room = room();
    put(&room, "a", "1").await;
    let request = || RevertChanges { operation_id: Some(operation(5)), ..reverting(1, 1) };
    let first = revert(&room, request()).await.expect("written");
    put(&room, "a", "2").await;
    assert_eq!(revert(&room, request()).await, Ok(first));
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("2"));
    for (first, last, code) in [
        (0, 1, ErrorCode::InvalidArgument),
        (2, 1, ErrorCode::InvalidArgument),
        (1, 9, ErrorCode::NotFound),
        (1, 2, ErrorCode::FailedPrecondition),
    ] {
        let error = revert(&room, reverting(first, last)).await.expect_err("refused");
        assert_eq!(error.code, code, "{first} to {last}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revert_where_views_are_ahead_of_the_known_log_undoes_what_it_names_alone() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    put(&here, "a", "one").await;
    put(&here, "b", "b").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    read_at(&there, "b", ReadAt::default()).await.expect("open there");
    accepted(&here, overwrite("a", "two")).await;
    accepted(&here, overwrite("a", "three")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(text_at(&there, "a", Some(3)).await.as_deref(), Some("two"));
    let outcome = there.revert_changes(&caller("anna"), reverting(3, 3)).await.expect("answered");
    assert!(matches!(outcome, SetOutcome::Conflicted(_)), "it changed since: {outcome:?}");
    assert_eq!(text_at(&here, "a", None).await.as_deref(), Some("three"));
}
