//! What operators see: logs, metrics, and the admin port's health.

pub mod admin;
pub mod logging;
mod metrics;
mod process;

pub use metrics::{Metrics, RequestMetrics};
