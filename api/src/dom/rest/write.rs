//! `PUT`, `PATCH`, `DELETE` and `POST` (rename) of `…/nodes/{path}`.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Map;
use vdom_core::dom::calls::{
    AckLevel, Conflict, DiffSource, OnConflict, WriteContent, WriteOutcome, Written, checked_actor,
    checked_message,
};
use vdom_core::dom::diff::Diff;
use vdom_core::limits::{CHUNK_BYTES, CONTENT_MAX_BYTES};
use vdom_core::{BranchAddress, Error, ErrorCode, NodeKind, Result, VectorClock, document};

use super::content::{self, BSON, JSON, JSON_PATCH, TEXT_OPERATIONS};
use super::request::ApiRequest;
use super::{body, headers, preconditions, response, to_json};
use crate::dom::DocumentService;
use vdom_edge::deadline;
use vdom_edge::error::to_response_with;
use vdom_edge::stream;

/// The parameters of every write.
const WRITE: [&str; 6] = ["message", "author", "actor", "ack", "on_conflict", "keep_conflict"];

/// What stays readable in a URL's path.
const PATH_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@')
    .remove(b'+');

/// Creates or replaces a node.
pub(super) async fn put_node<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&WRITE, &["kind"]])?;
    let media_type = body::media_type(&call);
    let kind = put_kind(&call, &media_type)?;
    let length = content_length(&call)?;
    if kind == NodeKind::File && length.is_none_or(|length| length > CHUNK_BYTES as u64) {
        return put_content(dom, call, body).await;
    }
    let body = body::collect(&call, body).await?;
    let diff = match kind {
        NodeKind::File => Diff::put_file(&body),
        _ if media_type == BSON => {
            document::check(&body)?;
            Diff::put_document(&body)
        }
        _ => Diff::put_document(&content::from_extended_json(&body)?),
    };
    write(dom, call, diff, Some(kind)).await
}

/// Edits a node by a diff whose kind the media type names.
pub(super) async fn patch_node<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&WRITE])?;
    let media_type = body::media_type(&call);
    let body = body::collect(&call, body).await?;
    let diff = match media_type.as_str() {
        JSON_PATCH => content::patch_diff(&body)?,
        TEXT_OPERATIONS => content::text_diff(&body)?,
        BSON if !body.is_empty() => body,
        BSON => return Err(Error::invalid("the body is empty: send a diff")),
        other => {
            return Err(Error::invalid(format!(
                "a PATCH has content-type {JSON_PATCH}, {TEXT_OPERATIONS} or {BSON}, not {other:?}"
            )));
        }
    };
    write(dom, call, diff, None).await
}

pub(super) async fn delete_node<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&WRITE])?;
    write(dom, call, Diff::delete(), None).await
}

/// Gives a node another path: `?rename=<to>`.
pub(super) async fn rename_node<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&WRITE, &["rename"]])?;
    let to = call
        .query
        .get("rename")
        .ok_or_else(|| Error::invalid("a POST to a node renames it: add ?rename=<new path>"))?;
    let diff = content::rename_diff(to)?;
    write(dom, call, diff, None).await
}

async fn write<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    diff: Bytes,
    kind: Option<NodeKind>,
) -> Result<Response<Body>> {
    let deadline = call.deadline();
    let mut request = request(&call, kind)?;
    let writing = async {
        let conditional = condition(&dom, &call, &mut request).await?;
        let request = request.with_diff(DiffSource::Bson(diff));
        Ok((dom.write_diff(&call.caller, request).await?, conditional))
    };
    let (outcome, conditional) = deadline::within(deadline, writing).await?;
    answer(&call, outcome, conditional)
}

/// A content of up to 100 MiB, as it comes.
async fn put_content<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    body: Body,
) -> Result<Response<Body>> {
    let mut request = request(&call, Some(NodeKind::File))?;
    let conditional = condition(&dom, &call, &mut request).await?;
    let pieces = TryStreamExt::map_err(body.into_data_stream(), body::broken);
    let outcome = dom.write_content(&call.caller, request, stream::content(pieces)).await?;
    answer(&call, outcome, conditional)
}

/// What the parameters and headers say of a write.
fn request(call: &ApiRequest, kind: Option<NodeKind>) -> Result<WriteContent> {
    let named =
        |name: &str| checked_actor(name, call.query.get(name).unwrap_or_default().to_owned());
    let message = checked_message(call.query.get("message").unwrap_or_default().to_owned())?;
    let min_ack = match call.query.get("ack") {
        None | Some("committed") => AckLevel::Committed,
        Some("local") => AckLevel::Local,
        Some(other) => {
            return Err(Error::invalid(format!("ack is {other:?}, not `committed` or `local`")));
        }
    };
    Ok(WriteContent {
        address: call.address()?,
        node_id: None,
        path: Some(call.path()?),
        kind,
        clock: VectorClock::default(),
        on_conflict: OnConflict::Overwrite,
        min_ack,
        keep_conflict: call.query.flag("keep_conflict")?,
        actor: named("actor")?,
        author: named("author")?,
        message,
        metadata: std::collections::BTreeMap::new(),
        operation_id: call.operation_id(None)?,
        expected_bytes: content_length(call)?,
    })
}

