//! Who a token speaks for.

use std::sync::Arc;
use std::time::SystemTime;

use vdom_core::access::{Grant, Scopes};
use vdom_core::{Error, ErrorCode, RealmName};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Claim `sub`: who calls.
    pub subject: Arc<str>,
    /// Claim `realm`, else `default`; `None` of the anonymous one: any.
    pub realm: Option<RealmName>,
    /// Claims `scope` and `scp`, together.
    pub scopes: Scopes,
    /// From when on the token is refused: claim `exp` and the leeway, for calls and streams
    /// alike; `None`: it does not end.
    pub expires_at: Option<SystemTime>,
}

impl Identity {
    /// What the token permits, for [`vdom_core::access::decide`].
    pub fn grant(&self) -> Grant<'_> {
        Grant { realm: self.realm.as_ref(), scopes: self.scopes }
    }

    /// Whether the token has ended.
    pub(super) fn has_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whoever brings no token in dev mode.
    pub fn anonymous() -> Self {
        Self {
            subject: Arc::from("anonymous"),
            realm: None,
            scopes: Scopes::all(),
            expires_at: None,
        }
    }
}

/// The refusal of a token, which says what is wrong with it.
pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}
