//! The keys of the embedded store; their order is the order of every scan.

use bytes::Bytes;

use crate::batch::OperationKey;
use crate::chunk::ChunkId;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::view::ViewKind;

/// The number of the last durable group that wrote to a keyspace; in every keyspace.
pub(super) const LAST_GROUP: &[u8] = b"g";

const LOG_BYTES: usize = 32;

/// Up to where the segments are known; of the logs, and of the chunks.
pub(super) const INDEXED: &[u8] = b"i";

/// Where a batch stands in the segments.
pub(super) fn location(log: LogId, number: u64) -> Vec<u8> {
    [b"b", &log.0[..], &number.to_be_bytes()].concat()
}

/// The number in the key of a location.
pub(super) fn number_of_location(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1 + LOG_BYTES..)?.try_into().ok()?))
}

/// How much of a segment was replaced.
pub(super) fn segment(segment: u32) -> Vec<u8> {
    [b"s", &segment.to_be_bytes()[..]].concat()
}

/// Where the rows about segments begin, and where they have ended.
pub(super) fn all_segments() -> (Vec<u8>, Vec<u8>) {
    (b"s".to_vec(), b"t".to_vec())
}

/// The segment in the key of a row about one.
pub(super) fn segment_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// Log and number in the key of a batch in the engine of a store of format 1.
pub(super) fn of_unsegmented_batch(key: &[u8]) -> Option<(LogId, u64)> {
    let (log, number) = key.split_first_chunk()?;
    Some((LogId(*log), u64::from_be_bytes(number.try_into().ok()?)))
}

pub(super) fn operation(log: LogId, operation: OperationKey) -> Vec<u8> {
    [b"o", &log.0[..], &operation.0].concat()
}

pub(super) fn revision(log: LogId, revision: u64) -> Vec<u8> {
    [b"r", &log.0[..], &revision.to_be_bytes()].concat()
}

/// What the descriptors of logs without a room begin with, and those of logs of a room.
pub(super) const DESCRIPTORS: [&[u8]; 2] = [b"d", b"n"];

/// Names hold no zero byte.
pub(super) fn descriptor(descriptor: &LogDescriptor, log: LogId) -> Vec<u8> {
    let LogDescriptor { name: LogName { realm, room, segments }, incarnation } = descriptor;
    let mut key = names(realm, room, segments);
    key.extend_from_slice(&incarnation.to_be_bytes());
    key.extend_from_slice(&log.0);
    key
}

/// The keys of all descriptors that a filter takes in, and perhaps of others.
pub(super) fn descriptors(filter: &LogFilter) -> (Vec<u8>, Vec<u8>) {
    let mut start = names(&filter.realm, &filter.room, &filter.segments);
    let mut end = start.clone();
    if let Some(after) = filter.after_whole_name() {
        let mut past = names(&filter.realm, &filter.room, after);
        past.pop();
        past.push(1);
        start = start.max(past);
    }
    // Past the zero byte that ends the last name.
    end.pop();
    end.push(1);
    (start, end)
}

/// The keys of the descriptors of one kind, of all realms. No name holds the byte 0xff.
pub(super) fn all_descriptors(kind: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (kind.to_vec(), [kind, &[0xff]].concat())
}

/// The keys of the descriptors of one kind, of one realm.
pub(super) fn descriptors_of_realm(kind: &[u8], realm: &str) -> (Vec<u8>, Vec<u8>) {
    ([kind, realm.as_bytes(), &[0]].concat(), after_realm(kind, realm))
}

/// Where the descriptors of a realm have ended.
pub(super) fn after_realm(kind: &[u8], realm: &str) -> Vec<u8> {
    [kind, realm.as_bytes(), &[1]].concat()
}

/// What the keys of descriptors begin with; each name ends with a zero byte.
fn names(realm: &str, room: &str, segments: &[String]) -> Vec<u8> {
    let [without_room, of_room] = DESCRIPTORS;
    let mut key = if room.is_empty() { without_room } else { of_room }.to_vec();
    let room = Some(room).filter(|room| !room.is_empty());
    for name in [realm].into_iter().chain(room).chain(segments.iter().map(String::as_str)) {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
    }
    key
}

