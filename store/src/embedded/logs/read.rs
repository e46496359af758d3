//! Reads of logs: every batch was verified, in itself and against the one before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::index::LogIndex;
use crate::batch::codec::digest_in;
use crate::batch::{Batch, BatchOutline, LogEnds, LogEntry, OperationKey};
use crate::embedded::keys;
use crate::embedded::segments::{FrameKey, Location, ReadFault, SegmentFiles};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::incarnations::IncarnationSearch;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain::{self, LogTail};

/// So many places are looked up at once.
const LOCATIONS_AT_ONCE: usize = 256;

/// Few batches are shorter than this.
const LEAST_BATCH_BYTES: usize = 256;

/// Reads batches from the segments.
pub(in crate::embedded) struct LogReader {
    pub(super) index: Arc<LogIndex>,
    pub(super) files: Arc<SegmentFiles>,
}

impl LogReader {
    pub(in crate::embedded) fn batch(
        &self,
        log: LogId,
        number: u64,
    ) -> StoreResult<Option<LogEntry>> {
        let encoded = self.encoded(log, number)?;
        encoded.map(|encoded| decode(log, number, &encoded)).transpose()
    }

    /// Whether a batch stands at a number.
    pub(in crate::embedded) fn stands(&self, log: LogId, number: u64) -> StoreResult<bool> {
        Ok(self.index.location(log, number.max(1))?.is_some())
    }

    pub(in crate::embedded) fn batches(
        &self,
        log: LogId,
        from: u64,
        max_bytes: usize,
    ) -> StoreResult<Vec<LogEntry>> {
        let mut expected = from.max(1);
        let (mut page, mut bytes, mut before) = (Vec::new(), 0, None);
        loop {
            let at_once = (max_bytes / LEAST_BATCH_BYTES).clamp(1, LOCATIONS_AT_ONCE);
            let locations = self.index.locations(log, expected, at_once)?;
            let is_last = locations.len() < at_once;
            for (number, location) in locations {
                if number != expected {
                    return Err(missing(log, expected));
                }
                bytes += location.length as usize;
                if !page.is_empty() && bytes > max_bytes {
                    return Ok(page);
                }
                let encoded = self.at(log, number, location)?;
                let entry = decode(log, number, &encoded)?;
                if let Some(before) = before {
                    log_chain::check_chain(log, number, before, &entry.batch)?;
                }
                before = Some(digest_in(&encoded, &entry.batch));
                page.push(entry);
                expected += 1;
            }
            if is_last || bytes >= max_bytes {
                return Ok(page);
            }
        }
    }

    pub(in crate::embedded) fn last(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        Ok(self.last_and_digest(log)?.map(|(last, _)| last))
    }

    pub(in crate::embedded) fn ends(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        let mut found = Vec::with_capacity(logs.len());
        for log in logs.iter().copied() {
            let Some(last) = self.last(log)? else { continue };
            let last = BatchOutline::from(&last);
            let first = if last.number == 1 {
                last.clone()
            } else {
                let first = self.batch(log, 1)?.ok_or_else(|| missing(log, 1))?;
                BatchOutline::from(&first)
            };
            found.push(LogEnds { log, first, last });
        }
        Ok(found)
    }

    /// The end of a log, as the next append must follow it.
    pub(super) fn tail(&self, log: LogId) -> StoreResult<Option<LogTail>> {
        let last = self.last_and_digest(log)?;
        Ok(last.map(|(LogEntry { number, batch }, digest)| LogTail {
            number,
            digest,
            closing: batch.closing,
        }))
    }

    /// The last batch, and the digest that the next one must name.
    fn last_and_digest(&self, log: LogId) -> StoreResult<Option<(LogEntry, [u8; 32])>> {
        let Some((number, location)) = self.index.last(log)? else { return Ok(None) };
        let encoded = self.at(log, number, location)?;
        let last = decode(log, number, &encoded)?;
        let digest = digest_in(&encoded, &last.batch);
        Ok(Some((last, digest)))
    }

    pub(in crate::embedded) fn number_of(
        &self,
        log: LogId,
        revision: u64,
    ) -> StoreResult<Option<u64>> {
        self.index.number_of(log, revision)
    }

