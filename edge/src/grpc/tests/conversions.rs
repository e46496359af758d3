//! What goes onto the wire comes back as it was.

use std::collections::BTreeMap;

use vdom_core::calls::{
    AckLevel, BranchSummary, Conflict, ConflictHunk, ConflictReason, DiffSource, Event, Freshness,
    GetHistory, HistoryPage, NodeSelector, ReadAt, ReadSnapshot, ReadTree, RepoSummary,
    ResumePoint, Snapshot, Source, Subscribe, TreeEntry, WriteDiff, Written,
};
use vdom_core::calls::{ChangeEvent, WriteOutcome};
use vdom_core::{
    BranchAddress, Change, ChangeKind, ChangeSetPosition, Content, Hash, Node, NodeId, NodeKind,
    NodePath, Operation, OperationId, RealmName, VectorClock,
};

use super::*;

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
    assert_eq!(from_wire::write_diff(to_wire::write_diff(&write), None), Ok(write));

    for node in [NodeSelector::Id(NodeId([1; 16])), NodeSelector::Path(path("a"))] {
        let read = ReadSnapshot { address: address(), node: node.clone(), at: read_at() };
        assert_eq!(from_wire::read_snapshot(&to_wire::read_snapshot(&read), None), Ok(read));
        let history = GetHistory {
            address: address(),
            node: Some(node),
            before_revision: Some(9),
            limit: 1_000,
            include_diffs: true,
        };
        assert_eq!(from_wire::get_history(&to_wire::get_history(&history), None), Ok(history));
    }
    let tree = ReadTree {
        address: address(),
        prefix: "src".to_owned(),
        at: ReadAt { after_operation: None, max_age_ms: None, ..read_at() },
        include_content: true,
    };
    assert_eq!(from_wire::read_tree(&to_wire::read_tree(&tree), None), Ok(tree));
    let watch = Subscribe {
        address: address(),
        paths: vec!["src".to_owned(), String::new()],
        from: Some(ResumePoint { epoch: 7, revision: 0, hash: Some(Hash([4; 32])) }),
        include_diffs: true,
    };
    assert_eq!(from_wire::subscribe(to_wire::subscribe(&watch), None), Ok(watch));
}

#[test]
fn a_request_without_a_realm_is_about_the_callers() {
    let acme = RealmName::parse("acme").expect("a name");
    let realm = |caller| from_wire::list_repos(&wire::ListReposRequest::default(), caller);
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
    assert_eq!(from_wire::write_outcome(to_wire::write_outcome(written.clone())), Ok(written));
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
    assert_eq!(from_wire::write_outcome(to_wire::write_outcome(conflict.clone())), Ok(conflict));

    let snapshot = Snapshot {
        node: node(Content::Inline(Bytes::from_static(b"content"))),
        epoch: 7,
        revision: 12,
        freshness: freshness(),
    };
    assert_eq!(from_wire::snapshot(to_wire::snapshot(snapshot.clone())), Ok(snapshot));

    for content in [None, Some(Bytes::new())] {
        let entry = TreeEntry {
            // A tree does not carry metadata.
            node: Node { metadata: BTreeMap::new(), ..node(Content::Inline(Bytes::new())) },
            size_bytes: 9,
            content,
            epoch: 7,
            revision: 12,
        };
        assert_eq!(from_wire::tree_entry(to_wire::tree_entry(entry.clone())), Ok(entry));
    }

    let progress = Event::Progress { epoch: 7, revision: 12, freshness: freshness() };
    for event in [Event::Change(Box::new(change_event())), progress] {
        assert_eq!(from_wire::event(to_wire::event(event.clone(), &address())), Ok(event));
    }
    let page = HistoryPage {
        changes: vec![change_event()],
        next_before_revision: Some(12),
        epoch: 7,
        revision: 13,
    };
    assert_eq!(from_wire::history_page(to_wire::history_page(page.clone(), &address())), Ok(page));

    let repo = RepoSummary { name: "vdom".to_owned(), branches: 2 };
    assert_eq!(from_wire::repo_summary(to_wire::repo_summary(repo.clone())), repo);
    let branch = BranchSummary {
        name: "main".to_owned(),
        epoch: 7,
        revision: 12,
        head_hash: Hash([6; 32]),
        origin: None,
    };
    assert_eq!(from_wire::branch_summary(to_wire::branch_summary(branch.clone())), Ok(branch));
}
