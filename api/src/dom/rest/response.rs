//! Successful answers and their media types.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::Value;
use vdom_core::Result;

use super::content::JSON;
use super::to_json;

/// An answer that is JSON.
pub(super) fn json(value: &Value) -> Result<Response<Body>> {
    Ok(with_type(Body::from(to_json::to_bytes(value)?), JSON))
}

/// An answer of this media type.
pub(super) fn with_type(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
