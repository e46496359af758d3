//! What is left of a history that was compacted, and what is no longer answered.

use futures::{StreamExt, TryStreamExt};
use vdom_core::dom::calls::{
    CreateBranch, DeleteBranch, Event, GetHistory, HistoryPage, ListConflicts, ReadTree,
    Resolution, ResolveConflict, ResolveOutcome, ResumePoint, RevertChanges, SetOutcome, Subscribe,
};
use vdom_core::limits::{CHUNK_BYTES, OPERATION_KEPT};
use vdom_core::{BranchName, Error, ErrorCode};
use vdom_store::{LogDescriptor, LogFilter, LogId, View, Watermark};

use super::*;
use crate::CompactionReport;
use crate::Retention;
use vdom_security::Duty;

use crate::maintenance::{collect, rebuild, verify};
use crate::records::{DocumentView, Pin};
use crate::writer::Command;

/// Keep so many changes.
fn newest(changes: u64) -> Retention {
    Retention { changes: Some(changes), age: None }
}

async fn compact(room: &DocumentRoom, keep: u64) -> Option<CompactionReport> {
    room.registry.compact(&address(), newest(keep), 1).await.expect("compacted")
}

/// `a` changes ten times, `b` comes and goes, `c` comes and is renamed: 14 changes.
async fn written(room: &DocumentRoom) -> Vec<Written> {
    let mut seen = vec![put(room, "a", "a1").await];
    put(room, "b", "b1").await;
    put(room, "c", "c1").await;
    for version in 2..=10 {
        let last = seen.last().expect("one").clone();
        let next = edit(&last, "a", Diff::put_file(format!("a{version}").as_bytes()));
        seen.push(accepted(room, next).await);
    }
    accepted(room, WriteDiff { on_conflict: OnConflict::Overwrite, ..write("b", Diff::delete()) })
        .await;
    let rename = Diff::rename(&path("d"), None);
    accepted(room, WriteDiff { on_conflict: OnConflict::Overwrite, ..write("c", rename) }).await;
    seen
}

