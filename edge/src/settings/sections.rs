//! The sections that every program of ours has: tokens and log lines.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use vdom_core::Result;

use crate::token::{TokenSettings, TokenVerifier};

/// Section `auth`: what a token must say, and where its keys are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// What claim `iss` must be, byte for byte.
    pub issuer: String,
    /// What `aud` must be or hold.
    pub audience: String,
    /// Public keys (PEM) and HS256 secrets (any other file).
    pub key_files: Vec<PathBuf>,
    /// A JWK set in a file.
    pub jwks_file: Option<PathBuf>,
    /// A JWK set behind a URL.
    pub jwks_url: Option<String>,
    /// How often the URL is fetched, in seconds.
    pub jwks_refresh_seconds: u64,
}

/// Section `log`: which lines are written, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `human` for terminals, `json` for collectors.
    pub format: String,
    /// A level or directives, such as `info,vdom=debug`.
    pub filter: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: "vdom".to_owned(),
            audience: "vdom".to_owned(),
            key_files: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            jwks_refresh_seconds: 300,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: "human".to_owned(), filter: "info".to_owned() }
    }
}

impl AuthConfig {
    /// Reads the keys; in dev mode a caller without a token is anonymous with
    /// every right, which is said loudly. As [`TokenVerifier::load`].
    pub async fn load(self, dev: bool) -> Result<TokenVerifier> {
        if dev {
            tracing::warn!("DEV MODE: every caller is anonymous and may do everything");
        }
        TokenVerifier::load(TokenSettings {
            issuer: self.issuer,
            audience: self.audience,
            key_files: self.key_files,
            jwks_file: self.jwks_file,
            jwks_url: self.jwks_url,
            jwks_refresh: Duration::from_secs(self.jwks_refresh_seconds),
            anonymous: dev,
        })
        .await
    }
}
