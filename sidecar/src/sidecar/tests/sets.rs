//! Change sets, reverts, replays, branches and conflicts over a scripted gateway.

use vdom_core::dom::calls::{Resolution, SetConflicts, SetWritten};
use vdom_core::{BranchName, ConflictId, OperationId};

use super::*;
use crate::fake_gateway::{CLASH, REVERTED};

const OPERATION: OperationId = OperationId([9; 16]);

fn set() -> WriteDiffs {
    WriteDiffs {
        address: address(),
        operation_id: None,
        expected_revision: None,
        on_conflict: OnConflict::Reject,
        min_ack: AckLevel::Committed,
        author: None,
        authored_at_ms: None,
        message: "why".to_owned(),
        metadata: std::collections::BTreeMap::new(),
    }
}

fn part(at_path: &str, content: &str) -> ChangeSetPart {
    ChangeSetPart::Diff(Box::new(put(at_path, content)))
}

fn whole(parts: Vec<ChangeSetPart>) -> ServiceStream<ChangeSetPart> {
    stream::iter(parts).map(Ok).boxed()
}

/// Nothing of it is there when it is asked for.
fn streamed(parts: ServiceStream<ChangeSetPart>) -> ServiceStream<ChangeSetPart> {
    stream::once(tokio::time::sleep(Duration::from_millis(1)))
        .filter_map(|()| std::future::ready(None))
        .chain(parts)
        .boxed()
}

fn revert() -> RevertChanges {
    RevertChanges {
        address: address(),
        first_revision: 1,
        last_revision: 1,
        epoch: None,
        on_conflict: OnConflict::Reject,
        author: None,
        message: String::new(),
        operation_id: None,
    }
}

fn resolve(resolution: Resolution) -> ResolveConflict {
    ResolveConflict {
        address: address(),
        id: ConflictId([5; 16]),
        resolution,
        clock: VectorClock::default(),
        message: String::new(),
        operation_id: None,
    }
}

fn accepted(outcome: SetOutcome) -> SetWritten {
    match outcome {
        SetOutcome::Written(set) => set,
        SetOutcome::Conflicted(set) => panic!("{set:?}"),
    }
}

impl Setup {
    async fn write_set(&self, parts: ServiceStream<ChangeSetPart>) -> Result<SetOutcome> {
        self.sidecar.write_diffs(&caller(), set(), parts).await
    }
}

#[tokio::test]
async fn a_set_is_seen_by_the_next_read_even_before_its_events() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"one");
    assert_eq!((setup.text("a").await, setup.text("b").await), ("one".into(), "one".into()));
    setup.gateway.hold_events(true);
    let outcome = setup.write_set(whole(vec![part("a", "two"), part("b", "two")])).await.unwrap();
    let written = accepted(outcome);
    assert_eq!((written.first_revision, written.last_revision), (3, 4));
    assert_eq!((written.operation_id, written.results[1].operation_id), (None, None));
    let answer = setup.read("a").await.unwrap();
    assert_eq!((text(&answer).as_str(), answer.revision), ("two", 4));
    assert_eq!(setup.text("b").await, "two");
    let headers = setup.gateway.sets();
    assert_eq!((headers.len(), headers[0].message.as_str()), (1, "why"));
    assert_eq!(headers[0].operation_id.len(), 16, "one was minted");
}

#[tokio::test]
async fn a_set_whose_answer_was_lost_is_written_once() {
    let setup = Setup::new().await;
    setup.gateway.lose_answers(1);
    let outcome = setup.write_set(whole(vec![part("a", "x"), part("b", "y")])).await.unwrap();
    assert_eq!(accepted(outcome).last_revision, 2);
    assert_eq!(setup.gateway.revision(), 2);
    let ids: Vec<_> = setup.gateway.sets().into_iter().map(|set| set.operation_id).collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "it was sent twice");
}

#[tokio::test]
async fn a_set_that_streams_is_not_repeated_and_its_caller_is_told() {
    let setup = Setup::new().await;
    setup.gateway.lose_answers(1);
    let error = setup.write_set(streamed(whole(vec![part("a", "x")]))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("it may have been written"), "{error}");
    assert_eq!(setup.gateway.sets().len(), 1);

    let request = WriteDiffs { operation_id: Some(OPERATION), ..set() };
    let pieces = ["half and ", "half"].map(|piece| ChangeSetPart::Content(Bytes::from(piece)));
    let follows = WriteDiff { diff: DiffSource::Follows, ..put("large", "") };
    let parts = [ChangeSetPart::Diff(Box::new(follows))].into_iter().chain(pieces);
    let parts = streamed(whole(parts.collect()));
    let outcome = setup.sidecar.write_diffs(&caller(), request, parts).await.unwrap();
    assert_eq!(accepted(outcome).operation_id, Some(OPERATION));
    assert_eq!(setup.text("large").await, "half and half");
}

#[tokio::test]
async fn a_set_that_breaks_off_is_not_written() {
    let setup = Setup::new().await;
    let broken = || {
        let parts = [Ok(part("a", "x")), Err(Error::invalid("broke off"))];
        stream::iter(parts).boxed()
    };
    for parts in [broken(), streamed(broken())] {
        let error = setup.write_set(parts).await.unwrap_err();
        assert_eq!(error.message, "broke off");
    }
    assert_eq!((setup.gateway.revision(), setup.gateway.sets().len()), (0, 0));
}

