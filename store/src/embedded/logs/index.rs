//! Where every batch is: in memory what is recent, in the engine the rest.
//!
//! What the engine has is written behind, in bulk and without a sync, because it can be derived
//! from the segments again: its row [`keys::INDEXED`] says up to where it is complete.
//!
//! An entry moves from memory to the engine and never back, so whoever looks in memory first and
//! takes a snapshot of the engine after that misses nothing.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::recent::{IndexChange, RecentIndex, RecentOperation, row};
use crate::batch::OperationKey;
use crate::embedded::engine::{Engine, RowChange};
use crate::embedded::keyspace::Keyspace;
use crate::embedded::segments::{Location, SegmentPosition};
use crate::embedded::{keys, read, record};
use crate::error::StoreResult;
use crate::log::{LogDescriptor, LogId};

/// So many rows are written to the engine at once: other writes wait meanwhile.
const ROWS_AT_ONCE: usize = 512;

/// So many descriptors are taken from memory at once.
const DESCRIPTORS_AT_ONCE: usize = 128;

/// Memory may hold so many times what makes it be written behind; then whoever appends writes it
/// first.
const OVERRUN: usize = 4;

/// The index of all logs.
pub(super) struct LogIndex {
    engine: Arc<Engine>,
    recent: RwLock<Recent>,
    /// Above this, in bytes, memory shall be written behind.
    recent_bytes: usize,
    /// How many bytes of each segment were replaced, as the engine has it.
    replaced: Mutex<BTreeMap<u32, u64>>,
    /// Held while memory is written behind.
    writing: Mutex<()>,
}

struct Recent {
    /// What is being written to the engine.
    leaving: Option<Arc<RecentIndex>>,
    newest: RecentIndex,
}

impl Recent {
    /// The newest first.
    fn parts(&self) -> impl Iterator<Item = &RecentIndex> {
        [&self.newest].into_iter().chain(self.leaving.as_deref())
    }
}

impl LogIndex {
    /// The index as the engine has it.
    pub(super) fn open(engine: Arc<Engine>, recent_bytes: usize) -> StoreResult<Self> {
        let snapshot = engine.snapshot();
        let start = read::indexed(&snapshot, Keyspace::Index)?;
        let replaced = read::replaced(&snapshot, Keyspace::Index)?;
        drop(snapshot);
        let recent = Recent { leaving: None, newest: RecentIndex::since(start) };
        Ok(Self {
            engine,
            recent: RwLock::new(recent),
            recent_bytes,
            replaced: Mutex::new(replaced),
            writing: Mutex::new(()),
        })
    }

    /// Up to where the frames are known.
    pub(super) fn end(&self) -> SegmentPosition {
        self.recent.read().newest.end()
    }

    /// Takes in frames that end there.
    pub(super) fn take(
        &self,
        changes: impl IntoIterator<Item = IndexChange>,
        end: SegmentPosition,
    ) {
        let mut recent = self.recent.write();
        for change in changes {
            recent.newest.take(change);
        }
        recent.newest.set_end(end);
    }

    /// Whether memory shall be written behind, and nobody does it yet.
    pub(super) fn is_large(&self) -> bool {
        let recent = self.recent.read();
        recent.leaving.is_none() && recent.newest.bytes() >= self.recent_bytes
    }

    /// Whether memory holds so much that nothing more shall be taken in first.
    pub(super) fn is_overrun(&self) -> bool {
        self.recent.read().newest.bytes() >= OVERRUN * self.recent_bytes
    }

    pub(super) fn location(&self, log: LogId, number: u64) -> StoreResult<Option<Location>> {
        let recent = self.recent.read().parts().find_map(|part| part.location(log, number));
        if recent.is_some() {
            return Ok(recent);
        }
        let key = keys::location(log, number);
        let bytes = self.engine.snapshot().get(Keyspace::Index, &key)?;
        bytes.map(|bytes| record::decode_location(&key, &bytes)).transpose()
    }

    /// Where the first batches of a log from a number on are, at most `limit` of them.
    pub(super) fn locations(
        &self,
        log: LogId,
        from: u64,
        limit: usize,
    ) -> StoreResult<Vec<(u64, Location)>> {
        let mut found = BTreeMap::new();
        {
            let recent = self.recent.read();
            // What is newer stays.
            for part in recent.parts() {
                for (number, location) in part.locations(log, from).take(limit) {
                    found.entry(number).or_insert(location);
                }
            }
        }
        let (start, end) = (keys::location(log, from), keys::location(log, u64::MAX));
        let snapshot = self.engine.snapshot();
        let rows = snapshot.range(Keyspace::Index, Included(&start), Included(&end));
        for row in rows.take(limit) {
            let (key, bytes) = row?;
            let number = number_of_key(&key)?;
            found.entry(number).or_insert(record::decode_location(&key, &bytes)?);
        }
        Ok(found.into_iter().take(limit).collect())
    }

