//! The stored form of a batch.
//!
//! ```text
//! "vdb" version │ head, manifest, body: lengths (u32 LE) │ head │ manifest │ body │ SHA-256
//! ```
//!
//! The head is CBOR; manifest and body are the caller's bytes. The trailer covers
//! everything before it: it is the checksum of the record and the digest that the
//! next batch names.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::{BATCH_MAX_BYTES, Batch, BatchId, LogDescriptor, OperationKey};
use crate::chunk::ChunkId;
use crate::error::{StoreError, StoreErrorKind, StoreResult};

const MAGIC: [u8; 3] = *b"vdb";
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

#[derive(minicbor::Encode, minicbor::Decode)]
struct Head {
    #[cbor(n(0), with = "minicbor::bytes")]
    id: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    previous: [u8; 32],
    #[n(2)]
    descriptor: Option<LogDescriptor>,
    #[n(3)]
    first_revision: u64,
    #[n(4)]
    count: u32,
    #[n(5)]
    closing: bool,
    /// The keys, one after the other.
    #[cbor(n(6), with = "minicbor::bytes")]
    operations: Vec<u8>,
    /// The ids, one after the other.
    #[cbor(n(7), with = "minicbor::bytes")]
    chunks: Vec<u8>,
    /// The digest that the batch had with its changes.
    #[cbor(n(8), with = "minicbor::bytes")]
    compacted_from: Option<[u8; 32]>,
}

impl Batch {
    /// The stored form.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] above [`BATCH_MAX_BYTES`].
    pub fn encode(&self) -> StoreResult<Bytes> {
        let head = self.encode_head();
        let length = encoded_length(&head, self);
        if length > BATCH_MAX_BYTES {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                format_args!(
                    "batch {} takes {length} bytes, the limit is {BATCH_MAX_BYTES}: \
                     put large contents into chunks or split the batch",
                    self.id
                ),
            ));
        }
        let mut encoded = BytesMut::with_capacity(length);
        encoded.put_slice(&prefix(&head, self));
        encoded.put_slice(&head);
        encoded.put_slice(&self.manifest);
        encoded.put_slice(&self.body);
        let digest = Sha256::digest(&encoded);
        encoded.put_slice(&digest);
        Ok(encoded.freeze())
    }

    /// Reads the stored form; manifest and body share its memory.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] where the bytes are not what was written,
    /// [`StoreErrorKind::NewerFormat`] where a newer release wrote them.
    pub fn decode(encoded: &Bytes) -> StoreResult<Self> {
        let Some((prefix, _)) = encoded.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(damaged("shorter than its prefix"));
        };
        if prefix[..3] != MAGIC {
            return Err(damaged("it does not begin as a batch does"));
        }
        // A flipped version byte must not pass for a newer release: the checksum,
        // which every version keeps at the end, decides first.
        let Some(content) = encoded.len().checked_sub(DIGEST_BYTES) else {
            return Err(damaged("shorter than its checksum"));
        };
        if Sha256::digest(&encoded[..content])[..] != encoded[content..] {
            return Err(damaged("the checksum does not match"));
        }
        if prefix[3] != VERSION {
            return Err(StoreError::new(
                StoreErrorKind::NewerFormat,
                format_args!(
                    "a batch has format {}, this release reads {VERSION}: use a newer release",
                    prefix[3]
                ),
            ));
        }
        if encoded.len() > BATCH_MAX_BYTES {
            return Err(damaged("above the size limit"));
        }
        let [head, manifest, body] = [4, 8, 12].map(|at| length_at(prefix, at));
        if PREFIX_BYTES + head + manifest + body + DIGEST_BYTES != encoded.len() {
            return Err(damaged("the lengths do not add up"));
        }
        let manifest_start = PREFIX_BYTES + head;
        let body_start = manifest_start + manifest;
        let head = decode_head(&encoded[PREFIX_BYTES..manifest_start])?;
        Ok(Self {
            id: BatchId(head.id),
            previous: head.previous,
            descriptor: head.descriptor,
            first_revision: head.first_revision,
            count: head.count,
            operations: split(&head.operations, OperationKey)?,
            chunks: split(&head.chunks, ChunkId)?,
            closing: head.closing,
            compacted_from: head.compacted_from,
            manifest: encoded.slice(manifest_start..body_start),
            body: encoded.slice(body_start..content),
        })
    }

    /// SHA-256 of the stored form, as it was before the batch was compacted: what the
    /// next batch carries as `previous`.
    pub fn digest(&self) -> [u8; 32] {
        if let Some(digest) = self.compacted_from {
            return digest;
        }
        let head = self.encode_head();
        Sha256::new()
            .chain_update(prefix(&head, self))
            .chain_update(&head)
            .chain_update(&self.manifest)
            .chain_update(&self.body)
            .finalize()
            .into()
    }

    /// How many bytes the stored form takes; at most [`BATCH_MAX_BYTES`] can be appended.
    pub fn encoded_len(&self) -> usize {
        encoded_length(&self.encode_head(), self)
    }

    fn encode_head(&self) -> Vec<u8> {
        let head = Head {
            id: self.id.0,
            previous: self.previous,
            descriptor: self.descriptor.clone(),
            first_revision: self.first_revision,
            count: self.count,
            closing: self.closing,
            operations: self.operations.iter().flat_map(|key| key.0).collect(),
            chunks: self.chunks.iter().flat_map(|chunk| chunk.0).collect(),
            compacted_from: self.compacted_from,
        };
        match minicbor::to_vec(&head) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("nothing in a head refuses to be encoded: {error}"),
        }
    }
}

/// The digest that stands at the end of a stored batch.
fn digest_of(encoded: &[u8]) -> [u8; 32] {
    encoded.last_chunk().copied().unwrap_or_default()
}

/// [`Batch::digest`] of a batch whose stored form is known.
pub(crate) fn digest_in(encoded: &[u8], batch: &Batch) -> [u8; 32] {
    batch.compacted_from.unwrap_or_else(|| digest_of(encoded))
}

fn encoded_length(head: &[u8], batch: &Batch) -> usize {
    PREFIX_BYTES + head.len() + batch.manifest.len() + batch.body.len() + DIGEST_BYTES
}

fn prefix(head: &[u8], batch: &Batch) -> [u8; PREFIX_BYTES] {
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..3].copy_from_slice(&MAGIC);
    prefix[3] = VERSION;
    for (at, part) in [(4, head), (8, &batch.manifest), (12, &batch.body)] {
        // Longer parts are refused by `encode` before they are stored.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        prefix[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    prefix
}

fn length_at(prefix: &[u8; PREFIX_BYTES], at: usize) -> usize {
    let bytes = [prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]];
    u32::from_le_bytes(bytes) as usize
}

fn decode_head(bytes: &[u8]) -> StoreResult<Head> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let head = decoder.decode::<Head>().map_err(damaged)?;
    if decoder.position() != bytes.len() {
        return Err(damaged("the head has bytes left over"));
    }
    Ok(head)
}

fn split<const N: usize, T>(bytes: &[u8], id: impl Fn([u8; N]) -> T) -> StoreResult<Vec<T>> {
    let (ids, []) = bytes.as_chunks::<N>() else {
        return Err(damaged("a list of ids has a part of one"));
    };
    Ok(ids.iter().map(|bytes| id(*bytes)).collect())
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, format_args!("a batch cannot be decoded: {what}"))
}
