//! What goes onto the wire comes back as it was.

use std::collections::BTreeMap;

use vdom_core::dom::calls::{
    AckLevel, BranchSummary, ChangeEvent, ChangeSetPart, Conflict, ConflictExplanation,
    ConflictHunk, ConflictPage, ConflictReason, CreateBranch, DeleteBranch, DiffSource, Event,
    ExplainConflict, Freshness, GetHistory, HistoryPage, ListConflicts, MergePreview, NodeSelector,
    ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, RepoSummary, Resolution, ResolveConflict,
    ResolveOutcome, ResumePoint, RevertChanges, SetConflicts, SetOutcome, SetWritten, Snapshot,
    Source, StoredConflict, Subscribe, TreeEntry, WriteDiff, WriteDiffs, WriteOutcome, Written,
};
use vdom_core::{
    BranchAddress, BranchName, Change, ChangeKind, ChangeSetPosition, ConflictId, Content, Hash,
    Node, NodeId, NodeKind, NodePath, Operation, OperationId, RealmName, VectorClock,
};

use super::*;
use crate::dom::convert::{decode, encode};

fn address() -> BranchAddress {
    BranchAddress::parse("acme", "vdom", "feature/x").expect("an address")
}

fn clock() -> VectorClock {
    VectorClock::from_entries([("a".to_owned(), 3), (String::new(), 9)]).expect("a clock")
}

fn path(text: &str) -> NodePath {
    NodePath::parse(text).expect("a path")
}

fn texts() -> BTreeMap<String, String> {
    BTreeMap::from([("key".to_owned(), "value".to_owned())])
}

fn read_at() -> ReadAt {
    ReadAt {
        revision: Some(4),
        epoch: Some(7),
        min_revision: Some(3),
        min_epoch: Some(6),
        max_age_ms: Some(0),
        after_operation: Some(OperationId([9; 16])),
    }
}

fn node(content: Content) -> Node {
    Node {
        id: NodeId([1; 16]),
        path: path("src/ü"),
        kind: NodeKind::Meta,
        live: true,
        version: 5,
        clock: clock(),
        last_used: BTreeMap::new(),
        content,
        attributes: texts(),
        author: "ann".to_owned(),
        timestamp_ms: 1_700_000_000_123,
        metadata: texts(),
        epoch: 7,
        changed_revision: 4,
    }
}

fn freshness() -> Freshness {
    Freshness { age_ms: 12, stale: true, source: Source::Cache }
}

fn change_event() -> ChangeEvent {
    let change = Change {
        epoch: 7,
        revision: 12,
        previous: Hash::default(),
        diff_hash: Hash::default(),
        diff_length: 0,
        node_id: NodeId([1; 16]),
        node_kind: NodeKind::Intent,
        kind: ChangeKind::Rename,
        path: path("b"),
        old_path: Some(path("a")),
        version: 5,
        clock: clock(),
        actor: "pod-7".to_owned(),
        author: "ann".to_owned(),
        subject: String::new(),
        message: "why".to_owned(),
        metadata: texts(),
        timestamp_ms: -1,
        authored_at_ms: Some(1),
        operation: Some(Operation { id: OperationId([2; 16]), request: Hash::default() }),
        change_set: Some(ChangeSetPosition { id: OperationId([3; 16]), index: 1, size: 4 }),
        data_subject: None,
        encryption: None,
        set_header: None,
        merged: false,
    };
    ChangeEvent {
        set: None,
        change: Arc::new(change),
        hash: Hash([5; 32]),
        diff: Some(Bytes::from_static(b"diff")),
    }
}

