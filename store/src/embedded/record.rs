//! Records: every value carries a checksum over its key and itself.

use bytes::{BufMut, Bytes, BytesMut};

use super::segments::Location;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::view::{Position, View, Watermark};

const CHECKSUM_BYTES: usize = 4;

/// What the head of a row takes at most besides its path.
const HEAD_MAX_BYTES: usize = 32;

/// The stored form of a row. The id is in the key.
#[derive(minicbor::Encode, minicbor::Decode)]
struct RowHead<'a> {
    #[n(0)]
    epoch: u64,
    #[n(1)]
    revision: u64,
    #[n(2)]
    live: bool,
    #[b(3)]
    path: Option<&'a str>,
}

/// The value as it is stored under this key.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(CHECKSUM_BYTES + value.len());
    sealed.put_u32_le(checksum(key, value));
    sealed.put_slice(value);
    sealed.freeze()
}

/// The value that was stored under this key, and no other.
pub(super) fn unseal(key: &[u8], sealed: &Bytes) -> StoreResult<Bytes> {
    let Some((stored, value)) = sealed.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err(damaged(key, "the record is too short"));
    };
    if u32::from_le_bytes(*stored) != checksum(key, value) {
        return Err(damaged(key, "the checksum of the record does not match"));
    }
    Ok(sealed.slice(CHECKSUM_BYTES..))
}

pub(super) fn encode_row(view: &View) -> Vec<u8> {
    let Position { epoch, revision } = view.position;
    let head = RowHead { epoch, revision, live: view.live, path: view.path.as_deref() };
    let path_bytes = head.path.map_or(0, str::len);
    let mut row = Vec::with_capacity(HEAD_MAX_BYTES + path_bytes + view.value.len());
    if let Err(error) = minicbor::encode(&head, &mut row) {
        unreachable!("nothing in a row refuses to be encoded: {error}");
    }
    row.extend_from_slice(&view.value);
    row
}

pub(super) fn decode_row(key: &[u8], id: Bytes, row: &Bytes) -> StoreResult<View> {
    let mut decoder = minicbor::Decoder::new(row);
    let head: RowHead<'_> = decoder.decode().map_err(|error| damaged(key, error))?;
    let position = Position { epoch: head.epoch, revision: head.revision };
    let value = row.slice(decoder.position()..);
    Ok(View { id, path: head.path.map(str::to_owned), live: head.live, position, value })
}

pub(super) fn encode_watermark(watermark: Watermark) -> [u8; 24] {
    let Watermark { position: Position { epoch, revision }, number } = watermark;
    let mut bytes = [0; 24];
    for (part, value) in bytes.chunks_exact_mut(8).zip([epoch, revision, number]) {
        part.copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

pub(super) fn decode_watermark(key: &[u8], bytes: &[u8]) -> StoreResult<Watermark> {
    let ([epoch, revision, number], []) = bytes.as_chunks() else {
        return Err(damaged(key, "a watermark has another length"));
    };
    let [epoch, revision, number] = [epoch, revision, number].map(|part| u64::from_be_bytes(*part));
    Ok(Watermark { position: Position { epoch, revision }, number })
}

pub(super) fn decode_number(key: &[u8], bytes: &[u8]) -> StoreResult<u64> {
    let number = bytes.try_into().map_err(|_| damaged(key, "a number has another length"))?;
    Ok(u64::from_be_bytes(number))
}

pub(super) fn decode_location(key: &[u8], bytes: &[u8]) -> StoreResult<Location> {
    Location::decode(bytes).ok_or_else(|| damaged(key, "it names no place"))
}

pub(super) fn damaged(key: &[u8], what: impl std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format_args!(
            "the store is damaged at record {}: {what}; restore it from a backup",
            hex::encode(key)
        ),
    )
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}
