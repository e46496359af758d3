//! Contents that come to nothing: what of them stays in the store.

use std::pin::pin;
use std::sync::atomic::AtomicUsize;

use futures::{FutureExt, StreamExt, stream};
use vdom_core::dom::calls::{ChangeSetPart, ConflictReason, SetOutcome, WriteContent};
use vdom_core::dom::diff::TextOperation;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Error, ErrorCode};
use vdom_store::memory::AppendFault;

use super::*;
use crate::maintenance::verify;

const MIB: u64 = 1 << 20;

/// How many chunks the store holds, once nothing is on its way out of it.
async fn chunks(room: &DocumentRoom, store: &dyn Store) -> usize {
    room.registry.uploads.settled().await;
    store.chunks("default", None, 10_000).await.expect("listed").len()
}

fn is_beyond(error: &Error, rule: &str) {
    assert_eq!(error.code, ErrorCode::Exhausted, "{error}");
    assert_eq!(error.rule.as_deref(), Some(rule), "{error}");
}

fn content(at: &str) -> WriteContent {
    WriteContent {
        address: address(),
        node_id: None,
        path: Some(path(at)),
        kind: None,
        clock: VectorClock::default(),
        on_conflict: OnConflict::Reject,
        min_ack: AckLevel::Committed,
        keep_conflict: false,
        actor: None,
        author: None,
        message: String::new(),
        metadata: BTreeMap::new(),
        operation_id: None,
        expected_bytes: None,
    }
}

/// A piece of a MiB that is like no other of its content.
fn piece(number: u64) -> Bytes {
    vec![u8::try_from(number % 251).expect("a byte"); CHUNK_BYTES].into()
}

/// So many pieces; `taken` counts those that somebody wanted.
fn pieces(count: u64, taken: &Arc<AtomicUsize>) -> ServiceStream<Bytes> {
    let taken = taken.clone();
    let counted = move |number| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(piece(number))
    };
    stream::iter((0..count).map(counted)).boxed()
}

fn whole(count: u64) -> ServiceStream<Bytes> {
    pieces(count, &Arc::default())
}

/// So many pieces, and then nothing, for ever.
fn unfinished(count: u64) -> ServiceStream<Bytes> {
    whole(count).chain(stream::pending()).boxed()
}

async fn send(room: &DocumentRoom, who: &str, at: &str, pieces: u64) -> Result<WriteOutcome> {
    room.write_content(&caller(who), content(at), whole(pieces)).await
}

async fn is_written(room: &DocumentRoom, at: &str, pieces: u64) {
    match send(room, "anna", at, pieces).await {
        Ok(WriteOutcome::Written(_)) => {}
        other => panic!("not written: {other:?}"),
    }
}

async fn read_whole(room: &DocumentRoom, at: &str) -> Bytes {
    let node = NodeSelector::Path(path(at));
    let request = ReadSnapshot { address: address(), node, at: ReadAt::default() };
    let (_, _, pieces) = room.read_content(&caller("anna"), request).await.expect("there");
    let pieces: Vec<_> = pieces.map(|piece| piece.expect("whole")).collect().await;
    pieces.concat().into()
}

async fn is_sound(room: &DocumentRoom, store: &Arc<dyn Store>, at: &str, count: u64) {
    let expected: Vec<_> = (0..count).map(piece).collect();
    assert!(read_whole(room, at).await == expected.concat(), "not what was written");
    let verified = verify(&maintained(store), |_| {}).await.expect("verified");
    assert_eq!(verified.findings, []);
}

