//! `…/branches` and `…/branches/{branch}`.

use std::sync::Arc;

use axum::body::Body;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use vdom_core::dom::calls::{CreateBranch, DeleteBranch, ListBranches};
use vdom_core::{BranchAddress, BranchName, Error, Result};

use super::request::ApiRequest;
use super::{body, response, to_json, write};
use crate::dom::DocumentService;
use vdom_edge::deadline;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBranch {
    name: String,
    from: Option<String>,
    at_revision: Option<u64>,
    operation_id: Option<String>,
}

/// A page of the branches of a repo.
pub(super) async fn list_branches<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&["page_size", "page_token"]])?;
    let (page_size, page_token) = call.query.page()?;
    let request = ListBranches::new(call.realm()?, call.repo()?, None, page_size, page_token)?;
    let page = dom.list_branches(&call.caller, request);
    let page = deadline::within(call.deadline(), page).await?;
    let branches: Vec<_> = page.branches.iter().map(to_json::branch).collect();
    response::json(&to_json::page("branches", &branches, page.next_page_token))
}

/// Creates a branch, empty or from another.
pub(super) async fn create_branch<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let (realm, repo) = (call.realm()?, call.repo()?);
    let new: NewBranch = body::json(&call, body).await?;
    let from = new.from.filter(|name| !name.is_empty());
    let request = CreateBranch::new(
        BranchAddress { realm, repo, branch: BranchName::parse(&new.name)? },
        from.map(|name| BranchName::parse(&name)).transpose()?,
        new.at_revision.filter(|revision| *revision > 0),
        call.operation_id(new.operation_id.as_deref())?,
    )?;
    let location = write::branch_url(&request.address);
    let branch = dom.create_branch(&call.caller, request);
    let branch = deadline::within(call.deadline(), branch).await?;
    let mut response = response::json(&to_json::branch(&branch))?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn read_branch<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let address = call.address()?;
    let (realm, repo) = (address.realm.clone(), address.repo.clone());
    let request = ListBranches::new(realm, repo, Some(address.branch.clone()), 0, "")?;
    let page = deadline::within(call.deadline(), dom.list_branches(&call.caller, request)).await?;
    // A gateway of an earlier version tells a sidecar of all.
    let branch = page.branches.iter().find(|branch| branch.name == address.branch.as_str());
    let branch = branch.ok_or_else(|| {
        Error::not_found(format!("repo `{}` has no branch `{}`", address.repo, address.branch))
            .resource(&address)
    })?;
    response::json(&to_json::branch(branch))
}

pub(super) async fn delete_branch<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[])?;
    let request = DeleteBranch { address: call.address()?, operation_id: call.operation_id(None)? };
    let deleted = dom.delete_branch(&call.caller, request);
    deadline::within(call.deadline(), deleted).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
