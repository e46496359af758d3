//! What every gRPC server offers beside its rooms: health and reflection.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use vdom_core::{Error, Result};
use vdom_edge::observe::admin::Readiness;

use crate::descriptors::health_services;

/// Adds gRPC health and reflection to the routes, and answers what sets the health.
///
/// # Errors
/// `Internal` where the built-in descriptors cannot be read.
pub fn with_health_and_reflection(routes: Routes) -> Result<(Routes, HealthReporter)> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = described().build_v1().map_err(Error::internal)?;
    // The clients of many languages ask for no other version.
    let reflection_alpha = described().build_v1alpha().map_err(Error::internal)?;
    let routes = routes.add_service(health).add_service(reflection).add_service(reflection_alpha);
    Ok((routes, reporter))
}

/// Tells gRPC health what the checks say, after each `look`, which answers after how long
/// to look again; ends once it has told that the process drains.
pub async fn report_health<L>(
    reporter: HealthReporter,
    readiness: Arc<dyn Readiness>,
    draining: CancellationToken,
    mut look: impl FnMut() -> L,
) where
    L: Future<Output = Duration>,
{
    loop {
        let again = tokio::select! {
            again = look() => again,
            () = draining.cancelled() => Duration::ZERO,
        };
        let status = if readiness.is_ready() && !draining.is_cancelled() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in health_services() {
            reporter.set_service_status(*service, status).await;
        }
        if draining.is_cancelled() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = draining.cancelled() => {}
        }
    }
}

fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(vdom_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
