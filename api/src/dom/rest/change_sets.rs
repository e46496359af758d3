//! `POST …/changes` and `POST …/reverts`: several changes at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use futures::{StreamExt, stream};
use http::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vdom_core::dom::calls::{
    ChangeSetPart, RevertChanges, SetConflicts, SetOutcome, WriteDiffs, checked_actor,
    checked_message, checked_metadata, checked_revisions,
};
use vdom_core::{BranchAddress, Error, ErrorCode, Result, time};

use super::diff::JsonDiff;
use super::enums::{AckWord, OnConflictWord};
use super::request::ApiRequest;
use super::{body, response, to_json};
use crate::dom::DocumentService;
use crate::dom::change_set_counter::ChangeSetCounter;
use crate::dom::response_limit;
use vdom_edge::ServiceStream;
use vdom_edge::deadline;
use vdom_edge::error::to_response_with;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSet {
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    author: Option<String>,
    authored_at: Option<String>,
    on_conflict: Option<OnConflictWord>,
    ack: Option<AckWord>,
    expected_revision: Option<u64>,
    operation_id: Option<String>,
    diffs: Vec<JsonDiff>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revert {
    first_revision: u64,
    last_revision: u64,
    epoch: Option<u64>,
    on_conflict: Option<OnConflictWord>,
    author: Option<String>,
    #[serde(default)]
    message: String,
    operation_id: Option<String>,
}

/// Writes a change set: all of its diffs or none.
pub(super) async fn write_change_set<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let address = call.address()?;
    let set: ChangeSet = body::json(&call, body).await?;
    let request = WriteDiffs {
        address: address.clone(),
        operation_id: call.operation_id(set.operation_id.as_deref())?,
        expected_revision: set.expected_revision.filter(|revision| *revision > 0),
        on_conflict: set.on_conflict.map(Into::into).unwrap_or_default(),
        min_ack: set.ack.map(Into::into).unwrap_or_default(),
        author: checked_actor("author", set.author.unwrap_or_default())?,
        authored_at_ms: set.authored_at.as_deref().map(authored_at).transpose()?,
        message: checked_message(set.message)?,
        metadata: checked_metadata(set.metadata)?,
    };
    let parts = parts(&request, set.diffs)?;
    let outcome = dom.write_diffs(&call.caller, request, parts);
    let outcome = deadline::within(call.deadline(), outcome).await?;
    answer(&call, &address, outcome)
}

/// Writes the inverse of a range of changes.
pub(super) async fn revert_changes<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let address = call.address()?;
    let revert: Revert = body::json(&call, body).await?;
    let (first_revision, last_revision) =
        checked_revisions(revert.first_revision, revert.last_revision)?;
    let request = RevertChanges {
        address: address.clone(),
        first_revision,
        last_revision,
        epoch: revert.epoch.filter(|epoch| *epoch > 0),
        on_conflict: revert.on_conflict.map(Into::into).unwrap_or_default(),
        author: checked_actor("author", revert.author.unwrap_or_default())?,
        message: checked_message(revert.message)?,
        operation_id: call.operation_id(revert.operation_id.as_deref())?,
    };
    let outcome = dom.revert_changes(&call.caller, request);
    let outcome = deadline::within(call.deadline(), outcome).await?;
    answer(&call, &address, outcome)
}

fn answer(
    call: &ApiRequest,
    address: &BranchAddress,
    outcome: SetOutcome,
) -> Result<Response<Body>> {
    match response_limit::set_outcome(outcome) {
        SetOutcome::Written(set) => response::json(&to_json::set_written(&set)),
        SetOutcome::Conflicted(set) => conflicted(call, address, &set),
    }
}

fn conflicted(
    call: &ApiRequest,
    address: &BranchAddress,
    set: &SetConflicts,
) -> Result<Response<Body>> {
    let conflicts = set.results.iter().map(|result| match result {
        Some(conflict) => to_json::conflict(conflict),
        None => Ok(Value::Null),
    });
    let conflicts: Vec<_> = conflicts.collect::<Result<_>>()?;
    let message = "nothing was written: `conflicts` says for each diff what stands in its way, or \
                   null; read that, then decide";
    let error =
        Error::new(ErrorCode::Conflict, message).resource(address).at(set.epoch, set.revision);
    let members = Map::from_iter([("conflicts".to_owned(), json!(conflicts))]);
    Ok(to_response_with(&error, &call.caller.request_id, members))
}

/// The parts of a set that is here as a whole.
fn parts(set: &WriteDiffs, diffs: Vec<JsonDiff>) -> Result<ServiceStream<ChangeSetPart>> {
    let mut counter = ChangeSetCounter::default();
    let mut parts = Vec::with_capacity(diffs.len());
    for diff in diffs {
        parts.push(Ok(counter.whole_diff(|| diff.into_write(set))?));
    }
    counter.end()?;
    Ok(stream::iter(parts).boxed())
}

fn authored_at(text: &str) -> Result<i64> {
    time::parse("authored_at", text)
}
