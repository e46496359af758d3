//! A write that was checked as far as it can be without the state of its branch.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::OnConflict;
use vdom_core::dom::diff::PutContent;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    BranchAddress, ConflictId, ContentChunk, Diff, Error, Hash, NodeId, NodeKind, NodePath,
    Operation, Result, VectorClock,
};
use vdom_security::Permit;
use vdom_store::OperationKey;

use crate::content;
use crate::content::ChunkOwner;
use crate::content::packs::StoredDiff;
use crate::uploads::Upload;

/// A write that was checked as far as it can be without the branch's state. `actor` is
/// whose clock entry moves, `author` who is shown to have made it.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The right to make it.
    pub permit: Permit,
    /// Which node, where the writer knows it.
    pub node_id: Option<NodeId>,
    pub path: Option<NodePath>,
    pub kind: Option<NodeKind>,
    pub diff: Diff,
    /// The diff as it will be stored.
    pub stored: StoredDiff,
    /// SHA-256 of `stored`.
    pub diff_hash: Hash,
    /// The pack that the diff's bytes are a slice of, if they are.
    pub pack: Option<(ContentChunk, Bytes)>,
    /// What holds the chunks that it names, and those that evaluating it makes.
    pub upload: Upload,
    /// What the writer had seen.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    pub actor: String,
    pub author: String,
    /// When it was made, ms since the Unix epoch, where that is another time.
    pub authored_at_ms: Option<i64>,
    pub message: String,
    pub metadata: std::collections::BTreeMap<String, String>,
    /// What makes it safe to repeat, and how the store finds it.
    pub operation: Option<(Operation, OperationKey)>,
    /// True when a three-way merge made the diff.
    pub merged: bool,
    /// Keep a conflict until someone resolves it.
    pub keep_conflict: bool,
    /// The kept conflict that is resolved once this is written.
    pub resolves: Option<ConflictId>,
}

/// Moves the content of a large `put` into chunks; refuses other diffs that are
/// too large to stand in a batch.
pub(crate) async fn store_large_put(
    upload: &Upload,
    address: &BranchAddress,
    diff: Diff,
    stored: Bytes,
) -> Result<(Diff, Bytes)> {
    if stored.len() <= CHUNK_BYTES {
        return Ok((diff, stored));
    }
    match diff.put() {
        Some(PutContent::Bytes(bytes) | PutContent::Document(bytes))
            if stored.len() - bytes.len() <= CHUNK_BYTES =>
        {
            let chunks = content::stage(ChunkOwner::Upload(upload), address, bytes).await?;
            let stored = diff.stored_with_chunks(&chunks)?;
            Ok((Diff::parse_stored(&stored)?, stored))
        }
        _ => Err(Error::too_large(format!(
            "the diff has {} bytes, at most {CHUNK_BYTES} are allowed but for a `put`: split it, or \
             send a `put`",
            stored.len()
        ))),
    }
}

/// What makes two writes the same: which node, and how it changes.
pub(crate) fn request_hash(
    node_id: Option<NodeId>,
    path: Option<&NodePath>,
    stored: &Bytes,
) -> Hash {
    let mut hasher = Sha256::new();
    let path = path.map(NodePath::as_str).unwrap_or_default();
    hasher.update(node_id.unwrap_or_default().as_bytes());
    hasher.update((path.len() as u64).to_be_bytes());
    hasher.update(path);
    hasher.update(stored);
    Hash(hasher.finalize().into())
}
