//! A small in-memory document room for the tests of the adapters.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use vdom_core::calls::{
    AckLevel, BranchSummary, ChangeEvent, ChangeSetPart, Conflict, ConflictPage, ConflictReason,
    CreateBranch, DeleteBranch, DiffSource, Event, Freshness, GetHistory, HistoryPage,
    ListConflicts, NodeSelector, OnConflict, ReadSnapshot, ReadSnapshots, ReadTree, RepoSummary,
    ResolveConflict, ResolveOutcome, RevertChanges, SetOutcome, Snapshot, Source, Subscribe,
    TreeEntry, WriteDiff, WriteDiffs, WriteOutcome, Written,
};
use vdom_core::change::sha256;
use vdom_core::diff::{Diff, NewContent, apply};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    Change, ChangeKind, Content, Error, ErrorCode, Hash, Node, NodeId, NodeKind, NodePath,
    Operation, RealmName, RepoName, Result,
};

use crate::caller::{Caller, Scopes};
use crate::dom::{Dom, DomStream};

/// The epoch of its one branch.
pub(crate) const EPOCH: u64 = 7;

/// The path of a node that takes forever to read.
pub(crate) const ENDLESS_PATH: &str = "endless";

/// One branch, whatever it is called; contents above 1 MiB are read in pieces.
#[derive(Default)]
pub(crate) struct FakeDom {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodePath, Node>,
    changes: Vec<ChangeEvent>,
    written: Vec<WriteDiff>,
}

/// Whoever calls in tests.
pub(crate) fn caller() -> Caller {
    Caller {
        subject: Arc::from("ann"),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        request_id: Arc::from("request-1"),
        bearer: None,
    }
}

impl FakeDom {
    /// The writes that arrived, as they arrived.
    pub(crate) fn written(&self) -> Vec<WriteDiff> {
        self.state.lock().written.clone()
    }

    fn write(&self, caller: &Caller, request: &WriteDiff, diff: &Diff) -> Result<WriteOutcome> {
        let state = &mut *self.state.lock();
        state.written.push(request.clone());
        let by_id = |id| state.nodes.values().find(|node| node.id == id).map(|n| n.path.clone());
        let path = match (&request.path, request.node_id.and_then(by_id)) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => path,
            (None, None) => return Err(Error::not_found("there is no such node")),
        };
        let revision = state.changes.len() as u64 + 1;
        let present = state.nodes.get(&path).cloned();
        if let Some(node) = &present
            && request.on_conflict == OnConflict::Reject
            && request.clock != node.clock
        {
            let reason = if request.clock.is_empty() {
                ConflictReason::PathExists
            } else {
                ConflictReason::StaleClock
            };
            return Ok(WriteOutcome::Conflicted(Box::new(conflict(reason, node, revision - 1))));
        }
        if present.is_none() && !diff.creates() {
            return Err(Error::not_found(format!("there is no node {path}")));
        }
        let mut node = present.clone().unwrap_or_else(|| Node {
            id: NodeId([revision as u8; 16]),
            path: path.clone(),
            kind: request.kind.unwrap_or(NodeKind::File),
            live: true,
            version: 0,
            clock: vdom_core::VectorClock::default(),
            last_used: BTreeMap::new(),
            content: Content::Inline(Bytes::new()),
            attributes: BTreeMap::new(),
            author: String::new(),
            timestamp_ms: 0,
            metadata: BTreeMap::new(),
            epoch: EPOCH,
            changed_revision: 0,
        });
        let applied = apply(diff, node.kind, &inline(&node), &node.attributes)?;
        let old_path = applied.path.is_some().then(|| path.clone());
        if let NewContent::Bytes(bytes) = applied.content {
            node.content = Content::Inline(bytes);
        }
        let actor = request.actor.clone().unwrap_or_else(|| caller.subject.to_string());
        node.path = applied.path.unwrap_or(path.clone());
        node.live = !applied.deleted;
        node.version += 1;
        node.clock = node.clock.incremented(&actor, |_| 0);
        node.author = request.author.clone().unwrap_or_else(|| caller.subject.to_string());
        node.timestamp_ms = 1_700_000_000_000 + revision.cast_signed();
        node.metadata = request.metadata.clone();
        node.changed_revision = revision;
        state.nodes.remove(&path);
        if node.live {
            state.nodes.insert(node.path.clone(), node.clone());
        }
        let kind = match (&present, applied.deleted, &old_path) {
            (None, ..) => ChangeKind::Create,
            (_, true, _) => ChangeKind::Delete,
            (_, _, Some(_)) => ChangeKind::Rename,
            _ => ChangeKind::Update,
        };
        state.changes.push(change(&node, kind, old_path, actor, request, revision));
        Ok(WriteOutcome::Written(Written {
            node_id: node.id,
            version: node.version,
            clock: node.clock,
            epoch: EPOCH,
            revision,
            ack: AckLevel::Committed,
            merged: false,
            timestamp_ms: node.timestamp_ms,
            operation_id: request.operation_id,
        }))
    }

    fn find(&self, request: &ReadSnapshot) -> Result<Snapshot> {
        let state = self.state.lock();
        let revision = state.changes.len() as u64;
        if request.at.min_revision.is_some_and(|wanted| wanted > revision) {
            return Err(Error::unavailable("not there yet").at(EPOCH, revision));
        }
        let node = match &request.node {
            NodeSelector::Path(path) => state.nodes.get(path),
            NodeSelector::Id(id) => state.nodes.values().find(|node| node.id == *id),
        };
        let node = node
            .cloned()
            .ok_or_else(|| Error::not_found("there is no such node").resource(&request.address))?;
        Ok(Snapshot { node, epoch: EPOCH, revision, freshness: freshness() })
    }
}

