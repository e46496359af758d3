//! Decides queued writes one after the other, each against the state that the
//! ones before it leave.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::Written;
use vdom_core::dom::change::{chain_hash, sha256};
use vdom_core::dom::diff;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    Change, ChangeKind, ChangeSetHeader, ChangeSetPosition, ConflictId, Content, Error, Hash, Node,
    NodeId, NodeKind, NodePath, Operation, OperationId, Result,
};
use vdom_store::{ChunkId, OperationKey};

use crate::branch::usage::Usage;
use crate::branch::{AppliedChange, Branch, after_change, idempotency, next_clock};
use crate::content;
use crate::content::ChunkOwner;
use crate::content::packs::StoredDiff;
use crate::records::LoggedChange;
use crate::writer::kept_conflicts::no_open_conflict;
use crate::writer::verdict::{Verdict, concerns_the_store, written};
use crate::writer::{Proposal, open_conflict};

/// The state of a branch after the changes that are staged but not appended.
pub(crate) struct Staging<'a> {
    /// The stored records of the accepted changes, and what they make.
    pub changes: Vec<(Vec<u8>, AppliedChange)>,
    pub(super) branch: &'a Branch,
    pub(super) now_ms: i64,
    pub(super) epoch: u64,
    /// After all that is staged.
    pub(super) end: StagedEnd,
    /// What single writes, or the change set that is evaluated now, make of the branch.
    pub(super) current: StagedState,
    /// What the change sets before it do.
    accepted: StagedState,
    /// What single writes were answered under.
    operations: HashMap<OperationKey, (Operation, Written)>,
    /// The conflicts that single writes end.
    resolved: HashSet<ConflictId>,
    /// The change set that is evaluated now; all of it against the state before it.
    pub(super) set: Option<StagedSet>,
    /// Where the staged changes of that set begin, and where the branch was then.
    set_begins: (usize, StagedEnd),
}

/// Where staged changes leave a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct StagedEnd {
    pub revision: u64,
    pub hash: Hash,
    /// By how much the branch grew.
    pub grown: Usage,
}

/// What staged changes make of nodes, paths and actors.
#[derive(Default)]
pub(super) struct StagedState {
    pub nodes: HashMap<NodeId, Arc<Node>>,
    pub paths: HashMap<NodePath, Option<NodeId>>,
    pub actors: HashMap<String, Arc<str>>,
}

/// A change set while it is staged.
#[derive(Debug)]
pub(crate) struct StagedSet {
    /// The same for all its changes.
    pub id: OperationId,
    /// How many changes it has.
    pub size: u32,
    /// What it says of all of them.
    pub header: Arc<ChangeSetHeader>,
    /// Paths that nodes of the set leave.
    pub leaving: HashSet<NodePath>,
}

impl<'a> Staging<'a> {
    /// Nothing staged yet.
    pub(crate) fn new(branch: &'a Branch, now_ms: i64) -> Self {
        let head = branch.head();
        let end = StagedEnd { revision: head.revision, hash: head.hash, grown: Usage::default() };
        Self {
            changes: Vec::new(),
            branch,
            now_ms,
            epoch: head.epoch,
            end,
            current: StagedState::default(),
            accepted: StagedState::default(),
            operations: HashMap::new(),
            resolved: HashSet::new(),
            set: None,
            set_begins: (0, end),
        }
    }

    /// What is staged from here on is a change set. `None` for one of a single diff, which is
    /// written as a plain change.
    pub(super) fn begin_set(&mut self, set: Option<StagedSet>) {
        self.set = set;
        self.set_begins = (self.changes.len(), self.end);
    }

    /// Where the branch was before the change set of several diffs that is evaluated now.
    pub(super) fn before_set(&self) -> Option<StagedEnd> {
        self.set.as_ref().map(|_| self.set_begins.1)
    }

    /// How many changes of the set are staged.
    pub(super) fn changes_of_set(&self) -> usize {
        self.changes.len() - self.set_begins.0
    }

    /// Lets the set stand: what comes is evaluated against what it leaves.
    pub(super) fn accept_set(&mut self) {
        let StagedState { nodes, paths, actors } = std::mem::take(&mut self.current);
        self.accepted.nodes.extend(nodes);
        self.accepted.paths.extend(paths);
        self.accepted.actors.extend(actors);
        self.set = None;
    }

    /// Takes the set back.
    pub(super) fn drop_set(&mut self) {
        self.current = StagedState::default();
        self.set = None;
        let (first, before) = self.set_begins;
        self.changes.truncate(first);
        self.end = before;
    }

