//! Answers, as a server sends them.

use bytes::Bytes;
use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ChangeEvent, Event, Freshness, HistoryPage, RepoPage, RepoSummary,
    Snapshot, Source, TreeEntry, WriteOutcome, Written,
};
use vdom_core::{BranchAddress, Change, ChangeKind, Content, NodePath};
use vdom_proto::v1 as wire;

/// What became of a write.
pub fn write_outcome(outcome: WriteOutcome) -> wire::WriteDiffResponse {
    match outcome {
        WriteOutcome::Written(written) => self::written(&written),
        WriteOutcome::Conflicted(conflict) => wire::WriteDiffResponse {
            success: false,
            operation_id: super::operation_id(conflict.operation_id),
            epoch: conflict.epoch,
            revision: conflict.revision,
            conflict: Some(super::conflicts::conflict_info(*conflict)),
            ..Default::default()
        },
    }
}

/// A node with the bytes that are at hand.
pub fn snapshot(mut snapshot: Snapshot) -> wire::ReadSnapshotResponse {
    let content = match &mut snapshot.node.content {
        Content::Inline(bytes) => std::mem::take(bytes),
        Content::Part(_) | Content::Chunked(_) => Bytes::new(),
    };
    wire::ReadSnapshotResponse { content, ..snapshot_head(snapshot) }
}

/// A node without its bytes.
pub fn snapshot_head(snapshot: Snapshot) -> wire::ReadSnapshotResponse {
    let node = snapshot.node;
    wire::ReadSnapshotResponse {
        node_id: Bytes::copy_from_slice(node.id.as_bytes()),
        content: Bytes::new(),
        version: node.version,
        vector_clock: Some(super::clock(&node.clock)),
        epoch: snapshot.epoch,
        revision: snapshot.revision,
        author: node.author,
        timestamp: Some(super::timestamp(node.timestamp_ms)),
        metadata: node.metadata,
        kind: super::kind(node.kind),
        path: node.path.to_string(),
        freshness: Some(freshness(snapshot.freshness)),
        changed_revision: node.changed_revision,
        attributes: node.attributes,
    }
}

/// A node of a tree.
pub fn tree_entry(entry: TreeEntry) -> wire::TreeEntry {
    let node = entry.node;
    wire::TreeEntry {
        node_id: Bytes::copy_from_slice(node.id.as_bytes()),
        path: node.path.to_string(),
        kind: super::kind(node.kind),
        version: node.version,
        vector_clock: Some(super::clock(&node.clock)),
        size_bytes: entry.size_bytes,
        author: node.author,
        timestamp: Some(super::timestamp(node.timestamp_ms)),
        attributes: node.attributes,
        changed_revision: node.changed_revision,
        epoch: entry.epoch,
        revision: entry.revision,
        content_omitted: entry.content.is_none(),
        content: entry.content.unwrap_or_default(),
    }
}

/// An event of a branch.
pub fn event(event: Event, address: &BranchAddress) -> wire::ChangeEvent {
    match event {
        Event::Change(change) => change_event(*change, address),
        Event::Progress { epoch, revision, freshness } => wire::ChangeEvent {
            r#type: wire::change_event::Type::Progress.into(),
            epoch,
            revision,
            freshness: Some(self::freshness(freshness)),
            ..place(address)
        },
    }
}

/// A page of a branch's history.
pub fn history_page(page: HistoryPage, address: &BranchAddress) -> wire::GetHistoryResponse {
    wire::GetHistoryResponse {
        changes: page.changes.into_iter().map(|change| change_event(change, address)).collect(),
        next_before_revision: page.next_before_revision.unwrap_or_default(),
        epoch: page.epoch,
        revision: page.revision,
    }
}

pub fn repo_page(page: RepoPage) -> wire::ListReposResponse {
    wire::ListReposResponse {
        repos: page.repos.into_iter().map(repo_summary).collect(),
        next_page_token: page.next_page_token,
    }
}