    pub(in crate::embedded) fn next_batches(
        &self,
        logs: &[(LogId, u64)],
    ) -> StoreResult<Vec<(LogId, LogEntry)>> {
        let mut found = Vec::new();
        for (log, number) in logs {
            if let Some(entry) = self.batch(*log, *number)? {
                found.push((*log, entry));
            }
        }
        Ok(found)
    }

    pub(in crate::embedded) fn operations(
        &self,
        log: LogId,
        operations: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        self.index.operations(log, operations)
    }

    pub(in crate::embedded) fn find(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        let newest = IncarnationSearch::run(name, |incarnation, log| {
            self.index.has_descriptor(&keys::descriptor(&name.incarnation(incarnation), log))
        })?;
        Ok(newest.map(|newest| name.incarnation(newest)))
    }

    pub(in crate::embedded) fn logs(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        let ranges = if filter.every_room {
            keys::DESCRIPTORS.map(|kind| keys::descriptors_of_realm(kind, &filter.realm)).to_vec()
        } else {
            vec![keys::descriptors(filter)]
        };
        let limit = filter.limit.unwrap_or(usize::MAX);
        // Of unlike numbers of segments, keys have another order.
        let read = if filter.is_in_order_of_names() { limit } else { usize::MAX };
        let mut logs = Vec::new();
        for (from, to) in ranges.iter().filter(|(from, to)| from < to && read > 0) {
            let before = logs.len();
            self.index.visit_descriptors(from, to, |log| {
                if filter.matches(&log.name) {
                    logs.push(log);
                }
                logs.len() - before < read
            })?;
        }
        logs.sort();
        logs.truncate(limit);
        Ok(logs)
    }

    pub(in crate::embedded) fn realms(&self) -> StoreResult<Vec<String>> {
        let mut realms = BTreeSet::new();
        for kind in keys::DESCRIPTORS {
            // From one realm straight to the next, however many logs it has.
            let (mut from, end) = keys::all_descriptors(kind);
            loop {
                let mut next = None;
                self.index.visit_descriptors(&from, &end, |log| {
                    next = Some(log.name.realm);
                    false
                })?;
                let Some(realm) = next else { break };
                from = keys::after_realm(kind, &realm);
                realms.insert(realm);
            }
        }
        Ok(realms.into_iter().collect())
    }

    /// A batch in its stored form.
    pub(super) fn encoded(&self, log: LogId, number: u64) -> StoreResult<Option<Bytes>> {
        let location = self.index.location(log, number)?;
        location.map(|location| self.at(log, number, location)).transpose()
    }

    /// The batch that stood at a location a moment ago; it may have been moved.
    fn at(&self, log: LogId, number: u64, mut location: Location) -> StoreResult<Bytes> {
        loop {
            if let Some(encoded) = self.read(log, number, location)? {
                return Ok(encoded);
            }
            match self.index.location(log, number)? {
                Some(moved) if moved != location => location = moved,
                _ => return Err(self.damaged(log, number, location)),
            }
        }
    }

    /// The batch at a location; `None` where its segment is gone.
    pub(super) fn read(
        &self,
        log: LogId,
        number: u64,
        location: Location,
    ) -> StoreResult<Option<Bytes>> {
        match self.files.read(location, FrameKey { id: log.0, number }) {
            Ok(encoded) => Ok(Some(encoded)),
            Err(ReadFault::SegmentGone) => Ok(None),
            Err(ReadFault::Damaged) => Err(self.damaged(log, number, location)),
            Err(ReadFault::Refused(error)) => Err(error),
        }
    }

    pub(super) fn damaged(&self, log: LogId, number: u64, location: Location) -> StoreError {
        self.files.damaged(location, format_args!("batch {number} of log {log}"))
    }
}

fn decode(log: LogId, number: u64, encoded: &Bytes) -> StoreResult<LogEntry> {
    let batch = Batch::decode(encoded).map_err(|mut error| {
        error.message = format!("batch {number} of log {log}: {}", error.message);
        error
    })?;
    Ok(LogEntry { number, batch })
}

fn missing(log: LogId, number: u64) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format_args!(
            "the store is damaged: batch {number} of log {log} is missing; \
             restore it from a backup"
        ),
    )
}
