//! What the room keeps when the store fails, and when others write too.

use futures::StreamExt;
use futures::future::join_all;
use vdom_core::ErrorCode;
use vdom_core::dom::calls::{ConflictReason, Event, ReadTree, ResumePoint, Subscribe};
use vdom_store::memory::{AppendFault, ViewFaults};

use super::branches::{branch, set_in};
use super::two_gateways::text_in;
use super::*;

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_settled_and_written_once() {
    let store = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    for (number, fault) in (1..).zip([AppendFault::BeforeEffect, AppendFault::AfterEffect]) {
        store.fail_next_append(fault);
        store.fail_next_append(fault);
        assert_eq!(put(&room, &format!("n{number}"), "x").await.revision, number);
    }
    assert_eq!(put(&room, "last", "x").await.revision, 3);
}

/// One every two seconds, for a little more than six hours.
pub(super) fn lose_appends_for_hours(store: &MemoryStore) {
    for _ in 0..10_900 {
        store.fail_next_append(AppendFault::BeforeEffect);
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_of_which_nobody_knows_is_given_up_after_hours() {
    let store = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    put(&room, "before", "x").await;
    lose_appends_for_hours(&store);
    let unknown = room.write_diff(&caller("anna"), write("a", Diff::put_file(b"x"))).await;
    assert_eq!(unknown.expect_err("nobody knows").code, ErrorCode::Unavailable);
    // Who comes next finds what stands there.
    assert_eq!(put(&room, "b", "x").await.revision, 2);
    assert_eq!(text_at(&room, "a", None).await, None);
}

#[tokio::test]
async fn two_gateways_share_a_branch_without_losing_or_doubling_a_write() {
    let store = MemoryStore::shared(1);
    let rooms = [room_over(Arc::new(store.peer())), room_over(Arc::new(store))];
    let writes = (0..200).map(|number| {
        let room = &rooms[number % 2];
        async move { put(room, &format!("n{number}"), "x").await.revision }
    });
    let mut revisions = join_all(writes).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=200).collect::<Vec<u64>>());
    for room in &rooms {
        let at = ReadAt { max_age_ms: Some(0), ..ReadAt::default() };
        let request =
            ReadTree { address: address(), prefix: String::new(), at, include_content: false };
        let tree = room.read_tree(&caller("anna"), request).await.expect("a tree");
        assert_eq!(tree.count().await, 200);
    }
}

#[tokio::test]
async fn racing_creators_of_a_branch_agree_on_its_epoch() {
    let store = MemoryStore::shared(1);
    let rooms: Vec<_> = (0..8).map(|_| room_over(Arc::new(store.peer()))).collect();
    let writes = rooms
        .iter()
        .enumerate()
        .map(|(number, room)| async move { put(room, &format!("n{number}"), "x").await });
    let written = join_all(writes).await;
    assert!(written.iter().all(|answer| answer.epoch == written[0].epoch));
    let mut revisions: Vec<_> = written.iter().map(|answer| answer.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=8).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_refusal_rests_on_what_others_wrote_before_it_was_asked() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store)));
    let first = put(&here, "a", "1").await;
    accepted(&there, edit(&first, "a", Diff::delete())).await;
    // Here the path still seems to exist.
    assert_eq!(put(&here, "a", "2").await.revision, 3);
    let conflict = conflicted(&there, edit(&first, "a", Diff::put_file(b"3"))).await;
    assert_eq!(conflict.reason, ConflictReason::Deleted);
}

