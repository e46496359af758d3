//! The changes of a batch handed on one by one, as they are stored.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use vdom_core::dom::change::{ChangeRecordHead, ChangeSetPosition, chain_hash};
use vdom_core::dom::events::StoredChange;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::names::is_covered_by;
use vdom_core::{ChangeSetHeader, Error, ErrorCode, Hash, Result};
use vdom_store::LogEntry;

use super::{PackCursor, Packed, Record, damaged_batch, damaged_view, manifest_of, shown_diff};
use crate::content::packs::PackReader;

/// Which changes are asked for, and what of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeFilter<'a> {
    /// Whole segments; empty: all.
    pub paths: &'a [String],
    /// The epoch that they are shown with.
    pub epoch: u64,
    /// Also diffs, up to 1 MiB each.
    pub with_diffs: bool,
    /// The last revision that is asked for.
    pub upto: u64,
}

/// How far a reader of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogCursor {
    /// Everything up to here was handed on, or is not asked for.
    pub after: u64,
    /// How many changes up to there belong to a change set that goes on.
    of_open_set: u32,
}

impl LogCursor {
    /// After a revision that ends a change set, if it is of one.
    pub(crate) fn new(after: u64) -> Self {
        Self { after, of_open_set: 0 }
    }

    /// Goes past the next change.
    pub(crate) fn pass(&mut self, revision: u64, set: Option<ChangeSetPosition>) {
        self.after = revision;
        self.of_open_set = match set {
            Some(position) if position.index + 1 < position.size => position.index + 1,
            _ => 0,
        };
    }

    /// The last revision up to here that a reader may resume from.
    pub(crate) fn resume_point(&self) -> u64 {
        self.after - u64::from(self.of_open_set)
    }
}

/// Hands on what is asked for of a batch after `cursor`, which goes along, until
/// `take`, given each, breaks off.
pub(crate) async fn each_stored(
    log_entry: &LogEntry,
    filter: ChangeFilter<'_>,
    cursor: &mut LogCursor,
    packs: &mut PackReader<'_>,
    take: &mut (impl FnMut(StoredChange) -> ControlFlow<()> + Send),
) -> Result<ControlFlow<()>> {
    let manifest = manifest_of(log_entry.number, &log_entry.batch.manifest)?;
    if manifest.hashes.is_some() {
        return Err(Error::new(ErrorCode::Compacted, "these changes are no longer kept"));
    }
    if let Some(packed) = &manifest.packed {
        return each_packed(log_entry, packed, filter, cursor, packs, take).await;
    }
    let body = &log_entry.batch.body;
    let (mut set, mut offset) = (None, 0);
    for stored in Stored::new(manifest.records, Some(manifest.hash))? {
        let (encoded, mut record, hash) = stored?;
        if record.set_header.is_some() || record.change_set.is_none() {
            set = record.set_header.take().map(Arc::new);
        }
        let (start, end) = (offset, offset + record.diff_length as usize);
        if end > body.len() {
            let why = format!("the diff of revision {} is cut", record.revision);
            return Err(damaged_batch(log_entry.number, why));
        }
        offset = end;
        let is_new = record.revision > cursor.after && record.revision <= filter.upto;
        cursor.pass_if(is_new, &record);
        if is_new && filter.covers(&record) {
            let diff = filter.diff(&record).then(|| body.slice(start..end));
            let encoded = log_entry.batch.manifest.slice_ref(encoded);
            if take(filter.change(encoded, &record, set.clone(), hash, diff)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

async fn each_packed(
    log_entry: &LogEntry,
    packed: &Packed,
    filter: ChangeFilter<'_>,
    cursor: &mut LogCursor,
    packs: &mut PackReader<'_>,
    take: &mut (impl FnMut(StoredChange) -> ControlFlow<()> + Send),
) -> Result<ControlFlow<()>> {
    let set = packed.header.clone().map(Arc::new);
    let mut before = log_entry.batch.first_revision - 1;
    for piece in &packed.pieces {
        before += u64::from(piece.count);
        if before <= cursor.after {
            continue;
        }
        let bytes = packs.pack(piece.chunk).await?;
        let records: Vec<Record<'_>> = minicbor::decode(&bytes).map_err(damaged_view)?;
        let mut diffs = PackCursor::of(piece);
        for stored in Stored::new(records, None)? {
            let (encoded, record, hash) = stored?;
            let part = diffs.next(&packed.packs, record.diff_length)?;
            let is_new = record.revision > cursor.after && record.revision <= filter.upto;
            cursor.pass_if(is_new, &record);
            if is_new && filter.covers(&record) {
                let diff = if filter.diff(&record) { Some(packs.part(&part).await?) } else { None };
                let encoded = bytes.slice_ref(encoded);
                if take(filter.change(encoded, &record, set.clone(), hash, diff)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

impl LogCursor {
    fn pass_if(&mut self, is_new: bool, record: &ChangeRecordHead<'_>) {
        if is_new {
            self.pass(record.revision, record.change_set);
        }
    }
}

impl ChangeFilter<'_> {
    fn covers(&self, record: &ChangeRecordHead<'_>) -> bool {
        let is_below = |prefix: &String| {
            is_covered_by(record.path, prefix)
                || record.old_path.is_some_and(|path| is_covered_by(path, prefix))
        };
        self.paths.is_empty() || self.paths.iter().any(is_below)
    }

    fn change(
        &self,
        encoded: Bytes,
        record: &ChangeRecordHead<'_>,
        set: Option<Arc<ChangeSetHeader>>,
        hash: Hash,
        diff: Option<Bytes>,
    ) -> StoredChange {
        let ChangeRecordHead { revision, change_set, .. } = *record;
        let diff = diff.and_then(shown_diff);
        StoredChange { record: encoded, revision, change_set, epoch: self.epoch, set, hash, diff }
    }

    fn diff(&self, record: &ChangeRecordHead<'_>) -> bool {
        self.with_diffs && record.diff_length as usize <= CHUNK_BYTES
    }
}

/// Records that follow one another, each with its hash: the next one names it.
struct Stored<'a> {
    rest: vec::IntoIter<Record<'a>>,
    next: Option<(&'a [u8], ChangeRecordHead<'a>)>,
    /// Of the last one, where it is known.
    last: Option<Hash>,
}

impl<'a> Stored<'a> {
    fn new(records: Vec<Record<'a>>, last: Option<Hash>) -> Result<Self> {
        let mut stored = Self { rest: records.into_iter(), next: None, last };
        stored.next = stored.decode()?;
        Ok(stored)
    }

    fn decode(&mut self) -> Result<Option<(&'a [u8], ChangeRecordHead<'a>)>> {
        let Some(Record(encoded)) = self.rest.next() else { return Ok(None) };
        Ok(Some((encoded, ChangeRecordHead::decode(encoded)?)))
    }
}

impl<'a> Iterator for Stored<'a> {
    type Item = Result<(&'a [u8], ChangeRecordHead<'a>, Hash)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (encoded, record) = self.next.take()?;
        self.next = match self.decode() {
            Ok(next) => next,
            Err(error) => return Some(Err(error)),
        };
        let hash = match (&self.next, self.last) {
            (Some((_, next)), _) => next.previous,
            (None, Some(last)) => last,
            (None, None) => chain_hash(encoded),
        };
        Some(Ok((encoded, record, hash)))
    }
}
