//! The one place that grants rights.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod authorize;

pub use authorize::{Authority, Duty, Permit};
pub use vdom_core::access::Action;
