//! Where batches are that the engine's index does not know yet.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use crate::batch::{Batch, OperationKey};
use crate::embedded::engine::RowChange;
use crate::embedded::keyspace::Keyspace;
use crate::embedded::segments::{Location, SegmentPosition};
use crate::embedded::{keys, record};
use crate::log::LogId;

/// What one frame changes in the index.
#[derive(Debug)]
pub(super) struct IndexChange {
    pub(super) log: LogId,
    pub(super) number: u64,
    pub(super) location: Location,
    pub(super) kind: ChangeKind,
}

#[derive(Debug)]
pub(super) enum ChangeKind {
    /// A new batch at the end of its log.
    Appended {
        operations: Vec<OperationKey>,
        /// Where the batch holds changes.
        first_revision: Option<u64>,
        /// The key and the value of the row that lists the log.
        descriptor: Option<(Vec<u8>, Vec<u8>)>,
    },
    /// The same batch, or what compaction left of it, in another place.
    Replaced {
        old: Location,
        /// Operations that are not found any more.
        removed: Vec<OperationKey>,
    },
}

impl ChangeKind {
    pub(super) fn appended(log: LogId, batch: &Batch) -> Self {
        let descriptor = batch.descriptor.as_ref().map(|descriptor| {
            let row = minicbor::to_vec(descriptor);
            let row = row.unwrap_or_else(|error| unreachable!("a name is encoded: {error}"));
            (keys::descriptor(descriptor, log), row)
        });
        Self::Appended {
            operations: batch.operations.clone(),
            first_revision: (batch.count > 0).then_some(batch.first_revision),
            descriptor,
        }
    }
}

/// What memory knows of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecentOperation {
    /// The newest batch that carries it.
    In(u64),
    /// It was compacted away.
    Removed,
}

impl RecentOperation {
    /// The batch that carries it, where one does.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::In(number) => Some(number),
            Self::Removed => None,
        }
    }
}

/// The index of the frames since the engine's was written; what it holds of a batch or an
/// operation is newer than what the engine has.
#[derive(Default)]
pub(super) struct RecentIndex {
    batches: BTreeMap<(LogId, u64), Location>,
    /// The numbers of batches by their first revisions.
    revisions: BTreeMap<(LogId, u64), u64>,
    operations: HashMap<(LogId, OperationKey), RecentOperation>,
    descriptors: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many bytes of frames were replaced, by segment.
    replaced: BTreeMap<u32, u64>,
    /// Where the last of the frames has ended.
    end: SegmentPosition,
    /// About how much memory this takes.
    bytes: usize,
}

/// What an entry of each map takes, with its share of the map's own room.
const BATCH_BYTES: usize = 80;
const REVISION_BYTES: usize = 70;
const OPERATION_BYTES: usize = 110;
const DESCRIPTOR_BYTES: usize = 100;

impl RecentIndex {
    /// Of frames that begin there.
    pub(super) fn since(start: SegmentPosition) -> Self {
        Self { end: start, ..Self::default() }
    }

    pub(super) fn take(&mut self, change: IndexChange) {
        let IndexChange { log, number, location, kind } = change;
        self.batches.insert((log, number), location);
        self.bytes += BATCH_BYTES;
        match kind {
            ChangeKind::Appended { operations, first_revision, descriptor } => {
                self.bytes += OPERATION_BYTES * operations.len();
                for operation in operations {
                    self.operations.insert((log, operation), RecentOperation::In(number));
                }
                if let Some(revision) = first_revision {
                    self.revisions.insert((log, revision), number);
                    self.bytes += REVISION_BYTES;
                }
                if let Some((key, row)) = descriptor {
                    self.bytes += DESCRIPTOR_BYTES + key.len() + row.len();
                    self.descriptors.insert(key, row);
                }
            }
            ChangeKind::Replaced { old, removed } => {
                let frame_bytes = u64::from(old.frame_bytes());
                *self.replaced.entry(old.at.segment).or_default() += frame_bytes;
                self.bytes += OPERATION_BYTES * removed.len();
                let removed = removed.into_iter().map(|key| ((log, key), RecentOperation::Removed));
                self.operations.extend(removed);
            }
        }
    }

    /// Notes that all frames up to there are taken in.
    pub(super) fn set_end(&mut self, end: SegmentPosition) {
        self.end = end;
    }

    pub(super) fn end(&self) -> SegmentPosition {
        self.end
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn location(&self, log: LogId, number: u64) -> Option<Location> {
        self.batches.get(&(log, number)).copied()
    }

    /// The first batches of a log from a number on, in order.
    pub(super) fn locations(
        &self,
        log: LogId,
        from: u64,
    ) -> impl Iterator<Item = (u64, Location)> + '_ {
        let range = self.batches.range((log, from)..=(log, u64::MAX));
        range.map(|((_, number), location)| (*number, *location))
    }

    pub(super) fn last(&self, log: LogId) -> Option<(u64, Location)> {
        let mut range = self.batches.range((log, 0)..=(log, u64::MAX));
        range.next_back().map(|((_, number), location)| (*number, *location))
    }

    /// The batch with the greatest first revision at or below one.
    pub(super) fn number_of(&self, log: LogId, revision: u64) -> Option<u64> {
        let mut range = self.revisions.range((log, 0)..=(log, revision));
        range.next_back().map(|(_, number)| *number)
    }

    /// `None` for an operation that memory knows nothing of.
    pub(super) fn operation(&self, log: LogId, key: OperationKey) -> Option<RecentOperation> {
        self.operations.get(&(log, key)).copied()
    }

    pub(super) fn has_descriptor(&self, key: &[u8]) -> bool {
        self.descriptors.contains_key(key)
    }

    /// The first rows of the descriptors from one key to before another.
    pub(super) fn descriptors(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> impl Iterator<Item = (Bytes, Bytes)> {
        let range = self.descriptors.range::<[u8], _>((Included(from), Excluded(to)));
        range.take(limit).map(|(key, row)| (key.clone().into(), row.clone().into()))
    }

    pub(super) fn replaced(&self) -> &BTreeMap<u32, u64> {
        &self.replaced
    }

    /// The rows of the engine's index, but for those about segments. A location is the last of
    /// what is said of its batch: where it is written, all of that is.
    pub(super) fn rows(&self) -> impl Iterator<Item = RowChange> + '_ {
        let batches = self.batches.iter().map(|((log, number), location)| {
            row(keys::location(*log, *number), Some(&location.encode()))
        });
        let mut operations: Vec<_> = self.operations.iter().collect();
        operations.sort_unstable();
        let operations = operations.into_iter().map(|((log, key), number)| {
            let number = number.number().map(u64::to_be_bytes);
            row(keys::operation(*log, *key), number.as_ref().map(|number| &number[..]))
        });
        let revisions = self.revisions.iter().map(|((log, revision), number)| {
            row(keys::revision(*log, *revision), Some(&number.to_be_bytes()))
        });
        let descriptors = self.descriptors.iter().map(|(key, value)| row(key.clone(), Some(value)));
        operations.chain(revisions).chain(descriptors).chain(batches)
    }
}

/// A row of the engine's index; `None` removes it.
pub(super) fn row(key: Vec<u8>, value: Option<&[u8]>) -> RowChange {
    let value = value.map(|value| record::seal(&key, value));
    (Keyspace::Index, key, value)
}
