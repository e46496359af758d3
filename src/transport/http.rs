//! The HTTP port: gRPC-Web, REST, health, metrics and the console.

use std::sync::Arc;

use axum::Router;
use vdom_api::dom::grpc::{Compression, web};
use vdom_api::dom::rest;
use vdom_core::Result;
use vdom_edge::cors;
use vdom_edge::observe::Metrics;
use vdom_edge::observe::admin::{self, Readiness};

use super::console;
use crate::config::WebConfig;
use vdom_dom::DocumentRoom;

/// The routes of the HTTP port.
pub fn router(
    room: Arc<DocumentRoom>,
    config: &WebConfig,
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
) -> Result<Router> {
    let calls = web::web_router(room.clone(), Compression::WhereAccepted).merge(rest::router(room));
    Ok(cors::admit(calls, &config.origins)?
        .merge(admin::router(metrics, readiness))
        .merge(console::router(config.console.as_deref())))
}