pub fn repo_summary(repo: RepoSummary) -> wire::Repo {
    wire::Repo { name: repo.name, branches: repo.branches }
}

pub fn branch_page(page: BranchPage) -> wire::ListBranchesResponse {
    wire::ListBranchesResponse {
        branches: page.branches.into_iter().map(branch_summary).collect(),
        next_page_token: page.next_page_token,
    }
}

pub fn branch_summary(branch: BranchSummary) -> wire::Branch {
    wire::Branch {
        name: branch.name,
        epoch: branch.epoch,
        revision: branch.revision,
        head_hash: Bytes::copy_from_slice(branch.head_hash.as_bytes()),
        from_branch: branch.origin.as_ref().map(|(name, _)| name.to_string()).unwrap_or_default(),
        from_revision: branch.origin.map(|(_, revision)| revision).unwrap_or_default(),
    }
}

pub(super) fn written(written: &Written) -> wire::WriteDiffResponse {
    wire::WriteDiffResponse {
        success: true,
        new_version: written.version,
        node_id: Bytes::copy_from_slice(written.node_id.as_bytes()),
        epoch: written.epoch,
        revision: written.revision,
        vector_clock: Some(super::clock(&written.clock)),
        ack: super::ack_level(written.ack),
        merged: written.merged,
        conflict: None,
        timestamp: Some(super::timestamp(written.timestamp_ms)),
        operation_id: super::operation_id(written.operation_id),
    }
}

fn change_event(event: ChangeEvent, address: &BranchAddress) -> wire::ChangeEvent {
    // The record is shared by all subscribers.
    let change: &Change = &event.change;
    wire::ChangeEvent {
        r#type: change_type(change.kind),
        path: change.path.to_string(),
        author: change.author.clone(),
        version: change.version,
        timestamp: Some(super::timestamp(change.timestamp_ms)),
        metadata: event.metadata(),
        node_id: Bytes::copy_from_slice(change.node_id.as_bytes()),
        epoch: change.epoch,
        revision: change.revision,
        vector_clock: Some(super::clock(&change.clock)),
        old_path: change.old_path.as_ref().map(NodePath::to_string).unwrap_or_default(),
        message: event.message().to_owned(),
        change_set: change.change_set.map(|position| wire::ChangeSetPosition {
            id: Bytes::copy_from_slice(position.id.as_bytes()),
            index: position.index,
            size: position.size,
        }),
        operation_id: super::operation_id(change.operation.map(|operation| operation.id)),
        actor: change.actor.clone(),
        kind: super::kind(change.node_kind),
        authored_at: change.authored_at_ms.map(super::timestamp),
        diff_omitted: event.diff.is_none(),
        hash: Bytes::copy_from_slice(event.hash.as_bytes()),
        diff_bson: event.diff.unwrap_or_default(),
        ..place(address)
    }
}

/// What happened to a node.
pub(crate) fn change_type(kind: ChangeKind) -> i32 {
    match kind {
        ChangeKind::Create => wire::change_event::Type::Create,
        ChangeKind::Update => wire::change_event::Type::Update,
        ChangeKind::Delete => wire::change_event::Type::Delete,
        ChangeKind::Rename => wire::change_event::Type::Rename,
    }
    .into()
}

fn place(address: &BranchAddress) -> wire::ChangeEvent {
    wire::ChangeEvent {
        realm: address.realm.to_string(),
        repo: address.repo.to_string(),
        branch: address.branch.to_string(),
        ..Default::default()
    }
}

fn freshness(freshness: Freshness) -> wire::Freshness {
    wire::Freshness {
        age_ms: freshness.age_ms,
        stale: freshness.stale,
        source: source(freshness.source),
    }
}

pub(crate) fn source(source: Source) -> i32 {
    match source {
        Source::Store => wire::freshness::Source::Store,
        Source::Cache => wire::freshness::Source::Cache,
    }
    .into()
}
