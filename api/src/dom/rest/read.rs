//! `GET …/nodes/{path}`.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use vdom_core::dom::calls::{NodeSelector, ReadSnapshot, Snapshot};
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_core::{Content, Error, ErrorCode, Result};

use super::content::{BSON, BYTES, JSON};
use super::entity_tags::{EntityTag, EntityTags, Form};
use super::request::ApiRequest;
use super::{headers, history, query, response, to_json};
use crate::dom::DocumentService;
use vdom_edge::Caller;
use vdom_edge::ServiceStream;
use vdom_edge::deadline;
use vdom_edge::stream::{unless_draining, until_deadline};

/// The bytes of a node that was opened.
pub(super) enum Opened {
    /// All at once.
    Whole(Bytes),
    /// So many, in pieces.
    InPieces(u64, ServiceStream<Bytes>),
}

/// Reads a node; with `?history`, its changes.
pub(super) async fn read_node<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    if call.query.all("history").next().is_some() {
        return history::node_history(dom, call).await;
    }
    call.query.allow(&[&query::READ_AT, &["history"]])?;
    let request = ReadSnapshot {
        address: call.address()?,
        node: NodeSelector::Path(call.path()?),
        at: call.query.read_at()?,
    };
    let not_modified = EntityTags::parse(&call.headers, &IF_NONE_MATCH);
    // The deadline is for finding the node; a large content may take longer.
    let deadline = call.deadline();
    let draining = call.draining.clone().filter(|_| request.at.waits());
    let opened = unless_draining(draining, open_node(&dom, &call.caller, request));
    let (snapshot, content) = deadline::within(deadline, opened).await?;

    let node = &snapshot.node;
    let media_type = if node.kind.is_document() { BSON } else { BYTES };
    let form = if call.prefers(JSON, media_type) { Form::Json } else { Form::Content };
    let tag = EntityTag { node: node.id, version: node.version, form };
    let mut response = if not_modified.is_some_and(|tags| tags.match_form(tag)) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if form == Form::Json {
        response::with_type(Body::from(envelope(&snapshot, content, deadline).await?), JSON)
    } else {
        match content {
            Opened::Whole(bytes) => response::with_type(Body::from(bytes), media_type),
            Opened::InPieces(size, pieces) => {
                let pieces = until_deadline(pieces, &call.caller, None);
                let mut response = response::with_type(Body::from_stream(pieces), media_type);
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
                response
            }
        }
    };
    headers::of_snapshot(response.headers_mut(), &snapshot, form);
    let head = response.headers_mut();
    // A browser must neither guess a type nor use what it kept without asking.
    head.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(VARY, headers::BY_CALLER);
    Ok(response)
}

/// Opens a node, in pieces where it does not fit one answer.
pub(super) async fn open_node<D: DocumentService>(
    dom: &Arc<D>,
    caller: &Caller,
    request: ReadSnapshot,
) -> Result<(Snapshot, Opened)> {
    match dom.read_snapshot(caller, request.clone()).await {
        Ok(mut snapshot) => match &mut snapshot.node.content {
            Content::Inline(bytes) => {
                let bytes = std::mem::take(bytes);
                Ok((snapshot, Opened::Whole(bytes)))
            }
            Content::Part(_) | Content::Chunked(_) => in_pieces(dom, caller, request).await,
        },
        Err(error) if error.code == ErrorCode::TooLarge => in_pieces(dom, caller, request).await,
        Err(error) => Err(error),
    }
}

async fn in_pieces<D: DocumentService>(
    dom: &Arc<D>,
    caller: &Caller,
    request: ReadSnapshot,
) -> Result<(Snapshot, Opened)> {
    let (snapshot, size, pieces) = dom.read_content(caller, request).await?;
    Ok((snapshot, Opened::InPieces(size, pieces)))
}

async fn envelope(
    snapshot: &Snapshot,
    content: Opened,
    deadline: std::time::Instant,
) -> Result<Bytes> {
    let bytes = match content {
        Opened::Whole(bytes) => bytes,
        Opened::InPieces(size, _) if size > UNARY_MESSAGE_MAX_BYTES as u64 => {
            return Err(Error::too_large(format!(
                "the node has {size} bytes, too many for a JSON answer: accept {BYTES}"
            )));
        }
        Opened::InPieces(_, mut pieces) => {
            let collected = async {
                let mut bytes = Vec::new();
                while let Some(piece) = pieces.next().await {
                    bytes.extend_from_slice(&piece?);
                }
                Ok(Bytes::from(bytes))
            };
            deadline::within(deadline, collected).await?
        }
    };
    to_json::to_bytes(&to_json::snapshot(snapshot, &bytes)?)
}
