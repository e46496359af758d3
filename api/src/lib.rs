//! What each room offers, and how it goes over the wire: a folder a room with its service
//! trait, its gRPC and REST adapters and the conversions between wire and domain. The
//! gateway answers from its rooms, the sidecar from its cache; both mount the same adapters.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

pub mod dom;
