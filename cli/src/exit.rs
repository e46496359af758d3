//! How the command ends: exit codes, and failures that say what to do.

use std::process::ExitCode;
use std::{fmt, io};

use tonic::Status;
use vdom_client::InvalidBranchSpec;
use vdom_core::ErrorCode;
use vdom_core::limits::CONTENT_MAX_BYTES;

use crate::humanize::size;

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

impl From<vdom_client::Error> for Failure {
    fn from(error: vdom_client::Error) -> Self {
        let refusal = match error {
            vdom_client::Error::Refused(refusal) => *refusal,
            vdom_client::Error::Unreachable { .. } => {
                return Self::new(Exit::Unavailable, error.to_string());
            }
            error => return Self::failed(error.to_string()),
        };
        let code = refusal.error.code;
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
            message: refusal.error.message,
            advice: advice.map(str::to_owned),
            code: Some(code),
            request_id: refusal.request_id,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        vdom_client::Error::from(status).into()
    }
}

impl From<vdom_mirror::Error> for Failure {
    fn from(error: vdom_mirror::Error) -> Self {
        let message = error.to_string();
        match error {
            vdom_mirror::Error::Client(error) => error.into(),
            vdom_mirror::Error::Core(error) => error.into(),
            vdom_mirror::Error::Local { kind, message, advice } => {
                Self { advice, ..Self::new(kind.into(), message) }
            }
            vdom_mirror::Error::FileTooLarge { size_bytes } => Self::failed(format!(
                "it has {}, a node holds at most {}",
                size(size_bytes),
                size(CONTENT_MAX_BYTES)
            )),
            vdom_mirror::Error::Observer(error) => {
                Self::from(io::Error::new(error.kind(), error.to_string()))
            }
            _ => Self::failed(message),
        }
    }
}

impl From<InvalidBranchSpec> for Failure {
    fn from(invalid: InvalidBranchSpec) -> Self {
        Self::new(Exit::Usage, invalid.to_string())
    }
}

impl From<vdom_mirror::ErrorKind> for Exit {
    fn from(kind: vdom_mirror::ErrorKind) -> Self {
        match kind {
            vdom_mirror::ErrorKind::Usage => Self::Usage,
            vdom_mirror::ErrorKind::NotFound => Self::NotFound,
            vdom_mirror::ErrorKind::Conflict => Self::Conflict,
            vdom_mirror::ErrorKind::Failed => Self::Failed,
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

#[cfg(test)]
mod tests;
