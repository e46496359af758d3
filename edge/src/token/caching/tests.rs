//! What is remembered of a caller, and for how long.

use std::time::UNIX_EPOCH;

use super::*;
use crate::token::{TokenSettings, generate_secret_file};

fn headers(values: &[&'static str]) -> HeaderMap {
    let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
    values.collect()
}

async fn remembers(expires_at: Option<SystemTime>) -> (CachingVerifier, Instant) {
    let verified_at = Instant::now();
    let identity = Identity { expires_at, ..Identity::anonymous() };
    let token = Arc::new(VerifiedToken { identity, bearer: Some(Arc::from("token")) });
    let authorization = Some(HeaderValue::from_static("Bearer token"));
    // Whatever is not remembered is refused: neither is a JWT.
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    generate_secret_file(&secret).expect("a secret");
    let settings = TokenSettings {
        issuer: "issuer".to_owned(),
        audience: "audience".to_owned(),
        key_files: vec![secret],
        ..TokenSettings::default()
    };
    let verifier = CachingVerifier::new(TokenVerifier::load(settings).await.expect("a key"));
    verifier.recent.lock().push(Recent { authorization, token, verified_at });
    (verifier, verified_at)
}

#[tokio::test]
async fn a_token_is_verified_again_after_half_a_second_and_when_it_expires() {
    let bearer = headers(&["Bearer token"]);
    let (verifier, verified_at) = remembers(Some(UNIX_EPOCH + Duration::from_secs(1_000))).await;
    let later = |by| verified_at + Duration::from_millis(by);
    let early = UNIX_EPOCH + Duration::from_secs(900);
    assert!(verifier.verify(&bearer, early, later(499)).is_ok());
    assert!(verifier.verify(&bearer, early, later(500)).is_err(), "it may be revoked by now");
    let expired = UNIX_EPOCH + Duration::from_secs(1_000);
    assert!(verifier.verify(&bearer, expired, later(1)).is_err(), "it has expired");
    let other = headers(&["Bearer other"]);
    assert!(verifier.verify(&other, early, later(1)).is_err(), "another's is not it");
}

#[tokio::test]
async fn a_header_that_is_no_bearer_token_is_refused_before_any_key_is_asked() {
    let settings = TokenSettings { anonymous: true, ..TokenSettings::default() };
    let verifier = TokenVerifier::load(settings).await.expect("dev mode");
    let verifier = CachingVerifier::new(verifier);
    let refusal = |values: &[&'static str]| {
        let verified = verifier.verify(&headers(values), UNIX_EPOCH, Instant::now());
        verified.err().map(|error| (error.code, error.message))
    };
    let code = ErrorCode::Unauthenticated;
    let several = "there are several authorization headers: send one".to_owned();
    assert_eq!(refusal(&["Bearer a", "Bearer a"]), Some((code, several)));
    let basic = "the authorization header is not `Bearer <token>`".to_owned();
    assert_eq!(refusal(&["Basic eA=="]), Some((code, basic)));
    assert_eq!(refusal(&[]), None, "nobody is anonymous here");
}
