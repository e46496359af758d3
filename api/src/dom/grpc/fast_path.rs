//! The shortest way to a node in memory: a unary `ReadSnapshot` over HTTP/2 that can be answered
//! at once is answered here, without the layers between a router and a call. It passes the layers
//! that every request passes ([`RequestPath`]). Everything else goes the usual way, with the bytes
//! that were read put back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use tower::Service;
use vdom_edge::serve::{Entered, RequestPath};

/// The only call that is answered here, as access logs and metrics name it.
const CALL: &str = "ReadSnapshot";
/// The path that is answered here.
pub const PATH: &str = "/virtualdom.v1.MemoryGateway/ReadSnapshot";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What frames a gRPC message: a flag and four bytes of length.
pub const FRAME_HEAD_BYTES: usize = 5;
/// The largest request that is looked at here.
const REQUEST_MAX_BYTES: usize = 4 << 10;

/// Reads that can be answered at once.
pub trait ReadyReads: Send + Sync + 'static {
    /// The answer to the message of a `ReadSnapshot`, where it is ready and not a refusal; `None`:
    /// the usual way.
    fn answer(&self, entered: &Entered, headers: &HeaderMap, message: &[u8])
    -> Option<ReadyAnswer>;
}

/// The message of a unary request that came whole and uncompressed.
fn message(framed: &[u8]) -> Option<&[u8]> {
    let (head, message) = framed.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let [0, length @ ..] = *head else { return None };
    (u32::from_be_bytes(length) as usize == message.len()).then_some(message)
}

/// The fast path in front of the usual way, which is always ready, as routers are.
pub struct FastPathService<R, S> {
    ways: Arc<Ways<R, S>>,
}

/// Where a thread has ways of its own, nothing in them is contended.
struct Ways<R, S> {
    reads: R,
    path: RequestPath,
    usual: S,
}

impl<R, S> Clone for FastPathService<R, S> {
    fn clone(&self) -> Self {
        Self { ways: Arc::clone(&self.ways) }
    }
}

impl<R: ReadyReads, S> FastPathService<R, S> {
    /// `reads` before the usual way, whose path every request takes.
    pub fn new(reads: R, path: RequestPath, usual: S) -> Self {
        Self { ways: Arc::new(Ways { reads, path, usual }) }
    }
}

impl<R, S, I, B> Service<Request<I>> for FastPathService<R, S>
where
    R: ReadyReads,
    S: Service<Request<RewindBody<I>>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Unpin,
    I: Body<Data = Bytes> + Unpin,
{
    type Response = Response<FastPathBody<B>>;
    type Error = Infallible;
    type Future = Answering<R, S, I>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        if !is_candidate(&request) {
            let usual = self.ways.usual.clone().call(request.map(RewindBody::untouched));
            return Answering { reading: None, usual: Some(usual) };
        }
        let (head, body) = request.into_parts();
        let ways = Arc::clone(&self.ways);
        Answering { reading: Some(Reading { ways, head, body, read: Bytes::new() }), usual: None }
    }
}

fn is_candidate<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && request.uri().path() == PATH
        && headers.get(CONTENT_TYPE).is_some_and(|value| {
            matches!(value.as_bytes(), b"application/grpc" | b"application/grpc+proto")
        })
        && headers.get(GRPC_ENCODING).is_none_or(|value| value == "identity")
        // Whether a page may call is decided on the usual way.
        && !headers.contains_key(ORIGIN)
}

/// An answer on its way: its request is read first, then perhaps goes the usual
/// way.
pub struct Answering<R, S: Service<Request<RewindBody<I>>>, I: Body> {
    reading: Option<Reading<R, S, I>>,
    usual: Option<S::Future>,
}

/// A request that is being read.
struct Reading<R, S, I> {
    ways: Arc<Ways<R, S>>,
    head: Parts,
    body: I,
    read: Bytes,
}

