//! Conflicts and their resolutions: requests of a client, answers of a server.

use bytes::Bytes;
use vdom_core::dom::calls::{
    Conflict, ConflictExplanation, ConflictHunk, ConflictPage, ConflictReason, ExplainConflict,
    ListConflicts, MergePreview, Resolution, ResolveConflict, ResolveOutcome, StoredConflict,
    WriteOutcome,
};
use vdom_proto::v1 as wire;

use super::{requests, responses};

pub fn list_conflicts(request: &ListConflicts) -> wire::ListConflictsRequest {
    wire::ListConflictsRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        paths: request.paths.clone(),
        limit: request.limit,
        after_conflict_id: request
            .after
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .unwrap_or_default(),
    }
}

pub fn explain_conflict(request: &ExplainConflict) -> wire::ExplainConflictRequest {
    wire::ExplainConflictRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        conflict_id: Bytes::copy_from_slice(request.id.as_bytes()),
    }
}

pub fn resolve_conflict(request: &ResolveConflict) -> wire::ResolveConflictRequest {
    use wire::resolve_conflict_request::Resolution as Wire;
    let (way, content) = match &request.resolution {
        Resolution::Ours => (Wire::Ours, Bytes::new()),
        Resolution::Theirs => (Wire::Theirs, Bytes::new()),
        Resolution::Merge => (Wire::Merge, Bytes::new()),
        Resolution::Manual(content) => (Wire::Manual, content.clone()),
    };
    wire::ResolveConflictRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        conflict_id: Bytes::copy_from_slice(request.id.as_bytes()),
        resolution: way.into(),
        content,
        vector_clock: Some(super::clock(&request.clock)),
        message: request.message.clone(),
        operation_id: super::operation_id(request.operation_id),
    }
}

pub fn conflict_page(page: ConflictPage) -> wire::ListConflictsResponse {
    wire::ListConflictsResponse {
        conflicts: page.conflicts.into_iter().map(stored_conflict).collect(),
        more: page.more,
    }
}

/// What a conflict is about.
pub fn conflict_explanation(explanation: ConflictExplanation) -> wire::ExplainConflictResponse {
    use wire::explain_conflict_response::Merge as Wire;
    let ConflictExplanation { stored, unseen, merge } = explanation;
    let (merge, hunks) = match merge {
        MergePreview::Clean => (Wire::Clean, Vec::new()),
        MergePreview::Conflicting(hunks) => (Wire::Conflicting, hunks),
        MergePreview::Impossible => (Wire::Impossible, Vec::new()),
    };
    let address = stored.request.address.clone();
    wire::ExplainConflictResponse {
        conflict: Some(stored_conflict(stored)),
        unseen: Some(responses::history_page(unseen, &address)),
        merge: merge.into(),
        hunks: hunks.into_iter().map(hunk).collect(),
    }
}

/// What became of a resolution.
pub fn resolve_outcome(outcome: ResolveOutcome) -> wire::ResolveConflictResponse {
    wire::ResolveConflictResponse {
        written: match outcome {
            ResolveOutcome::Resolved(written) => written.as_ref().map(responses::written),
            ResolveOutcome::Conflicted(conflict) => {
                Some(responses::write_outcome(WriteOutcome::Conflicted(conflict)))
            }
        },
    }
}

fn stored_conflict(stored: StoredConflict) -> wire::StoredConflict {
    wire::StoredConflict {
        conflict_id: Bytes::copy_from_slice(stored.id.as_bytes()),
        conflict: Some(conflict_info(stored.conflict)),
        request: Some(requests::write_diff(&stored.request)),
        timestamp: Some(super::timestamp(stored.timestamp_ms)),
        subject: stored.subject,
    }
}

/// What stands where a write was refused.
pub(super) fn conflict_info(conflict: Conflict) -> wire::ConflictInfo {
    wire::ConflictInfo {
        reason: match conflict.reason {
            ConflictReason::StaleClock => wire::conflict_info::Reason::StaleClock,
            ConflictReason::PathExists => wire::conflict_info::Reason::PathExists,
            ConflictReason::Deleted => wire::conflict_info::Reason::Deleted,
            ConflictReason::TargetExists => wire::conflict_info::Reason::TargetExists,
            ConflictReason::Merge => wire::conflict_info::Reason::Merge,
        }
        .into(),
        node_id: Bytes::copy_from_slice(conflict.node_id.as_bytes()),
        path: conflict.path.to_string(),
        kind: super::kind(conflict.kind),
        current_clock: Some(super::clock(&conflict.current_clock)),
        current_version: conflict.current_version,
        content_omitted: conflict.current_content.is_none(),
        current_content: conflict.current_content.unwrap_or_default(),
        current_author: conflict.current_author,
        current_timestamp: Some(super::timestamp(conflict.current_timestamp_ms)),
        base_missing: conflict.base_content.is_none(),
        base_content: conflict.base_content.unwrap_or_default(),
        hunks: conflict.hunks.into_iter().map(hunk).collect(),
        conflict_id: conflict
            .conflict_id
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .unwrap_or_default(),
        epoch: conflict.epoch,
        revision: conflict.revision,
    }
}

fn hunk(hunk: ConflictHunk) -> wire::ConflictHunk {
    wire::ConflictHunk {
        base_start: hunk.base.0,
        base_length: hunk.base.1,
        current_start: hunk.current.0,
        current_length: hunk.current.1,
        proposed_start: hunk.proposed.0,
        proposed_length: hunk.proposed.1,
        field: hunk.field,
    }
}
