//! The shortest way to a cached node: a unary `ReadSnapshot` over HTTP/2 that
//! memory can answer is answered here, with a prepared message and the few bytes
//! that change. It passes the layers that every request passes ([`RequestPath`]).
//! Everything else goes the usual way, with the bytes that were read put back.
//!
//! Each serving thread has a fast path of its own, so nothing here is contended.

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
use parking_lot::Mutex;
use tower::Service;
use vdom_api::dom::grpc::protobuf::{CachedReadRequest, READ_STATE_MAX_BYTES, put_read_state};
use vdom_core::access::{Action, Resource, decide};
use vdom_core::dom::calls::Freshness;
use vdom_core::{BranchAddress, NodeId, RealmName};
use vdom_edge::serve::{Entered, RequestPath};

use crate::branch::{Branch, Found, Wanted};
use crate::cache::{CachedNode, KeyRef};
use crate::sidecar::Sidecar;

/// The only call that is answered here, as access logs and metrics name it.
const CALL: &str = "ReadSnapshot";
const PATH: &str = "/virtualdom.v1.MemoryGateway/ReadSnapshot";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What frames a gRPC message: a flag and four bytes of length.
const FRAME_HEAD_BYTES: usize = 5;
/// The largest request that is looked at here.
const REQUEST_MAX_BYTES: usize = 4 << 10;
/// Below this, copying an answer into one piece is cheaper than sending two.
const ONE_PIECE_MAX_BYTES: usize = 8 << 10;
/// How many branches a thread remembers.
const BRANCHES_MAX: usize = 32;

/// One serving thread's way to the cache.
pub(crate) struct FastPath {
    sidecar: Sidecar,
    path: RequestPath,
    branches: Mutex<Vec<Arc<Branch>>>,
}

impl FastPath {
    /// To this sidecar's cache, by the layers that every request passes.
    pub(crate) fn new(sidecar: Sidecar, path: RequestPath) -> Self {
        Self { sidecar, path, branches: Mutex::default() }
    }

    /// The answer to a framed request, where memory has it and the caller may
    /// read it.
    fn answer(&self, entered: &Entered, framed: &[u8]) -> Option<Prepared> {
        let request = CachedReadRequest::decode(message(framed)?)?;
        // A refusal is worth the usual way, here as below.
        let identity = &entered.token.as_ref().ok()?.identity;
        entered.deadline.as_ref().ok()?;
        let own_realm = identity.realm.as_ref().map(RealmName::as_str);
        let realm = match request.realm {
            "" => own_realm.unwrap_or(RealmName::DEFAULT),
            realm => realm,
        };
        let branch = self.branch(realm, request.repo, request.branch)?;
        let resource = Resource { realm: &branch.address.realm, repo: Some(&branch.address.repo) };
        decide(identity.grant(), Action::Read, resource).ok()?;
        let key = match request.node_id {
            [] => KeyRef::Path(branch.number(), request.path),
            id => KeyRef::Id(branch.number(), NodeId::from_slice(id).ok()?),
        };
        let names_epoch = request.min_revision != 0 && request.min_epoch != 0;
        let wanted = Wanted {
            revision: request.min_revision,
            epoch: names_epoch.then_some(request.min_epoch),
            max_age_ms: request.max_age_ms,
        };
        let hit = branch.hit(key, wanted)?;
        let Found::Node(node) = hit.found else { return None };
        self.sidecar.cache().count_hit();
        Some(Prepared::new(&node, hit.revision, hit.freshness))
    }

    fn branch(&self, realm: &str, repo: &str, branch: &str) -> Option<Arc<Branch>> {
        let is_it = |known: &Arc<Branch>| {
            let address = &known.address;
            address.branch.as_str() == branch
                && address.repo.as_str() == repo
                && address.realm.as_str() == realm
        };
        let mut branches = self.branches.lock();
        if let Some(at) = branches.iter().position(is_it) {
            if !branches[at].is_over() {
                return Some(Arc::clone(&branches[at]));
            }
            branches.swap_remove(at);
        }
        let address = BranchAddress::parse(realm, repo, branch).ok()?;
        let found = self.sidecar.branches().get(&address)?;
        if branches.len() == BRANCHES_MAX {
            branches.clear();
        }
        branches.push(Arc::clone(&found));
        Some(found)
    }
}

