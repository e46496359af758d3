//! Requests, as a server reads them. `caller_realm` stands in where a request
//! names no realm.

use vdom_core::dom::calls::{
    CreateBranch, DeleteBranch, DiffSource, GetHistory, ListBranches, ListRepos, NodeSelector,
    ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, ResumePoint, Subscribe, WriteDiff,
    checked_actor, checked_history_limit, checked_message, checked_metadata, checked_prefixes,
};
use vdom_core::limits::READ_SNAPSHOTS_MAX_NODES;
use vdom_core::names::parse_prefix;
use vdom_core::{
    BranchAddress, BranchName, Error, Hash, NodeId, NodePath, RealmName, RepoName, Result,
};
use vdom_proto::v1 as wire;

use super::checks;

/// `{t: "put"}`, whose content follows.
const PUT_WITHOUT_CONTENT: &[u8] = b"\x10\0\0\0\x02t\0\x04\0\0\0put\0\0";

/// One diff to write, whose bytes must be there.
pub fn write_diff(
    request: wire::WriteDiffRequest,
    caller_realm: Option<&RealmName>,
) -> Result<WriteDiff> {
    let address = checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?;
    let is_empty = request.diff_bson.is_empty();
    match diff_at(address, request)? {
        WriteDiff { diff: DiffSource::Follows, .. } => Err(Error::invalid(if is_empty {
            "diff_bson is empty: send a BSON document whose `t` names the kind of diff"
        } else {
            "diff_bson: the field `v` is missing: a content that follows needs WriteDiffsStream"
        })),
        request => Ok(request),
    }
}

/// A diff in this place, whatever its own address says. Where it is a `put`
/// without its content, that follows.
pub(super) fn diff_at(
    address: BranchAddress,
    request: wire::WriteDiffRequest,
) -> Result<WriteDiff> {
    let follows = request.diff_bson.is_empty() || request.diff_bson == PUT_WITHOUT_CONTENT;
    Ok(WriteDiff {
        address,
        node_id: checks::node_id(&request.node_id)?,
        path: path(&request.path)?,
        kind: checks::kind(request.kind)?,
        diff: if follows { DiffSource::Follows } else { DiffSource::Bson(request.diff_bson) },
        clock: checks::clock(request.vector_clock)?,
        on_conflict: checks::on_conflict(request.on_conflict)?,
        min_ack: checks::ack_level(request.min_ack)?,
        keep_conflict: request.keep_conflict,
        actor: checked_actor("actor", request.actor)?,
        author: checked_actor("author", request.author)?,
        message: checked_message(request.message)?,
        metadata: checked_metadata(request.metadata)?,
        operation_id: checks::operation_id(&request.operation_id)?,
    })
}

