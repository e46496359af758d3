//! Branches and conflicts that are not as a request has them.

use bytes::Bytes;
use vdom_proto::v1;
use vdom_proto::v1::resolve_conflict_request::Resolution;

use super::{Server, check_refused};

at_both_doors! {
    a_branch_begins_where_another_is
    many_nodes_are_named_one_way_and_within_a_limit
    a_conflict_is_resolved_by_its_id_and_in_one_way
    a_replay_ends_at_the_first_diff_that_is_refused
}

async fn a_branch_begins_where_another_is(mut server: Server) {
    let base = v1::CreateBranchRequest {
        repo: "repo".to_owned(),
        branch: "topic".to_owned(),
        ..Default::default()
    };
    let from = |branch: &str, at_revision| v1::CreateBranchRequest {
        from_branch: branch.to_owned(),
        at_revision,
        ..base.clone()
    };
    let named =
        |branch: &str| v1::CreateBranchRequest { branch: branch.to_owned(), ..base.clone() };
    for (what, request, code, words) in [
        ("no name", named(""), "InvalidArgument", &["branch ", "is empty"][..]),
        ("a bad name", named("a..b"), "InvalidArgument", &["branch ", "`..`"]),
        ("a name that is taken", named("main"), "AlreadyExists", &["`main`"]),
        ("from a bad name", from("a b", 0), "InvalidArgument", &["branch "]),
        ("from nowhere", from("nowhere", 0), "NotFound", &["`nowhere`"]),
        ("from the future", from("main", 99), "NotFound", &["99"]),
        ("a revision of nothing", from("", 1), "InvalidArgument", &["from_branch"]),
    ] {
        let answer = server.client.raw.create_branch(request).await;
        check_refused(what, answer, code, words);
        server.check_untouched(what).await;
    }
    let delete = |branch: &str| v1::DeleteBranchRequest {
        repo: "repo".to_owned(),
        branch: branch.to_owned(),
        ..Default::default()
    };
    for (what, branch, code) in
        [("nowhere", "nowhere", "NotFound"), ("a bad name", "a..b", "InvalidArgument")]
    {
        let answer = server.client.raw.delete_branch(delete(branch)).await;
        check_refused(what, answer, code, &[]);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn many_nodes_are_named_one_way_and_within_a_limit(mut server: Server) {
    let request = |paths: &[&str], node_ids| v1::ReadSnapshotsRequest {
        repo: "repo".to_owned(),
        branch: "main".to_owned(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        node_ids,
        ..Default::default()
    };
    let many = vec![server.file.node_id.clone(); 10_001];
    for (what, request, code, words) in [
        ("nothing", request(&[], vec![]), "InvalidArgument", "both are empty"),
        ("a bad path", request(&["a/../b"], vec![]), "InvalidArgument", "path"),
        ("a short id", request(&[], vec![vec![7; 15].into()]), "InvalidArgument", "needs 16"),
        ("10,001 nodes", request(&[], many), "TooLarge", "10000"),
    ] {
        let answer = server.client.raw.read_snapshots(request).await;
        check_refused(what, answer, code, &[words]);
    }
    let missing = request(&["file", "nowhere", "meta"], vec![]);
    let mut nodes = server.client.raw.read_snapshots(missing).await.expect("nodes").into_inner();
    assert!(nodes.message().await.expect("a node").is_some());
    check_refused("a missing node", nodes.message().await, "NotFound", &["nowhere"]);
    server.check_serves().await;
}

async fn a_conflict_is_resolved_by_its_id_and_in_one_way(mut server: Server) {
    let base = v1::ResolveConflictRequest {
        repo: "repo".to_owned(),
        branch: "main".to_owned(),
        conflict_id: vec![7; 16].into(),
        resolution: Resolution::Theirs.into(),
        ..Default::default()
    };
    let short = Bytes::from_static(b"7");
    let content = Bytes::from_static(b"content");
    for (what, request, code, words) in [
        ("nobody's", base.clone(), "NotFound", &["07070707"][..]),
        (
            "a short id",
            v1::ResolveConflictRequest { conflict_id: short, ..base.clone() },
            "InvalidArgument",
            &["conflict_id has 1 bytes"],
        ),
        (
            "no way",
            v1::ResolveConflictRequest { resolution: 0, ..base.clone() },
            "InvalidArgument",
            &["OURS, THEIRS, MERGE or MANUAL"],
        ),
        (
            "an unknown way",
            v1::ResolveConflictRequest { resolution: 9, ..base.clone() },
            "InvalidArgument",
            &["resolution 9"],
        ),
        (
            "a content for nothing",
            v1::ResolveConflictRequest { content, ..base.clone() },
            "InvalidArgument",
            &["MANUAL"],
        ),
    ] {
        let answer = server.client.raw.resolve_conflict(request).await;
        check_refused(what, answer, code, words);
        server.check_untouched(what).await;
    }
    let list = v1::ListConflictsRequest {
        repo: "repo".to_owned(),
        branch: "main".to_owned(),
        limit: 101,
        ..Default::default()
    };
    let answer = server.client.raw.list_conflicts(list).await;
    check_refused("too long a page", answer, "InvalidArgument", &["101", "100"]);
    server.check_serves().await;
}

async fn a_replay_ends_at_the_first_diff_that_is_refused(mut server: Server) {
    let put = |path: &str| server.client.put_request(path, b"x");
    let diffs = [put("first"), put("a/../b"), put("never")];
    let mut answers = server
        .client
        .raw
        .replay_diffs(tokio_stream::iter(diffs))
        .await
        .expect("answers")
        .into_inner();
    let first = answers.message().await.expect("an answer").expect("the first");
    assert!(first.success);
    check_refused("the second", answers.message().await, "InvalidArgument", &["path"]);
    server.meta.revision = first.revision;
    server.check_untouched("the third").await;
    server.check_serves().await;
}
