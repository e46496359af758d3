//! Forks, and forks of forks: what they continue stays whatever becomes of the branches
//! between.

use vdom_core::dom::calls::Subscribe;
use vdom_core::{ErrorCode, Hash};
use vdom_security::Duty;
use vdom_store::{Batch, BatchId, LogDescriptor};

use super::branches::{branch, delete, fork, from, set_in};
use super::two_gateways::{compact_in, text_in, tree};
use super::*;
use crate::branch::point_in_time::hash_at;
use crate::records::{ControlRecord, Pin, encode_batch};
use crate::registry::open::log_descriptor;
use crate::writer::{BranchHandle, Command};

fn entries(shown: &[&str]) -> Vec<String> {
    shown.iter().map(|&entry| entry.to_owned()).collect()
}

/// `main` with `a`, changed as often as that: `a` has its revision as its content.
async fn changed(room: &DocumentRoom, times: u64) {
    for revision in 1..=times {
        set_in(room, "main", "a", &revision.to_string()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_stays_open_keeps_its_parent_open() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    {
        let room = room_over(store.clone());
        put(&room, "a", "a1").await;
        put(&room, "b", "b1").await;
        fork(&room, "next", "main", None).await;
        room.close().await;
    }
    let room = room_over(store);
    let request =
        Subscribe { address: branch("next"), paths: vec![], from: None, include_diffs: false };
    let watcher = room.subscribe(&caller("anna"), request).await.expect("a stream");
    // Long enough for what nobody uses to be closed.
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(room.open_branches(), 2);
    for content in ["a2", "a3", "a4"] {
        set_in(&room, "main", "a", content).await;
    }
    assert_eq!(compact_in(&room, "main", 1).await, Some(2));
    assert_eq!(text_in(&room, "next", "a", None).await.as_deref(), Ok("a1"));
    assert_eq!(tree(&room, "next", None).await, Ok(entries(&["a=a1", "b=b1"])));
    let second = WriteDiff { address: branch("next"), ..write("a", Diff::put_file(b"second")) };
    conflicted(&room, second).await;
    drop(watcher);
    tokio::time::sleep(Duration::from_secs(190)).await;
    assert_eq!(room.open_branches(), 0, "neither is used");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_slept_finds_a_fork_that_was_made_again_of_a_compacted_parent() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let frozen = Arc::new(store.peer());
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(frozen.clone()));
    changed(&here, 2).await;
    fork(&here, "next", "main", None).await;
    assert_eq!(text_in(&there, "next", "a", None).await.as_deref(), Ok("2"));
    frozen.cut_off(true);
    fork(&here, "late", "main", None).await;
    set_in(&here, "main", "b", "b").await;
    delete(&here, "next").await.expect("deleted");
    delete(&here, "late").await.expect("deleted");
    fork(&here, "next", "main", None).await;
    for number in 4..=9 {
        set_in(&here, "main", "a", &number.to_string()).await;
    }
    assert_eq!(compact_in(&here, "main", 1).await, Some(3));
    frozen.cut_off(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tree(&there, "next", None).await, Ok(entries(&["a=2", "b=b"])));
    assert_eq!(text_in(&there, "main", "a", None).await.as_deref(), Ok("9"));
}

#[tokio::test(start_paused = true)]
async fn a_branch_may_continue_what_continues_its_earlier_life() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    changed(&room, 3).await;
    fork(&room, "next", "main", Some(2)).await;
    delete(&room, "main").await.expect("deleted");
    room.close().await;
    for room in [room, room_over(store)] {
        let again = async {
            let created = room.create_branch(&caller("anna"), from("main", "next", None)).await;
            if let Err(error) = created {
                assert_eq!(error.code, ErrorCode::AlreadyExists, "{error}");
            }
            tree(&room, "main", None).await
        };
        let again = tokio::time::timeout(Duration::from_secs(60), again).await;
        assert_eq!(again.expect("an answer"), Ok(entries(&["a=2"])));
        room.close().await;
    }
}

