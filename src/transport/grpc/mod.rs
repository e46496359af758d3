//! The gRPC port: the document room, health and reflection.

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use vdom_api::dom::grpc::{Compression, document_server};
use vdom_core::Result;

use vdom_dom::DocumentRoom;

/// The routes of the gRPC port, and the handle that sets their health.
pub fn router(room: Arc<DocumentRoom>) -> Result<(Router, HealthReporter)> {
    let routes = Routes::new(document_server(room, Compression::WhereAccepted));
    let (routes, reporter) = vdom_api::with_health_and_reflection(routes)?;
    Ok((routes.prepare().into_axum_router(), reporter))
}
