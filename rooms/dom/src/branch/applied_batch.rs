//! Committed changes, applied; and as events that all subscribers share.

use std::sync::{Arc, OnceLock};

use vdom_core::dom::calls::ChangeEvent;
use vdom_core::dom::events::{BatchEvent, EventBatch};
use vdom_core::{BranchAddress, Change, Content, Node};

use crate::branch::Head;
use crate::branch::usage::Usage;
use crate::content::packs::StoredDiff;
use crate::records::{ControlRecord, LoggedChange, shown_diff};

/// A change, and the node that it makes.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    pub entry: LoggedChange,
    pub node: Arc<Node>,
    /// By how much the branch grew.
    pub growth: Usage,
}

/// A committed batch, applied: the head after it, and its changes in order.
#[derive(Debug)]
pub(crate) struct AppliedBatch {
    /// The head after it.
    pub head: Head,
    pub changes: Vec<AppliedChange>,
    pub control_records: Vec<ControlRecord>,
    /// What its subscribers share of it.
    pub events: SharedEvents,
}

impl AppliedChange {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let diff = match &self.entry.diff {
            StoredDiff::Inline(bytes) => bytes.len(),
            StoredDiff::Packed(_) => 0,
        };
        let content = match &self.node.content {
            Content::Inline(bytes) => bytes.len(),
            Content::Part(_) | Content::Chunked(_) => 0,
        };
        diff + content + 512
    }
}

impl AppliedBatch {
    /// A batch that nobody has seen yet.
    pub(crate) fn new(
        head: Head,
        changes: Vec<AppliedChange>,
        control_records: Vec<ControlRecord>,
    ) -> Self {
        Self { head, changes, control_records, events: SharedEvents::default() }
    }

    /// Its changes after `revision`.
    pub(crate) fn after(&self, revision: u64) -> &[AppliedChange] {
        let from =
            self.changes.partition_point(|applied| applied.entry.change.revision <= revision);
        &self.changes[from..]
    }

    /// The last of its changes.
    pub(crate) fn last_change(&self) -> Option<&Change> {
        self.changes.last().map(|applied| &*applied.entry.change)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.changes.iter().map(AppliedChange::bytes).sum()
    }
}

/// The events of a batch of the log as its subscribers share them, without diffs and with
/// them; each made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct SharedEvents([OnceLock<Arc<EventBatch>>; 2]);

impl SharedEvents {
    /// One event for each change of the batch; `None` where diffs are asked for that are
    /// not in memory.
    pub(crate) fn of<'a>(
        batch: &'a AppliedBatch,
        address: &BranchAddress,
        with_diffs: bool,
    ) -> Option<&'a Arc<EventBatch>> {
        let shared = &batch.events.0[usize::from(with_diffs)];
        if let Some(events) = shared.get() {
            return Some(events);
        }
        let is_inline =
            |applied: &AppliedChange| matches!(applied.entry.diff, StoredDiff::Inline(_));
        if with_diffs && !batch.changes.iter().all(is_inline) {
            return None;
        }
        let event = |applied: &AppliedChange| {
            let entry = &applied.entry;
            let diff = match &entry.diff {
                StoredDiff::Inline(diff) if with_diffs => shown_diff(diff.clone()),
                _ => None,
            };
            let (change, set) = (entry.change.clone(), entry.set.clone());
            BatchEvent::Change(ChangeEvent { change, set, hash: entry.hash, diff })
        };
        Some(shared.get_or_init(|| {
            let events = batch.changes.iter().map(event).collect();
            Arc::new(EventBatch::new(address.clone(), events))
        }))
    }
}
