//! What every door of vdom shares, gateway and sidecar alike: who calls, by
//! when, within which limits; the one error table; the document room's trait
//! and its gRPC and REST adapters; serving HTTP/1, HTTP/2 and unix sockets.

mod answer_size;
pub mod caller;
pub mod deadline;
pub mod dom;
pub mod error;
pub mod grpc;
pub mod observe;
pub mod origins;
pub mod rest;
pub mod serve;
pub mod settings;
pub mod stream;
pub mod token;

pub use caller::{Caller, Scope, Scopes};
pub use dom::{Dom, DomStream, EVENT_FORMS, EventEncoder, StoredChange};

#[cfg(test)]
mod fake;