async fn tree(room: &DocumentRoom, branch: &str, revision: Option<u64>) -> Result<Vec<String>> {
    let request = ReadTree {
        address: BranchAddress::parse("", "repo", branch).expect("valid"),
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

async fn history(room: &DocumentRoom) -> HistoryPage {
    let request = GetHistory {
        address: address(),
        node: None,
        before_revision: None,
        limit: 1_000,
        include_diffs: true,
    };
    room.history(&caller("anna"), request).await.expect("a history")
}

async fn events_from(room: &DocumentRoom, from: ResumePoint, count: usize) -> Result<Vec<u64>> {
    let request =
        Subscribe { address: address(), paths: vec![], from: Some(from), include_diffs: true };
    let mut events = events_of(room, &caller("anna"), request).await?;
    let mut revisions = Vec::new();
    while revisions.len() < count {
        if let Some(Event::Change(event)) = events.next().await.transpose()? {
            revisions.push(event.change.revision);
        }
    }
    Ok(revisions)
}

fn is_compacted(error: &Error, oldest: u64) {
    assert_eq!(error.code, ErrorCode::Compacted, "{error}");
    assert_eq!(error.oldest_revision, Some(oldest), "{error}");
}

#[tokio::test]
async fn what_is_kept_reads_as_before_and_the_rest_is_refused_by_name() {
    let room = room();
    let seen = written(&room).await;
    let mut before = Vec::new();
    for revision in 8..=14 {
        before.push(tree(&room, "main", Some(revision)).await.expect("a tree"));
    }
    let hashes: Vec<_> = history(&room).await.changes.iter().map(|event| event.hash).collect();
    let report = compact(&room, 6).await.expect("something to compact");
    assert_eq!((report.oldest_revision, report.changes), (8, 8));
    assert!(compact(&room, 6).await.is_none(), "nothing is left to do");

    for (revision, before) in (8..=14).zip(&before) {
        assert_eq!(tree(&room, "main", Some(revision)).await.as_ref(), Ok(before));
        let a = text_at(&room, "a", Some(revision)).await;
        assert_eq!(a, Some(format!("a{}", revision.min(12) - 2)), "at {revision}");
    }
    is_compacted(&tree(&room, "main", Some(7)).await.expect_err("gone"), 8);
    let at = ReadAt { revision: Some(3), ..ReadAt::default() };
    is_compacted(&read_at(&room, "a", at).await.expect_err("gone"), 8);

    let kept = history(&room).await;
    let kept_hashes: Vec<_> = kept.changes.iter().map(|event| event.hash).collect();
    assert_eq!(kept_hashes, hashes[..6]);
    assert_eq!(kept.next_before_revision, None);

    let epoch = seen[0].epoch;
    let from = |revision, hash| ResumePoint { epoch, revision, hash };
    is_compacted(&events_from(&room, from(7, None), 1).await.expect_err("gone"), 8);
    // The last hash of what is compacted is still known.
    let resumed = events_from(&room, from(8, Some(hashes[6])), 6).await;
    assert_eq!(resumed.expect("resumed"), [9, 10, 11, 12, 13, 14]);
    let earliest = events_from(&room, ResumePoint::EARLIEST, 6).await;
    assert_eq!(earliest.expect("all that are kept"), [9, 10, 11, 12, 13, 14]);
    let error = events_from(&room, from(8, Some(hashes[5])), 1).await.expect_err("another log");
    assert_eq!(error.code, ErrorCode::EpochChanged);

    let revert = |first_revision, last_revision| RevertChanges {
        address: address(),
        first_revision,
        last_revision,
        epoch: None,
        on_conflict: OnConflict::Overwrite,
        author: None,
        message: String::new(),
        operation_id: None,
    };
    let error = room.revert_changes(&caller("anna"), revert(8, 9)).await.expect_err("gone");
    is_compacted(&error, 8);
    let outcome = room.revert_changes(&caller("anna"), revert(9, 14)).await.expect("kept");
    assert!(matches!(outcome, SetOutcome::Written(_)), "{outcome:?}");
    let head = tree(&room, "main", None).await.expect("a tree");
    assert_eq!(head, ["a=a6", "b=b1", "c=c1"]);
}

#[tokio::test]
async fn writers_with_old_clocks_conflict_or_merge_with_what_is_kept() {
    let room = room();
    let lines = |first: &str, last: &str| format!("{first}\nm\nm\nm\n{last}\n");
    let mut seen = vec![put(&room, "a", &lines("1", "z")).await];
    for version in 2..=9 {
        let last = seen.last().expect("one").clone();
        let text = lines(&version.to_string(), "z");
        seen.push(accepted(&room, edit(&last, "a", Diff::put_file(text.as_bytes()))).await);
    }
    compact(&room, 4).await.expect("compacted");
    let merge = |seen: &Written| WriteDiff {
        on_conflict: OnConflict::Merge,
        ..edit(seen, "a", Diff::put_file(lines(&seen.version.to_string(), "end").as_bytes()))
    };
    // Version 4 is gone, version 5 is what the checkpoint has, version 7 is kept.
    let conflict = conflicted(&room, merge(&seen[3])).await;
    assert_eq!(conflict.base_content, None);
    for version in [5, 7] {
        let merged = accepted(&room, merge(&seen[version - 1])).await;
        assert!(merged.merged || version == 7, "version {version}");
    }
    assert_eq!(text_at(&room, "a", None).await, Some(lines("9", "end")));
}

#[tokio::test]
async fn a_fork_holds_what_it_continues() {
    let room = room();
    written(&room).await;
    let create = |name: &str, at_revision| CreateBranch {
        address: BranchAddress::parse("", "repo", name).expect("valid"),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: Some(at_revision),
        operation_id: None,
    };
    room.create_branch(&caller("anna"), create("next", 5)).await.expect("created");
    let forked = tree(&room, "next", None).await.expect("a tree");
    assert_eq!(compact(&room, 1).await.expect("compacted").oldest_revision, 5);
    assert_eq!(tree(&room, "next", None).await, Ok(forked.clone()));
    // Who comes after the compaction obeys it.
    let error = room.create_branch(&caller("anna"), create("late", 4)).await;
    is_compacted(&error.expect_err("too late"), 5);
    room.create_branch(&caller("anna"), create("just", 5)).await.expect("kept");
    assert_eq!(tree(&room, "just", None).await, Ok(forked));
    // Through the fork, too, no older state is to be had.
    is_compacted(&tree(&room, "next", Some(4)).await.expect_err("gone"), 5);
    assert!(tree(&room, "next", Some(5)).await.is_ok());

    for name in ["next", "just"] {
        let address = BranchAddress::parse("", "repo", name).expect("valid");
        let delete = DeleteBranch { address, operation_id: None };
        room.delete_branch(&caller("anna"), delete).await.expect("deleted");
    }
    assert_eq!(compact(&room, 1).await.expect("compacted").oldest_revision, 13);
}

#[tokio::test]
async fn a_fork_is_compacted_down_to_where_it_begins() {
    let room = room();
    written(&room).await;
    let next = BranchAddress::parse("", "repo", "next").expect("valid");
    let create = CreateBranch {
        address: next.clone(),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: Some(12),
        operation_id: None,
    };
    room.create_branch(&caller("anna"), create).await.expect("created");
    for (at, diff) in
        [("a", Diff::delete()), ("e", Diff::put_file(b"e1")), ("b", Diff::put_file(b"b2"))]
    {
        let request = WriteDiff { address: next.clone(), ..write(at, diff) };
        accepted(&room, WriteDiff { on_conflict: OnConflict::Overwrite, ..request }).await;
    }
    let before = tree(&room, "next", None).await.expect("a tree");
    let report = room.registry.compact(&next, newest(0), 1).await.expect("compacted");
    let report = report.expect("something to compact");
    assert_eq!((report.oldest_revision, report.changes), (15, 3));
    assert_eq!(tree(&room, "next", None).await, Ok(before.clone()));
    assert_eq!(before, ["b=b2", "c=c1", "e=e1"]);
    let error = tree(&room, "next", Some(14)).await.expect_err("gone");
    is_compacted(&error, 15);
}

#[tokio::test]
async fn repeated_operations_are_answered_until_thirty_days_have_passed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let days = Arc::new(AtomicU64::new(0));
    let clock = days.clone();
    let drawn = AtomicU64::new(0);
    let environment = Environment::new(
        move || {
            let day = Duration::from_secs(24 * 60 * 60);
            SystemTime::UNIX_EPOCH + day * (20_000 + clock.load(Ordering::Relaxed) as u32)
        },
        Duration::default,
        move |bytes| {
            let number = drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            bytes.iter_mut().zip(number.into_iter().cycle()).for_each(|(to, from)| *to = from);
            Ok(())
        },
    );
    let room = room_in(environment, store, Quotas::default());
    let request =
        |number| WriteDiff { operation_id: Some(operation(number)), ..overwrite("a", "same") };
    let first = accepted(&room, request(1)).await;
    let members = [overwrite("b", "b"), overwrite("c", "c")];
    let parts = |members: &[WriteDiff]| {
        let parts = members
            .iter()
            .cloned()
            .map(|diff| Ok(vdom_core::dom::calls::ChangeSetPart::Diff(Box::new(diff))));
        futures::stream::iter(parts.collect::<Vec<_>>()).boxed()
    };
    let request_set = || WriteDiffs { operation_id: Some(operation(2)), ..set() };
    let set_first =
        room.write_diffs(&caller("anna"), request_set(), parts(&members)).await.expect("written");
    for number in 3..=12 {
        accepted(
            &room,
            WriteDiff {
                operation_id: Some(operation(number)),
                ..overwrite("a", &number.to_string())
            },
        )
        .await;
    }
    compact(&room, 2).await.expect("compacted");

    days.store(30, Ordering::Relaxed);
    assert_eq!(accepted(&room, request(1)).await, first);
    let again = room.write_diffs(&caller("anna"), request_set(), parts(&members)).await;
    assert_eq!(again, Ok(set_first));
    let other = WriteDiff { operation_id: Some(operation(1)), ..overwrite("a", "other") };
    let error = room.write_diff(&caller("anna"), other.clone()).await.expect_err("used before");
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    let at = ReadAt { after_operation: Some(operation(3)), ..ReadAt::default() };
    read_at(&room, "a", at).await.expect("it is known that it came before");

    assert_eq!(OPERATION_KEPT, Duration::from_secs(30 * 24 * 60 * 60));
    days.store(31, Ordering::Relaxed);
    let written = accepted(&room, other.clone()).await;
    assert!(written.revision > first.revision, "a new write");
    assert_eq!(accepted(&room, other).await, written, "which is remembered in its turn");
}

#[tokio::test]
async fn a_conflict_that_is_kept_outlives_its_changes() {
    let room = room();
    let first = put(&room, "a", "one").await;
    accepted(&room, edit(&first, "a", Diff::put_file(b"two"))).await;
    let stale = WriteDiff { keep_conflict: true, ..edit(&first, "a", Diff::put_file(b"mine")) };
    conflicted(&room, stale).await;
    for content in ["three", "four", "five"] {
        accepted(&room, overwrite("a", content)).await;
    }
    compact(&room, 1).await.expect("compacted");
    let list = ListConflicts { address: address(), paths: vec![], after: None, limit: 10 };
    let page = room.list_conflicts(&caller("anna"), list).await.expect("a page");
    let [kept] = &page.conflicts[..] else { panic!("{page:?}") };
    assert_eq!(kept.conflict.current_content.as_deref(), Some(&b"four"[..]));
    let resolve = ResolveConflict {
        address: address(),
        id: kept.id,
        resolution: Resolution::Theirs,
        clock: VectorClock::default(),
        message: String::new(),
        operation_id: None,
    };
    let outcome = room.resolve_conflict(&caller("anna"), resolve).await.expect("resolved");
    assert!(matches!(outcome, ResolveOutcome::Resolved(Some(_))), "{outcome:?}");
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("mine"));
}

