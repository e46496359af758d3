//! Every call as nobody and as the wrong one: one row a call.

mod grpc;
mod open;
mod origins;
mod rest;
mod tokens;

use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::keys::Keys;
use vdom_testkit::sidecar::TestSidecar;

use crate::refusal::Refusal;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// A token with these scopes.
    Scopes(&'static [&'static str]),
    /// A token, and then it is not offered.
    NotOffered,
    /// Nothing: it is open to all.
    Nothing,
}

const EVERY_SCOPE: &str = "dom.read dom.write dom.author dom.admin";

/// A gateway with tokens, a sidecar before it, and their keys.
struct Fixture {
    keys: Keys,
    gateway: TestGateway,
    sidecar: TestSidecar,
}

impl Fixture {
    /// A gateway of the realms `default` and `other` in which something stands,
    /// and a sidecar with an identity of its own.
    async fn start() -> Self {
        let keys = Keys::generate();
        let gateway = TestGateway::with_tokens(&keys).await;
        let token = keys.token("founder", EVERY_SCOPE);
        let mut client = Client::connect(&gateway.grpc_url(), Some(&token)).await;
        client.overwrite("there", b"already").await.expect("written");
        let sidecar = TestSidecar::with_tokens(&gateway.grpc_url(), &keys).await;
        Self { keys, gateway, sidecar }
    }
}

/// A denial names its rule, and what was asked for.
fn assert_denied(refusal: &Refusal, rule: &str, what: &str) {
    assert_eq!((refusal.code.as_str(), refusal.rule()), ("PermissionDenied", Some(rule)), "{what}");
    let resource = refusal.facts.get("resource").map(String::as_str).unwrap_or_default();
    assert!(resource.starts_with("default"), "{what}: {refusal:?}");
}

/// Every set of scopes that lacks exactly one of `needed`.
fn each_missing(needed: &[&'static str]) -> Vec<(&'static str, String)> {
    let all = EVERY_SCOPE.split(' ');
    needed
        .iter()
        .map(|missing| {
            let rest: Vec<_> = all.clone().filter(|scope| scope != missing).collect();
            (*missing, rest.join(" "))
        })
        .collect()
}
