//! Requests, as a server reads them. `caller_realm` stands in where a request
//! names no realm.

use vdom_core::calls::{
    AckLevel, DiffSource, GetHistory, NodeSelector, OnConflict, ReadAt, ReadSnapshot, ReadTree,
    ResumePoint, Subscribe, WriteDiff,
};
use vdom_core::limits::{
    HISTORY_PAGE_DEFAULT_CHANGES, HISTORY_PAGE_MAX_CHANGES, SUBSCRIPTION_MAX_PATHS,
};
use vdom_core::names::parse_prefix;
use vdom_core::{Error, Hash, NodePath, RealmName, RepoName, Result};
use vdom_proto::v1 as wire;

use super::checks;

/// One diff to write, whose bytes must be there.
pub fn write_diff(
    request: wire::WriteDiffRequest,
    caller_realm: Option<&RealmName>,
) -> Result<WriteDiff> {
    if request.diff_bson.is_empty() {
        return Err(Error::invalid(
            "diff_bson is empty: send a BSON document whose `t` names the kind of diff",
        ));
    }
    write_content(request, caller_realm)
}

/// As [`write_diff`], for a diff whose content follows in pieces.
pub(in crate::grpc) fn write_content(
    request: wire::WriteDiffRequest,
    caller_realm: Option<&RealmName>,
) -> Result<WriteDiff> {
    Ok(WriteDiff {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        node_id: checks::node_id(&request.node_id)?,
        path: path(&request.path)?,
        kind: checks::kind(request.kind)?,
        diff: DiffSource::Bson(request.diff_bson),
        clock: checks::clock(request.vector_clock)?,
        on_conflict: on_conflict(request.on_conflict)?,
        min_ack: ack_level(request.min_ack)?,
        keep_conflict: request.keep_conflict,
        actor: checks::actor("actor", request.actor)?,
        author: checks::actor("author", request.author)?,
        message: checks::message(request.message)?,
        metadata: checks::metadata(request.metadata)?,
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

/// A subtree to read.
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

/// What to watch.
pub fn subscribe(
    request: wire::SubscribeRequest,
    caller_realm: Option<&RealmName>,
) -> Result<Subscribe> {
    if request.paths.len() > SUBSCRIPTION_MAX_PATHS {
        return Err(Error::invalid(format!(
            "paths has {} entries, at most {SUBSCRIPTION_MAX_PATHS} are allowed: watch a common \
             parent",
            request.paths.len()
        )));
    }
    if request.from_epoch == 0 && request.from_revision != 0 {
        return Err(Error::invalid(
            "from_revision without from_epoch: a revision belongs to an epoch, name both",
        ));
    }
    let hash =
        checks::bytes(request.from_hash).map(|bytes| Hash::from_slice(&bytes)).transpose()?;
    Ok(Subscribe {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        paths: request.paths.iter().map(|path| parse_prefix(path)).collect::<Result<_>>()?,
        from: checks::number(request.from_epoch).map(|epoch| ResumePoint {
            epoch,
            revision: request.from_revision,
            hash,
        }),
        include_diffs: request.include_diffs,
    })
}

/// Which changes to list.
pub fn get_history(
    request: &wire::GetHistoryRequest,
    caller_realm: Option<&RealmName>,
) -> Result<GetHistory> {
    Ok(GetHistory {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        node: node_selector(&request.node_id, &request.path)?,
        before_revision: checks::number(request.before_revision),
        limit: history_limit(request.limit)?,
        include_diffs: request.include_diffs,
    })
}

/// Whose repos to list.
pub fn list_repos(
    request: &wire::ListReposRequest,
    caller_realm: Option<&RealmName>,
) -> Result<RealmName> {
    checks::realm(&request.realm, caller_realm)
}

/// Which repo's branches to list.
pub fn list_branches(
    request: &wire::ListBranchesRequest,
    caller_realm: Option<&RealmName>,
) -> Result<(RealmName, RepoName)> {
    Ok((checks::realm(&request.realm, caller_realm)?, RepoName::parse(&request.repo)?))
}

/// The size of a page of history; 0 is the default.
pub(crate) fn history_limit(limit: u32) -> Result<u32> {
    match limit {
        0 => Ok(HISTORY_PAGE_DEFAULT_CHANGES),
        1..=HISTORY_PAGE_MAX_CHANGES => Ok(limit),
        _ => Err(Error::invalid(format!(
            "limit is {limit}, at most {HISTORY_PAGE_MAX_CHANGES} are allowed: read on with \
             next_before_revision"
        ))),
    }
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

fn on_conflict(number: i32) -> Result<OnConflict> {
    Ok(match checks::known_enum("on_conflict", number)? {
        wire::OnConflict::Unspecified | wire::OnConflict::Reject => OnConflict::Reject,
        wire::OnConflict::Merge => OnConflict::Merge,
        wire::OnConflict::Overwrite => OnConflict::Overwrite,
    })
}

fn ack_level(number: i32) -> Result<AckLevel> {
    Ok(match checks::known_enum("min_ack", number)? {
        wire::AckLevel::Unspecified | wire::AckLevel::Committed => AckLevel::Committed,
        wire::AckLevel::Local => AckLevel::Local,
    })
}
