//! The admin port: health and metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::Metrics;
use crate::error::to_response;

/// One thing that readiness depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A word for probes and dashboards, such as `store`.
    pub name: &'static str,
    /// Whether it lets requests be served.
    pub ready: bool,
    /// For people: what is wrong, or what cannot be promised.
    pub detail: String,
}

impl Check {
    /// Whether requests are still taken.
    pub fn lifecycle(is_draining: bool) -> Self {
        let detail = if is_draining { "draining" } else { "serving" }.to_owned();
        Self { name: "lifecycle", ready: !is_draining, detail }
    }
}

/// Whether the process can serve.
pub trait Readiness: Send + Sync + 'static {
    /// Everything that it depends on, now.
    fn checks(&self) -> Vec<Check>;

    /// Whether every check passes.
    fn is_ready(&self) -> bool {
        self.checks().iter().all(|check| check.ready)
    }
}

/// `/health`, `/health/live`, `/health/ready` and `/metrics`.
pub fn router(metrics: Metrics, readiness: Arc<dyn Readiness>) -> Router {
    Router::new()
        .route("/health", get(ready))
        .route("/health/ready", get(ready))
        // A process that answers is alive; whoever restarts it gains nothing
        // from a store that is away.
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .with_state(readiness)
        .merge(Router::new().route("/metrics", get(render)).with_state(metrics))
}

async fn ready(
    State(readiness): State<Arc<dyn Readiness>>,
) -> (StatusCode, Json<serde_json::Value>) {
    let checks = readiness.checks();
    let (code, status) = if checks.iter().all(|check| check.ready) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (code, Json(json!({ "status": status, "checks": checks })))
}

async fn render(State(metrics): State<Metrics>) -> Response<Body> {
    match metrics.render() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                ),
            );
            response
        }
        Err(error) => to_response(&error, ""),
    }
}

#[cfg(test)]
mod tests;
