//! `WriteDiff`: one diff, checked here as far as it can be without the branch's
//! state, then decided by the branch's writer.

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{
    AckLevel, Conflict, ConflictReason, DiffSource, WriteDiff, WriteOutcome,
};
use vdom_core::dom::change::sha256;
use vdom_core::dom::diff::PutContent;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{
    BranchAddress, ContentChunk, Diff, Error, Hash, NodeId, NodeKind, NodePath, Operation, Result,
    VectorClock,
};
use vdom_edge::{Caller, ServiceStream};
use vdom_store::Store;

use super::branch::{Branch, BranchHandle};
use super::content::{self, ContentWriter};
use super::merge::{Attempt, attempt, base_of};
use super::packs::StoredDiff;

use super::records::operation_key;
use super::shared::Shared;
use super::writer::{Command, Proposal};
use vdom_security::{Action, Authority, Permit};

/// The right to make this write.
pub(crate) fn permit(
    authority: &Authority,
    caller: &Caller,
    address: &BranchAddress,
    author: Option<&str>,
) -> Result<Permit> {
    let in_own_name = author.is_none_or(|author| author.is_empty() || *author == *caller.subject);
    let action = if in_own_name { Action::Write } else { Action::WriteAs };
    authority.authorize(caller, action, &address.realm, Some(&address.repo))
}

/// Writes one diff.
pub(crate) async fn write(
    room: &Shared,
    permit: Permit,
    request: WriteDiff,
) -> Result<WriteOutcome> {
    check_promises(&request)?;
    let (diff, stored) = match &request.diff {
        DiffSource::Bson(bytes) => {
            let diff = Diff::parse(bytes)?;
            store_apart(&*room.store, &request.address, diff, bytes.clone()).await?
        }
        DiffSource::Staged(chunks) => staged(chunks.clone()),
        DiffSource::Follows => {
            return Err(Error::invalid(
                "a `put` without `v` needs a stream that brings its content",
            ));
        }
    };
    let handle = room.existing_or_new(&permit, &request.address).await?;
    propose(&handle, proposal(permit, request, diff, stored)).await
}

/// Has the branch's writer judge a proposal, and explains a conflict.
pub(super) async fn propose(handle: &BranchHandle, proposal: Proposal) -> Result<WriteOutcome> {
    let (clock, diff) = (proposal.clock.clone(), proposal.diff.clone());
    let operation_id = proposal.operation.map(|(operation, _)| operation.id);
    let proposal = Box::new(proposal);
    match handle.ask(|reply| Command::Write { proposal, reply }).await? {
        WriteOutcome::Written(written) => Ok(WriteOutcome::Written(written)),
        WriteOutcome::Conflicted(mut conflict) => {
            conflict.operation_id = operation_id;
            explain(&handle.branch, &mut conflict, &clock, &diff).await?;
            Ok(WriteOutcome::Conflicted(conflict))
        }
    }
}

/// Adds what the writer had seen, and where it disagrees with what stands there.
pub(super) async fn explain(
    branch: &Branch,
    conflict: &mut Conflict,
    clock: &VectorClock,
    diff: &Diff,
) -> Result<()> {
    let Some(current) = branch.node(conflict.node_id).await? else { return Ok(()) };
    let Some(base) = base_of(branch, &current, clock).await? else { return Ok(()) };
    if base.content.len() <= CHUNK_BYTES as u64 {
        let content = content::load(&*branch.store, &branch.address, &base.content).await?;
        conflict.base_content = Some(content);
    }
    if conflict.reason == ConflictReason::StaleClock
        && let Attempt::Conflicting(hunks) = attempt(branch, Some(&base), &current, diff).await?
    {
        conflict.hunks = hunks;
    }
    Ok(())
}

/// Writes one `put` whose content arrives in pieces: stored first, visible with
/// the change that names it.
pub(crate) async fn write_content(
    room: &Shared,
    permit: Permit,
    mut request: WriteDiff,
    mut content: ServiceStream<Bytes>,
) -> Result<WriteOutcome> {
    check_promises(&request)?;
    if request.kind.is_some_and(NodeKind::is_document) {
        return Err(Error::invalid(
            "only a FILE takes a streamed content: send a document in a `put` diff",
        ));
    }
    let mut pieces = ContentWriter::new(&*room.store, &request.address);
    while let Some(piece) = content.next().await {
        pieces.add(&piece?).await?;
    }
    request.diff = pieces.finish().await?;
    write(room, permit, request).await
}

fn check_promises(request: &WriteDiff) -> Result<()> {
    if request.min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    Ok(())
}

/// Moves the content of a large `put` into chunks; refuses other diffs that are
/// too large to stand in a batch.
pub(super) async fn store_apart(
    store: &dyn Store,
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
            let chunks = content::stage(store, address, bytes).await?;
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

/// A `put` of chunks that are in the store.
pub(super) fn staged(chunks: Vec<ContentChunk>) -> (Diff, Bytes) {
    let stored = Diff::stored_chunks(&chunks);
    (Diff::Put(PutContent::Chunks(chunks)), stored)
}

fn proposal(permit: Permit, request: WriteDiff, diff: Diff, stored: Bytes) -> Proposal {
    let subject = permit.subject().clone();
    let named = |name: Option<String>| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| subject.to_string())
    };
    let operation = request.operation_id.map(|id| {
        let operation = Operation {
            id,
            request: request_hash(request.node_id, request.path.as_ref(), &stored),
        };
        (operation, operation_key(&subject, id))
    });
    Proposal {
        node_id: request.node_id,
        path: request.path,
        kind: request.kind,
        diff,
        diff_hash: sha256(&stored),
        stored: StoredDiff::AtHand(stored),
        pack: None,
        clock: request.clock,
        on_conflict: request.on_conflict,
        actor: named(request.actor),
        author: named(request.author),
        authored_at_ms: None,
        message: request.message,
        metadata: request.metadata,
        operation,
        merged: false,
        keep_conflict: request.keep_conflict,
        resolves: None,
        permit,
    }
}

/// What makes two writes the same: which node, and how it changes.
pub(super) fn request_hash(
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
