//! Changes on their way to a subscriber that looks at each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use vdom_api::dom::StoredChange;
use vdom_core::dom::calls::{ChangeEvent, Event};
use vdom_core::limits::{SUBSCRIPTION_QUEUE_MAX_BYTES, SUBSCRIPTION_QUEUE_MAX_EVENTS};
use vdom_core::{Change, Result};

use super::Queue;
use crate::branch::Branch;

/// Events in order.
#[derive(Default)]
pub(super) struct Events {
    ready: VecDeque<Event>,
    /// Of the diffs.
    bytes: usize,
}

impl Queue for Events {
    type Item = Event;

    fn push(&mut self, _: &Branch, event: Event) {
        self.bytes += diff_bytes(&event);
        self.ready.push_back(event);
    }

    fn push_stored(
        &mut self,
        branch: &Branch,
        record: &[u8],
        stored: &StoredChange<'_>,
    ) -> Result<()> {
        let change = Arc::new(Change { epoch: stored.epoch, ..Change::decode(record)? });
        let (set, hash, diff) = (stored.set.cloned(), stored.hash, stored.diff.clone());
        self.push(branch, Event::Change(Box::new(ChangeEvent { change, set, hash, diff })));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.ready.len() >= SUBSCRIPTION_QUEUE_MAX_EVENTS
            || self.bytes >= SUBSCRIPTION_QUEUE_MAX_BYTES
    }

    fn pop(&mut self) -> Option<(Event, u64)> {
        let event = self.ready.pop_front()?;
        self.bytes -= diff_bytes(&event);
        let changes = matches!(event, Event::Change(_)).into();
        Some((event, changes))
    }

    fn first(&self) -> Option<(u64, u32)> {
        self.ready.iter().find_map(|event| match event {
            Event::Change(event) => {
                let index = event.change.change_set.map_or(0, |position| position.index);
                Some((event.change.revision, index))
            }
            Event::Progress { .. } => None,
        })
    }
}

fn diff_bytes(event: &Event) -> usize {
    match event {
        Event::Change(event) => event.diff.as_ref().map_or(0, Bytes::len),
        Event::Progress { .. } => 0,
    }
}
