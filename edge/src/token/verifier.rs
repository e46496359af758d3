//! Checks a token: its signature under a key whose algorithm is pinned, then
//! its claims.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use vdom_core::limits::TOKEN_MAX_BYTES;
use vdom_core::{Error, Result};

use super::claims::{Claims, Verified};
use super::fetch::JwksUrl;
use super::identity::{Identity, refused};
use super::keys::KeySet;

/// How many good tokens are remembered.
const REMEMBERED_TOKENS_MAX: usize = 256;
/// How long to wait after a failed fetch of keys, and at least between two
/// fetches for the sake of an unknown key id.
const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What a token must say, and with which keys it may be signed.
#[derive(Clone, Debug, Default)]
pub struct TokenSettings {
    /// What claim `iss` must be, byte for byte.
    pub issuer: String,
    /// What `aud` must be or hold.
    pub audience: String,
    /// Public keys (PEM: Ed25519 or RSA) and secrets (any other file: HS256).
    pub key_files: Vec<PathBuf>,
    /// A JWK set in a file.
    pub jwks_file: Option<PathBuf>,
    /// A JWK set behind a URL: https, or http on the loopback interface.
    pub jwks_url: Option<String>,
    /// How often the URL is fetched; zero is every 5 minutes.
    pub jwks_refresh: Duration,
    /// Whether a request without a token is anonymous with every right.
    pub anonymous: bool,
}

/// Checks tokens. Clones share keys.
#[derive(Clone)]
pub struct TokenVerifier {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    issuer: String,
    audience: String,
    anonymous: bool,
    /// From files; they do not change.
    own_keys: KeySet,
    /// From the URL; the last good ones.
    fetched_keys: RwLock<Option<KeySet>>,
    jwks_url: Option<JwksUrl>,
    fetch_wanted: Arc<Notify>,
    refreshing: RwLock<Option<AbortOnDropHandle<()>>>,
    /// Tokens that are good under the present keys, but for their times.
    remembered: RwLock<HashMap<Box<str>, Arc<Verified>>>,
}

impl TokenVerifier {
    /// Reads the keys. Where the URL does not answer now, tokens are refused as
    /// `Unavailable` until it does. Refuses settings that name no key, or
    /// neither issuer nor audience. Runs within tokio.
    pub async fn load(settings: TokenSettings) -> Result<Self> {
        let mut own_keys = KeySet::default();
        for path in &settings.key_files {
            own_keys.add_key_file(path)?;
        }
        if let Some(path) = &settings.jwks_file {
            own_keys.add_jwks_file(path)?;
        }
        let jwks_url = settings.jwks_url.as_deref().map(JwksUrl::new).transpose()?;
        if own_keys.is_empty() && jwks_url.is_none() && !settings.anonymous {
            return Err(Error::invalid(
                "no key to check tokens with: name a key file, a JWKS file or a JWKS URL, or \
                 start in dev mode",
            ));
        }
        let has_keys = !own_keys.is_empty() || jwks_url.is_some();
        if has_keys && (settings.issuer.is_empty() || settings.audience.is_empty()) {
            return Err(Error::invalid(
                "tokens are checked against an issuer and an audience: name both",
            ));
        }
        let inner = Inner {
            issuer: settings.issuer,
            audience: settings.audience,
            anonymous: settings.anonymous,
            own_keys,
            jwks_url,
            ..Inner::default()
        };
        let check = Self { inner: Arc::new(inner) };
        if check.inner.jwks_url.is_some() {
            let every = match settings.jwks_refresh {
                Duration::ZERO => Duration::from_secs(300),
                every => every,
            };
            let fetched = check.refresh().await.is_ok();
            let wanted = Arc::clone(&check.inner.fetch_wanted);
            let task = refresh_again(Arc::downgrade(&check.inner), wanted, every, fetched);
            *check.inner.refreshing.write() = Some(AbortOnDropHandle::new(tokio::spawn(task)));
        }
        Ok(check)
    }

    /// Dev mode: everyone is anonymous and has every right.
    pub fn anonymous() -> Self {
        Self { inner: Arc::new(Inner { anonymous: true, ..Inner::default() }) }
    }

    /// Who the token speaks for at `now`; `Unauthenticated` says which check
    /// failed, and never repeats the token.
    pub fn check(&self, token: Option<&str>, now: SystemTime) -> Result<Identity> {
        let Some(token) = token else {
            return if self.inner.anonymous {
                Ok(Identity::anonymous())
            } else {
                Err(refused("no token: send `authorization: Bearer <token>`"))
            };
        };
        if !self.has_keys() {
            return Ok(Identity::anonymous());
        }
        if token.len() > TOKEN_MAX_BYTES {
            return Err(refused(format!(
                "the token has {} bytes, at most {TOKEN_MAX_BYTES} are allowed",
                token.len()
            )));
        }
        let remembered = self.inner.remembered.read().get(token).cloned();
        let verified = match remembered {
            Some(verified) => verified,
            None => self.verify(token)?,
        };
        verified.identity_at(now)
    }

