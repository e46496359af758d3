//! Conflicts and their resolutions: requests as a server reads them, answers as
//! a client does.

use vdom_core::dom::calls::{
    Conflict, ConflictExplanation, ConflictHunk, ConflictPage, ConflictReason, ExplainConflict,
    ListConflicts, MergePreview, Resolution, ResolveConflict, ResolveOutcome, StoredConflict,
    WriteOutcome, checked_conflict_limit, checked_message, checked_prefixes,
};
use vdom_core::{ConflictId, Error, NodeId, NodePath, OperationId, RealmName, Result};
use vdom_proto::v1 as wire;

use super::responses::{self, readable};
use super::{checks, requests};

pub fn list_conflicts(
    request: &wire::ListConflictsRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ListConflicts> {
    Ok(ListConflicts {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        paths: checked_prefixes(&request.paths)?,
        limit: checked_conflict_limit(request.limit)?,
        after: checks::conflict_id(&request.after_conflict_id)?,
    })
}

pub fn explain_conflict(
    request: &wire::ExplainConflictRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ExplainConflict> {
    Ok(ExplainConflict {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        id: ConflictId::from_slice(&request.conflict_id)?,
    })
}

pub fn resolve_conflict(
    request: wire::ResolveConflictRequest,
    caller_realm: Option<&RealmName>,
) -> Result<ResolveConflict> {
    use wire::resolve_conflict_request::Resolution as Wire;
    let way = checks::known_enum("resolution", request.resolution)?;
    if way != Wire::Manual && !request.content.is_empty() {
        return Err(Error::invalid("content is for resolution MANUAL: leave it out"));
    }
    Ok(ResolveConflict {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        id: ConflictId::from_slice(&request.conflict_id)?,
        resolution: match way {
            Wire::Unspecified => {
                return Err(Error::invalid("name a resolution: OURS, THEIRS, MERGE or MANUAL"));
            }
            Wire::Ours => Resolution::Ours,
            Wire::Theirs => Resolution::Theirs,
            Wire::Merge => Resolution::Merge,
            Wire::Manual => Resolution::Manual(request.content),
        },
        clock: checks::clock(request.vector_clock)?,
        message: checked_message(request.message)?,
        operation_id: checks::operation_id(&request.operation_id)?,
    })
}

pub fn conflict_page(answer: wire::ListConflictsResponse) -> Result<ConflictPage> {
    readable("ListConflictsResponse", || {
        let conflicts = answer.conflicts.into_iter().map(stored_conflict).collect::<Result<_>>()?;
        Ok(ConflictPage { conflicts, more: answer.more })
    })
}

/// What a conflict is about.
pub fn conflict_explanation(answer: wire::ExplainConflictResponse) -> Result<ConflictExplanation> {
    use wire::explain_conflict_response::Merge as Wire;
    readable("ExplainConflictResponse", || {
        let missing = |what: &str| Error::invalid(format!("{what} is missing"));
        let merge = match checks::known_enum("merge", answer.merge)? {
            Wire::Clean => MergePreview::Clean,
            Wire::Conflicting => {
                MergePreview::Conflicting(answer.hunks.into_iter().map(hunk).collect())
            }
            Wire::Impossible => MergePreview::Impossible,
            Wire::Unspecified => return Err(Error::invalid("merge is unspecified")),
        };
        Ok(ConflictExplanation {
            stored: stored_conflict(answer.conflict.ok_or_else(|| missing("conflict"))?)?,
            unseen: responses::history_page(answer.unseen.ok_or_else(|| missing("unseen"))?)?,
            merge,
        })
    })
}

/// What became of a resolution.
pub fn resolve_outcome(answer: wire::ResolveConflictResponse) -> Result<ResolveOutcome> {
    match answer.written.map(responses::write_outcome).transpose()? {
        None => Ok(ResolveOutcome::Resolved(None)),
        Some(WriteOutcome::Written(written)) => Ok(ResolveOutcome::Resolved(Some(written))),
        Some(WriteOutcome::Conflicted(conflict)) => Ok(ResolveOutcome::Conflicted(conflict)),
    }
}

fn stored_conflict(answer: wire::StoredConflict) -> Result<StoredConflict> {
    let missing = |what: &str| Error::invalid(format!("{what} is missing"));
    let request = answer.request.ok_or_else(|| missing("request"))?;
    let address = checks::address(&request.realm, &request.repo, &request.branch, None)?;
    let request = requests::diff_at(address, request)?;
    let conflict = answer.conflict.ok_or_else(|| missing("conflict"))?;
    Ok(StoredConflict {
        id: ConflictId::from_slice(&answer.conflict_id)?,
        conflict: conflict_of(conflict, request.operation_id)?,
        request,
        timestamp_ms: checks::milliseconds(answer.timestamp),
        subject: answer.subject,
    })
}

/// What stands where a write was refused.
pub(super) fn conflict_of(
    answer: wire::ConflictInfo,
    operation_id: Option<OperationId>,
) -> Result<Conflict> {
    let reason = match checks::known_enum("reason", answer.reason)? {
        wire::conflict_info::Reason::StaleClock => ConflictReason::StaleClock,
        wire::conflict_info::Reason::PathExists => ConflictReason::PathExists,
        wire::conflict_info::Reason::Deleted => ConflictReason::Deleted,
        wire::conflict_info::Reason::TargetExists => ConflictReason::TargetExists,
        wire::conflict_info::Reason::Merge => ConflictReason::Merge,
        wire::conflict_info::Reason::Unspecified => {
            return Err(Error::invalid("reason is unspecified"));
        }
    };
    Ok(Conflict {
        reason,
        node_id: NodeId::from_slice(&answer.node_id)?,
        path: NodePath::parse(&answer.path)?,
        kind: responses::kind(answer.kind)?,
        current_clock: checks::clock(answer.current_clock)?,
        current_version: answer.current_version,
        current_content: (!answer.content_omitted).then_some(answer.current_content),
        current_author: answer.current_author,
        current_timestamp_ms: checks::milliseconds(answer.current_timestamp),
        base_content: (!answer.base_missing).then_some(answer.base_content),
        hunks: answer.hunks.into_iter().map(hunk).collect(),
        epoch: answer.epoch,
        revision: answer.revision,
        operation_id,
        conflict_id: checks::conflict_id(&answer.conflict_id)?,
    })
}

fn hunk(hunk: wire::ConflictHunk) -> ConflictHunk {
    ConflictHunk {
        base: (hunk.base_start, hunk.base_length),
        current: (hunk.current_start, hunk.current_length),
        proposed: (hunk.proposed_start, hunk.proposed_length),
        field: hunk.field,
    }
}
