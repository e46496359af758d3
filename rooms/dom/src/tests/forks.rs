//! Forks, and forks of forks: what they continue stays whatever becomes of the branches
//! between.

use vdom_core::ErrorCode;
use vdom_core::dom::calls::Subscribe;

use super::branches::{branch, delete, fork, from, set_in};
use super::two_gateways::{compact_in, text_in, tree};
use super::*;

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
