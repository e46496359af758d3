//! The path of every request in front of a service, usually an `axum::Router`.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use tower::Service;
use tracing::Instrument;
use vdom_core::Error;

use super::access_log::{LoggedBody, Observation, log_panic};
use super::body_drain::read_to_end;
use super::entered::Entered;
use super::request_context::RequestContext;
use super::request_path::RequestPath;
use crate::caller::{CheckedCaller, RequestId};
use crate::error::{to_response, to_status};
use crate::stream::Draining;

/// Walks [`RequestPath`] with every request that `service` gets.
#[derive(Clone)]
pub struct RequestService<S> {
    service: S,
    path: RequestPath,
}

impl<S> RequestService<S> {
    /// The service behind the path.
    pub fn new(service: S, context: RequestContext) -> Self {
        Self { service, path: RequestPath::new(context) }
    }

    /// The path, for whoever answers before the service does.
    pub fn path(&self) -> &RequestPath {
        &self.path
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
        let context = Arc::clone(self.path.context());
        // Request id, identity, deadline: where they are not known already.
        let entered = request.extensions_mut().remove::<Entered>();
        let entered = entered.unwrap_or_else(|| self.path.enter(request.headers()));
        let span = tracing::info_span!("request", request_id = &**entered.request_id());
        let caller = entered.caller();
        let user =
            caller.as_ref().map_or_else(|_| Arc::from("-"), |caller| Arc::clone(&caller.subject));
        let extensions = request.extensions_mut();
        extensions.insert(RequestId(Arc::clone(entered.request_id())));
        extensions.insert(CheckedCaller(caller));
        // Streams without an end of their own learn from this that we drain.
        extensions.insert(Draining(context.draining.clone()));
        // Access log and metrics: when the last byte is out, whatever happens until then; a
        // client that goes away drops it.
        let mut observation = Observation::begin(context, span.clone(), &entered, user, &request);
        let is_grpc = is_grpc(request.headers());
        let answer = {
            let _entered = span.enter();
            self.service.call(read_to_end(request))
        };
        let answered = async move {
            // Panic guard.
            let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => response,
                Err(panic) => {
                    log_panic(panic.as_ref(), entered.request_id());
                    fault(is_grpc, entered.request_id())
                }
            };
            entered.name_in(response.headers_mut());
            observation.answered(response.status(), response.headers());
            Ok(response.map(|body| LoggedBody::new(body, observation)))
        };
        Box::pin(answered.instrument(span))
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn fault(is_grpc: bool, request_id: &str) -> Response<Body> {
    let error = Error::internal("a request panicked");
    if is_grpc { to_status(error, request_id).into_http() } else { to_response(&error, request_id) }
}
