//! Reads: every answer was verified, in itself and against what it must agree with.

use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use super::engine::{Moment, SPACES, Space};
use super::mark::Groups;
use super::{keys, record};
use crate::batch::{Batch, LogDescriptor, LogId, Numbered, OperationKey, digest_in};
use crate::chain::{self, Tail};
use crate::contract::{ChunkId, LogFilter, StoreResult, StoredChunk};
use crate::view::{PathRange, View, ViewKind, Watermark};

pub(super) fn batch(moment: &Moment<'_>, log: LogId, number: u64) -> StoreResult<Option<Numbered>> {
    let encoded = moment.get(Space::Logs, &keys::batch(log, number))?;
    encoded.map(|encoded| decode(log, number, &encoded)).transpose()
}

pub(super) fn batches(
    moment: &Moment<'_>,
    log: LogId,
    from: u64,
    max_bytes: usize,
) -> StoreResult<Vec<Numbered>> {
    let from = from.max(1);
    let (start, end) = (keys::batch(log, from), keys::batch(log, u64::MAX));
    let rows = moment.range(Space::Logs, Included(&start[..]), Included(&end[..]));
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
            chain::check_chain(log, expected, before, &row.batch)?;
        }
        before = Some(digest);
        page.push(row);
    }
    Ok(page)
}

pub(super) fn last(moment: &Moment<'_>, log: LogId) -> StoreResult<Option<Numbered>> {
    let last = last_encoded(moment, log)?;
    last.map(|(number, encoded)| decode(log, number, &encoded)).transpose()
}

/// The end of a log, as the next append must follow it.
pub(super) fn tail(moment: &Moment<'_>, log: LogId) -> StoreResult<Option<Tail>> {
    let Some((number, encoded)) = last_encoded(moment, log)? else { return Ok(None) };
    let batch = decode(log, number, &encoded)?.batch;
    let digest = digest_in(&encoded, &batch);
    Ok(Some(Tail { number, digest, closing: batch.closing }))
}

pub(super) fn number_of(
    moment: &Moment<'_>,
    log: LogId,
    revision: u64,
) -> StoreResult<Option<u64>> {
    let (from, to) = (keys::revision(log, 0), keys::revision(log, revision));
    let mut rows = moment.range(Space::Index, Included(&from[..]), Included(&to[..]));
    let Some(row) = rows.next_back() else { return Ok(None) };
    let (key, number) = row?;
    record::decode_number(&key, &number).map(Some)
}

pub(super) fn next_of(
    moment: &Moment<'_>,
    logs: &[(LogId, u64)],
) -> StoreResult<Vec<(LogId, Numbered)>> {
    let mut found = Vec::new();
    for (log, number) in logs {
        if let Some(row) = batch(moment, *log, *number)? {
            found.push((*log, row));
        }
    }
    Ok(found)
}

pub(super) fn operations(
    moment: &Moment<'_>,
    log: LogId,
    operations: &[OperationKey],
) -> StoreResult<Vec<Option<u64>>> {
    let find = |operation: &OperationKey| {
        let key = keys::operation(log, *operation);
        let number = moment.get(Space::Index, &key)?;
        number.map(|number| record::decode_number(&key, &number)).transpose()
    };
    operations.iter().map(find).collect()
}

pub(super) fn logs(moment: &Moment<'_>, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
    let (from, to) = (keys::realm(&filter.realm), keys::after_realm(&filter.realm));
    descriptors(moment, &from, &to)
        .filter(|log| log.as_ref().map_or(true, |log| filter.takes(log)))
        .collect()
}

pub(super) fn realms(moment: &Moment<'_>) -> StoreResult<Vec<String>> {
    let mut realms = Vec::new();
    // From one realm straight to the next, however many logs it has.
    let (mut from, end) = keys::descriptors();
    loop {
        let next = descriptors(moment, &from, &end).next();
        let Some(log) = next else { return Ok(realms) };
        let realm = log?.realm;
        from = keys::after_realm(&realm);
        realms.push(realm);
    }
}

pub(super) fn watermark(moment: &Moment<'_>, log: LogId) -> StoreResult<Watermark> {
    let key = keys::watermark(log);
    let bytes = moment.get(Space::Views, &key)?;
    bytes.map_or(Ok(Watermark::default()), |bytes| record::decode_watermark(&key, &bytes))
}

pub(super) fn view(
    moment: &Moment<'_>,
    log: LogId,
    kind: ViewKind,
    id: &[u8],
) -> StoreResult<Option<View>> {
    let key = keys::row(log, kind, id);
    let row = moment.get(Space::Views, &key)?;
    row.map(|row| record::decode_row(&key, Bytes::copy_from_slice(id), &row)).transpose()
}

pub(super) fn views_at(moment: &Moment<'_>, log: LogId, path: &str) -> StoreResult<Vec<View>> {
    let (from, to) = keys::rows_at(log, path);
    let mut views = Vec::new();
    for row in moment.range(Space::Views, Included(&from), Excluded(&to)) {
        let (key, _) = row?;
        let view = view_of_path(moment, log, &key)?;
        if view.live {
            views.push(view);
        }
    }
    Ok(views)
}

