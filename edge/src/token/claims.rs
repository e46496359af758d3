//! The claims of a token, and their checks.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use vdom_core::access::Scopes;
use vdom_core::clock::check_actor;
use vdom_core::limits::TOKEN_LEEWAY;
use vdom_core::{RealmName, Result};

use super::identity::{Identity, refused};

/// The end of the year 9999 in seconds since the Unix epoch: what lies beyond is no date.
pub(super) const LAST_SECOND: u64 = vdom_core::time::MAX_MS.cast_unsigned() / 1_000;

/// What a token says; which of it is missing, its check tells.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scp: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) realm: Option<String>,
}

/// A text, or an array of texts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// What a token says once all but its times is checked.
pub(super) struct Verified {
    identity: Identity,
    expires_at: SystemTime,
    not_before: Option<SystemTime>,
    issued_at: Option<SystemTime>,
}

impl Claims {
    /// Checks all but the times.
    pub(super) fn verify(&self, issuer: &str, audience: &str) -> Result<Verified> {
        match self.iss.as_deref() {
            Some(iss) if iss == issuer => {}
            Some(iss) => {
                return Err(refused(format!(
                    "the token has the wrong issuer: `iss` is {iss:?}, not {issuer:?}"
                )));
            }
            None => return Err(missing("iss")),
        }
        let audiences = self.aud.as_ref().ok_or_else(|| missing("aud"))?.as_slice();
        if !audiences.iter().any(|aud| aud == audience) {
            return Err(refused(format!(
                "the token has the wrong audience: `aud` is {audiences:?}, not {audience:?}"
            )));
        }
        let subject = self.sub.as_deref().ok_or_else(|| missing("sub"))?;
        check_actor(subject).map_err(|error| {
            refused(format!("the token's `sub` is no subject: {}", error.message))
        })?;
        let realm = RealmName::parse(self.realm.as_deref().unwrap_or(RealmName::DEFAULT))
            .map_err(|error| refused(format!("the token's `realm` is none: {}", error.message)))?;
        let names =
            [self.scope.as_slice(), self.scp.as_ref().map(OneOrMany::as_slice).unwrap_or_default()]
                .concat()
                .join(" ");
        let expires_at = time("exp", self.exp.as_ref())?.ok_or_else(|| missing("exp"))?;
        Ok(Verified {
            identity: Identity {
                subject: Arc::from(subject),
                realm: Some(realm),
                scopes: Scopes::parse(&names),
                expires_at: Some(expires_at + TOKEN_LEEWAY),
            },
            expires_at,
            not_before: time("nbf", self.nbf.as_ref())?,
            issued_at: time("iat", self.iat.as_ref())?,
        })
    }
}

impl Verified {
    /// Who the token speaks for, where its times are right at `now`.
    pub(super) fn identity_at(&self, now: SystemTime) -> Result<Identity> {
        if self.identity.has_expired(now) {
            return Err(refused(format!("the token expired at {}", text(self.expires_at))));
        }
        let latest = now + TOKEN_LEEWAY;
        if let Some(not_before) = self.not_before.filter(|not_before| *not_before > latest) {
            return Err(refused(format!("the token is not valid before {}", text(not_before))));
        }
        if let Some(issued_at) = self.issued_at.filter(|issued_at| *issued_at > latest) {
            return Err(refused(format!(
                "the token says that it was issued in the future, at {}",
                text(issued_at)
            )));
        }
        Ok(self.identity.clone())
    }
}

fn missing(claim: &str) -> vdom_core::Error {
    refused(format!("the token lacks the claim `{claim}`"))
}

/// A `NumericDate`: seconds since the Unix epoch, perhaps with a fraction.
fn time(claim: &str, number: Option<&serde_json::Number>) -> Result<Option<SystemTime>> {
    let Some(number) = number else { return Ok(None) };
    let seconds = number
        .as_f64()
        .filter(|seconds| (0.0..=LAST_SECOND as f64).contains(seconds))
        .ok_or_else(|| refused(format!("the token's `{claim}` is no time: {number}")))?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

fn text(time: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(time)
}
