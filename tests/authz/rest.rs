//! Every REST route, at every door that speaks HTTP.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use vdom_testkit::http::{HttpAnswer, HttpClient, Place, request};

use super::{EVERY_SCOPE, Fixture, Needs, assert_denied, each_missing, tokens};
use crate::refusal::Refusal;

/// A route as the OpenAPI document names it, a good request of it, and what it
/// needs.
struct Row {
    route: &'static str,
    method: Method,
    /// What follows the route's path; `{realm}` stands for a realm.
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    needs: Needs,
    /// The refusal that the request ends with once it is let in, where what it
    /// asks for is not there.
    then: Option<&'static str>,
}

const READ: Needs = Needs::Scopes(&["dom.read"]);
const WRITE: Needs = Needs::Scopes(&["dom.write"]);
const WRITE_AS: Needs = Needs::Scopes(&["dom.write", "dom.author"]);
/// A condition is compared with what stands there.
const READ_AND_WRITE: Needs = Needs::Scopes(&["dom.read", "dom.write"]);

const ADMINISTER: Needs = Needs::Scopes(&["dom.admin"]);

const BRANCHES: &str = "/v1/repos/{repo}/branches";
const BRANCH: &str = "/v1/repos/{repo}/branches/{branch}";
const CHANGES: &str = "/v1/repos/{repo}/branches/{branch}/changes";
const REVERTS: &str = "/v1/repos/{repo}/branches/{branch}/reverts";
const CONFLICTS: &str = "/v1/repos/{repo}/branches/{branch}/conflicts";
const CONFLICT: &str = "/v1/repos/{repo}/branches/{branch}/conflicts/{id}";
const NODE: &str = "/v1/repos/{repo}/branches/{branch}/nodes/{path}";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const TEXT: &[(&str, &str)] = &[("content-type", "application/vnd.vdom.text+json")];

