//! Why a mirror stops, or leaves a file alone.

use std::fmt;
use std::io;
use std::sync::Arc;

use vdom_core::ErrorCode;

/// What the functions of a mirror answer with.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a mirror stops, or leaves a file alone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call to the server failed.
    Client(vdom_client::Error),
    /// A name or a diff breaks a rule of the domain.
    Core(vdom_core::Error),
    /// Something about the directory, its files or its state.
    Local {
        /// For whom a caller has to tell them apart.
        kind: ErrorKind,
        /// What was wrong and where.
        message: String,
        /// What to do about it.
        advice: Option<String>,
    },
    /// A file has more bytes than a node may hold.
    FileTooLarge {
        /// The bytes that it has.
        size_bytes: u64,
    },
    /// The observer could not take an event.
    Observer(Arc<io::Error>),
}

/// What kind of thing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The options cannot be used.
    Usage,
    /// Something that was there is gone.
    NotFound,
    /// Something else stands there, or another mirror does.
    Conflict,
    /// Any other problem of the directory or its files.
    Failed,
}

impl Error {
    /// A problem of this kind.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Local { kind, message: message.into(), advice: None }
    }

    /// A problem of no particular kind.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Adds what to do about it to a problem of the directory.
    #[must_use]
    pub(crate) fn advice(mut self, text: impl Into<String>) -> Self {
        if let Self::Local { advice, .. } = &mut self {
            *advice = Some(text.into());
        }
        self
    }

    /// The kind of a problem of the directory; `None` for the others.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Local { kind, .. } => Some(*kind),
            _ => None,
        }
    }

    /// The code of the server's answer, where it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client(error) => error.code(),
            Self::Core(error) => Some(error.code),
            Self::Local { .. } | Self::FileTooLarge { .. } | Self::Observer(_) => None,
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_not_found())
    }

    /// The connection or the rights are at fault, and no single file.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_unavailable() || error.is_denied())
    }

    /// Waiting may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_unavailable())
    }
}

impl From<vdom_client::Error> for Error {
    fn from(error: vdom_client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<vdom_core::Error> for Error {
    fn from(error: vdom_core::Error) -> Self {
        Self::Core(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(formatter, "{error}"),
            Self::Core(error) => formatter.write_str(&error.message),
            Self::Local { message, .. } => formatter.write_str(message),
            Self::FileTooLarge { size_bytes } => {
                write!(formatter, "it has {size_bytes} bytes, more than a node holds")
            }
            Self::Observer(error) => write!(formatter, "cannot report: {error}"),
        }
    }
}

impl std::error::Error for Error {}