    /// The last batch of a log.
    pub(super) fn last(&self, log: LogId) -> StoreResult<Option<(u64, Location)>> {
        let recent = {
            let recent = self.recent.read();
            let mut last = None;
            for (number, location) in recent.parts().filter_map(|part| part.last(log)) {
                if last.is_none_or(|(before, _)| before < number) {
                    last = Some((number, location));
                }
            }
            last
        };
        let (start, end) = (keys::location(log, 0), keys::location(log, u64::MAX));
        let snapshot = self.engine.snapshot();
        let mut rows = snapshot.range(Keyspace::Index, Included(&start), Included(&end));
        let Some(row) = rows.next_back() else { return Ok(recent) };
        let (key, bytes) = row?;
        let number = number_of_key(&key)?;
        match recent {
            Some((newest, location)) if number <= newest => Ok(Some((newest, location))),
            _ => Ok(Some((number, record::decode_location(&key, &bytes)?))),
        }
    }

    pub(super) fn number_of(&self, log: LogId, revision: u64) -> StoreResult<Option<u64>> {
        // All that memory holds is newer than what the engine has.
        let recent = self.recent.read().parts().find_map(|part| part.number_of(log, revision));
        if recent.is_some() {
            return Ok(recent);
        }
        let (from, to) = (keys::revision(log, 0), keys::revision(log, revision));
        let snapshot = self.engine.snapshot();
        let mut rows = snapshot.range(Keyspace::Index, Included(&from), Included(&to));
        let Some(row) = rows.next_back() else { return Ok(None) };
        let (key, number) = row?;
        record::decode_number(&key, &number).map(Some)
    }

    /// For each operation the newest batch that carries it.
    pub(super) fn operations(
        &self,
        log: LogId,
        operations: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        let recent: Vec<_> = {
            let recent = self.recent.read();
            let find =
                |key: &OperationKey| recent.parts().find_map(|part| part.operation(log, *key));
            operations.iter().map(find).collect()
        };
        let snapshot = self.engine.snapshot();
        let find = |(operation, recent): (&OperationKey, Option<RecentOperation>)| {
            if let Some(recent) = recent {
                return Ok(recent.number());
            }
            let key = keys::operation(log, *operation);
            let number = snapshot.get(Keyspace::Index, &key)?;
            number.map(|number| record::decode_number(&key, &number)).transpose()
        };
        operations.iter().zip(recent).map(find).collect()
    }

    /// Those of a batch's operations that are found in it: some may have been used again since.
    pub(super) fn operations_found_in(
        &self,
        log: LogId,
        number: u64,
        mut operations: Vec<OperationKey>,
    ) -> StoreResult<Vec<OperationKey>> {
        let mut found = self.operations(log, &operations)?.into_iter();
        operations.retain(|_| found.next() == Some(Some(number)));
        Ok(operations)
    }

    /// Whether the row of a descriptor is there.
    pub(super) fn has_descriptor(&self, key: &[u8]) -> StoreResult<bool> {
        if self.recent.read().parts().any(|part| part.has_descriptor(key)) {
            return Ok(true);
        }
        Ok(self.engine.snapshot().get(Keyspace::Index, key)?.is_some())
    }

    /// Hands the descriptors from one key to before another to `visit`, in order, until it has
    /// seen enough.
    pub(super) fn visit_descriptors(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(LogDescriptor) -> bool,
    ) -> StoreResult<()> {
        let mut from = from.to_vec();
        loop {
            let (recent, complete_to) = self.recent_descriptors(&from, to);
            if !self.visit_merged(recent, &from, complete_to.as_deref(), to, &mut visit)? {
                return Ok(());
            }
            let Some(complete_to) = complete_to else { return Ok(()) };
            from = [&complete_to[..], &[0]].concat();
        }
    }

