//! Contents: at hand up to 1 MiB, above that in chunks of the store.

use bytes::{Bytes, BytesMut};
use vdom_core::change::sha256;
use vdom_core::diff::NewContent;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{BranchAddress, Content, ContentChunk, Error, ErrorCode, Result};
use vdom_store::{ChunkId, Store};

use super::error::from_store;

/// All bytes of a content.
pub(crate) async fn load(
    store: &dyn Store,
    address: &BranchAddress,
    content: &Content,
) -> Result<Bytes> {
    match content {
        Content::Inline(bytes) => Ok(bytes.clone()),
        Content::Chunked(chunks) => {
            let mut bytes = BytesMut::with_capacity(content.len() as usize);
            for chunk in chunks {
                bytes.extend_from_slice(&load_chunk(store, address, chunk).await?);
            }
            Ok(bytes.freeze())
        }
    }
}

/// One chunk, checked against its size.
pub(crate) async fn load_chunk(
    store: &dyn Store,
    address: &BranchAddress,
    chunk: &ContentChunk,
) -> Result<Bytes> {
    let id = ChunkId(chunk.hash.0);
    let found = store.chunk(address.realm.as_str(), id).await;
    match found.map_err(|error| from_store(error, address))? {
        Some(bytes) if bytes.len() == chunk.length as usize => Ok(bytes),
        found => Err(Error::new(
            ErrorCode::DataLoss,
            format!("a content of {address} has lost a chunk: restore it from a backup"),
        )
        .resource(address)
        .context(format!(
            "chunk {}: {:?} bytes",
            chunk.hash,
            found.map(|bytes| bytes.len())
        ))),
    }
}

/// Stores bytes above 1 MiB as chunks, durable when it answers.
pub(crate) async fn stage(
    store: &dyn Store,
    address: &BranchAddress,
    bytes: &Bytes,
) -> Result<Vec<ContentChunk>> {
    let mut chunks = Vec::with_capacity(bytes.len().div_ceil(CHUNK_BYTES));
    for start in (0..bytes.len()).step_by(CHUNK_BYTES) {
        let piece = bytes.slice(start..bytes.len().min(start + CHUNK_BYTES));
        chunks.push(stage_chunk(store, address, piece).await?);
    }
    Ok(chunks)
}

/// Stores one chunk, durable when it answers.
pub(crate) async fn stage_chunk(
    store: &dyn Store,
    address: &BranchAddress,
    piece: Bytes,
) -> Result<ContentChunk> {
    let hash = sha256(&piece);
    let chunk = ContentChunk { hash, length: piece.len() as u32 };
    let stored = store.put_chunk(address.realm.as_str(), ChunkId(hash.0), piece).await;
    stored.map_err(|error| from_store(error, address))?;
    Ok(chunk)
}

/// What a diff made of a content, fit to be kept.
pub(crate) async fn settle(
    store: &dyn Store,
    address: &BranchAddress,
    new: NewContent,
    old: &Content,
) -> Result<Content> {
    match new {
        NewContent::Unchanged => Ok(old.clone()),
        NewContent::Chunks(chunks) => Ok(Content::Chunked(chunks)),
        NewContent::Bytes(bytes) if bytes.len() > CHUNK_BYTES => {
            stage(store, address, &bytes).await.map(Content::Chunked)
        }
        NewContent::Bytes(bytes) => Ok(Content::Inline(bytes)),
    }
}