/// The path of a branch in URLs.
pub(super) fn branch_url(address: &BranchAddress) -> String {
    let branch = address.branch.as_str().replace('/', "%2F");
    format!("/v1/repos/{}/branches/{branch}", address.repo)
}

/// Applies the conditions in headers, and `?on_conflict=`. True where the
/// answer to a conflict is that a condition does not hold.
async fn condition<D: DocumentService>(
    dom: &Arc<D>,
    call: &ApiRequest,
    request: &mut WriteContent,
) -> Result<bool> {
    let rule = match call.query.get("on_conflict") {
        None => None,
        Some("reject") => Some(OnConflict::Reject),
        Some("merge") => Some(OnConflict::Merge),
        Some("overwrite") => Some(OnConflict::Overwrite),
        Some(other) => {
            return Err(Error::invalid(format!(
                "on_conflict is {other:?}, not `reject`, `merge` or `overwrite`"
            )));
        }
    };
    let merging = rule == Some(OnConflict::Merge);
    let conditional =
        preconditions::apply_preconditions(dom, call, request, merging || request.keep_conflict);
    let conditional = conditional.await?;
    match rule {
        Some(OnConflict::Overwrite) if conditional => {
            return Err(Error::invalid(
                "on_conflict=overwrite and a condition contradict each other: send one",
            ));
        }
        Some(rule) => request.on_conflict = rule,
        None => {}
    }
    // A merge was not asked for what stands there, but to be made with it.
    Ok(conditional && !merging)
}

fn answer(call: &ApiRequest, outcome: WriteOutcome, conditional: bool) -> Result<Response<Body>> {
    match outcome {
        WriteOutcome::Written(written) => self::written(call, &written),
        WriteOutcome::Conflicted(conflict) => self::conflicted(call, &conflict, conditional),
    }
}

fn written(call: &ApiRequest, written: &Written) -> Result<Response<Body>> {
    let body = to_json::to_bytes(&to_json::written(written))?;
    let mut response = response::with_type(Body::from(body), JSON);
    if written.version == 1 {
        *response.status_mut() = StatusCode::CREATED;
        let path = call.path()?;
        let path = utf8_percent_encode(path.as_str(), PATH_ESCAPED);
        let location = format!("{}/nodes/{path}", branch_url(&call.address()?));
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(LOCATION, location);
        }
    }
    headers::of_written(response.headers_mut(), written);
    Ok(response)
}

/// The answer where nothing was written.
pub(super) fn conflicted(
    call: &ApiRequest,
    conflict: &Conflict,
    conditional: bool,
) -> Result<Response<Body>> {
    let code = if conditional { ErrorCode::FailedPrecondition } else { ErrorCode::Conflict };
    let message = "nothing was written: `conflict` says what stands there; read it, then decide";
    let error = Error::new(code, message)
        .resource(call.address()?.node(&conflict.path))
        .at(conflict.epoch, conflict.revision);
    let members = Map::from_iter([("conflict".to_owned(), to_json::conflict(conflict)?)]);
    Ok(to_response_with(&error, &call.caller.request_id, members))
}

/// `?kind=`, else a document where the media type says so, else a file.
fn put_kind(call: &ApiRequest, media_type: &str) -> Result<NodeKind> {
    let is_document = matches!(media_type, BSON | JSON);
    match call.query.get("kind") {
        None if is_document => Ok(NodeKind::Meta),
        None | Some("file") => Ok(NodeKind::File),
        Some("meta") => Ok(NodeKind::Meta),
        Some("intent") => Ok(NodeKind::Intent),
        Some(other) => {
            Err(Error::invalid(format!("kind is {other:?}, not `file`, `meta` or `intent`")))
        }
    }
}

fn content_length(call: &ApiRequest) -> Result<Option<u64>> {
    let Some(text) = call.header(CONTENT_LENGTH.as_str())? else { return Ok(None) };
    let length = text
        .parse()
        .map_err(|_| Error::invalid(format!("content-length {text:?} is no whole number")))?;
    if length > CONTENT_MAX_BYTES {
        return Err(stream::content_too_large());
    }
    Ok(Some(length))
}
