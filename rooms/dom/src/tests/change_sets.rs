//! Change sets: all or nothing, evaluated against the head before them.

use futures::{StreamExt, stream};
use vdom_core::ErrorCode;
use vdom_core::dom::calls::{
    ChangeEvent, ChangeSetPart, Event, GetHistory, ResumePoint, SetConflicts, SetOutcome,
    SetWritten, Subscribe,
};
use vdom_core::limits::{CHUNK_BYTES, SUBSCRIPTION_QUEUE_MAX_EVENTS};

use tokio::time::Instant;

use super::faults::lose_appends_for_hours;
use super::*;

async fn write_set(
    room: &DocumentRoom,
    set: WriteDiffs,
    diffs: Vec<WriteDiff>,
) -> Result<SetOutcome> {
    let parts = diffs.into_iter().map(|diff| Ok(ChangeSetPart::Diff(Box::new(diff))));
    room.write_diffs(&caller("anna"), set, stream::iter(parts).boxed()).await
}

async fn written(room: &DocumentRoom, request: WriteDiffs, diffs: Vec<WriteDiff>) -> SetWritten {
    match write_set(room, request, diffs).await {
        Ok(SetOutcome::Written(written)) => written,
        other => panic!("not written: {other:?}"),
    }
}

async fn set_conflicts(room: &DocumentRoom, diffs: Vec<WriteDiff>) -> SetConflicts {
    match write_set(room, set(), diffs).await {
        Ok(SetOutcome::Conflicted(conflicts)) => conflicts,
        other => panic!("no conflict: {other:?}"),
    }
}

fn create(at: &str, content: &str) -> WriteDiff {
    write(at, Diff::put_file(content.as_bytes()))
}

fn rename(seen: &Written, from: &str, to: &str) -> WriteDiff {
    edit(seen, from, Diff::rename(&path(to), None))
}

async fn history(room: &DocumentRoom) -> Vec<ChangeEvent> {
    let request = GetHistory {
        address: address(),
        node: None,
        before_revision: None,
        limit: 1_000,
        include_diffs: true,
    };
    let mut changes = room.history(&caller("anna"), request).await.expect("a page").changes;
    changes.reverse();
    changes
}

async fn events(room: &DocumentRoom, from: ResumePoint, upto: u64) -> Vec<ChangeEvent> {
    let request =
        Subscribe { address: address(), paths: vec![], from: Some(from), include_diffs: true };
    let mut stream = events_of(room, &caller("anna"), request).await.expect("a stream");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event.expect("no error") {
            Event::Change(change) => events.push(*change),
            Event::Progress { revision, .. } if revision >= upto => break,
            Event::Progress { .. } => {}
        }
    }
    events
}

#[tokio::test]
async fn a_set_is_one_step_of_consecutive_revisions() {
    let room = room();
    put(&room, "before", "0").await;
    let request = WriteDiffs {
        message: "three files".to_owned(),
        metadata: BTreeMap::from([("ticket".to_owned(), "7".to_owned())]),
        authored_at_ms: Some(5),
        ..set()
    };
    let mut diffs = vec![create("a", "1"), create("b", "2"), create("c", "3")];
    diffs[1].message = "its own".to_owned();
    let answer = written(&room, request, diffs).await;
    assert_eq!((answer.first_revision, answer.last_revision), (2, 4));
    assert_eq!(answer.results.iter().map(|result| result.revision).collect::<Vec<_>>(), [2, 3, 4]);
    for (at, content) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(text_at(&room, at, None).await.as_deref(), Some(content));
        assert_eq!(text_at(&room, at, Some(1)).await, None);
    }
    let changes = history(&room).await;
    let of_set = &changes[1..];
    let places: Vec<_> = of_set.iter().filter_map(|event| event.change.change_set).collect();
    assert_eq!(
        places.iter().map(|place| (place.index, place.size)).collect::<Vec<_>>(),
        [(0, 3), (1, 3), (2, 3)]
    );
    assert!(places.iter().all(|place| place.id == places[0].id));
    let messages: Vec<_> = of_set.iter().map(ChangeEvent::message).collect();
    assert_eq!(messages, ["three files", "its own", "three files"]);
    assert!(of_set.iter().all(|event| event.metadata()["ticket"] == "7"));
    assert!(of_set.iter().all(|event| event.change.authored_at_ms == Some(5)));
}

