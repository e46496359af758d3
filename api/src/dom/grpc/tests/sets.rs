//! Change sets, replays, reverts, branches and conflicts over a real connection.

use vdom_proto::v1::conflict_info::Reason;
use vdom_proto::v1::resolve_conflict_request::Resolution;

use super::*;

fn put(path: &str, content: &[u8]) -> wire::WriteDiffRequest {
    let (path, diff_bson) = (path.to_owned(), Diff::put_file(content));
    wire::WriteDiffRequest { path, diff_bson, ..Default::default() }
}

fn set(diffs: Vec<wire::WriteDiffRequest>) -> wire::WriteDiffsRequest {
    wire::WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        message: "why".to_owned(),
        diffs,
        ..Default::default()
    }
}

fn chunks(chunks: Vec<Chunk>) -> impl futures::Stream<Item = wire::WriteDiffsChunk> {
    stream::iter(chunks).map(|chunk| wire::WriteDiffsChunk { chunk: Some(chunk) })
}

fn revert(first_revision: u64, last_revision: u64) -> wire::RevertChangesRequest {
    wire::RevertChangesRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        first_revision,
        last_revision,
        ..Default::default()
    }
}

impl Door {
    async fn text(&mut self, path: &str) -> String {
        let read = self.client.read_snapshot(read(path)).await.expect("read").into_inner();
        String::from_utf8(read.content.to_vec()).expect("UTF-8")
    }
}

