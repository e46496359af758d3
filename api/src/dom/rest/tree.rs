//! `GET …/tree`: a subtree as of one revision, as it is read.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Response;
use http::header::VARY;
use serde_json::json;
use vdom_core::Result;
use vdom_core::dom::calls::{ReadTree, TreeEntry};
use vdom_core::names::parse_prefix;

use super::content::JSON;
use super::request::ApiRequest;
use super::{headers, query, response, to_json};
use crate::dom::DocumentService;
use vdom_edge::ServiceStream;
use vdom_edge::deadline;
use vdom_edge::stream::{unless_draining, until_deadline};

/// One JSON value a line.
const NDJSON: &str = "application/x-ndjson";

/// Reads a subtree: one JSON object, or one line for each node.
pub(super) async fn read_tree<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&query::READ_AT, &["prefix", "include_content"]])?;
    let request = ReadTree {
        address: call.address()?,
        prefix: parse_prefix(call.query.get("prefix").unwrap_or_default())?,
        at: call.query.read_at()?,
        include_content: call.query.flag("include_content")?,
    };
    let deadline = call.deadline();
    let draining = call.draining.clone().filter(|_| request.at.waits());
    // The first entry is awaited, so that a refusal still has its status.
    let opened = async {
        let mut entries = dom.read_tree(&call.caller, request).await?;
        let first = entries.next().await.transpose()?;
        Ok((first, entries))
    };
    let opened = unless_draining(draining, opened);
    let (first, rest) = deadline::within(deadline, opened).await?;
    let place = first.as_ref().map(|entry| (entry.epoch, entry.revision));
    let entries =
        stream::iter(first.map(Ok)).chain(until_deadline(rest, &call.caller, None)).boxed();
    let mut response = if call.prefers(NDJSON, JSON) {
        response::with_type(Body::from_stream(lines(entries)), NDJSON)
    } else {
        response::with_type(Body::from_stream(object(entries, place)), JSON)
    };
    response.headers_mut().insert(VARY, headers::BY_CALLER);
    Ok(response)
}

/// One line for each node. A failure breaks the body off: what is there looks
/// incomplete then, as it is.
fn lines(entries: ServiceStream<TreeEntry>) -> ServiceStream<Bytes> {
    entries
        .map(|entry| {
            let entry = entry?;
            let mut line = to_json::tree_entry(&entry)?;
            line["epoch"] = entry.epoch.into();
            line["revision"] = entry.revision.into();
            Ok(Bytes::from(format!("{line}\n")))
        })
        .boxed()
}

/// `{"epoch": …, "revision": …, "entries": […]}`; both are null where nothing
/// was found.
fn object(entries: ServiceStream<TreeEntry>, place: Option<(u64, u64)>) -> ServiceStream<Bytes> {
    let (epoch, revision) = place.unzip();
    let head =
        format!("{{\"epoch\":{},\"revision\":{},\"entries\":[", json!(epoch), json!(revision));
    let items = entries.enumerate().map(|(index, entry)| {
        let entry = to_json::tree_entry(&entry?)?;
        Ok(Bytes::from(if index == 0 { entry.to_string() } else { format!(",{entry}") }))
    });
    stream::iter([Ok(Bytes::from(head))])
        .chain(items)
        .chain(stream::iter([Ok(Bytes::from_static(b"]}"))]))
        .boxed()
}
