//! Committed changes, applied; and as transports send them, encoded once for all subscribers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use vdom_api::dom::{EVENT_FORMS, EventEncoder};
use vdom_core::dom::calls::{ChangeEvent, Event};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Change, Node};

use crate::branch::usage::Usage;
use crate::branch::{Branch, Head};
use crate::content::packs::StoredDiff;
use crate::records::{ControlRecord, LoggedChange};

/// A change and the node after it.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    /// The change.
    pub entry: LoggedChange,
    /// The node after it.
    pub node: Arc<Node>,
    /// By how much the branch grew.
    pub growth: Usage,
}

/// A committed batch, applied.
#[derive(Debug)]
pub(crate) struct AppliedBatch {
    /// The head after it.
    pub head: Head,
    /// Its changes, in order.
    pub changes: Vec<AppliedChange>,
    /// What it says besides.
    pub control_records: Vec<ControlRecord>,
    /// As its subscribers get it.
    pub encoded: EncodedForms,
}

impl AppliedChange {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let diff = match &self.entry.diff {
            StoredDiff::Inline(bytes) => bytes.len(),
            StoredDiff::Packed(_) => 0,
        };
        diff + 512
    }
}

impl AppliedBatch {
    /// A batch that nobody has seen yet.
    pub(crate) fn new(
        head: Head,
        changes: Vec<AppliedChange>,
        control_records: Vec<ControlRecord>,
    ) -> Self {
        Self { head, changes, control_records, encoded: EncodedForms::default() }
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

    /// By how much the branch grew.
    pub(super) fn growth(&self) -> Usage {
        self.changes.iter().fold(Usage::default(), |sum, applied| sum + applied.growth)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.changes.iter().map(AppliedChange::bytes).sum()
    }
}

/// A batch in the forms that transports send: each without diffs and with them,
/// encoded when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct EncodedForms(pub [OnceLock<EncodedBatch>; 2 * EVENT_FORMS]);

/// The changes of a batch, one after the other.
#[derive(Debug)]
pub(crate) struct EncodedBatch {
    pub bytes: Bytes,
    /// Where each change ends.
    ends: Vec<usize>,
}

impl EncodedBatch {
    pub(crate) fn new(
        branch: &Branch,
        batch: &AppliedBatch,
        diffs: bool,
        encoder: &dyn EventEncoder,
    ) -> Self {
        let mut bytes = Vec::new();
        let encode = |applied: &AppliedChange| {
            let entry = &applied.entry;
            let diff = match &entry.diff {
                StoredDiff::Inline(diff) if diffs && diff.len() <= CHUNK_BYTES => {
                    Some(diff.clone())
                }
                _ => None,
            };
            let (change, set) = (entry.change.clone(), entry.set.clone());
            let event = ChangeEvent { change, set, hash: entry.hash, diff };
            encoder.event(&branch.address, Event::Change(Box::new(event)), &mut bytes);
            bytes.len()
        };
        let ends = batch.changes.iter().map(encode).collect();
        Self { bytes: bytes.into(), ends }
    }

    pub(crate) fn start_of(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}
