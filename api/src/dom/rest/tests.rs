//! REST over a room in memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vdom_core::NodeKind;
use vdom_core::dom::calls::OnConflict;
use vdom_core::dom::diff::Diff;

use super::*;
use crate::dom::fake::{EPOCH, FakeDocumentService, caller};
use vdom_edge::caller::{CheckedCaller, RequestId};

mod routes;
mod sets;
mod times;

const TREE: &str = "/v1/repos/vdom/branches/main/tree";
const NODES: &str = "/v1/repos/vdom/branches/main/nodes";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }
}

/// A room and its routes.
struct Door {
    dom: Arc<FakeDocumentService>,
}

impl Door {
    fn new() -> Self {
        Self { dom: Arc::new(FakeDocumentService::default()) }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).expect("a request");
        request.extensions_mut().insert(CheckedCaller(Ok(caller())));
        request.extensions_mut().insert(RequestId(Arc::from("request-1")));
        let response = router(Arc::clone(&self.dom)).oneshot(request).await.expect("infallible");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, Body::empty()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.ask(Method::POST, path, &headers, body.to_string()).await
    }

    /// A PUT as curl sends it, with its length.
    async fn put(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        headers.push(("content-length", &length));
        self.ask(Method::PUT, path, &headers, Body::from(body)).await
    }
}

#[tokio::test]
async fn a_file_is_put_read_changed_renamed_and_deleted() {
    let door = Door::new();
    let path = format!("{NODES}/src/lib.rs");
    let created = door.put(&path, &[], "fn main() {}\n").await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), path);
    let tag = created.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}.1\"", "01".repeat(16)));
    assert_eq!(created.json()["revision"], 1);

    let read = door.get(&path, &[]).await;
    assert_eq!((read.status, &read.body[..]), (StatusCode::OK, &b"fn main() {}\n"[..]));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("etag", tag.as_str()),
        ("x-vdom-kind", "file"),
        ("x-vdom-version", "1"),
        ("x-vdom-epoch", "7"),
        ("x-vdom-revision", "1"),
        ("x-vdom-changed-revision", "1"),
        ("x-vdom-author", "ann"),
        ("x-vdom-freshness-age-ms", "5"),
        ("x-vdom-freshness-stale", "false"),
        ("x-vdom-freshness-source", "store"),
    ] {
        assert_eq!(read.header(name), value, "{name}");
    }

    let edit = r#"[{"r": 3}, {"d": 4}, {"i": "test"}, {"r": 6}]"#;
    let content_type = ("content-type", "application/vnd.vdom.text+json");
    let edited = door.ask(Method::PATCH, &path, &[content_type], edit).await;
    assert_eq!(edited.status, 200, "{}", edited.text());
    assert_eq!(door.get(&path, &[]).await.text(), "fn test() {}\n");

    let renamed =
        door.ask(Method::POST, &format!("{path}?rename=src/main.rs"), &[], Body::empty()).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    assert_eq!(door.get(&path, &[]).await.status, 404);
    let path = format!("{NODES}/src/main.rs");
    let deleted = door.ask(Method::DELETE, &path, &[], Body::empty()).await;
    assert_eq!((deleted.status, deleted.json()["version"].clone()), (StatusCode::OK, json!(4)));
    let missing = door.get(&path, &[]).await;
    assert_eq!(missing.header("content-type"), "application/problem+json");
    assert_eq!(missing.json()["code"], "NotFound");
    assert_eq!(missing.json()["request_id"], "request-1");
}

