//! Reads of rows and chunks: every answer was verified, in itself and against what it must
//! agree with.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use super::engine::Snapshot;
use super::keyspace::{KEYSPACES, Keyspace};
use super::marker::LastGroups;
use super::segments::{Location, SegmentPosition};
use super::{keys, record};
use crate::chunk::{ChunkId, StoredChunk};
use crate::error::StoreResult;
use crate::log::LogId;
use crate::view::{PathRange, View, ViewKind, Watermark};

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

/// Where the frame of a chunk stands.
pub(super) fn chunk_location(
    snapshot: &Snapshot<'_>,
    realm: &str,
    id: ChunkId,
) -> StoreResult<Option<Location>> {
    let key = keys::chunk(realm, id);
    let bytes = snapshot.get(Keyspace::Chunks, &key)?;
    bytes.map(|bytes| record::decode_location(&key, &bytes)).transpose()
}

/// Up to where the segments are known whose index is in a keyspace.
pub(super) fn indexed(snapshot: &Snapshot<'_>, keyspace: Keyspace) -> StoreResult<SegmentPosition> {
    let Some(bytes) = snapshot.get(keyspace, keys::INDEXED)? else {
        return Ok(SegmentPosition::default());
    };
    Ok(record::decode_location(keys::INDEXED, &bytes)?.at)
}

/// How many bytes of each segment were replaced, of those whose index is in a keyspace.
pub(super) fn replaced(
    snapshot: &Snapshot<'_>,
    keyspace: Keyspace,
) -> StoreResult<BTreeMap<u32, u64>> {
    let mut replaced = BTreeMap::new();
    let (from, to) = keys::all_segments();
    for row in snapshot.range(keyspace, Included(&from), Excluded(&to)) {
        let (key, bytes) = row?;
        let segment = keys::segment_of(&key);
        let segment = segment.ok_or_else(|| record::damaged(&key, "it names no segment"))?;
        replaced.insert(segment, record::decode_number(&key, &bytes)?);
    }
    Ok(replaced)
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
    for ((keyspace, _), group) in KEYSPACES.iter().zip(&mut groups[1..]) {
        if let Some(number) = snapshot.get(*keyspace, keys::LAST_GROUP)? {
            *group = record::decode_number(keys::LAST_GROUP, &number)?;
        }
    }
    Ok(groups)
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
