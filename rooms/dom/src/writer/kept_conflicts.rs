//! What a batch says besides changes: which conflicts it keeps, which it resolves, and
//! what was answered without a change.

use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{Conflict, ConflictReason, Written};
use vdom_core::{ConflictId, Error, Operation, Result};
use vdom_store::OperationKey;

use crate::branch::{Branch, kept_conflicts};
use crate::content::packs::StoredDiff;
use crate::records::{ControlRecord, KeptConflict, KeptReason, RecordedResult, decode_record};
use crate::writer::Proposal;
use crate::writer::verdict::Verdict;

/// What a batch must say besides changes: the conflicts to keep, which get their names,
/// those that it resolves, and what it answers to requests that had nothing to write.
pub(crate) async fn control_records(
    branch: &Branch,
    now_ms: i64,
    proposals: &[&Proposal],
    verdicts: &mut [Verdict],
) -> Result<Vec<ControlRecord>> {
    let mut control_records = Vec::new();
    for (proposal, verdict) in proposals.iter().zip(verdicts) {
        match verdict {
            Verdict::Conflicted(conflict) if proposal.keep_conflict => {
                let id = name(branch, proposal, conflict);
                conflict.conflict_id = Some(id);
                if current(branch, id).await?.is_none() {
                    control_records.push(ControlRecord::Conflict(Box::new(kept(
                        id, now_ms, proposal, conflict,
                    )?)));
                }
            }
            Verdict::Accepted(_) => {
                control_records.extend(proposal.resolves.map(ControlRecord::Resolved));
            }
            Verdict::Same(stands) => {
                control_records.extend(proposal.resolves.map(ControlRecord::Resolved));
                let operation = proposal.operation;
                control_records
                    .extend(operation.map(|operation| answered(operation, now_ms, Some(stands))));
            }
            _ => {}
        }
    }
    Ok(control_records)
}

/// What makes a request that had nothing to write safe to repeat.
pub(crate) fn answered(
    (operation, key): (Operation, OperationKey),
    now_ms: i64,
    stands: Option<&Written>,
) -> ControlRecord {
    let result = RecordedResult::of_nothing_written(operation, now_ms, stands);
    ControlRecord::Answered { key: key.0, result: Box::new(result) }
}

fn kept(
    id: ConflictId,
    now_ms: i64,
    proposal: &Proposal,
    conflict: &Conflict,
) -> Result<KeptConflict> {
    let StoredDiff::Inline(diff) = &proposal.stored else {
        return Err(Error::internal("a diff of its own is at hand"));
    };
    Ok(KeptConflict {
        id,
        reason: match conflict.reason {
            ConflictReason::StaleClock => KeptReason::StaleClock,
            ConflictReason::PathExists => KeptReason::PathExists,
            ConflictReason::Deleted => KeptReason::Deleted,
            ConflictReason::TargetExists => KeptReason::TargetExists,
            ConflictReason::Merge => KeptReason::Merge,
        },
        node_id: conflict.node_id,
        revision: conflict.revision,
        timestamp_ms: now_ms,
        subject: proposal.permit.subject().to_string(),
        asked_node_id: proposal.node_id,
        asked_path: proposal.path.clone(),
        asked_kind: proposal.kind,
        diff: diff.to_vec(),
        clock: proposal.clock.clone(),
        actor: proposal.actor.clone(),
        author: proposal.author.clone(),
        message: proposal.message.clone(),
        metadata: proposal.metadata.clone(),
        operation_id: proposal.operation.map(|(operation, _)| operation.id),
    })
}

/// The same write, repeated, is the same conflict, also after a restore.
fn name(branch: &Branch, proposal: &Proposal, conflict: &Conflict) -> ConflictId {
    let mut hasher = Sha256::new_with_prefix(b"vdom.conflict.1");
    hasher.update(branch.before_restores().log.0);
    if let Some((_, key)) = proposal.operation {
        hasher.update(key.0);
    } else {
        hasher.update(conflict.revision.to_be_bytes());
        hasher.update(conflict.node_id.as_bytes());
        hasher.update(proposal.diff_hash.as_bytes());
        hasher.update(proposal.permit.subject().as_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    ConflictId(id)
}

/// A conflict that nobody has resolved.
///
/// # Errors
/// `NotFound` where there is none.
pub(crate) async fn open_conflict(branch: &Branch, id: ConflictId) -> Result<KeptConflict> {
    match current(branch, id).await? {
        Some(Kept::Open(kept)) => Ok(*kept),
        Some(Kept::Resolved) | None => Err(no_open_conflict(branch, id)),
    }
}

pub(crate) fn no_open_conflict(branch: &Branch, id: ConflictId) -> Error {
    Error::not_found(format!(
        "conflict {id} is not open in {}: it was never kept, or somebody resolved it",
        branch.address
    ))
    .resource(&branch.address)
}

/// What has become of a kept conflict.
enum Kept {
    Open(Box<KeptConflict>),
    Resolved,
}

/// A kept conflict as the log says by now; `None` where it was never kept.
async fn current(branch: &Branch, id: ConflictId) -> Result<Option<Kept>> {
    // Before the row: what is written meanwhile has become one.
    let (_, batches) = branch.unwritten();
    let newest_first = batches.iter().rev().flat_map(|batch| batch.control_records.iter().rev());
    for control in newest_first {
        match control {
            ControlRecord::Conflict(kept) if kept.id == id => {
                return Ok(Some(Kept::Open(kept.clone())));
            }
            ControlRecord::Resolved(resolved) if *resolved == id => {
                return Ok(Some(Kept::Resolved));
            }
            _ => {}
        }
    }
    let row = kept_conflicts::row(branch, id).await?;
    let Some(row) = row else { return Ok(None) };
    if !row.live {
        return Ok(Some(Kept::Resolved));
    }
    decode_record(&row.value).map(|kept| Some(Kept::Open(Box::new(kept))))
}
