//! Which tokens are good, and why others are not.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use vdom_core::limits::TOKEN_LEEWAY;
use vdom_core::{Error, ErrorCode, RealmName};

use super::*;
use vdom_core::access::{Scope, Scopes};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "vdom";
const NOW: u64 = 1_800_000_000;

pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "nbf": NOW - 10, "iat": NOW - 10,
        "exp": NOW + 60, "scope": "dom.read other.thing", "scp": ["dom.write"], "realm": "acme",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

/// A folder with a secret, an Ed25519 pair and an RSA pair.
pub(super) struct Keys {
    folder: TempDir,
}

impl Keys {
    pub(super) fn new() -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a folder") };
        generate_secret_file(&keys.path("secret")).expect("a secret");
        generate_key_pair(&keys.path("ed.pem"), &keys.path("ed.pub.pem")).expect("a pair");
        keys
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a key file")
    }

    fn secret(&self) -> EncodingKey {
        EncodingKey::from_secret(self.read("secret").trim_ascii())
    }

    pub(super) fn ed(&self) -> EncodingKey {
        EncodingKey::from_ed_pem(&self.read("ed.pem")).expect("a key")
    }

    /// The public part of the Ed25519 pair for a JWK.
    pub(super) fn ed_jwk(&self, kid: &str) -> Value {
        let pem = String::from_utf8(self.read("ed.pub.pem")).expect("text");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let spki = STANDARD.decode(base64).expect("base64");
        let x = URL_SAFE_NO_PAD.encode(&spki[12..]);
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
    }

    /// Adds `rsa.pub.pem`; the private key is only here.
    fn add_rsa(&self) -> EncodingKey {
        let pem = |label: &str, der: &[u8]| {
            let text = STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a pair");
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        std::fs::write(self.path("rsa.pub.pem"), pem("PUBLIC KEY", spki.as_ref()))
            .expect("written");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
        let private = pem("PRIVATE KEY", pkcs8.as_ref());
        EncodingKey::from_rsa_pem(private.as_bytes()).expect("a key")
    }

    async fn check(&self, files: &[&str]) -> TokenVerifier {
        let key_files = files.iter().map(|name| self.path(name)).collect();
        TokenVerifier::load(TokenSettings { key_files, ..settings() }).await.expect("keys")
    }
}

pub(super) fn settings() -> TokenSettings {
    TokenSettings {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        ..TokenSettings::default()
    }
}

pub(super) fn sign(
    algorithm: Algorithm,
    key: &EncodingKey,
    kid: Option<&str>,
    claims: &Value,
) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).expect("a token")
}

fn refusal(check: &TokenVerifier, token: &str) -> Error {
    let error = check.check(Some(token), now()).expect_err("refused");
    assert!(!error.message.contains(token), "{error}");
    error
}

#[tokio::test]
async fn a_good_token_says_who_calls_with_which_rights() {
    let keys = Keys::new();
    let check = keys.check(&["secret"]).await;
    let token = sign(Algorithm::HS256, &keys.secret(), None, &claims());
    // The second time it is remembered.
    for _ in 0..2 {
        let identity = check.check(Some(&token), now()).expect("good");
        assert_eq!(&*identity.subject, "ann");
        assert_eq!(identity.realm, RealmName::parse("acme").ok());
        assert_eq!(identity.scopes, [Scope::Read, Scope::Write].into_iter().collect());
        assert_eq!(identity.expires_at, Some(now() + Duration::from_secs(60) + TOKEN_LEEWAY));
    }
    let token = sign(Algorithm::HS256, &keys.secret(), None, &without("realm"));
    let realm = check.check(Some(&token), now()).expect("good").realm;
    assert_eq!(realm, RealmName::parse("default").ok(), "none is `default`, never any");
}

