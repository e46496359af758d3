//! Listeners and routes, thin: what each port offers.

pub mod console;
pub mod grpc;
pub mod http;
