//! The gateway: holds the one live, audited copy of the trees. It only wires: rooms answer.
//!
//! | folder | what it does |
//! |---|---|
//! | [`app`] | the only wiring, and the only place that names a backend |
//! | [`config`] | what an operator may set |
//! | [`transport`] | listeners and routes, thin |
//! | [`lifecycle`] | ready, drain |

pub mod app;
pub mod config;
pub mod lifecycle;
pub mod transport;

pub use app::{Addresses, Gateway, open_maintained_store, run, start};
pub use config::GatewayConfig;
pub use vdom_dom::{Retention, maintenance};
