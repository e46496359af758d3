//! What was answered under an operation id, as batches and rows keep it.

use minicbor::{Decode, Encode};
use vdom_core::dom::calls::{AckLevel, SetWritten, Written};
use vdom_core::limits::{CHANGE_SET_RESULTS_MAX, CHUNK_BYTES, OPERATION_KEPT};
use vdom_core::{Change, NodeId, Operation, VectorClock};

use super::LoggedChange;

/// An accepted write, or change set, that carried an operation id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RecordedResult {
    #[n(0)]
    pub operation: Operation,
    /// When it was accepted, ms since the Unix epoch.
    #[n(1)]
    pub timestamp_ms: i64,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    first_revision: u64,
    #[n(4)]
    size: u32,
    /// What became of its diffs: of all, or where they are too many, of the first.
    #[n(5)]
    results: Vec<RecordedAnswer>,
    /// Of a request that had nothing to write: the time of what stands there.
    #[n(6)]
    stands_since_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct RecordedAnswer {
    #[n(0)]
    node_id: NodeId,
    #[n(1)]
    version: u64,
    #[n(2)]
    clock: VectorClock,
    #[n(3)]
    merged: bool,
}

impl RecordedResult {
    /// The answer to the write, or to the first of its diffs.
    pub(crate) fn written(&self) -> Option<Written> {
        self.results.first().map(|answer| self.answer(0, answer))
    }

    /// Of a request that had nothing to write: what it was answered stands there, if
    /// anything.
    pub(crate) fn of_nothing_written(
        operation: Operation,
        timestamp_ms: i64,
        stands: Option<&Written>,
    ) -> Self {
        let answer = |written: &Written| RecordedAnswer {
            node_id: written.node_id,
            version: written.version,
            clock: written.clock.clone(),
            merged: written.merged,
        };
        Self {
            operation,
            timestamp_ms,
            epoch: stands.map_or(0, |written| written.epoch),
            first_revision: stands.map_or(0, |written| written.revision),
            size: stands.iter().len() as u32,
            results: stands.map(answer).into_iter().collect(),
            stands_since_ms: stands.map(|written| written.timestamp_ms),
        }
        .within_row_limit()
    }

    /// The answer to the change set.
    pub(crate) fn set_written(&self) -> SetWritten {
        let size = self.size as usize;
        let is_complete = size <= CHANGE_SET_RESULTS_MAX && self.results.len() == size;
        let results = self.results.iter().filter(|_| is_complete).enumerate();
        SetWritten {
            epoch: self.epoch,
            first_revision: self.first_revision,
            last_revision: (self.first_revision + u64::from(self.size)).saturating_sub(1),
            ack: AckLevel::Committed,
            timestamp_ms: self.stands_since_ms.unwrap_or(self.timestamp_ms),
            operation_id: None,
            results: results.map(|(index, answer)| self.answer(index as u64, answer)).collect(),
        }
    }

    /// What the change that comes first was written for, where it carries an operation.
    pub(crate) fn of(entries: &[LoggedChange]) -> Option<Self> {
        let first = &entries.first()?.change;
        let operation = first.operation?;
        let size = first.change_set.map_or(1, |position| position.size);
        let answer = |change: &Change| RecordedAnswer {
            node_id: change.node_id,
            version: change.version,
            clock: change.clock.clone(),
            merged: change.merged,
        };
        let of_set = entries.get(..size as usize).unwrap_or(entries);
        let kept = if size as usize <= CHANGE_SET_RESULTS_MAX { of_set } else { &entries[..1] };
        Some(
            Self {
                operation,
                timestamp_ms: first.timestamp_ms,
                epoch: first.epoch,
                first_revision: first.revision,
                size,
                results: kept.iter().map(|entry| answer(&entry.change)).collect(),
                stands_since_ms: None,
            }
            .within_row_limit(),
        )
    }

    /// With the answer to the first diff alone where all take too much room for a row.
    fn within_row_limit(mut self) -> Self {
        let entries = self.results.iter().map(|answer| answer.clock.entries());
        let bytes: usize = entries
            .map(|clock| 32 + clock.keys().map(|actor| actor.len() + 12).sum::<usize>())
            .sum();
        if bytes > CHUNK_BYTES {
            self.results.truncate(1);
        }
        self
    }

    fn answer(&self, index: u64, answer: &RecordedAnswer) -> Written {
        Written {
            node_id: answer.node_id,
            version: answer.version,
            clock: answer.clock.clone(),
            epoch: self.epoch,
            revision: self.first_revision + index,
            ack: AckLevel::Committed,
            merged: answer.merged,
            timestamp_ms: self.stands_since_ms.unwrap_or(self.timestamp_ms),
            operation_id: (index == 0).then_some(self.operation.id),
        }
    }

    /// Whether it is still remembered.
    pub(crate) fn is_kept(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.timestamp_ms) <= OPERATION_KEPT.as_millis() as i64
    }
}
