//! Who calls: made once per request from its token, headers and deadline.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::Extensions;
use vdom_core::{Error, ErrorCode, RealmName, Result};

/// A right that a token carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `dom.read`: read and watch.
    Read,
    /// `dom.write`: write diffs.
    Write,
    /// `dom.author`: write in another's name.
    Author,
    /// `dom.admin`: branches, quotas, retention.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Author, Self::Admin];

    /// The scope's name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "dom.read",
            Self::Write => "dom.write",
            Self::Author => "dom.author",
            Self::Admin => "dom.admin",
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Scopes by their names, separated by spaces; unknown ones are left out.
    pub fn parse(names: &str) -> Self {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.name() == name))
            .collect()
    }

    /// Whether the set has this scope.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::name);
        formatter.debug_set().entries(names).finish()
    }
}

/// Who calls, for how long, and under which request id.
#[derive(Clone)]
pub struct Caller {
    /// The token's subject; `anonymous` in dev mode without a token.
    pub subject: Arc<str>,
    /// The tenant of the token; `None` in dev mode: any.
    pub realm: Option<RealmName>,
    /// The token's rights.
    pub scopes: Scopes,
    /// When the caller stops waiting; `None` of a stream without one.
    pub deadline: Option<Instant>,
    /// When the token ends.
    pub expires_at: Option<SystemTime>,
    /// On every log line of the request.
    pub request_id: Arc<str>,
    /// The token itself, for a sidecar that forwards; never logged.
    pub bearer: Option<Arc<str>>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Caller")
            .field("subject", &self.subject)
            .field("realm", &self.realm)
            .field("scopes", &self.scopes)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// Who calls, or why that is not known: put into a request's extensions before
/// any adapter sees it, so that each refuses in its own protocol.
#[derive(Clone, Debug)]
pub struct CheckedCaller(pub Result<Caller>);

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Who calls; `Unauthenticated` for nobody.
pub fn of(extensions: &Extensions) -> Result<Caller> {
    match extensions.get::<CheckedCaller>() {
        Some(CheckedCaller(checked)) => checked.clone(),
        None => Err(Error::new(
            ErrorCode::Unauthenticated,
            "no token: send `authorization: Bearer <token>`",
        )),
    }
}

/// The id of the request; empty where none was given to it.
pub fn request_id(extensions: &Extensions) -> Arc<str> {
    extensions.get::<RequestId>().map_or_else(|| Arc::from(""), |id| Arc::clone(&id.0))
}
