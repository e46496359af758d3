//! gRPC-Web for browsers, on its own branch: `tonic-web` refuses whatever is
//! neither gRPC nor gRPC-Web, so it must not stand before other routes.

use std::sync::Arc;

use axum::Router;
use tonic::server::NamedService;
use tonic_web::GrpcWebLayer;
use tower::Layer;

use super::{Compression, DocumentServer, document_server};
use crate::dom::DocumentService;

/// The routes of gRPC-Web over `dom`.
pub fn web_router<D: DocumentService>(dom: Arc<D>) -> Router {
    let path = format!("/{}/{{*call}}", DocumentServer::<D>::NAME);
    let service = GrpcWebLayer::new().layer(document_server(dom, Compression::WhereAccepted));
    Router::new().route_service(&path, service)
}

#[cfg(test)]
mod tests;
