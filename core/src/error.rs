//! The closed list of error codes, and the error that every call answers with.

use std::fmt;
use std::time::Duration;

/// A result of the domain.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as a client may act upon it. Transports map it once, in
/// `vdom-edge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request is wrong whatever the state: do not repeat it.
    InvalidArgument,
    /// No valid token.
    Unauthenticated,
    /// A valid token without the right.
    PermissionDenied,
    /// Realm, repo, branch, node or revision does not exist.
    NotFound,
    /// What should be created exists.
    AlreadyExists,
    /// Two writers disagree; in gRPC an answer, not an error.
    Conflict,
    /// The state does not allow it: read again, then decide.
    FailedPrecondition,
    /// The resume point belongs to an earlier incarnation of the log.
    EpochChanged,
    /// Above a limit.
    TooLarge,
    /// A quota or a queue is full: try later.
    Exhausted,
    /// The subscriber was too slow: resume from the named revision.
    Lagged,
    /// The revision is no longer kept.
    Compacted,
    /// Try again later.
    Unavailable,
    /// The caller's deadline has passed.
    DeadlineExceeded,
    /// Not a call of this server.
    Unimplemented,
    /// A fault of ours.
    Internal,
    /// Stored bytes are damaged.
    DataLoss,
}

impl ErrorCode {
    /// The code's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::Unauthenticated => "Unauthenticated",
            Self::PermissionDenied => "PermissionDenied",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::EpochChanged => "EpochChanged",
            Self::TooLarge => "TooLarge",
            Self::Exhausted => "Exhausted",
            Self::Lagged => "Lagged",
            Self::Compacted => "Compacted",
            Self::Unavailable => "Unavailable",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::DataLoss => "DataLoss",
        }
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::FailedPrecondition,
        Self::EpochChanged,
        Self::TooLarge,
        Self::Exhausted,
        Self::Lagged,
        Self::Compacted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Unimplemented,
        Self::Internal,
        Self::DataLoss,
    ];
}

/// Why a call was refused. `message` is for the client; `context` for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do: a client may read it.
    pub message: String,
    /// What the request was about, such as `default/vdom/main:src/lib.rs`.
    pub resource: Option<String>,
    /// The branch's epoch, where it explains the refusal.
    pub epoch: Option<u64>,
    /// The branch's revision, or the one to resume from.
    pub revision: Option<u64>,
    /// The oldest revision that is kept.
    pub oldest_revision: Option<u64>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The rule that denied.
    pub rule: Option<String>,
    /// For operators only; never sent to a client.
    pub context: Option<String>,
}

impl Error {
    /// An error with this code and public message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            resource: None,
            epoch: None,
            revision: None,
            oldest_revision: None,
            retry_after: None,
            rule: None,
            context: None,
        }
    }

    /// The request is wrong whatever the state.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// Something does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// Try again later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// Above a limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TooLarge, message)
    }

    /// A fault of ours: the client learns only that; `context` goes to the log.
    pub fn internal(context: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::Internal,
            "internal error: the request id finds it in the server's log",
        )
        .context(context)
    }

    /// A call that this server does not have.
    pub fn unimplemented(call: &str) -> Self {
        Self::new(ErrorCode::Unimplemented, format!("{call} is not offered by this server"))
    }

    /// Names what the request was about.
    #[must_use]
    pub fn resource(mut self, resource: impl fmt::Display) -> Self {
        self.resource = Some(resource.to_string());
        self
    }

    /// Names the epoch and revision that explain the refusal.
    #[must_use]
    pub fn at(mut self, epoch: u64, revision: u64) -> Self {
        self.epoch = Some(epoch);
        self.revision = Some(revision);
        self
    }

    /// Names the oldest revision that is kept.
    #[must_use]
    pub fn oldest_revision(mut self, revision: u64) -> Self {
        self.oldest_revision = Some(revision);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Names the rule that denied.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds what only operators may read.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.context = Some(context.to_string());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Error {}