#[tokio::test]
async fn one_conflict_refuses_the_whole_set() {
    let room = room();
    put(&room, "taken", "0").await;
    let conflicts = set_conflicts(&room, vec![create("new", "1"), create("taken", "2")]).await;
    assert_eq!(conflicts.revision, 1);
    assert!(conflicts.results[0].is_none());
    let conflict = conflicts.results[1].as_ref().expect("the second");
    assert_eq!(conflict.path, path("taken"));
    assert_eq!(text_at(&room, "new", None).await, None);
    assert_eq!(history(&room).await.len(), 1);
}

#[tokio::test]
async fn two_nodes_may_swap_their_paths() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let (a, b) = (put(&room, "a", "A").await, put(&room, "b", "B").await);
    written(&room, set(), vec![rename(&a, "a", "b"), rename(&b, "b", "a")]).await;
    let later = put(&room, "c", "C").await;
    // From memory, from the views, and from the log as it is read anew.
    for room in [room.clone(), room_over(store)] {
        room.close().await;
        for _ in 0..2 {
            assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("B"));
            assert_eq!(text_at(&room, "b", None).await.as_deref(), Some("A"));
            let past = Some(later.revision - 1);
            assert_eq!(text_at(&room, "a", past).await.as_deref(), Some("B"));
            assert_eq!(text_at(&room, "b", past).await.as_deref(), Some("A"));
            assert_eq!(text_at(&room, "a", Some(2)).await.as_deref(), Some("A"));
        }
    }
}

#[tokio::test]
async fn a_path_that_a_set_leaves_is_free_for_a_new_node() {
    let room = room();
    let old = put(&room, "a", "old").await;
    let gone = put(&room, "x", "gone").await;
    // Whichever comes first.
    let diffs = vec![
        create("a", "new"),
        rename(&old, "a", "b"),
        edit(&gone, "x", Diff::delete()),
        create("x", "again"),
    ];
    let answer = written(&room, set(), diffs).await;
    assert_ne!(answer.results[0].node_id, old.node_id);
    assert_ne!(answer.results[3].node_id, gone.node_id);
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("new"));
    assert_eq!(text_at(&room, "b", None).await.as_deref(), Some("old"));
    assert_eq!(text_at(&room, "x", None).await.as_deref(), Some("again"));
}

#[tokio::test]
async fn a_node_named_twice_and_paths_that_collide_are_refused() {
    let room = room();
    let (a, b) = (put(&room, "a", "A").await, put(&room, "b", "B").await);
    let twice = vec![edit(&a, "a", Diff::put_file(b"1")), overwrite("a", "2")];
    let collide = vec![rename(&a, "a", "c"), rename(&b, "b", "c")];
    let created = vec![rename(&a, "a", "c"), create("c", "new")];
    for (diffs, said) in
        [(twice, "the same node"), (collide, "ends at `c`"), (created, "ends at `c`")]
    {
        let error = write_set(&room, set(), diffs).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
        assert!(error.message.starts_with("diff 1 (") && error.message.contains(said), "{error}");
    }
    let conflicts = set_conflicts(&room, vec![rename(&a, "a", "b"), create("d", "")]).await;
    assert!(conflicts.results[0].is_some(), "b stays where it is");
    assert_eq!(history(&room).await.len(), 2);
}

