//! `WriteDiff`: one diff, checked here as far as it can be without the branch's
//! state, then decided by the branch's writer.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use vdom_core::calls::{AckLevel, Conflict, DiffSource, OnConflict, WriteDiff, WriteOutcome};
use vdom_core::diff::PutContent;
use vdom_core::limits::{CHUNK_BYTES, CONTENT_MAX_BYTES};
use vdom_core::{Content, ContentChunk, Diff, Error, Hash, NodeKind, Operation, Result};
use vdom_edge::{Caller, DomStream};

use super::branch::BranchHandle;
use super::content;
use super::past::node_with_clock;
use super::records::operation_key;
use super::room::Shared;
use super::writer::{Command, Proposal, writer_gone};
use crate::security::{Action, Authority, Permit};

/// The right to make this write.
pub(crate) fn permit(
    authority: &Authority,
    caller: &Caller,
    request: &WriteDiff,
) -> Result<Permit> {
    let in_own_name = request
        .author
        .as_deref()
        .is_none_or(|author| author.is_empty() || *author == *caller.subject);
    let action = if in_own_name { Action::Write } else { Action::WriteAs };
    let address = &request.address;
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
            store_apart(room, &permit, &request, diff, bytes.clone()).await?
        }
        DiffSource::Staged(chunks) => staged(chunks.clone()),
        DiffSource::Follows => {
            return Err(Error::invalid(
                "a `put` without `v` needs a stream that brings its content",
            ));
        }
    };
    let handle = room.existing_or_new(&permit, &request.address).await?;
    let clock = request.clock.clone();
    let operation_id = request.operation_id;
    let proposal = Box::new(proposal(permit, request, diff, stored));
    let (reply, answer) = oneshot::channel();
    let command = Command::Write { proposal, reply };
    handle.writer.send(command).await.map_err(|_| writer_gone())?;
    match answer.await.map_err(|_| writer_gone())?? {
        WriteOutcome::Written(written) => Ok(WriteOutcome::Written(written)),
        WriteOutcome::Conflicted(mut conflict) => {
            conflict.operation_id = operation_id;
            conflict.base_content = base_content(&handle, &conflict, &clock).await?;
            Ok(WriteOutcome::Conflicted(conflict))
        }
    }
}

/// Writes one `put` whose content arrives in pieces: stored first, visible with
/// the change that names it.
pub(crate) async fn write_content(
    room: &Shared,
    permit: Permit,
    mut request: WriteDiff,
    mut content: DomStream<Bytes>,
) -> Result<WriteOutcome> {
    check_promises(&request)?;
    if request.kind.is_some_and(NodeKind::is_document) {
        return Err(Error::invalid(
            "only a FILE takes a streamed content: send a document in a `put` diff",
        ));
    }
    let mut waiting = BytesMut::new();
    let mut chunks = Vec::new();
    let mut size = 0u64;
    while let Some(piece) = content.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if size > CONTENT_MAX_BYTES {
            return Err(Error::too_large(format!(
                "the content has more than {CONTENT_MAX_BYTES} bytes: nothing was written"
            )));
        }
        waiting.extend_from_slice(&piece);
        while waiting.len() >= CHUNK_BYTES {
            let full = waiting.split_to(CHUNK_BYTES).freeze();
            chunks.push(content::stage_chunk(&*room.store, &request.address, full).await?);
        }
    }
    if chunks.is_empty() || (chunks.len() == 1 && waiting.is_empty()) {
        // Small after all: kept with the change itself.
        let bytes = match chunks.first() {
            Some(chunk) => content::load_chunk(&*room.store, &request.address, chunk).await?,
            None => waiting.freeze(),
        };
        request.diff = DiffSource::Bson(Diff::put_file(&bytes));
        return write(room, permit, request).await;
    }
    if !waiting.is_empty() {
        let rest = waiting.freeze();
        chunks.push(content::stage_chunk(&*room.store, &request.address, rest).await?);
    }
    request.diff = DiffSource::Staged(chunks);
    write(room, permit, request).await
}

fn check_promises(request: &WriteDiff) -> Result<()> {
    if request.min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    if request.on_conflict == OnConflict::Merge {
        return Err(Error::unimplemented("on_conflict = MERGE"));
    }
    if request.keep_conflict {
        return Err(Error::unimplemented("keep_conflict"));
    }
    Ok(())
}

/// Moves the content of a large `put` into chunks; refuses other diffs that are
/// too large to stand in a batch.
async fn store_apart(
    room: &Shared,
    _permit: &Permit,
    request: &WriteDiff,
    diff: Diff,
    stored: Bytes,
) -> Result<(Diff, Bytes)> {
    if stored.len() <= CHUNK_BYTES {
        return Ok((diff, stored));
    }
    match diff {
        Diff::Put(PutContent::Bytes(bytes) | PutContent::Document(bytes))
            if bytes.len() > CHUNK_BYTES =>
        {
            Ok(staged(content::stage(&*room.store, &request.address, &bytes).await?))
        }
        Diff::Put(_) => Ok((diff, stored)),
        _ => Err(Error::too_large(format!(
            "the diff has {} bytes, at most {CHUNK_BYTES} are allowed but for a `put`: split it, or \
             send a `put`",
            stored.len()
        ))),
    }
}

fn staged(chunks: Vec<ContentChunk>) -> (Diff, Bytes) {
    let stored = Diff::stored_chunks(&chunks);
    (Diff::Put(PutContent::Chunks(chunks)), stored)
}

fn proposal(permit: Permit, request: WriteDiff, diff: Diff, stored: Bytes) -> Proposal {
    let subject = permit.subject().clone();
    let named = |name: Option<String>| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| subject.to_string())
    };
    let operation = request.operation_id.map(|id| {
        let operation = Operation { id, request: request_hash(&request, &stored) };
        (operation, operation_key(&subject, id))
    });
    Proposal {
        node_id: request.node_id,
        path: request.path,
        kind: request.kind,
        diff,
        stored,
        clock: request.clock,
        on_conflict: request.on_conflict,
        actor: named(request.actor),
        author: named(request.author),
        message: request.message,
        metadata: request.metadata,
        operation,
        permit,
    }
}

/// What makes two writes the same: which node, and how it changes.
fn request_hash(request: &WriteDiff, stored: &Bytes) -> Hash {
    let mut hasher = Sha256::new();
    let path = request.path.as_ref().map(vdom_core::NodePath::as_str).unwrap_or_default();
    hasher.update(request.node_id.unwrap_or_default().as_bytes());
    hasher.update((path.len() as u64).to_be_bytes());
    hasher.update(path);
    hasher.update(stored);
    Hash(hasher.finalize().into())
}

async fn base_content(
    handle: &BranchHandle,
    conflict: &Conflict,
    clock: &vdom_core::VectorClock,
) -> Result<Option<Bytes>> {
    let branch = &handle.branch;
    let Some(current) = branch.node(conflict.node_id).await? else {
        return Ok(None);
    };
    let Some(base) = node_with_clock(branch, &current, clock).await? else {
        return Ok(None);
    };
    match &base.content {
        Content::Inline(bytes) => Ok(Some(bytes.clone())),
        Content::Chunked(_) => Ok(None),
    }
}
