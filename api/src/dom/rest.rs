//! The REST adapter: paths, headers and JSON outside, [`DocumentService`] inside.
//! `openapi.json` beside this file says the same to clients.

mod accept;
mod body;
mod branches;
mod change_sets;
mod changes;
mod conflicts;
mod content;
mod diff;
mod entity_tags;
mod enums;
mod headers;
mod history;
mod preconditions;
mod query;
mod read;
mod repos;
mod request;
mod response;
mod route_label;
mod to_json;
mod tree;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{MethodFilter, MethodRouter, any, get, on};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use vdom_core::{Error, Result};

use crate::dom::DocumentService;
use request::ApiRequest;
use vdom_edge::caller;
use vdom_edge::error::to_response;

pub use route_label::route_label;

/// The OpenAPI 3.1 document of these routes.
pub const OPENAPI: &str = include_str!("rest/openapi.json");

/// The routes below `/v1/`. They expect the caller in the request's extensions.
pub fn router<D: DocumentService>(dom: Arc<D>) -> Router {
    let node = answer(MethodFilter::GET, read::read_node)
        .merge(answer(MethodFilter::PUT, write::put_node))
        .merge(answer(MethodFilter::PATCH, write::patch_node))
        .merge(answer(MethodFilter::DELETE, write::delete_node))
        .merge(answer(MethodFilter::POST, write::rename_node));
    let branches = answer(MethodFilter::GET, branches::list_branches)
        .merge(answer(MethodFilter::POST, branches::create_branch));
    let branch = answer(MethodFilter::GET, branches::read_branch)
        .merge(answer(MethodFilter::DELETE, branches::delete_branch));
    let changes = answer(MethodFilter::GET, changes::watch_changes)
        .merge(answer(MethodFilter::POST, change_sets::write_change_set));
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/repos", answer(MethodFilter::GET, repos::list_repos))
        .route("/v1/repos/{repo}/branches", branches)
        .route("/v1/repos/{repo}/branches/{branch}", branch)
        .route("/v1/repos/{repo}/branches/{branch}/nodes/{*path}", node)
        .route(
            "/v1/repos/{repo}/branches/{branch}/tree",
            answer(MethodFilter::GET, tree::read_tree),
        )
        .route("/v1/repos/{repo}/branches/{branch}/changes", changes)
        .route(
            "/v1/repos/{repo}/branches/{branch}/reverts",
            answer(MethodFilter::POST, change_sets::revert_changes),
        )
        .route(
            "/v1/repos/{repo}/branches/{branch}/conflicts",
            answer(MethodFilter::GET, conflicts::list_conflicts),
        )
        .route(
            "/v1/repos/{repo}/branches/{branch}/conflicts/{id}",
            answer(MethodFilter::GET, conflicts::explain_conflict)
                .merge(answer(MethodFilter::POST, conflicts::resolve_conflict)),
        )
        .route(
            "/v1/repos/{repo}/branches/{branch}/history",
            answer(MethodFilter::GET, history::branch_history),
        )
        // Without it a mistyped path would get the console's page, or nothing.
        .route("/v1/{*other}", any(no_such_route))
        .with_state(dom)
}

/// A route: reads who asks for what, and answers or refuses.
fn answer<D: DocumentService, A>(
    method: MethodFilter,
    handler: fn(Arc<D>, ApiRequest, Body) -> A,
) -> MethodRouter<Arc<D>>
where
    A: Future<Output = Result<Response<Body>>> + Send + 'static,
{
    on(method, move |State(dom): State<Arc<D>>, request: Request| async move {
        let request_id = caller::request_id(request.extensions());
        let answered = match ApiRequest::read(request).await {
            Ok((call, body)) => handler(dom, call, body).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| to_response(&error, &request_id))
    })
}

async fn no_such_route(request: Request) -> Response<Body> {
    let error = Error::not_found(format!(
        "there is no {}: /v1/openapi.json lists the routes",
        request.uri().path()
    ));
    to_response(&error, &caller::request_id(request.extensions()))
}

async fn openapi() -> Response<Body> {
    let mut response = Response::new(Body::from(OPENAPI));
    let media_type = HeaderValue::from_static("application/vnd.oai.openapi+json;version=3.1");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

#[cfg(test)]
mod tests;