#[tokio::test]
async fn names_with_slashes_and_unicode_are_read_from_the_path() {
    let door = Door::new();
    let path = "/v1/repos/vdom/branches/feature%2Fx/nodes/docs/%C3%BCber%20uns/100%25.md";
    assert_eq!(door.put(path, &[], "a").await.status, 201);
    let write = &door.dom.written()[0];
    assert_eq!(write.address.to_string(), "default/vdom/feature/x");
    assert_eq!(write.path.as_ref().map(vdom_core::NodePath::as_str), Some("docs/über uns/100%.md"));
    assert_eq!(door.get(path, &[]).await.text(), "a");

    for (bad, why) in [
        ("/v1/repos/vdom/branches/main/nodes/a/%2e%2e/b", "`..`"),
        ("/v1/repos/vdom/branches/main/nodes/a//b", "empty segment"),
        ("/v1/repos/vdom/branches/main/nodes/a/", "empty segment"),
        ("/v1/repos/vdom/branches/main/nodes/u%CC%88", "normalization form C"),
        ("/v1/repos/vdom/branches/main/nodes/a%00", "control character"),
        ("/v1/repos/vdom/branches/main/nodes/%ff", "UTF-8"),
        ("/v1/repos/v%20dom/branches/main/nodes/a", "repo"),
        ("/v1/repos/vdom/branches/a%2F%2Fb/nodes/a", "branch"),
        ("/v1/repos/vdom/branches/main/nodes/a?realm=%2F", "realm"),
    ] {
        let answer = door.get(bad, &[]).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(why), "{bad}: {detail}");
    }
}

#[tokio::test]
async fn conditions_hold_or_nothing_is_written() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    let first = door.put(&path, &[("if-none-match", "*")], "one").await;
    assert_eq!(first.status, 201);
    let again = door.put(&path, &[("if-none-match", "*")], "two").await;
    assert_eq!(again.status, 412);
    assert_eq!(again.json()["conflict"]["reason"], "path_exists");
    assert_eq!(again.json()["conflict"]["current_content"], "one");

    let tag = first.header("etag");
    assert_eq!(door.put(&path, &[("if-match", tag)], "two").await.status, 200);
    let stale = door.put(&path, &[("if-match", tag)], "three").await;
    assert_eq!(
        (stale.status, stale.json()["code"].clone()),
        (StatusCode::PRECONDITION_FAILED, json!("FailedPrecondition"),)
    );
    assert!(stale.text().contains(".2"), "names the present tag: {}", stale.text());
    assert_eq!(door.get(&path, &[]).await.text(), "two");
    assert_eq!(door.put(&path, &[], "whatever was there").await.status, 200);

    let nowhere = format!("{NODES}/nowhere");
    assert_eq!(door.put(&nowhere, &[("if-match", "*")], "x").await.status, 412);
    let delete = door.ask(Method::DELETE, &path, &[("if-match", tag)], Body::empty()).await;
    assert_eq!(delete.status, 412);

    let tag = door.get(&path, &[]).await.header("etag").to_owned();
    let unchanged = door.get(&path, &[("if-none-match", &format!("\"x\", W/{tag}"))]).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(unchanged.header("etag"), tag);
}

#[tokio::test]
async fn bytes_and_json_of_a_node_have_tags_of_their_own() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    door.put(&path, &[], "one").await;
    let json = ("accept", "application/json");
    let content_tag = door.get(&path, &[]).await.header("etag").to_owned();
    let json_tag = door.get(&path, &[json]).await.header("etag").to_owned();
    assert_eq!(json_tag, format!("W/{}.json\"", content_tag.trim_end_matches('"')));
    for (accept, tag, status) in [
        (None, &content_tag, StatusCode::NOT_MODIFIED),
        (None, &json_tag, StatusCode::OK),
        (Some(json), &json_tag, StatusCode::NOT_MODIFIED),
        (Some(json), &content_tag, StatusCode::OK),
    ] {
        let headers: Vec<_> = accept.into_iter().chain([("if-none-match", tag.as_str())]).collect();
        assert_eq!(door.get(&path, &headers).await.status, status, "{headers:?}");
    }
    let refused = door.get(&path, &[("accept", "application/json;q=0, */*")]).await;
    assert_eq!((refused.text(), refused.header("etag")), ("one".to_owned(), &*content_tag));
    let write = door.put(&path, &[("if-match", &json_tag)], "two").await;
    assert_eq!(write.status, 200, "to a write both name the version: {}", write.text());
    assert_eq!(door.get(TREE, &[]).await.header("vary"), "accept, authorization");
}