/// A node to read, named by exactly one of `node_id` and `path`.
pub fn read_snapshot(
    request: &wire::ReadSnapshotRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ReadSnapshot> {
    let node = node_selector(&request.node_id, &request.path)?
        .ok_or_else(|| Error::invalid("name the node by node_id or by path: both are empty"))?;
    Ok(ReadSnapshot {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        node,
        at: ReadAt {
            revision: checks::number(request.revision),
            epoch: checks::number(request.epoch),
            min_revision: checks::number(request.min_revision),
            min_epoch: checks::number(request.min_epoch),
            max_age_ms: request.max_age_ms,
            after_operation: checks::operation_id(&request.after_operation)?,
        },
    })
}

/// Many nodes to read: those named by path first.
pub fn read_snapshots(
    request: &wire::ReadSnapshotsRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ReadSnapshots> {
    let count = request.paths.len() + request.node_ids.len();
    if count == 0 {
        return Err(Error::invalid("name the nodes by paths or by node_ids: both are empty"));
    }
    if count > READ_SNAPSHOTS_MAX_NODES {
        return Err(Error::too_large(format!(
            "{count} nodes are named, at most {READ_SNAPSHOTS_MAX_NODES} are allowed: ask several \
             times, with the revision of the first answer"
        )));
    }
    let by_path = request.paths.iter().map(|path| NodePath::parse(path).map(NodeSelector::Path));
    let by_id = request.node_ids.iter().map(|id| NodeId::from_slice(id).map(NodeSelector::Id));
    Ok(ReadSnapshots {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        nodes: by_path.chain(by_id).collect::<Result<_>>()?,
        at: ReadAt {
            revision: checks::number(request.revision),
            epoch: checks::number(request.epoch),
            min_revision: checks::number(request.min_revision),
            min_epoch: checks::number(request.min_epoch),
            max_age_ms: request.max_age_ms,
            after_operation: None,
        },
    })
}

pub fn read_tree(
    request: &wire::ReadTreeRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ReadTree> {
    Ok(ReadTree {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        prefix: parse_prefix(&request.prefix)?,
        at: ReadAt {
            revision: checks::number(request.revision),
            epoch: checks::number(request.epoch),
            min_revision: checks::number(request.min_revision),
            min_epoch: checks::number(request.min_epoch),
            max_age_ms: request.max_age_ms,
            after_operation: None,
        },
        include_content: request.include_content,
    })
}

pub fn subscribe(
    request: wire::SubscribeRequest,
    caller_realm: Option<&RealmName>,
) -> Result<Subscribe> {
    if request.from_epoch == 0 && request.from_revision != 0 {
        return Err(Error::invalid(
            "from_revision without from_epoch: a revision belongs to an epoch, name both",
        ));
    }
    if request.from_earliest && request.from_epoch != 0 {
        return Err(Error::invalid(
            "from_earliest and from_epoch name two places to start from: leave one out",
        ));
    }
    let hash =
        checks::bytes(request.from_hash).map(|bytes| Hash::from_slice(&bytes)).transpose()?;
    Ok(Subscribe {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        paths: checked_prefixes(&request.paths)?,
        from: match request.from_epoch {
            0 => request.from_earliest.then_some(ResumePoint::EARLIEST),
            epoch => Some(ResumePoint { epoch, revision: request.from_revision, hash }),
        },
        include_diffs: request.include_diffs,
    })
}

pub fn get_history(
    request: &wire::GetHistoryRequest,
    caller_realm: Option<&RealmName>,
) -> Result<GetHistory> {
    Ok(GetHistory {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        node: node_selector(&request.node_id, &request.path)?,
        before_revision: checks::number(request.before_revision),
        limit: checked_history_limit(request.limit)?,
        include_diffs: request.include_diffs,
    })
}

pub fn list_repos(
    request: &wire::ListReposRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ListRepos> {
    let realm = checks::realm(&request.realm, caller_realm)?;
    ListRepos::new(realm, request.page_size, &request.page_token)
}

pub fn list_branches(
    request: &wire::ListBranchesRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ListBranches> {
    let branch = match request.branch.as_str() {
        "" => None,
        name => Some(BranchName::parse(name)?),
    };
    ListBranches::new(
        checks::realm(&request.realm, caller_realm)?,
        RepoName::parse(&request.repo)?,
        branch,
        request.page_size,
        &request.page_token,
    )
}

pub fn create_branch(
    request: &wire::CreateBranchRequest,
    caller_realm: Option<&RealmName>,
) -> Result<CreateBranch> {
    let from = match request.from_branch.as_str() {
        "" => None,
        name => Some(BranchName::parse(name)?),
    };
    CreateBranch::new(
        checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        from,
        checks::number(request.at_revision),
        checks::operation_id(&request.operation_id)?,
    )
}

pub fn delete_branch(
    request: &wire::DeleteBranchRequest,
    caller_realm: Option<&RealmName>,
) -> Result<DeleteBranch> {
    Ok(DeleteBranch {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        operation_id: checks::operation_id(&request.operation_id)?,
    })
}

fn path(path: &str) -> Result<Option<NodePath>> {
    if path.is_empty() { Ok(None) } else { NodePath::parse(path).map(Some) }
}

fn node_selector(node_id: &[u8], path: &str) -> Result<Option<NodeSelector>> {
    match (checks::node_id(node_id)?, self::path(path)?) {
        (Some(_), Some(_)) => {
            Err(Error::invalid("node_id and path both name a node: send one of them"))
        }
        (Some(id), None) => Ok(Some(NodeSelector::Id(id))),
        (None, Some(path)) => Ok(Some(NodeSelector::Path(path))),
        (None, None) => Ok(None),
    }
}