#[tokio::test]
async fn a_set_in_one_message_is_written_as_one() {
    let mut door = Door::open().await;
    let request = wire::WriteDiffsRequest {
        operation_id: Bytes::from(vec![9; 16]),
        authored_at: Some(prost_types::Timestamp { seconds: 1_000, nanos: 5_000_000 }),
        ..set(vec![put("a", b"1"), put("b", b"2")])
    };
    let written = door.client.write_diffs(request.clone()).await.expect("written").into_inner();
    assert!(written.success);
    assert_eq!((written.first_revision, written.last_revision), (1, 2));
    let revisions: Vec<_> = written.results.iter().map(|result| result.revision).collect();
    assert_eq!((revisions, written.operation_id.clone()), (vec![1, 2], request.operation_id));
    assert_eq!(door.dom.sets()[0].authored_at_ms, Some(1_000_005));
    assert_eq!(door.text("b").await, "2");

    let clash = set(vec![put("c", b"3"), put("a", b"4")]);
    let refused = door.client.write_diffs(clash).await.expect("an answer").into_inner();
    assert_eq!((refused.success, refused.epoch, refused.last_revision), (false, EPOCH, 2));
    assert_eq!(refused.results.len(), 2);
    assert_eq!(refused.results[0].conflict, None, "it alone would have been accepted");
    let conflict = refused.results[1].conflict.as_ref().expect("a conflict");
    assert_eq!((conflict.reason(), &conflict.current_content[..]), (Reason::PathExists, &b"1"[..]));
    let nothing = door.client.read_snapshot(read("c")).await.expect_err("nothing was written");
    assert_eq!(nothing.code(), Code::NotFound);

    let elsewhere = wire::WriteDiffsRequest { expected_revision: 7, ..set(vec![put("d", b"5")]) };
    let status = door.client.write_diffs(elsewhere).await.expect_err("refused");
    assert_eq!((status.code(), from_status(&status).revision), (Code::FailedPrecondition, Some(2)));
    let status = door.client.write_diffs(set(Vec::new())).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_streamed_set_brings_contents_and_is_refused_where_it_is_wrong() {
    let mut door = Door::open().await;
    let bare = |path: &str| {
        Chunk::Diff(wire::WriteDiffRequest { path: path.to_owned(), ..Default::default() })
    };
    let content = |piece: &'static [u8]| Chunk::Content(Bytes::from_static(piece));
    let header = || Chunk::Header(set(Vec::new()));
    let good =
        vec![header(), bare("a"), content(b"on"), content(b"e"), Chunk::Diff(put("b", b"2"))];
    let written = door.client.write_diffs_stream(chunks(good)).await.expect("written").into_inner();
    assert_eq!((written.last_revision, written.results.len()), (2, 2));
    assert_eq!(door.text("a").await, "one");

    let one = vec![header(), bare("c"), content(b"x")];
    let written = door.client.write_diffs_stream(chunks(one)).await.expect("written").into_inner();
    assert_eq!((written.first_revision, written.last_revision, written.results.len()), (3, 3, 1));

    let bad = vec![header(), bare("d"), Chunk::Diff(put("e", b"5")), content(b"x")];
    let status = door.client.write_diffs_stream(chunks(bad)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("diff 1: content follows"), "{status:?}");
    let nothing = door.client.read_snapshot(read("d")).await.expect_err("nothing was written");
    assert_eq!(nothing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_streamed_content_may_keep_its_conflict_but_no_set_does() {
    let mut door = Door::open().await;
    door.write("a", b"stands").await;
    let header = Chunk::Header(wire::WriteDiffsRequest {
        operation_id: Bytes::from(vec![9; 16]),
        ..set(Vec::new())
    });
    let kept = Chunk::Diff(wire::WriteDiffRequest {
        path: "a".to_owned(),
        keep_conflict: true,
        ..Default::default()
    });
    let content = Chunk::Content(Bytes::from_static(b"refused"));
    let alone = vec![header.clone(), kept.clone(), content.clone()];
    let answer = door.client.write_diffs_stream(chunks(alone)).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!((answer.success, answer.last_revision, answer.results.len()), (false, 1, 1));
    let conflict = answer.results[0].conflict.as_ref().expect("a conflict");
    assert_eq!(conflict.conflict_id.len(), 16);
    let write = door.dom.written().pop().expect("a write");
    assert_eq!((write.message.as_str(), write.operation_id.is_some()), ("why", true));

    let more = vec![header, kept, content, Chunk::Diff(put("b", b"2"))];
    let status = door.client.write_diffs_stream(chunks(more)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("keep_conflict is for a diff of its own"), "{status:?}");
}

#[tokio::test]
async fn a_set_that_its_client_gives_up_is_not_written() {
    let mut door = Door::open().await;
    let begun = [Chunk::Header(set(Vec::new())), Chunk::Diff(put("a", b"1"))];
    let sent = Arc::new(tokio::sync::Notify::new());
    let mark = Arc::clone(&sent);
    let unfinished = chunks(begun.to_vec()).chain(stream::once(async move {
        mark.notify_one();
        std::future::pending().await
    }));
    let mut client = door.client.clone();
    let call = tokio::spawn(async move { client.write_diffs_stream(unfinished).await });
    sent.notified().await;
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    door.write("b", b"2").await;
    let nothing = door.client.read_snapshot(read("a")).await.expect_err("nothing was written");
    assert_eq!(nothing.code(), Code::NotFound);
}

#[tokio::test]
async fn replayed_diffs_are_answered_in_order_until_one_is_refused() {
    let mut door = Door::open().await;
    let at_home = |diff| wire::WriteDiffRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        ..diff
    };
    let requests = ["a", "b", "a"].map(|path| at_home(put(path, b"x")));
    let wrong = at_home(put("../c", b"x"));
    let requests = stream::iter(requests.into_iter().chain([wrong]));
    let mut answers = door.client.replay_diffs(requests).await.expect("answers").into_inner();
    let mut accepted = Vec::new();
    let status = loop {
        match answers.message().await {
            Ok(answer) => accepted.push(answer.expect("a refusal comes first").success),
            Err(status) => break status,
        }
    };
    assert_eq!(accepted, [true, true, false], "the third path exists");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_range_of_changes_is_undone() {
    let mut door = Door::open().await;
    door.write("a", b"one").await;
    door.client.write_diffs(set(vec![put("b", b"2"), put("c", b"3")])).await.expect("written");
    let undone = door.client.revert_changes(revert(2, 3)).await.expect("undone").into_inner();
    assert_eq!((undone.first_revision, undone.last_revision), (4, 5));
    let gone = door.client.read_snapshot(read("b")).await.expect_err("gone");
    assert_eq!((gone.code(), door.text("a").await), (Code::NotFound, "one".to_owned()));
    for (first, last) in [(0, 1), (3, 2)] {
        let status = door.client.revert_changes(revert(first, last)).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{first} to {last}");
        assert!(status.message().contains("is no range"), "{status:?}");
    }
}

#[tokio::test]
async fn many_nodes_are_read_as_of_one_revision() {
    let mut door = Door::open().await;
    let first = door.write("a", b"one").await;
    door.write("b", b"two").await;
    let request = |paths: &[&str], node_ids| wire::ReadSnapshotsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        node_ids,
        ..Default::default()
    };
    let wanted = request(&["b"], vec![first.node_id]);
    let mut nodes = door.client.read_snapshots(wanted).await.expect("nodes").into_inner();
    let mut paths = Vec::new();
    while let Some(node) = nodes.message().await.expect("a node") {
        assert_eq!(node.revision, 2);
        paths.push(node.path);
    }
    assert_eq!(paths, ["b", "a"]);

    let mut nodes = door.client.read_snapshots(request(&["a", "zz", "b"], Vec::new())).await;
    let nodes = nodes.as_mut().expect("nodes").get_mut();
    assert!(nodes.message().await.expect("a node").is_some());
    assert_eq!(nodes.message().await.expect_err("missing").code(), Code::NotFound);

    let status = door.client.read_snapshots(request(&[], Vec::new())).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let many = vec![Bytes::from(vec![1; 16]); 10_001];
    let status = door.client.read_snapshots(request(&[], many)).await.expect_err("refused");
    assert_eq!(from_status(&status).code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn branches_come_and_go() {
    let mut door = Door::open().await;
    door.write("a", b"one").await;
    let request = |branch: &str, from: &str, at_revision| wire::CreateBranchRequest {
        repo: "vdom".to_owned(),
        branch: branch.to_owned(),
        from_branch: from.to_owned(),
        at_revision,
        ..Default::default()
    };
    let created = door.client.create_branch(request("topic", "main", 1)).await.expect("created");
    let branch = created.into_inner().branch.expect("a branch");
    assert_eq!((branch.from_branch.as_str(), branch.from_revision), ("main", 1));
    for (again, code) in [
        (request("topic", "", 0), Code::AlreadyExists),
        (request("other", "nowhere", 0), Code::NotFound),
        (request("other", "", 1), Code::InvalidArgument),
        (request("a..b", "", 0), Code::InvalidArgument),
    ] {
        let status = door.client.create_branch(again.clone()).await.expect_err("refused");
        assert_eq!(status.code(), code, "{again:?}");
    }
    let delete = wire::DeleteBranchRequest {
        repo: "vdom".to_owned(),
        branch: "topic".to_owned(),
        ..Default::default()
    };
    door.client.delete_branch(delete.clone()).await.expect("deleted");
    let gone = door.client.delete_branch(delete).await.expect_err("gone");
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_conflict_is_kept_listed_and_resolved() {
    let mut door = Door::open().await;
    door.write("a", b"stands").await;
    let kept = wire::WriteDiffRequest {
        keep_conflict: true,
        diff_bson: Diff::put_file(b"refused"),
        ..at("a")
    };
    let refused = door.client.write_diff(kept).await.expect("an answer").into_inner();
    let conflict_id = refused.conflict.expect("a conflict").conflict_id;
    let list = |after: Bytes, limit| wire::ListConflictsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        after_conflict_id: after,
        limit,
        ..Default::default()
    };
    let page = door.client.list_conflicts(list(Bytes::new(), 0)).await.expect("a page");
    let page = page.into_inner();
    assert_eq!((page.conflicts.len(), page.more), (1, false));
    assert_eq!(page.conflicts[0].conflict_id, conflict_id);
    let request = page.conflicts[0].request.as_ref().expect("a request");
    assert_eq!(request.diff_bson, Diff::put_file(b"refused"));
    let after = door.client.list_conflicts(list(conflict_id.clone(), 0)).await.expect("a page");
    assert_eq!(after.into_inner().conflicts.len(), 0);
    let status = door.client.list_conflicts(list(Bytes::new(), 101)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);

    let explain = |conflict_id: Bytes| wire::ExplainConflictRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        conflict_id,
        ..Default::default()
    };
    let explained = door.client.explain_conflict(explain(conflict_id.clone())).await;
    let explained = explained.expect("an explanation").into_inner();
    assert_eq!(explained.conflict.as_ref(), Some(&page.conflicts[0]));
    assert_eq!(explained.unseen.expect("a history").changes.len(), 1);
    let status = door.client.explain_conflict(explain(Bytes::new())).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);

    let resolve = |resolution: Resolution, content: &'static [u8]| wire::ResolveConflictRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        conflict_id: conflict_id.clone(),
        resolution: resolution.into(),
        content: Bytes::from_static(content),
        ..Default::default()
    };
    for wrong in [
        resolve(Resolution::Unspecified, b""),
        resolve(Resolution::Ours, b"content"),
        wire::ResolveConflictRequest {
            conflict_id: Bytes::new(),
            ..resolve(Resolution::Ours, b"")
        },
    ] {
        let status = door.client.resolve_conflict(wrong).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let stale = wire::VectorClock { entries: [("ann".to_owned(), 9)].into() };
    let stale = wire::ResolveConflictRequest {
        vector_clock: Some(stale),
        ..resolve(Resolution::Theirs, b"")
    };
    let again = door.client.resolve_conflict(stale).await.expect("an answer").into_inner();
    assert!(again.written.is_some_and(|answer| !answer.success && answer.conflict.is_some()));
    let manual = resolve(Resolution::Manual, b"by hand");
    let resolved = door.client.resolve_conflict(manual).await.expect("resolved").into_inner();
    assert_eq!(resolved.written.map(|written| written.revision), Some(2));
    assert_eq!(door.text("a").await, "by hand");
    let gone = resolve(Resolution::Ours, b"");
    let gone = door.client.resolve_conflict(gone).await.expect_err("gone");
    assert_eq!(gone.code(), Code::NotFound);
}
