//! Bearer tokens: whoever is let in had a token that one of our keys signed, for us, in
//! its time.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use vdom_core::ErrorCode;
use vdom_core::access::Scope;
use vdom_core::limits::{ACTOR_MAX_BYTES, TOKEN_LEEWAY, TOKEN_MAX_BYTES};
use vdom_edge::token::{Identity, TokenSettings, TokenVerifier};
use vdom_fuzz::input::{byte, part};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "vdom";
/// The moment at which all tokens are checked, in seconds since the Unix epoch.
const NOW: u32 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ED25519_SEED: [u8; 32] = [7; 32];

fuzz_target!(|data: &[u8]| check(data));

/// The input is a first byte and a token: as it is (0), or its claims, which are signed
/// with the secret (1) or the key pair (2), or its header with its length, and its claims,
/// signed with the secret (3).
fn check(mut data: &[u8]) {
    let keys = Keys::get();
    let token = match byte(&mut data) % 4 {
        0 => match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
        1 => keys.signed_with_secret(br#"{"alg":"HS256"}"#, data),
        2 => keys.signed_with_pair(br#"{"alg":"EdDSA","kid":"pair"}"#, data),
        _ => {
            let header = part(&mut data);
            keys.signed_with_secret(header, data)
        }
    };
    let now = UNIX_EPOCH + Duration::from_secs(NOW.into());
    let outcome = keys.check.check(Some(&token), now);
    assert_eq!(keys.check.check(Some(&token), now), outcome, "the same when it is remembered");
    match outcome {
        Ok(identity) => {
            assert!(token.len() <= TOKEN_MAX_BYTES);
            assert!(keys.have_signed(&token), "nobody signed {token:?}");
            let (_, claims) = parts(&token).expect("two parts of JSON");
            holds(&identity, &claims);
            let later = identity.expires_at.expect("an end");
            assert!(keys.check.check(Some(&token), later).is_err(), "it ends");
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Unauthenticated);
            let has_signature = token.matches('.').count() == 2;
            assert!(!has_signature || !error.message.contains(&token), "{error}");
        }
    }
}

/// What the server checks with, and what makes tokens for it.
struct Keys {
    check: TokenVerifier,
    secret: hmac::Key,
    pair: Ed25519KeyPair,
}

impl Keys {
    fn get() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(Self::new)
    }

    fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&ED25519_SEED).expect("a seed");
        let public = BASE64.encode(pair.public_key().as_ref());
        let jwks = json!({
            "keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "pair", "alg": "EdDSA", "x": public}],
        });
        let folder = tempfile::tempdir().expect("a folder");
        let (secret_file, jwks_file) = (folder.path().join("secret"), folder.path().join("jwks"));
        std::fs::write(&secret_file, SECRET).expect("written");
        std::fs::write(&jwks_file, jwks.to_string()).expect("written");
        let settings = TokenSettings {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            key_files: vec![secret_file],
            jwks_file: Some(jwks_file),
            ..TokenSettings::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let check = runtime.block_on(TokenVerifier::load(settings)).expect("good settings");
        Self { check, secret: hmac::Key::new(hmac::HMAC_SHA256, SECRET), pair }
    }

    fn signed_with_secret(&self, header: &[u8], claims: &[u8]) -> String {
        let message = message(header, claims);
        let signature = hmac::sign(&self.secret, message.as_bytes());
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }

    fn signed_with_pair(&self, header: &[u8], claims: &[u8]) -> String {
        let message = message(header, claims);
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }

    /// Whether a token has a signature of ours, of the kind that its header names.
    fn have_signed(&self, token: &str) -> bool {
        let (message, signature) = token.rsplit_once('.').expect("a signature");
        let signature = BASE64.decode(signature).expect("base64");
        let (header, _) = parts(token).expect("two parts of JSON");
        match header["alg"].as_str() {
            Some("HS256") => hmac::verify(&self.secret, message.as_bytes(), &signature).is_ok(),
            Some("EdDSA") => {
                let public = UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref());
                public.verify(message.as_bytes(), &signature).is_ok()
            }
            _ => false,
        }
    }
}

fn message(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", BASE64.encode(header), BASE64.encode(claims))
}

/// Header and claims.
fn parts(token: &str) -> Option<(Value, Value)> {
    let mut parts =
        token.splitn(3, '.').map(|part| serde_json::from_slice(&BASE64.decode(part).ok()?).ok());
    Some((parts.next()??, parts.next()??))
}

/// The claims say no less than what the caller may do.
fn holds(identity: &Identity, claims: &Value) {
    assert_eq!(claims["iss"], ISSUER);
    assert!(texts(&claims["aud"]).contains(&AUDIENCE));
    assert_eq!(claims["sub"], *identity.subject);
    assert!((1..=ACTOR_MAX_BYTES).contains(&identity.subject.len()));
    let realm = identity.realm.as_ref().expect("the realm of a token");
    assert_eq!(claims.get("realm").and_then(Value::as_str).unwrap_or("default"), realm.as_str());
    let named: Vec<_> = [&claims["scope"], &claims["scp"]]
        .into_iter()
        .flat_map(texts)
        .flat_map(str::split_ascii_whitespace)
        .collect();
    for scope in Scope::ALL {
        assert_eq!(identity.scopes.has(scope), named.contains(&scope.name()), "{scope:?}");
    }
    let time = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    let leeway = TOKEN_LEEWAY.as_secs_f64();
    assert!(time("exp").expect("an end") + leeway > f64::from(NOW));
    assert!(time("nbf").is_none_or(|beginning| beginning <= f64::from(NOW) + leeway));
    assert!(time("iat").is_none_or(|issued| issued <= f64::from(NOW) + leeway));
    assert!(identity.expires_at.is_some_and(|end| end > SystemTime::UNIX_EPOCH));
}

fn texts(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
