//! Reads: every answer was verified, in itself and against what it must agree with.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use super::commit_marker::LastGroups;
use super::engine::Snapshot;
use super::keyspace::{KEYSPACES, Keyspace};
use super::{keys, record};
use crate::batch::codec::digest_in;
use crate::batch::{Batch, BatchOutline, LogEnds, LogEntry, OperationKey};
use crate::chunk::{ChunkId, StoredChunk};
use crate::error::StoreResult;
use crate::incarnations::IncarnationSearch;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain::{self, LogTail};
use crate::view::{PathRange, View, ViewKind, Watermark};

pub(super) fn batch(
    snapshot: &Snapshot<'_>,
    log: LogId,
    number: u64,
) -> StoreResult<Option<LogEntry>> {
    let encoded = snapshot.get(Keyspace::Logs, &keys::batch(log, number))?;
    encoded.map(|encoded| decode(log, number, &encoded)).transpose()
}

/// Whether a batch stands at a number.
pub(super) fn stands(snapshot: &Snapshot<'_>, log: LogId, number: u64) -> StoreResult<bool> {
    Ok(snapshot.get(Keyspace::Logs, &keys::batch(log, number.max(1)))?.is_some())
}

pub(super) fn batches(
    snapshot: &Snapshot<'_>,
    log: LogId,
    from: u64,
    max_bytes: usize,
) -> StoreResult<Vec<LogEntry>> {
    let from = from.max(1);
    let (start, end) = (keys::batch(log, from), keys::batch(log, u64::MAX));
    let rows = snapshot.range(Keyspace::Logs, Included(&start[..]), Included(&end[..]));
    let (mut page, mut bytes, mut before) = (Vec::new(), 0, None);
    for (expected, row) in (from..=u64::MAX).zip(rows) {
        let (key, encoded) = row?;
        if keys::number_of_batch(&key) != Some(expected) {
            return Err(record::damaged(&key, format_args!("batch {expected} is missing")));
        }
        bytes += encoded.len();
        if !page.is_empty() && bytes > max_bytes {
            break;
        }
        let row = decode(log, expected, &encoded)?;
        let digest = digest_in(&encoded, &row.batch);
        if let Some(before) = before {
            log_chain::check_chain(log, expected, before, &row.batch)?;
        }
        before = Some(digest);
        page.push(row);
    }
    Ok(page)
}

pub(super) fn last(snapshot: &Snapshot<'_>, log: LogId) -> StoreResult<Option<LogEntry>> {
    let last = last_encoded(snapshot, log)?;
    last.map(|(number, encoded)| decode(log, number, &encoded)).transpose()
}

pub(super) fn ends(snapshot: &Snapshot<'_>, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
    let mut found = Vec::with_capacity(logs.len());
    for log in logs.iter().copied() {
        let Some(last) = last(snapshot, log)? else { continue };
        let last = BatchOutline::from(&last);
        let first = if last.number == 1 {
            last.clone()
        } else {
            let key = keys::batch(log, 1);
            let missing = || record::damaged(&key, "the first batch is missing");
            BatchOutline::from(&batch(snapshot, log, 1)?.ok_or_else(missing)?)
        };
        found.push(LogEnds { log, first, last });
    }
    Ok(found)
}

/// The end of a log, as the next append must follow it.
pub(super) fn tail(snapshot: &Snapshot<'_>, log: LogId) -> StoreResult<Option<LogTail>> {
    let Some((number, encoded)) = last_encoded(snapshot, log)? else { return Ok(None) };
    let batch = decode(log, number, &encoded)?.batch;
    let digest = digest_in(&encoded, &batch);
    Ok(Some(LogTail { number, digest, closing: batch.closing }))
}

pub(super) fn number_of(
    snapshot: &Snapshot<'_>,
    log: LogId,
    revision: u64,
) -> StoreResult<Option<u64>> {
    let (from, to) = (keys::revision(log, 0), keys::revision(log, revision));
    let mut rows = snapshot.range(Keyspace::Index, Included(&from[..]), Included(&to[..]));
    let Some(row) = rows.next_back() else { return Ok(None) };
    let (key, number) = row?;
    record::decode_number(&key, &number).map(Some)
}

pub(super) fn next_batches(
    snapshot: &Snapshot<'_>,
    logs: &[(LogId, u64)],
) -> StoreResult<Vec<(LogId, LogEntry)>> {
    let mut found = Vec::new();
    for (log, number) in logs {
        if let Some(row) = batch(snapshot, *log, *number)? {
            found.push((*log, row));
        }
    }
    Ok(found)
}

pub(super) fn operations(
    snapshot: &Snapshot<'_>,
    log: LogId,
    operations: &[OperationKey],
) -> StoreResult<Vec<Option<u64>>> {
    let find = |operation: &OperationKey| {
        let key = keys::operation(log, *operation);
        let number = snapshot.get(Keyspace::Index, &key)?;
        number.map(|number| record::decode_number(&key, &number)).transpose()
    };
    operations.iter().map(find).collect()
}

