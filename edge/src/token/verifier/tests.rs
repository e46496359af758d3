//! When keys are fetched again, whatever other keys there are.

use futures::FutureExt;
use jsonwebtoken::Algorithm;
use serde_json::json;
use vdom_core::ErrorCode;

use super::*;
use crate::token::tests::{Keys, claims, now, settings, sign};

/// A verifier with a secret in a file, and a JWK set that was fetched where `kids` says which
/// keys it has. Its URL answers nobody.
async fn verifier(keys: &Keys, kids: Option<&[&str]>) -> TokenVerifier {
    let settings = TokenSettings {
        key_files: vec![keys.path("secret")],
        jwks_url: Some("http://127.0.0.1:1/jwks".to_owned()),
        ..settings()
    };
    let verifier = TokenVerifier::load(settings).await.expect("a key");
    *verifier.inner.fetched_keys.write() = kids.map(|kids| {
        let set: Vec<_> = kids.iter().map(|kid| keys.ed_jwk(kid)).collect();
        KeySet::from_fetched_jwks(json!({ "keys": set }).to_string().as_bytes()).expect("keys")
    });
    verifier
}

/// How a token is refused, and whether keys are fetched for its sake.
fn refused(verifier: &TokenVerifier, token: &str) -> (ErrorCode, String, bool) {
    let error = verifier.check(Some(token), now()).expect_err("refused");
    let wanted = verifier.inner.fetch_wanted.notified().now_or_never().is_some();
    (error.code, error.message, wanted)
}

#[tokio::test]
async fn an_unknown_key_is_fetched_and_named_whatever_files_there_are() {
    let keys = Keys::new();
    let rotated = Keys::new();
    let known = verifier(&keys, Some(&["first"])).await;
    let of_new_key = sign(Algorithm::EdDSA, &rotated.ed(), Some("second"), &claims());
    let (code, message, wanted) = refused(&known, &of_new_key);
    assert_eq!(code, ErrorCode::Unauthenticated);
    assert!(message.contains("unknown key (`kid` \"second\")"), "{message}");
    assert!(wanted, "the key may have been published since");

    let without_id = sign(Algorithm::EdDSA, &rotated.ed(), None, &claims());
    let (_, message, wanted) = refused(&known, &without_id);
    assert!(message.contains("signature is wrong") && wanted, "{message}");

    let forged = sign(Algorithm::EdDSA, &rotated.ed(), Some("first"), &claims());
    let (_, message, wanted) = refused(&known, &forged);
    assert!(message.contains("signature is wrong"), "{message}");
    assert!(!wanted, "its key is there");
}

#[tokio::test]
async fn a_token_of_keys_that_were_not_fetched_yet_is_told_to_come_again() {
    let keys = Keys::new();
    let waiting = verifier(&keys, None).await;
    for kid in [Some("first"), None] {
        let token = sign(Algorithm::EdDSA, &keys.ed(), kid, &claims());
        let (code, _, wanted) = refused(&waiting, &token);
        assert_eq!((code, wanted), (ErrorCode::Unavailable, true), "{kid:?}");
    }
}
