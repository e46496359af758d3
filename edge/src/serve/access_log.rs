//! One log line and one measurement per request, when the last byte of its
//! answer is out.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;
use tracing::Span;

use super::entered::Entered;
use super::request_context::RequestContext;
use super::route_label::route_label;

/// The status in log and metrics of a request whose client went away.
const CLIENT_GONE: u16 = 499;

/// What is known of a request; reported when it is dropped.
pub(super) struct Observation {
    context: Arc<RequestContext>,
    span: Span,
    request_id: Arc<str>,
    method: http::Method,
    uri: Uri,
    call: &'static str,
    user: Arc<str>,
    started: Instant,
    status: Option<StatusCode>,
    grpc_status: Option<i32>,
    is_grpc_web: bool,
}

impl Observation {
    /// Of a request that was taken in by its head.
    pub(super) fn begin<B>(
        context: Arc<RequestContext>,
        span: Span,
        entered: &Entered,
        user: Arc<str>,
        request: &Request<B>,
    ) -> Self {
        context.metrics.started();
        let call = route_label(context.route_labels, request.uri().path());
        Self {
            context,
            span,
            request_id: Arc::clone(entered.request_id()),
            method: request.method().clone(),
            uri: request.uri().clone(),
            call,
            user,
            started: entered.started,
            status: None,
            grpc_status: None,
            is_grpc_web: false,
        }
    }

    /// Takes the status of an answer from its head.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = Some(status);
        self.is_grpc_web = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc-web"));
        self.read_grpc_status(headers);
    }

    fn read_grpc_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.grpc_status = status.to_str().ok().and_then(|text| text.parse().ok());
        }
    }

    /// Takes the status of a gRPC-Web answer from the frame that holds its
    /// trailers.
    fn read_grpc_web_status(&mut self, data: &Bytes) {
        const TRAILERS: u8 = 0x80;
        const HEAD_BYTES: usize = 5;
        if !self.is_grpc_web || data.first() != Some(&TRAILERS) {
            return;
        }
        let trailers = data.get(HEAD_BYTES..).and_then(|text| std::str::from_utf8(text).ok());
        let status = trailers.and_then(|trailers| {
            trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"))
        });
        self.grpc_status = status.and_then(|text| text.trim().parse().ok());
    }

    fn code(&self) -> Cow<'static, str> {
        match (self.grpc_status, self.status) {
            (Some(code), _) => Cow::Borrowed(grpc_code_name(Code::from_i32(code))),
            (None, Some(status)) => Cow::Owned(status.as_str().to_owned()),
            (None, None) => Cow::Borrowed("499"),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let latency = self.started.elapsed();
        self.context.metrics.finished(self.call, self.code(), self.context.transport, latency);
        let _entered = self.span.enter();
        tracing::info!(
            target: "vdom::access",
            method = %self.method,
            path = self.uri.path(),
            status = self.status.map_or(CLIENT_GONE, |status| status.as_u16()),
            grpc_status = self.grpc_status,
            latency_ms = latency.as_secs_f64() * 1_000.0,
            user = %self.user,
            request_id = %self.request_id,
            "request"
        );
    }
}

pin_project! {
    /// The body of an answer, watched to its end.
    pub struct LoggedBody<B> {
        #[pin]
        body: B,
        observation: Option<Observation>,
    }
}

impl<B> LoggedBody<B> {
    pub(super) fn new(body: B, observation: Observation) -> Self {
        Self { body, observation: Some(observation) }
    }
}

impl<B> Body for LoggedBody<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.project();
        let Some(observation) = this.observation else { return Poll::Ready(None) };
        let polled = {
            let _entered = observation.span.enter();
            // A fault in one answer must not end the others of its connection.
            catch_unwind(AssertUnwindSafe(|| this.body.poll_frame(context)))
        };
        let frame = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(frame)) => frame.map(|frame| frame.map_err(Into::into)),
            Err(panic) => {
                log_panic(panic.as_ref(), &observation.request_id);
                Some(Err("the answer cannot be completed".into()))
            }
        };
        if let Some(Ok(frame)) = &frame {
            if let Some(trailers) = frame.trailers_ref() {
                observation.read_grpc_status(trailers);
            } else if let Some(data) = frame.data_ref() {
                observation.read_grpc_web_status(data);
            }
        } else {
            *this.observation = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.observation.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts a request that was answered at once and well. Its line is for debugging only: at the
/// rate of cached reads, lines cost more than answers.
pub(super) fn answered_at_once(
    context: &RequestContext,
    entered: &Entered,
    call: &'static str,
    path: &str,
) {
    let latency = entered.started.elapsed();
    context.metrics.started();
    context.metrics.finished(call, "OK", context.transport, latency);
    tracing::debug!(
        target: "vdom::access",
        path,
        latency_ms = latency.as_secs_f64() * 1_000.0,
        user = entered.token.as_ref().map_or("-", |token| &*token.identity.subject),
        request_id = %entered.request_id(),
        "request answered from memory"
    );
}

/// Writes what a panic said to the log.
pub(super) fn log_panic(panic: &(dyn Any + Send), request_id: &str) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(request_id, "a request panicked: {message}");
}

fn grpc_code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
