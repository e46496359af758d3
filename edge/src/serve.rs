//! Serving: listeners, connections with their limits, draining, and the path
//! of every request.

mod access;
mod call_name;
mod connection;
mod correlation;
mod gather;
mod listener;
mod preface;
mod requests;
mod server;
pub mod tls;
mod unread;

pub use connection::{ServeSettings, serve_connection};
pub use listener::{Bind, Listener, LocalAddress, Stream};
pub use requests::{Randomness, RequestContext, Requests};
pub use server::{Drained, Server};

#[cfg(test)]
mod tests;
