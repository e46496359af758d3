//! The one place that grants rights.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod authorize;
mod permitted_store;

pub use authorize::{Authority, Duty, Permit, SystemPermits};
pub use permitted_store::{GuardedStore, PermittedStore};
pub use vdom_core::access::Action;
