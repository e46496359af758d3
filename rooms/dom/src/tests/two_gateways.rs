//! Several gateways over one store: what one compacts, the others never take for nothing.

use futures::{StreamExt, TryStreamExt};
use vdom_core::dom::calls::{ReadTree, ResumePoint};
use vdom_core::{Error, ErrorCode, Hash};
use vdom_security::Duty;
use vdom_store::memory::ViewFaults;

use super::branches::{branch, set_in};
use super::*;
use crate::Retention;
use crate::maintenance::rebuild;
use crate::records::Checkpoint;
use crate::writer::{BranchHandle, Command};

/// Compacts a branch of a room but for its newest changes; answers the oldest revision kept.
pub(super) async fn compact_in(room: &DocumentRoom, on: &str, keep: u64) -> Option<u64> {
    let retention = Retention { changes: Some(keep), age: None };
    let report = room.registry.compact(&branch(on), retention, 1).await.expect("compacted");
    report.map(|report| report.oldest_revision)
}

pub(super) async fn tree(
    room: &DocumentRoom,
    on: &str,
    revision: Option<u64>,
) -> Result<Vec<String>> {
    let request = ReadTree {
        address: branch(on),
        prefix: String::new(),
        at: ReadAt { revision, ..ReadAt::default() },
        include_content: true,
    };
    let entries: Vec<_> = room.read_tree(&caller("anna"), request).await?.try_collect().await?;
    let shown = |entry: &vdom_core::dom::calls::TreeEntry| {
        let content = entry.content.as_deref().unwrap_or_default();
        format!("{}={}", entry.node.path, String::from_utf8_lossy(content))
    };
    Ok(entries.iter().map(shown).collect())
}

pub(super) async fn text_in(
    room: &DocumentRoom,
    on: &str,
    at: &str,
    revision: Option<u64>,
) -> Result<String> {
    let when = ReadAt { revision, ..ReadAt::default() };
    let request =
        ReadSnapshot { address: branch(on), node: NodeSelector::Path(path(at)), at: when };
    room.read_snapshot(&caller("anna"), request).await.map(|snapshot| text_of(&snapshot))
}