/// The message of a unary request that came whole and uncompressed.
fn message(framed: &[u8]) -> Option<&[u8]> {
    let (head, message) = framed.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let [0, length @ ..] = *head else { return None };
    (u32::from_be_bytes(length) as usize == message.len()).then_some(message)
}

/// The fast path in front of the usual way, which is always ready, as routers are.
pub(crate) struct FastPathService<S> {
    ways: Arc<Ways<S>>,
}

/// A thread's own: what a request shares with others would be contended.
struct Ways<S> {
    fast: FastPath,
    usual: S,
}

impl<S> Clone for FastPathService<S> {
    fn clone(&self) -> Self {
        Self { ways: Arc::clone(&self.ways) }
    }
}

impl<S> FastPathService<S> {
    /// `fast` before `usual`.
    pub(crate) fn new(fast: FastPath, usual: S) -> Self {
        Self { ways: Arc::new(Ways { fast, usual }) }
    }
}

impl<S, I, B> Service<Request<I>> for FastPathService<S>
where
    S: Service<Request<RewindBody<I>>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Unpin,
    I: Body<Data = Bytes> + Unpin,
{
    type Response = Response<FastPathBody<B>>;
    type Error = Infallible;
    type Future = Answering<S, I>;

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
pub(crate) struct Answering<S: Service<Request<RewindBody<I>>>, I: Body> {
    reading: Option<Reading<S, I>>,
    usual: Option<S::Future>,
}

/// A request that is being read.
struct Reading<S, I> {
    ways: Arc<Ways<S>>,
    head: Parts,
    body: I,
    read: Bytes,
}

impl<S, I, B> Future for Answering<S, I>
where
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
            let FastPath { path, .. } = &ways.fast;
            let entered = path.enter(&head.headers);
            // A request that broke off is not looked up, nor counted as found.
            let prepared = match failed {
                None => path.guarded(&entered, || ways.fast.answer(&entered, &read)),
                Some(_) => None,
            };
            if let Some(prepared) = prepared {
                path.answered(&entered, CALL, PATH);
                return Poll::Ready(Ok(response(&entered, prepared)));
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

impl<S, I: Body<Data = Bytes> + Unpin> Reading<S, I> {
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

fn response<B>(entered: &Entered, prepared: Prepared) -> Response<FastPathBody<B>> {
    let mut response = Response::new(FastPathBody::Prepared(prepared));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    entered.name_if_seen_in(headers);
    response
}

/// The body of a request whose beginning was read already.
pub(crate) struct RewindBody<I: Body> {
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
pub(crate) enum FastPathBody<B> {
    /// From memory.
    Prepared(Prepared),
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
            Self::Prepared(prepared) => Poll::Ready(prepared.next_frame().map(Ok)),
            Self::Usual(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Prepared(prepared) => prepared.is_done,
            Self::Usual(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Prepared(_) => SizeHint::default(),
            Self::Usual(body) => body.size_hint(),
        }
    }
}

/// A gRPC answer: its message, in one piece or two, and that all is well.
#[derive(Debug)]
pub(crate) struct Prepared {
    first: Bytes,
    second: Bytes,
    is_done: bool,
}

impl Prepared {
    /// What changes comes first: protobuf takes fields in any order, and what is
    /// constant need not be copied.
    fn new(node: &CachedNode, revision: u64, freshness: Freshness) -> Self {
        let constant = node.constant();
        let in_one_piece = constant.len() <= ONE_PIECE_MAX_BYTES;
        let rest = if in_one_piece { constant.len() } else { 0 };
        let mut first = Vec::with_capacity(FRAME_HEAD_BYTES + READ_STATE_MAX_BYTES + rest);
        first.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        put_read_state(revision, freshness, &mut first);
        let length = (first.len() - FRAME_HEAD_BYTES + constant.len()) as u32;
        first[1..FRAME_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        let second = if in_one_piece {
            first.extend_from_slice(constant);
            Bytes::new()
        } else {
            constant.clone()
        };
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

#[cfg(test)]
mod tests;
