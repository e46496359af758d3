//! `ListConflicts` and `ResolveConflict`: refused writes that are kept until someone
//! decides.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{
    Conflict, ConflictPage, ConflictReason, DiffSource, ListConflicts, OnConflict, Resolution,
    ResolveConflict, ResolveOutcome, StoredConflict, WriteDiff, WriteOutcome,
};
use vdom_core::dom::change::sha256;
use vdom_core::dom::diff;
use vdom_core::limits::{CHUNK_BYTES, CONFLICT_PAGE_MAX};
use vdom_core::{ConflictId, Diff, Error, ErrorCode, Hash, Node, Operation, Result, VectorClock};
use vdom_security::Permit;
use vdom_store::OperationKey;

use crate::branch::Branch;
use crate::branch::kept_conflicts::ConflictRows;
use crate::branch::point_in_time::node_at_revision;
use crate::branch::views_wait::VIEWS_WAIT_MAX;
use crate::content;
use crate::content::ChunkOwner;
use crate::content::packs::StoredDiff;
use crate::records::{
    ControlRecord, KeptConflict, KeptReason, decode_record, operation_key, shown_diff,
};
use crate::registry::BranchRegistry;
use crate::uploads::Upload;
use crate::writer::merge::merge_base;
use crate::writer::{
    BranchHandle, Command, Proposal, answered, check_staged, explain_conflict, open_conflict,
    propose, recorded,
};

/// How often a resolution is made again because what it ends in has changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;

/// One page of the conflicts that nobody has resolved.
pub(crate) async fn list(handle: &BranchHandle, request: &ListConflicts) -> Result<ConflictPage> {
    handle.at_newest(|| page(handle, request)).await
}

async fn page(handle: &BranchHandle, request: &ListConflicts) -> Result<ConflictPage> {
    let branch = &*handle.branch;
    branch.await_views(branch.head().number, VIEWS_WAIT_MAX).await?;
    let limit = request.limit.clamp(1, CONFLICT_PAGE_MAX) as usize;
    let mut conflicts = Vec::new();
    let mut rows = ConflictRows::new(branch, request.after);
    while let Some(row) = rows.next().await? {
        if !row.live {
            continue;
        }
        let kept = decode_record(&row.value)?;
        if !is_wanted(&kept, &request.paths) {
            continue;
        }
        if conflicts.len() == limit {
            return Ok(ConflictPage { conflicts, more: true });
        }
        conflicts.push(stored(branch, kept).await?);
    }
    Ok(ConflictPage { conflicts, more: false })
}

/// Ends a conflict as it is told to.
pub(crate) async fn resolve(
    registry: &BranchRegistry,
    permit: Permit,
    request: ResolveConflict,
) -> Result<ResolveOutcome> {
    let now_ms = registry.environment.now_ms();
    let operation = request.operation_id.map(|id| {
        let operation = Operation { id, request: request_hash(&request) };
        (operation, operation_key(permit.subject(), id))
    });
    let mut handle = registry.verified_existing(&permit, &request.address).await?;
    if let Some(first) = recorded(&handle, operation, now_ms).await? {
        return Ok(ResolveOutcome::Resolved(first.written()));
    }
    let mut attempts = 0;
    loop {
        let branch = &*handle.branch;
        let head = branch.head().revision;
        let kept = open_conflict(branch, request.id).await?;
        let written = if request.resolution == Resolution::Ours {
            None
        } else {
            let upload = registry.uploads.begin(&permit, &request.address);
            resolution(branch, permit.clone(), upload, &request, kept, operation).await?
        };
        let Some(proposal) = written else {
            let mut records = vec![ControlRecord::Resolved(request.id)];
            records.extend(operation.map(|operation| answered(operation, now_ms, None)));
            handle.ask(|reply| Command::Control { records, reply }).await?;
            return Ok(ResolveOutcome::Resolved(None));
        };
        attempts += 1;
        match propose(&handle, Box::new(proposal)).await? {
            WriteOutcome::Written(written) => return Ok(ResolveOutcome::Resolved(Some(written))),
            // Who names no clock means what stands there, and that has changed meanwhile.
            WriteOutcome::Conflicted(conflict)
                if request.clock.is_empty()
                    && conflict.reason == ConflictReason::StaleClock
                    && branch.head().revision > head
                    && attempts < ATTEMPTS_MAX => {}
            WriteOutcome::Conflicted(conflict) => return Ok(ResolveOutcome::Conflicted(conflict)),
        }
        // It ends as things stand, also where others write.
        handle = registry.verified_existing(&permit, &request.address).await?;
    }
}

