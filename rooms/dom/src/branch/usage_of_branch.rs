//! How much a branch takes, and how its realm hears of that.

use std::sync::atomic::Ordering;

use vdom_store::Position;

use crate::branch::usage::Usage;
use crate::branch::{AppliedBatch, AppliedChange, Branch};

impl Branch {
    /// How much the nodes take as far as the views count.
    pub(crate) fn usage_in_views(&self) -> Usage {
        self.usage_in_views.lock().0
    }

    /// The same, after changes; those that the views count already are left out.
    pub(crate) fn usage_after(&self, usage: Usage, changes: &[AppliedChange]) -> Usage {
        let counted = self.usage_in_views.lock().1;
        let is_later = |applied: &&AppliedChange| {
            let change = &applied.entry.change;
            Position { epoch: change.epoch, revision: change.revision } > counted
        };
        changes.iter().filter(is_later).fold(usage, |sum, applied| sum + applied.growth)
    }

    /// How much the nodes take, with what the views do not have yet.
    pub(crate) fn usage_now(&self) -> Usage {
        let state = self.state.read();
        state
            .unwritten()
            .fold(self.usage_in_views(), |usage, batch| self.usage_after(usage, &batch.changes))
    }

    /// Has the realm know how much the branch takes, from now on, as it serves; before that,
    /// and what only others continue, is counted from outside.
    pub(crate) fn begin_to_count(&self) {
        if self.head().closed {
            return;
        }
        for (log, _) in self.through_restores() {
            self.usage.set(log.log, log.usage_now());
        }
        self.counts.store(true, Ordering::Relaxed);
    }

    /// Counts what was committed.
    pub(super) fn count(&self, batch: &AppliedBatch) {
        if !self.counts.load(Ordering::Relaxed) {
            return;
        }
        if batch.head.closed {
            self.through_restores().for_each(|(log, _)| self.usage.remove(log.log));
        } else {
            let growth = self.usage_after(Usage::default(), &batch.changes);
            self.usage.grow(self.log, growth);
        }
    }
}