#[tokio::test]
async fn a_gateway_that_is_cut_off_refuses_instead_of_judging() {
    let store = Arc::new(MemoryStore::shared(1));
    let room = room_over(store.clone());
    let first = put(&room, "a", "1").await;
    store.cut_off(true);
    let stale = WriteDiff {
        node_id: None,
        clock: VectorClock::default(),
        ..edit(&first, "a", Diff::put_file(b"2"))
    };
    let error = room.write_diff(&caller("anna"), stale).await.expect_err("no proof");
    assert_eq!(error.code, ErrorCode::Unavailable);
    let confirm = ReadAt { max_age_ms: Some(0), ..ReadAt::default() };
    let error = read_at(&room, "a", confirm).await.expect_err("no proof");
    assert_eq!(error.code, ErrorCode::Unavailable);
    store.cut_off(false);
    assert_eq!(put(&room, "b", "x").await.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn lost_and_late_view_writes_change_no_answer() {
    for seed in 0..8 {
        let store = Arc::new(MemoryStore::new(seed));
        store.disturb_views(ViewFaults { lost: 30, late: 30 });
        let room = room_over(store.clone());
        let mut seen = put(&room, "a", "0").await;
        for number in 1..40 {
            seen = if number % 7 == 0 {
                let target = format!("a{number}");
                accepted(&room, rename(&seen, &target)).await
            } else {
                accepted(&room, WriteDiff { path: None, ..edit(&seen, "a", content(number)) }).await
            };
        }
        store.settle_views();
        // A process that ends here leaves views that are behind, never wrong.
        drop(room);
        store.disturb_views(ViewFaults::default());
        let room = room_over(store.clone());
        assert_eq!(text_at(&room, "a35", None).await.as_deref(), Some("39"), "seed {seed}");
        assert_eq!(text_at(&room, "a", Some(6)).await.as_deref(), Some("5"), "seed {seed}");
        assert_eq!(text_at(&room, "a", Some(8)).await, None, "seed {seed}");
        assert_eq!(text_at(&room, "a7", Some(9)).await.as_deref(), Some("8"), "seed {seed}");
    }
}

fn content(number: u32) -> Bytes {
    Diff::put_file(number.to_string().as_bytes())
}

fn rename(seen: &Written, target: &str) -> WriteDiff {
    WriteDiff { path: None, ..edit(seen, "a", Diff::rename(&path(target), None)) }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_elsewhere_sees_everything_without_early_words() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store)));
    let first = put(&here, "a", "1").await;
    let from = Some(ResumePoint { epoch: first.epoch, revision: 0, hash: None });
    let request = Subscribe { address: address(), paths: vec![], from, include_diffs: false };
    let mut events = events_of(&there, &caller("anna"), request).await.expect("a stream");
    for number in 2..20 {
        put(&here, &format!("n{number}"), "x").await;
    }
    let mut revisions = Vec::new();
    while revisions.len() < 19 {
        let next = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
        if let Event::Change(event) = next.expect("in time").expect("going on").expect("fine") {
            revisions.push(event.change.revision);
        }
    }
    assert_eq!(revisions, (1..20).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_an_open_that_failed_has_the_branch_that_everybody_has() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let slow = Arc::new(store.peer());
    let (here, there) = (room_over(Arc::new(store)), room_over(slow.clone()));
    let anna = caller("anna");
    let request =
        Subscribe { address: branch("next"), paths: vec![], from: None, include_diffs: false };
    slow.hold_finds(true);
    // The reader's look-up is from before the branch is made; the subscriber waits for it.
    let (read, events, first) = tokio::join!(
        text_in(&there, "next", "a", None),
        events_of(&there, &anna, request),
        async {
            let first = set_in(&here, "next", "a", "1").await;
            slow.hold_finds(false);
            first
        },
    );
    assert_eq!(read.expect_err("not there yet").code, ErrorCode::NotFound);
    let mut events = events.expect("a stream");
    assert_eq!(there.open_branches(), 1);
    set_in(&here, "next", "a", "2").await;
    let next = async {
        loop {
            match events.next().await.expect("going on").expect("fine") {
                Event::Change(event) => return event.change.revision,
                Event::Progress { .. } => {}
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(5), next).await;
    assert_eq!(next.expect("in time"), first.revision + 1);
}
