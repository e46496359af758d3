//! Answers, as a client reads them. What cannot be read is a fault of the peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use vdom_core::dom::calls::{
    AckLevel, BranchPage, BranchSummary, ChangeEvent, Event, Freshness, HistoryPage, RepoPage,
    RepoSummary, Snapshot, Source, TreeEntry, WriteOutcome, Written,
};
use vdom_core::{
    BranchName, Change, ChangeKind, ChangeSetPosition, Content, Error, Hash, Node, NodeId,
    NodeKind, NodePath, Operation, OperationId, Result, VectorClock,
};
use vdom_proto::v1 as wire;

use super::{checks, conflicts};

/// What became of a write.
pub fn write_outcome(answer: wire::WriteDiffResponse) -> Result<WriteOutcome> {
    readable("WriteDiffResponse", || {
        let operation_id = checks::operation_id(&answer.operation_id)?;
        if !answer.success {
            let conflict = answer
                .conflict
                .ok_or_else(|| Error::invalid("success is false, but conflict is missing"))?;
            return conflicts::conflict_of(conflict, operation_id)
                .map(|conflict| WriteOutcome::Conflicted(Box::new(conflict)));
        }
        Ok(WriteOutcome::Written(Written {
            node_id: NodeId::from_slice(&answer.node_id)?,
            version: answer.new_version,
            clock: checks::clock(answer.vector_clock)?,
            epoch: answer.epoch,
            revision: answer.revision,
            ack: match checks::known_enum("ack", answer.ack)? {
                wire::AckLevel::Local => AckLevel::Local,
                wire::AckLevel::Unspecified | wire::AckLevel::Committed => AckLevel::Committed,
            },
            merged: answer.merged,
            timestamp_ms: checks::milliseconds(answer.timestamp),
            operation_id,
        }))
    })
}

/// A node as it was read. Which actors used its clock last is not on the wire.
pub fn snapshot(answer: wire::ReadSnapshotResponse) -> Result<Snapshot> {
    readable("ReadSnapshotResponse", || {
        Ok(Snapshot {
            node: Node {
                id: NodeId::from_slice(&answer.node_id)?,
                path: NodePath::parse(&answer.path)?,
                kind: kind(answer.kind)?,
                live: true,
                version: answer.version,
                clock: clock(answer.vector_clock)?,
                last_used: BTreeMap::new(),
                content: Content::Inline(answer.content),
                attributes: answer.attributes,
                author: answer.author,
                timestamp_ms: checks::milliseconds(answer.timestamp),
                metadata: answer.metadata,
                epoch: answer.epoch,
                changed_revision: answer.changed_revision,
            },
            epoch: answer.epoch,
            revision: answer.revision,
            freshness: freshness(answer.freshness)?,
        })
    })
}

/// A node of a tree. Its metadata and actors are not on the wire.
pub fn tree_entry(answer: wire::TreeEntry) -> Result<TreeEntry> {
    readable("TreeEntry", || {
        Ok(TreeEntry {
            node: Node {
                id: NodeId::from_slice(&answer.node_id)?,
                path: NodePath::parse(&answer.path)?,
                kind: kind(answer.kind)?,
                live: true,
                version: answer.version,
                clock: clock(answer.vector_clock)?,
                last_used: BTreeMap::new(),
                content: Content::Inline(bytes::Bytes::new()),
                attributes: answer.attributes,
                author: answer.author,
                timestamp_ms: checks::milliseconds(answer.timestamp),
                metadata: BTreeMap::new(),
                epoch: answer.epoch,
                changed_revision: answer.changed_revision,
            },
            size_bytes: answer.size_bytes,
            content: (!answer.content_omitted).then_some(answer.content),
            epoch: answer.epoch,
            revision: answer.revision,
        })
    })
}

/// An event. What only the log knows of a change (the hashes that its own hash
/// covers, the subject, the request of its operation) is left at zero.
pub fn event(answer: wire::ChangeEvent) -> Result<Event> {
    readable("ChangeEvent", || {
        let kind = match checks::known_enum("type", answer.r#type)? {
            wire::change_event::Type::Progress => {
                return Ok(Event::Progress {
                    epoch: answer.epoch,
                    revision: answer.revision,
                    freshness: freshness(answer.freshness)?,
                });
            }
            wire::change_event::Type::Create => ChangeKind::Create,
            wire::change_event::Type::Update => ChangeKind::Update,
            wire::change_event::Type::Delete => ChangeKind::Delete,
            wire::change_event::Type::Rename => ChangeKind::Rename,
            wire::change_event::Type::Unspecified => {
                return Err(Error::invalid("type is unspecified"));
            }
        };
        change_event(answer, kind).map(|change| Event::Change(Box::new(change)))
    })
}

