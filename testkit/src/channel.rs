//! One type for every way to make a gRPC call: HTTP/2 over TCP or a unix
//! socket, gRPC-Web over HTTP/1.

use std::path::Path;

use http::header::AUTHORIZATION;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::Status;
use tonic::body::Body;
use tonic_web::GrpcWebClientLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder};
use vdom_client::{ConnectOptions, open_channel};

/// Carries gRPC calls, with a token or without.
pub type AnyChannel = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// HTTP/2 to `http://…` or `unix:///…`.
pub async fn http2(url: &str, token: Option<&str>) -> AnyChannel {
    let options = ConnectOptions::new(url.parse().expect("a URL"));
    boxed(open_channel(&options).await.expect("a server"), token)
}

/// HTTP/2 over a unix socket.
pub async fn unix(socket: &Path, token: Option<&str>) -> AnyChannel {
    http2(&format!("unix://{}", socket.display()), token).await
}

/// gRPC-Web over HTTP/1 to `http://…`.
pub fn grpc_web(url: &str, token: Option<&str>) -> AnyChannel {
    let origin: Uri = url.parse().expect("a URL");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Body>| {
            *request.uri_mut() = at(&origin, request.uri());
            request
        })
        .layer(GrpcWebClientLayer::new())
        .service(client);
    boxed(service, token)
}

fn boxed<S, B>(service: S, token: Option<&str>) -> AnyChannel
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")).expect("text"));
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Body>| {
            if let Some(bearer) = &bearer {
                request.headers_mut().insert(AUTHORIZATION, bearer.clone());
            }
            request
        })
        .map_response(|response: Response<B>| response.map(Body::new))
        .map_err(|error: S::Error| Status::from_error(error.into()))
        .service(service);
    BoxCloneSyncService::new(service)
}

fn at(origin: &Uri, call: &Uri) -> Uri {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query =
        call.path_and_query().cloned().or_else(|| Some(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).expect("a URL")
}
