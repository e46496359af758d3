//! Chunks: immutable bytes that are named by their hash.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::hex_id::shown_as_hex;

/// Names a chunk: the SHA-256 of its stored bytes, within a realm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 32]);

shown_as_hex!(ChunkId);

impl ChunkId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// A chunk as its collector sees it: without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Within the realm that was asked for.
    pub id: ChunkId,
    /// When it was last put, in ms since the Unix epoch.
    pub touched_ms: u64,
}

/// The largest chunk; a larger content takes several.
pub const CHUNK_MAX_BYTES: usize = 8 << 20;

/// Refuses bytes that are not what they are named.
pub(crate) fn check_chunk(id: ChunkId, bytes: &[u8]) -> StoreResult<()> {
    if bytes.len() > CHUNK_MAX_BYTES {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!(
                "chunk {id} has {} bytes, the limit is {CHUNK_MAX_BYTES}: split the content",
                bytes.len()
            ),
        ));
    }
    if ChunkId::of(bytes) != id {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!("chunk {id} is not the SHA-256 of its bytes"),
        ));
    }
    Ok(())
}

/// The time in ms since the Unix epoch by the clock of the store: chunks age by it.
#[expect(clippy::disallowed_methods, reason = "a store that is embedded has the machine's clock")]
pub(crate) fn touched_at_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
