//! Serving: listeners, connections with their limits, draining, and the path
//! of every request.

mod accept;
mod access_log;
mod body_drain;
mod connection;
mod entered;
mod listener;
mod protocol_detect;
mod request_context;
mod request_id;
mod request_path;
mod request_service;
mod route_label;
mod server;
pub mod tls;
mod write_coalescing;

pub use accept::{Accept, HandedOver};
pub use connection::ServeSettings;
pub use entered::Entered;
pub use listener::{Bind, Listener, LocalAddress, Stream};
pub use request_context::RequestContext;
pub use request_path::RequestPath;
pub use request_service::RequestService;
pub use route_label::RouteLabel;
pub use server::{Drained, Server};

#[cfg(test)]
mod tests;