#[tokio::test]
async fn a_conflict_of_a_set_comes_back_without_an_id_of_ours() {
    let setup = Setup::new().await;
    let outcome = setup.write_set(whole(vec![part("a", "x"), part(CLASH, "y")])).await.unwrap();
    let SetOutcome::Conflicted(SetConflicts { operation_id: None, results, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(results[0].is_none());
    assert_eq!(results[1].as_ref().map(|conflict| conflict.path.as_str()), Some(CLASH));
    let local = WriteDiffs { min_ack: AckLevel::Local, ..set() };
    let error = setup.sidecar.write_diffs(&caller(), local, whole(vec![part("a", "x")])).await;
    assert_eq!(error.unwrap_err().code, ErrorCode::Unimplemented);
    assert_eq!(setup.gateway.revision(), 0);
}

#[tokio::test]
async fn a_revert_and_a_resolution_are_written_once_and_seen_at_once() {
    let setup = Setup::new().await;
    for path in [REVERTED, CLASH] {
        setup.gateway.put(path, b"before");
        setup.text(path).await;
    }
    setup.gateway.hold_events(true);
    setup.gateway.lose_answers(1);
    let undone = setup.sidecar.revert_changes(&caller(), revert()).await.unwrap();
    assert_eq!(accepted(undone).last_revision, 3);
    assert_eq!(setup.text(REVERTED).await, REVERTED);

    let resolved = setup.sidecar.resolve_conflict(&caller(), resolve(Resolution::Theirs)).await;
    let ResolveOutcome::Resolved(Some(written)) = resolved.unwrap() else { panic!("written") };
    assert_eq!((written.revision, written.operation_id), (4, None));
    assert_eq!(setup.text(CLASH).await, CLASH);
    let ours = setup.sidecar.resolve_conflict(&caller(), resolve(Resolution::Ours)).await.unwrap();
    assert_eq!(ours, ResolveOutcome::Resolved(None));
}

#[tokio::test]
async fn replayed_diffs_are_answered_in_order_and_seen_at_once() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"before");
    setup.text("a").await;
    setup.gateway.hold_events(true);
    let local = WriteDiff { min_ack: AckLevel::Local, ..put("c", "x") };
    let requests = [put("a", "one"), put("b", "two"), local, put("d", "never")];
    let requests = stream::iter(requests).map(Ok).boxed();
    let mut outcomes = setup.sidecar.replay_diffs(&caller(), requests).await.unwrap();
    for (path, content) in [("a", "one"), ("b", "two")] {
        let outcome = outcomes.next().await.unwrap().unwrap();
        assert!(matches!(outcome, WriteOutcome::Written(_)), "{outcome:?}");
        assert_eq!(setup.text(path).await, content);
    }
    let error = outcomes.next().await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::Unimplemented);
    assert!(outcomes.next().await.is_none());
    assert_eq!(setup.gateway.revision(), 3);
}

#[tokio::test]
async fn a_set_without_results_leaves_nothing_old_in_memory() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"before");
    setup.text("a").await;
    setup.gateway.hold_events(true);
    setup.gateway.leave_results_out();
    let outcome = setup.write_set(whole(vec![part("a", "after")])).await.unwrap();
    assert_eq!(accepted(outcome).results, []);
    assert_eq!(setup.text("a").await, "after");
    setup.gateway.cut();
    assert_eq!(setup.text("a").await, "after", "what is kept is the newer one");
}

#[tokio::test]
async fn the_rest_is_forwarded_as_it_is() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"two");
    let nodes = ["b", "a"].map(|it| NodeSelector::Path(path(it))).to_vec();
    let request = ReadSnapshots { address: address(), nodes, at: ReadAt::default() };
    let snapshots = setup.sidecar.read_snapshots(&caller(), request).await.unwrap();
    let texts: Vec<_> = snapshots.map(|snapshot| text(&snapshot.unwrap())).collect().await;
    assert_eq!(texts, ["two", "one"]);

    let list = ListConflicts { address: address(), paths: Vec::new(), limit: 9, after: None };
    let page = setup.sidecar.list_conflicts(&caller(), list).await.unwrap();
    assert_eq!((page.conflicts[0].id, page.more), (ConflictId([5; 16]), true));
    assert_eq!(page.conflicts[0].request.path, Some(path(CLASH)));

    setup.text("a").await;
    let branch = setup.sidecar.branches().get(&address()).unwrap();
    let from = Some(BranchName::parse("other").unwrap());
    let create =
        CreateBranch { address: address(), from, at_revision: Some(3), operation_id: None };
    let created = setup.sidecar.create_branch(&caller(), create).await.unwrap();
    assert_eq!(created.origin.map(|(name, at)| (name.to_string(), at)), Some(("other".into(), 3)));
    assert!(branch.is_over(), "what was known of its name is void");
    setup.text("a").await;
    let branch = setup.sidecar.branches().get(&address()).unwrap();
    let delete = DeleteBranch { address: address(), operation_id: None };
    setup.sidecar.delete_branch(&caller(), delete).await.unwrap();
    assert!(branch.is_over());
}