#[tokio::test]
async fn a_repeated_set_gets_its_first_answer() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let first = room_over(store.clone());
    let request = || WriteDiffs { operation_id: Some(operation(1)), ..set() };
    let diffs = || vec![create("a", "1"), create("b", "2")];
    let answer = written(&first, request(), diffs()).await;
    for room in [first.clone(), room_over(store)] {
        assert_eq!(written(&room, request(), diffs()).await, answer);
        let other = vec![create("a", "1"), create("b", "other")];
        let error = write_set(&room, request(), other).await.expect_err("other content");
        assert_eq!(error.code, ErrorCode::FailedPrecondition, "{error}");
        let alone = WriteDiff { operation_id: Some(operation(1)), ..create("a", "1") };
        let error = room.write_diff(&caller("anna"), alone).await.expect_err("no set");
        assert_eq!(error.code, ErrorCode::FailedPrecondition, "{error}");
        assert_eq!(history(&room).await.len(), 2);
    }
}

#[tokio::test]
async fn a_set_of_one_is_the_same_as_a_plain_write() {
    let room = room();
    let alone = || WriteDiff { operation_id: Some(operation(4)), ..create("a", "1") };
    let plain = accepted(&room, alone()).await;
    let request = WriteDiffs { operation_id: Some(operation(4)), ..set() };
    let answer = written(&room, request, vec![create("a", "1")]).await;
    assert_eq!(answer.results, [plain]);
    assert_eq!(history(&room).await[0].change.change_set, None);
}

#[tokio::test]
async fn a_set_for_another_revision_is_refused() {
    let room = room();
    put(&room, "a", "1").await;
    let at = |revision| WriteDiffs { expected_revision: Some(revision), ..set() };
    let error = write_set(&room, at(7), vec![create("b", "")]).await.expect_err("not at 7");
    assert_eq!(error.code, ErrorCode::FailedPrecondition, "{error}");
    assert_eq!(error.revision, Some(1));
    written(&room, at(1), vec![create("b", "")]).await;
}

#[tokio::test]
async fn a_set_that_breaks_off_leaves_nothing() {
    let room = room();
    put(&room, "before", "").await;
    let parts = stream::iter([
        Ok(ChangeSetPart::Diff(Box::new(create("a", "1")))),
        Err(vdom_core::Error::unavailable("the stream broke off")),
    ]);
    let error = room.write_diffs(&caller("anna"), set(), parts.boxed()).await.expect_err("broken");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(history(&room).await.len(), 1);
    let error = write_set(&room, set(), vec![]).await.expect_err("empty");
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
}

#[tokio::test]
async fn contents_stream_into_a_set() {
    let room = room();
    let large = Bytes::from(vec![b'x'; CHUNK_BYTES + 7]);
    let follows = |at| {
        let diff = WriteDiff { diff: DiffSource::Follows, ..create(at, "") };
        Ok(ChangeSetPart::Diff(Box::new(diff)))
    };
    let content = |bytes: &'static [u8]| Ok(ChangeSetPart::Content(Bytes::from_static(bytes)));
    let parts = vec![
        follows("small"),
        content(b"one "),
        content(b"two"),
        follows("large"),
        Ok(ChangeSetPart::Content(large.clone())),
        follows("empty"),
    ];
    let caller = caller("anna");
    let outcome = room.write_diffs(&caller, set(), stream::iter(parts).boxed()).await;
    assert!(matches!(outcome, Ok(SetOutcome::Written(_))), "{outcome:?}");
    assert_eq!(text_at(&room, "small", None).await.as_deref(), Some("one two"));
    assert_eq!(text_at(&room, "empty", None).await.as_deref(), Some(""));
    assert_eq!(text_at(&room, "large", None).await.map(|text| text.len()), Some(large.len()));

    let parts = stream::iter([Ok(ChangeSetPart::Content(Bytes::from_static(b"?")))]).boxed();
    let error = room.write_diffs(&caller, set(), parts).await.expect_err("no diff waits");
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
}

