//! Bodies of requests that are taken whole.

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_core::{Error, Result};

use super::content::JSON;
use super::request::ApiRequest;
use vdom_edge::{deadline, extended_json};

pub(super) async fn collect(call: &ApiRequest, body: Body) -> Result<Bytes> {
    let collected = async {
        match Limited::new(body, UNARY_MESSAGE_MAX_BYTES).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Error::too_large(format!(
                "the body has more than {UNARY_MESSAGE_MAX_BYTES} bytes, which only the content of \
                 a file may"
            ))),
            Err(error) => Err(broken(error)),
        }
    };
    deadline::within(call.deadline(), collected).await
}

/// The whole body as JSON. Fields that are not known are refused.
pub(super) async fn json<T: DeserializeOwned>(call: &ApiRequest, body: Body) -> Result<T> {
    let media_type = media_type(call);
    if media_type != JSON {
        return Err(Error::invalid(format!(
            "the body has content-type {media_type:?}: send {JSON}"
        )));
    }
    let body = collect(call, body).await?;
    extended_json::parse(&body).map_err(|error| {
        let why = error.message;
        Error::invalid(format!("the body is not what /v1/openapi.json describes: {why}"))
    })
}

/// The media type of the body, without its parameters.
pub(super) fn media_type(call: &ApiRequest) -> String {
    let value = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// The refusal of a body that did not come to its end.
pub(super) fn broken(error: impl std::fmt::Display) -> Error {
    Error::invalid("the body broke off").context(error)
}