#[test]
fn requests_come_back_as_they_were() {
    let write = WriteDiff {
        address: address(),
        node_id: Some(NodeId([1; 16])),
        path: Some(path("src/ü")),
        kind: Some(NodeKind::Intent),
        diff: DiffSource::Bson(Bytes::from_static(b"diff")),
        clock: clock(),
        on_conflict: OnConflict::Overwrite,
        min_ack: AckLevel::Local,
        keep_conflict: true,
        actor: Some("pod-7".to_owned()),
        author: Some("bea".to_owned()),
        message: "why".to_owned(),
        metadata: texts(),
        operation_id: Some(OperationId([2; 16])),
    };
    assert_eq!(decode::write_diff(encode::write_diff(&write), None), Ok(write));

    for node in [NodeSelector::Id(NodeId([1; 16])), NodeSelector::Path(path("a"))] {
        let read = ReadSnapshot { address: address(), node: node.clone(), at: read_at() };
        assert_eq!(decode::read_snapshot(&encode::read_snapshot(&read), None), Ok(read));
        let history = GetHistory {
            address: address(),
            node: Some(node),
            before_revision: Some(9),
            limit: 1_000,
            include_diffs: true,
        };
        assert_eq!(decode::get_history(&encode::get_history(&history), None), Ok(history));
    }
    let tree = ReadTree {
        address: address(),
        prefix: "src".to_owned(),
        at: ReadAt { after_operation: None, max_age_ms: None, ..read_at() },
        include_content: true,
    };
    assert_eq!(decode::read_tree(&encode::read_tree(&tree), None), Ok(tree));
    let watch = Subscribe {
        address: address(),
        paths: vec!["src".to_owned(), String::new()],
        from: Some(ResumePoint { epoch: 7, revision: 0, hash: Some(Hash([4; 32])) }),
        include_diffs: true,
    };
    for from in [watch.from, Some(ResumePoint::EARLIEST), None] {
        let watch = Subscribe { from, ..watch.clone() };
        assert_eq!(decode::subscribe(encode::subscribe(&watch), None), Ok(watch));
    }
}

#[test]
fn a_request_without_a_realm_is_about_the_callers() {
    let acme = RealmName::parse("acme").expect("a name");
    let repos = |caller| decode::list_repos(&wire::ListReposRequest::default(), caller);
    let realm = |caller| repos(caller).map(|request| request.realm);
    assert_eq!(realm(Some(&acme)), Ok(acme.clone()));
    assert_eq!(realm(None), RealmName::parse("default"));
}

#[test]
fn answers_come_back_as_they_were() {
    let written = WriteOutcome::Written(Written {
        node_id: NodeId([1; 16]),
        version: 5,
        clock: clock(),
        epoch: 7,
        revision: 12,
        ack: AckLevel::Committed,
        merged: true,
        timestamp_ms: 1_700_000_000_123,
        operation_id: Some(OperationId([2; 16])),
    });
    assert_eq!(decode::write_outcome(encode::write_outcome(written.clone())), Ok(written));
    let conflict = WriteOutcome::Conflicted(Box::new(Conflict {
        conflict_id: None,
        reason: ConflictReason::Deleted,
        node_id: NodeId([1; 16]),
        path: path("a"),
        kind: NodeKind::File,
        current_clock: clock(),
        current_version: 3,
        current_content: Some(Bytes::new()),
        current_author: "bea".to_owned(),
        current_timestamp_ms: 5,
        base_content: None,
        hunks: vec![ConflictHunk {
            base: (1, 2),
            current: (3, 4),
            proposed: (5, 6),
            field: "f".to_owned(),
        }],
        epoch: 7,
        revision: 12,
        operation_id: Some(OperationId([2; 16])),
    }));
    assert_eq!(decode::write_outcome(encode::write_outcome(conflict.clone())), Ok(conflict));

    let snapshot = Snapshot {
        node: node(Content::Inline(Bytes::from_static(b"content"))),
        epoch: 7,
        revision: 12,
        freshness: freshness(),
    };
    assert_eq!(decode::snapshot(encode::snapshot(snapshot.clone())), Ok(snapshot));

    for content in [None, Some(Bytes::new())] {
        let entry = TreeEntry {
            // A tree does not carry metadata.
            node: Node { metadata: BTreeMap::new(), ..node(Content::Inline(Bytes::new())) },
            size_bytes: 9,
            content,
            epoch: 7,
            revision: 12,
        };
        assert_eq!(decode::tree_entry(encode::tree_entry(entry.clone())), Ok(entry));
    }

    let progress = Event::Progress { epoch: 7, revision: 12, freshness: freshness() };
    for event in [Event::Change(Box::new(change_event())), progress] {
        assert_eq!(decode::event(encode::event(event.clone(), &address())), Ok(event));
    }
    let page = HistoryPage {
        changes: vec![change_event()],
        next_before_revision: Some(12),
        epoch: 7,
        revision: 13,
    };
    assert_eq!(decode::history_page(encode::history_page(page.clone(), &address())), Ok(page));

    let repo = RepoSummary { name: "vdom".to_owned(), branches: 2 };
    assert_eq!(decode::repo_summary(encode::repo_summary(repo.clone())), repo);
    let branch = BranchSummary {
        name: "main".to_owned(),
        epoch: 7,
        revision: 12,
        head_hash: Hash([6; 32]),
        origin: None,
    };
    assert_eq!(decode::branch_summary(encode::branch_summary(branch.clone())), Ok(branch));
}

