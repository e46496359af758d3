//! The service as a server takes it: limits, compression, and refusals of the
//! gRPC library put into the words of the one error table.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_proto::v1::memory_gateway_server::MemoryGatewayServer;

use super::compression::{ACCEPT_ENCODING, Compression};
use super::library_refusal::library_refusal;
use super::service::DocumentCalls;
use super::subscription::{SUBSCRIBE_CHANGES, SubscribeService};
use crate::descriptors;
use crate::dom::DocumentService;
use vdom_edge::caller;
use vdom_edge::deadline;
use vdom_edge::error::to_status;

/// The gRPC service over `dom`, ready for `tonic::service::Routes`. It expects
/// the caller in the request's extensions.
pub fn document_server<D: DocumentService>(
    dom: Arc<D>,
    compression: Compression,
) -> DocumentServer<D> {
    let subscriptions = SubscribeService::new(Arc::clone(&dom), compression);
    let mut server = MemoryGatewayServer::new(DocumentCalls::new(dom))
        .max_decoding_message_size(UNARY_MESSAGE_MAX_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    if compression == Compression::WhereAccepted {
        server = server
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd);
    }
    DocumentServer { subscriptions, server }
}

/// What [`document_server`] makes: a `tower` service for the paths of the gRPC service.
pub struct DocumentServer<D> {
    /// In front of the library, whose own method is never reached.
    subscriptions: SubscribeService<D>,
    server: MemoryGatewayServer<DocumentCalls<D>>,
}

impl<D> Clone for DocumentServer<D> {
    fn clone(&self) -> Self {
        Self { subscriptions: self.subscriptions.clone(), server: self.server.clone() }
    }
}

impl<D> NamedService for DocumentServer<D> {
    const NAME: &'static str = <MemoryGatewayServer<DocumentCalls<D>> as NamedService>::NAME;
}

impl<D: DocumentService> Service<Request<Body>> for DocumentServer<D> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request_id = caller::request_id(request.extensions());
        // Nobody's request is not even read.
        let deadline = match caller::of(request.extensions()) {
            Ok(caller) => deadline::of_answer(&caller),
            Err(error) => {
                let refusal = to_status(error, &request_id).into_http();
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        // Requests that stream take as long as they need.
        let is_upload = descriptors::streams_requests(request.uri().path());
        let request = request.map(|body| Body::new(body.map_err(broken_off)));
        let answer = match request.uri().path() {
            SUBSCRIBE_CHANGES => self.subscriptions.call(request),
            _ => self.server.call(request),
        };
        Box::pin(async move {
            let response = if is_upload {
                answer.await?
            } else {
                // The library waits for the whole request before it asks us.
                match tokio::time::timeout_at(deadline.into(), answer).await {
                    Ok(response) => response?,
                    Err(_) => return Ok(to_status(deadline::exceeded(), &request_id).into_http()),
                }
            };
            let refusal = response.extensions().get::<Status>().and_then(library_refusal);
            let Some(error) = refusal else { return Ok(response) };
            let mut refused = to_status(error, &request_id).into_http();
            // Of a message in an encoding that is not taken: which ones are.
            if let Some(accepted) = response.headers().get(ACCEPT_ENCODING) {
                refused.headers_mut().insert(ACCEPT_ENCODING, accepted.clone());
            }
            Ok(refused)
        })
    }
}

/// The gRPC library takes a stream that its client cancels for one that is
/// complete: a part of a content would be written as the whole.
fn broken_off(status: Status) -> Status {
    match status.code() {
        Code::Cancelled => Status::unavailable("the request broke off before its end"),
        _ => status,
    }
}