/// The write that resolves a conflict; `None` where nothing has to be written.
async fn resolution(
    branch: &Branch,
    permit: Permit,
    upload: Upload,
    request: &ResolveConflict,
    kept: KeptConflict,
    operation: Option<(Operation, OperationKey)>,
) -> Result<Option<Proposal>> {
    let found = branch.node(kept.node_id).await?;
    let current = found.clone().filter(|node| node.live);
    let seen = match &current {
        Some(node) if request.clock.is_empty() => node.clock.clone(),
        Some(_) => request.clock.clone(),
        // What stood there is gone: what was refused may be created.
        None => VectorClock::default(),
    };
    let refused = Bytes::from(kept.diff.clone());
    content::touch(branch.store(), &branch.address, &kept.named_chunks()?).await?;
    let mut path = kept.asked_path.clone();
    let (stored, clock, on_conflict) = match &request.resolution {
        Resolution::Theirs => {
            let base = match &found {
                Some(node) => merge_base(branch, node, &kept.clock).await?,
                None => None,
            };
            path = path.or_else(|| base.as_ref().map(|base| base.path.clone()));
            let (base, current) = (base.as_deref(), current.as_deref());
            let Some(stored) = theirs(branch, &upload, &refused, base, current, request.id).await?
            else {
                return Ok(None);
            };
            (stored, seen, OnConflict::Reject)
        }
        Resolution::Merge => (refused, kept.clock, OnConflict::Merge),
        Resolution::Manual(content) => {
            let kind = current.as_ref().map(|node| node.kind).or(kept.asked_kind);
            let put = if kind.is_some_and(vdom_core::NodeKind::is_document) {
                Diff::put_document(content)
            } else {
                Diff::put_file(content)
            };
            Diff::parse(&put)?;
            (put, seen, OnConflict::Reject)
        }
        Resolution::Ours => return Ok(None),
    };
    if stored.len() > CHUNK_BYTES {
        return Err(Error::too_large(format!(
            "the content has more than {CHUNK_BYTES} bytes: write it to the node, then resolve the \
             conflict with OURS"
        )));
    }
    let stored = content::owned(stored);
    let subject = permit.subject().clone();
    Ok(Some(Proposal {
        node_id: current.as_ref().map(|node| node.id),
        path: path.filter(|_| current.is_none()),
        kind: current.map(|node| node.kind).or(kept.asked_kind),
        diff: Diff::parse_stored(&stored)?,
        diff_hash: sha256(&stored),
        stored: StoredDiff::Inline(stored),
        pack: None,
        upload,
        clock,
        on_conflict,
        actor: subject.to_string(),
        author: subject.to_string(),
        authored_at_ms: None,
        message: request.message.clone(),
        metadata: kept.metadata,
        operation,
        merged: false,
        keep_conflict: false,
        resolves: Some(request.id),
        permit,
    }))
}

/// What makes of the node as it stands what was refused: an edit of a content is one of
/// the content that it was made of. `None` where that stands there already.
async fn theirs(
    branch: &Branch,
    upload: &Upload,
    refused: &Bytes,
    base: Option<&Node>,
    current: Option<&Node>,
    id: ConflictId,
) -> Result<Option<Bytes>> {
    let diff = Diff::parse_stored(refused)?;
    let Some(stands) = current.or(base) else { return Ok(Some(refused.clone())) };
    let of_node = |error: Error| error.resource(branch.address.node(&stands.path));
    check_staged(&diff, stands.kind).map_err(of_node)?;
    let made_of = match base.filter(|base| base.live) {
        _ if !diff.needs_content() => Bytes::new(),
        Some(base) => content::load(branch.store(), &branch.address, &base.content).await?,
        None => {
            return Err(Error::new(
                ErrorCode::FailedPrecondition,
                format!(
                    "what conflict {id} was made of is no longer kept, and its {} means nothing \
                     without: resolve it with OURS or MANUAL",
                    diff.kind_name()
                ),
            )
            .resource(&branch.address));
        }
    };
    let made = diff::apply(&diff, stands.kind, &made_of, &stands.attributes).map_err(of_node)?;
    if made.deleted {
        return Ok(current.map(|_| Diff::delete()));
    }
    let (store, address) = (branch.store(), &branch.address);
    let wanted = Node {
        content: content::resolve_content(
            ChunkOwner::Upload(upload),
            address,
            made.content,
            &stands.content,
            None,
            None,
        )
        .await?,
        attributes: made.attributes.unwrap_or_else(|| stands.attributes.clone()),
        path: made.path.unwrap_or_else(|| stands.path.clone()),
        live: true,
        ..stands.clone()
    };
    let wanted = content::inline(store, address, Arc::new(wanted)).await?;
    Diff::restore(current, Some(&wanted))
}