    /// How many bytes the changes of the set take in a batch.
    pub(super) fn bytes_of_set(&self) -> usize {
        let changes = self.changes[self.set_begins.0..].iter();
        let of_change = |(record, applied): &(Vec<u8>, AppliedChange)| {
            let named = match &applied.node.content {
                Content::Chunked(chunks) => chunks.len(),
                Content::Inline(_) | Content::Part(_) => 0,
            };
            record.len() + applied.entry.diff.len() + named * size_of::<ChunkId>()
        };
        changes.map(of_change).sum::<usize>() + size_of::<OperationKey>()
    }

    /// Whether a change of the set takes a node to `path`.
    pub(crate) fn is_taken_by_set(&self, path: &NodePath) -> bool {
        matches!(self.current.paths.get(path), Some(Some(_)))
    }

    /// A verdict for each proposal, in order. An error is about all of them: the
    /// store cannot be read.
    pub(crate) async fn evaluate(&mut self, proposals: &[&Proposal]) -> Result<Vec<Verdict>> {
        let known = self.find_operations(proposals).await?;
        let mut verdicts = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            let repeated = proposal.operation.and_then(|(operation, key)| {
                let first = known.get(&key).or_else(|| self.operations.get(&key))?;
                Some((operation, first.clone()))
            });
            let verdict = match repeated {
                Some((operation, (first, written))) if first.request == operation.request => {
                    Verdict::Repeated(written)
                }
                Some((operation, _)) => {
                    Verdict::Refused(idempotency::used_before(operation.id, &self.branch.address))
                }
                None => match self.evaluate_one(proposal).await {
                    Ok(verdict) => verdict,
                    Err(error) if concerns_the_store(&error) => return Err(error),
                    Err(error) => Verdict::Refused(error),
                },
            };
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    async fn evaluate_one(&mut self, proposal: &Proposal) -> Result<Verdict> {
        proposal.upload.check_age()?;
        let Some(id) = proposal.resolves else { return self.evaluate_open(proposal).await };
        if self.resolved.contains(&id) {
            return Err(no_open_conflict(self.branch, id));
        }
        open_conflict(self.branch, id).await?;
        let verdict = self.evaluate_open(proposal).await?;
        if matches!(verdict, Verdict::Accepted(_) | Verdict::Same(_)) {
            self.resolved.insert(id);
        }
        Ok(verdict)
    }

    /// A verdict on a proposal that was not made before and resolves nothing.
    pub(super) async fn evaluate_open(&mut self, proposal: &Proposal) -> Result<Verdict> {
        let current = match (proposal.node_id, &proposal.path) {
            (Some(id), _) => self.node(id).await?,
            (None, Some(path)) => self.node_at(path).await?,
            (None, None) => {
                return Err(Error::invalid("name the node by `path` or by `node_id`"));
            }
        };
        self.evaluate_against(proposal, current).await
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one change, used once each")]
    pub(super) fn stage(
        &mut self,
        proposal: &Proposal,
        before: Option<&Node>,
        node_id: NodeId,
        node_kind: NodeKind,
        kind: ChangeKind,
        path: NodePath,
        content: Content,
        attributes: BTreeMap<String, String>,
    ) -> Result<Verdict> {
        let revision = self.end.revision + 1;
        let old_path =
            (kind == ChangeKind::Rename).then(|| before.map(|node| node.path.clone())).flatten();
        let change = Change {
            epoch: self.epoch,
            revision,
            previous: self.end.hash,
            diff_hash: proposal.diff_hash,
            diff_length: u32::try_from(proposal.stored.len()).map_err(Error::internal)?,
            node_id,
            node_kind,
            kind,
            path,
            old_path,
            version: before.map_or(0, |node| node.version) + 1,
            clock: next_clock(before, &proposal.actor),
            actor: proposal.actor.clone(),
            author: proposal.author.clone(),
            subject: proposal.permit.subject().to_string(),
            message: proposal.message.clone(),
            metadata: proposal.metadata.clone(),
            timestamp_ms: self.now_ms,
            authored_at_ms: proposal.authored_at_ms,
            operation: proposal.operation.map(|(operation, _)| operation),
            change_set: self.set.as_ref().map(|set| ChangeSetPosition {
                id: set.id,
                index: self.changes_of_set() as u32,
                size: set.size,
            }),
            data_subject: attributes.get("data_subject").cloned(),
            encryption: None,
            merged: proposal.merged,
            set_header: self
                .set
                .as_ref()
                .filter(|_| self.changes_of_set() == 0)
                .map(|set| ChangeSetHeader::clone(&set.header)),
        };
        let record = change.encode();
        let node = Arc::new(after_change(before, &change, content, attributes));
        let growth = Usage::growth(before, &node, self.branch.counts_after());
        self.branch.usage.check(self.end.grown, growth)?;
        self.end.grown += growth;
        let written = written(&change);
        // What it leaves is free, unless another node of the set has come there already.
        let left = change.old_path.as_ref().or(Some(&node.path).filter(|_| !node.live));
        if let Some(left) = left
            && self.current.paths.get(left).is_none_or(|holder| *holder == Some(node.id))
        {
            self.current.paths.insert(left.clone(), None);
        }
        if node.live {
            self.current.paths.insert(node.path.clone(), Some(node.id));
        }
        self.current.nodes.insert(node.id, node.clone());
        self.current.actors.insert(change.actor.clone(), proposal.permit.subject().clone());
        if let Some((operation, key)) = proposal.operation {
            self.operations.insert(key, (operation, written.clone()));
        }
        self.end.revision = revision;
        self.end.hash = chain_hash(&record);
        let set = self.set.as_ref().map(|set| set.header.clone());
        let (change, diff) = (Arc::new(change), proposal.stored.clone());
        let entry = LoggedChange { change, set, hash: self.end.hash, diff };
        self.changes.push((record, AppliedChange { entry, node, growth }));
        Ok(Verdict::Accepted(written))
    }

    pub(super) async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        match self.staged_node(id) {
            Some(node) => Ok(Some(node.clone())),
            None => self.branch.node(id).await,
        }
    }

    fn staged_node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.current.nodes.get(&id).or_else(|| self.accepted.nodes.get(&id))
    }