#[tokio::test]
async fn every_claim_is_checked_and_the_refusal_says_which() {
    let keys = Keys::new();
    let check = keys.check(&["secret"]).await;
    for (claims, why) in [
        (with("exp", json!(NOW - 5)), "expired at 2027-01-15T07:59:55Z"),
        (with("nbf", json!(NOW + 6)), "not valid before 2027-01-15T08:00:06Z"),
        (with("iat", json!(NOW + 60)), "issued in the future"),
        (with("aud", json!("other")), "wrong audience"),
        (with("aud", json!(["a", "b"])), "wrong audience"),
        (with("iss", json!("https://evil.example")), "wrong issuer"),
        (with("sub", json!("")), "`sub` is no subject"),
        (with("realm", json!("a/b")), "`realm` is none"),
        (with("exp", json!(1e300)), "`exp` is no time"),
        (with("exp", json!("tomorrow")), "claims are not"),
        (without("exp"), "lacks the claim `exp`"),
        (without("iss"), "lacks the claim `iss`"),
        (without("aud"), "lacks the claim `aud`"),
        (without("sub"), "lacks the claim `sub`"),
    ] {
        let token = sign(Algorithm::HS256, &keys.secret(), None, &claims);
        let error = refusal(&check, &token);
        assert_eq!(error.code, ErrorCode::Unauthenticated);
        assert!(error.message.contains(why), "{why}: {error}");
    }
    for claims in [
        with("exp", json!(NOW - 4)),
        with("nbf", json!(NOW + 5)),
        with("exp", json!(NOW as f64 + 0.5)),
        with("aud", json!(["other", AUDIENCE])),
        without("iat"),
        without("nbf"),
    ] {
        let token = sign(Algorithm::HS256, &keys.secret(), None, &claims);
        assert!(check.check(Some(&token), now()).is_ok(), "{claims}");
    }
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let keys = Keys::new();
    let check = keys.check(&["secret"]).await;
    let token = sign(Algorithm::HS256, &keys.secret(), None, &claims());
    assert!(check.check(Some(&token), now()).is_ok());
    let identity = check.check(Some(&token), now() + Duration::from_secs(64)).expect("leeway");
    let end = now() + Duration::from_secs(65);
    assert_eq!(identity.expires_at, Some(end), "its streams end when its calls do");
    let error = check.check(Some(&token), end).expect_err("expired");
    assert!(error.message.contains("expired"), "{error}");
}

#[tokio::test]
async fn unsigned_forged_and_malformed_tokens_are_refused() {
    let keys = Keys::new();
    let check = keys.check(&["secret"]).await;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "nOnE"] {
        let unsigned = format!("{}.{}.", part(&json!({ "alg": algorithm })), part(&claims()));
        assert!(refusal(&check, &unsigned).message.contains("unsigned"));
    }
    let good = sign(Algorithm::HS256, &keys.secret(), None, &claims());
    let parts: Vec<_> = good.split('.').collect();
    let other = part(&with("sub", json!("root")));
    let forged = format!("{}.{other}.{}", parts[0], parts[2]);
    assert!(refusal(&check, &forged).message.contains("signature is wrong"));
    let critical = json!({ "alg": "HS256", "crit": ["exp"] });
    let critical = format!("{}.{}.{}", part(&critical), parts[1], parts[2]);
    assert!(refusal(&check, &critical).message.contains("critical"));
    for malformed in ["", ".", "a.b", "a.b.c", "\u{fc}.\u{fc}.\u{fc}", &parts[..2].join(".")] {
        let error = check.check(Some(malformed), now()).expect_err("refused");
        assert!(error.message.contains("not a signed JWT"), "{malformed}: {error}");
    }
    let long = format!("{good}{}", "x".repeat(8 << 10));
    assert!(refusal(&check, &long).message.contains("at most 8192"));
    let nobody = check.check(None, now()).expect_err("refused");
    assert!(nobody.message.contains("no token"), "{nobody}");
}

#[tokio::test]
async fn claims_that_are_not_utf8_are_refused_wherever_that_is() {
    let keys = Keys::new();
    let check = keys.check(&["secret"]).await;
    let mut json = with("other", json!("skipped")).to_string().into_bytes();
    let at = json.windows(7).position(|bytes| bytes == b"skipped").expect("there");
    json[at] = 0xff;
    let parts = [br#"{"alg":"HS256"}"#, &json[..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = parts.join(".");
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &keys.secret(), Algorithm::HS256)
            .expect("a signature");
    let error = refusal(&check, &format!("{message}.{signature}"));
    assert!(error.message.contains("claims are not"), "{error}");
}

