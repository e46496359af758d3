//! A small in-memory document room for the tests of the adapters.

mod sets;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use vdom_core::dom::calls::{
    AckLevel, BranchPage, BranchSummary, ChangeSetPart, Conflict, ConflictExplanation,
    ConflictPage, ConflictReason, CreateBranch, DeleteBranch, DiffSource, Event, ExplainConflict,
    Freshness, GetHistory, HistoryPage, ListBranches, ListConflicts, ListRepos, NodeSelector,
    OnConflict, ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, RepoPage, RepoSummary,
    ResolveConflict, ResolveOutcome, RevertChanges, SetOutcome, Snapshot, Source, Subscribe,
    TreeEntry, WriteContent, WriteDiff, WriteDiffs, WriteOutcome,
};
use vdom_core::dom::diff::Diff;
use vdom_core::dom::events::EventSlice;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    BranchAddress, Content, Error, ErrorCode, Node, NodeId, NodeKind, NodePath, Result,
};

use crate::dom::{DocumentService, in_batches};
use state::State;
use vdom_core::access::Scopes;
use vdom_edge::Caller;
use vdom_edge::ServiceStream;

/// The epoch of its one branch.
pub(crate) const EPOCH: u64 = 7;

/// The path of a node that takes forever to read.
pub(crate) const ENDLESS_PATH: &str = "endless";

/// One branch, whatever it is called; contents above 1 MiB are read in pieces.
#[derive(Clone, Default)]
pub(crate) struct FakeDocumentService {
    state: Arc<Mutex<State>>,
}

/// Whoever calls in tests.
pub(crate) fn caller() -> Caller {
    Caller {
        subject: Arc::from("ann"),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: SystemTime::now(),
        request_id: Arc::from("request-1"),
        bearer: None,
    }
}

impl FakeDocumentService {
    /// The writes that arrived, as they arrived.
    pub(crate) fn written(&self) -> Vec<WriteDiff> {
        self.state.lock().written.clone()
    }

    /// The change sets that arrived.
    pub(crate) fn sets(&self) -> Vec<WriteDiffs> {
        self.state.lock().sets.clone()
    }

    fn write(&self, caller: &Caller, request: &WriteDiff, diff: &Diff) -> Result<WriteOutcome> {
        let state = &mut *self.state.lock();
        state.written.push(request.clone());
        if let Some(conflict) = state.judge(caller, request)? {
            return Ok(WriteOutcome::Conflicted(Box::new(conflict)));
        }
        state.apply(caller, request, diff, None).map(WriteOutcome::Written)
    }

    fn find(&self, node: &NodeSelector, at: &ReadAt) -> Result<Snapshot> {
        let state = self.state.lock();
        let revision = state.head();
        if at.min_revision.is_some_and(|wanted| wanted > revision) {
            return Err(Error::unavailable("not there yet").at(EPOCH, revision));
        }
        let found = match node {
            NodeSelector::Path(path) => state.nodes.get(path),
            NodeSelector::Id(id) => state.nodes.values().find(|node| node.id == *id),
        };
        let node = found.cloned().ok_or_else(|| Error::not_found("there is no such node"))?;
        Ok(Snapshot { node, epoch: EPOCH, revision, freshness: freshness() })
    }
}