#[tokio::test]
async fn a_conflict_without_a_condition_is_409_and_says_what_stands_there() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    door.put(&path, &[], &b"\xff\x00"[..]).await;
    let refused = door.put(&format!("{path}?on_conflict=reject"), &[], "new").await;
    assert_eq!(refused.status, 409);
    let problem = refused.json();
    assert_eq!(problem["code"], "Conflict");
    assert_eq!(problem["conflict"]["current_content"], STANDARD.encode(b"\xff\x00"));
    assert_eq!(problem["conflict"]["current_content_encoding"], "base64");
    assert_eq!(problem["conflict"]["current_author"], "ann");
    assert_eq!((problem["epoch"].clone(), problem["revision"].clone()), (json!(EPOCH), json!(1)));
}

#[tokio::test]
async fn documents_come_and_go_as_extended_json_or_bson() {
    let door = Door::new();
    let path = format!("{NODES}/meta/review");
    let json_type = ("content-type", "application/json; charset=utf-8");
    let body = r#"{"z": 5, "big": {"$numberLong": "9007199254740993"}, "a": [1.5, null, "ü"]}"#;
    let created = door.put(&path, &[json_type], body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(door.dom.written()[0].kind, Some(NodeKind::Meta));

    let raw = door.get(&path, &[]).await;
    assert_eq!(raw.header("content-type"), "application/bson");
    let document = bson::Document::from_reader(&raw.body[..]).expect("BSON");
    assert_eq!(document.keys().collect::<Vec<_>>(), ["z", "big", "a"], "order is kept");
    assert_eq!(document.get_i32("z").ok(), Some(5));
    assert_eq!(document.get_i64("big").ok(), Some(9_007_199_254_740_993));

    let envelope = door.get(&path, &[("accept", "text/html, application/json;q=0.9")]).await.json();
    assert_eq!(envelope["encoding"], "extended-json");
    assert_eq!(
        envelope["content"],
        json!({ "z": 5, "big": 9_007_199_254_740_993_i64, "a": [1.5, null, "ü"] })
    );
    assert_eq!((envelope["kind"].clone(), envelope["version"].clone()), (json!("meta"), json!(1)));

    let copy = format!("{NODES}/intent/copy?kind=intent");
    let put = door.put(&copy, &[("content-type", "application/bson")], raw.body.clone()).await;
    assert_eq!(put.status, 201);
    assert_eq!(door.dom.written()[1].kind, Some(NodeKind::Intent));
    assert_eq!(door.get(&format!("{NODES}/intent/copy"), &[]).await.body, raw.body);

    let patch = r#"[{"op": "replace", "path": "/z", "value": 6}]"#;
    let patch_type = ("content-type", "application/json-patch+json");
    let patched = door.ask(Method::PATCH, &path, &[patch_type], patch).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let accept = ("accept", "application/json");
    assert_eq!(door.get(&path, &[accept]).await.json()["content"]["z"], 6);

    let diff = Diff::delete();
    let bson_type = ("content-type", "application/bson");
    assert_eq!(door.ask(Method::PATCH, &path, &[bson_type], diff).await.status, 200);
    assert_eq!(door.get(&path, &[]).await.status, 404);
}

#[tokio::test]
async fn bad_bodies_are_refused_with_what_is_wrong() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    let json_type = ("content-type", "application/json");
    let bson_type = ("content-type", "application/bson");
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    for (headers, body, code) in [
        (json_type, "[1]".to_owned(), "InvalidArgument"),
        (json_type, "{".to_owned(), "InvalidArgument"),
        (json_type, deep, "InvalidArgument"),
        (json_type, "{\"a\":{\"$oid\":\"no\"}}".to_owned(), "InvalidArgument"),
        (bson_type, "nonsense".to_owned(), "InvalidArgument"),
        (json_type, format!("\"{}\"", "x".repeat(5 << 20)), "TooLarge"),
    ] {
        let answer = door.put(&path, &[headers], body).await;
        assert_eq!(answer.json()["code"], code, "{}", answer.text());
    }
    let patch = door.ask(Method::PATCH, &path, &[("content-type", "text/plain")], "x").await;
    assert_eq!(patch.status, 400);
    let text_type = ("content-type", "application/vnd.vdom.text+json");
    let negative = door.ask(Method::PATCH, &path, &[text_type], r#"[{"r": -1}]"#).await;
    assert_eq!(negative.status, 400);
    assert!(door.dom.written().is_empty());
}

#[tokio::test]
async fn large_and_unmeasured_bodies_stream() {
    let door = Door::new();
    let path = format!("{NODES}/big");
    let content = Bytes::from(vec![b'x'; (2 << 20) + 17]);
    assert_eq!(door.put(&path, &[], content.clone()).await.status, 201);
    let read = door.get(&path, &[]).await;
    assert_eq!(read.header("content-length"), content.len().to_string());
    assert_eq!(read.body, content);

    // Without a length, as `curl -T -` sends it.
    let chunked = door.ask(Method::PUT, &path, &[], Body::from("small")).await;
    assert_eq!(chunked.status, 200);
    assert_eq!(door.get(&path, &[]).await.text(), "small");

    let too_long = [("content-length", "104857601")];
    let refused = door.ask(Method::PUT, &path, &too_long, Body::from("x")).await;
    assert_eq!(refused.status, 413);
}

#[tokio::test]
async fn a_write_says_who_why_and_which() {
    let door = Door::new();
    let path = format!("{NODES}/a?message=because&author=bea&actor=pod-7&on_conflict=merge");
    let key = ("idempotency-key", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
    assert_eq!(door.put(&path, &[key], "x").await.status, 201);
    let write = door.dom.written().remove(0);
    assert_eq!(write.message, "because");
    assert_eq!((write.author.as_deref(), write.actor.as_deref()), (Some("bea"), Some("pod-7")));
    assert_eq!(write.on_conflict, OnConflict::Merge);
    let id = write.operation_id.map(|id| id.to_string());
    assert_eq!(id.as_deref(), Some("0f1e2d3c4b5a69788796a5b4c3d2e1f0"));

    for (query, headers, why) in [
        ("?mesage=x", vec![], "did you mean \\\"message\\\"?"),
        ("?on_conflict=fight", vec![], "on_conflict"),
        ("?ack=perhaps", vec![], "ack"),
        ("?kind=folder", vec![], "kind"),
        ("", vec![("idempotency-key", "xyz")], "operation id"),
    ] {
        let refused = door.put(&format!("{NODES}/a{query}"), &headers, "x").await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(why), "{query}: {}", refused.text());
    }
}

#[tokio::test]
async fn reads_wait_for_a_revision_or_say_that_they_cannot() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "x").await;
    let there = door.get(&format!("{NODES}/a?min_revision=1&min_epoch=7&max_age_ms=0"), &[]).await;
    assert_eq!(there.status, 200);
    let later = door.get(&format!("{NODES}/a?min_revision=9"), &[]).await;
    assert_eq!(later.status, 503);
    assert_eq!(later.header("retry-after"), "1");
    let nonsense = door.get(&format!("{NODES}/a?revision=latest"), &[]).await;
    assert!(nonsense.text().contains("not a whole number"), "{}", nonsense.text());
}