#[tokio::test]
async fn a_fork_of_a_fork_is_pinned_where_its_revision_lives() {
    let room = room();
    changed(&room, 10).await;
    fork(&room, "next", "main", Some(8)).await;
    let early = fork(&room, "early", "next", Some(3)).await;
    let next = vdom_core::BranchName::parse("next").expect("valid");
    assert_eq!(early.origin, Some((next, 3)));
    assert_eq!(compact_in(&room, "main", 1).await, Some(3));
    assert_eq!(tree(&room, "early", None).await, Ok(entries(&["a=3"])));
    assert_eq!(text_in(&room, "early", "a", None).await.as_deref(), Ok("3"));
    // What it needs is not in the fork between.
    for content in ["n1", "n2", "n3"] {
        set_in(&room, "next", "n", content).await;
    }
    assert_eq!(compact_in(&room, "next", 1).await, Some(10));
    assert_eq!(tree(&room, "early", None).await, Ok(entries(&["a=3"])));
    delete(&room, "next").await.expect("deleted");
    assert!(compact_in(&room, "main", 1).await.is_none());
    delete(&room, "early").await.expect("deleted");
    assert_eq!(compact_in(&room, "main", 1).await, Some(9));
}

#[tokio::test]
async fn a_fork_of_a_fork_that_is_pinned_between_is_heeded_too() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    changed(&room, 10).await;
    fork(&room, "next", "main", Some(8)).await;
    // As version 0.1.0 made it.
    let descriptor = log_descriptor(&branch("early"), 1);
    let log = descriptor.log_id();
    append_pin(&room, "next", Pin { log, revision: 3, made_at_ms: None }).await;
    let parent = ControlRecord::Parent {
        branch: "next".to_owned(),
        incarnation: 1,
        revision: 3,
        previous_epoch: None,
    };
    let hash = hash_at(&handle(&room, "main").await.branch, 3).await.expect("kept");
    let batch = first_batch(descriptor, 4, 1, hash, parent);
    store.append(log, 1, &batch).await.expect("appended");
    assert_eq!(tree(&room, "early", None).await, Ok(entries(&["a=3"])));
    handle(&room, "next").await.branch.views_complete(2).await;
    assert_eq!(compact_in(&room, "main", 1).await, Some(3));
    assert_eq!(tree(&room, "early", None).await, Ok(entries(&["a=3"])));
}

#[tokio::test]
async fn a_fork_holds_what_deleted_branches_between_continue() {
    let room = room();
    changed(&room, 5).await;
    fork(&room, "next", "main", None).await;
    set_in(&room, "next", "n", "n6").await;
    set_in(&room, "next", "n", "n7").await;
    fork(&room, "other", "next", None).await;
    delete(&room, "next").await.expect("deleted");
    // The log that has revision 6 takes no pin any more.
    fork(&room, "early", "other", Some(6)).await;
    for content in ["o8", "o9", "o10"] {
        set_in(&room, "other", "o", content).await;
    }
    compact_in(&room, "other", 1).await.expect("compacted");
    delete(&room, "other").await.expect("deleted");
    for number in 6..=9 {
        set_in(&room, "main", "a", &number.to_string()).await;
    }
    assert_eq!(compact_in(&room, "main", 1).await, Some(5));
    assert_eq!(tree(&room, "early", None).await, Ok(entries(&["a=5", "n=n6"])));
    delete(&room, "early").await.expect("deleted");
    assert_eq!(compact_in(&room, "main", 1).await, Some(8));
}

