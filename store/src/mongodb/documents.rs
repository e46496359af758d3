//! The documents of the store: names of one letter, values as they are.
//!
//! Names that users give are values, never names of fields.

use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::spec::BinarySubtype;
use ::mongodb::bson::{Binary, Bson, Document, doc};
use bytes::Bytes;

use super::errors::Boundary;
use crate::batch::{Batch, LogEntry};
use crate::chunk::ChunkId;
use crate::commit_hint::HINTED_BATCH_MAX_BYTES;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::view::{Position, View, ViewKind, Watermark};

/// The field of a batch that a change stream carries, and the one that it leaves out.
pub(super) const SMALL: &str = "s";
pub(super) const LARGE: &str = "b";

/// Wide enough for every number.
const NUMBER_WIDTH: usize = 20;

/// `_id` of a batch: log in hex, number of fixed width, so that it sorts as the log does.
pub(super) fn batch_id(log: LogId, number: u64) -> String {
    format!("{log}.{number:0NUMBER_WIDTH$}")
}

/// Log and number of the `_id` of a batch.
pub(super) fn log_and_number(id: &str) -> Option<(LogId, u64)> {
    let (log, number) = id.split_once('.')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(log, &mut bytes).ok()?;
    Some((LogId(bytes), number.parse().ok()?))
}

/// The `_id`s of a log from a number on.
pub(super) fn batch_ids_from(log: LogId, number: u64) -> Document {
    // The character after '.' ends the log.
    doc! { "$gte": batch_id(log, number), "$lt": format!("{log}/") }
}

pub(super) fn encode_batch(
    log: LogId,
    number: u64,
    batch: &Batch,
    encoded: &Bytes,
    digest: [u8; 32],
    writer: ObjectId,
) -> StoreResult<Document> {
    let mut document = doc! {
        "_id": batch_id(log, number),
        "l": log.to_string(),
        "i": binary(&batch.id.0),
        "h": binary(&digest),
        "w": writer,
    };
    if batch.count > 0 {
        document.insert("f", integer(batch.first_revision)?);
    }
    if batch.closing {
        document.insert("c", true);
    }
    if !batch.operations.is_empty() {
        let operations: Vec<_> = batch.operations.iter().map(ToString::to_string).collect();
        document.insert("o", operations);
    }
    if let Some(descriptor) = &batch.descriptor {
        document.insert("d", encode_descriptor(descriptor)?);
    }
    document.insert(field_of(encoded), binary(encoded));
    Ok(document)
}

/// What to set in a document so that it holds other contents and no operations, and
/// what to remove.
pub(super) fn contents(encoded: &Bytes) -> (Document, Document) {
    let field = field_of(encoded);
    let other = if field == SMALL { LARGE } else { SMALL };
    (doc! { field: binary(encoded) }, doc! { other: "", "o": "" })
}

/// Where a batch of this size has its contents.
fn field_of(encoded: &Bytes) -> &'static str {
    if encoded.len() <= HINTED_BATCH_MAX_BYTES { SMALL } else { LARGE }
}

/// The batch of a document that has its contents.
pub(super) fn decode_batch(boundary: &Boundary, mut document: Document) -> StoreResult<BatchRow> {
    let id = document.get_str("_id").unwrap_or_default().to_owned();
    let damaged = |why: &str| boundary.damaged(&format!("batch {id}"), why);
    let (log, number) = log_and_number(&id).ok_or_else(|| damaged("its _id is not one of ours"))?;
    let contents = take_bytes(&mut document, SMALL).or_else(|| take_bytes(&mut document, LARGE));
    let encoded = contents.ok_or_else(|| damaged("it has no contents"))?;
    let encoded_len = encoded.len();
    let batch = Batch::decode(&encoded).map_err(|error| StoreError {
        kind: error.kind,
        message: format!("batch {id} at {}: {}", boundary.place, error.message),
    })?;
    let digest = crate::batch::codec::digest_in(&encoded, &batch);
    Ok(BatchRow { log, row: LogEntry { number, batch }, digest, encoded_len })
}

/// A batch as it was read.
pub(super) struct BatchRow {
    pub(super) log: LogId,
    pub(super) row: LogEntry,
    pub(super) digest: [u8; 32],
    pub(super) encoded_len: usize,
}

fn encode_descriptor(descriptor: &LogDescriptor) -> StoreResult<Document> {
    let LogDescriptor { name: LogName { realm, room, segments }, incarnation } = descriptor;
    let incarnation = integer(*incarnation)?;
    Ok(match &segments[..] {
        [repo, branch] if room.is_empty() => {
            doc! { "realm": realm, "repo": repo, "branch": branch, "incarnation": incarnation }
        }
        _ => {
            doc! { "realm": realm, "room": room, "segments": segments, "incarnation": incarnation }
        }
    })
}

pub(super) fn decode_descriptor(document: &Document) -> Option<LogDescriptor> {
    let descriptor = document.get_document("d").ok()?;
    let text = |field: &str| descriptor.get_str(field).ok().map(str::to_owned);
    let (room, segments) = match text("room") {
        Some(room) => {
            let segments = descriptor.get_array("segments").ok()?.iter();
            (
                room,
                segments
                    .map(|segment| segment.as_str().map(str::to_owned))
                    .collect::<Option<_>>()?,
            )
        }
        None => (String::new(), vec![text("repo")?, text("branch")?]),
    };
    let name = LogName { realm: text("realm")?, room, segments };
    Some(LogDescriptor { name, incarnation: unsigned(descriptor, "incarnation")? })
}

