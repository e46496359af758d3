//! What every door of vdom shares, gateway and sidecar alike, and no room's name: who
//! calls, by when, within which limits; the one error table; tokens; settings; observing;
//! serving HTTP/1, HTTP/2 and unix sockets.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

pub mod caller;
pub mod cors;
pub mod deadline;
pub mod environment;
pub mod error;
pub mod extended_json;
pub mod observe;
pub mod serve;
pub mod settings;
pub mod stream;
pub mod token;

pub use caller::Caller;
pub use environment::Environment;
pub use stream::ServiceStream;