/// Everything that the views of a log hold.
async fn views(store: &Arc<dyn Store>, log: LogId) -> (Watermark, Vec<(DocumentView, Vec<View>)>) {
    let mut all = Vec::new();
    for kind in DocumentView::ALL {
        let rows = store.scan_reverse(log, kind.kind(), &[], &[0xff; 32], usize::MAX).await;
        all.push((kind, rows.expect("readable")));
    }
    (store.watermark(log).await.expect("readable"), all)
}

async fn logs(store: &Arc<dyn Store>) -> Vec<LogDescriptor> {
    let filter = LogFilter::of_realm("default");
    store.logs(&filter).await.expect("readable")
}

/// A history with all that views hold, compacted half-way, and some more of it.
async fn eventful(store: &Arc<dyn Store>) {
    let room = room_over(store.clone());
    let seen = written(&room).await;
    let stale = |content: &str| WriteDiff {
        keep_conflict: true,
        ..edit(&seen[0], "a", Diff::put_file(content.as_bytes()))
    };
    conflicted(&room, stale("kept")).await;
    let resolved = conflicted(&room, stale("resolved")).await.conflict_id.expect("kept");
    let resolve = ResolveConflict {
        address: address(),
        id: resolved,
        resolution: Resolution::Ours,
        clock: VectorClock::default(),
        message: String::new(),
        operation_id: None,
    };
    room.resolve_conflict(&caller("anna"), resolve).await.expect("resolved");
    let named = |number| WriteDiff {
        operation_id: Some(operation(number)),
        ..overwrite("op", &number.to_string())
    };
    accepted(&room, WriteDiff { actor: Some("anna/laptop".into()), ..named(1) }).await;
    put(&room, "large", &"x".repeat(CHUNK_BYTES + 1)).await;
    let create = CreateBranch {
        address: BranchAddress::parse("", "repo", "next").expect("valid"),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: None,
        operation_id: None,
    };
    room.create_branch(&caller("anna"), create.clone()).await.expect("created");
    accepted(&room, WriteDiff { address: create.address, ..overwrite("a", "forked") }).await;
    compact(&room, 1).await.expect("compacted");
    for number in 2..=80 {
        accepted(&room, named(number)).await;
    }
    accepted(&room, WriteDiff { on_conflict: OnConflict::Overwrite, ..write("d", Diff::delete()) })
        .await;
    room.close().await;
}