/// The first batches of the logs that a filter takes in, and perhaps of others.
pub(super) fn described_by(filter: &LogFilter) -> Document {
    let LogFilter { realm, room, segments, .. } = filter;
    let mut query = doc! { "d.realm": realm };
    if filter.every_room {
        return query;
    }
    if room.is_empty() {
        // Logs of a room have neither field, so that the index leaves them out.
        query.insert("d.repo", doc! { "$gte": "" });
        for (field, segment) in ["d.repo", "d.branch"].into_iter().zip(segments) {
            query.insert(field, segment);
        }
        if let ([repo], Some([after_repo, after])) = (&segments[..], filter.after_whole_name())
            && repo == after_repo
        {
            query.insert("d.branch", doc! { "$gt": after });
        }
    } else {
        query.insert("d.room", room);
        for (at, segment) in segments.iter().enumerate() {
            query.insert(format!("d.segments.{at}"), segment);
        }
    }
    query
}

/// Whether [`described_by`] finds no logs but those that the filter takes in.
pub(super) fn is_described_by_query(filter: &LogFilter) -> bool {
    let goes_on_within = match (&filter.segments[..], filter.after_whole_name()) {
        ([repo], Some([after, _])) => repo == after,
        _ => false,
    };
    filter.is_in_order_of_names()
        && filter.segments.len() <= 2
        && (filter.after.is_empty() || goes_on_within)
}

/// `_id` of a row: log in hex, number of the kind, row id in hex.
pub(super) fn row_id(log: LogId, kind: ViewKind, id: &[u8]) -> String {
    format!("{log}.{}.{}", kind.number, hex::encode(id))
}

pub(super) fn encode_row(log: LogId, kind: ViewKind, view: &View) -> StoreResult<Document> {
    let mut document = doc! {
        "_id": row_id(log, kind, &view.id),
        "l": log.to_string(),
        "k": i32::from(kind.number),
        "a": view.live,
        "e": integer(view.position.epoch)?,
        "r": integer(view.position.revision)?,
        "v": binary(&view.value),
        "x": i64::from(checksum(&row_id(log, kind, &view.id), view)),
    };
    if let Some(path) = &view.path {
        document.insert("p", path);
    }
    Ok(document)
}

pub(super) fn decode_row(boundary: &Boundary, mut document: Document) -> StoreResult<View> {
    let id = document.get_str("_id").unwrap_or_default().to_owned();
    let view = (|| {
        let view = View {
            id: hex::decode(id.rsplit_once('.')?.1).ok()?.into(),
            path: document.get_str("p").ok().map(str::to_owned),
            live: document.get_bool("a").ok()?,
            position: decode_position(&document)?,
            value: take_bytes(&mut document, "v")?,
        };
        let stored = unsigned(&document, "x")?;
        (stored == u64::from(checksum(&id, &view))).then_some(view)
    })();
    view.ok_or_else(|| boundary.damaged(&format!("row {id}"), "it is not what was written"))
}

pub(super) fn encode_watermark(log: LogId, watermark: Watermark) -> StoreResult<Document> {
    Ok(doc! {
        "_id": log.to_string(),
        "e": integer(watermark.position.epoch)?,
        "r": integer(watermark.position.revision)?,
        "n": integer(watermark.number)?,
    })
}

pub(super) fn decode_watermark(document: &Document) -> Option<Watermark> {
    let position = decode_position(document)?;
    Some(Watermark { position, number: unsigned(document, "n")? })
}

/// `_id` of a chunk; hashes first, so that they spread over shards.
pub(super) fn chunk_id(realm: &str, id: ChunkId) -> String {
    format!("{id}.{realm}")
}

/// A chunk, its realm, and when it was last put.
pub(super) fn decode_touch(document: &Document) -> Option<(ChunkId, &str, u64)> {
    let (id, realm) = document.get_str("_id").ok()?.split_once('.')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    let touched = document.get_datetime("t").ok()?.timestamp_millis();
    Some((ChunkId(bytes), realm, u64::try_from(touched).ok()?))
}

pub(super) fn integer(value: u64) -> StoreResult<i64> {
    i64::try_from(value).map_err(|_| {
        StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("{value} is above what MongoDB can count"),
        )
    })
}

pub(super) fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

pub(super) fn take_bytes(document: &mut Document, field: &str) -> Option<Bytes> {
    match document.remove(field)? {
        Bson::Binary(binary) => Some(binary.bytes.into()),
        _ => None,
    }
}

/// A number, in whichever width the server gives it back.
fn unsigned(document: &Document, field: &str) -> Option<u64> {
    match document.get(field)? {
        Bson::Int64(value) => u64::try_from(*value).ok(),
        Bson::Int32(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

fn decode_position(document: &Document) -> Option<Position> {
    Some(Position { epoch: unsigned(document, "e")?, revision: unsigned(document, "r")? })
}

fn checksum(id: &str, view: &View) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(id.as_bytes());
    if let Some(path) = &view.path {
        hasher.update(&[1]);
        hasher.update(path.as_bytes());
    }
    hasher.update(&[0, u8::from(view.live)]);
    hasher.update(&view.position.epoch.to_le_bytes());
    hasher.update(&view.position.revision.to_le_bytes());
    hasher.update(&view.value);
    hasher.finalize()
}
