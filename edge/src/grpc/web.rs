//! gRPC-Web for browsers, on its own branch: `tonic-web` refuses whatever is
//! neither gRPC nor gRPC-Web, so it must not stand before other routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderName, HeaderValue, Method};
use tonic::server::NamedService;
use tonic_web::GrpcWebLayer;
use tower::Layer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use vdom_core::{Error, Result};

use super::{Compression, DomServer, server};
use crate::dom::Dom;

const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3_600);

const ALLOWED_HEADERS: [&str; 14] = [
    "accept",
    "authorization",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "x-grpc-web",
    "x-request-id",
    "x-user-agent",
];

const EXPOSED_HEADERS: [&str; 17] = [
    "etag",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "location",
    "retry-after",
    "x-request-id",
    "x-vdom-author",
    "x-vdom-changed-revision",
    "x-vdom-epoch",
    "x-vdom-freshness-age-ms",
    "x-vdom-freshness-source",
    "x-vdom-freshness-stale",
    "x-vdom-kind",
    "x-vdom-node-id",
    "x-vdom-revision",
    "x-vdom-version",
];

/// The routes of gRPC-Web over `dom`.
pub fn web_router<D: Dom>(dom: Arc<D>) -> Router {
    let path = format!("/{}/{{*call}}", DomServer::<D>::NAME);
    let service = GrpcWebLayer::new().layer(server(dom, Compression::WhereAccepted));
    Router::new().route_service(&path, service)
}

/// Which other origins' pages may call: exactly these, such as
/// `https://app.example.com`. Refuses what is no origin.
pub fn cors(origins: &[String]) -> Result<CorsLayer> {
    let parse = |origin: &String| {
        let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('/')
        });
        HeaderValue::from_str(origin).ok().filter(|_| is_origin).ok_or_else(|| {
            Error::invalid(format!(
                "{origin:?} is no origin: write it as `https://app.example.com`, without a path"
            ))
        })
    };
    let origins: Vec<_> = origins.iter().map(parse).collect::<Result<_>>()?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(ALLOWED_HEADERS.map(HeaderName::from_static))
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE))
}

#[cfg(test)]
mod tests;
