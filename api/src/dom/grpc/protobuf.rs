//! Messages of `virtualdom.v1` written and read by hand, where a structure in between
//! would cost more than the rest of the call: nowhere else. Tests hold each against the
//! generated code.

mod change;
mod field;
mod read_request;
mod snapshot;

pub(super) use change::put_change_event;
pub use read_request::CachedReadRequest;
pub use snapshot::{EncodedNode, READ_STATE_MAX_BYTES, put_read_state};

#[cfg(test)]
mod tests;