fn rows() -> Vec<Row> {
    const PLAIN: Row = Row {
        route: NODE,
        method: Method::GET,
        query: "realm={realm}",
        headers: &[],
        body: "",
        needs: READ,
        then: None,
    };
    let post = |route, body| Row {
        route,
        method: Method::POST,
        headers: JSON,
        body,
        needs: WRITE,
        ..PLAIN
    };
    let ending = |row, then| Row { then: Some(then), ..row };
    let write = |method| Row { method, needs: WRITE, ..PLAIN };
    vec![
        Row { route: "/v1/openapi.json", query: "", needs: Needs::Nothing, ..PLAIN },
        Row { route: "/v1/repos", ..PLAIN },
        Row { route: BRANCHES, ..PLAIN },
        ending(post(BRANCHES, r#"{"name": "main"}"#), "AlreadyExists"),
        Row { route: BRANCH, ..PLAIN },
        ending(
            Row { route: BRANCH, method: Method::DELETE, needs: ADMINISTER, ..PLAIN },
            "NotFound",
        ),
        Row { route: "/v1/repos/{repo}/branches/{branch}/tree", ..PLAIN },
        Row { route: CHANGES, ..PLAIN },
        post(CHANGES, r#"{"on_conflict": "overwrite", "diffs": [{"path": "a", "put": "x"}]}"#),
        Row {
            needs: WRITE_AS,
            ..post(CHANGES, r#"{"author": "bob", "diffs": [{"path": "b", "put": "x"}]}"#)
        },
        ending(
            post(REVERTS, r#"{"first_revision": 1000000, "last_revision": 1000000}"#),
            "NotFound",
        ),
        Row { route: CONFLICTS, ..PLAIN },
        ending(Row { route: CONFLICT, ..PLAIN }, "NotFound"),
        ending(post(CONFLICT, r#"{"resolution": "ours"}"#), "NotFound"),
        Row { route: "/v1/repos/{repo}/branches/{branch}/history", ..PLAIN },
        PLAIN,
        Row { query: "history&realm={realm}", ..PLAIN },
        Row { body: "content", ..write(Method::PUT) },
        Row {
            query: "author=bob&realm={realm}",
            body: "content",
            needs: WRITE_AS,
            ..write(Method::PUT)
        },
        Row {
            headers: &[("if-match", "*")],
            body: "content",
            needs: READ_AND_WRITE,
            ..write(Method::PUT)
        },
        Row { headers: TEXT, body: r#"[{"i": "more "}]"#, ..write(Method::PATCH) },
        Row { query: "rename=elsewhere&realm={realm}", ..write(Method::POST) },
        write(Method::DELETE),
    ]
}

impl Row {
    fn request(&self, realm: &str) -> Request<Full<Bytes>> {
        // What may be deleted must not be what the others need.
        let branch =
            if self.route == BRANCH && self.method == Method::DELETE { "nowhere" } else { "main" };
        let route = self.route.replace("{repo}", "repo").replace("{branch}", branch);
        let route = route.replace("{path}", "there").replace("{id}", &"07".repeat(16));
        let query = self.query.replace("{realm}", realm);
        let mut request = request(self.method.clone(), &format!("{route}?{query}"), self.body);
        for (name, value) in self.headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    fn name(&self) -> String {
        format!("{} {}?{}", self.method, self.route, self.query)
    }
}

impl Fixture {
    fn http(&self, token: Option<&str>) -> HttpClient {
        HttpClient::new(Place::Tcp(self.gateway.addresses.http), token)
    }

    /// The doors that speak REST, with this token.
    fn rest_doors(&self, token: Option<&str>) -> [(&'static str, HttpClient); 3] {
        let sidecar = &self.sidecar;
        [
            ("the gateway", self.http(token)),
            ("a sidecar", HttpClient::new(Place::Tcp(sidecar.addresses.tcp), token)),
            ("a unix socket", HttpClient::new(Place::Unix(sidecar.socket()), token)),
        ]
    }

    /// What the row gets at every door with this token.
    async fn rest_refusals(
        &self,
        token: Option<&str>,
        row: &Row,
        realm: &str,
    ) -> Vec<(String, Option<Refusal>)> {
        let mut refusals = Vec::new();
        for (door, client) in self.rest_doors(token) {
            let what = format!("{} at {door}", row.name());
            refusals.push((what, refusal(&client, row, realm).await));
        }
        refusals
    }

    /// Leaves the node `there` and no other.
    async fn restore(&self) {
        let founder = self.keys.token("founder", EVERY_SCOPE);
        let tree = self.http(Some(&founder)).get("/v1/repos/repo/branches/main/tree").await;
        for entry in tree.json()["entries"].as_array().expect("entries") {
            self.found(Method::DELETE, entry["path"].as_str().expect("a path")).await;
        }
        self.found(Method::PUT, "there").await;
    }

    async fn found(&self, method: Method, path: &str) {
        let founder = self.keys.token("founder", EVERY_SCOPE);
        let url = format!("/v1/repos/repo/branches/main/nodes/{path}");
        let answer = self.http(Some(&founder)).send(request(method, &url, "content")).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

/// `None` where the request was let in.
async fn refusal(client: &HttpClient, row: &Row, realm: &str) -> Option<Refusal> {
    let (head, body) = client.open(row.request(realm)).await.into_parts();
    if head.status.is_success() {
        // A stream of changes has no end to wait for.
        return None;
    }
    let body = body.collect().await.expect("whole").to_bytes();
    let answer = HttpAnswer { status: head.status, headers: head.headers, body };
    let refusal = Refusal::from_http(&answer);
    // Also a realm that is not configured is not found: that is no way in.
    let is_in = Some(&*refusal.code) == row.then && !refusal.message.contains("`realms`");
    (!is_in).then_some(refusal)
}

#[tokio::test]
async fn every_documented_route_has_a_row() {
    let fixture = Fixture::start().await;
    let document = fixture.http(None).get("/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flat_map(serde_json::Map::keys);
            // What the methods share stands beside them.
            let methods = methods.filter(|name| *name != "parameters");
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let rows: BTreeSet<_> =
        rows().iter().map(|row| (row.method.to_string(), row.route.to_owned())).collect();
    assert_eq!(rows, documented);
}

#[tokio::test]
async fn no_route_takes_a_token_that_is_no_good() {
    let fixture = Fixture::start().await;
    for (kind, token, words) in tokens::refused(&fixture.keys) {
        for row in rows() {
            for (what, refusal) in fixture.rest_refusals(token.as_deref(), &row, "default").await {
                if row.needs == Needs::Nothing {
                    assert_eq!(refusal, None, "{what}: {kind}");
                    continue;
                }
                let refusal = refusal.unwrap_or_else(|| panic!("{what}: {kind}: let in"));
                assert_eq!(refusal.code, "Unauthenticated", "{what}: {kind}: {refusal:?}");
                assert!(refusal.message.contains(words), "{what}: {kind}: {refusal:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_scope_that_a_route_needs_is_asked_for() {
    let fixture = Fixture::start().await;
    for row in rows() {
        let Needs::Scopes(needed) = row.needs else { continue };
        for (missing, rest) in each_missing(needed) {
            let token = fixture.keys.token("anna", &rest);
            for (what, refusal) in fixture.rest_refusals(Some(&token), &row, "default").await {
                let what = format!("{what} without {missing}");
                let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in"));
                assert_denied(&refusal, missing, &what);
            }
        }
    }
}

#[tokio::test]
async fn the_scopes_that_a_route_needs_are_enough() {
    let fixture = Fixture::start().await;
    for row in rows() {
        let needed = match row.needs {
            Needs::Scopes(needed) => needed.join(" "),
            _ => String::new(),
        };
        let token = fixture.keys.token("anna", &needed);
        for (door, client) in fixture.rest_doors(Some(&token)) {
            fixture.restore().await;
            let refusal = refusal(&client, &row, "default").await;
            assert_eq!(refusal, None, "{} at {door} with {needed:?}", row.name());
        }
    }
}

#[tokio::test]
async fn a_token_opens_no_realm_but_its_own() {
    let fixture = Fixture::start().await;
    let foreign = fixture.keys.token_for("anna", EVERY_SCOPE, "other");
    for row in rows().into_iter().filter(|row| row.needs != Needs::Nothing) {
        for realm in ["default", "default-that-is-not"] {
            for (what, refusal) in fixture.rest_refusals(Some(&foreign), &row, realm).await {
                let refusal = refusal.unwrap_or_else(|| panic!("{what} in {realm}: let in"));
                assert_denied(&refusal, "realm", &what);
            }
        }
    }
}

#[tokio::test]
async fn a_realm_that_is_not_configured_is_not_found() {
    let fixture = Fixture::start().await;
    let homeless = fixture.keys.token_for("anna", EVERY_SCOPE, "nowhere");
    for row in rows().into_iter().filter(|row| row.needs != Needs::Nothing) {
        for (what, refusal) in fixture.rest_refusals(Some(&homeless), &row, "").await {
            let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in"));
            if row.headers.contains(&("if-match", "*")) {
                // Whatever is missing, the condition cannot hold.
                assert_eq!(refusal.code, "FailedPrecondition", "{what}: {refusal:?}");
                continue;
            }
            assert_eq!(refusal.code, "NotFound", "{what}: {refusal:?}");
            assert!(refusal.message.contains("`nowhere`"), "{what}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_header_that_is_no_bearer_token_is_refused() {
    let fixture = Fixture::start().await;
    let token = fixture.keys.token("anna", EVERY_SCOPE);
    for header in [format!("Basic {token}"), token.clone(), "Bearer".to_owned(), String::new()] {
        let mut request = request(Method::GET, "/v1/repos", "");
        let value = HeaderValue::try_from(&header).expect("text");
        request.headers_mut().insert("authorization", value);
        let answer = fixture.http(None).send(request).await;
        assert_eq!(Refusal::from_http(&answer).code, "Unauthenticated", "{header:?}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains(&token), "the token is repeated: {text}");
    }
    let answer = fixture.http(Some(&token)).get("/v1/repos").await;
    let names: Value = answer.json();
    assert_eq!(names["repos"][0]["name"], "repo");
}