/// What a read answers once the gateway has heard of what it lacks; until then it says that.
async fn settled<T>(read: impl AsyncFn() -> Result<T>) -> Result<T> {
    for _ in 0..5 {
        match read().await {
            Err(Error { code: ErrorCode::Unavailable, .. }) => {}
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("unavailable for five seconds");
}

/// A file whose content and mode come first, eight changes of another, and its new content.
async fn eleven_changes(store: &MemoryStore) {
    let room = room_over(Arc::new(store.peer()));
    let seen = put(&room, "a", "content").await;
    let mode = Diff::attributes([("mode", "100755")], []).expect("valid");
    accepted(&room, edit(&seen, "a", mode)).await;
    for number in 3..=10 {
        set_in(&room, "main", "n", &number.to_string()).await;
    }
    set_in(&room, "main", "a", "newest").await;
    room.close().await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_another_gateway_removed_are_no_empty_content_and_no_missing_node() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    eleven_changes(&store).await;
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    text_in(&there, "main", "n", None).await.expect("open there");
    // Kept from 1 on, the change of the mode stays; kept from 3 on, both are gone.
    for (keep, oldest) in [(10, 1), (8, 3)] {
        assert_eq!(compact_in(&here, "main", keep).await, Some(oldest));
        for revision in 1..=3 {
            let is_kept = revision >= oldest;
            let check = |what: &str, code: Option<ErrorCode>| match code {
                None => assert!(is_kept, "{what} at {revision}"),
                Some(ErrorCode::Unavailable) => {}
                code => assert!(!is_kept && code == Some(ErrorCode::Compacted), "{code:?}"),
            };
            match text_in(&there, "main", "a", Some(revision)).await {
                Ok(text) => assert_eq!(text, "content"),
                Err(error) => check("a", Some(error.code)),
            }
            match tree(&there, "main", Some(revision)).await {
                Ok(entries) => assert_eq!(entries[0], "a=content"),
                Err(error) => check("the tree", Some(error.code)),
            }
        }
        for revision in 1..=3 {
            let answer = settled(|| text_in(&there, "main", "a", Some(revision))).await;
            let right = text_in(&here, "main", "a", Some(revision)).await;
            assert_eq!(answer.map_err(|error| error.code), right.map_err(|error| error.code));
            let answer = settled(|| tree(&there, "main", Some(revision))).await;
            let right = tree(&here, "main", Some(revision)).await;
            assert_eq!(answer.map_err(|error| error.code), right.map_err(|error| error.code));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_merge_base_that_another_gateway_compacted_is_found_or_missed_never_guessed() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let lines = |first: &str, last: &str| format!("{first}\nm\nm\nm\n{last}\n");
    let first = {
        let room = room_over(Arc::new(store.peer()));
        let first = put(&room, "a", &lines("1", "z")).await;
        let second = edit(&first, "a", Diff::put_file(lines("2", "z").as_bytes()));
        let second = accepted(&room, second).await;
        for number in 3..=6 {
            set_in(&room, "main", "n", &number.to_string()).await;
        }
        let third = edit(&second, "a", Diff::put_file(lines("3", "z").as_bytes()));
        accepted(&room, third).await;
        room.close().await;
        (first, second)
    };
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    text_in(&there, "main", "n", None).await.expect("open there");
    compact_in(&here, "main", 3).await.expect("compacted");
    let merge = |seen: &Written, first: &str| WriteDiff {
        on_conflict: OnConflict::Merge,
        ..edit(seen, "a", Diff::put_file(lines(first, "end").as_bytes()))
    };
    let (gone, kept) = first;
    let conflict = conflicted(&there, merge(&gone, "1")).await;
    assert_eq!(conflict.base_content, None);
    assert!(accepted(&there, merge(&kept, "2")).await.merged);
    assert_eq!(text_in(&there, "main", "a", None).await, Ok(lines("3", "end")));
}

#[tokio::test(start_paused = true)]
async fn a_fork_reads_what_another_gateway_compacted_down_to_where_it_begins() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    put(&here, "a", "a1").await;
    put(&here, "b", "b1").await;
    super::branches::fork(&here, "next", "main", None).await;
    text_in(&there, "next", "b", None).await.expect("open there");
    for number in 2..=5 {
        set_in(&here, "main", "a", &format!("a{number}")).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(compact_in(&here, "main", 1).await, Some(2));
    if let Err(error) = text_in(&there, "next", "a", None).await {
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    }
    assert_eq!(settled(|| text_in(&there, "next", "a", None)).await.as_deref(), Ok("a1"));
    let entries = settled(|| tree(&there, "next", None)).await;
    assert_eq!(entries, Ok(vec!["a=a1".to_owned(), "b=b1".to_owned()]));
}

async fn handle(room: &DocumentRoom) -> Arc<BranchHandle> {
    let permit = room.registry.permits.of(Duty::Compact);
    room.registry.existing(permit, &address()).await.expect("open")
}

#[tokio::test(start_paused = true)]
async fn two_gateways_that_compact_one_branch_keep_one_checkpoint() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let shared: Arc<dyn Store> = Arc::new(store.peer());
    let named = || WriteDiff { operation_id: Some(operation(4)), ..overwrite("op", "1") };
    {
        let room = room_over(shared.clone());
        put(&room, "a", "a1").await;
        accepted(&room, named()).await;
        for number in 3..=9 {
            set_in(&room, "main", "a", &format!("a{number}")).await;
        }
        // What comes after the limit does not say the content.
        let seen = read_at(&room, "a", ReadAt::default()).await.expect("there").node;
        let rename = Diff::rename(&path("b"), None);
        let rename = WriteDiff { path: None, node_id: Some(seen.id), ..write("a", rename) };
        accepted(&room, WriteDiff { clock: seen.clock.clone(), ..rename }).await;
        room.close().await;
    }
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    let limit = handle(&here).await.ask(|reply| Command::Limit { wanted: 9, reply }).await;
    assert_eq!(limit, Ok(9));
    let at = ReadAt { max_age_ms: Some(0), ..ReadAt::default() };
    read_at(&there, "op", at).await.expect("hears of the limit");
    let kept = Ok(vec!["a=a9".to_owned(), "op=1".to_owned()]);
    assert_eq!(compact_in(&here, "main", 1).await, Some(9));
    assert_eq!(tree(&here, "main", Some(9)).await, kept);
    // There a checkpoint was being written, of rows that were removed meanwhile.
    let (epoch, hash, pieces) = (1, Hash::default(), Vec::new());
    let late = Box::new(Checkpoint { revision: 9, number: 9, hash, pieces, epoch });
    let append = |reply| Command::Checkpoint { checkpoint: late, built_on: 0, reply };
    handle(&there).await.ask(append).await.expect("not needed");
    compact_in(&there, "main", 1).await;
    assert_eq!(tree(&there, "main", Some(9)).await, kept);
    tokio::time::sleep(Duration::from_secs(3)).await;
    here.close().await;
    there.close().await;
    assert_eq!(tree(&room_over(shared.clone()), "main", Some(9)).await, kept);

    rebuild(&maintained(&shared), &environment(), |_| {}).await.expect("rebuilt");
    let room = room_over(shared);
    assert_eq!(tree(&room, "main", Some(9)).await, kept);
    assert_eq!(tree(&room, "main", None).await, Ok(vec!["b=a9".to_owned(), "op=1".to_owned()]));
    assert_eq!(accepted(&room, named()).await.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn a_compaction_that_goes_on_after_views_were_lost_keeps_every_node() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    for number in 1..=6 {
        set_in(&room, "main", &format!("n{number}"), "x").await;
    }
    let handle = handle(&room).await;
    handle.ask(|reply| Command::Limit { wanted: 4, reply }).await.expect("appended");
    // Views need not survive a power cut, the log does.
    store.clear_views(handle.branch.log).await.expect("cleared");
    drop((handle, room));
    let room = room_over(store.clone());
    assert_eq!(compact_in(&room, "main", 1).await, Some(4));
    room.close().await;
    drop(room);
    rebuild(&maintained(&store), &environment(), |_| {}).await.expect("rebuilt");
    let room = room_over(store);
    assert_eq!(tree(&room, "main", None).await.expect("a tree").len(), 6);
    assert_eq!(tree(&room, "main", Some(4)).await.expect("a tree").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_follows_a_log_whose_compaction_comes_after_what_it_reads_next() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store.peer())));
    let first = put(&here, "a", "1").await;
    set_in(&here, "main", "n", "2").await;
    set_in(&here, "main", "n", "3").await;
    // By then they have become rows, and the other gateway has nothing of them in memory.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let watch = async |from| {
        let address = address();
        let request = Subscribe { address, paths: vec![], from, include_diffs: false };
        events_of(&there, &caller("anna"), request).await
    };
    let mut events = watch(None).await.expect("a stream");
    // What the change there is made of is told by rows that are removed by then.
    set_in(&here, "main", "a", "4").await;
    assert_eq!(compact_in(&here, "main", 3).await, Some(1));
    let told = async |events: &mut ServiceStream<Event>| {
        loop {
            match events.next().await.expect("going on") {
                Ok(Event::Progress { .. }) => {}
                Ok(Event::Change(event)) => return Ok(event.change.revision),
                Err(error) => return Err(error),
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(5), told(&mut events)).await;
    let error = next.expect("in time").expect_err("it is opened anew");
    assert_eq!((error.code, error.revision), (ErrorCode::Unavailable, Some(3)), "{error}");
    let from = ResumePoint { epoch: first.epoch, revision: 3, hash: None };
    let mut events = watch(Some(from)).await.expect("a stream");
    assert_eq!(told(&mut events).await, Ok(4));
    assert_eq!(text_in(&there, "main", "a", Some(1)).await.as_deref(), Ok("1"));
    let edit = WriteDiff { on_conflict: OnConflict::Merge, ..edit(&first, "a", Diff::delete()) };
    conflicted(&there, edit).await;
}

#[tokio::test(start_paused = true)]
async fn a_branch_opens_whose_views_have_not_heard_of_a_compaction() {
    for seed in 0..32 {
        let store = Arc::new(MemoryStore::new(seed));
        let room = room_over(store.clone());
        put(&room, "a", "1").await;
        for number in 2..=4 {
            set_in(&room, "main", "n", &number.to_string()).await;
        }
        let known = handle(&room).await;
        let limit = known.ask(|reply| Command::Limit { wanted: 1, reply }).await;
        assert_eq!(limit, Ok(1));
        known.branch.views_complete(known.branch.head().number).await;
        drop(known);
        // From now on, rows arrive in part, and the process ends before they are whole.
        store.disturb_views(ViewFaults { lost: 100, late: 0 });
        set_in(&room, "main", "a", "5").await;
        assert_eq!(compact_in(&room, "main", 3).await, Some(1), "seed {seed}");
        // Time for one more attempt.
        tokio::time::sleep(Duration::from_millis(150)).await;
        drop(room);
        store.disturb_views(ViewFaults::default());
        let room = room_over(store);
        assert_eq!(text_in(&room, "main", "a", None).await.as_deref(), Ok("5"), "seed {seed}");
        assert_eq!(text_in(&room, "main", "a", Some(4)).await.as_deref(), Ok("1"), "seed {seed}");
        let entries = tree(&room, "main", Some(1)).await;
        assert_eq!(entries, Ok(vec!["a=1".to_owned()]), "seed {seed}");
    }
}
