//! Chunks: immutable bytes that are named by their hash.

use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::hex_id::shown_as_hex;

/// Names a chunk: the SHA-256 of its stored bytes, within a realm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 32]);

/// Names an upload: drawn at random when it begins, never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub [u8; 16]);

shown_as_hex!(ChunkId, UploadId);

impl ChunkId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Bytes, and the name that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    id: ChunkId,
    bytes: Bytes,
}

impl Chunk {
    /// Names these bytes.
    pub fn of(bytes: Bytes) -> Self {
        Self { id: ChunkId::of(&bytes), bytes }
    }

    /// The name of its bytes.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Refuses what is too large for any store, and a realm that cannot be.
    pub(crate) fn check(&self, realm: &str) -> StoreResult<()> {
        if realm.len() > REALM_MAX_BYTES || realm.contains('\0') {
            let what = "the realm of a chunk has a zero byte, or more than 1,024";
            return Err(StoreError::new(StoreErrorKind::Invalid, what));
        }
        if self.bytes.len() <= CHUNK_MAX_BYTES {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            format_args!(
                "chunk {} has {} bytes, the limit is {CHUNK_MAX_BYTES}: split the content",
                self.id,
                self.bytes.len()
            ),
        ))
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

/// The longest name of a realm that has chunks.
pub(crate) const REALM_MAX_BYTES: usize = 1 << 10;

/// The uploads that alone hold a chunk: nobody else has put it since the first of them made it.
/// Its stored form is the ids in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holders(Vec<UploadId>);

/// A chunk that more uploads stage is left to its collector.
const HOLDERS_MAX: usize = 8;

impl Holders {
    /// Of a chunk that this upload made.
    pub(crate) fn first(upload: UploadId) -> Self {
        Self(vec![upload])
    }

    /// With an upload that stages the chunk too; `None` where they are too many.
    pub(crate) fn with(mut self, upload: UploadId) -> Option<Self> {
        if !self.0.contains(&upload) {
            self.0.push(upload);
        }
        (self.0.len() <= HOLDERS_MAX).then_some(self)
    }

    /// Without an upload that lets go; `None` where it holds nothing.
    pub(crate) fn without(&self, upload: UploadId) -> Option<Self> {
        let others = self.0.iter().copied().filter(|holder| *holder != upload).collect();
        self.0.contains(&upload).then_some(Self(others))
    }

    /// Whether nobody holds the chunk any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|upload| upload.0).collect()
    }

    /// `None` where the bytes are not what [`Self::encode`] makes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (uploads, rest) = bytes.as_chunks();
        rest.is_empty().then(|| Self(uploads.iter().copied().map(UploadId).collect()))
    }
}

/// The time in ms since the Unix epoch by the clock of the store: chunks age by it.
#[expect(clippy::disallowed_methods, reason = "a store that is embedded has the machine's clock")]
pub(crate) fn touched_at_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
