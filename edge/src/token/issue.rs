//! Mints tokens, for a machine without an issuer of its own, and makes the keys
//! for it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use vdom_core::clock::check_actor;
use vdom_core::{Error, RealmName, Result};

use super::claims::{Claims, LAST_SECOND, OneOrMany};
use super::keys::{bad_file, is_pem, read_key_file, secret};
use vdom_core::access::Scopes;

/// What a token shall say.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Claim `sub`: whom the token speaks for.
    pub subject: String,
    /// In which realm; `None`: `default`.
    pub realm: Option<RealmName>,
    /// Claim `scope`: what it allows.
    pub scopes: Scopes,
    /// How long after now `exp` is.
    pub lifetime: Duration,
}

/// Mints tokens with a secret or an Ed25519 private key.
pub struct TokenIssuer {
    key: EncodingKey,
    algorithm: Algorithm,
    issuer: String,
    audience: String,
}

impl TokenIssuer {
    /// Takes an Ed25519 private key (PEM) or a secret (any other file).
    pub fn from_file(
        path: &Path,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Result<Self> {
        let bytes = read_key_file(path)?;
        let (algorithm, key) = if is_pem(&bytes) {
            let key = EncodingKey::from_ed_pem(&bytes)
                .map_err(|_| bad_file(path, "holds no Ed25519 private key in PEM"))?;
            (Algorithm::EdDSA, key)
        } else {
            (Algorithm::HS256, EncodingKey::from_secret(secret(path, &bytes)?))
        };
        Ok(Self { key, algorithm, issuer: issuer.into(), audience: audience.into() })
    }

    /// A token that says what is granted, from `now` on.
    ///
    /// # Errors
    /// `InvalidArgument` for a subject that is none, and an end after the year 9999.
    pub fn mint(&self, grant: &Grant, now: SystemTime) -> Result<String> {
        check_actor(&grant.subject)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let end = now.saturating_add(grant.lifetime.as_secs());
        if end > LAST_SECOND {
            return Err(Error::invalid(
                "the token would end after the year 9999, which no date can say: give it a \
                 shorter life",
            ));
        }
        let scopes =
            vdom_core::access::Scope::ALL.into_iter().filter(|scope| grant.scopes.has(*scope));
        let claims = Claims {
            sub: Some(grant.subject.clone()),
            iss: Some(self.issuer.clone()),
            aud: Some(OneOrMany::One(self.audience.clone())),
            exp: Some(end.into()),
            nbf: Some(now.into()),
            iat: Some(now.into()),
            scope: Some(scopes.map(vdom_core::access::Scope::name).collect::<Vec<_>>().join(" ")),
            scp: None,
            realm: grant.realm.as_ref().map(RealmName::to_string),
        };
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.key)
            .map_err(|error| Error::internal(format_args!("a token cannot be signed: {error}")))
    }
}

/// Writes a new secret for HS256, readable by the owner alone. A file that is
/// there already is left alone and refused.
pub fn generate_secret_file(path: &Path) -> Result<()> {
    let mut random = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| no_randomness())?;
    let digits = vdom_core::Hash(random);
    write_new(path, 0o600, &format!("{digits}\n"))
}

/// Writes a new Ed25519 key pair in PEM; the private key is readable by the
/// owner alone. Files that are there already are left alone and refused.
pub fn generate_key_pair(private: &Path, public: &Path) -> Result<()> {
    let pair = Ed25519KeyPair::generate().map_err(|_| no_randomness())?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(Error::internal)?;
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(Error::internal)?;
    write_new(private, 0o600, &pem("PRIVATE KEY", pkcs8.as_ref()))?;
    write_new(public, 0o644, &pem("PUBLIC KEY", spki.as_ref()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| bad_file(path, &format!("cannot be written: {error}")))
}

fn no_randomness() -> Error {
    Error::internal("the system gives no randomness")
}