    pub(super) async fn node_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        let is_left_by_set = || self.set.as_ref().is_some_and(|set| set.leaving.contains(path));
        let holder = match self.current.paths.get(path) {
            None if is_left_by_set() => Some(&None),
            None => self.accepted.paths.get(path),
            holder => holder,
        };
        match holder {
            Some(Some(id)) => self.node(*id).await,
            Some(None) => Ok(None),
            None => {
                let found = self.branch.node_at(path).await?;
                // A staged change may have moved it away.
                Ok(found.filter(|node| self.staged_node(node.id).is_none()))
            }
        }
    }

    /// The subject that an actor belongs to, if it wrote here before.
    pub(super) async fn actor_subject(&self, actor: &str) -> Result<Option<Arc<str>>> {
        let staged = [&self.current, &self.accepted];
        match staged.into_iter().find_map(|state| state.actors.get(actor)) {
            Some(subject) => Ok(Some(subject.clone())),
            None => self.branch.actor_subject(actor).await,
        }
    }

    async fn find_operations(
        &self,
        proposals: &[&Proposal],
    ) -> Result<HashMap<OperationKey, (Operation, Written)>> {
        let keys: Vec<_> =
            proposals.iter().filter_map(|proposal| Some(proposal.operation?.1)).collect();
        let found = idempotency::find(self.branch, &keys, self.now_ms).await?;
        let known = keys.into_iter().zip(found).filter_map(|(key, recorded)| {
            let recorded = recorded?;
            Some((key, (recorded.operation, recorded.written()?)))
        });
        Ok(known.collect())
    }

    /// The content that a proposal makes, of a node or of none, fit to be kept. What goes into
    /// chunks must have room.
    pub(super) async fn resolve_content(
        &self,
        proposal: &Proposal,
        new: diff::NewContent,
        before: Option<&Node>,
    ) -> Result<Content> {
        if let diff::NewContent::Bytes(bytes) = &new
            && bytes.len() > CHUNK_BYTES
        {
            let after = Usage::of_live(bytes.len() as u64);
            let growth = after - Usage::counted(before, self.branch.counts_after());
            self.branch.usage.check(self.end.grown, growth)?;
        }
        let nothing = Content::Inline(Bytes::new());
        let old = before.map_or(&nothing, |node| &node.content);
        let owner = ChunkOwner::Upload(&proposal.upload);
        let pack = proposal.pack.as_ref();
        let diff = match &proposal.stored {
            StoredDiff::Inline(diff) => Some(diff),
            StoredDiff::Packed(_) => None,
        };
        content::resolve_content(owner, &self.branch.address, new, old, pack, diff).await
    }

    /// The same write evaluated twice makes the same node: derived, not drawn.
    pub(super) fn new_node_id(&self, proposal: &Proposal, path: &NodePath) -> NodeId {
        let mut seed = Vec::with_capacity(256);
        seed.extend_from_slice(&self.branch.log.0);
        seed.extend_from_slice(&self.epoch.to_be_bytes());
        seed.extend_from_slice(&(self.end.revision + 1).to_be_bytes());
        seed.extend_from_slice(self.end.hash.as_bytes());
        seed.extend_from_slice(path.as_str().as_bytes());
        seed.extend_from_slice(proposal.permit.subject().as_bytes());
        let digest = sha256(&seed);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        NodeId(id)
    }
}
