//! Contents: inline up to 1 MiB, above that in chunks of the store.

pub(crate) mod packs;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use vdom_core::dom::diff::{NewContent, PutContent};
use vdom_core::identifiers::Hash;
use vdom_core::limits::{CHUNK_BYTES, CONTENT_MAX_BYTES};
use vdom_core::{
    BranchAddress, ChunkPart, Content, ContentChunk, Diff, Error, ErrorCode, Node, Result,
};
use vdom_security::PermittedStore;
use vdom_store::{Chunk, ChunkId};

use crate::error::from_store;
use crate::uploads::Upload;

/// Of what a diff of a large change set computes, so much is kept in memory.
const INLINE_IN_LARGE_SET_MAX_BYTES: usize = 4 << 10;

/// Smaller contents are copied out of their messages.
const COPIED_MAX_BYTES: usize = 64 << 10;

/// So many chunks of a content are on their way to the store at once.
const CHUNKS_IN_FLIGHT: usize = 4;

/// All bytes of a content.
pub(crate) async fn load(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    content: &Content,
) -> Result<Bytes> {
    match content {
        Content::Inline(bytes) => Ok(bytes.clone()),
        Content::Part(part) => {
            let bytes = load_chunk(store, address, &part.chunk).await?;
            slice_of_part(&bytes, part, address)
        }
        Content::Chunked(chunks) => {
            let mut bytes = BytesMut::with_capacity(content.len() as usize);
            for chunk in chunks {
                bytes.extend_from_slice(&load_chunk(store, address, chunk).await?);
            }
            Ok(bytes.freeze())
        }
    }
}

/// The node with a small content out of its pack.
pub(crate) async fn inline(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    node: Arc<Node>,
) -> Result<Arc<Node>> {
    let Content::Part(_) = &node.content else { return Ok(node) };
    let content = Content::Inline(load(store, address, &node.content).await?);
    Ok(Arc::new(Node { content, ..Node::clone(&node) }))
}

/// One chunk, checked against its size.
pub(crate) async fn load_chunk(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    chunk: &ContentChunk,
) -> Result<Bytes> {
    let id = ChunkId(chunk.hash.0);
    let found = store.chunk(address.realm.as_str(), id).await;
    match found.map_err(|error| from_store(error, address))? {
        Some(bytes) if bytes.len() == chunk.length as usize => Ok(bytes),
        found => Err(lost_chunk(address).context(format!(
            "chunk {}: {:?} bytes",
            chunk.hash,
            found.map(|bytes| bytes.len())
        ))),
    }
}

/// The bytes of a part, from those of its chunk.
pub(crate) fn slice_of_part(
    chunk: &Bytes,
    part: &ChunkPart,
    address: &BranchAddress,
) -> Result<Bytes> {
    let (start, end) = (part.start as usize, part.start as usize + part.length as usize);
    if end > chunk.len() {
        let what = format!("chunk {} ends before byte {end}", part.chunk.hash);
        return Err(Error::new(
            ErrorCode::DataLoss,
            format!("a content of {address} cannot be read: restore it from a backup"),
        )
        .resource(address)
        .context(what));
    }
    Ok(chunk.slice(start..end))
}

/// Where `bytes` stand in `chunk`, if they are a slice of its memory.
pub(crate) fn part_of(chunk: &Bytes, name: ContentChunk, bytes: &Bytes) -> Option<ChunkPart> {
    let start = (bytes.as_ptr() as usize).checked_sub(chunk.as_ptr() as usize)?;
    let part = ChunkPart { chunk: name, start: start as u32, length: bytes.len() as u32 };
    is_within(chunk, bytes).then_some(part)
}

/// Whether `bytes` are a slice of the memory of `whole`.
fn is_within(whole: &Bytes, bytes: &Bytes) -> bool {
    let (whole, bytes) = (whole.as_ptr_range(), bytes.as_ptr_range());
    whole.start <= bytes.start && bytes.end <= whole.end
}

/// Whose chunks are that are made.
#[derive(Clone, Copy)]
pub(crate) enum ChunkOwner<'a> {
    /// Nobody's: they are, or will be, named by what stands in the log.
    Log(PermittedStore<'a>),
    /// An upload's, which may come to nothing.
    Upload(&'a Upload),
}

/// Stores bytes above 1 MiB as chunks, durable when it answers.
pub(crate) async fn stage(
    owner: ChunkOwner<'_>,
    address: &BranchAddress,
    bytes: &Bytes,
) -> Result<Vec<ContentChunk>> {
    let mut chunks = Vec::with_capacity(bytes.len().div_ceil(CHUNK_BYTES));
    for start in (0..bytes.len()).step_by(CHUNK_BYTES) {
        let piece = bytes.slice(start..bytes.len().min(start + CHUNK_BYTES));
        chunks.push(stage_chunk(owner, address, piece).await?);
    }
    Ok(chunks)
}

/// Stores one chunk, durable when it answers.
pub(crate) async fn stage_chunk(
    owner: ChunkOwner<'_>,
    address: &BranchAddress,
    piece: Bytes,
) -> Result<ContentChunk> {
    let store = match owner {
        ChunkOwner::Upload(upload) => return upload.stage(piece).await,
        ChunkOwner::Log(store) => store,
    };
    let length = piece.len() as u32;
    let chunk = Chunk::of(piece);
    let name = ContentChunk { hash: Hash(chunk.id().0), length };
    let stored = store.put_chunk(address.realm.as_str(), chunk).await;
    stored.map_err(|error| from_store(error, address))?;
    Ok(name)
}

/// Makes sure of chunks that are named anew: nobody collects them for a while.
///
/// # Errors
/// `DataLoss` where one is gone.
pub(crate) async fn touch(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    chunks: &[ChunkId],
) -> Result<()> {
    let failed = |error| from_store(error, address);
    for id in chunks {
        let Some(bytes) = store.chunk(address.realm.as_str(), *id).await.map_err(failed)? else {
            return Err(lost_chunk(address).context(format!("chunk {id:?} is gone")));
        };
        store.put_chunk(address.realm.as_str(), Chunk::of(bytes)).await.map_err(failed)?;
    }
    Ok(())
}

fn lost_chunk(address: &BranchAddress) -> Error {
    Error::new(
        ErrorCode::DataLoss,
        format!("a content of {address} has lost a chunk: restore it from a backup"),
    )
    .resource(address)
}

/// Takes a content in pieces: staged as it comes, so that memory holds no more than
/// a chunk of it.
pub(crate) struct ContentWriter<'a> {
    upload: &'a Upload,
    waiting: BytesMut,
    chunks: Vec<ContentChunk>,
    in_flight: FuturesOrdered<BoxFuture<'a, Result<ContentChunk>>>,
    size: u64,
}

