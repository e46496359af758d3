//! A request whose head has passed the layers that every request passes.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderValue};
use vdom_core::Result;

use super::request_id::REQUEST_ID;
use crate::caller::Caller;
use crate::token::VerifiedToken;

/// What the layers say of a request, before anyone answers it.
#[derive(Clone, Debug)]
pub struct Entered {
    /// On every log line of the request, and in its answer.
    pub request_id: Arc<str>,
    /// Who calls, or why that is not known.
    pub token: Result<Arc<VerifiedToken>>,
    /// When the caller stops waiting, or why that cannot be read; `None` where it does not say.
    pub deadline: Result<Option<Instant>>,
    /// When its head was read.
    pub started: Instant,
    /// The same, by the time of day.
    pub received_at: SystemTime,
}

impl Entered {
    /// Who calls, for the adapters.
    ///
    /// # Errors
    /// Why that is not known, or by when is not.
    pub fn caller(&self) -> Result<Caller> {
        let token = self.token.as_ref().map_err(Clone::clone)?;
        let deadline = self.deadline.clone()?;
        let identity = &token.identity;
        Ok(Caller {
            subject: Arc::clone(&identity.subject),
            realm: identity.realm.clone(),
            scopes: identity.scopes,
            deadline,
            expires_at: identity.expires_at,
            received_at: self.received_at,
            request_id: Arc::clone(&self.request_id),
            bearer: token.bearer.clone(),
        })
    }

    /// Puts the request's id into the head of its answer.
    pub fn name_in(&self, headers: &mut HeaderMap) {
        if let Ok(mut value) = HeaderValue::from_str(&self.request_id) {
            // No two are the same: an entry in the peer's table would be of no use.
            value.set_sensitive(true);
            headers.insert(REQUEST_ID, value);
        }
    }
}
