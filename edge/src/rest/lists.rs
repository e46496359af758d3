//! Lists: repos and histories.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};
use vdom_core::calls::{GetHistory, HistoryPage, NodeSelector};
use vdom_core::{Error, Result};

use super::asked::Asked;
use super::content::JSON;
use super::{json as answers, read};
use crate::deadline;
use crate::dom::Dom;
use crate::grpc::from_wire::history_limit;

/// The parameters of a history.
const HISTORY: [&str; 4] = ["history", "before_revision", "limit", "include_diffs"];

/// The repos of a realm.
pub(super) async fn repos<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let deadline = asked.deadline();
    let realm = asked.realm()?;
    let repos = deadline::within(deadline, dom.list_repos(&asked.caller, realm)).await?;
    let repos: Vec<_> = repos.iter().map(answers::repo).collect();
    respond(&json!({ "repos": repos }))
}

/// The changes of a branch, newest first.
pub(super) async fn history<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    list_changes(dom, asked, None).await
}

/// The changes of a node, newest first.
pub(super) async fn node_history<D: Dom>(dom: Arc<D>, asked: Asked) -> Result<Response<Body>> {
    let node = NodeSelector::Path(asked.path()?);
    list_changes(dom, asked, Some(node)).await
}

async fn list_changes<D: Dom>(
    dom: Arc<D>,
    asked: Asked,
    node: Option<NodeSelector>,
) -> Result<Response<Body>> {
    let parameters = &asked.parameters;
    parameters.allow(&[&HISTORY])?;
    let limit = u32::try_from(parameters.number("limit")?.unwrap_or(0))
        .map_err(|_| Error::invalid("limit is too large"))?;
    let request = GetHistory {
        address: asked.address()?,
        node,
        before_revision: parameters.number("before_revision")?.filter(|revision| *revision > 0),
        limit: history_limit(limit)?,
        include_diffs: parameters.flag("include_diffs")?,
    };
    let deadline = asked.deadline();
    let page = deadline::within(deadline, dom.history(&asked.caller, request)).await?;
    respond(&history_page(&page))
}

fn history_page(page: &HistoryPage) -> Value {
    json!({
        "changes": page.changes.iter().map(answers::change).collect::<Vec<_>>(),
        "next_before_revision": page.next_before_revision,
        "epoch": page.epoch,
        "revision": page.revision,
    })
}

/// An answer that is JSON.
pub(super) fn respond(value: &Value) -> Result<Response<Body>> {
    Ok(read::with_type(Body::from(answers::to_bytes(value)?), JSON))
}