#[async_trait]
impl DocumentService for FakeDocumentService {
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
        request: WriteContent,
        mut content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let diff = Diff::Put(vdom_core::dom::diff::PutContent::Bytes(bytes.freeze()));
        self.write(caller, &request.with_diff(DiffSource::Follows), &diff)
    }

    async fn read_snapshot(&self, _: &Caller, request: ReadSnapshot) -> Result<Snapshot> {
        if matches!(&request.node, NodeSelector::Path(path) if path.as_str() == ENDLESS_PATH) {
            std::future::pending::<()>().await;
        }
        let snapshot = self.find(&request.node, &request.at)?;
        if snapshot.node.content.len() > CHUNK_BYTES as u64 {
            return Err(Error::too_large("read it as a stream"));
        }
        Ok(snapshot)
    }

    async fn read_content(
        &self,
        _: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
        let mut snapshot = self.find(&request.node, &request.at)?;
        let mut bytes = inline(&snapshot.node);
        snapshot.node.content = Content::Inline(Bytes::new());
        let size = bytes.len() as u64;
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            pieces.push(Ok(bytes.split_to(bytes.len().min(CHUNK_BYTES))));
        }
        Ok((snapshot, size, stream::iter(pieces).boxed()))
    }

    async fn read_tree(&self, _: &Caller, request: ReadTree) -> Result<ServiceStream<TreeEntry>> {
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

    async fn subscribe(&self, _: &Caller, request: Subscribe) -> Result<ServiceStream<EventSlice>> {
        let state = self.state.lock();
        let revision = state.changes.len() as u64;
        if request.from.is_some_and(|from| ![0, EPOCH].contains(&from.epoch)) {
            return Err(Error::new(ErrorCode::EpochChanged, "another epoch").at(EPOCH, revision));
        }
        let from = request.from.map_or(revision, |from| from.revision);
        let past: Vec<_> = state.changes[(from as usize).min(state.changes.len())..]
            .iter()
            .map(|change| Ok(Event::Change(Box::new(change.clone()))))
            .collect();
        let progress = Event::Progress { epoch: EPOCH, revision, freshness: freshness() };
        let lagged = Error::new(ErrorCode::Lagged, "too slow").at(EPOCH, revision);
        let events = stream::iter(past).chain(stream::iter([Ok(progress), Err(lagged)]));
        Ok(in_batches(events.boxed(), request.address))
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

    async fn list_repos(&self, _: &Caller, request: ListRepos) -> Result<RepoPage> {
        let name = format!("repo-of-{}", request.realm);
        let repos = vec![RepoSummary { name, branches: 1 }];
        Ok(RepoPage { repos, next_page_token: String::new() })
    }

    async fn list_branches(&self, _: &Caller, request: ListBranches) -> Result<BranchPage> {
        let mut branches = self.state.lock().all_branches();
        let is_asked_for = |name: &str| {
            request.after.as_ref().is_none_or(|after| name > after.as_str())
                && request.branch.as_ref().is_none_or(|branch| name == branch.as_str())
        };
        branches.retain(|branch| is_asked_for(&branch.name));
        let has_more = branches.len() > request.page_size as usize;
        branches.truncate(request.page_size as usize);
        let last = branches.last().filter(|_| has_more);
        let next_page_token =
            last.map(|last| request.page_token_after(&last.name)).unwrap_or_default();
        Ok(BranchPage { branches, next_page_token })
    }

    async fn write_diffs(
        &self,
        caller: &Caller,
        request: WriteDiffs,
        parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        self.write_set(caller, &request, parts).await
    }

    async fn replay_diffs(
        &self,
        caller: &Caller,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>> {
        let (dom, caller) = (self.clone(), caller.clone());
        let outcomes = requests.map(move |request| {
            let request = WriteDiff { keep_conflict: true, ..request? };
            let DiffSource::Bson(bytes) = &request.diff else {
                return Err(Error::internal("staged content in a test"));
            };
            dom.write(&caller, &request, &Diff::parse(bytes)?)
        });
        Ok(outcomes.boxed())
    }

    async fn revert_changes(&self, caller: &Caller, request: RevertChanges) -> Result<SetOutcome> {
        self.state.lock().revert(caller, &request)
    }

    async fn read_snapshots(
        &self,
        _: &Caller,
        request: ReadSnapshots,
    ) -> Result<ServiceStream<Snapshot>> {
        let found = request.nodes.iter().map(|node| self.find(node, &request.at));
        Ok(stream::iter(found.collect::<Vec<_>>()).boxed())
    }

    async fn create_branch(&self, _: &Caller, request: CreateBranch) -> Result<BranchSummary> {
        self.state.lock().create_branch(request)
    }

    async fn delete_branch(&self, _: &Caller, request: DeleteBranch) -> Result<()> {
        let removed = self.state.lock().branches.remove(request.address.branch.as_str());
        removed.map(drop).ok_or_else(|| Error::not_found("there is no such branch"))
    }

    async fn list_conflicts(&self, _: &Caller, request: ListConflicts) -> Result<ConflictPage> {
        Ok(self.state.lock().list_conflicts(&request))
    }

    async fn explain_conflict(
        &self,
        _: &Caller,
        request: ExplainConflict,
    ) -> Result<ConflictExplanation> {
        self.state.lock().explain(request.id)
    }

    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        self.state.lock().resolve(caller, &request)
    }
}

/// A conflict about nothing in particular.
pub(crate) fn some_conflict() -> Conflict {
    Conflict {
        conflict_id: None,
        reason: ConflictReason::StaleClock,
        node_id: NodeId([1; 16]),
        path: NodePath::parse("a").expect("a path"),
        kind: NodeKind::File,
        current_clock: vdom_core::VectorClock::default(),
        current_version: 1,
        current_content: None,
        current_author: "bea".to_owned(),
        current_timestamp_ms: 1,
        base_content: None,
        hunks: Vec::new(),
        epoch: EPOCH,
        revision: 1,
        operation_id: None,
    }
}

/// A diff that puts nothing in particular.
pub(crate) fn some_diff() -> WriteDiff {
    WriteDiff {
        address: BranchAddress::parse("", "vdom", "main").expect("an address"),
        node_id: None,
        path: Some(NodePath::parse("a").expect("a path")),
        kind: None,
        diff: DiffSource::Bson(Diff::put_file(b"x")),
        clock: vdom_core::VectorClock::default(),
        on_conflict: OnConflict::Reject,
        min_ack: AckLevel::Committed,
        keep_conflict: false,
        actor: None,
        author: None,
        message: String::new(),
        metadata: BTreeMap::new(),
        operation_id: None,
    }
}

fn inline(node: &Node) -> Bytes {
    match &node.content {
        Content::Inline(bytes) => bytes.clone(),
        Content::Part(_) | Content::Chunked(_) => Bytes::new(),
    }
}

fn freshness() -> Freshness {
    Freshness { age_ms: 5, stale: false, source: Source::Store }
}
