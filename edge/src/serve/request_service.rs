//! The path of every request, whatever its protocol, as one list.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::Instrument;
use vdom_core::{Error, ErrorCode, Result};

use super::access_log::{LoggedBody, Observation, log_panic};
use super::body_drain::read_to_end;
use super::request_id::{self, REQUEST_ID};
use super::route_label::route_label;
use crate::caller::{Caller, CheckedCaller, RequestId};
use crate::deadline::{self, parse_grpc_timeout};
use crate::error::{to_response, to_status};
use crate::observe::RequestMetrics;
use crate::stream::Draining;
use crate::token::TokenVerifier;

/// 16 random bytes.
pub type Randomness = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// What the path of a request needs to know.
#[derive(Clone)]
pub struct RequestContext {
    /// Who may call.
    pub tokens: TokenVerifier,
    /// For request ids.
    pub randomness: Randomness,
    /// The clock that tokens are checked against.
    pub now: fn() -> SystemTime,
    /// Where requests are counted.
    pub metrics: Arc<RequestMetrics>,
    /// Such as `tcp`, `tls`, `unix`: a label of metrics.
    pub transport: &'static str,
    /// Cancelled when the process drains: endless streams end then.
    pub draining: CancellationToken,
}

/// Puts the path of every request in front of a service, usually an
/// `axum::Router` of gRPC and REST routes.
#[derive(Clone)]
pub struct RequestService<S> {
    service: S,
    context: Arc<RequestContext>,
}

impl<S> RequestService<S> {
    /// The service behind the path.
    pub fn new(service: S, context: RequestContext) -> Self {
        Self { service, context: Arc::new(context) }
    }
}

impl<S, B> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<LoggedBody<Body>>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = Arc::clone(&self.context);
        let started = Instant::now();
        // One id is on every log line of the request and in its answer.
        let request_id = request_id::request_id(request.headers(), || (context.randomness)());
        let span = tracing::info_span!("request", request_id = &*request_id);
        request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));
        // Who calls, and by when. A refusal travels along: each adapter says it
        // in its own protocol, and what is open to all needs no exception here.
        let caller = caller(&context, request.headers(), &request_id);
        let user =
            caller.as_ref().map_or_else(|_| Arc::from("-"), |caller| Arc::clone(&caller.subject));
        request.extensions_mut().insert(CheckedCaller(caller));
        // Streams without an end of their own learn from this that we drain.
        request.extensions_mut().insert(Draining(context.draining.clone()));
        // Logged and counted when the last byte is out, whatever happens until
        // then: a client that goes away drops it.
        context.metrics.started();
        let mut observation = Observation {
            span: span.clone(),
            request_id: Arc::clone(&request_id),
            method: request.method().clone(),
            uri: request.uri().clone(),
            call: route_label(request.uri().path()),
            user,
            started,
            status: None,
            grpc_status: None,
            is_grpc_web: false,
            context,
        };
        let is_grpc = is_grpc(request.headers());
        let answer = {
            let _entered = span.enter();
            self.service.call(read_to_end(request))
        };
        let answered = async move {
            // A fault in one request must not end the others of its connection.
            let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => response,
                Err(panic) => {
                    log_panic(panic.as_ref(), &request_id);
                    fault(is_grpc, &request_id)
                }
            };
            if let Ok(mut value) = HeaderValue::from_str(&request_id) {
                // No two are the same: an entry in the peer's table would be of no use.
                value.set_sensitive(true);
                response.headers_mut().insert(REQUEST_ID, value);
            }
            observation.answered(response.status(), response.headers());
            Ok(response.map(|body| LoggedBody::new(body, observation)))
        };
        Box::pin(answered.instrument(span))
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RequestContext")
            .field("tokens", &self.tokens)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

fn caller(context: &RequestContext, headers: &HeaderMap, request_id: &Arc<str>) -> Result<Caller> {
    let token = bearer(headers)?;
    let identity = context.tokens.check(token, (context.now)())?;
    let deadline = match headers.get("grpc-timeout") {
        None => None,
        Some(timeout) => {
            let timeout = parse_grpc_timeout(timeout.to_str().unwrap_or_default())?;
            // A time that cannot be represented never comes.
            deadline::now().checked_add(timeout)
        }
    };
    Ok(Caller {
        subject: identity.subject,
        realm: identity.realm,
        scopes: identity.scopes,
        deadline,
        expires_at: identity.expires_at,
        request_id: Arc::clone(request_id),
        bearer: token.map(Arc::from),
    })
}

/// The bearer token of a request that has one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let refused = |why: &str| Err(Error::new(ErrorCode::Unauthenticated, why));
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refused("there are several authorization headers: send one");
    }
    let Ok(value) = value.to_str() else {
        return refused("the authorization header is not ASCII text");
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim_ascii()))
        }
        _ => refused("the authorization header is not `Bearer <token>`"),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn fault(is_grpc: bool, request_id: &str) -> Response<Body> {
    let error = Error::internal("a request panicked");
    if is_grpc { to_status(error, request_id).into_http() } else { to_response(&error, request_id) }
}
