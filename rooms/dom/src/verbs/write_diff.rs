//! `WriteDiff`: one diff, checked here as far as it can be without the branch's
//! state, then evaluated by the branch's writer.

use bytes::Bytes;
use futures::StreamExt;
use vdom_core::dom::calls::{AckLevel, DiffSource, WriteContent, WriteDiff, WriteOutcome};
use vdom_core::dom::change::sha256;
use vdom_core::{BranchAddress, Diff, Error, NodeKind, Operation, Result};
use vdom_edge::{Caller, ServiceStream};
use vdom_security::{Action, Authority, Permit};

use crate::content::ContentWriter;
use crate::content::packs::StoredDiff;
use crate::records::operation_key;
use crate::registry::BranchRegistry;
use crate::writer::{Proposal, propose, request_hash, staged, store_large_put};

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
    let (diff, stored) = match &request.diff {
        DiffSource::Bson(bytes) => {
            let diff = Diff::parse(bytes)?;
            store_large_put(registry.store.with(&permit), &request.address, diff, bytes.clone())
                .await?
        }
        DiffSource::Staged(chunks) => staged(chunks.clone()),
        DiffSource::Follows => {
            return Err(Error::invalid(
                "a `put` without `v` needs a stream that brings its content",
            ));
        }
    };
    let address = request.address.clone();
    let handle = registry.existing_or_new(&permit, &address).await?;
    let proposal = proposal(permit.clone(), request, diff, stored);
    if !handle.branch.is_shared() {
        return propose(&handle, proposal).await;
    }
    match propose(&handle, proposal.clone()).await {
        Err(error) if handle.has_ended(&error) => {
            let handle = registry.existing_or_new(&permit, &address).await?;
            propose(&handle, proposal).await
        }
        outcome => outcome,
    }
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
    let mut pieces = ContentWriter::new(registry.store.with(&permit), &request.address);
    while let Some(piece) = content.next().await {
        pieces.add(&piece?).await?;
    }
    let diff = pieces.finish().await?;
    write(registry, permit, request.with_diff(diff)).await
}

fn check_ack_level(min_ack: AckLevel) -> Result<()> {
    if min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    Ok(())
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
        stored: StoredDiff::Inline(stored),
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
