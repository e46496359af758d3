//! The one place that grants rights.

mod authorize;

pub use authorize::{Action, Authority, Duty, Permit};
