//! Refusals of the gRPC library in the words of the one error table.

use tonic::{Code, Status};
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_core::{Error, ErrorCode};

/// The error of a status that the library made before the call reached us; `None` of one
/// that is ours. It tells its own apart by words alone: a test provokes each.
pub(super) fn library_refusal(status: &Status) -> Option<Error> {
    if !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("message length too large") => {
            Some(Error::too_large(format!(
                "the message is larger than {UNARY_MESSAGE_MAX_BYTES} bytes: stream the content \
                 with WriteDiffsStream"
            )))
        }
        Code::ResourceExhausted if message.contains("decompressing") => Some(Error::too_large(
            format!("the message is larger than {UNARY_MESSAGE_MAX_BYTES} bytes once decompressed"),
        )),
        // What is wrong with a frame or a message: never a fault of ours.
        Code::Internal => Some(Error::invalid(format!("the message cannot be read: {message}"))),
        Code::Unimplemented => Some(Error::new(ErrorCode::Unimplemented, message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
