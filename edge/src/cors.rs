//! Which pages may call: the server's own, and those of origins that an
//! operator names. A browser keeps answers from other pages, but sends what
//! they ask for all the same; so they are refused here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};
use vdom_core::{Error, ErrorCode, Result};

use crate::caller;
use crate::error::{to_response, to_status};

const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(3_600);

const ALLOWED_HEADERS: [&str; 16] = [
    "accept",
    "authorization",
    "baggage",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "tracestate",
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

/// The routes for pages of the server's own origin and of exactly these, such
/// as `https://app.example.com`. Refuses what is no origin.
pub fn admit(routes: Router, origins: &[String]) -> Result<Router> {
    let cors = cors(origins)?;
    Ok(routes.layer(from_fn_with_state(Arc::from(origins), refuse_others)).layer(cors))
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

async fn refuse_others(
    State(origins): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(error) = refusal(request.headers(), request.uri(), &origins) else {
        return next.run(request).await;
    };
    let request_id = caller::request_id(request.extensions());
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        to_status(error, &request_id).into_http()
    } else {
        to_response(&error, &request_id)
    }
}

/// `None` where no page asks, or one that may.
fn refusal(headers: &HeaderMap, uri: &Uri, origins: &[String]) -> Option<Error> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().unwrap_or("null");
    let own = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()));
    // A proxy may have taken TLS away, so schemes tell nothing.
    let host = text.split_once("://").map(|(_, host)| host);
    let is_own = own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
    if is_own || origins.iter().any(|allowed| allowed == text) {
        return None;
    }
    let message = format!(
        "pages of origin {text:?} may not call this server: an operator can name it in \
         `web.origins`"
    );
    Some(Error::new(ErrorCode::PermissionDenied, message).rule("origin"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn refused(origin: Option<&str>, host: &str, uri: &str) -> Option<Error> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(host).expect("text"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::try_from(origin).expect("text"));
        }
        refusal(&headers, &uri.parse().expect("a URI"), &["https://app.example.com".to_owned()])
    }

    #[test]
    fn programs_own_pages_and_named_origins_may_call() {
        let own = "127.0.0.1:8080";
        assert_eq!(refused(None, own, "/v1/repos"), None);
        assert_eq!(refused(Some("http://127.0.0.1:8080"), own, "/v1/repos"), None);
        assert_eq!(refused(Some("https://Vdom.Example"), "vdom.example", "/v1/repos"), None);
        assert_eq!(refused(Some("https://app.example.com"), own, "/v1/repos"), None);
        // HTTP/2 names the host in the URI.
        assert_eq!(refused(Some("http://a:1"), "", "http://a:1/v1/repos"), None);
    }

    #[test]
    fn other_pages_are_refused_with_the_rule() {
        let own = "127.0.0.1:8080";
        for origin in [
            "http://127.0.0.1:8081",
            "http://127.0.0.1",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "null",
            "",
        ] {
            let error = refused(Some(origin), own, "/v1/repos").expect("refused");
            assert_eq!(error.code, ErrorCode::PermissionDenied, "{origin}");
            assert_eq!(error.rule.as_deref(), Some("origin"), "{origin}");
        }
    }
}