#[async_trait]
impl Dom for FakeDom {
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome> {
        let DiffSource::Bson(bytes) = &request.diff else {
            return Err(Error::internal("staged content in a test"));
        };
        let diff = Diff::parse(bytes)?;
        self.write(caller, &request, &diff)
    }

    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteDiff,
        mut content: DomStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let diff = Diff::Put(vdom_core::diff::PutContent::Bytes(bytes.freeze()));
        self.write(caller, &request, &diff)
    }

    async fn read_snapshot(&self, _: &Caller, request: ReadSnapshot) -> Result<Snapshot> {
        if matches!(&request.node, NodeSelector::Path(path) if path.as_str() == ENDLESS_PATH) {
            std::future::pending::<()>().await;
        }
        let snapshot = self.find(&request)?;
        if snapshot.node.content.len() > CHUNK_BYTES as u64 {
            return Err(Error::too_large("read it as a stream"));
        }
        Ok(snapshot)
    }

    async fn read_content(
        &self,
        _: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, DomStream<Bytes>)> {
        let mut snapshot = self.find(&request)?;
        let mut bytes = inline(&snapshot.node);
        snapshot.node.content = Content::Inline(Bytes::new());
        let size = bytes.len() as u64;
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            pieces.push(Ok(bytes.split_to(bytes.len().min(CHUNK_BYTES))));
        }
        Ok((snapshot, size, stream::iter(pieces).boxed()))
    }

    async fn read_tree(&self, _: &Caller, request: ReadTree) -> Result<DomStream<TreeEntry>> {
        let state = self.state.lock();
        let revision = state.changes.len() as u64;
        let entries: Vec<_> = state
            .nodes
            .values()
            .filter(|node| node.path.is_covered_by(&request.prefix))
            .map(|node| {
                let content = inline(node);
                let mut node = node.clone();
                node.content = Content::Inline(Bytes::new());
                Ok(TreeEntry {
                    node,
                    size_bytes: content.len() as u64,
                    content: request.include_content.then_some(content),
                    epoch: EPOCH,
                    revision,
                })
            })
            .collect();
        Ok(stream::iter(entries).boxed())
    }

    async fn subscribe(&self, _: &Caller, request: Subscribe) -> Result<DomStream<Event>> {
        let state = self.state.lock();
        let revision = state.changes.len() as u64;
        if request.from.is_some_and(|from| from.epoch != EPOCH) {
            return Err(Error::new(ErrorCode::EpochChanged, "another epoch").at(EPOCH, revision));
        }
        let from = request.from.map_or(revision, |from| from.revision);
        let past: Vec<_> = state.changes[(from as usize).min(state.changes.len())..]
            .iter()
            .map(|change| Ok(Event::Change(Box::new(change.clone()))))
            .collect();
        let progress = Event::Progress { epoch: EPOCH, revision, freshness: freshness() };
        let lagged = Error::new(ErrorCode::Lagged, "too slow").at(EPOCH, revision);
        Ok(stream::iter(past).chain(stream::iter([Ok(progress), Err(lagged)])).boxed())
    }

    async fn history(&self, _: &Caller, request: GetHistory) -> Result<HistoryPage> {
        let state = self.state.lock();
        let changes = state.changes.iter().rev();
        Ok(HistoryPage {
            changes: changes.take(request.limit as usize).cloned().collect(),
            next_before_revision: None,
            epoch: EPOCH,
            revision: state.changes.len() as u64,
        })
    }

    async fn list_repos(&self, _: &Caller, realm: RealmName) -> Result<Vec<RepoSummary>> {
        Ok(vec![RepoSummary { name: format!("repo-of-{realm}"), branches: 1 }])
    }

    async fn list_branches(
        &self,
        _: &Caller,
        _: RealmName,
        _: RepoName,
    ) -> Result<Vec<BranchSummary>> {
        let revision = self.state.lock().changes.len() as u64;
        let name = "main".to_owned();
        Ok(vec![BranchSummary {
            name,
            epoch: EPOCH,
            revision,
            head_hash: Hash([1; 32]),
            origin: None,
        }])
    }

    async fn write_diffs(
        &self,
        _caller: &Caller,
        _request: WriteDiffs,
        _parts: DomStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        Err(Error::unimplemented("WriteDiffs"))
    }

    async fn replay_diffs(
        &self,
        _caller: &Caller,
        _requests: DomStream<WriteDiff>,
    ) -> Result<DomStream<WriteOutcome>> {
        Err(Error::unimplemented("ReplayDiffs"))
    }

    async fn revert_changes(
        &self,
        _caller: &Caller,
        _request: RevertChanges,
    ) -> Result<SetOutcome> {
        Err(Error::unimplemented("RevertChanges"))
    }

    async fn read_snapshots(
        &self,
        _caller: &Caller,
        _request: ReadSnapshots,
    ) -> Result<DomStream<Snapshot>> {
        Err(Error::unimplemented("ReadSnapshots"))
    }

    async fn create_branch(
        &self,
        _caller: &Caller,
        _request: CreateBranch,
    ) -> Result<BranchSummary> {
        Err(Error::unimplemented("CreateBranch"))
    }

    async fn delete_branch(&self, _caller: &Caller, _request: DeleteBranch) -> Result<()> {
        Err(Error::unimplemented("DeleteBranch"))
    }

    async fn list_conflicts(
        &self,
        _caller: &Caller,
        _request: ListConflicts,
    ) -> Result<ConflictPage> {
        Err(Error::unimplemented("ListConflicts"))
    }

    async fn resolve_conflict(
        &self,
        _caller: &Caller,
        _request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        Err(Error::unimplemented("ResolveConflict"))
    }
}

