//! Decides queued writes one after the other, each against the state that the
//! ones before it leave.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::{
    AckLevel, Conflict, ConflictReason, OnConflict, WriteOutcome, Written,
};
use vdom_core::dom::change::{chain_hash, sha256};
use vdom_core::dom::diff;
use vdom_core::{
    Change, ChangeKind, ChangeSetHeader, ChangeSetPosition, ClockOrdering, Content, Diff, Error,
    ErrorCode, Hash, Node, NodeId, NodeKind, NodePath, Operation, OperationId, Result,
};
use vdom_store::OperationKey;

use super::branch::{Applied, Branch, after_change, next_clock};
use super::content;
use super::merge::{self, Attempt};
use super::operations;
use super::packs::StoredDiff;
use super::quota::Usage;
use super::records::Entry;
use super::writer::Proposal;
use crate::metrics::Outcome;

/// What becomes of a proposal if the head is proven.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is among the staged changes.
    Accepted(Written),
    /// It was accepted before.
    Repeated(Written),
    /// What it wants is what stands there.
    Same(Written),
    /// It disagrees with what stands there.
    Conflicted(Box<Conflict>),
    /// It cannot be applied.
    Refused(Error),
}

impl Verdict {
    /// Whether it would be wrong on another head.
    pub(crate) fn rests_on_head(&self) -> bool {
        !matches!(self, Self::Repeated(_))
    }

    /// How it is counted.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted(_) => Outcome::Accepted,
            Self::Repeated(_) | Self::Same(_) => Outcome::Repeated,
            Self::Conflicted(_) => Outcome::Conflicted,
            Self::Refused(_) => Outcome::Refused,
        }
    }

    /// The answer to the client.
    pub(crate) fn into_answer(self) -> Result<WriteOutcome> {
        match self {
            Self::Accepted(written) | Self::Repeated(written) | Self::Same(written) => {
                Ok(WriteOutcome::Written(written))
            }
            Self::Conflicted(conflict) => Ok(WriteOutcome::Conflicted(conflict)),
            Self::Refused(error) => Err(error),
        }
    }
}

/// The state of a branch after the changes that are staged but not appended.
pub(crate) struct Staging<'a> {
    /// The stored records of the accepted changes, and what they make.
    pub changes: Vec<(Vec<u8>, Applied)>,
    branch: &'a Branch,
    now_ms: i64,
    epoch: u64,
    revision: u64,
    hash: Hash,
    nodes: HashMap<NodeId, Arc<Node>>,
    paths: HashMap<NodePath, Option<NodeId>>,
    actors: HashMap<String, Arc<str>>,
    operations: HashMap<OperationKey, (Operation, Written)>,
    grown: Usage,
    /// The change set that is being staged; all of it is judged against the head.
    set: Option<StagedSet>,
}