pub(super) fn find(snapshot: &Snapshot<'_>, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
    let newest = IncarnationSearch::run(name, |incarnation, log| {
        let key = keys::descriptor(&name.incarnation(incarnation), log);
        Ok(snapshot.get(Keyspace::Index, &key)?.is_some())
    })?;
    Ok(newest.map(|newest| name.incarnation(newest)))
}

pub(super) fn logs(snapshot: &Snapshot<'_>, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
    let ranges = if filter.every_room {
        keys::DESCRIPTORS.map(|kind| keys::descriptors_of_realm(kind, &filter.realm)).to_vec()
    } else {
        vec![keys::descriptors(filter)]
    };
    let limit = filter.limit.unwrap_or(usize::MAX);
    // Of unlike numbers of segments, keys have another order.
    let read = if filter.is_in_order_of_names() { limit } else { usize::MAX };
    let mut logs = Vec::new();
    for (from, to) in ranges.iter().filter(|(from, to)| from < to) {
        let found = descriptors(snapshot, from, to)
            .filter(|log| log.as_ref().map_or(true, |log| filter.matches(&log.name)))
            .take(read);
        for log in found {
            logs.push(log?);
        }
    }
    logs.sort();
    logs.truncate(limit);
    Ok(logs)
}

pub(super) fn realms(snapshot: &Snapshot<'_>) -> StoreResult<Vec<String>> {
    let mut realms = BTreeSet::new();
    for kind in keys::DESCRIPTORS {
        // From one realm straight to the next, however many logs it has.
        let (mut from, end) = keys::all_descriptors(kind);
        loop {
            let next = descriptors(snapshot, &from, &end).next();
            let Some(log) = next else { break };
            let realm = log?.name.realm;
            from = keys::after_realm(kind, &realm);
            realms.insert(realm);
        }
    }
    Ok(realms.into_iter().collect())
}

pub(super) fn watermark(snapshot: &Snapshot<'_>, log: LogId) -> StoreResult<Watermark> {
    let key = keys::watermark(log);
    let bytes = snapshot.get(Keyspace::Views, &key)?;
    bytes.map_or(Ok(Watermark::default()), |bytes| record::decode_watermark(&key, &bytes))
}

pub(super) fn view(
    snapshot: &Snapshot<'_>,
    log: LogId,
    kind: ViewKind,
    id: &[u8],
) -> StoreResult<Option<View>> {
    let key = keys::row(log, kind, id);
    let row = snapshot.get(Keyspace::Views, &key)?;
    row.map(|row| record::decode_row(&key, Bytes::copy_from_slice(id), &row)).transpose()
}

pub(super) fn views_at(
    snapshot: &Snapshot<'_>,
    log: LogId,
    kind: ViewKind,
    path: &str,
) -> StoreResult<Vec<View>> {
    let (from, to) = keys::rows_at(log, kind, path);
    let mut views = Vec::new();
    for row in snapshot.range(Keyspace::Views, Included(&from), Excluded(&to)) {
        let (key, _) = row?;
        let view = view_of_path(snapshot, log, kind, &key)?;
        if view.live {
            views.push(view);
        }
    }
    Ok(views)
}

pub(super) fn paths(
    snapshot: &Snapshot<'_>,
    log: LogId,
    kind: ViewKind,
    range: &PathRange,
) -> StoreResult<Vec<View>> {
    let after = range.after.as_ref().map(|(path, id)| keys::path(log, kind, path, id));
    // What is at the prefix comes before what is below it, siblings lie between.
    let parts = if range.prefix.is_empty() {
        vec![keys::all_rows(log, kind)]
    } else {
        vec![keys::rows_at(log, kind, &range.prefix), keys::rows_below(log, kind, &range.prefix)]
    };
    let mut views = Vec::new();
    for (from, to) in &parts {
        let from = match &after {
            Some(after) if after >= from => Excluded(&after[..]),
            _ => Included(&from[..]),
        };
        for row in snapshot.range(Keyspace::Views, from, Excluded(to)) {
            if views.len() >= range.limit {
                return Ok(views);
            }
            let (key, live) = row?;
            if range.include_tombstones || live[..] == [1] {
                views.push(view_of_path(snapshot, log, kind, &key)?);
            }
        }
    }
    Ok(views)
}

