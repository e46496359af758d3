//! `WriteDiff`: one diff, checked here as far as it can be without the branch's
//! state, then evaluated by the branch's writer.

use bytes::Bytes;
use futures::StreamExt;
use vdom_core::dom::calls::{AckLevel, DiffSource, WriteContent, WriteDiff, WriteOutcome};
use vdom_core::dom::change::sha256;
use vdom_core::dom::diff::PutContent;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{BranchAddress, ContentChunk, Diff, Error, Hash, NodeKind, Operation, Result};
use vdom_edge::{Caller, ServiceStream};
use vdom_security::{Action, Authority, Permit};

use crate::content::packs::StoredDiff;
use crate::content::{self, ContentWriter};
use crate::metrics::Outcome;
use crate::records::operation_key;
use crate::registry::BranchRegistry;
use crate::uploads::Upload;
use crate::writer::{
    BranchHandle, Proposal, propose, refused_already, request_hash, store_large_put,
};

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

pub(crate) async fn write(
    registry: &BranchRegistry,
    permit: Permit,
    request: WriteDiff,
) -> Result<WriteOutcome> {
    check_ack_level(request.min_ack)?;
    let upload = registry.uploads.begin(&permit, &request.address);
    let DiffSource::Bson(bytes) = &request.diff else {
        return Err(Error::invalid("a `put` without `v` needs a stream that brings its content"));
    };
    let stored = content::owned(bytes.clone());
    let diff = Diff::parse(&stored)?;
    if stored.len() > CHUNK_BYTES {
        return Box::pin(write_large(registry, permit, request, upload, diff, stored)).await;
    }
    let address = request.address.clone();
    let proposal = proposal(permit, &upload, request, diff, stored);
    let handle = registry.existing_or_new(&proposal.permit, &address).await?;
    propose_now(registry, &handle, proposal).await
}

/// Writes a diff that is too large for a batch, where it is a `put`: its content goes into chunks.
async fn write_large(
    registry: &BranchRegistry,
    permit: Permit,
    request: WriteDiff,
    upload: Upload,
    diff: Diff,
    stored: Bytes,
) -> Result<WriteOutcome> {
    let handle = registry.existing_or_new(&permit, &request.address).await?;
    if let Some(put) = diff.put() {
        let to_come = Diff::parse_stored(&diff.stored_with_chunks(&to_come(put.len()))?)?;
        let asked = proposal(permit.clone(), &upload, request.clone(), to_come, Bytes::new());
        if let Some(outcome) = refused_before(registry, &handle, &asked).await? {
            return Ok(outcome);
        }
    }
    let (diff, stored) = store_large_put(&upload, &request.address, diff, stored).await?;
    propose_now(registry, &handle, proposal(permit, &upload, request, diff, stored)).await
}

/// Writes one `put` whose content arrives in pieces: stored first, visible with
/// the change that names it.
pub(crate) async fn write_content(
    registry: &BranchRegistry,
    permit: Permit,
    request: WriteContent,
    mut content: ServiceStream<Bytes>,
) -> Result<WriteOutcome> {
    check_ack_level(request.min_ack)?;
    if request.kind.is_some_and(NodeKind::is_document) {
        return Err(Error::invalid(
            "only a FILE takes a streamed content: send a document in a `put` diff",
        ));
    }
    let expected = request.expected_bytes.unwrap_or_default();
    let request = request.with_diff(DiffSource::Follows);
    let upload = registry.uploads.begin(&permit, &request.address);
    let handle = registry.existing_or_new(&permit, &request.address).await?;
    let asked = |bytes| {
        let diff = Diff::Put(PutContent::Chunks(to_come(bytes)));
        proposal(permit.clone(), &upload, request.clone(), diff, Bytes::new())
    };
    if expected > CHUNK_BYTES as u64
        && let Some(outcome) = refused_before(registry, &handle, &asked(expected)).await?
    {
        return Ok(outcome);
    }
    let mut pieces = ContentWriter::new(&upload);
    while let Some(piece) = content.next().await {
        let piece = piece?;
        if let Some(size) = pieces.size_once_staged(&piece)
            && let Some(outcome) =
                refused_before(registry, &handle, &asked(size.max(expected))).await?
        {
            return Ok(outcome);
        }
        pieces.add(&piece).await?;
    }
    let (diff, stored) = pieces.finish().await?;
    // Left behind meanwhile, perhaps.
    drop(handle);
    let handle = registry.existing_or_new(&permit, &request.address).await?;
    propose_now(registry, &handle, proposal(permit.clone(), &upload, request, diff, stored)).await
}

/// Has the branch's writer judge a write; where the branch turns out to have ended at another
/// gateway, that of the one that stands now.
async fn propose_now(
    registry: &BranchRegistry,
    handle: &BranchHandle,
    proposal: Box<Proposal>,
) -> Result<WriteOutcome> {
    if handle.branch.is_shared() {
        return Box::pin(propose_where_shared(registry, handle, proposal)).await;
    }
    propose(handle, proposal).await
}

async fn propose_where_shared(
    registry: &BranchRegistry,
    handle: &BranchHandle,
    proposal: Box<Proposal>,
) -> Result<WriteOutcome> {
    match propose(handle, proposal.clone()).await {
        Err(error) if handle.has_ended(&error) => {
            let opened = registry.existing_or_new(&proposal.permit, &handle.branch.address);
            let handle = opened.await?;
            propose(&handle, proposal).await
        }
        outcome => outcome,
    }
}

/// Chunks that stand for content that is not here yet.
fn to_come(bytes: u64) -> Vec<ContentChunk> {
    let chunk_bytes = CHUNK_BYTES as u64;
    let lengths =
        (0..bytes.div_ceil(chunk_bytes)).map(|at| chunk_bytes.min(bytes - at * chunk_bytes));
    lengths.map(|length| ContentChunk { hash: Hash::default(), length: length as u32 }).collect()
}

/// The answer to a write that comes to nothing whatever its content is, before any of that is
/// stored.
async fn refused_before(
    registry: &BranchRegistry,
    handle: &BranchHandle,
    asked: &Proposal,
) -> Result<Option<WriteOutcome>> {
    // On its own: what writes of few bytes wait for stays small.
    let refused = Box::pin(refused_already(handle, registry.environment.now_ms(), asked)).await;
    match &refused {
        Ok(None) => {}
        Ok(Some(_)) => registry.metrics.evaluated(Outcome::Conflicted),
        Err(_) => registry.metrics.evaluated(Outcome::Refused),
    }
    refused
}

fn check_ack_level(min_ack: AckLevel) -> Result<()> {
    if min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    Ok(())
}

fn proposal(
    permit: Permit,
    upload: &Upload,
    request: WriteDiff,
    diff: Diff,
    stored: Bytes,
) -> Box<Proposal> {
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
    Box::new(Proposal {
        node_id: request.node_id,
        path: request.path,
        kind: request.kind,
        diff,
        diff_hash: sha256(&stored),
        stored: StoredDiff::Inline(stored),
        pack: None,
        upload: upload.clone(),
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
    })
}
