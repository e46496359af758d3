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
use vdom_core::{Error, ErrorCode};
use vdom_proto::v1::memory_gateway_server::MemoryGatewayServer;

use super::service::DomService;
use super::subscription;
use crate::dom::DocumentService;
use vdom_edge::caller;
use vdom_edge::deadline;
use vdom_edge::error::to_status;

/// Calls whose requests stream, for as long as they need.
const UPLOADS: [&str; 3] = ["/WriteDiffsStream", "/ReplayDiffs", "/CollaborativeSession"];

/// When answers above 1 KiB are compressed. Requests may be, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Where the peer accepts it.
    WhereAccepted,
    /// Never: for peers on the same host.
    Never,
}

/// The gRPC service over `dom`, ready for `tonic::service::Routes`. It expects
/// the caller in the request's extensions.
pub fn server<D: DocumentService>(dom: Arc<D>, compression: Compression) -> DomServer<D> {
    let mut server = MemoryGatewayServer::new(DomService::new(dom, compression))
        .max_decoding_message_size(UNARY_MESSAGE_MAX_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    if compression == Compression::WhereAccepted {
        server = server
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd);
    }
    DomServer { server }
}

/// See [`server`].
pub struct DomServer<D> {
    server: MemoryGatewayServer<DomService<D>>,
}

impl<D> Clone for DomServer<D> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone() }
    }
}

impl<D> NamedService for DomServer<D> {
    const NAME: &'static str = <MemoryGatewayServer<DomService<D>> as NamedService>::NAME;
}

impl<D: DocumentService> Service<Request<Body>> for DomServer<D> {
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
        let is_upload = UPLOADS.iter().any(|call| request.uri().path().ends_with(call));
        let answer = self.server.call(request.map(|body| Body::new(body.map_err(broken_off))));
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
            Ok(match refusal {
                Some(error) => to_status(error, &request_id).into_http(),
                None => subscription::finish(response),
            })
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

/// The gRPC library refuses some messages before they reach us.
pub(super) fn library_refusal(status: &Status) -> Option<Error> {
    if !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("message length too large") => {
            Some(Error::too_large(format!(
                "the message is larger than {UNARY_MESSAGE_MAX_BYTES} bytes: stream the content \
                 with WriteDiffsStream"
            )))
        }
        Code::ResourceExhausted if message.contains("decompressing") => Some(Error::too_large(
            format!("the message is larger than {UNARY_MESSAGE_MAX_BYTES} bytes once decompressed"),
        )),
        // What is wrong with a frame or a message: never a fault of ours.
        Code::Internal => Some(Error::invalid(format!("the message cannot be read: {message}"))),
        Code::Unimplemented => Some(Error::new(ErrorCode::Unimplemented, message)),
        _ => None,
    }
}
