//! `SubscribeChanges`: ordered, unique, complete, resumable, with progress.

use futures::{Stream, StreamExt};
use vdom_core::dom::calls::{ChangeEvent, Event, ResumePoint, Subscribe};
use vdom_core::{ChangeKind, ErrorCode};
use vdom_edge::ServiceStream;

use super::branches::{branch, fork, set_in};
use super::two_gateways::{compact_in, text_in};
use super::*;

fn ask(paths: &[&str], from: Option<ResumePoint>) -> Subscribe {
    Subscribe {
        address: address(),
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        from,
        include_diffs: true,
    }
}

async fn watch(room: &DocumentRoom, request: Subscribe) -> Result<ServiceStream<Event>> {
    events_of(room, &caller("anna"), request).await
}

/// The next change; progress events are passed over.
async fn next_change(events: &mut (impl Stream<Item = Result<Event>> + Unpin)) -> ChangeEvent {
    let next = async {
        loop {
            match events.next().await {
                Some(Ok(Event::Change(change))) => return *change,
                Some(Ok(Event::Progress { .. })) => {}
                other => panic!("no change: {other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), next).await.expect("in time")
}

#[tokio::test]
async fn from_now_delivers_what_comes_and_starts_with_where_that_is() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let mut events = watch(&room, ask(&[], None)).await.expect("a stream");
    match events.next().await {
        Some(Ok(Event::Progress { epoch, revision, .. })) => {
            assert_eq!((epoch, revision), (first.epoch, 1));
        }
        other => panic!("no progress: {other:?}"),
    }
    put(&room, "b", "2").await;
    let change = next_change(&mut events).await;
    assert_eq!((change.change.revision, change.change.kind), (2, ChangeKind::Create));
    assert_eq!(change.diff.as_deref(), Some(&*Diff::put_file(b"2")));
}

#[tokio::test]
async fn any_resume_point_delivers_the_rest_once_and_in_order() {
    let room = room();
    let first = put(&room, "n0", "x").await;
    for number in 1..3_000 {
        put(&room, &format!("n{number}"), "x").await;
    }
    for from in [0, 1, 1_500, 2_999, 3_000] {
        let point = ResumePoint { epoch: first.epoch, revision: from, hash: None };
        let mut events = watch(&room, ask(&[], Some(point))).await.expect("a stream");
        for revision in from + 1..=3_000 {
            assert_eq!(next_change(&mut events).await.change.revision, revision);
        }
    }
}

#[tokio::test]
async fn paths_cover_whole_segments_and_both_sides_of_a_rename() {
    let room = room();
    let lib = put(&room, "lib/a", "").await;
    let point = ResumePoint { epoch: lib.epoch, revision: 0, hash: None };
    let mut events = watch(&room, ask(&["lib"], Some(point))).await.expect("a stream");
    put(&room, "library", "").await;
    let away = Diff::rename(&path("other"), None);
    let moved = accepted(&room, edit(&lib, "lib/a", away)).await;
    put(&room, "lib", "").await;
    accepted(&room, edit(&moved, "other", Diff::delete())).await;
    put(&room, "lib/z", "").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(next_change(&mut events).await.change.revision);
    }
    assert_eq!(seen, [1, 3, 4, 6]);
}

#[tokio::test]
async fn a_resume_point_that_the_log_does_not_have_is_refused() {
    let room = room();
    let first = put(&room, "a", "").await;
    let point = |epoch, revision, hash| Some(ResumePoint { epoch, revision, hash });
    let refused = async |from| watch(&room, ask(&[], from)).await.err().map(|error| error.code);
    let epoch = first.epoch;
    assert_eq!(refused(point(epoch + 1, 0, None)).await, Some(ErrorCode::EpochChanged));
    assert_eq!(refused(point(epoch, 2, None)).await, Some(ErrorCode::FailedPrecondition));
    let wrong = Some(vdom_core::Hash([1; 32]));
    assert_eq!(refused(point(epoch, 1, wrong)).await, Some(ErrorCode::EpochChanged));
    let mut events = watch(&room, ask(&[], point(epoch, 0, None))).await.expect("a stream");
    let right = Some(next_change(&mut events).await.hash);
    assert_eq!(refused(point(epoch, 1, right)).await, None);
}

#[tokio::test]
async fn an_expired_token_ends_the_stream() {
    let room = room();
    put(&room, "a", "").await;
    let mut brief = caller("anna");
    brief.expires_at = Some(SystemTime::UNIX_EPOCH);
    let mut events = events_of(&room, &brief, ask(&[], None)).await.expect("a stream");
    let error = events.next().await.expect("an end").expect_err("expired");
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn progress_comes_at_least_every_second() {
    let room = room();
    put(&room, "a", "").await;
    let mut events = watch(&room, ask(&[], None)).await.expect("a stream");
    events.next().await;
    for _ in 0..3 {
        let next = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
        assert!(matches!(next, Ok(Some(Ok(Event::Progress { revision: 1, .. })))), "{next:?}");
    }
}

/// The error with which a stream ends; progress events are passed over.
async fn end(events: &mut (impl Stream<Item = Result<Event>> + Unpin)) -> vdom_core::Error {
    let end = async {
        loop {
            match events.next().await {
                Some(Ok(Event::Progress { .. })) => {}
                Some(Err(error)) => return error,
                other => panic!("no end: {other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), end).await.expect("in time")
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_gateway_that_wakes_behind_a_compaction_ends_and_says_where_to_resume() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let frozen = Arc::new(store.peer());
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(frozen.clone()));
    let first = put(&here, "a", "1").await;
    // By then it has become rows, and the other gateway has nothing of it in memory.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let start = Some(ResumePoint { epoch: first.epoch, revision: 0, hash: None });
    // One is up to date; the other has taken nothing yet.
    let mut events = watch(&there, ask(&[], start)).await.expect("a stream");
    assert_eq!(next_change(&mut events).await.change.revision, 1);
    let mut late = watch(&there, ask(&[], start)).await.expect("a stream");
    frozen.cut_off(true);
    for number in 2..=10 {
        set_in(&here, "main", "a", &number.to_string()).await;
    }
    assert_eq!(compact_in(&here, "main", 1).await, Some(9));
    frozen.cut_off(false);

    let error = end(&mut events).await;
    assert_eq!((error.code, error.epoch), (ErrorCode::Unavailable, Some(first.epoch)), "{error}");
    assert_eq!(error.revision, Some(1), "{error}");
    assert!(events.next().await.is_none());
    let resume = Some(ResumePoint { epoch: first.epoch, revision: 1, hash: None });
    let refused = watch(&there, ask(&[], resume)).await.err().expect("compacted");
    assert_eq!((refused.code, refused.oldest_revision), (ErrorCode::Compacted, Some(9)));
    let error = end(&mut late).await;
    assert_eq!((error.code, error.oldest_revision), (ErrorCode::Compacted, Some(9)), "{error}");
    let resume = Some(ResumePoint { epoch: first.epoch, revision: 9, hash: None });
    let mut events = watch(&there, ask(&[], resume)).await.expect("a stream");
    assert_eq!(next_change(&mut events).await.change.revision, 10);
}

#[tokio::test(start_paused = true)]
async fn a_branch_is_opened_anew_where_what_it_continues_was_left_behind() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let frozen = Arc::new(store.peer());
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(frozen.clone()));
    put(&here, "a", "1").await;
    text_in(&there, "main", "a", None).await.expect("open there");
    frozen.cut_off(true);
    for number in 2..=10 {
        set_in(&here, "main", "a", &number.to_string()).await;
    }
    assert_eq!(compact_in(&here, "main", 1).await, Some(9));
    fork(&here, "next", "main", None).await;
    frozen.cut_off(false);
    let request = Subscribe { address: branch("next"), ..ask(&[], None) };
    let mut events = watch(&there, request).await.expect("a stream");
    assert_eq!(text_in(&there, "next", "a", None).await.as_deref(), Ok("10"));
    // By then the gateway has asked for what it missed of the other branch.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(text_in(&there, "next", "a", None).await.as_deref(), Ok("10"));
    set_in(&here, "next", "a", "11").await;
    assert_eq!(next_change(&mut events).await.change.revision, 11);
}
