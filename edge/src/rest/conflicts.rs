//! `…/conflicts`: what was kept until someone resolves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use vdom_core::calls::{ListConflicts, ResolveOutcome};
use vdom_core::{ConflictId, Error, Result};
use vdom_proto::v1 as wire;

use super::asked::Asked;
use super::diff::{self, Encoding, JsonContent};
use super::words::ResolutionWord;
use super::{body, json as answers, lists, write};
use crate::dom::Dom;
use crate::grpc::from_wire::{self, conflict_limit};
use crate::grpc::to_wire;
use crate::{answer_size, deadline};

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
pub(super) async fn list<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[&["paths", "limit", "after"]])?;
    let limit = u32::try_from(asked.parameters.number("limit")?.unwrap_or(0))
        .map_err(|_| Error::invalid("limit is too large"))?;
    let request = ListConflicts {
        address: asked.address()?,
        paths: asked.parameters.prefixes()?,
        limit: conflict_limit(limit)?,
        after: asked.parameters.get("after").map(ConflictId::from_hex).transpose()?,
    };
    let page = dom.list_conflicts(&asked.caller, request);
    let page = deadline::within(asked.deadline(), page).await?;
    let page = answer_size::conflict_page(page);
    let conflicts = page.conflicts.iter().map(answers::stored_conflict);
    let conflicts: Vec<_> = conflicts.collect::<Result<_>>()?;
    lists::respond(&json!({ "conflicts": conflicts, "more": page.more }))
}

/// Resolves a conflict.
pub(super) async fn resolve<D: Dom>(
    dom: Arc<D>,
    asked: Asked,
    body: Body,
) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let (address, id) = (asked.address()?, asked.conflict_id()?);
    let resolve: Resolve = body::json(&asked, body).await?;
    if (resolve.resolution == ResolutionWord::Manual) != resolve.content.is_some() {
        return Err(Error::invalid("`content` is for `manual`, which needs it"));
    }
    let content = resolve.content.map(|content| diff::content_of(content, resolve.encoding));
    let request = wire::ResolveConflictRequest {
        realm: address.realm.to_string(),
        repo: address.repo.to_string(),
        branch: address.branch.to_string(),
        conflict_id: Bytes::copy_from_slice(id.as_bytes()),
        resolution: resolve.resolution.to_wire().into(),
        content: content.transpose()?.map(JsonContent::into_bytes).unwrap_or_default(),
        vector_clock: resolve.vector_clock.map(|entries| wire::VectorClock { entries }),
        message: resolve.message,
        operation_id: to_wire::operation_id(asked.operation_id(resolve.operation_id.as_deref())?),
    };
    let request = from_wire::resolve_conflict(request, None)?;
    let outcome = dom.resolve_conflict(&asked.caller, request);
    match deadline::within(asked.deadline(), outcome).await? {
        ResolveOutcome::Resolved(written) => {
            lists::respond(&json!({ "written": written.as_ref().map(answers::written) }))
        }
        ResolveOutcome::Conflicted(conflict) => write::conflicted(&asked, &conflict, false),
    }
}