pub fn history_page(answer: wire::GetHistoryResponse) -> Result<HistoryPage> {
    let changes = answer
        .changes
        .into_iter()
        .map(|change| match event(change)? {
            Event::Change(change) => Ok(*change),
            Event::Progress { .. } => Err(unreadable("GetHistoryResponse", "a progress event")),
        })
        .collect::<Result<_>>()?;
    Ok(HistoryPage {
        changes,
        next_before_revision: checks::number(answer.next_before_revision),
        epoch: answer.epoch,
        revision: answer.revision,
    })
}

pub fn repo_page(answer: wire::ListReposResponse) -> RepoPage {
    RepoPage {
        repos: answer.repos.into_iter().map(repo_summary).collect(),
        next_page_token: answer.next_page_token,
    }
}

pub fn repo_summary(answer: wire::Repo) -> RepoSummary {
    RepoSummary { name: answer.name, branches: answer.branches }
}

pub fn branch_page(answer: wire::ListBranchesResponse) -> Result<BranchPage> {
    let branches = answer.branches.into_iter().map(branch_summary).collect::<Result<_>>()?;
    Ok(BranchPage { branches, next_page_token: answer.next_page_token })
}

pub fn branch_summary(answer: wire::Branch) -> Result<BranchSummary> {
    readable("Branch", || {
        Ok(BranchSummary {
            name: answer.name,
            epoch: answer.epoch,
            revision: answer.revision,
            head_hash: hash(&answer.head_hash)?,
            origin: match answer.from_branch.as_str() {
                "" => None,
                name => Some((BranchName::parse(name)?, answer.from_revision)),
            },
        })
    })
}

fn change_event(answer: wire::ChangeEvent, kind: ChangeKind) -> Result<ChangeEvent> {
    let change_set = answer
        .change_set
        .map(|position| {
            Ok(ChangeSetPosition {
                id: OperationId::from_slice(&position.id)?,
                index: position.index,
                size: position.size,
            })
        })
        .transpose()?;
    let old_path = match answer.old_path.as_str() {
        "" => None,
        path => Some(NodePath::parse(path)?),
    };
    let change = Change {
        epoch: answer.epoch,
        revision: answer.revision,
        previous: Hash::default(),
        diff_hash: Hash::default(),
        diff_length: 0,
        node_id: NodeId::from_slice(&answer.node_id)?,
        node_kind: self::kind(answer.kind)?,
        kind,
        path: NodePath::parse(&answer.path)?,
        old_path,
        version: answer.version,
        clock: clock(answer.vector_clock)?,
        actor: answer.actor,
        author: answer.author,
        subject: String::new(),
        message: answer.message,
        metadata: answer.metadata,
        timestamp_ms: checks::milliseconds(answer.timestamp),
        authored_at_ms: answer.authored_at.map(|timestamp| checks::milliseconds(Some(timestamp))),
        operation: checks::operation_id(&answer.operation_id)?
            .map(|id| Operation { id, request: Hash::default() }),
        change_set,
        data_subject: None,
        encryption: None,
        merged: false,
        set_header: None,
    };
    Ok(ChangeEvent {
        change: Arc::new(change),
        set: None,
        hash: hash(&answer.hash)?,
        diff: (!answer.diff_omitted).then_some(answer.diff_bson),
    })
}

fn clock(clock: Option<wire::VectorClock>) -> Result<VectorClock> {
    checks::clock(clock)
}

pub(super) fn kind(number: i32) -> Result<NodeKind> {
    checks::kind(number)?.ok_or_else(|| Error::invalid("kind is unspecified"))
}

fn freshness(freshness: Option<wire::Freshness>) -> Result<Freshness> {
    let freshness = freshness.unwrap_or_default();
    Ok(Freshness {
        age_ms: freshness.age_ms,
        stale: freshness.stale,
        source: match checks::known_enum("source", freshness.source)? {
            wire::freshness::Source::Cache => Source::Cache,
            wire::freshness::Source::Unspecified | wire::freshness::Source::Store => Source::Store,
        },
    })
}

fn hash(bytes: &[u8]) -> Result<Hash> {
    if bytes.is_empty() { Ok(Hash::default()) } else { Hash::from_slice(bytes) }
}

pub(super) fn readable<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    read().map_err(|error| unreadable(what, &error.message))
}

fn unreadable(what: &str, why: &str) -> Error {
    Error::internal(format_args!("the peer's {what} cannot be read: {why}"))
}