/// A change set while it is staged.
#[derive(Debug)]
pub(super) struct StagedSet {
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
            set: None,
        }
    }

    /// Nothing staged yet; what comes is one change set.
    pub(super) fn of_set(branch: &'a Branch, now_ms: i64, set: Option<StagedSet>) -> Self {
        Self { set, ..Self::new(branch, now_ms) }
    }

    /// Whether a change of the set takes a node to `path`.
    pub(super) fn is_taken_by_set(&self, path: &NodePath) -> bool {
        matches!(self.paths.get(path), Some(Some(_)))
    }

    /// A verdict for each proposal, in order. An error is about all of them: the
    /// store cannot be read.
    pub(crate) async fn decide(&mut self, proposals: &[&Proposal]) -> Result<Vec<Verdict>> {
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
                Some((operation, _)) => Verdict::Refused(self.used_before(operation)),
                None => match self.decide_one(proposal).await {
                    Ok(verdict) => verdict,
                    Err(error) if concerns_the_store(&error) => return Err(error),
                    Err(error) => Verdict::Refused(error),
                },
            };
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    async fn decide_one(&mut self, proposal: &Proposal) -> Result<Verdict> {
        let current = match (proposal.node_id, &proposal.path) {
            (Some(id), _) => self.node(id).await?,
            (None, Some(path)) => self.node_at(path).await?,
            (None, None) => {
                return Err(Error::invalid("name the node by `path` or by `node_id`"));
            }
        };
        self.judge(proposal, current).await
    }

    /// A verdict on a proposal about this node, or about none.
    pub(super) async fn judge(
        &mut self,
        proposal: &Proposal,
        current: Option<Arc<Node>>,
    ) -> Result<Verdict> {
        self.check_actor(proposal).await?;
        let overwrite = proposal.on_conflict == OnConflict::Overwrite;
        if proposal.clock.is_empty() {
            return match current {
                Some(node) if !node.live => Ok(self.conflict(ConflictReason::Deleted, &node)),
                Some(node) if overwrite => self.change(proposal, node).await,
                Some(node) => Ok(self.conflict(ConflictReason::PathExists, &node)),
                None => self.create(proposal).await,
            };
        }
        let Some(id) = proposal.node_id else {
            return Err(Error::invalid(
                "a vector_clock needs the `node_id` that it was read from: send both, or neither \
                 to create a node",
            ));
        };
        let Some(node) = current else {
            return Err(Error::not_found(format!("node {id} does not exist in this branch"))
                .resource(&self.branch.address));
        };
        match proposal.clock.compare(&node.clock) {
            ClockOrdering::Ahead => Err(self.precondition(
                &node,
                format!(
                    "vector_clock is ahead of node {id}, which has had {} changes: it was not \
                     read from this branch, or from before a restore; read the node again",
                    node.version
                ),
            )),
            ClockOrdering::Equal if !node.live => Err(self.precondition(
                &node,
                format!("node {id} is deleted: create a new node with an empty vector_clock"),
            )),
            ClockOrdering::Equal => {
                if let Some(path) = proposal.path.as_ref().filter(|path| **path != node.path) {
                    return Err(self.precondition(
                        &node,
                        format!("node {id} is at `{}`, not at `{path}`", node.path),
                    ));
                }
                self.change(proposal, node).await
            }
            ClockOrdering::Behind | ClockOrdering::Concurrent if !node.live => {
                Ok(self.conflict(ConflictReason::Deleted, &node))
            }
            ClockOrdering::Behind | ClockOrdering::Concurrent if overwrite => {
                self.change(proposal, node).await
            }
            ClockOrdering::Behind | ClockOrdering::Concurrent
                if proposal.on_conflict == OnConflict::Merge =>
            {
                self.merge(proposal, node).await
            }
            ClockOrdering::Behind | ClockOrdering::Concurrent => {
                Ok(self.conflict(ConflictReason::StaleClock, &node))
            }
        }
    }

    async fn create(&mut self, proposal: &Proposal) -> Result<Verdict> {
        let Some(path) = proposal.path.clone() else {
            return Err(Error::invalid("a new node needs a `path`"));
        };
        if !proposal.diff.creates() {
            return Err(Error::not_found(format!(
                "`{path}` does not exist: only a `put` creates a node"
            ))
            .resource(self.branch.address.node(&path)));
        }
        if let Some(node) = self.node_at(&path).await? {
            return Ok(self.conflict(ConflictReason::PathExists, &node));
        }
        let id = match proposal.node_id {
            Some(id) => id,
            None => self.new_node_id(proposal, &path),
        };
        let kind = proposal.kind.unwrap_or(NodeKind::File);
        let made = diff::apply(&proposal.diff, kind, &Bytes::new(), &BTreeMap::new())?;
        let nothing = Content::Inline(Bytes::new());
        let content = self.settle(proposal, made.content, &nothing).await?;
        let attributes = made.attributes.unwrap_or_default();
        self.stage(proposal, None, id, kind, ChangeKind::Create, path, content, attributes)
    }

    async fn change(&mut self, proposal: &Proposal, node: Arc<Node>) -> Result<Verdict> {
        if let Some(kind) = proposal.kind.filter(|kind| *kind != node.kind) {
            return Err(Error::invalid(format!(
                "`{}` is a {:?} node, not {kind:?}: a node keeps its kind",
                node.path, node.kind
            ))
            .resource(self.branch.address.node(&node.path)));
        }
        let old = if proposal.diff.needs_content() {
            content::load(&*self.branch.store, &self.branch.address, &node.content).await?
        } else {
            Bytes::new()
        };
        let made = diff::apply(&proposal.diff, node.kind, &old, &node.attributes)
            .map_err(|error| error.resource(self.branch.address.node(&node.path)))?;
        let kind = match &made.path {
            Some(target) if *target == node.path => {
                return Err(Error::invalid(format!("`{target}` is where the node is already")));
            }
            Some(target) => {
                if let Some(standing) = self.node_at(target).await? {
                    return Ok(self.conflict(ConflictReason::TargetExists, &standing));
                }
                ChangeKind::Rename
            }
            None if made.deleted => ChangeKind::Delete,
            None => ChangeKind::Update,
        };
        let content = self.settle(proposal, made.content, &node.content).await?;
        let attributes = made.attributes.unwrap_or_else(|| node.attributes.clone());
        let path = made.path.unwrap_or_else(|| node.path.clone());
        self.stage(proposal, Some(&node), node.id, node.kind, kind, path, content, attributes)
    }

    /// Writes what both writers want, where that can be said.
    async fn merge(&mut self, proposal: &Proposal, node: Arc<Node>) -> Result<Verdict> {
        let base = merge::base_of(self.branch, &node, &proposal.clock).await?;
        let attempt = merge::attempt(self.branch, base.as_deref(), &node, &proposal.diff).await;
        let attempt =
            attempt.map_err(|error| error.resource(self.branch.address.node(&node.path)))?;
        let merged = match attempt {
            Attempt::Clean(merged) => merged,
            Attempt::BaseMissing => return Ok(self.conflict(ConflictReason::StaleClock, &node)),
            Attempt::Conflicting(hunks) => {
                let mut verdict = self.conflict(ConflictReason::Merge, &node);
                if let Verdict::Conflicted(conflict) = &mut verdict {
                    conflict.hunks = hunks;
                }
                return Ok(verdict);
            }
        };
        let stored = match Diff::restore(Some(&node), Some(&merged))? {
            Some(stored) => stored,
            // Both made the same of it. In a set, a change that changes nothing keeps
            // its place.
            None if self.set.is_some() => Diff::attributes([], [])?,
            None => {
                return Ok(Verdict::Same(Written {
                    merged: true,
                    operation_id: proposal.operation.map(|(operation, _)| operation.id),
                    ..as_it_stands(&node)
                }));
            }
        };
        let proposal = Proposal {
            diff: Diff::parse_stored(&stored)?,
            diff_hash: sha256(&stored),
            stored: StoredDiff::AtHand(stored),
            pack: None,
            merged: true,
            ..proposal.clone()
        };
        self.change(&proposal, node).await
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one change, used once each")]
    fn stage(
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
        let growth = Usage::growth(before, &node, self.branch.inherited_revision());
        self.branch.usage.check(self.grown, growth)?;
        self.grown += growth;
        let written = written(&change);
        if let Some(old_path) = &change.old_path
            && self.paths.get(old_path).is_none_or(|holder| *holder == Some(node.id))
        {
            self.paths.insert(old_path.clone(), None);
        }
        self.paths.insert(node.path.clone(), node.live.then_some(node.id));
        self.nodes.insert(node.id, node.clone());
        self.actors.insert(change.actor.clone(), proposal.permit.subject().clone());
        if let Some((operation, key)) = proposal.operation {
            self.operations.insert(key, (operation, written.clone()));
        }
        self.revision = revision;
        self.hash = chain_hash(&record);
        let set = self.set.as_ref().map(|set| set.header.clone());
        let (change, diff) = (Arc::new(change), proposal.stored.clone());
        let entry = Entry { change, set, hash: self.hash, diff };
        self.changes.push((record, Applied { entry, node, growth }));
        Ok(Verdict::Accepted(written))
    }

    async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        match self.nodes.get(&id) {
            Some(node) => Ok(Some(node.clone())),
            None => self.branch.node(id).await,
        }
    }

    async fn node_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
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

    async fn check_actor(&self, proposal: &Proposal) -> Result<()> {
        let subject = proposal.permit.subject();
        if proposal.actor == **subject {
            return Ok(());
        }
        let owner = match self.actors.get(&proposal.actor) {
            Some(owner) => Some(owner.clone()),
            None => self.branch.actor_subject(&proposal.actor).await?,
        };
        match owner {
            Some(owner) if owner != *subject => Err(Error::new(
                ErrorCode::PermissionDenied,
                format!(
                    "actor `{}` belongs to another subject in this branch: use a name of your own",
                    proposal.actor
                ),
            )
            .resource(&self.branch.address)
            .rule("actor")),
            _ => Ok(()),
        }
    }

    async fn find_operations(
        &self,
        proposals: &[&Proposal],
    ) -> Result<HashMap<OperationKey, (Operation, Written)>> {
        let keys: Vec<_> =
            proposals.iter().filter_map(|proposal| Some(proposal.operation?.1)).collect();
        let found = operations::find(self.branch, &keys, self.now_ms).await?;
        let known = keys.into_iter().zip(found).filter_map(|(key, remembered)| {
            let remembered = remembered?;
            Some((key, (remembered.operation, remembered.written()?)))
        });
        Ok(known.collect())
    }

    async fn settle(
        &self,
        proposal: &Proposal,
        new: diff::NewContent,
        old: &Content,
    ) -> Result<Content> {
        let (store, address) = (&*self.branch.store, &self.branch.address);
        content::settle(store, address, new, old, proposal.pack.as_ref()).await
    }

    /// The same write decided twice makes the same node: derived, not drawn.
    fn new_node_id(&self, proposal: &Proposal, path: &NodePath) -> NodeId {
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

    pub(super) fn used_before(&self, operation: Operation) -> Error {
        Error::new(
            ErrorCode::FailedPrecondition,
            format!(
                "operation_id {} was used before with other content: use a new one for a new write",
                operation.id
            ),
        )
        .resource(&self.branch.address)
    }

    fn precondition(&self, node: &Node, message: String) -> Error {
        Error::new(ErrorCode::FailedPrecondition, message)
            .resource(self.branch.address.node(&node.path))
            .at(self.epoch, self.revision)
    }

    fn conflict(&self, reason: ConflictReason, node: &Node) -> Verdict {
        Verdict::Conflicted(Box::new(Conflict {
            reason,
            node_id: node.id,
            path: node.path.clone(),
            kind: node.kind,
            current_clock: node.clock.clone(),
            current_version: node.version,
            current_content: match &node.content {
                Content::Inline(bytes) => Some(bytes.clone()),
                Content::Part(_) | Content::Chunked(_) => None,
            },
            current_author: node.author.clone(),
            current_timestamp_ms: node.timestamp_ms,
            base_content: None,
            hunks: Vec::new(),
            epoch: self.epoch,
            // Of a set that conflicts nothing is written.
            revision: match self.set {
                Some(_) => self.branch.head().revision,
                None => self.revision,
            },
            operation_id: None,
            conflict_id: None,
        }))
    }
}

/// The answer that an accepted change gives, now and when it is repeated.
fn written(change: &Change) -> Written {
    Written {
        node_id: change.node_id,
        version: change.version,
        clock: change.clock.clone(),
        epoch: change.epoch,
        revision: change.revision,
        ack: AckLevel::Committed,
        merged: change.merged,
        timestamp_ms: change.timestamp_ms,
        operation_id: change.operation.map(|operation| operation.id),
    }
}

/// The answer where nothing had to be written.
fn as_it_stands(node: &Node) -> Written {
    Written {
        node_id: node.id,
        version: node.version,
        clock: node.clock.clone(),
        epoch: node.epoch,
        revision: node.changed_revision,
        ack: AckLevel::Committed,
        merged: false,
        timestamp_ms: node.timestamp_ms,
        operation_id: None,
    }
}

/// Whether an error is about the store, and so about more than one write.
pub(super) fn concerns_the_store(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::DataLoss)
}
