//! Packs: chunks of about 1 MiB that hold the diffs, and the records, of change
//! sets that a batch has no room for.

use bytes::{Bytes, BytesMut};
use vdom_core::limits::{CHANGE_SET_INLINE_MAX_BYTES, CHUNK_BYTES};
use vdom_core::{BranchAddress, ChunkPart, ContentChunk, Result};
use vdom_security::PermittedStore;

use crate::content;
use crate::uploads::Upload;

/// A diff as the log keeps it: in its batch, or in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoredDiff {
    Inline(Bytes),
    Packed(ChunkPart),
}

impl StoredDiff {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Packed(part) => part.length as usize,
        }
    }
}

/// Reads packs, keeping the last one: what is read in order is read once.
pub(crate) struct PackReader<'a> {
    store: PermittedStore<'a>,
    address: &'a BranchAddress,
    last: Option<(ContentChunk, Bytes)>,
}

impl<'a> PackReader<'a> {
    /// Nothing read yet.
    pub(crate) fn new(store: PermittedStore<'a>, address: &'a BranchAddress) -> Self {
        Self { store, address, last: None }
    }

    /// A whole pack, from memory where it was read last.
    pub(crate) async fn pack(&mut self, pack: ContentChunk) -> Result<Bytes> {
        if let Some((known, bytes)) = &self.last
            && *known == pack
        {
            return Ok(bytes.clone());
        }
        let bytes = content::load_chunk(self.store, self.address, &pack).await?;
        self.last = Some((pack, bytes.clone()));
        Ok(bytes)
    }

    /// The bytes of a diff.
    pub(crate) async fn diff(&mut self, diff: &StoredDiff) -> Result<Bytes> {
        match diff {
            StoredDiff::Inline(bytes) => Ok(bytes.clone()),
            StoredDiff::Packed(part) => self.part(part).await,
        }
    }

    /// The pack that holds a diff, if one does.
    pub(crate) async fn holding(
        &mut self,
        diff: &StoredDiff,
    ) -> Result<Option<(ContentChunk, Bytes)>> {
        match diff {
            StoredDiff::Inline(_) => Ok(None),
            StoredDiff::Packed(part) => Ok(Some((part.chunk, self.pack(part.chunk).await?))),
        }
    }

    /// The bytes of a part.
    pub(crate) async fn part(&mut self, part: &ChunkPart) -> Result<Bytes> {
        let bytes = self.pack(part.chunk).await?;
        content::slice_of_part(&bytes, part, self.address)
    }
}

/// Collects diffs: inline while they are few, else in packs.
pub(crate) struct PackWriter<'a> {
    upload: &'a Upload,
    slots: Vec<Slot>,
    inline_bytes: usize,
    waiting: BytesMut,
    packs: Vec<ContentChunk>,
}

enum Slot {
    Inline(Bytes),
    Packed { pack: usize, start: usize, length: usize },
}

impl<'a> PackWriter<'a> {
    /// Nothing collected yet.
    pub(crate) fn new(upload: &'a Upload) -> Self {
        Self {
            upload,
            slots: Vec::new(),
            inline_bytes: 0,
            waiting: BytesMut::new(),
            packs: Vec::new(),
        }
    }

    /// Whether a diff of so many bytes goes into a pack, and so into the store.
    pub(crate) fn is_packed_with(&self, bytes: usize) -> bool {
        self.inline_bytes + bytes > CHANGE_SET_INLINE_MAX_BYTES
    }

    pub(crate) async fn add(&mut self, diff: Bytes) -> Result<()> {
        self.inline_bytes += diff.len();
        if self.inline_bytes <= CHANGE_SET_INLINE_MAX_BYTES {
            self.slots.push(Slot::Inline(content::owned(diff)));
            return Ok(());
        }
        for at in 0..self.slots.len() {
            // Once the first is packed, all are.
            let Slot::Inline(bytes) = &self.slots[at] else { break };
            let bytes = bytes.clone();
            self.slots[at] = self.pack(&bytes).await?;
        }
        self.add_packed(&diff).await
    }

    /// Takes the next diff, into a pack.
    pub(crate) async fn add_packed(&mut self, diff: &[u8]) -> Result<()> {
        let slot = self.pack(diff).await?;
        self.slots.push(slot);
        Ok(())
    }

    /// The diffs in order, and the packs that hold them.
    pub(crate) async fn finish(mut self) -> Result<(Vec<StoredDiff>, Vec<ContentChunk>)> {
        self.seal().await?;
        let packs = self.packs;
        let stored = |slot| match slot {
            Slot::Inline(bytes) => StoredDiff::Inline(bytes),
            Slot::Packed { pack, start, length } => StoredDiff::Packed(ChunkPart {
                chunk: packs[pack],
                start: start as u32,
                length: length as u32,
            }),
        };
        let diffs = self.slots.into_iter().map(stored).collect();
        Ok((diffs, packs))
    }

    async fn pack(&mut self, diff: &[u8]) -> Result<Slot> {
        if self.waiting.len() + diff.len() > CHUNK_BYTES {
            self.seal().await?;
        }
        let start = self.waiting.len();
        self.waiting.extend_from_slice(diff);
        Ok(Slot::Packed { pack: self.packs.len(), start, length: diff.len() })
    }

    async fn seal(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let pack = self.waiting.split().freeze();
        self.packs.push(self.upload.stage(pack).await?);
        Ok(())
    }
}