#[tokio::test]
async fn a_content_beyond_the_quota_stays_outside() {
    let quotas = Quotas { nodes: None, bytes: Some(5 * MIB) };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_with(store.clone(), quotas);
    let taken = Arc::default();
    // Who says how much will come is answered before anything does.
    let request = WriteContent { expected_bytes: Some(6 * MIB), ..content("a") };
    let refused = room.write_content(&caller("anna"), request, pieces(6, &taken)).await;
    is_beyond(&refused.expect_err("beyond"), "quotas.bytes");
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    // Who does not is answered as soon as it is too much.
    let refused = room.write_content(&caller("anna"), content("a"), pieces(60, &taken)).await;
    is_beyond(&refused.expect_err("beyond"), "quotas.bytes");
    assert_eq!(taken.load(Ordering::Relaxed), 6);
    assert_eq!(chunks(&room, &*store).await, 0);
    // In one message, too.
    let large = Diff::put_file(&vec![1; 3 << 20]);
    is_written(&room, "a", 3).await;
    let held = chunks(&room, &*store).await;
    let refused = room.write_diff(&caller("anna"), write("b", large)).await;
    is_beyond(&refused.expect_err("beyond"), "quotas.bytes");
    assert_eq!(chunks(&room, &*store).await, held);
    is_sound(&room, &store, "a", 3).await;
}

#[tokio::test]
async fn a_content_whose_condition_does_not_hold_stays_outside() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let seen = put(&room, "a", "1").await;
    accepted(&room, edit(&seen, "a", Diff::put_file(b"2"))).await;
    let stale =
        WriteContent { node_id: Some(seen.node_id), clock: seen.clock.clone(), ..content("a") };
    let cases = [(content("a"), ConflictReason::PathExists), (stale, ConflictReason::StaleClock)];
    for (request, reason) in cases {
        for (expected_bytes, wanted) in [(Some(60 * MIB), 0), (None, 2)] {
            let (request, taken) =
                (WriteContent { expected_bytes, ..request.clone() }, Arc::default());
            let answer = room.write_content(&caller("anna"), request, pieces(60, &taken)).await;
            let Ok(WriteOutcome::Conflicted(conflict)) = answer else { panic!("{answer:?}") };
            assert_eq!(conflict.reason, reason);
            assert_eq!(conflict.current_content, Some(Bytes::from_static(b"2")));
            assert_eq!(taken.load(Ordering::Relaxed), wanted);
        }
    }
    // The rule of the actor comes as early.
    accepted(&room, WriteDiff { actor: Some("pen".into()), ..overwrite("b", "x") }).await;
    let request = WriteContent { actor: Some("pen".into()), ..content("c") };
    let taken = Arc::default();
    let refused = room.write_content(&caller("ben"), request, pieces(60, &taken)).await;
    assert_eq!(refused.expect_err("another's").code, ErrorCode::PermissionDenied);
    assert_eq!(taken.load(Ordering::Relaxed), 2);
    assert_eq!(chunks(&room, &*store).await, 0);
}

#[tokio::test]
async fn a_content_is_not_refused_for_what_only_seems_to_stand_there() {
    let store = MemoryStore::shared(1);
    store.lose_commit_hints(true);
    let (here, there) = (room_over(Arc::new(store.peer())), room_over(Arc::new(store)));
    let first = put(&here, "a", "1").await;
    accepted(&there, edit(&first, "a", Diff::delete())).await;
    // Here the path still seems to exist.
    is_written(&here, "a", 3).await;
}

#[tokio::test]
async fn a_content_that_is_repeated_is_answered_as_the_first_time() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let request = WriteContent { operation_id: Some(operation(1)), ..content("a") };
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(room.write_content(&caller("anna"), request.clone(), whole(3)).await);
    }
    assert!(matches!(answers[0], Ok(WriteOutcome::Written(_))), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(chunks(&room, &*store).await, 3);
    is_sound(&room, &store, "a", 3).await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let broken = whole(9).chain(stream::iter([Err(Error::invalid("the body broke off"))]));
    let answer = room.write_content(&caller("anna"), content("a"), broken.boxed()).await;
    assert_eq!(answer.expect_err("broken").code, ErrorCode::InvalidArgument);
    assert_eq!(chunks(&room, &*store).await, 0);

    let (anna, hour) = (caller("anna"), Duration::from_secs(3_600));
    let endless = room.write_content(&anna, content("a"), unfinished(9));
    assert!(tokio::time::timeout(hour, endless).await.is_err(), "nobody waits any more");
    assert_eq!(chunks(&room, &*store).await, 0);

    let parts = |sent: u64| {
        let diff = WriteDiff { diff: DiffSource::Follows, ..write("a", Bytes::new()) };
        let diff = ChangeSetPart::Diff(Box::new(diff));
        let content = unfinished(sent).map(|piece| piece.map(ChangeSetPart::Content));
        stream::iter([Ok(diff)]).chain(content).boxed()
    };
    let endless = room.write_diffs(&anna, set(), parts(9));
    assert!(tokio::time::timeout(hour, endless).await.is_err(), "nobody waits any more");
    assert_eq!(chunks(&room, &*store).await, 0);
}