fn inline(node: &Node) -> Bytes {
    match &node.content {
        Content::Inline(bytes) => bytes.clone(),
        Content::Chunked(_) => Bytes::new(),
    }
}

fn freshness() -> Freshness {
    Freshness { age_ms: 5, stale: false, source: Source::Store }
}

fn conflict(reason: ConflictReason, node: &Node, revision: u64) -> Conflict {
    Conflict {
        conflict_id: None,
        reason,
        node_id: node.id,
        path: node.path.clone(),
        kind: node.kind,
        current_clock: node.clock.clone(),
        current_version: node.version,
        current_content: Some(inline(node)),
        current_author: node.author.clone(),
        current_timestamp_ms: node.timestamp_ms,
        base_content: None,
        hunks: Vec::new(),
        epoch: EPOCH,
        revision,
        operation_id: None,
    }
}

fn change(
    node: &Node,
    kind: ChangeKind,
    old_path: Option<NodePath>,
    actor: String,
    request: &WriteDiff,
    revision: u64,
) -> ChangeEvent {
    let diff = match &request.diff {
        DiffSource::Bson(bytes) => bytes.clone(),
        DiffSource::Staged(_) | DiffSource::Follows => Bytes::new(),
    };
    let change = Change {
        epoch: EPOCH,
        revision,
        previous: Hash::default(),
        diff_hash: sha256(&diff),
        diff_length: diff.len() as u32,
        node_id: node.id,
        node_kind: node.kind,
        kind,
        path: node.path.clone(),
        old_path,
        version: node.version,
        clock: node.clock.clone(),
        actor,
        author: node.author.clone(),
        subject: "ann".to_owned(),
        message: request.message.clone(),
        metadata: request.metadata.clone(),
        timestamp_ms: node.timestamp_ms,
        authored_at_ms: None,
        operation: request.operation_id.map(|id| Operation { id, request: Hash::default() }),
        change_set: None,
        data_subject: None,
        encryption: None,
        set_header: None,
        merged: false,
    };
    ChangeEvent {
        set: None,
        hash: sha256(&change.encode()),
        change: Arc::new(change),
        diff: Some(diff),
    }
}
