//! Tokens that must not be taken, and what the refusal says of each.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use vdom_core::RealmName;
use vdom_core::access::Scopes;
use vdom_edge::token::{Grant, TokenIssuer};
use vdom_testkit::keys::{AUDIENCE, ISSUER, Keys};

use super::EVERY_SCOPE;

const HOUR: Duration = Duration::from_secs(3_600);

/// `None` sends no token; with each, words that the refusal must have.
pub(super) fn refused(keys: &Keys) -> Vec<(&'static str, Option<String>, &'static str)> {
    let now = SystemTime::now();
    let valid = keys.token("anna", EVERY_SCOPE);
    let until = |from| keys.token_until("anna", EVERY_SCOPE, "default", from, HOUR);
    let claims = payload(&valid);
    vec![
        ("nobody", None, "no token"),
        ("expired", Some(until(now - 2 * HOUR)), "expired"),
        ("not yet valid", Some(until(now + HOUR)), "not valid before"),
        ("unsigned", Some(unsigned(&claims)), "unsigned"),
        ("wrong algorithm", Some(signed_with_public_key(keys, &claims)), "\"HS256\""),
        ("wrong audience", Some(minted(keys, ISSUER, "elsewhere")), "wrong audience"),
        ("wrong issuer", Some(minted(keys, "https://evil.test", AUDIENCE)), "wrong issuer"),
        ("another's key", Some(Keys::generate().token("anna", EVERY_SCOPE)), "signature is wrong"),
        ("changed claims", Some(with_subject(&valid, "root")), "signature is wrong"),
        ("garbage", Some("garbage".to_owned()), "JWT"),
        ("too long", Some("a".repeat(9_000)), "9000 bytes"),
    ]
}

fn minted(keys: &Keys, issuer: &str, audience: &str) -> String {
    let mint = TokenIssuer::from_file(&keys.private(), issuer, audience).expect("a mint");
    let grant = Grant {
        subject: "anna".to_owned(),
        realm: Some(RealmName::parse("default").expect("valid")),
        scopes: Scopes::all(),
        lifetime: HOUR,
    };
    mint.mint(&grant, SystemTime::now()).expect("a token")
}

/// `alg: none`, with the claims of a good token.
fn unsigned(claims: &Value) -> String {
    format!("{}.", signed_part("none", claims))
}

/// Whoever confuses algorithms takes the public key for a shared secret.
fn signed_with_public_key(keys: &Keys, claims: &Value) -> String {
    let secret = std::fs::read(keys.public()).expect("the public key");
    let message = signed_part("HS256", claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with_subject(token: &str, subject: &str) -> String {
    let mut claims = payload(token);
    claims["sub"] = subject.into();
    let mut parts = token.split('.');
    let header = parts.next().expect("a header");
    let signature = parts.next_back().expect("a signature");
    format!("{header}.{}.{signature}", encoded(&claims))
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    let bytes = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn signed_part(algorithm: &str, claims: &Value) -> String {
    format!("{}.{}", encoded(&json!({ "alg": algorithm, "typ": "JWT" })), encoded(claims))
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
