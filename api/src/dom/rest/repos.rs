//! `/v1/repos`.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use vdom_core::Result;
use vdom_core::dom::calls::ListRepos;
use vdom_edge::deadline;

use super::request::ApiRequest;
use super::{response, to_json};
use crate::dom::DocumentService;

/// A page of the repos of a realm.
pub(super) async fn list_repos<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&["page_size", "page_token"]])?;
    let (page_size, page_token) = call.query.page()?;
    let request = ListRepos::new(call.realm()?, page_size, page_token)?;
    let page = deadline::within(call.deadline(), dom.list_repos(&call.caller, request)).await?;
    let repos: Vec<_> = page.repos.iter().map(to_json::repo).collect();
    response::json(&to_json::page("repos", &repos, page.next_page_token))
}
