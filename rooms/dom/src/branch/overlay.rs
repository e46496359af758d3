//! What of a branch is in memory: the tail of its log, and what that does to nodes and paths
//! that the views do not have yet.

use std::collections::{HashMap, VecDeque, vec_deque};
use std::sync::Arc;

use tokio::time::Instant;
use vdom_core::limits::{SUBSCRIPTION_QUEUE_MAX_BYTES, SUBSCRIPTION_QUEUE_MAX_EVENTS};
use vdom_core::{Node, NodeId, NodePath};
use vdom_store::Watermark;

use crate::branch::{AppliedBatch, AppliedChange};

/// What changes with every batch; behind one lock.
pub(super) struct BranchState {
    pub head_verified_at: Instant,
    pub watermark: Watermark,
    /// Everything after the watermark, and before it as much as subscribers
    /// may be behind.
    pub tail: VecDeque<Arc<AppliedBatch>>,
    pub tail_events: usize,
    pub tail_bytes: usize,
    /// Of the tail, what the views do not have yet.
    pub unwritten_bytes: usize,
    pub nodes: HashMap<NodeId, Arc<Node>>,
    pub paths: HashMap<NodePath, Occupancy>,
    pub actors: HashMap<String, (u64, Arc<str>)>,
}

/// Who is at a path since which revision; `None`: nobody.
pub(super) struct Occupancy {
    pub since_revision: u64,
    pub holder: Option<NodeId>,
}

impl BranchState {
    /// Lays a change over what the views have.
    pub(super) fn overlay(&mut self, applied: &AppliedChange) {
        let (change, node) = (&applied.entry.change, &applied.node);
        let revision = change.revision;
        if let Some(old_path) = &change.old_path {
            self.occupy(old_path, revision, None, node.id);
        }
        let holder = node.live.then_some(node.id);
        self.occupy(&node.path, revision, holder, node.id);
        self.nodes.insert(node.id, node.clone());
        // A subject's own name is its own, whoever used it before.
        if change.actor == change.subject || !self.actors.contains_key(&change.actor) {
            let owner = (revision, change.subject.as_str().into());
            self.actors.insert(change.actor.clone(), owner);
        }
    }

    fn occupy(&mut self, path: &NodePath, revision: u64, holder: Option<NodeId>, by: NodeId) {
        // Within a change set another node may have come before this one left.
        if holder.is_none()
            && let Some(place) = self.paths.get(path)
            && place.holder.is_some_and(|current| current != by)
        {
            return;
        }
        self.paths.insert(path.clone(), Occupancy { since_revision: revision, holder });
    }

    /// The batches that the views do not have yet.
    pub(super) fn unwritten(&self) -> vec_deque::Iter<'_, Arc<AppliedBatch>> {
        let from = self.tail.partition_point(|batch| batch.head.number <= self.watermark.number);
        self.tail.range(from..)
    }

    /// Lets go of what no subscriber may be behind, and the views have.
    pub(super) fn trim(&mut self) {
        while self.tail_events > SUBSCRIPTION_QUEUE_MAX_EVENTS
            || self.tail_bytes > SUBSCRIPTION_QUEUE_MAX_BYTES
        {
            let Some(oldest) = self.tail.front() else {
                return;
            };
            if oldest.head.number > self.watermark.number {
                return;
            }
            self.tail_events -= oldest.changes.len();
            self.tail_bytes -= oldest.bytes();
            self.tail.pop_front();
        }
    }
}