    /// Hands descriptors of memory and those of the engine, up to a key or to before `to`, to
    /// `visit`; false once it has seen enough.
    fn visit_merged(
        &self,
        recent: Vec<(Bytes, Bytes)>,
        from: &[u8],
        complete_to: Option<&[u8]>,
        to: &[u8],
        visit: &mut impl FnMut(LogDescriptor) -> bool,
    ) -> StoreResult<bool> {
        let end = complete_to.map_or(Excluded(to), Included);
        let snapshot = self.engine.snapshot();
        let rows = snapshot.range(Keyspace::Index, Included(from), end);
        let (mut recent, mut rows) = (recent.into_iter().peekable(), rows.peekable());
        loop {
            let is_recent = match (recent.peek(), rows.peek()) {
                (Some((recent, _)), Some(Ok((row, _)))) => recent <= row,
                (recent, _) => recent.is_some(),
            };
            let next = if is_recent { recent.next().map(Ok) } else { rows.next() };
            let Some(next) = next else { return Ok(true) };
            let (key, descriptor) = next?;
            if is_recent {
                // It is in both while it moves.
                rows.next_if(|row| row.as_ref().is_ok_and(|(other, _)| *other == key));
            }
            let descriptor = minicbor::decode(&descriptor);
            if !visit(descriptor.map_err(|error| record::damaged(&key, error))?) {
                return Ok(false);
            }
        }
    }

    /// The first rows of descriptors that memory holds, and up to which key these are all; `None`
    /// where they are all there are.
    fn recent_descriptors(&self, from: &[u8], to: &[u8]) -> (Vec<(Bytes, Bytes)>, Option<Bytes>) {
        let recent = self.recent.read();
        let (mut rows, mut complete_to) = (Vec::new(), None::<Bytes>);
        for part in recent.parts() {
            let before = rows.len();
            rows.extend(part.descriptors(from, to, DESCRIPTORS_AT_ONCE));
            if rows.len() - before == DESCRIPTORS_AT_ONCE
                && let Some((last, _)) = rows.last()
                && complete_to.as_ref().is_none_or(|key| last < key)
            {
                complete_to = Some(last.clone());
            }
        }
        drop(recent);
        rows.retain(|(key, _)| complete_to.as_ref().is_none_or(|last| key <= last));
        rows.sort_unstable();
        (rows, complete_to)
    }

    /// Writes to the engine what memory holds, after whoever does that already.
    pub(super) fn write_behind(&self) -> Result<(), fjall::Error> {
        let _one = self.writing.lock();
        let leaving = {
            let mut recent = self.recent.write();
            // What could not be written is written again.
            let leaving = recent.leaving.take().unwrap_or_else(|| {
                let start = recent.newest.end();
                Arc::new(std::mem::replace(&mut recent.newest, RecentIndex::since(start)))
            });
            recent.leaving = Some(Arc::clone(&leaving));
            leaving
        };
        // In this order they become durable: what is said of a batch, its location, the end.
        let mut rows: Vec<RowChange> = Vec::with_capacity(ROWS_AT_ONCE);
        for row in leaving.rows() {
            rows.push(row);
            if rows.len() >= ROWS_AT_ONCE {
                self.engine.write(rows.drain(..), false)?;
            }
        }
        let mut replaced = self.replaced();
        for (segment, bytes) in leaving.replaced() {
            let total = replaced.entry(*segment).or_default();
            *total += bytes;
            rows.push(row(keys::segment(*segment), Some(&total.to_be_bytes())));
        }
        rows.push(indexed(leaving.end()));
        self.engine.write(rows.drain(..), false)?;
        *self.replaced.lock() = replaced;
        self.recent.write().leaving = None;
        Ok(())
    }

    /// How many bytes of each segment were replaced, as far as that was written behind.
    pub(super) fn replaced(&self) -> BTreeMap<u32, u64> {
        self.replaced.lock().clone()
    }

    /// Forgets all segments but those that there are, in ascending order.
    pub(super) fn keep_segments(&self, segments: &[u32]) -> Result<(), fjall::Error> {
        let gone = |segment: &u32| segments.binary_search(segment).is_err();
        let gone: Vec<_> = self.replaced().into_keys().filter(gone).collect();
        gone.into_iter().try_for_each(|segment| self.forget_segment(segment))
    }

    /// Forgets a segment that is gone.
    pub(super) fn forget_segment(&self, segment: u32) -> Result<(), fjall::Error> {
        let _one = self.writing.lock();
        self.replaced.lock().remove(&segment);
        self.engine.write([row(keys::segment(segment), None)], false)
    }
}

/// The row that says up to where the engine's index is complete.
pub(super) fn indexed(end: SegmentPosition) -> RowChange {
    row(keys::INDEXED.to_vec(), Some(&end.encode()))
}

fn number_of_key(key: &[u8]) -> StoreResult<u64> {
    keys::number_of_location(key).ok_or_else(|| record::damaged(key, "the key has another length"))
}
