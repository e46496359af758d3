//! Tokens that were verified a moment ago: a caller that asks often is verified twice a
//! second, not at every request.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use vdom_core::{Error, ErrorCode, Result};

use super::identity::Identity;
use super::verifier::TokenVerifier;

/// How long a verified token counts as verified: a right that was taken away ends within
/// a second.
const VERIFIED_FOR: Duration = Duration::from_millis(500);
/// How many callers are remembered.
const CALLERS_MAX: usize = 32;

/// Verifies the `authorization` header of requests.
pub struct CachingVerifier {
    verifier: TokenVerifier,
    recent: Mutex<Vec<Recent>>,
}

/// A token that was good, or none where none is needed.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Who the token speaks for, and with which rights.
    pub identity: Identity,
    /// The token itself, for a sidecar that forwards; never logged.
    pub bearer: Option<Arc<str>>,
}

struct Recent {
    authorization: Option<HeaderValue>,
    token: Arc<VerifiedToken>,
    verified_at: Instant,
}

impl CachingVerifier {
    /// A verifier that remembers nobody yet.
    pub fn new(verifier: TokenVerifier) -> Self {
        Self { verifier, recent: Mutex::default() }
    }

    /// Who a request with these headers speaks for. `now` is the time of day, `instant`
    /// the same moment on a clock that never goes back.
    ///
    /// # Errors
    /// `Unauthenticated` says what is wrong with the header or the token; `Unavailable`
    /// where the keys could not be fetched yet.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
        instant: Instant,
    ) -> Result<Arc<VerifiedToken>> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let authorization = values.next();
        if values.next().is_some() {
            return Err(refused("there are several authorization headers: send one"));
        }
        if let Some(token) = self.recent(authorization, now, instant) {
            return Ok(token);
        }
        let bearer = authorization.map(bearer).transpose()?;
        let identity = self.verifier.check(bearer, now)?;
        let token = Arc::new(VerifiedToken { identity, bearer: bearer.map(Arc::from) });
        let mut recent = self.recent.lock();
        recent.retain(|known| known.authorization.as_ref() != authorization);
        if recent.len() == CALLERS_MAX {
            recent.clear();
        }
        recent.push(Recent {
            authorization: authorization.cloned(),
            token: Arc::clone(&token),
            verified_at: instant,
        });
        Ok(token)
    }

    fn recent(
        &self,
        authorization: Option<&HeaderValue>,
        now: SystemTime,
        instant: Instant,
    ) -> Option<Arc<VerifiedToken>> {
        let recent = self.recent.lock();
        let known = recent.iter().find(|known| known.authorization.as_ref() == authorization)?;
        let is_fresh = instant.saturating_duration_since(known.verified_at) < VERIFIED_FOR;
        let holds = !known.token.identity.has_expired(now);
        (is_fresh && holds).then(|| Arc::clone(&known.token))
    }
}

impl std::fmt::Debug for CachingVerifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("CachingVerifier").field(&self.verifier).finish()
    }
}

/// The token of an `authorization` header.
fn bearer(authorization: &HeaderValue) -> Result<&str> {
    let text = authorization
        .to_str()
        .map_err(|_| refused("the authorization header is not ASCII text"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_ascii()),
        _ => Err(refused("the authorization header is not `Bearer <token>`")),
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, why)
}

#[cfg(test)]
mod tests;
