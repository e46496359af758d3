//! Events on their way to a subscriber, until it takes them: those of batches in memory
//! shared with all subscribers, those of the log gathered into batches of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use vdom_core::BranchAddress;
use vdom_core::dom::events::{BatchEvent, EventBatch, EventSlice};

use crate::branch::{AppliedBatch, SharedEvents};

/// What is gathered to be sent at a time, but for an event that is larger.
const BATCH_BYTES: usize = 64 << 10;
/// The queue holds no more than that, a batch, and an event or what is shared.
const QUEUE_BYTES: usize = 1 << 20;

/// Events in order.
pub(super) struct EventQueue {
    address: BranchAddress,
    ready: VecDeque<EventSlice>,
    /// About the size of what is ready.
    ready_bytes: usize,
    /// The batch that is being gathered.
    open: Vec<BatchEvent>,
    /// About its size.
    open_bytes: usize,
}

impl EventQueue {
    /// Nothing yet of the branch at `address`.
    pub(super) fn new(address: BranchAddress) -> Self {
        let (ready, open) = (VecDeque::new(), Vec::new());
        Self { address, ready, ready_bytes: 0, open, open_bytes: 0 }
    }

    /// Takes what is wanted of a batch after `after`; false where it must be taken change
    /// by change.
    pub(super) fn push_batch(
        &mut self,
        batch: &AppliedBatch,
        after: u64,
        paths: &[String],
        with_diffs: bool,
    ) -> bool {
        let Some(events) = SharedEvents::of(batch, &self.address, with_diffs) else {
            return false;
        };
        let skipped = batch.changes.len() - batch.after(after).len();
        if paths.is_empty() {
            self.push_shared(EventSlice::new(Arc::clone(events), skipped..batch.changes.len()));
            return true;
        }
        // What is wanted and stands together is sent together.
        let mut start = skipped;
        for (index, applied) in batch.changes.iter().enumerate().skip(skipped) {
            if !applied.entry.change.is_below(paths) {
                self.push_shared(EventSlice::new(Arc::clone(events), start..index));
                start = index + 1;
            }
        }
        self.push_shared(EventSlice::new(Arc::clone(events), start..batch.changes.len()));
        true
    }

    pub(super) fn push(&mut self, event: BatchEvent) {
        self.open_bytes += event.bytes();
        self.open.push(event);
        if self.open_bytes >= BATCH_BYTES {
            self.seal();
        }
    }

    /// Whether it holds enough.
    pub(super) fn is_full(&self) -> bool {
        self.ready_bytes + self.open_bytes >= QUEUE_BYTES
    }

    /// The next events, and how many of them are changes.
    pub(super) fn pop(&mut self) -> Option<(EventSlice, u64)> {
        if self.ready.is_empty() {
            self.seal();
        }
        let events = self.ready.pop_front()?;
        self.ready_bytes -= events.bytes();
        let changes = events.events().iter().filter(|event| event.is_change()).count();
        Some((events, changes as u64))
    }

    /// The first revision that it holds, and how many changes of the same set come before
    /// that.
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        let ready = self.ready.iter().flat_map(EventSlice::events);
        let (revision, set) = ready.chain(&self.open).find_map(BatchEvent::revision)?;
        Some((revision, set.map_or(0, |position| position.index)))
    }

    fn push_shared(&mut self, events: EventSlice) {
        if !events.events().is_empty() {
            self.seal();
            self.ready_bytes += events.bytes();
            self.ready.push_back(events);
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let events = std::mem::take(&mut self.open);
            self.ready_bytes += std::mem::take(&mut self.open_bytes);
            let batch = EventBatch::new(self.address.clone(), events);
            self.ready.push_back(EventSlice::whole(batch));
        }
    }
}