#[tokio::test]
async fn a_tree_is_one_object_or_one_line_a_node() {
    let door = Door::new();
    for path in ["lib", "lib/a", "library", "src/b"] {
        door.put(&format!("{NODES}/{path}"), &[], path.to_owned()).await;
    }
    let tree = "/v1/repos/vdom/branches/main/tree?prefix=lib/&include_content=true";
    let object = door.get(tree, &[]).await.json();
    assert_eq!((object["epoch"].clone(), object["revision"].clone()), (json!(EPOCH), json!(4)));
    let paths: Vec<_> = object["entries"].as_array().expect("entries").iter().collect();
    assert_eq!(paths.iter().map(|entry| &entry["path"]).collect::<Vec<_>>(), ["lib", "lib/a"]);
    assert_eq!(paths[1]["content"], "lib/a");
    assert_eq!(paths[1]["size_bytes"], 5);

    let lines = door.get(tree, &[("accept", "application/x-ndjson")]).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    assert_eq!(lines.text().lines().count(), 2);
    for line in lines.text().lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(entry["revision"], 4);
    }
    let empty = door.get("/v1/repos/vdom/branches/main/tree?prefix=none", &[]).await.json();
    assert_eq!(empty, json!({ "epoch": null, "revision": null, "entries": [] }));
}

