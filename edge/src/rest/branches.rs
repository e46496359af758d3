//! `…/branches` and `…/branches/{branch}`.

use std::sync::Arc;

use axum::body::Body;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use vdom_core::calls::DeleteBranch;
use vdom_core::{Error, Result};
use vdom_proto::v1 as wire;

use super::asked::Asked;
use super::{body, json as answers, lists, write};
use crate::deadline;
use crate::dom::Dom;
use crate::grpc::{from_wire, to_wire};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBranch {
    name: String,
    from: Option<String>,
    at_revision: Option<u64>,
    operation_id: Option<String>,
}

/// The branches of a repo.
pub(super) async fn list<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let branches = dom.list_branches(&asked.caller, asked.realm()?, asked.repo()?);
    let branches = deadline::within(asked.deadline(), branches).await?;
    let branches: Vec<_> = branches.iter().map(answers::branch).collect();
    lists::respond(&json!({ "branches": branches }))
}

/// Creates a branch, empty or from another.
pub(super) async fn create<D: Dom>(
    dom: Arc<D>,
    asked: Asked,
    body: Body,
) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let (realm, repo) = (asked.realm()?, asked.repo()?);
    let new: NewBranch = body::json(&asked, body).await?;
    let request = wire::CreateBranchRequest {
        realm: realm.to_string(),
        repo: repo.to_string(),
        branch: new.name,
        from_branch: new.from.unwrap_or_default(),
        at_revision: new.at_revision.unwrap_or_default(),
        operation_id: to_wire::operation_id(asked.operation_id(new.operation_id.as_deref())?),
    };
    let request = from_wire::create_branch(&request, None)?;
    let location = write::url_of(&request.address);
    let branch = dom.create_branch(&asked.caller, request);
    let branch = deadline::within(asked.deadline(), branch).await?;
    let mut response = lists::respond(&answers::branch(&branch))?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// One branch.
pub(super) async fn read<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let address = asked.address()?;
    let branches = dom.list_branches(&asked.caller, address.realm.clone(), address.repo.clone());
    let branches = deadline::within(asked.deadline(), branches).await?;
    let branch = branches.iter().find(|branch| branch.name == address.branch.as_str());
    let branch = branch.ok_or_else(|| {
        Error::not_found(format!("repo `{}` has no branch `{}`", address.repo, address.branch))
            .resource(&address)
    })?;
    lists::respond(&answers::branch(branch))
}

/// Deletes a branch.
pub(super) async fn delete<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[])?;
    let request =
        DeleteBranch { address: asked.address()?, operation_id: asked.operation_id(None)? };
    let deleted = dom.delete_branch(&asked.caller, request);
    deadline::within(asked.deadline(), deleted).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