pub(super) fn row(log: LogId, kind: ViewKind, id: &[u8]) -> Vec<u8> {
    [b"v", &log.0[..], &[kind.number], id].concat()
}

/// The id in the key of a row.
pub(super) fn id_of_row(key: &Bytes) -> Bytes {
    key.slice((2 + LOG_BYTES).min(key.len())..)
}

pub(super) fn watermark(log: LogId) -> Vec<u8> {
    [b"w", &log.0[..]].concat()
}

/// The one kind whose keys by path hold no number: stores of format 1 have no other.
const UNNUMBERED_PATHS: u8 = 1;

/// What all keys by path of a kind begin with.
fn paths(log: LogId, kind: ViewKind) -> Vec<u8> {
    match kind.number {
        UNNUMBERED_PATHS => [b"p", &log.0[..]].concat(),
        number => [b"q", &log.0[..], &[number]].concat(),
    }
}

/// The row of a path; with an empty id, where the rows of the path begin.
pub(super) fn path(log: LogId, kind: ViewKind, path: &str, id: &[u8]) -> Vec<u8> {
    [&paths(log, kind)[..], path.as_bytes(), &[0], id].concat()
}

/// The keys of all rows at a path.
pub(super) fn rows_at(log: LogId, kind: ViewKind, path: &str) -> (Vec<u8>, Vec<u8>) {
    let start = [&paths(log, kind)[..], path.as_bytes()].concat();
    ([&start[..], &[0]].concat(), [&start[..], &[1]].concat())
}

/// The keys of all rows below a path.
pub(super) fn rows_below(log: LogId, kind: ViewKind, path: &str) -> (Vec<u8>, Vec<u8>) {
    let start = [&paths(log, kind)[..], path.as_bytes()].concat();
    ([&start[..], b"/"].concat(), [&start[..], &[b'/' + 1]].concat())
}

/// The keys of all rows by path. No path holds the byte 0xff.
pub(super) fn all_rows(log: LogId, kind: ViewKind) -> (Vec<u8>, Vec<u8>) {
    let start = paths(log, kind);
    let end = [&start[..], &[0xff]].concat();
    (start, end)
}

/// Path and id in the key of a row by path.
pub(super) fn path_and_id(kind: ViewKind, key: &[u8]) -> Option<(&str, &[u8])> {
    let number_bytes = usize::from(kind.number != UNNUMBERED_PATHS);
    let rest = key.get(1 + LOG_BYTES + number_bytes..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]))
}

/// Where the frame of a chunk stands.
pub(super) fn chunk(realm: &str, id: ChunkId) -> Vec<u8> {
    [b"l", &id.0[..], realm.as_bytes()].concat()
}

/// The bytes of a chunk that a store of format 1 or 2 took.
pub(super) fn inline_chunk(realm: &str, id: ChunkId) -> Vec<u8> {
    [b"c", &id.0[..], realm.as_bytes()].concat()
}

/// When the chunk was last touched.
pub(super) fn touched(realm: &str, id: ChunkId) -> Vec<u8> {
    [b"t", &id.0[..], realm.as_bytes()].concat()
}

/// Which uploads hold the chunk; no row: it stays until it is collected.
pub(super) fn holders(realm: &str, id: ChunkId) -> Vec<u8> {
    [b"u", &id.0[..], realm.as_bytes()].concat()
}

/// Where the rows about touches begin, and where they have ended.
pub(super) fn all_touched() -> (Vec<u8>, Vec<u8>) {
    (b"t".to_vec(), b"u".to_vec())
}

/// Chunk and realm in the key of a row about touches.
pub(super) fn chunk_of_touched(key: &[u8]) -> Option<(ChunkId, &[u8])> {
    let (id, realm) = key.get(1..)?.split_first_chunk()?;
    Some((ChunkId(*id), realm))
}

/// The first and the last keys of what a log has in views.
pub(super) fn all_views(log: LogId) -> [(Vec<u8>, Vec<u8>); 4] {
    let of = |kind: &[u8]| {
        let start = [kind, &log.0[..]].concat();
        // No path and no number of a kind begins with 0xff.
        let end = [&start[..], &[0xff; 2]].concat();
        (start, end)
    };
    [of(b"w"), of(b"p"), of(b"q"), of(b"v")]
}