#[tokio::test]
async fn views_that_are_rebuilt_are_the_views_that_were_kept() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    eventful(&store).await;
    let mut kept = Vec::new();
    for log in logs(&store).await {
        kept.push(views(&store, log.log_id()).await);
    }
    assert!(kept.iter().any(|(_, rows)| rows.iter().all(|(_, rows)| !rows.is_empty())));
    let report = rebuild(&maintained(&store), &environment(), |_| {}).await.expect("rebuilt");
    assert_eq!(report.logs, 2);
    for (log, kept) in logs(&store).await.iter().zip(&kept) {
        let rebuilt = views(&store, log.log_id()).await;
        assert_eq!(rebuilt.0, kept.0);
        for ((kind, rebuilt), (_, kept)) in rebuilt.1.iter().zip(&kept.1) {
            assert_eq!(rebuilt, kept, "{kind:?} of {:?}", log.name);
        }
    }
    let room = room_over(store);
    assert_eq!(text_at(&room, "op", None).await.as_deref(), Some("80"));
    assert_eq!(tree(&room, "next", None).await.expect("a tree").len(), 4);
}

#[tokio::test]
async fn a_store_whose_views_were_lost_behind_a_compaction_opens() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    eventful(&store).await;
    let before = tree(&room_over(store.clone()), "main", None).await.expect("a tree");
    for log in logs(&store).await {
        store.clear_views(log.log_id()).await.expect("cleared");
    }
    let room = room_over(store);
    assert_eq!(tree(&room, "main", None).await, Ok(before));
    assert_eq!(text_at(&room, "a", None).await.as_deref(), Some("a10"));
}