pub(super) fn paths(moment: &Moment<'_>, log: LogId, range: &PathRange) -> StoreResult<Vec<View>> {
    let after = range.after.as_ref().map(|(path, id)| keys::path(log, path, id));
    // What is at the prefix comes before what is below it, siblings lie between.
    let parts = if range.prefix.is_empty() {
        vec![keys::all_rows(log)]
    } else {
        vec![keys::rows_at(log, &range.prefix), keys::rows_below(log, &range.prefix)]
    };
    let mut views = Vec::new();
    for (from, to) in &parts {
        let from = match &after {
            Some(after) if after >= from => Excluded(&after[..]),
            _ => Included(&from[..]),
        };
        for row in moment.range(Space::Views, from, Excluded(to)) {
            if views.len() >= range.limit {
                return Ok(views);
            }
            let (key, live) = row?;
            if range.include_tombstones || live[..] == [1] {
                views.push(view_of_path(moment, log, &key)?);
            }
        }
    }
    Ok(views)
}

pub(super) fn back(
    moment: &Moment<'_>,
    log: LogId,
    kind: ViewKind,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> StoreResult<Vec<View>> {
    let (from, to) = (keys::row(log, kind, from), keys::row(log, kind, to));
    let rows = moment.range(Space::Views, Included(&from[..]), Included(&to[..]));
    rows.rev()
        .take(limit)
        .map(|row| {
            let (key, row) = row?;
            record::decode_row(&key, keys::id_of_row(&key), &row)
        })
        .collect()
}

pub(super) fn chunk(moment: &Moment<'_>, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
    moment.get(Space::Chunks, &keys::chunk(realm, id))
}

/// When a chunk was last put, in ms since the Unix epoch.
pub(super) fn touched(moment: &Moment<'_>, realm: &str, id: ChunkId) -> StoreResult<Option<u64>> {
    let key = keys::touched(realm, id);
    let at = moment.get(Space::Chunks, &key)?;
    at.map(|at| record::decode_number(&key, &at)).transpose()
}

pub(super) fn chunks(
    moment: &Moment<'_>,
    realm: &str,
    after: Option<ChunkId>,
    limit: usize,
) -> StoreResult<Vec<StoredChunk>> {
    let (first, end) = keys::all_touched();
    let after = after.map(|after| keys::touched(realm, after));
    let from = after.as_deref().map_or(Included(&first[..]), Excluded);
    let mut chunks = Vec::new();
    for row in moment.range(Space::Chunks, from, Excluded(&end)) {
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
    moment: &Moment<'_>,
    log: LogId,
    limit: usize,
) -> StoreResult<Vec<Bytes>> {
    let mut found = Vec::new();
    // The watermark first: without it, what is left counts for nothing.
    for (from, to) in keys::all_views(log) {
        for row in moment.range(Space::Views, Included(&from[..]), Included(&to[..])) {
            if found.len() >= limit {
                return Ok(found);
            }
            found.push(row?.0);
        }
    }
    Ok(found)
}

/// For each space the last durable group that wrote to it.
pub(super) fn last_groups(moment: &Moment<'_>) -> StoreResult<Groups> {
    let mut groups = Groups::default();
    for ((space, _), group) in SPACES.iter().zip(&mut groups) {
        if let Some(number) = moment.get(*space, keys::LAST_GROUP)? {
            *group = record::decode_number(keys::LAST_GROUP, &number)?;
        }
    }
    Ok(groups)
}

fn last_encoded(moment: &Moment<'_>, log: LogId) -> StoreResult<Option<(u64, Bytes)>> {
    let (start, end) = (keys::batch(log, 0), keys::batch(log, u64::MAX));
    let Some(row) = moment.range(Space::Logs, Included(&start[..]), Included(&end[..])).next_back()
    else {
        return Ok(None);
    };
    let (key, encoded) = row?;
    let number = keys::number_of_batch(&key);
    let number = number.ok_or_else(|| record::damaged(&key, "the key has another length"))?;
    Ok(Some((number, encoded)))
}

fn decode(log: LogId, number: u64, encoded: &Bytes) -> StoreResult<Numbered> {
    let batch = Batch::decode(encoded).map_err(|mut error| {
        error.message = format!("batch {number} of log {log}: {}", error.message);
        error
    })?;
    Ok(Numbered { number, batch })
}

/// The descriptors from one key to before another.
fn descriptors(
    moment: &Moment<'_>,
    from: &[u8],
    to: &[u8],
) -> impl Iterator<Item = StoreResult<LogDescriptor>> {
    moment.range(Space::Index, Included(from), Excluded(to)).map(|row| {
        let (key, descriptor) = row?;
        minicbor::decode(&descriptor).map_err(|error| record::damaged(&key, error))
    })
}

/// The row that a row by path stands for.
fn view_of_path(moment: &Moment<'_>, log: LogId, key: &[u8]) -> StoreResult<View> {
    let Some((path, id)) = keys::path_and_id(key) else {
        return Err(record::damaged(key, "it holds no path"));
    };
    let row_key = keys::row(log, ViewKind::Node, id);
    let Some(row) = moment.get(Space::Views, &row_key)? else {
        return Err(record::damaged(&row_key, "the row of a path is missing"));
    };
    let view = record::decode_row(&row_key, Bytes::copy_from_slice(id), &row)?;
    if view.path.as_deref() != Some(path) {
        return Err(record::damaged(&row_key, "the row of a path has another path"));
    }
    Ok(view)
}