#[tokio::test]
async fn requests_about_sets_branches_and_conflicts_come_back_as_they_were() {
    let set = WriteDiffs {
        address: address(),
        operation_id: Some(OperationId([2; 16])),
        expected_revision: Some(4),
        on_conflict: OnConflict::Overwrite,
        min_ack: AckLevel::Local,
        author: Some("bea".to_owned()),
        authored_at_ms: Some(-1_500),
        message: "why".to_owned(),
        metadata: texts(),
    };
    let diff = WriteDiff {
        on_conflict: OnConflict::Merge,
        min_ack: set.min_ack,
        ..crate::dom::fake::some_diff()
    };
    let diff = WriteDiff { address: address(), ..diff };
    let follows = WriteDiff { diff: DiffSource::Follows, ..diff.clone() };
    let parts = [
        ChangeSetPart::Diff(Box::new(diff)),
        ChangeSetPart::Diff(Box::new(follows)),
        ChangeSetPart::Content(Bytes::from_static(b"content")),
    ];
    let chunks: Vec<_> = [encode::write_diffs(&set)]
        .into_iter()
        .chain(parts.clone().map(encode::change_set_part))
        .collect();
    let opened = change_set::in_a_stream(stream::iter(chunks).map(Ok), None).await;
    let (read_set, read_parts) = opened.expect("a header");
    let read_parts: Vec<_> = read_parts.map(|part| part.expect("a part")).collect().await;
    assert_eq!((read_set, read_parts), (set, parts.to_vec()));

    let revert = RevertChanges {
        address: address(),
        first_revision: 3,
        last_revision: 9,
        epoch: Some(7),
        on_conflict: OnConflict::Merge,
        author: Some("bea".to_owned()),
        message: "why".to_owned(),
        operation_id: Some(OperationId([2; 16])),
    };
    assert_eq!(decode::revert_changes(encode::revert_changes(&revert), None), Ok(revert));
    let snapshots = ReadSnapshots {
        address: address(),
        nodes: vec![NodeSelector::Path(path("a")), NodeSelector::Id(NodeId([1; 16]))],
        at: ReadAt { after_operation: None, ..read_at() },
    };
    let wire = encode::read_snapshots(&snapshots);
    assert_eq!(decode::read_snapshots(&wire, None), Ok(snapshots));
    let create = CreateBranch {
        address: address(),
        from: Some(BranchName::parse("main").expect("a name")),
        at_revision: Some(5),
        operation_id: Some(OperationId([2; 16])),
    };
    assert_eq!(decode::create_branch(&encode::create_branch(&create), None), Ok(create));
    let delete = DeleteBranch { address: address(), operation_id: None };
    assert_eq!(decode::delete_branch(&encode::delete_branch(&delete), None), Ok(delete));

    let list = ListConflicts {
        address: address(),
        paths: vec!["src".to_owned()],
        limit: 7,
        after: Some(ConflictId([3; 16])),
    };
    assert_eq!(decode::list_conflicts(&encode::list_conflicts(&list), None), Ok(list));
    let explain = ExplainConflict { address: address(), id: ConflictId([3; 16]) };
    assert_eq!(decode::explain_conflict(&encode::explain_conflict(&explain), None), Ok(explain));
    for resolution in [
        Resolution::Ours,
        Resolution::Theirs,
        Resolution::Merge,
        Resolution::Manual(Bytes::from_static(b"content")),
    ] {
        let resolve = ResolveConflict {
            address: address(),
            id: ConflictId([3; 16]),
            resolution,
            clock: clock(),
            message: "why".to_owned(),
            operation_id: None,
        };
        let wire = encode::resolve_conflict(&resolve);
        assert_eq!(decode::resolve_conflict(wire, None), Ok(resolve));
    }
}