    /// Fetches the keys of the URL; on failure the last good ones stay.
    pub(super) async fn refresh(&self) -> Result<()> {
        let Some(url) = &self.inner.jwks_url else { return Ok(()) };
        let fetched = match url.fetch().await {
            Ok(body) => KeySet::from_fetched_jwks(&body),
            Err(error) => Err(error),
        };
        match fetched {
            Ok(keys) => {
                *self.inner.fetched_keys.write() = Some(keys);
                // A key that is gone must not live on in what is remembered.
                self.inner.remembered.write().clear();
                Ok(())
            }
            Err(error) => {
                let context = error.context.as_deref();
                tracing::warn!(context, "keys not refreshed, the last good ones stay: {error}");
                Err(error)
            }
        }
    }

    fn has_keys(&self) -> bool {
        !self.inner.own_keys.is_empty() || self.inner.jwks_url.is_some()
    }

    /// Checks all but the times, and remembers what is good.
    fn verify(&self, token: &str) -> Result<Arc<Verified>> {
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        let header: Header = decode_json(header).ok_or_else(malformed)?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(refused("the token is unsigned (algorithm `none`)"));
        }
        if header.crit.is_some() {
            return Err(refused("the token has critical header fields, which are not supported"));
        }
        self.verify_signature(&header, message, signature)?;
        let claims: Claims = decode_json(payload)
            .ok_or_else(|| refused("the token's claims are not the JSON object of a JWT"))?;
        let verified = Arc::new(claims.verify(&self.inner.issuer, &self.inner.audience)?);
        let mut remembered = self.inner.remembered.write();
        if remembered.len() >= REMEMBERED_TOKENS_MAX {
            remembered.clear();
        }
        remembered.insert(token.into(), Arc::clone(&verified));
        Ok(verified)
    }

    fn verify_signature(&self, header: &Header, message: &str, signature: &str) -> Result<()> {
        let fetched = self.inner.fetched_keys.read();
        let keys = || self.inner.own_keys.iter().chain(fetched.iter().flat_map(KeySet::iter));
        // A key without an id stands for every id.
        let candidates: Vec<_> = keys()
            .filter(|key| header.kid.is_none() || key.id.is_none() || key.id == header.kid)
            .collect();
        let mut of_algorithm =
            candidates.iter().filter(|key| key.algorithm_name() == header.alg).peekable();
        let has_algorithm = of_algorithm.peek().is_some();
        if of_algorithm.any(|key| key.verifies(message, signature)) {
            return Ok(());
        }
        let is_named = header.kid.is_some() && candidates.iter().any(|key| key.id == header.kid);
        // Its key may be one that was published since.
        if !is_named && self.inner.jwks_url.is_some() {
            self.inner.fetch_wanted.notify_one();
            if fetched.is_none() {
                return Err(Error::unavailable(
                    "the keys that check tokens could not be fetched yet: try again",
                )
                .retry_after(FETCH_AGAIN_AFTER));
            }
        }
        match &header.kid {
            Some(key_id) if !is_named && keys().any(|key| key.id.is_some()) => {
                Err(refused(format!("the token names an unknown key (`kid` {key_id:?})")))
            }
            _ if has_algorithm => Err(refused("the token's signature is wrong")),
            _ => Err(refused(format!(
                "the token is signed with {:?}, which is not the algorithm of its key",
                header.alg
            ))),
        }
    }
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenVerifier")
            .field("issuer", &self.inner.issuer)
            .field("audience", &self.inner.audience)
            .field("anonymous", &self.inner.anonymous)
            .finish_non_exhaustive()
    }
}

/// Fetches the keys now and then, and for the sake of an unknown key id.
async fn refresh_again(
    check: Weak<Inner>,
    wanted: Arc<Notify>,
    every: Duration,
    mut fetched: bool,
) {
    loop {
        let pause = if fetched { every } else { FETCH_AGAIN_AFTER };
        let least = FETCH_AGAIN_AFTER.min(pause);
        tokio::time::sleep(least).await;
        // That nobody wishes for it is the usual case.
        let _ = tokio::time::timeout(pause.saturating_sub(least), wanted.notified()).await;
        let Some(inner) = check.upgrade() else { return };
        fetched = TokenVerifier { inner }.refresh().await.is_ok();
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

fn decode_json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    // Of bytes, `serde_json` would not look at the text of members that it skips.
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    serde_json::from_str(&json).ok()
}

fn malformed() -> Error {
    refused("the token is not a signed JWT: three base64url parts joined by dots")
}

#[cfg(test)]
mod tests;
