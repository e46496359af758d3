//! Keys that tokens are checked with. Each has one algorithm, whatever a token
//! says.

use std::io::Read;
use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use vdom_core::{Error, Result};

/// The largest key file and JWK set.
pub(super) const KEYS_MAX_BYTES: usize = 256 << 10;
/// The most keys of a JWK set.
const KEYS_MAX: usize = 100;
/// The shortest secret: as long as the hash that it keys (RFC 7518, 3.2).
pub(super) const SECRET_MIN_BYTES: usize = 32;

/// A key and its one algorithm.
pub(super) struct Key {
    pub(super) id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

impl Key {
    /// The algorithm as a token's header names it.
    pub(super) fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::RS256 => "RS256",
            _ => "HS256",
        }
    }

    /// Whether the signature is this key's.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, self.algorithm)
            .unwrap_or(false)
    }
}

/// Keys by no order.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.0.iter()
    }

    /// Adds the public key of a PEM file, or the secret of any other file.
    pub(super) fn add_key_file(&mut self, path: &Path) -> Result<()> {
        let bytes = read_key_file(path)?;
        let (algorithm, decoding) = if is_pem(&bytes) {
            if bytes.windows(12).any(|window| window == b" PRIVATE KEY") {
                return Err(bad_file(path, "holds a private key: tokens are checked with public"));
            }
            public_key(&bytes)
                .ok_or_else(|| bad_file(path, "holds no Ed25519 or RSA public key in PEM"))?
        } else {
            (Algorithm::HS256, DecodingKey::from_secret(secret(path, &bytes)?))
        };
        self.0.push(Key { id: None, algorithm, decoding });
        Ok(())
    }

    /// Adds the keys of a JWK set in a file, secrets included.
    pub(super) fn add_jwks_file(&mut self, path: &Path) -> Result<()> {
        let keys = parse_jwks(&read_key_file(path)?, true)
            .map_err(|error| bad_file(path, &error.message))?;
        self.0.extend(keys);
        Ok(())
    }

    /// The public keys of a JWK set that was fetched; a secret that everyone
    /// can fetch is none.
    pub(super) fn from_fetched_jwks(body: &[u8]) -> Result<Self> {
        parse_jwks(body, false).map(Self)
    }
}

/// The secret in a file: its bytes without the line end.
pub(super) fn secret<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let secret = bytes.trim_ascii_end();
    if secret.len() < SECRET_MIN_BYTES {
        return Err(bad_file(
            path,
            &format!("holds a secret of {} bytes, needs {SECRET_MIN_BYTES}", secret.len()),
        ));
    }
    Ok(secret)
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// Reads a file of at most 256 KiB.
pub(super) fn read_key_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(KEYS_MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| bad_file(path, &format!("cannot be read: {error}")))?;
    if bytes.len() > KEYS_MAX_BYTES {
        return Err(bad_file(path, &format!("is larger than {KEYS_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

pub(super) fn bad_file(path: &Path, why: &str) -> Error {
    Error::invalid(format!("key file {} {why}", path.display()))
}

fn public_key(pem: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Some((Algorithm::EdDSA, key));
    }
    DecodingKey::from_rsa_pem(pem).ok().map(|key| (Algorithm::RS256, key))
}

fn parse_jwks(json: &[u8], with_secrets: bool) -> Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct JwkSet {
        keys: Vec<serde_json::Value>,
    }
    let set: JwkSet = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("is no JWK set: {error}")))?;
    if set.keys.len() > KEYS_MAX {
        return Err(Error::invalid(format!(
            "has {} keys, at most {KEYS_MAX} are allowed",
            set.keys.len()
        )));
    }
    // Sets carry keys for other purposes too: those are not ours to judge.
    let keys: Vec<_> =
        set.keys.into_iter().filter_map(|key| signing_key(key, with_secrets)).collect();
    if keys.is_empty() {
        return Err(Error::invalid("has no key that signs with EdDSA, RS256 or (in a file) HS256"));
    }
    Ok(keys)
}

fn signing_key(json: serde_json::Value, with_secrets: bool) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let (algorithm, named_as) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::OctetKey(_) if with_secrets => (Algorithm::HS256, KeyAlgorithm::HS256),
        _ => return None,
    };
    if jwk.common.key_algorithm.as_ref().is_some_and(|named| *named != named_as) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    if algorithm == Algorithm::HS256
        && decoding.try_get_as_bytes().map_or(0, <[u8]>::len) < SECRET_MIN_BYTES
    {
        return None;
    }
    Some(Key { id: jwk.common.key_id, algorithm, decoding })
}
