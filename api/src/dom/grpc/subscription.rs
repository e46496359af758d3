//! `SubscribeChanges`, on a route of its own in front of the gRPC library: its answer is a
//! body of frames that all who watch share, past the message by message encoding of the
//! library.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::metadata::MetadataValue;
use tonic_prost::ProstDecoder;
use tower::Service;
use vdom_core::dom::events::EventSlice;
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_edge::ServiceStream;
use vdom_edge::error::to_status;
use vdom_proto::v1 as wire;

use super::call::Call;
use super::compression::{ACCEPT_ENCODING, Compression};
use super::event_encoding::EventEncoding;
use crate::dom::DocumentService;
use crate::dom::convert::decode;

/// The path of the call.
pub(super) const SUBSCRIBE_CHANGES: &str = "/virtualdom.v1.MemoryGateway/SubscribeChanges";

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Answers the call at [`SUBSCRIBE_CHANGES`]. It expects the caller in the request's
/// extensions.
pub(super) struct SubscribeService<D> {
    dom: Arc<D>,
    compression: Compression,
}

impl<D> SubscribeService<D> {
    /// A service that asks `dom`.
    pub(super) fn new(dom: Arc<D>, compression: Compression) -> Self {
        Self { dom, compression }
    }
}

impl<D> Clone for SubscribeService<D> {
    fn clone(&self) -> Self {
        Self { dom: Arc::clone(&self.dom), compression: self.compression }
    }
}

impl<D: DocumentService> Service<Request<Body>> for SubscribeService<D> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { dom, compression } = self.clone();
        Box::pin(async move {
            let answered = answer(&*dom, compression, request).await;
            Ok(answered.unwrap_or_else(Status::into_http))
        })
    }
}

async fn answer<D: DocumentService>(
    dom: &D,
    compression: Compression,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let call = Call::new(&head.extensions)?;
    let request =
        call.decoded(decode::subscribe(message(&head.headers, body).await?, call.realm()))?;
    let events = call.within(dom.subscribe(&call.caller, request)).await?;
    let encoding = EventEncoding::accepted(&head.headers, compression);
    let request_id = Arc::clone(&call.caller.request_id);
    let events = Some(call.until_deadline(events));
    let mut response = Response::new(Body::new(EventFrames { events, encoding, request_id }));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    if let Some(encoding) = encoding.header() {
        response.headers_mut().insert(ENCODING, encoding);
    }
    Ok(response)
}

/// The one message of a request, read as the library reads those of other calls.
async fn message(headers: &HeaderMap, body: Body) -> Result<wire::SubscribeRequest, Status> {
    let decoder = ProstDecoder::<wire::SubscribeRequest>::default();
    let max_bytes = Some(UNARY_MESSAGE_MAX_BYTES);
    let mut messages = Streaming::new_request(decoder, body, request_encoding(headers)?, max_bytes);
    let message = messages.message().await?;
    // To its end, as what follows must be readable too.
    messages.trailers().await?;
    message.ok_or_else(|| Status::internal("Missing request message."))
}

fn request_encoding(headers: &HeaderMap) -> Result<Option<CompressionEncoding>, Status> {
    match headers.get(ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(CompressionEncoding::Gzip)),
        Some(b"zstd") => Ok(Some(CompressionEncoding::Zstd)),
        Some(other) => {
            let mut status = Status::unimplemented(format!(
                "Content is compressed with `{}` which isn't supported",
                String::from_utf8_lossy(other)
            ));
            let accepted = MetadataValue::from_static("identity,gzip,zstd");
            status.metadata_mut().insert(ACCEPT_ENCODING, accepted);
            Err(status)
        }
    }
}

/// Frames of events, then how the call ended.
struct EventFrames {
    events: Option<ServiceStream<EventSlice>>,
    encoding: EventEncoding,
    request_id: Arc<str>,
}

impl http_body::Body for EventFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        let next = ready!(events.poll_next_unpin(context));
        let frames = next.map(|events| events.and_then(|events| this.encoding.frames(&events)));
        let status = match frames {
            Some(Ok(frames)) => return Poll::Ready(Some(Ok(Frame::data(frames)))),
            Some(Err(error)) => to_status(error, &this.request_id),
            None => Status::ok(""),
        };
        this.events = None;
        let mut trailers = HeaderMap::with_capacity(4);
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_none()
    }
}