#[tokio::test]
async fn a_compacted_store_verifies_and_goes_through_a_backup() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    eventful(&store).await;
    let report = verify(&maintained(&store), |_| {}).await.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let (file, _) =
        crate::maintenance::backup(&maintained(&store), Vec::new(), |_| {}).await.expect("ok");
    let restored: Arc<dyn Store> = Arc::new(MemoryStore::new(2));
    let file = std::io::Cursor::new(&file);
    crate::maintenance::restore(&maintained(&restored), &environment(), file, |_| {})
        .await
        .expect("ok");
    assert!(verify(&maintained(&restored), |_| {}).await.expect("verified").findings.is_empty());
    let (old, new) = (room_over(store), room_over(restored));
    for branch in ["main", "next"] {
        assert_eq!(tree(&new, branch, None).await, tree(&old, branch, None).await);
    }
    is_compacted(&tree(&new, "main", Some(3)).await.expect_err("gone"), 15);
}

#[tokio::test]
async fn chunks_that_nothing_names_are_collected_after_a_day() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let large = |byte: &str| byte.repeat(CHUNK_BYTES + 1);
    put(&room, "gone", &large("g")).await;
    put(&room, "kept", &large("k")).await;
    for content in ["1", "2", "3"] {
        accepted(&room, overwrite("gone", content)).await;
    }
    room.close().await;
    // Chunks have the time of this machine, so the day after is counted from it.
    let after_days = |days: u64| {
        let now = SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60 + 60);
        Environment::new(move || now, Duration::default, |_| Ok(()))
    };
    assert_eq!(
        collect(&maintained(&store), &after_days(2), "default").await,
        Ok(0),
        "all are named"
    );
    let room = room_over(store.clone());
    compact(&room, 1).await.expect("compacted");
    assert_eq!(collect(&maintained(&store), &after_days(0), "default").await, Ok(0), "too young");
    assert!(collect(&maintained(&store), &after_days(1), "default").await.expect("collected") >= 2);
    assert_eq!(text_at(&room, "kept", None).await, Some(large("k")));
    assert!(verify(&maintained(&store), |_| {}).await.expect("verified").findings.is_empty());
}

#[tokio::test]
async fn an_interrupted_compaction_is_completed_by_the_next() {
    let memory = MemoryStore::new(1);
    let store: Arc<dyn Store> = Arc::new(memory.peer());
    let room = room_over(store.clone());
    written(&room).await;
    // The limit is appended; then the store is gone.
    let handle = room
        .registry
        .existing(room.registry.permits.of(Duty::Compact), &address())
        .await
        .expect("open");
    let limit = handle.ask(|reply| Command::Limit { wanted: 9, reply }).await;
    assert_eq!(limit, Ok(9));
    drop((handle, room));
    let room = room_over(store);
    is_compacted(&tree(&room, "main", Some(8)).await.expect_err("refused already"), 9);
    let before = tree(&room, "main", Some(9)).await.expect("a tree");
    assert_eq!(compact(&room, 100).await.expect("completed").changes, 9);
    assert_eq!(tree(&room, "main", Some(9)).await, Ok(before));
}

#[tokio::test]
async fn a_branch_that_is_being_made_holds_what_it_will_continue() {
    let room = room();
    written(&room).await;
    let permit = room.registry.permits.of(Duty::Compact);
    let handle = room.registry.existing(permit, &address()).await.expect("open");
    // The pin is appended; the first batch of the new branch is still to come.
    let next = BranchAddress::parse("", "repo", "next").expect("valid");
    let log = crate::registry::open::log_descriptor(&next, 1).log_id();
    let pin = Pin { log, revision: 5, made_at_ms: None };
    handle.ask(|reply| Command::Pin { pin, reply }).await.expect("pinned");
    assert_eq!(compact(&room, 1).await.expect("compacted").oldest_revision, 5);
}