#[tokio::test]
async fn of_racing_creators_the_pin_of_the_first_counts() {
    for (first, second) in [(3, 8), (8, 3)] {
        let room = room();
        changed(&room, 10).await;
        // Both looked before the branch was there.
        let log = log_descriptor(&branch("next"), 1).log_id();
        let pin = |revision| Pin { log, revision, made_at_ms: Some(0) };
        append_pin(&room, "main", pin(second)).await;
        fork(&room, "next", "main", Some(first)).await;
        append_pin(&room, "main", pin(second)).await;
        let before = tree(&room, "next", None).await;
        assert_eq!(compact_in(&room, "main", 1).await, Some(first));
        assert_eq!(tree(&room, "next", None).await, before);
        assert_eq!(before, Ok(entries(&[&format!("a={first}")])));
    }
}

#[tokio::test]
async fn a_pin_whose_branch_never_came_is_released_after_a_day() {
    let room = room();
    changed(&room, 10).await;
    let pin = |name: &str, revision, made_at_ms| {
        let log = log_descriptor(&branch(name), 1).log_id();
        Pin { log, revision, made_at_ms }
    };
    let now_ms = room.registry.environment.now_ms();
    let a_day_ms = 24 * 60 * 60 * 1_000;
    append_pin(&room, "main", pin("never", 2, Some(now_ms - a_day_ms - 1))).await;
    append_pin(&room, "main", pin("soon", 5, Some(now_ms))).await;
    append_pin(&room, "main", pin("unknown", 7, None)).await;
    assert_eq!(compact_in(&room, "main", 1).await, Some(5));
}

#[tokio::test]
async fn pins_that_wait_together_share_a_batch_and_are_refused_one_by_one() {
    let room = room();
    changed(&room, 10).await;
    compact_in(&room, "main", 1).await;
    let main = handle(&room, "main").await;
    let before = main.branch.head().number;
    let oldest = main.branch.oldest_revision();
    let asked = (0..20).map(|at| {
        let log = log_descriptor(&branch(&format!("fork-{at}")), 1).log_id();
        let pin = Pin { log, revision: oldest - at % 2, made_at_ms: None };
        main.ask(move |reply| Command::Pin { pin, reply })
    });
    let answers = futures::future::join_all(asked).await;
    for (at, answer) in answers.into_iter().enumerate() {
        let code = answer.map_err(|error| error.code);
        assert_eq!(code, if at % 2 == 0 { Ok(()) } else { Err(ErrorCode::Compacted) });
    }
    assert_eq!(main.branch.head().number, before + 1);
}

#[tokio::test]
async fn a_branch_that_takes_too_long_to_make_is_refused() {
    let hours = AtomicU64::new(0);
    let environment = Environment::new(
        move || {
            let hours = hours.fetch_add(2, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hours * 60 * 60)
        },
        Duration::default,
        |bytes| {
            bytes.fill(7);
            Ok(())
        },
    );
    let room = room_in(environment, Arc::new(MemoryStore::new(1)), Quotas::default());
    put(&room, "a", "1").await;
    let error = room.create_branch(&caller("anna"), from("next", "main", None)).await;
    assert_eq!(error.expect_err("its pin may be gone").code, ErrorCode::Unavailable);
}

async fn handle(room: &DocumentRoom, on: &str) -> Arc<BranchHandle> {
    let permit = room.registry.permits.of(Duty::Compact);
    room.registry.existing(permit, &branch(on)).await.expect("open")
}

async fn append_pin(room: &DocumentRoom, on: &str, pin: Pin) {
    handle(room, on).await.ask(|reply| Command::Pin { pin, reply }).await.expect("appended");
}

/// The first batch of a log that continues another.
pub(super) fn first_batch(
    descriptor: LogDescriptor,
    first_revision: u64,
    epoch: u64,
    hash: Hash,
    parent: ControlRecord,
) -> Batch {
    let (manifest, body) = encode_batch(epoch, hash, &[], vec![parent]).expect("encoded");
    Batch {
        id: BatchId([7; 16]),
        previous: [0; 32],
        descriptor: Some(descriptor),
        first_revision,
        count: 0,
        operations: vec![],
        chunks: vec![],
        closing: false,
        compacted_from: None,
        manifest,
        body,
    }
}