#[tokio::test]
async fn uploads_of_one_content_do_not_take_it_from_each_other() {
    let memory = MemoryStore::shared(1);
    let store: Arc<dyn Store> = Arc::new(memory.peer());
    let rooms = [room_over(store.clone()), room_over(Arc::new(memory))];
    let anna = caller("anna");
    for (other, at) in [(0, "of-the-same-gateway"), (1, "of-another")] {
        let mut slow = Box::pin(rooms[0].write_content(&anna, content("never"), unfinished(5)));
        assert!((&mut slow).now_or_never().is_none());
        while store.chunks("default", None, 9).await.expect("listed").is_empty() {
            assert!((&mut slow).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        is_written(&rooms[other], at, 5).await;
        drop(slow);
        assert_eq!(chunks(&rooms[0], &*store).await, 5);
        is_sound(&rooms[other], &store, at, 5).await;
    }
}

#[tokio::test]
async fn uploads_of_one_content_that_both_break_off_leave_nothing() {
    let memory = MemoryStore::shared(1);
    let store: Arc<dyn Store> = Arc::new(memory.peer());
    let rooms = [room_over(store.clone()), room_over(Arc::new(memory))];
    let anna = caller("anna");
    let uploads = rooms.iter().map(|room| room.write_content(&anna, content("a"), unfinished(5)));
    let mut both = Box::pin(futures::future::join_all(uploads));
    for _ in 0..1_000 {
        assert!((&mut both).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(!store.chunks("default", None, 9).await.expect("listed").is_empty());
    drop(both);
    for room in &rooms {
        room.registry.uploads.settled().await;
    }
    assert_eq!(chunks(&rooms[0], &*store).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_content_whose_append_nobody_waits_for_is_kept_with_it() {
    for fault in [AppendFault::BeforeEffect, AppendFault::AfterEffect] {
        let memory = Arc::new(MemoryStore::new(1));
        let store: Arc<dyn Store> = memory.clone();
        let room = room_over(store.clone());
        put(&room, "before", "1").await;
        // Long enough for the caller to go while nobody knows what became of the append.
        for _ in 0..20 {
            memory.fail_next_append(fault);
        }
        let anna = caller("anna");
        let write = room.write_content(&anna, content("a"), whole(3));
        assert!(tokio::time::timeout(Duration::from_millis(20), write).await.is_err());
        assert_eq!(chunks(&room, &*store).await, 3);
        put(&room, "after", "2").await;
        is_sound(&room, &store, "a", 3).await;
    }
}

#[tokio::test]
async fn a_content_that_loses_the_race_for_its_path_leaves_nothing() {
    let memory = MemoryStore::shared(1);
    memory.lose_commit_hints(true);
    let store: Arc<dyn Store> = Arc::new(memory.peer());
    let (here, there) = (room_over(store.clone()), room_over(Arc::new(memory)));
    put(&here, "first", "1").await;
    put(&there, "a", "2").await;
    // Here the path still seems to be free, until the batch finds its number taken.
    let answer = send(&here, "anna", "a", 3).await;
    let Ok(WriteOutcome::Conflicted(conflict)) = answer else { panic!("{answer:?}") };
    assert_eq!(conflict.reason, ConflictReason::PathExists);
    assert_eq!(chunks(&here, &*store).await, 0);
    // What only comes second is written, with all that it names.
    put(&there, "b", "3").await;
    is_written(&here, "c", 3).await;
    is_sound(&here, &store, "c", 3).await;
}

#[tokio::test]
async fn a_refused_content_that_is_kept_keeps_its_chunks() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    put(&room, "a", "1").await;
    let request = WriteContent { keep_conflict: true, ..content("a") };
    let answer = room.write_content(&caller("anna"), request, whole(3)).await;
    let Ok(WriteOutcome::Conflicted(conflict)) = answer else { panic!("{answer:?}") };
    assert!(conflict.conflict_id.is_some());
    assert_eq!(chunks(&room, &*store).await, 3);
}

#[tokio::test]
async fn a_caller_has_only_so_much_staged_at_a_time() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let bounds = RoomBounds { staged_bytes_per_caller: 5 * MIB, ..RoomBounds::default() };
    let room = room_bounded(environment(), store.clone(), bounds);
    let (anna, ben) = (caller("anna"), caller("ben"));
    {
        let mut slow = pin!(room.write_content(&anna, content("slow"), unfinished(5)));
        while store.chunks("default", None, 9).await.expect("listed").len() < 4 {
            assert!((&mut slow).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        let taken = Arc::default();
        let refused = room.write_content(&anna, content("more"), pieces(60, &taken)).await;
        let refused = refused.expect_err("too much at a time");
        is_beyond(&refused, "limits.max_staged_bytes_per_caller");
        assert!(refused.message.contains("`anna`"), "{refused}");
        // No more of the 60 pieces than were on their way.
        assert!(taken.load(Ordering::Relaxed) < 10);
        // Somebody else is not concerned, and small writes stage nothing.
        let others = room.write_content(&ben, content("other"), whole(5)).await;
        assert!(matches!(others, Ok(WriteOutcome::Written(_))), "{others:?}");
        put(&room, "small", "1").await;
    }
    room.registry.uploads.settled().await;
    is_written(&room, "whole", 5).await;
    is_written(&room, "again", 5).await;
    assert_eq!(chunks(&room, &*store).await, 5);
    // One that can never be had is refused as well, and leaves nothing.
    is_beyond(
        &send(&room, "anna", "large", 9).await.expect_err("too much"),
        "limits.max_staged_bytes_per_caller",
    );
    assert_eq!(chunks(&room, &*store).await, 5);
}

#[tokio::test]
async fn an_upload_that_takes_too_long_is_refused() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let now = Arc::new(AtomicU64::new(1_700_000_000));
    let clock = now.clone();
    let environment = Environment::new(
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)),
        Duration::default,
        |bytes| {
            bytes.fill(7);
            Ok(())
        },
    );
    let room = room_in(environment, store.clone(), Quotas::default());
    let later = now.clone();
    let slow = whole(5).map(move |piece| {
        later.fetch_add(7 * 60 * 60, Ordering::Relaxed);
        piece
    });
    let refused = room.write_content(&caller("anna"), content("a"), slow.boxed()).await;
    assert_eq!(refused.expect_err("too long").code, ErrorCode::DeadlineExceeded);
    assert_eq!(chunks(&room, &*store).await, 0);
}

/// A change set of contents of so many pieces each.
async fn send_set(
    room: &DocumentRoom,
    request: WriteDiffs,
    sizes: &[u64],
    taken: &Arc<AtomicUsize>,
) -> Result<SetOutcome> {
    let mut parts = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let diff = write(&format!("set/{number}"), Bytes::new());
        let diff = WriteDiff { diff: DiffSource::Follows, ..diff };
        parts.push(stream::iter([Ok(ChangeSetPart::Diff(Box::new(diff)))]).boxed());
        let content = pieces(*size, taken).map(|piece| piece.map(ChangeSetPart::Content));
        parts.push(content.boxed());
    }
    room.write_diffs(&caller("anna"), request, stream::iter(parts).flatten().boxed()).await
}

#[tokio::test]
async fn a_change_set_that_cannot_be_stays_outside() {
    let quotas = Quotas { nodes: None, bytes: Some(10 * MIB) };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_with(store.clone(), quotas);
    put(&room, "a", "1").await;
    let taken = Arc::default();
    let expecting = |revision| WriteDiffs { expected_revision: Some(revision), ..set() };
    let refused = send_set(&room, expecting(7), &[60], &taken).await.expect_err("elsewhere");
    assert_eq!((refused.code, refused.revision), (ErrorCode::FailedPrecondition, Some(1)));
    assert_eq!(taken.swap(0, Ordering::Relaxed), 2);
    // The contents before count: of the second no more is taken than there is room for.
    let refused = send_set(&room, set(), &[6, 60], &taken).await.expect_err("beyond");
    is_beyond(&refused, "quotas.bytes");
    assert!(refused.message.starts_with("diff 1 (`set/1`)"), "{refused}");
    assert_eq!(taken.load(Ordering::Relaxed), 10);
    assert_eq!(chunks(&room, &*store).await, 0);
    // What is refused only at its end leaves nothing either.
    let twice = [write("a", Diff::put_file(&vec![1; 2 << 20])), write("b", Diff::put_file(b""))];
    let parts = twice.map(|diff| Ok(ChangeSetPart::Diff(Box::new(diff))));
    let answer = room.write_diffs(&caller("anna"), set(), stream::iter(parts).boxed()).await;
    assert!(matches!(answer, Ok(SetOutcome::Conflicted(_))), "{answer:?}");
    assert_eq!(chunks(&room, &*store).await, 0);
    // The same set, where it may be, is written.
    let answer = send_set(&room, expecting(1), &[3, 3], &taken).await;
    assert!(matches!(answer, Ok(SetOutcome::Written(_))), "{answer:?}");
    is_sound(&room, &store, "set/1", 3).await;
}

#[tokio::test]
async fn what_only_evaluating_makes_goes_as_well() {
    let quotas = Quotas { nodes: None, bytes: Some(2 * MIB) };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_with(store.clone(), quotas);
    let half = "x".repeat(600 << 10);
    let seen = put(&room, "a", &half).await;
    put(&room, "b", &half).await;
    let longer = Diff::text(&[TextOperation::Insert(half.clone().into())]);
    let edited = edit(&seen, "a", longer);
    // Two edits of half a MiB make a content that is kept in chunks, beside one of the same size.
    let refused = room
        .write_diff(
            &caller("anna"),
            WriteDiff { on_conflict: OnConflict::Overwrite, ..edited.clone() },
        )
        .await;
    assert!(matches!(refused, Ok(WriteOutcome::Written(_))), "{refused:?}");
    let held = chunks(&room, &*store).await;
    assert!(held > 0);
    let beyond = WriteDiff { on_conflict: OnConflict::Overwrite, ..edited.clone() };
    let refused = room.write_diff(&caller("anna"), beyond).await;
    is_beyond(&refused.expect_err("beyond"), "quotas.bytes");
    assert_eq!(chunks(&room, &*store).await, held);
    drop(room);
    // Of a set that conflicts in the end, what its first diff made goes.
    let room = room_over(store.clone());
    let first = WriteDiff { on_conflict: OnConflict::Overwrite, ..edited };
    let parts = [first, write("b", Diff::put_file(b"taken"))];
    let parts = parts.map(|diff| Ok(ChangeSetPart::Diff(Box::new(diff))));
    let answer = room.write_diffs(&caller("anna"), set(), stream::iter(parts).boxed()).await;
    assert!(matches!(answer, Ok(SetOutcome::Conflicted(_))), "{answer:?}");
    assert_eq!(chunks(&room, &*store).await, held);
}
