//! Change sets: requests as a server reads them, answers as a client does.

use vdom_core::dom::calls::{
    AckLevel, RevertChanges, SetConflicts, SetOutcome, SetWritten, WriteDiff, WriteDiffs,
    WriteOutcome, Written, checked_actor, checked_message, checked_metadata, checked_revisions,
};
use vdom_core::{Error, RealmName, Result};
use vdom_proto::v1 as wire;

use super::responses::{readable, write_outcome};
use super::{checks, requests};

/// What is the same for all diffs of a set.
pub fn write_diffs(
    request: wire::WriteDiffsRequest,
    caller_realm: Option<&RealmName>,
) -> Result<WriteDiffs> {
    Ok(WriteDiffs {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        operation_id: checks::operation_id(&request.operation_id)?,
        expected_revision: checks::number(request.expected_revision),
        on_conflict: checks::on_conflict(request.on_conflict)?,
        min_ack: checks::ack_level(request.min_ack)?,
        author: checked_actor("author", request.author)?,
        authored_at_ms: request
            .authored_at
            .map(|time| checks::time("authored_at", time))
            .transpose()?,
        message: checked_message(request.message)?,
        metadata: checked_metadata(request.metadata)?,
    })
}

/// A diff of this set. What it leaves open the set says; what the set alone may
/// say it must leave open, or say the same.
pub(crate) fn diff_of_set(set: &WriteDiffs, mut diff: wire::WriteDiffRequest) -> Result<WriteDiff> {
    let address = &set.address;
    for (field, own, shared) in [
        ("realm", &diff.realm, address.realm.as_str()),
        ("repo", &diff.repo, address.repo.as_str()),
        ("branch", &diff.branch, address.branch.as_str()),
        ("author", &diff.author, set.author.as_deref().unwrap_or_default()),
    ] {
        if !own.is_empty() && own != shared {
            return Err(of_the_set_alone(field));
        }
    }
    if !diff.operation_id.is_empty()
        && checks::operation_id(&diff.operation_id)? != set.operation_id
    {
        return Err(of_the_set_alone("operation_id"));
    }
    let names_ack = diff.min_ack != i32::from(wire::AckLevel::Unspecified);
    if names_ack && checks::ack_level(diff.min_ack)? != set.min_ack {
        return Err(of_the_set_alone("min_ack"));
    }
    let own_rule = diff.on_conflict != i32::from(wire::OnConflict::Unspecified);
    diff.author.clear();
    diff.operation_id.clear();
    let mut request = requests::diff_at(address.clone(), diff)?;
    request.min_ack = set.min_ack;
    if !own_rule {
        request.on_conflict = set.on_conflict;
    }
    Ok(request)
}

/// A range of changes to undo.
pub fn revert_changes(
    request: wire::RevertChangesRequest,
    caller_realm: Option<&RealmName>,
) -> Result<RevertChanges> {
    let (first_revision, last_revision) =
        checked_revisions(request.first_revision, request.last_revision)?;
    Ok(RevertChanges {
        address: checks::address(&request.realm, &request.repo, &request.branch, caller_realm)?,
        first_revision,
        last_revision,
        epoch: checks::number(request.epoch),
        on_conflict: checks::on_conflict(request.on_conflict)?,
        author: checked_actor("author", request.author)?,
        message: checked_message(request.message)?,
        operation_id: checks::operation_id(&request.operation_id)?,
    })
}

/// What became of a set.
pub fn set_outcome(answer: wire::WriteDiffsResponse) -> Result<SetOutcome> {
    readable("WriteDiffsResponse", || {
        let operation_id = checks::operation_id(&answer.operation_id)?;
        if answer.success {
            return Ok(SetOutcome::Written(SetWritten {
                epoch: answer.epoch,
                first_revision: answer.first_revision,
                last_revision: answer.last_revision,
                ack: match checks::known_enum("ack", answer.ack)? {
                    wire::AckLevel::Local => AckLevel::Local,
                    wire::AckLevel::Unspecified | wire::AckLevel::Committed => AckLevel::Committed,
                },
                timestamp_ms: checks::milliseconds(answer.timestamp),
                operation_id,
                results: answer.results.into_iter().map(written).collect::<Result<_>>()?,
            }));
        }
        let results = answer.results.into_iter().map(|result| {
            if result.conflict.is_none() {
                return Ok(None);
            }
            match write_outcome(result)? {
                WriteOutcome::Conflicted(conflict) => Ok(Some(conflict)),
                WriteOutcome::Written(_) => {
                    Err(Error::invalid("a result says success, but the set does not"))
                }
            }
        });
        Ok(SetOutcome::Conflicted(SetConflicts {
            epoch: answer.epoch,
            revision: answer.last_revision,
            operation_id,
            results: results.collect::<Result<_>>()?,
        }))
    })
}

fn written(result: wire::WriteDiffResponse) -> Result<Written> {
    match write_outcome(result)? {
        WriteOutcome::Written(written) => Ok(written),
        WriteOutcome::Conflicted(_) => {
            Err(Error::invalid("a result is a conflict, but the set says success"))
        }
    }
}

fn of_the_set_alone(field: &str) -> Error {
    Error::invalid(format!(
        "{field} is not that of the change set: leave it out, the set says it for all its diffs"
    ))
}
