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
use vdom_store::OperationKey;

use crate::branch::usage::Usage;
use crate::branch::{AppliedChange, Branch, after_change, idempotency, next_clock};
use crate::content;
use crate::content::ChunkOwner;
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
    pub(super) revision: u64,
    pub(super) hash: Hash,
    pub(super) nodes: HashMap<NodeId, Arc<Node>>,
    pub(super) paths: HashMap<NodePath, Option<NodeId>>,
    pub(super) actors: HashMap<String, Arc<str>>,
    pub(super) operations: HashMap<OperationKey, (Operation, Written)>,
    pub(super) grown: Usage,
    /// The conflicts that staged changes end.
    pub(super) resolved: HashSet<ConflictId>,
    /// The change set that is being staged; all of it is evaluated against the head.
    pub(super) set: Option<StagedSet>,
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
        Self {
            changes: Vec::new(),
            branch,
            now_ms,
            epoch: head.epoch,
            revision: head.revision,
            hash: head.hash,
            nodes: HashMap::new(),
            paths: HashMap::new(),
            actors: HashMap::new(),
            operations: HashMap::new(),
            grown: Usage::default(),
            resolved: HashSet::new(),
            set: None,
        }
    }

    /// Nothing staged yet; what comes is one change set.
    pub(crate) fn of_set(branch: &'a Branch, now_ms: i64, set: Option<StagedSet>) -> Self {
        Self { set, ..Self::new(branch, now_ms) }
    }

    /// Whether a change of the set takes a node to `path`.
    pub(crate) fn is_taken_by_set(&self, path: &NodePath) -> bool {
        matches!(self.paths.get(path), Some(Some(_)))
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
        let revision = self.revision + 1;
        let old_path =
            (kind == ChangeKind::Rename).then(|| before.map(|node| node.path.clone())).flatten();
        let change = Change {
            epoch: self.epoch,
            revision,
            previous: self.hash,
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
                index: self.changes.len() as u32,
                size: set.size,
            }),
            data_subject: attributes.get("data_subject").cloned(),
            encryption: None,
            merged: proposal.merged,
            set_header: self
                .set
                .as_ref()
                .filter(|_| self.changes.is_empty())
                .map(|set| ChangeSetHeader::clone(&set.header)),
        };
        let record = change.encode();
        let node = Arc::new(after_change(before, &change, content, attributes));
        let growth = Usage::growth(before, &node, self.branch.counts_after());
        self.branch.usage.check(self.grown, growth)?;
        self.grown += growth;
        let written = written(&change);
        // What it leaves is free, unless another node of the set has come there already.
        let left = change.old_path.as_ref().or(Some(&node.path).filter(|_| !node.live));
        if let Some(left) = left
            && self.paths.get(left).is_none_or(|holder| *holder == Some(node.id))
        {
            self.paths.insert(left.clone(), None);
        }
        if node.live {
            self.paths.insert(node.path.clone(), Some(node.id));
        }
        self.nodes.insert(node.id, node.clone());
        self.actors.insert(change.actor.clone(), proposal.permit.subject().clone());
        if let Some((operation, key)) = proposal.operation {
            self.operations.insert(key, (operation, written.clone()));
        }
        self.revision = revision;
        self.hash = chain_hash(&record);
        let set = self.set.as_ref().map(|set| set.header.clone());
        let (change, diff) = (Arc::new(change), proposal.stored.clone());
        let entry = LoggedChange { change, set, hash: self.hash, diff };
        self.changes.push((record, AppliedChange { entry, node, growth }));
        Ok(Verdict::Accepted(written))
    }

    pub(super) async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        match self.nodes.get(&id) {
            Some(node) => Ok(Some(node.clone())),
            None => self.branch.node(id).await,
        }
    }

    pub(super) async fn node_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        match self.paths.get(path) {
            Some(Some(id)) => self.node(*id).await,
            Some(None) => Ok(None),
            None if self.set.as_ref().is_some_and(|set| set.leaving.contains(path)) => Ok(None),
            None => {
                let found = self.branch.node_at(path).await?;
                // A staged change may have moved it away.
                Ok(found.filter(|node| !self.nodes.contains_key(&node.id)))
            }
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
            self.branch.usage.check(self.grown, growth)?;
        }
        let nothing = Content::Inline(Bytes::new());
        let old = before.map_or(&nothing, |node| &node.content);
        let owner = ChunkOwner::Upload(&proposal.upload);
        let pack = proposal.pack.as_ref();
        content::resolve_content(owner, &self.branch.address, new, old, pack).await
    }

    /// The same write evaluated twice makes the same node: derived, not drawn.
    pub(super) fn new_node_id(&self, proposal: &Proposal, path: &NodePath) -> NodeId {
        let mut seed = Vec::with_capacity(256);
        seed.extend_from_slice(&self.branch.log.0);
        seed.extend_from_slice(&self.epoch.to_be_bytes());
        seed.extend_from_slice(&(self.revision + 1).to_be_bytes());
        seed.extend_from_slice(self.hash.as_bytes());
        seed.extend_from_slice(path.as_str().as_bytes());
        seed.extend_from_slice(proposal.permit.subject().as_bytes());
        let digest = sha256(&seed);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        NodeId(id)
    }
}
