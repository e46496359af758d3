//! `GET …/changes`: a branch's changes as server-sent events.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Response};
use serde_json::{Value, json};
use vdom_core::calls::{Event, ResumePoint, Subscribe};
use vdom_core::{Error, Result};

use super::asked::Asked;
use super::{json as answers, read};
use crate::deadline;
use crate::dom::Dom;
use crate::error::problem;
use crate::stream::bounded;

/// Tells the browser how soon to come back.
const HEAD: &[u8] = b"retry: 1000\n\n";

/// Watches a branch. `event: change` and `event: progress` carry an id wherever
/// a reader may resume; `event: problem` is the last before the stream ends.
pub(super) async fn changes<D: Dom>(dom: Arc<D>, asked: Asked, _: Body) -> Result<Response<Body>> {
    asked.parameters.allow(&[&["from", "paths", "include_diffs"]])?;
    // A browser that reconnects repeats the URL it began with: the header is newer.
    let from = match asked.header("last-event-id")?.filter(|id| !id.is_empty()) {
        Some(id) => resume_point(id)?,
        None => asked.parameters.get("from").map(resume_point).transpose()?.flatten(),
    };
    let request = Subscribe {
        address: asked.address()?,
        paths: asked.parameters.prefixes()?,
        from,
        include_diffs: asked.parameters.flag("include_diffs")?,
    };
    let deadline = asked.deadline();
    let events = deadline::within(deadline, dom.subscribe(&asked.caller, request)).await?;

    let request_id = Arc::clone(&asked.caller.request_id);
    let messages = bounded(events, &asked.caller, asked.draining).map(move |event| match event {
        Ok(Event::Change(change)) => {
            let id =
                change.is_resume_point().then_some((change.change.epoch, change.change.revision));
            message("change", id, &answers::change(&change))
        }
        Ok(Event::Progress { epoch, revision, freshness }) => {
            let freshness = answers::freshness(freshness);
            let data = json!({ "epoch": epoch, "revision": revision, "freshness": freshness });
            message("progress", Some((epoch, revision)), &data)
        }
        Err(error) => message("problem", None, &problem(&error, &request_id)),
    });
    let messages = stream::iter([Bytes::from_static(HEAD)]).chain(messages).map(Ok::<_, Error>);
    let mut response = read::with_type(Body::from_stream(messages), "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect an answer before they pass it on must not.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// `<epoch>.<revision>`; `0.0` is from now, as epoch 0 is everywhere.
fn resume_point(text: &str) -> Result<Option<ResumePoint>> {
    let numbers = text
        .split_once('.')
        .and_then(|(epoch, revision)| Some((epoch.parse().ok()?, revision.parse().ok()?)));
    match numbers {
        Some((0, 0)) => Ok(None),
        Some((epoch, revision)) if epoch > 0 => {
            Ok(Some(ResumePoint { epoch, revision, hash: None }))
        }
        _ => Err(Error::invalid(format!(
            "{text:?} is no resume point: write <epoch>.<revision>, such as the id of an event"
        ))),
    }
}

fn message(event: &str, id: Option<(u64, u64)>, data: &Value) -> Bytes {
    let id = id.map(|(epoch, revision)| format!("id: {epoch}.{revision}\n")).unwrap_or_default();
    // JSON text has no line breaks.
    Bytes::from(format!("event: {event}\n{id}data: {data}\n\n"))
}
