//! The one place that grants rights.

mod authorize;

pub use authorize::{Authority, Duty, Permit};
pub use vdom_core::access::Action;