/// More than a batch takes: its changes and diffs are in chunks.
#[tokio::test]
async fn a_set_of_any_size_reads_as_a_small_one_does() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let before = put(&room, "edited", "before").await;
    let count = SUBSCRIPTION_QUEUE_MAX_EVENTS * 3;
    let content = |number: usize| format!("{number}:").repeat(300);
    let mut diffs: Vec<_> =
        (0..count).map(|number| create(&format!("n/{number:04}"), &content(number))).collect();
    let edit_text = Diff::text(&[
        vdom_core::dom::diff::TextOperation::Delete(6),
        vdom_core::dom::diff::TextOperation::Insert("after".into()),
    ]);
    diffs.push(edit(&before, "edited", edit_text));
    let request = WriteDiffs { message: "many".to_owned(), ..set() };
    let answer = written(&room, request, diffs).await;
    let last = answer.last_revision;
    assert_eq!(last, count as u64 + 2);

    for room in [room.clone(), room_over(store)] {
        let start = ResumePoint { epoch: answer.epoch, revision: 1, hash: None };
        let events = events(&room, start, last).await;
        assert_eq!(events.len(), count + 1);
        for (number, event) in events.iter().take(count).enumerate() {
            assert_eq!(event.change.revision, number as u64 + 2);
            assert_eq!(event.message(), "many");
            assert_eq!(event.diff, Some(Diff::put_file(content(number).as_bytes())));
        }
        // As the log has it, and once the views are written.
        for _ in 0..2 {
            for number in [0, 1, count / 2, count - 1] {
                let text = text_at(&room, &format!("n/{number:04}"), None).await;
                assert_eq!(text, Some(content(number)));
            }
            assert_eq!(text_at(&room, "edited", None).await.as_deref(), Some("after"));
            assert_eq!(text_at(&room, "edited", Some(1)).await.as_deref(), Some("before"));
            room.close().await;
        }
        assert_eq!(history(&room).await.len(), 1_000);
    }
}

