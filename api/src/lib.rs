//! What each room offers, and how it goes over the wire: a folder a room with its service
//! trait, its gRPC and REST adapters and the conversions between wire and domain. The
//! gateway answers from its rooms, the sidecar from its cache; both mount the same adapters.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod descriptors;
pub mod dom;
mod grpc_services;

use vdom_edge::serve::RouteLabel;

pub use grpc_services::{report_health, with_health_and_reflection};

/// How metrics and access logs name the calls of all rooms, over gRPC and over REST.
pub fn route_labels() -> &'static [RouteLabel] {
    &[descriptors::route_label, dom::rest::route_label]
}