pub(super) fn rows_in_reverse(
    snapshot: &Snapshot<'_>,
    log: LogId,
    kind: ViewKind,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> StoreResult<Vec<View>> {
    let (from, to) = (keys::row(log, kind, from), keys::row(log, kind, to));
    let rows = snapshot.range(Keyspace::Views, Included(&from[..]), Included(&to[..]));
    rows.rev()
        .take(limit)
        .map(|row| {
            let (key, row) = row?;
            record::decode_row(&key, keys::id_of_row(&key), &row)
        })
        .collect()
}

pub(super) fn chunk(
    snapshot: &Snapshot<'_>,
    realm: &str,
    id: ChunkId,
) -> StoreResult<Option<Bytes>> {
    snapshot.get(Keyspace::Chunks, &keys::chunk(realm, id))
}

/// When a chunk was last put, in ms since the Unix epoch.
pub(super) fn touched(
    snapshot: &Snapshot<'_>,
    realm: &str,
    id: ChunkId,
) -> StoreResult<Option<u64>> {
    let key = keys::touched(realm, id);
    let at = snapshot.get(Keyspace::Chunks, &key)?;
    at.map(|at| record::decode_number(&key, &at)).transpose()
}

pub(super) fn chunks(
    snapshot: &Snapshot<'_>,
    realm: &str,
    after: Option<ChunkId>,
    limit: usize,
) -> StoreResult<Vec<StoredChunk>> {
    let (first, end) = keys::all_touched();
    let after = after.map(|after| keys::touched(realm, after));
    let from = after.as_deref().map_or(Included(&first[..]), Excluded);
    let mut chunks = Vec::new();
    for row in snapshot.range(Keyspace::Chunks, from, Excluded(&end)) {
        let (key, at) = row?;
        let Some((id, of)) = keys::chunk_of_touched(&key) else {
            return Err(record::damaged(&key, "it names no chunk"));
        };
        if of == realm.as_bytes() {
            chunks.push(StoredChunk { id, touched_ms: record::decode_number(&key, &at)? });
        }
        if chunks.len() >= limit {
            break;
        }
    }
    Ok(chunks)
}

/// The keys of the rows of a log, of their paths, and of its watermark, at most `limit`.
pub(super) fn keys_of_views(
    snapshot: &Snapshot<'_>,
    log: LogId,
    limit: usize,
) -> StoreResult<Vec<Bytes>> {
    let mut found = Vec::new();
    // The watermark first: without it, what is left counts for nothing.
    for (from, to) in keys::all_views(log) {
        for row in snapshot.range(Keyspace::Views, Included(&from[..]), Included(&to[..])) {
            if found.len() >= limit {
                return Ok(found);
            }
            found.push(row?.0);
        }
    }
    Ok(found)
}

/// For each keyspace the last durable group that wrote to it.
pub(super) fn last_groups(snapshot: &Snapshot<'_>) -> StoreResult<LastGroups> {
    let mut groups = LastGroups::default();
    for ((keyspace, _), group) in KEYSPACES.iter().zip(&mut groups) {
        if let Some(number) = snapshot.get(*keyspace, keys::LAST_GROUP)? {
            *group = record::decode_number(keys::LAST_GROUP, &number)?;
        }
    }
    Ok(groups)
}

fn last_encoded(snapshot: &Snapshot<'_>, log: LogId) -> StoreResult<Option<(u64, Bytes)>> {
    let (start, end) = (keys::batch(log, 0), keys::batch(log, u64::MAX));
    let Some(row) =
        snapshot.range(Keyspace::Logs, Included(&start[..]), Included(&end[..])).next_back()
    else {
        return Ok(None);
    };
    let (key, encoded) = row?;
    let number = keys::number_of_batch(&key);
    let number = number.ok_or_else(|| record::damaged(&key, "the key has another length"))?;
    Ok(Some((number, encoded)))
}

fn decode(log: LogId, number: u64, encoded: &Bytes) -> StoreResult<LogEntry> {
    let batch = Batch::decode(encoded).map_err(|mut error| {
        error.message = format!("batch {number} of log {log}: {}", error.message);
        error
    })?;
    Ok(LogEntry { number, batch })
}

/// The descriptors from one key to before another.
fn descriptors(
    snapshot: &Snapshot<'_>,
    from: &[u8],
    to: &[u8],
) -> impl Iterator<Item = StoreResult<LogDescriptor>> {
    snapshot.range(Keyspace::Index, Included(from), Excluded(to)).map(|row| {
        let (key, descriptor) = row?;
        minicbor::decode(&descriptor).map_err(|error| record::damaged(&key, error))
    })
}

/// The row that a row by path stands for.
fn view_of_path(
    snapshot: &Snapshot<'_>,
    log: LogId,
    kind: ViewKind,
    key: &[u8],
) -> StoreResult<View> {
    let Some((path, id)) = keys::path_and_id(kind, key) else {
        return Err(record::damaged(key, "it holds no path"));
    };
    let row_key = keys::row(log, kind, id);
    let Some(row) = snapshot.get(Keyspace::Views, &row_key)? else {
        return Err(record::damaged(&row_key, "the row of a path is missing"));
    };
    let view = record::decode_row(&row_key, Bytes::copy_from_slice(id), &row)?;
    if view.path.as_deref() != Some(path) {
        return Err(record::damaged(&row_key, "the row of a path has another path"));
    }
    Ok(view)
}
