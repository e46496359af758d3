//! Who the sidecar is to the gateway: a token from a file that may be replaced
//! at any time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use vdom_core::limits::TOKEN_MAX_BYTES;
use vdom_core::{Error, Result};

/// How often the file is read again.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(10);

/// The sidecar's own identity. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OwnIdentity {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// None: nothing can be read on the sidecar's own account.
    Nobody,
    /// The gateway takes callers without a token.
    Anonymous,
    Token {
        file: PathBuf,
        token: Arc<RwLock<Arc<str>>>,
    },
}

impl OwnIdentity {
    /// No identity of its own.
    pub(crate) fn nobody() -> Self {
        Self { kind: Kind::Nobody }
    }

    /// For a gateway in dev mode.
    pub(crate) fn anonymous() -> Self {
        Self { kind: Kind::Anonymous }
    }

    /// The token in a file.
    pub(crate) fn from_file(file: &Path) -> Result<Self> {
        let token = Arc::new(RwLock::new(read_token(file)?));
        Ok(Self { kind: Kind::Token { file: file.to_owned(), token } })
    }

    /// Whether anything can be read on the sidecar's own account.
    pub(crate) fn exists(&self) -> bool {
        !matches!(self.kind, Kind::Nobody)
    }

    pub(crate) fn token(&self) -> Option<Arc<str>> {
        match &self.kind {
            Kind::Nobody | Kind::Anonymous => None,
            Kind::Token { token, .. } => Some(Arc::clone(&token.read())),
        }
    }

    /// Reads the file again; the last good token stays where that fails.
    pub(crate) async fn read_again(&self) {
        let Kind::Token { file, token } = &self.kind else { return };
        let path = file.clone();
        let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
        match read.unwrap_or_else(|error| Err(Error::internal(error))) {
            Ok(fresh) => *token.write() = fresh,
            Err(error) => {
                tracing::warn!(context = error.context, "the last good token stays: {error}");
            }
        }
    }

    /// Reads the file again and again until the end.
    pub(crate) async fn keep_fresh(self, end: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(READ_AGAIN_EVERY) => self.read_again().await,
            };
        }
    }
}

impl fmt::Debug for OwnIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            Kind::Nobody => "Nobody",
            Kind::Anonymous => "Anonymous",
            Kind::Token { .. } => "Token",
        })
    }
}

fn read_token(file: &Path) -> Result<Arc<str>> {
    let refused =
        |why: String| Error::invalid(format!("upstream.token_file `{}` {why}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|error| refused(format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty()
        || token.len() > TOKEN_MAX_BYTES
        || !token.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(refused(format!(
            "must hold one token of at most {TOKEN_MAX_BYTES} bytes and nothing else"
        )));
    }
    Ok(token.into())
}