/// What makes two resolutions the same: of which conflict, and how.
fn request_hash(request: &ResolveConflict) -> Hash {
    let mut hasher = Sha256::new_with_prefix(b"vdom.resolve.1");
    hasher.update(request.id.as_bytes());
    let (way, content) = match &request.resolution {
        Resolution::Ours => (0, &[][..]),
        Resolution::Theirs => (1, &[][..]),
        Resolution::Merge => (2, &[][..]),
        Resolution::Manual(content) => (3, &content[..]),
    };
    hasher.update([way]);
    hasher.update(content);
    Hash(hasher.finalize().into())
}

/// The conflict as it is listed: what stood there is read from the history.
pub(super) async fn stored(branch: &Branch, kept: KeptConflict) -> Result<StoredConflict> {
    // Where that is compacted, as it stood at the oldest revision that is kept.
    let revision = kept.revision.max(branch.oldest_revision());
    let node = node_at_revision(branch, kept.node_id, revision).await?;
    let diff = Bytes::from(kept.diff);
    let mut conflict = shown(branch, &kept.reason, kept.node_id, node.as_deref()).await?;
    conflict.conflict_id = Some(kept.id);
    conflict.operation_id = kept.operation_id;
    conflict.revision = kept.revision;
    explain_conflict(branch, &mut conflict, &kept.clock, &Diff::parse_stored(&diff)?).await?;
    let request = WriteDiff {
        address: branch.address.clone(),
        node_id: kept.asked_node_id,
        path: kept.asked_path,
        kind: kept.asked_kind,
        diff: shown_diff(diff).map_or(DiffSource::Follows, DiffSource::Bson),
        clock: kept.clock,
        on_conflict: OnConflict::Reject,
        min_ack: vdom_core::dom::calls::AckLevel::Committed,
        keep_conflict: true,
        actor: Some(kept.actor),
        author: Some(kept.author),
        message: kept.message,
        metadata: kept.metadata,
        operation_id: kept.operation_id,
    };
    let (id, timestamp_ms, subject) = (kept.id, kept.timestamp_ms, kept.subject);
    Ok(StoredConflict { id, conflict, request, timestamp_ms, subject })
}

async fn shown(
    branch: &Branch,
    reason: &KeptReason,
    node_id: vdom_core::NodeId,
    node: Option<&Node>,
) -> Result<Conflict> {
    let Some(node) = node else {
        return Err(crate::branch::broken_chain(&branch.address, 0)
            .context(format!("a kept conflict is about node {node_id}, which was never there")));
    };
    let content = if node.content.len() <= CHUNK_BYTES as u64 {
        Some(content::load(branch.store(), &branch.address, &node.content).await?)
    } else {
        None
    };
    Ok(Conflict {
        reason: match reason {
            KeptReason::StaleClock => ConflictReason::StaleClock,
            KeptReason::PathExists => ConflictReason::PathExists,
            KeptReason::Deleted => ConflictReason::Deleted,
            KeptReason::TargetExists => ConflictReason::TargetExists,
            KeptReason::Merge => ConflictReason::Merge,
        },
        node_id,
        path: node.path.clone(),
        kind: node.kind,
        current_clock: node.clock.clone(),
        current_version: node.version,
        current_content: content,
        current_author: node.author.clone(),
        current_timestamp_ms: node.timestamp_ms,
        base_content: None,
        hunks: Vec::new(),
        epoch: branch.head().epoch,
        revision: node.changed_revision,
        operation_id: None,
        conflict_id: None,
    })
}

/// Whether any of the paths covers what the conflict is about.
fn is_wanted(kept: &KeptConflict, paths: &[String]) -> bool {
    paths.is_empty()
        || kept
            .asked_path
            .as_ref()
            .is_some_and(|path| paths.iter().any(|prefix| path.is_covered_by(prefix)))
}
