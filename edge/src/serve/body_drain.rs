//! What is left of a request's body when its answer is out. On HTTP/1 it is
//! read on for a while: a connection that is closed under a peer that still
//! sends loses the answer that says why.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::{Buf, Bytes};
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// A peer that still has more to send does not read its answer.
const LEFT_MAX_BYTES: usize = 16 << 20;
/// How long a peer may take to send the rest.
const LEFT_DEADLINE: Duration = Duration::from_secs(5);

/// The request, its body read to the end even where nobody wants it. HTTP/2
/// ends streams one by one, and who expects a word before it sends needs no
/// patience.
pub(super) fn read_to_end<B>(request: Request<B>) -> Request<axum::body::Body>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let read_on = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    request.map(|body| axum::body::Body::new(ReadToEnd { body: Some(body), read_on }))
}

struct ReadToEnd<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `None` at the end.
    body: Option<B>,
    read_on: bool,
}

impl<B> Body for ReadToEnd<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for ReadToEnd<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.read_on && !body.is_end_stream())
        else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            // Whether the peer sends the rest in time is its own affair.
            runtime.spawn(tokio::time::timeout(LEFT_DEADLINE, discard(body)));
        }
    }
}

async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = LEFT_MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Buf::remaining);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
