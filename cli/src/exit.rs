//! How the command ends: exit codes, and failures that say what to do.

use std::process::ExitCode;
use std::{fmt, io};

use tonic::{Code, Status};
use tonic_types::StatusExt;
use vdom_core::ErrorCode;
use vdom_edge::error::from_status;

/// The exit codes, as `vdom --help` lists them.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    not found
  4    conflict: something else stands there, or the state does not allow it
  5    not authenticated, or no right to do it
  6    not available, or not in time: try again
  130  interrupted";

/// What the process answers to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Denied = 5,
    Unavailable = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::AlreadyExists
            | ErrorCode::Conflict
            | ErrorCode::FailedPrecondition
            | ErrorCode::EpochChanged => Self::Conflict,
            ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => Self::Denied,
            ErrorCode::Exhausted
            | ErrorCode::Lagged
            | ErrorCode::Unavailable
            | ErrorCode::DeadlineExceeded => Self::Unavailable,
            ErrorCode::InvalidArgument
            | ErrorCode::TooLarge
            | ErrorCode::Compacted
            | ErrorCode::Unimplemented
            | ErrorCode::Internal
            | ErrorCode::DataLoss => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the process answers.
    pub(crate) exit: Exit,
    /// What was wrong and where; empty: nothing to say.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
    /// The error code of the server, where it gave one.
    pub(crate) code: Option<ErrorCode>,
    /// Finds the request in the server's log.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// A failure that says what was wrong.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), advice: None, code: None, request_id: None }
    }

    /// A failure without a code of its own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An end that was already explained, or needs no explanation.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Says what to do about it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let code = from_status(&status).code;
        let message = if is_connection_lost(&status) {
            format!("the connection to the server was lost: {}", innermost(&status))
        } else if status.message().is_empty() {
            format!("the server answered {:?}", status.code())
        } else {
            status.message().to_owned()
        };
        let advice = match code {
            ErrorCode::Unauthenticated => {
                Some("give a token with --token-file or VDOM_TOKEN; `vdom token` mints one")
            }
            ErrorCode::DeadlineExceeded => Some("try again, or allow more with --timeout"),
            ErrorCode::EpochChanged => {
                Some("the branch was restored since: read it anew, then start from there")
            }
            _ => None,
        };
        Self {
            exit: code.into(),
            message,
            advice: advice.map(str::to_owned),
            code: Some(code),
            request_id: status.get_details_request_info().map(|info| info.request_id),
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing output. A reader that has seen enough (`vdom ls | head`) is
    /// no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::silent(Exit::Done)
        } else {
            Self::failed(format!("cannot write the output: {error}"))
        }
    }
}

impl From<vdom_core::Error> for Failure {
    fn from(error: vdom_core::Error) -> Self {
        Self { code: Some(error.code), ..Self::new(error.code.into(), error.message) }
    }
}

/// True where the answer never came: the status was made on this side of the
/// connection. Such a status carries what broke as its source.
pub(crate) fn is_connection_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some() && status.code() != Code::DeadlineExceeded
}

/// The last of a chain of causes, which names the fact ("Connection refused").
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