impl<'a> ContentWriter<'a> {
    /// Nothing taken yet.
    pub(crate) fn new(upload: &'a Upload) -> Self {
        let in_flight = FuturesOrdered::new();
        Self { upload, waiting: BytesMut::new(), chunks: Vec::new(), in_flight, size: 0 }
    }

    /// How many bytes were taken.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes the content has with a piece more, if that brings a chunk of it into the
    /// store: who writes it is judged before that.
    pub(crate) fn size_once_staged(&self, piece: &[u8]) -> Option<u64> {
        let is_staged = self.waiting.len() + piece.len() > CHUNK_BYTES;
        is_staged.then_some(self.size + piece.len() as u64)
    }

    pub(crate) async fn add(&mut self, piece: &[u8]) -> Result<()> {
        self.size += piece.len() as u64;
        if self.size > CONTENT_MAX_BYTES {
            return Err(Error::too_large(format!(
                "the content has more than {CONTENT_MAX_BYTES} bytes: nothing was written"
            )));
        }
        self.waiting.extend_from_slice(piece);
        // One byte more than a chunk tells that the content is a large one.
        while self.waiting.len() > CHUNK_BYTES {
            let full = self.waiting.split_to(CHUNK_BYTES).freeze();
            self.stage(full).await?;
        }
        Ok(())
    }

    /// Sends a chunk on its way, once few enough are.
    async fn stage(&mut self, bytes: Bytes) -> Result<()> {
        while self.in_flight.len() >= CHUNKS_IN_FLIGHT {
            self.chunks.extend(self.in_flight.try_next().await?);
        }
        let upload = self.upload;
        self.in_flight.push_back(upload.stage(bytes).boxed());
        // Not before it is polled does it begin.
        if let Some(Some(staged)) = self.in_flight.next().now_or_never() {
            self.chunks.push(staged?);
        }
        Ok(())
    }

    /// The `put` of all that was taken, and its stored form: a small one brings its bytes.
    pub(crate) async fn finish(mut self) -> Result<(Diff, Bytes)> {
        let rest = std::mem::take(&mut self.waiting).freeze();
        if self.chunks.is_empty() && self.in_flight.is_empty() {
            let put = Diff::put_file(&rest);
            return Ok((Diff::parse(&put)?, put));
        }
        self.stage(rest).await?;
        while let Some(staged) = self.in_flight.try_next().await? {
            self.chunks.push(staged);
        }
        let stored = Diff::stored_chunks(&self.chunks);
        Ok((Diff::Put(PutContent::Chunks(self.chunks)), stored))
    }
}

/// Small bytes in memory of their own: whoever keeps them keeps nothing of the message that
/// brought them.
pub(crate) fn owned(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_MAX_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// What a diff made of a content, fit to be kept. Where the diff stands in a pack,
/// next to nothing of the content stays in memory. `diff` are the diff's [`owned`] bytes, which
/// are kept anyway, where it has such.
pub(crate) async fn resolve_content(
    owner: ChunkOwner<'_>,
    address: &BranchAddress,
    new: NewContent,
    old: &Content,
    pack: Option<&(ContentChunk, Bytes)>,
    diff: Option<&Bytes>,
) -> Result<Content> {
    let bytes = match new {
        NewContent::Unchanged => return Ok(old.clone()),
        NewContent::Chunks(chunks) => return Ok(Content::Chunked(chunks)),
        NewContent::Bytes(bytes) => bytes,
    };
    if let Some((name, pack)) = pack.filter(|_| !bytes.is_empty())
        && let Some(part) = part_of(pack, *name, &bytes)
    {
        return Ok(Content::Part(part));
    }
    let inline_max = if pack.is_some() { INLINE_IN_LARGE_SET_MAX_BYTES } else { CHUNK_BYTES };
    if bytes.len() > inline_max {
        return stage(owner, address, &bytes).await.map(Content::Chunked);
    }
    // What the diff made is on its own already, and a small diff that is little else is kept
    // for its content.
    let needs_no_copy = |diff: &Bytes| {
        let is_most = diff.len() <= COPIED_MAX_BYTES && 2 * bytes.len() >= diff.len();
        is_most || !is_within(diff, &bytes)
    };
    let content = if diff.is_some_and(needs_no_copy) { bytes } else { owned(bytes) };
    Ok(Content::Inline(content))
}