impl<R, S, I, B> Future for Answering<R, S, I>
where
    R: ReadyReads,
    S: Service<Request<RewindBody<I>>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Unpin,
    I: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<FastPathBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(reading) = &mut this.reading {
            let failed = ready!(reading.poll_read(context));
            let Some(Reading { ways, mut head, body, read }) = this.reading.take() else {
                return Poll::Pending;
            };
            let Ways { reads, path, .. } = &*ways;
            let entered = path.enter(&head.headers);
            // A request that broke off is not looked up, nor counted as found.
            let answer = match failed {
                None => path
                    .guarded(&entered, || reads.answer(&entered, &head.headers, message(&read)?)),
                Some(_) => None,
            };
            if let Some(answer) = answer {
                path.answered(&entered, CALL, PATH);
                return Poll::Ready(Ok(response(&entered, answer)));
            }
            head.extensions.insert(entered);
            let body = RewindBody { read, failed, rest: body };
            this.usual = Some(ways.usual.clone().call(Request::from_parts(head, body)));
        }
        let Some(usual) = &mut this.usual else { return Poll::Pending };
        Pin::new(usual)
            .poll(context)
            .map(|answer| answer.map(|response| response.map(FastPathBody::Usual)))
    }
}

impl<R, S, I: Body<Data = Bytes> + Unpin> Reading<R, S, I> {
    /// Ready when the request is read, is too large to be looked at here, or
    /// broke off.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<I::Error>> {
        while !self.body.is_end_stream() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => break,
                Some(Err(error)) => return Poll::Ready(Some(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.append(data);
                    }
                }
            }
            if self.read.len() > REQUEST_MAX_BYTES {
                break;
            }
        }
        Poll::Ready(None)
    }

    /// A request usually comes in one piece, which then is not copied.
    fn append(&mut self, data: Bytes) {
        if self.read.is_empty() {
            self.read = data;
        } else {
            self.read = [&self.read[..], &data[..]].concat().into();
        }
    }
}

fn response<B>(entered: &Entered, answer: ReadyAnswer) -> Response<FastPathBody<B>> {
    let mut response = Response::new(FastPathBody::Ready(answer));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    entered.name_if_seen_in(headers);
    response
}

/// The body of a request whose beginning was read already.
pub struct RewindBody<I: Body> {
    read: Bytes,
    failed: Option<I::Error>,
    rest: I,
}

impl<I: Body> RewindBody<I> {
    fn untouched(rest: I) -> Self {
        Self { read: Bytes::new(), failed: None, rest }
    }
}

impl<I: Body<Data = Bytes, Error: Unpin> + Unpin> Body for RewindBody<I> {
    type Data = Bytes;
    type Error = I::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, I::Error>>> {
        let this = self.get_mut();
        if !this.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.read)))));
        }
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        Pin::new(&mut this.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.failed.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.len() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

/// The body of an answer.
pub enum FastPathBody<B> {
    /// Answered at once.
    Ready(ReadyAnswer),
    /// From the usual way.
    Usual(B),
}

impl<B> Body for FastPathBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Ready(answer) => Poll::Ready(answer.next_frame().map(Ok)),
            Self::Usual(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ready(answer) => answer.is_done,
            Self::Usual(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ready(_) => SizeHint::default(),
            Self::Usual(body) => body.size_hint(),
        }
    }
}

/// A gRPC answer: its message, in one piece or two, and that all is well.
#[derive(Debug)]
pub struct ReadyAnswer {
    first: Bytes,
    second: Bytes,
    is_done: bool,
}

impl ReadyAnswer {
    /// Of a message behind [`FRAME_HEAD_BYTES`] that are filled in here, and of what follows
    /// it in a piece of its own.
    pub fn new(mut first: Vec<u8>, second: Bytes) -> Self {
        let length = (first.len() - FRAME_HEAD_BYTES + second.len()) as u32;
        first[0] = 0;
        first[1..FRAME_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        Self { first: first.into(), second, is_done: false }
    }

    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        for piece in [&mut self.first, &mut self.second] {
            if !piece.is_empty() {
                return Some(Frame::data(std::mem::take(piece)));
            }
        }
        if self.is_done {
            return None;
        }
        self.is_done = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        Some(Frame::trailers(trailers))
    }
}
