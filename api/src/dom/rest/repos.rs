//! `/v1/repos`.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde_json::json;
use vdom_core::Result;
use vdom_edge::deadline;

use super::request::ApiRequest;
use super::{response, to_json};
use crate::dom::DocumentService;

/// The repos of a realm.
pub(super) async fn list_repos<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let deadline = call.deadline();
    let realm = call.realm()?;
    let repos = deadline::within(deadline, dom.list_repos(&call.caller, realm)).await?;
    let repos: Vec<_> = repos.iter().map(to_json::repo).collect();
    response::json(&json!({ "repos": repos }))
}