#[tokio::test]
async fn a_public_key_never_checks_as_a_secret() {
    let keys = Keys::new();
    keys.add_rsa();
    for file in ["rsa.pub.pem", "ed.pub.pem"] {
        let check = keys.check(&[file]).await;
        for secret in [keys.read(file), keys.read(file).trim_ascii().to_vec()] {
            let key = EncodingKey::from_secret(&secret);
            let token = sign(Algorithm::HS256, &key, None, &claims());
            let error = refusal(&check, &token);
            assert!(error.message.contains("not the algorithm of its key"), "{error}");
        }
    }
}

#[tokio::test]
async fn each_algorithm_is_checked_by_its_own_key() {
    let keys = Keys::new();
    let rsa = keys.add_rsa();
    let check = keys.check(&["secret", "ed.pub.pem", "rsa.pub.pem"]).await;
    for (algorithm, key) in [
        (Algorithm::HS256, &keys.secret()),
        (Algorithm::EdDSA, &keys.ed()),
        (Algorithm::RS256, &rsa),
    ] {
        let token = sign(algorithm, key, None, &claims());
        assert!(check.check(Some(&token), now()).is_ok(), "{algorithm:?}");
    }
    let other = sign(Algorithm::RS512, &rsa, None, &claims());
    assert!(refusal(&check, &other).message.contains("not the algorithm"));
}

#[tokio::test]
async fn key_ids_choose_the_key() {
    let keys = Keys::new();
    let set = json!({ "keys": [
        keys.ed_jwk("new"),
        { "kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": "AA" },
        { "kty": "surprise" },
        { "kty": "oct", "kid": "short", "k": URL_SAFE_NO_PAD.encode("short") },
    ]});
    std::fs::write(keys.path("jwks.json"), set.to_string()).expect("written");
    let jwks_file = Some(keys.path("jwks.json"));
    let check = TokenVerifier::load(TokenSettings { jwks_file, ..settings() }).await.expect("keys");
    for kid in [Some("new"), None] {
        let token = sign(Algorithm::EdDSA, &keys.ed(), kid, &claims());
        assert!(check.check(Some(&token), now()).is_ok(), "{kid:?}");
    }
    let unknown = sign(Algorithm::EdDSA, &keys.ed(), Some("old"), &claims());
    assert!(refusal(&check, &unknown).message.contains("unknown key (`kid` \"old\")"));
}

#[tokio::test]
async fn a_jwks_url_is_refreshed_and_the_last_good_keys_stay() {
    let keys = Keys::new();
    let set = json!({ "keys": [keys.ed_jwk("first")] }).to_string();
    let served = Arc::new(Mutex::new((200_u16, set)));
    let answer = Arc::clone(&served);
    let router = axum::Router::new().route(
        "/jwks",
        axum::routing::get(move || async move {
            let (status, body) = answer.lock().clone();
            (http::StatusCode::from_u16(status).expect("a status"), body)
        }),
    );
    let listener = crate::serve::Listener::bind(&crate::serve::Bind::Tcp {
        address: "127.0.0.1:0".parse().expect("an address"),
        reuse_port: false,
    })
    .await
    .expect("a listener");
    let url = format!("http://{}/jwks", listener.local_address());
    let server =
        crate::serve::Server::start(listener, router, crate::serve::ServeSettings::default());

    let settings = TokenSettings { jwks_url: Some(url), ..settings() };
    let check = TokenVerifier::load(settings).await.expect("keys");
    let first = sign(Algorithm::EdDSA, &keys.ed(), Some("first"), &claims());
    let second = sign(Algorithm::EdDSA, &keys.ed(), Some("second"), &claims());
    assert!(check.check(Some(&first), now()).is_ok());
    assert!(refusal(&check, &second).message.contains("unknown key"));

    for bad in [
        (500, String::new()),
        (200, "nonsense".to_owned()),
        (200, "{\"keys\": []}".to_owned()),
        (200, format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(300 << 10))),
        (302, String::new()),
    ] {
        *served.lock() = bad;
        assert!(check.refresh().await.is_err());
        assert!(check.check(Some(&first), now()).is_ok(), "the last good keys stay");
    }
    *served.lock() = (200, json!({ "keys": [keys.ed_jwk("second")] }).to_string());
    check.refresh().await.expect("refreshed");
    assert!(check.check(Some(&second), now()).is_ok());
    assert!(refusal(&check, &first).message.contains("unknown key"), "nor is it remembered");
    server.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_secret_that_everyone_can_fetch_is_none() {
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    let set = json!({ "keys": [{ "kty": "oct", "kid": "s", "alg": "HS256", "k": secret }] });
    let refused = super::keys::KeySet::from_fetched_jwks(set.to_string().as_bytes());
    assert!(refused.is_err());
}

