//! Change sets: requests of a client, answers of a server.

use vdom_core::dom::calls::{ChangeSetPart, RevertChanges, SetOutcome, WriteDiffs, WriteOutcome};
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use super::{requests, responses};

/// What is the same for all diffs of a set, before they follow.
pub fn write_diffs(request: &WriteDiffs) -> wire::WriteDiffsChunk {
    let header = wire::WriteDiffsRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        operation_id: super::operation_id(request.operation_id),
        expected_revision: request.expected_revision.unwrap_or_default(),
        on_conflict: super::on_conflict(request.on_conflict),
        min_ack: super::ack_level(request.min_ack),
        author: request.author.clone().unwrap_or_default(),
        authored_at: request.authored_at_ms.map(super::timestamp),
        message: request.message.clone(),
        diffs: Vec::new(),
        metadata: request.metadata.clone(),
    };
    wire::WriteDiffsChunk { chunk: Some(Chunk::Header(header)) }
}

/// A diff of a set, or a piece of its content.
pub fn change_set_part(part: ChangeSetPart) -> wire::WriteDiffsChunk {
    let chunk = match part {
        ChangeSetPart::Diff(diff) => Chunk::Diff(wire::WriteDiffRequest {
            // The set says where it all happens.
            realm: String::new(),
            repo: String::new(),
            branch: String::new(),
            ..requests::write_diff(&diff)
        }),
        ChangeSetPart::Content(piece) => Chunk::Content(piece),
    };
    wire::WriteDiffsChunk { chunk: Some(chunk) }
}

/// A range of changes to undo.
pub fn revert_changes(request: &RevertChanges) -> wire::RevertChangesRequest {
    wire::RevertChangesRequest {
        realm: request.address.realm.to_string(),
        repo: request.address.repo.to_string(),
        branch: request.address.branch.to_string(),
        first_revision: request.first_revision,
        last_revision: request.last_revision,
        epoch: request.epoch.unwrap_or_default(),
        on_conflict: super::on_conflict(request.on_conflict),
        author: request.author.clone().unwrap_or_default(),
        message: request.message.clone(),
        operation_id: super::operation_id(request.operation_id),
    }
}

/// What became of a set. The head that a refusal was decided on is its last
/// revision.
pub fn set_outcome(outcome: SetOutcome) -> wire::WriteDiffsResponse {
    match outcome {
        SetOutcome::Written(set) => wire::WriteDiffsResponse {
            success: true,
            epoch: set.epoch,
            first_revision: set.first_revision,
            last_revision: set.last_revision,
            ack: super::ack_level(set.ack),
            results: set.results.iter().map(responses::written).collect(),
            timestamp: Some(super::timestamp(set.timestamp_ms)),
            operation_id: super::operation_id(set.operation_id),
        },
        SetOutcome::Conflicted(set) => wire::WriteDiffsResponse {
            success: false,
            epoch: set.epoch,
            last_revision: set.revision,
            operation_id: super::operation_id(set.operation_id),
            results: set
                .results
                .into_iter()
                .map(|conflict| match conflict {
                    Some(conflict) => responses::write_outcome(WriteOutcome::Conflicted(conflict)),
                    None => wire::WriteDiffResponse::default(),
                })
                .collect(),
            ..Default::default()
        },
    }
}