#[tokio::test]
async fn changes_are_events_that_a_browser_resumes_by_itself() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "1").await;
    door.put(&format!("{NODES}/b"), &[], "2").await;
    let changes = "/v1/repos/vdom/branches/main/changes";
    let answer = door.get(&format!("{changes}?from=7.0&paths=a&paths=b"), &[]).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let text = answer.text();
    let events: Vec<_> = text.split("\n\n").collect();
    assert_eq!(events[0], "retry: 1000");
    assert!(events[1].starts_with("event: change\nid: 7.1\ndata: {\"type\":\"create\""), "{text}");
    assert!(events[2].starts_with("event: change\nid: 7.2\n"), "{text}");
    assert!(events[3].starts_with("event: progress\nid: 7.2\n"), "{text}");
    assert!(events[4].starts_with("event: problem\ndata: {"), "{text}");
    assert!(events[4].contains("\"code\":\"Lagged\""), "{text}");

    // The header is newer than the URL.
    let resumed = door.get(&format!("{changes}?from=7.0"), &[("last-event-id", "7.1")]).await;
    assert!(!resumed.text().contains("id: 7.1\n"), "{}", resumed.text());
    assert!(resumed.text().contains("id: 7.2\n"));

    assert_eq!(door.get(&format!("{changes}?from=6.1"), &[]).await.status, 412);
    for bad in ["yesterday", "7", "0.5", "-1.0"] {
        assert_eq!(door.get(&format!("{changes}?from={bad}"), &[]).await.status, 400, "{bad}");
    }
    for now in ["0.0", "now"] {
        let from_now = door.get(&format!("{changes}?from={now}"), &[]).await.text();
        assert!(!from_now.contains("event: change"), "{now}: {from_now}");
    }
    for earliest in ["0", "earliest"] {
        let from_earliest = door.get(&format!("{changes}?from={earliest}"), &[]).await.text();
        assert!(from_earliest.contains("event: change\nid: 7.1\n"), "{earliest}: {from_earliest}");
    }
}

#[tokio::test]
async fn histories_and_lists_are_json() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "1").await;
    door.put(&format!("{NODES}/a?message=why"), &[], "2").await;
    for path in [format!("{NODES}/a?history&limit=1"), format!("{NODES}/a?history=true&limit=1")] {
        let history = door.get(&path, &[]).await.json();
        assert_eq!(history["changes"].as_array().map(Vec::len), Some(1));
        assert_eq!(history["changes"][0]["message"], "why");
        assert_eq!(history["next_before_revision"], Value::Null);
    }
    let history = door.get("/v1/repos/vdom/branches/main/history", &[]).await.json();
    assert_eq!(history["changes"].as_array().map(Vec::len), Some(2));
    assert_eq!(door.get(&format!("{NODES}/a?history&limit=5000"), &[]).await.status, 400);

    let repos = door.get("/v1/repos?realm=acme", &[]).await.json();
    assert_eq!(repos, json!({ "repos": [{ "name": "repo-of-acme", "branches": 1 }] }));
    let branches = door.get("/v1/repos/vdom/branches", &[]).await.json();
    assert_eq!(branches["branches"][0]["revision"], 2);
}

#[tokio::test]
async fn a_head_has_no_body_and_a_wrong_route_is_named() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    door.put(&path, &[], "content").await;
    let head = door.ask(Method::HEAD, &path, &[], Body::empty()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("x-vdom-version"), "1");
    for path in
        ["/v1/repo", "/v1/repos/vdom/branches/main/nodes", "/v1/repos/vdom/branches/a/b/tree"]
    {
        let wrong = door.get(path, &[]).await;
        assert_eq!(wrong.status, 404, "{path}");
        assert!(wrong.json()["detail"].to_string().contains(path), "{}", wrong.text());
    }
    assert_eq!(door.ask(Method::POST, "/v1/repos", &[], Body::empty()).await.status, 405);
}

#[tokio::test]
async fn nobody_is_told_to_bring_a_token() {
    let router = router(Arc::new(FakeDocumentService::default()));
    let request = Request::get("/v1/repos").body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
}