#[tokio::test]
async fn sets_that_wait_together_share_a_batch_and_are_decided_one_by_one() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    put(&room, "before", "0").await;
    let operation = OperationId([7; 16]);
    let at = |revision| WriteDiffs { expected_revision: Some(revision), ..set() };
    let sets = [
        (at(1), vec![create("a", "1"), create("b", "1")]),
        (WriteDiffs { operation_id: Some(operation), ..at(3) }, vec![create("c", "2")]),
        (set(), vec![create("new", "3"), create("b", "3")]),
        (at(3), vec![create("late", "4"), create("later", "4")]),
        (set(), vec![create("d", "5"), create("e", "5"), create("f", "5")]),
        (WriteDiffs { operation_id: Some(operation), ..at(3) }, vec![create("c", "2")]),
    ];
    let asked = sets.map(|(request, diffs)| write_set(&room, request, diffs));
    let answers = futures::future::join_all(asked).await;
    let spans: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(SetOutcome::Written(written)) => Ok((written.first_revision, written.last_revision)),
            Ok(SetOutcome::Conflicted(conflicts)) => Err((None, conflicts.revision)),
            Err(error) => Err((Some(error.code), error.revision.unwrap_or(0))),
        })
        .collect();
    assert_eq!(
        spans,
        [
            Ok((2, 3)),
            Ok((4, 4)),
            Err((None, 4)),
            Err((Some(ErrorCode::FailedPrecondition), 4)),
            Ok((5, 7)),
            Ok((4, 4)),
        ]
    );
    let permit = room.registry.permits.of(vdom_security::Duty::ServeBranches);
    let handle = room.registry.existing(permit, &address()).await.expect("open");
    // What may be a repetition waits for the next.
    assert_eq!(handle.branch.head().number, 3);

    let shown = |events: &[ChangeEvent]| -> Vec<_> {
        let place = |event: &ChangeEvent| event.change.change_set.map(|set| (set.index, set.size));
        events.iter().map(|event| (event.change.path.to_string(), place(event))).collect()
    };
    let place = |index, size| Some((index, size));
    let expected = [("a", place(0, 2)), ("b", place(1, 2)), ("c", None), ("d", place(0, 3))];
    let changes = shown(&history(&room).await[1..]);
    for (at, (path, place)) in expected.into_iter().enumerate() {
        assert_eq!(changes[at], (path.to_owned(), place));
    }
    room.close().await;
    // As the log has it.
    let room = room_over(store);
    assert_eq!(shown(&history(&room).await[1..]), changes);
    assert_eq!(changes.len(), 6);
    let repeated = WriteDiffs { operation_id: Some(operation), ..at(3) };
    let answer = written(&room, repeated, vec![create("c", "2")]).await;
    assert_eq!((answer.first_revision, answer.last_revision), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_set_waits_a_moment_for_the_revision_that_it_expects() {
    let room = room();
    put(&room, "before", "0").await;
    let sent_ahead = (1..=20).rev().map(|revision| {
        let request = WriteDiffs { expected_revision: Some(revision), ..set() };
        write_set(&room, request, vec![create(&format!("file-{revision}"), "1")])
    });
    let begun = Instant::now();
    let answers = futures::future::join_all(sent_ahead).await;
    for (answer, revision) in answers.into_iter().rev().zip(2..) {
        match answer {
            Ok(SetOutcome::Written(written)) => assert_eq!(written.first_revision, revision),
            other => panic!("not written: {other:?}"),
        }
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);

    // One that single writes lead to.
    let request = WriteDiffs { expected_revision: Some(22), ..set() };
    let awaited = write_set(&room, request, vec![create("after", "1")]);
    let (awaited, _) = futures::join!(awaited, put(&room, "between", "1"));
    assert!(matches!(awaited, Ok(SetOutcome::Written(_))), "{awaited:?}");

    // What does not come is not waited for for ever.
    let request = WriteDiffs { expected_revision: Some(30), ..set() };
    let refused = write_set(&room, request, vec![create("never", "1")]).await.expect_err("refused");
    assert_eq!((refused.code, refused.revision), (ErrorCode::FailedPrecondition, Some(23)));
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_batch_is_told_to_all_sets_in_it() {
    let store = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    put(&room, "before", "0").await;
    lose_appends_for_hours(&store);
    let sets = (0..5).map(|at| write_set(&room, set(), vec![create(&format!("a{at}"), "1")]));
    for answer in futures::future::join_all(sets).await {
        assert_eq!(answer.expect_err("not known").code, ErrorCode::Unavailable);
    }
    // Nothing of it is tried again.
    assert_eq!(put(&room, "after", "1").await.revision, 2);
    assert_eq!(history(&room).await.len(), 2);
}

#[tokio::test]
async fn an_operation_that_had_nothing_to_write_is_known_to_the_sets_behind_it() {
    let room = room();
    let seen = put(&room, "a", "1").await;
    put(&room, "b", "1").await;
    accepted(&room, overwrite("a", "2")).await;
    // What it wants stands there already.
    let same = || WriteDiffs { operation_id: Some(operation(9)), ..set() };
    let wants = || {
        let on_conflict = OnConflict::Merge;
        vec![WriteDiff { on_conflict, ..edit(&seen, "a", Diff::put_file(b"2")) }]
    };
    let other = overwrite("a", "3");
    let (first, between, again) = futures::join!(
        write_set(&room, same(), wants()),
        write_set(&room, set(), vec![other]),
        write_set(&room, same(), wants()),
    );
    let revisions = |answer: Result<SetOutcome>| match answer {
        Ok(SetOutcome::Written(written)) => (written.first_revision, written.last_revision),
        other => panic!("not written: {other:?}"),
    };
    assert_eq!(revisions(first), (3, 3));
    assert_eq!(revisions(between), (4, 4));
    assert_eq!(revisions(again), (3, 3));
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn early_sets_leave_room_for_what_they_wait_for() {
    let room = room();
    put(&room, "before", "0").await;
    let content = "x".repeat(900_000);
    let begun = Instant::now();
    // More than the queue of a branch takes, the first of them last.
    let sent_ahead = (1..=60).rev().map(|revision| {
        let request = WriteDiffs { expected_revision: Some(revision), ..set() };
        let written =
            write_set(&room, request, vec![create(&format!("file-{revision}"), &content)]);
        async move { (written.await, begun.elapsed()) }
    });
    let answers = futures::future::join_all(sent_ahead).await;
    let first = answers.last();
    assert!(matches!(first, Some((Ok(SetOutcome::Written(_)), Duration::ZERO))), "{first:?}");
}