#[test]
fn answers_about_sets_branches_and_conflicts_come_back_as_they_were() {
    let written = Written {
        node_id: NodeId([1; 16]),
        version: 5,
        clock: clock(),
        epoch: 7,
        revision: 12,
        ack: AckLevel::Local,
        merged: true,
        timestamp_ms: 5,
        operation_id: None,
    };
    let set = SetOutcome::Written(SetWritten {
        epoch: 7,
        first_revision: 11,
        last_revision: 12,
        ack: AckLevel::Local,
        timestamp_ms: 1_700_000_000_123,
        operation_id: Some(OperationId([2; 16])),
        results: vec![written.clone(), written.clone()],
    });
    assert_eq!(decode::set_outcome(encode::set_outcome(set.clone())), Ok(set));
    let conflict =
        Conflict { conflict_id: Some(ConflictId([3; 16])), ..crate::dom::fake::some_conflict() };
    let set = SetOutcome::Conflicted(SetConflicts {
        epoch: 7,
        revision: 12,
        operation_id: None,
        results: vec![None, Some(Box::new(conflict.clone()))],
    });
    assert_eq!(decode::set_outcome(encode::set_outcome(set.clone())), Ok(set));

    for resolved in [
        ResolveOutcome::Resolved(None),
        ResolveOutcome::Resolved(Some(written)),
        ResolveOutcome::Conflicted(Box::new(conflict.clone())),
    ] {
        let wire = encode::resolve_outcome(resolved.clone());
        assert_eq!(decode::resolve_outcome(wire), Ok(resolved));
    }
    let request = WriteDiff { address: address(), ..crate::dom::fake::some_diff() };
    let page = ConflictPage {
        conflicts: vec![StoredConflict {
            id: ConflictId([3; 16]),
            conflict,
            request,
            timestamp_ms: 5,
            subject: "ann".to_owned(),
        }],
        more: true,
    };
    assert_eq!(decode::conflict_page(encode::conflict_page(page.clone())), Ok(page.clone()));
    let hunk = ConflictHunk { current: (3, 4), field: "/a".to_owned(), ..Default::default() };
    for merge in [
        MergePreview::Clean,
        MergePreview::Conflicting(Vec::new()),
        MergePreview::Conflicting(vec![hunk]),
        MergePreview::Impossible,
    ] {
        let unseen = HistoryPage {
            changes: Vec::new(),
            next_before_revision: Some(4),
            epoch: 7,
            revision: 12,
        };
        let explanation = ConflictExplanation { stored: page.conflicts[0].clone(), unseen, merge };
        let wire = encode::conflict_explanation(explanation.clone());
        assert_eq!(decode::conflict_explanation(wire), Ok(explanation));
    }
    let contradiction = wire::WriteDiffsResponse {
        success: true,
        results: vec![wire::WriteDiffResponse::default()],
        ..Default::default()
    };
    let unreadable = decode::set_outcome(contradiction);
    assert_eq!(unreadable.map_err(|error| error.code), Err(ErrorCode::Internal));
}
