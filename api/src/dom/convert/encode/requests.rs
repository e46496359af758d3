//! Requests, as a client sends them.

use bytes::Bytes;
use vdom_core::dom::calls::{
    CreateBranch, DeleteBranch, DiffSource, GetHistory, ListBranches, ListRepos, NodeSelector,
    ReadSnapshot, ReadSnapshots, ReadTree, ResumePoint, Subscribe, WriteDiff,
};
use vdom_core::{BranchName, NodePath};
use vdom_proto::v1 as wire;

/// One diff to write. A staged content has no bytes of its own: it stays empty
/// here and follows in pieces.
pub fn write_diff(request: &WriteDiff) -> wire::WriteDiffRequest {
    wire::WriteDiffRequest {
        node_id: request
            .node_id
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .unwrap_or_default(),
        diff_bson: match &request.diff {
            DiffSource::Bson(bytes) => bytes.clone(),
            DiffSource::Follows => Bytes::new(),
        },
        vector_clock: Some(super::clock(&request.clock)),
        metadata: request.metadata.clone(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        path: request.path.as_ref().map(NodePath::to_string).unwrap_or_default(),
        kind: request.kind.map(super::kind).unwrap_or_default(),
        author: request.author.clone().unwrap_or_default(),
        message: request.message.clone(),
        operation_id: super::operation_id(request.operation_id),
        on_conflict: super::on_conflict(request.on_conflict),
        min_ack: super::ack_level(request.min_ack),
        actor: request.actor.clone().unwrap_or_default(),
        realm: request.address.realm.to_string(),
        keep_conflict: request.keep_conflict,
    }
}

pub fn read_snapshot(request: &ReadSnapshot) -> wire::ReadSnapshotRequest {
    let (node_id, path) = selector(Some(&request.node));
    wire::ReadSnapshotRequest {
        node_id,
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        path,
        revision: request.at.revision.unwrap_or_default(),
        min_revision: request.at.min_revision.unwrap_or_default(),
        min_epoch: request.at.min_epoch.unwrap_or_default(),
        realm: request.address.realm.to_string(),
        max_age_ms: request.at.max_age_ms,
        epoch: request.at.epoch.unwrap_or_default(),
        after_operation: super::operation_id(request.at.after_operation),
    }
}

/// Many nodes to read. Those named by path come first on the wire, so only a
/// request that has them first keeps its order.
pub fn read_snapshots(request: &ReadSnapshots) -> wire::ReadSnapshotsRequest {
    let (mut paths, mut node_ids) = (Vec::new(), Vec::new());
    for node in &request.nodes {
        match node {
            NodeSelector::Path(path) => paths.push(path.to_string()),
            NodeSelector::Id(id) => node_ids.push(Bytes::copy_from_slice(id.as_bytes())),
        }
    }
    wire::ReadSnapshotsRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        paths,
        node_ids,
        revision: request.at.revision.unwrap_or_default(),
        epoch: request.at.epoch.unwrap_or_default(),
        min_revision: request.at.min_revision.unwrap_or_default(),
        min_epoch: request.at.min_epoch.unwrap_or_default(),
        max_age_ms: request.at.max_age_ms,
    }
}

pub fn read_tree(request: &ReadTree) -> wire::ReadTreeRequest {
    wire::ReadTreeRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        prefix: request.prefix.clone(),
        revision: request.at.revision.unwrap_or_default(),
        epoch: request.at.epoch.unwrap_or_default(),
        min_revision: request.at.min_revision.unwrap_or_default(),
        min_epoch: request.at.min_epoch.unwrap_or_default(),
        max_age_ms: request.at.max_age_ms,
        include_content: request.include_content,
    }
}

pub fn subscribe(request: &Subscribe) -> wire::SubscribeRequest {
    wire::SubscribeRequest {
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        paths: request.paths.clone(),
        from_epoch: request.from.map(|from| from.epoch).unwrap_or_default(),
        from_revision: request.from.map(|from| from.revision).unwrap_or_default(),
        realm: request.address.realm.to_string(),
        include_diffs: request.include_diffs,
        from_hash: request
            .from
            .and_then(|from| from.hash)
            .map(|hash| Bytes::copy_from_slice(hash.as_bytes()))
            .unwrap_or_default(),
        from_earliest: request.from == Some(ResumePoint::EARLIEST),
    }
}

pub fn get_history(request: &GetHistory) -> wire::GetHistoryRequest {
    let (node_id, path) = selector(request.node.as_ref());
    wire::GetHistoryRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        path,
        node_id,
        before_revision: request.before_revision.unwrap_or_default(),
        limit: request.limit,
        include_diffs: request.include_diffs,
    }
}

pub fn list_repos(request: &ListRepos) -> wire::ListReposRequest {
    wire::ListReposRequest {
        realm: request.realm.to_string(),
        page_size: request.page_size,
        page_token: request.page_token(),
    }
}

pub fn list_branches(request: &ListBranches) -> wire::ListBranchesRequest {
    wire::ListBranchesRequest {
        realm: request.realm.to_string(),
        repo: request.repo.to_string(),
        page_size: request.page_size,
        page_token: request.page_token(),
        branch: request.branch.as_ref().map(BranchName::to_string).unwrap_or_default(),
    }
}

pub fn create_branch(request: &CreateBranch) -> wire::CreateBranchRequest {
    wire::CreateBranchRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        from_branch: request.from.as_ref().map(BranchName::to_string).unwrap_or_default(),
        at_revision: request.at_revision.unwrap_or_default(),
        operation_id: super::operation_id(request.operation_id),
    }
}

pub fn delete_branch(request: &DeleteBranch) -> wire::DeleteBranchRequest {
    wire::DeleteBranchRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        operation_id: super::operation_id(request.operation_id),
    }
}

fn selector(node: Option<&NodeSelector>) -> (Bytes, String) {
    match node {
        None => (Bytes::new(), String::new()),
        Some(NodeSelector::Id(id)) => (Bytes::copy_from_slice(id.as_bytes()), String::new()),
        Some(NodeSelector::Path(path)) => (Bytes::new(), path.to_string()),
    }
}
