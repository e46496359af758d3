//! The gateway: holds the one live, audited copy of the trees.
//!
//! | room | what it does |
//! |---|---|
//! | [`app`] | the only wiring, and the only place that names a backend |
//! | [`config`] | what an operator may set |
//! | [`dom`] | documents: one file per verb |
//! | [`security`] | grants rights |
//! | [`transport`] | listeners and routes, thin |
//! | [`lifecycle`] | ready, drain |
//! | [`observe`] | metrics of the document room |
//! | [`environment`] | time and randomness, handed in |

pub mod app;
pub mod config;
pub mod dom;
pub mod environment;
pub mod lifecycle;
pub mod observe;
pub mod security;
pub mod transport;

pub use app::{Addresses, Gateway, open_store, run, start};
pub use config::GatewayConfig;
pub use vdom_store::Store;
