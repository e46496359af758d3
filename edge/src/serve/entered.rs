//! A request whose head has passed the layers that every request passes.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderValue};
use vdom_core::Result;

use super::request_id::{REQUEST_ID, RequestId};
use crate::caller::Caller;
use crate::token::VerifiedToken;

/// What the layers say of a request, before anyone answers it.
#[derive(Clone, Debug)]
pub struct Entered {
    pub(super) request_id: RequestId,
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
    /// On every log line of the request, and in its answer.
    pub fn request_id(&self) -> &Arc<str> {
        self.request_id.text()
    }

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
            request_id: Arc::clone(self.request_id()),
            bearer: token.bearer.clone(),
        })
    }

    /// Puts the request's id into the head of its answer.
    pub fn name_in(&self, headers: &mut HeaderMap) {
        if let Ok(mut value) = HeaderValue::from_str(self.request_id()) {
            // No two are the same: an entry in the peer's table would be of no use.
            value.set_sensitive(true);
            headers.insert(REQUEST_ID.clone(), value);
        }
    }

    /// The same, where the caller brought the id or a log line has it: one that nobody has
    /// seen helps nobody, and costs a tenth of an answer from memory.
    pub fn name_if_seen_in(&self, headers: &mut HeaderMap) {
        if self.request_id.is_seen() {
            self.name_in(headers);
        }
    }
}
