//! The answer to `SubscribeChanges`: a body of frames that are ready as they come,
//! past the message by message encoding of the gRPC library.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tonic::{Response, Status};

use super::call::ResponseStream;
use super::event_encoding::EventEncoding;
use vdom_edge::ServiceStream;
use vdom_edge::error::to_status;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// An answer that the gRPC library begins, and [`finish`] gives its body.
pub(super) fn answer<T: Send + 'static>(
    pieces: ServiceStream<Bytes>,
    frames: EventEncoding,
    request_id: Arc<str>,
) -> Response<ResponseStream<T>> {
    let mut response = Response::new(stream::empty().boxed());
    let body = Prepared { pieces: Some(pieces), request_id };
    response.extensions_mut().insert(Waiting { frames, body: Arc::new(Mutex::new(Some(body))) });
    response
}

/// Gives an answer that waits for it its body.
pub(super) fn finish(
    mut response: http::Response<tonic::body::Body>,
) -> http::Response<tonic::body::Body> {
    let Some(Waiting { frames, body }) = response.extensions_mut().remove() else {
        return response;
    };
    let Some(body) = body.lock().take() else { return response };
    response.headers_mut().remove(ENCODING);
    if let Some(encoding) = frames.header() {
        response.headers_mut().insert(ENCODING, encoding);
    }
    response.map(|_| tonic::body::Body::new(body))
}

#[derive(Clone)]
struct Waiting {
    frames: EventEncoding,
    body: Arc<Mutex<Option<Prepared>>>,
}

/// Frames, then how the call ended.
struct Prepared {
    pieces: Option<ServiceStream<Bytes>>,
    request_id: Arc<str>,
}

impl Body for Prepared {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(pieces) = &mut this.pieces else { return Poll::Ready(None) };
        let status = match ready!(pieces.poll_next_unpin(context)) {
            Some(Ok(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(Err(error)) => to_status(error, &this.request_id),
            None => Status::ok(""),
        };
        this.pieces = None;
        let mut trailers = HeaderMap::with_capacity(4);
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none()
    }
}
