//! `…/history`, and `…/nodes/{path}?history`.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};
use vdom_core::dom::calls::{GetHistory, HistoryPage, NodeSelector, checked_history_limit};
use vdom_core::{Error, Result};

use super::request::ApiRequest;
use super::{response, to_json};
use crate::dom::{DocumentService, response_limit};
use vdom_edge::deadline;

/// The parameters of a history.
const HISTORY: [&str; 4] = ["history", "before_revision", "limit", "include_diffs"];

/// The changes of a branch, newest first.
pub(super) async fn branch_history<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    list_changes(dom, call, None).await
}

/// The changes of a node, newest first.
pub(super) async fn node_history<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
) -> Result<Response<Body>> {
    let node = NodeSelector::Path(call.path()?);
    list_changes(dom, call, Some(node)).await
}

async fn list_changes<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    node: Option<NodeSelector>,
) -> Result<Response<Body>> {
    let parameters = &call.query;
    parameters.allow(&[&HISTORY])?;
    let limit = u32::try_from(parameters.number("limit")?.unwrap_or(0))
        .map_err(|_| Error::invalid("limit is too large"))?;
    let request = GetHistory {
        address: call.address()?,
        node,
        before_revision: parameters.number("before_revision")?.filter(|revision| *revision > 0),
        limit: checked_history_limit(limit)?,
        include_diffs: parameters.flag("include_diffs")?,
    };
    let deadline = call.deadline();
    let page = deadline::within(deadline, dom.history(&call.caller, request)).await?;
    response::json(&history_page(&response_limit::history_page(page)))
}

pub(super) fn history_page(page: &HistoryPage) -> Value {
    json!({
        "changes": page.changes.iter().map(to_json::change).collect::<Vec<_>>(),
        "next_before_revision": page.next_before_revision,
        "epoch": page.epoch,
        "revision": page.revision,
    })
}
