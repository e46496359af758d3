//! Who calls: made once per request from its token, headers and deadline.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::Extensions;
use vdom_core::access::{Grant, Scopes};
use vdom_core::{Error, ErrorCode, RealmName, Result};

/// Who calls, for how long, and under which request id.
#[derive(Clone)]
pub struct Caller {
    /// The token's subject; `anonymous` in dev mode without a token.
    pub subject: Arc<str>,
    /// The tenant of the token; `None` in dev mode: any.
    pub realm: Option<RealmName>,
    /// What the token allows, before any policy is asked.
    pub scopes: Scopes,
    /// When the caller stops waiting; `None` of a stream without one.
    pub deadline: Option<Instant>,
    /// From when on the token is refused, leeway included; streams end then. `None`: never.
    pub expires_at: Option<SystemTime>,
    /// The time of day when the request came.
    pub received_at: SystemTime,
    /// On every log line of the request.
    pub request_id: Arc<str>,
    /// The token itself, for a sidecar that forwards; never logged.
    pub bearer: Option<Arc<str>>,
}

impl Caller {
    /// What the token permits, for [`vdom_core::access::decide`].
    pub fn grant(&self) -> Grant<'_> {
        Grant { realm: self.realm.as_ref(), scopes: self.scopes }
    }
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