#[tokio::test]
async fn tokens_wait_for_a_jwks_url_that_does_not_answer() {
    let keys = Keys::new();
    let jwks_url = Some("http://127.0.0.1:1/jwks".to_owned());
    let check =
        TokenVerifier::load(TokenSettings { jwks_url, ..settings() }).await.expect("starts");
    let token = sign(Algorithm::EdDSA, &keys.ed(), None, &claims());
    assert_eq!(refusal(&check, &token).code, ErrorCode::Unavailable);
    for url in ["http://issuer.example/jwks", "ftp://127.0.0.1/x", "nonsense"] {
        let jwks_url = Some(url.to_owned());
        let refused = TokenVerifier::load(TokenSettings { jwks_url, ..settings() }).await;
        assert_eq!(refused.map(drop).map_err(|error| error.code), Err(ErrorCode::InvalidArgument));
    }
}

#[tokio::test]
async fn settings_that_let_everyone_in_are_refused() {
    let keys = Keys::new();
    let secret = || vec![keys.path("secret")];
    std::fs::write(keys.path("weak"), "hunter2\n").expect("written");
    for (settings, why) in [
        (settings(), "no key"),
        (TokenSettings { key_files: secret(), issuer: String::new(), ..settings() }, "issuer"),
        (TokenSettings { key_files: secret(), audience: String::new(), ..settings() }, "audience"),
        (TokenSettings { key_files: vec![keys.path("ed.pem")], ..settings() }, "private key"),
        (TokenSettings { key_files: vec![keys.path("weak")], ..settings() }, "needs 32"),
        (TokenSettings { key_files: vec![keys.path("missing")], ..settings() }, "missing"),
    ] {
        let error = TokenVerifier::load(settings).await.expect_err("refused");
        assert!(error.message.contains(why), "{why}: {error}");
    }
}

#[tokio::test]
async fn dev_mode_is_anonymous_with_every_right() {
    let check = TokenVerifier::anonymous();
    for token in [None, Some("whatever")] {
        let identity = check.check(token, now()).expect("anyone");
        assert_eq!((&*identity.subject, identity.realm), ("anonymous", None));
        assert_eq!(identity.scopes, Scopes::all());
    }
    let keys = Keys::new();
    let settings =
        TokenSettings { anonymous: true, key_files: vec![keys.path("secret")], ..settings() };
    let check = TokenVerifier::load(settings).await.expect("keys");
    assert_eq!(&*check.check(None, now()).expect("anyone").subject, "anonymous");
    assert!(check.check(Some("nonsense"), now()).is_err(), "a token that is sent must be good");
}

#[tokio::test]
async fn minted_tokens_are_good_and_keys_are_private() {
    let keys = Keys::new();
    let grant = Grant {
        subject: "ann".to_owned(),
        realm: RealmName::parse("acme").ok(),
        scopes: [Scope::Read, Scope::Admin].into_iter().collect(),
        lifetime: Duration::from_secs(3_600),
    };
    for (private, public) in [("secret", "secret"), ("ed.pem", "ed.pub.pem")] {
        let mode = std::fs::metadata(keys.path(private)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
        let mint = TokenIssuer::from_file(&keys.path(private), ISSUER, AUDIENCE).expect("a key");
        let token = mint.mint(&grant, now()).expect("a token");
        let identity = keys.check(&[public]).await.check(Some(&token), now()).expect("good");
        assert_eq!(identity.scopes, grant.scopes);
        assert_eq!(identity.realm, grant.realm);
        assert_eq!(identity.expires_at, Some(now() + grant.lifetime + TOKEN_LEEWAY));
    }
    let mint = TokenIssuer::from_file(&keys.path("secret"), ISSUER, AUDIENCE).expect("a key");
    let endless = Grant { lifetime: Duration::MAX, ..grant };
    let refused = mint.mint(&endless, now()).expect_err("no date");
    assert!(refused.message.contains("year 9999"), "{refused}");
    let again = generate_secret_file(&keys.path("secret")).expect_err("is there");
    assert!(again.message.contains("cannot be written"), "{again}");
}
