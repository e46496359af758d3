//! The gRPC port: the document room, health and reflection.

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use vdom_api::dom::grpc::{Compression, document_server};
use vdom_core::{Error, Result};

use vdom_dom::DocumentRoom;

/// The routes of the gRPC port, and the handle that sets their health.
pub fn router(room: Arc<DocumentRoom>) -> Result<(Router, HealthReporter)> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(vdom_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(Error::internal)?;
    let routes = Routes::new(document_server(room, Compression::WhereAccepted))
        .add_service(health)
        .add_service(reflection);
    Ok((routes.prepare().into_axum_router(), reporter))
}
