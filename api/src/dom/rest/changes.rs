//! `GET …/changes`: a branch's changes as server-sent events.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Response};
use serde_json::{Value, json};
use vdom_core::dom::calls::{Event, ResumePoint, Subscribe};
use vdom_core::{Error, Result};

use super::request::ApiRequest;
use super::{response, to_json};
use crate::dom::{DocumentService, one_by_one};
use vdom_edge::deadline;
use vdom_edge::error::problem;
use vdom_edge::stream::until_deadline;

/// Tells the browser how soon to come back.
const HEAD: &[u8] = b"retry: 1000\n\n";

/// Watches a branch. `event: change` and `event: progress` carry an id wherever
/// a reader may resume; `event: problem` is the last before the stream ends.
pub(super) async fn watch_changes<D: DocumentService>(
    dom: Arc<D>,
    call: ApiRequest,
    _: Body,
) -> Result<Response<Body>> {
    call.query.allow(&[&["from", "paths", "include_diffs"]])?;
    // A browser that reconnects repeats the URL it began with: the header is newer.
    let from = match call.header("last-event-id")?.filter(|id| !id.is_empty()) {
        Some(id) => resume_point(id)?,
        None => call.query.get("from").map(resume_point).transpose()?.flatten(),
    };
    let request = Subscribe {
        address: call.address()?,
        paths: call.query.prefixes()?,
        from,
        include_diffs: call.query.flag("include_diffs")?,
    };
    let deadline = call.deadline();
    let batches = deadline::within(deadline, dom.subscribe(&call.caller, request)).await?;
    let events = one_by_one(batches);

    let request_id = Arc::clone(&call.caller.request_id);
    let messages =
        until_deadline(events, &call.caller, call.draining).map(move |event| match event {
            Ok(Event::Change(change)) => {
                let id = change
                    .is_resume_point()
                    .then_some((change.change.epoch, change.change.revision));
                message("change", id, &to_json::change(&change))
            }
            Ok(Event::Progress { epoch, revision, freshness }) => {
                let freshness = to_json::freshness(freshness);
                let data = json!({ "epoch": epoch, "revision": revision, "freshness": freshness });
                message("progress", Some((epoch, revision)), &data)
            }
            Err(error) => message("problem", None, &problem(&error, &request_id)),
        });
    let messages = stream::iter([Bytes::from_static(HEAD)]).chain(messages).map(Ok::<_, Error>);
    let mut response = response::with_type(Body::from_stream(messages), "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect an answer before they pass it on must not.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// `<epoch>.<revision>`, `earliest` or `0`, `now`; `0.0` is from now, as epoch 0 is everywhere.
fn resume_point(text: &str) -> Result<Option<ResumePoint>> {
    match text {
        "now" => return Ok(None),
        "earliest" | "0" => return Ok(Some(ResumePoint::EARLIEST)),
        _ => {}
    }
    let numbers = text
        .split_once('.')
        .and_then(|(epoch, revision)| Some((epoch.parse().ok()?, revision.parse().ok()?)));
    match numbers {
        Some((0, 0)) => Ok(None),
        Some((epoch, revision)) if epoch > 0 => {
            Ok(Some(ResumePoint { epoch, revision, hash: None }))
        }
        _ => Err(Error::invalid(format!(
            "{text:?} is no resume point: write <epoch>.<revision>, such as the id of an event, \
             `earliest` or `now`"
        ))),
    }
}

fn message(event: &str, id: Option<(u64, u64)>, data: &Value) -> Bytes {
    let id = id.map(|(epoch, revision)| format!("id: {epoch}.{revision}\n")).unwrap_or_default();
    // JSON text has no line breaks.
    Bytes::from(format!("event: {event}\n{id}data: {data}\n\n"))
}
