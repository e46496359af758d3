//! gRPC-Web for browsers, on its own branch: `tonic-web` refuses whatever is
//! neither gRPC nor gRPC-Web, so it must not stand before other routes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use tonic::server::NamedService;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service};
use vdom_core::Error;
use vdom_edge::caller;
use vdom_edge::error::to_response;

use super::{Compression, DocumentServer, document_server};
use crate::dom::DocumentService;

/// The media types of gRPC-Web, as its library knows them.
const MEDIA_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// The routes of gRPC-Web over `dom`, which take gRPC over HTTP/2 as well.
pub fn web_router<D: DocumentService>(dom: Arc<D>, compression: Compression) -> Router {
    let path = format!("/{}/{{*call}}", DocumentServer::<D>::NAME);
    let service = GrpcWebLayer::new().layer(document_server(dom, compression));
    Router::new().route_service(&path, WebService { service })
}

/// Explains what the library would refuse without a word, and spells media types as it does.
struct WebService<D> {
    service: GrpcWebService<DocumentServer<D>>,
}

impl<D> Clone for WebService<D> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone() }
    }
}

impl<D: DocumentService> Service<Request<axum::body::Body>> for WebService<D> {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<axum::body::Body>) -> Self::Future {
        spell(request.headers_mut(), CONTENT_TYPE);
        spell(request.headers_mut(), ACCEPT);
        if let Some(why) = refusal(&request) {
            let request_id = caller::request_id(request.extensions());
            let response = to_response(&Error::invalid(why), &request_id);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.service.call(request);
        Box::pin(async move { Ok(answer.await?.map(axum::body::Body::new)) })
    }
}

/// Spells the header as the library does where it names a media type of gRPC-Web, in whatever
/// case and with whatever parameters.
fn spell(headers: &mut HeaderMap, name: HeaderName) {
    let known = headers.get(&name).and_then(|value| {
        let mut named = value.to_str().ok()?.split(',').map(essence);
        named.find_map(|essence| {
            MEDIA_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(essence))
        })
    });
    if let Some(known) = known {
        headers.insert(name, HeaderValue::from_static(known));
    }
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Why the library would not take the request.
fn refusal<B>(request: &Request<B>) -> Option<String> {
    let media_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = String::from_utf8_lossy(media_type.unwrap_or_default());
    let is_web = MEDIA_TYPES.contains(&&*media_type);
    let is_native = essence(&media_type).to_ascii_lowercase().starts_with("application/grpc")
        && !media_type.to_ascii_lowercase().starts_with("application/grpc-web");
    if is_web && request.method() != Method::POST {
        return Some(format!("{} is no method of gRPC-Web: send POST", request.method()));
    }
    if is_web || (is_native && request.version() == Version::HTTP_2) {
        return None;
    }
    let advice = if is_native {
        "gRPC needs HTTP/2: use that, or gRPC-Web"
    } else {
        "send gRPC-Web, such as application/grpc-web+proto, or use REST below /v1/"
    };
    Some(format!("content-type {media_type:?} cannot be taken here: {advice}"))
}

#[cfg(test)]
mod tests;
