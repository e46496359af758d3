//! Why a call failed, and whether trying again may help.

use std::fmt;

use tonic::{Code, Status};
use tonic_types::StatusExt;
use vdom_core::ErrorCode;
use vdom_edge::error::from_status;

use crate::address::ServerAddress;

/// What a call answers with.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed, and with it whether and how to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The address, the token or the certificate authority cannot be used; nothing
    /// was sent.
    Unusable(String),
    /// No connection to the server could be made.
    Unreachable {
        /// The server that was asked for.
        address: ServerAddress,
        /// What the system says about it ("Connection refused").
        cause: String,
    },
    /// The server refused the call, or the connection broke under it.
    Refused(Box<Refusal>),
    /// The exchange ended in a way that the protocol does not have.
    Protocol(String),
}

/// What a server answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error: its code says what to do, its message is for people.
    pub error: vdom_core::Error,
    /// Finds the request in the server's log, where the server named it.
    pub request_id: Option<String>,
    /// The answer never came: the connection broke, and the call may or may not have
    /// been carried out.
    pub is_connection_lost: bool,
}

impl Error {
    /// The code of the server's answer; `None` where there was none to begin with.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.error.code),
            Self::Unusable(_) | Self::Unreachable { .. } | Self::Protocol(_) => None,
        }
    }

    /// True where the realm, repo, branch, node or revision does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(ErrorCode::NotFound)
    }

    /// True where the token is missing, not valid or without the right.
    pub fn is_denied(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::Unauthenticated | ErrorCode::PermissionDenied))
    }

    /// True where the server cannot be reached, or cannot answer now: the same call
    /// may succeed later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => matches!(
                refusal.error.code,
                ErrorCode::Exhausted
                    | ErrorCode::Lagged
                    | ErrorCode::Unavailable
                    | ErrorCode::DeadlineExceeded
            ),
            Self::Unusable(_) | Self::Protocol(_) => false,
        }
    }

    /// How long to wait before the next attempt, where the server says so.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Refused(refusal) => refusal.error.retry_after,
            Self::Unusable(_) | Self::Unreachable { .. } | Self::Protocol(_) => None,
        }
    }

    /// True where the very same call is worth repeating soon: the server was away, is
    /// full, or says itself when to come back.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.is_transient(),
            Self::Unusable(_) | Self::Protocol(_) => false,
        }
    }
}

impl Refusal {
    fn is_transient(&self) -> bool {
        self.error.code == ErrorCode::Unavailable
            || self.error.retry_after.is_some()
            || self.is_connection_lost
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        // Made on this side of the connection, a status carries what broke.
        let is_connection_lost =
            std::error::Error::source(&status).is_some() && status.code() != Code::DeadlineExceeded;
        let message = if is_connection_lost {
            format!("the connection to the server was lost: {}", innermost(&status))
        } else if status.message().is_empty() {
            format!("the server answered {:?}", status.code())
        } else {
            status.message().to_owned()
        };
        Self {
            error: vdom_core::Error { message, ..from_status(&status) },
            request_id: status.get_details_request_info().map(|info| info.request_id),
            is_connection_lost,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(problem) | Self::Protocol(problem) => formatter.write_str(problem),
            Self::Unreachable { address, cause } => {
                write!(formatter, "cannot reach {address}: {cause}")
            }
            Self::Refused(refusal) => formatter.write_str(&refusal.error.message),
        }
    }
}

impl std::error::Error for Error {}

/// The last of a chain of causes, which names the fact ("Connection refused").
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_connection_that_broke_is_told_from_a_refusal() {
        let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        let refusal = Refusal::from(broken);
        assert!(refusal.is_connection_lost, "{refusal:?}");
        assert!(Error::Refused(Box::new(refusal)).is_unavailable());
        assert!(!Refusal::from(Status::internal("ours")).is_connection_lost);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let is_transient = |status: Status| Error::from(status).is_transient();
        assert!(is_transient(Status::unavailable("draining")));
        assert!(!is_transient(Status::not_found("no")));
        assert!(!is_transient(Status::resource_exhausted("quota")));
    }
}
