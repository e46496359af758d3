//! Changes on their way to a subscriber as a transport sends them: those in memory
//! are encoded once for all subscribers, those of the log straight from its records.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use vdom_api::dom::{EventEncoder, StoredChange};
use vdom_core::dom::calls::{Event, Subscribe};
use vdom_core::dom::change::ChangeSetPosition;
use vdom_core::{Change, Result};

use super::{Queue, is_wanted};
use crate::branch::{AppliedBatch, Branch, EncodedBatch};
use crate::content::packs::StoredDiff;

/// What is sent at a time, but for an event that is larger.
const PIECE_BYTES: usize = 64 << 10;
/// The queue holds no more than that, a piece, and an event or what is shared.
const QUEUE_BYTES: usize = 1 << 20;

/// Pieces in order.
pub(super) struct Encoded {
    encoder: &'static dyn EventEncoder,
    ready: VecDeque<Piece>,
    /// Of the pieces that are ready.
    bytes: usize,
    /// The piece that is being written.
    open: Vec<u8>,
    of_open: Of,
}

/// One or more events that are sent together.
struct Piece {
    bytes: Bytes,
    of: Of,
}

/// What a piece has.
#[derive(Clone, Copy, Default)]
struct Of {
    changes: u64,
    /// The revision of the first change, and its place in its set.
    first: Option<(u64, u32)>,
}

impl Of {
    fn add(&mut self, revision: u64, set: Option<ChangeSetPosition>) {
        self.changes += 1;
        self.first.get_or_insert((revision, set.map_or(0, |position| position.index)));
    }
}

impl Encoded {
    /// Nothing yet.
    pub(super) fn new(encoder: &'static dyn EventEncoder) -> Self {
        let (ready, bytes) = (VecDeque::new(), 0);
        Self { encoder, ready, bytes, open: Vec::new(), of_open: Of::default() }
    }

    fn push_shared(&mut self, encoded: &EncodedBatch, changes: Range<usize>, of: Of) {
        self.seal();
        let bytes = encoded.start_of(changes.start)..encoded.start_of(changes.end);
        self.bytes += bytes.len();
        self.ready.push_back(Piece { bytes: encoded.bytes.slice(bytes), of });
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.bytes += self.open.len();
            let of = std::mem::take(&mut self.of_open);
            self.ready.push_back(Piece { bytes: std::mem::take(&mut self.open).into(), of });
        }
    }

    fn seal_if_large(&mut self) {
        if self.open.len() >= PIECE_BYTES {
            self.seal();
        }
    }
}

impl Queue for Encoded {
    type Item = Bytes;

    fn push_batch(
        &mut self,
        branch: &Branch,
        batch: &AppliedBatch,
        after: u64,
        request: &Subscribe,
    ) -> bool {
        let diffs = request.include_diffs;
        let is_inline = |diff: &StoredDiff| matches!(diff, StoredDiff::Inline(_));
        if diffs && !batch.changes.iter().all(|applied| is_inline(&applied.entry.diff)) {
            return false;
        }
        let form = 2 * self.encoder.form() + usize::from(diffs);
        let Some(form) = batch.encoded.0.get(form) else { return false };
        let encoded = form.get_or_init(|| EncodedBatch::new(branch, batch, diffs, self.encoder));
        // What is wanted and stands together is sent together.
        let skipped = batch.changes.len() - batch.after(after).len();
        let (mut start, mut of) = (skipped, Of::default());
        for (index, applied) in batch.changes.iter().enumerate().skip(skipped) {
            let change: &Change = &applied.entry.change;
            if is_wanted(&request.paths, change) {
                of.add(change.revision, change.change_set);
                continue;
            }
            if of.changes > 0 {
                self.push_shared(encoded, start..index, std::mem::take(&mut of));
            }
            start = index + 1;
        }
        if of.changes > 0 {
            self.push_shared(encoded, start..batch.changes.len(), of);
        }
        true
    }

    fn push(&mut self, branch: &Branch, event: Event) {
        if let Event::Change(event) = &event {
            self.of_open.add(event.change.revision, event.change.change_set);
        }
        self.encoder.event(&branch.address, event, &mut self.open);
        self.seal_if_large();
    }

    fn push_stored(&mut self, branch: &Branch, _: &[u8], stored: &StoredChange<'_>) -> Result<()> {
        if self.open.is_empty() {
            self.open.reserve(PIECE_BYTES + PIECE_BYTES / 8);
        }
        self.of_open.add(stored.record.revision, stored.record.change_set);
        self.encoder.stored(&branch.address, stored, &mut self.open);
        self.seal_if_large();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bytes + self.open.len() >= QUEUE_BYTES
    }

    fn pop(&mut self) -> Option<(Bytes, u64)> {
        if self.ready.is_empty() {
            self.seal();
        }
        let piece = self.ready.pop_front()?;
        self.bytes -= piece.bytes.len();
        Some((piece.bytes, piece.of.changes))
    }

    fn first(&self) -> Option<(u64, u32)> {
        self.ready.iter().find_map(|piece| piece.of.first).or(self.of_open.first)
    }
}
