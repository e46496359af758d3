//! What the room in memory holds, and how a diff changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::calls::{
    AckLevel, BranchSummary, ChangeEvent, Conflict, ConflictReason, DiffSource, OnConflict,
    StoredConflict, WriteDiff, WriteDiffs, Written,
};
use vdom_core::dom::change::sha256;
use vdom_core::dom::diff::{Diff, NewContent, apply};
use vdom_core::{
    Change, ChangeKind, ChangeSetPosition, ConflictId, Content, Error, Hash, Node, NodeId,
    NodeKind, NodePath, Operation, Result,
};

use super::{EPOCH, inline, some_conflict};
use vdom_edge::Caller;

#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<NodePath, Node>,
    pub(super) changes: Vec<ChangeEvent>,
    /// The node before each change.
    pub(super) before: Vec<Option<Node>>,
    pub(super) written: Vec<WriteDiff>,
    pub(super) sets: Vec<WriteDiffs>,
    pub(super) branches: BTreeMap<String, BranchSummary>,
    pub(super) conflicts: Vec<StoredConflict>,
}

impl State {
    pub(super) fn head(&self) -> u64 {
        self.changes.len() as u64
    }

    pub(super) fn path_of(&self, request: &WriteDiff) -> Result<NodePath> {
        let by_id = |id| self.nodes.values().find(|node| node.id == id).map(|n| n.path.clone());
        let path = request.path.clone().or_else(|| request.node_id.and_then(by_id));
        path.ok_or_else(|| Error::not_found("there is no such node"))
    }

    /// What stands in the way; kept where that is asked for.
    pub(super) fn judge(
        &mut self,
        caller: &Caller,
        request: &WriteDiff,
    ) -> Result<Option<Conflict>> {
        let Some(node) = self.nodes.get(&self.path_of(request)?) else { return Ok(None) };
        // Whatever a writer had seen merges with what is there.
        let merges = request.on_conflict == OnConflict::Merge && !request.clock.is_empty();
        if request.on_conflict == OnConflict::Overwrite || merges || request.clock == node.clock {
            return Ok(None);
        }
        let reason = if request.clock.is_empty() {
            ConflictReason::PathExists
        } else {
            ConflictReason::StaleClock
        };
        let mut conflict = conflict(reason, node, self.head());
        conflict.operation_id = request.operation_id;
        if request.keep_conflict {
            let id = ConflictId([self.conflicts.len() as u8 + 1; 16]);
            conflict.conflict_id = Some(id);
            self.conflicts.push(StoredConflict {
                id,
                conflict: conflict.clone(),
                request: request.clone(),
                timestamp_ms: 1_700_000_000_000,
                subject: caller.subject.to_string(),
            });
        }
        Ok(Some(conflict))
    }

    pub(super) fn apply(
        &mut self,
        caller: &Caller,
        request: &WriteDiff,
        diff: &Diff,
        position: Option<ChangeSetPosition>,
    ) -> Result<Written> {
        let path = self.path_of(request)?;
        let revision = self.head() + 1;
        let present = self.nodes.get(&path).cloned();
        let merged = request.on_conflict == OnConflict::Merge
            && present.as_ref().is_some_and(|node| node.clock != request.clock);
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
        self.nodes.remove(&path);
        if node.live {
            self.nodes.insert(node.path.clone(), node.clone());
        }
        let kind = match (&present, applied.deleted, &old_path) {
            (None, ..) => ChangeKind::Create,
            (_, true, _) => ChangeKind::Delete,
            (_, _, Some(_)) => ChangeKind::Rename,
            _ => ChangeKind::Update,
        };
        let change = change(&node, kind, old_path, actor, request, revision, position);
        self.changes.push(change);
        self.before.push(present);
        Ok(Written {
            node_id: node.id,
            version: node.version,
            clock: node.clock,
            epoch: EPOCH,
            revision,
            ack: AckLevel::Committed,
            merged,
            timestamp_ms: node.timestamp_ms,
            operation_id: request.operation_id,
        })
    }
}

fn conflict(reason: ConflictReason, node: &Node, revision: u64) -> Conflict {
    Conflict {
        reason,
        node_id: node.id,
        path: node.path.clone(),
        kind: node.kind,
        current_clock: node.clock.clone(),
        current_version: node.version,
        current_content: Some(inline(node)),
        current_author: node.author.clone(),
        current_timestamp_ms: node.timestamp_ms,
        revision,
        ..some_conflict()
    }
}

fn change(
    node: &Node,
    kind: ChangeKind,
    old_path: Option<NodePath>,
    actor: String,
    request: &WriteDiff,
    revision: u64,
    position: Option<ChangeSetPosition>,
) -> ChangeEvent {
    let diff = match &request.diff {
        DiffSource::Bson(bytes) => bytes.clone(),
        DiffSource::Follows => Bytes::new(),
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
        change_set: position,
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
