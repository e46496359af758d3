//! `…/conflicts`: what was kept until someone resolves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use vdom_core::dom::calls::{
    ConflictExplanation, ExplainConflict, ListConflicts, MergePreview, Resolution, ResolveConflict,
    ResolveOutcome, checked_conflict_limit, checked_message,
};
use vdom_core::{ConflictId, Error, Result, VectorClock};

use super::diff::{self, Encoding};
use super::enums::ResolutionWord;
use super::request::ApiRequest;
use super::{body, history, response, to_json, write};
use crate::dom::DocumentService;
use crate::dom::response_limit;
use vdom_edge::deadline;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    resolution: ResolutionWord,
    content: Option<Value>,
    encoding: Option<Encoding>,
    vector_clock: Option<BTreeMap<String, u64>>,
    #[serde(default)]
    message: String,
    operation_id: Option<String>,
}

/// The conflicts of a branch.
pub(super) async fn list_conflicts<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&["paths", "limit", "after"]])?;
    let limit = u32::try_from(call.query.number("limit")?.unwrap_or(0))
        .map_err(|_| Error::invalid("limit is too large"))?;
    let request = ListConflicts {
        address: call.address()?,
        paths: call.query.prefixes()?,
        limit: checked_conflict_limit(limit)?,
        after: call.query.get("after").map(ConflictId::from_hex).transpose()?,
    };
    let page = dom.list_conflicts(&call.caller, request);
    let page = deadline::within(call.deadline(), page).await?;
    let page = response_limit::conflict_page(page);
    let conflicts = page.conflicts.iter().map(to_json::stored_conflict);
    let conflicts: Vec<_> = conflicts.collect::<Result<_>>()?;
    response::json(&json!({ "conflicts": conflicts, "more": page.more }))
}

/// What a conflict is about now.
pub(super) async fn explain_conflict<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let request = ExplainConflict { address: call.address()?, id: call.conflict_id()? };
    let explanation = dom.explain_conflict(&call.caller, request);
    let explanation = deadline::within(call.deadline(), explanation).await?;
    let ConflictExplanation { stored, unseen, merge } =
        response_limit::conflict_explanation(explanation);
    let (merge, hunks) = match &merge {
        MergePreview::Clean => ("clean", &[][..]),
        MergePreview::Conflicting(hunks) => ("conflicting", &hunks[..]),
        MergePreview::Impossible => ("impossible", &[][..]),
    };
    response::json(&json!({
        "conflict": to_json::stored_conflict(&stored)?,
        "unseen": history::history_page(&unseen),
        "merge": merge,
        "hunks": hunks.iter().map(to_json::hunk).collect::<Vec<_>>(),
    }))
}

pub(super) async fn resolve_conflict<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let (address, id) = (call.address()?, call.conflict_id()?);
    let resolve: Resolve = body::json(&call, body).await?;
    let content = resolve.content.map(|content| diff::content_of(content, resolve.encoding));
    let resolution = match (resolve.resolution, content) {
        (ResolutionWord::Ours, None) => Resolution::Ours,
        (ResolutionWord::Theirs, None) => Resolution::Theirs,
        (ResolutionWord::Merge, None) => Resolution::Merge,
        (ResolutionWord::Manual, Some(content)) => Resolution::Manual(content?.into_bytes()),
        _ => return Err(Error::invalid("`content` is for `manual`, which needs it")),
    };
    let request = ResolveConflict {
        address,
        id,
        resolution,
        clock: VectorClock::from_entries(resolve.vector_clock.unwrap_or_default())?,
        message: checked_message(resolve.message)?,
        operation_id: call.operation_id(resolve.operation_id.as_deref())?,
    };
    let outcome = dom.resolve_conflict(&call.caller, request);
    match deadline::within(call.deadline(), outcome).await? {
        ResolveOutcome::Resolved(written) => {
            response::json(&json!({ "written": written.as_ref().map(to_json::written) }))
        }
        ResolveOutcome::Conflicted(conflict) => write::conflicted(&call, &conflict, false),
    }
}
