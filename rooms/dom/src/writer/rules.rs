//! The rules by which one write is evaluated: its clock, its path, its kind, its actor.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::{Conflict, ConflictReason, OnConflict, Written};
use vdom_core::dom::change::sha256;
use vdom_core::dom::diff;
use vdom_core::dom::diff::PutContent;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    ChangeKind, ClockOrdering, Content, Diff, Error, ErrorCode, Node, NodeKind, Result,
};

use crate::content;
use crate::content::ChunkOwner;
use crate::content::packs::StoredDiff;
use crate::writer::Proposal;
use crate::writer::merge::{self, MergeAttempt};
use crate::writer::staging::Staging;
use crate::writer::verdict::{Verdict, as_it_stands};

impl Staging<'_> {
    /// A verdict on a proposal about this node, or about none.
    pub(crate) async fn evaluate_against(
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
        check_staged(&proposal.diff, kind)?;
        let made = diff::apply(&proposal.diff, kind, &Bytes::new(), &BTreeMap::new())?;
        let content = self.resolve_content(proposal, made.content, None).await?;
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
            content::load(self.branch.store(), &self.branch.address, &node.content).await?
        } else {
            Bytes::new()
        };
        let made = check_staged(&proposal.diff, node.kind)
            .and_then(|()| diff::apply(&proposal.diff, node.kind, &old, &node.attributes))
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
        let content = self.resolve_content(proposal, made.content, Some(&node)).await?;
        let attributes = made.attributes.unwrap_or_else(|| node.attributes.clone());
        let path = made.path.unwrap_or_else(|| node.path.clone());
        self.stage(proposal, Some(&node), node.id, node.kind, kind, path, content, attributes)
    }

    /// Writes what both writers want, where that can be said.
    async fn merge(&mut self, proposal: &Proposal, node: Arc<Node>) -> Result<Verdict> {
        check_staged(&proposal.diff, node.kind)
            .map_err(|error| error.resource(self.branch.address.node(&node.path)))?;
        let base = merge::merge_base(self.branch, &node, &proposal.clock).await?;
        let attempt = merge::try_merge(self.branch, base.as_deref(), &node, &proposal.diff).await;
        let attempt =
            attempt.map_err(|error| error.resource(self.branch.address.node(&node.path)))?;
        let mut merged = match attempt {
            MergeAttempt::Clean(merged) => merged,
            MergeAttempt::BaseMissing => {
                return Ok(self.conflict(ConflictReason::StaleClock, &node));
            }
            MergeAttempt::Conflicting(hunks) => {
                let mut verdict = self.conflict(ConflictReason::Merge, &node);
                if let Verdict::Conflicted(conflict) = &mut verdict {
                    conflict.hunks = hunks;
                }
                return Ok(verdict);
            }
        };
        if let Content::Inline(bytes) = &merged.content
            && bytes.len() > CHUNK_BYTES
        {
            let owner = ChunkOwner::Upload(&proposal.upload);
            let chunks = content::stage(owner, &self.branch.address, bytes).await?;
            merged.content = Content::Chunked(chunks);
        }
        let stored = match Diff::restore(Some(&node), Some(&merged))? {
            Some(stored) => stored,
            // Both made the same of it. In a set, a change that changes nothing keeps
            // its place.
            None if self.set.is_some() => Diff::attributes([], [])?,
            None => {
                return Ok(Verdict::Same(Written {
                    merged: true,
                    operation_id: proposal.operation.map(|(operation, _)| operation.id),
                    // Also where the node is as what the branch continues has it.
                    epoch: self.epoch,
                    ..as_it_stands(&node)
                }));
            }
        };
        let proposal = Proposal {
            diff: Diff::parse_stored(&stored)?,
            diff_hash: sha256(&stored),
            stored: StoredDiff::Inline(stored),
            pack: None,
            merged: true,
            ..proposal.clone()
        };
        self.change(&proposal, node).await
    }

    async fn check_actor(&self, proposal: &Proposal) -> Result<()> {
        let subject = proposal.permit.subject();
        if proposal.actor == **subject {
            return Ok(());
        }
        match self.actor_subject(&proposal.actor).await? {
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

    fn precondition(&self, node: &Node, message: String) -> Error {
        Error::new(ErrorCode::FailedPrecondition, message)
            .resource(self.branch.address.node(&node.path))
            .at(self.epoch, self.end.revision)
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
            revision: self.before_set().unwrap_or(self.end).revision,
            operation_id: None,
            conflict_id: None,
        }))
    }
}

/// Refuses bytes above 1 MiB for a document: once they are chunks, nobody looks into them.
pub(crate) fn check_staged(diff: &Diff, kind: NodeKind) -> Result<()> {
    match diff.put() {
        Some(PutContent::Chunks(_)) if kind.is_document() => Err(Error::invalid(format!(
            "{kind:?} nodes take a put with a document `v`, or patch: bytes are for FILE nodes"
        ))),
        _ => Ok(()),
    }
}
