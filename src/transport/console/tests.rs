//! What each kind of console answers.

use axum::body::{Body, to_bytes};
use http::header::CONTENT_LENGTH;
use http::{Method, Request};
use tower::ServiceExt;

use super::*;

static FILES: &[EmbeddedFile] = &[
    EmbeddedFile {
        path: "assets/console-1a2b.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"1\"",
        content: b"start()",
    },
    EmbeddedFile {
        path: "assets/vdom-sdk.js",
        content_type: "text/javascript; charset=utf-8",
        etag: "\"2\"",
        content: b"export {}",
    },
    EmbeddedFile {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        etag: "\"3\"",
        content: b"<title>embedded</title>",
    },
];

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn ask(router: &Router, method: Method, path: &str, if_none_match: &str) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(IF_NONE_MATCH, if_none_match)
        .body(Body::empty())
        .expect("a request");
    router.clone().oneshot(request).await.expect("an answer")
}

async fn body(response: Response) -> Bytes {
    to_bytes(response.into_body(), 1 << 20).await.expect("a body")
}

#[tokio::test]
async fn an_embedded_console_is_served_with_its_types_and_ages() {
    let router = embedded(FILES);
    for (path, content_type, cache, content) in [
        ("/", "text/html; charset=utf-8", "no-cache", &b"<title>embedded</title>"[..]),
        ("/assets/vdom-sdk.js", "text/javascript; charset=utf-8", "no-cache", b"export {}"),
        (
            "/assets/console-1a2b.js",
            "text/javascript; charset=utf-8",
            "public, max-age=31536000, immutable",
            b"start()",
        ),
    ] {
        let response = ask(&router, Method::GET, path, "\"another\"").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[CONTENT_TYPE], content_type, "{path}");
        assert_eq!(response.headers()[CACHE_CONTROL], cache, "{path}");
        assert_eq!(body(response).await, content, "{path}");
    }
    assert_eq!(ask(&router, Method::GET, "/assets/x.js", "").await.status(), StatusCode::NOT_FOUND);
    let refused = ask(&router, Method::POST, "/", "").await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_has_the_file_is_told_so_without_a_body() {
    let router = embedded(FILES);
    let etag = ask(&router, Method::GET, "/", "").await.headers()[ETAG].clone();
    let etag = etag.to_str().expect("text");
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for known in [etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let response = ask(&router, Method::GET, "/", &known).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(response.headers()[ETAG], etag);
        assert_eq!(body(response).await, "");
    }
    let other = ask(&router, Method::GET, "/assets/vdom-sdk.js", etag).await;
    assert_eq!(other.status(), StatusCode::OK);

    let head = ask(&router, Method::HEAD, "/", "").await;
    assert_eq!(head.headers()[CONTENT_LENGTH], "23");
    assert_eq!(body(head).await, "");
}

#[tokio::test]
async fn every_console_keeps_to_the_policy() {
    let routers = [embedded(FILES), in_folder(&checkout().join("web/console")), missing()];
    for router in routers {
        let response = ask(&router, Method::GET, "/", "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn a_folder_that_is_named_wins() {
    let folder = checkout().join("web/console");
    let page = ask(&router(Some(&folder)), Method::GET, "/", "").await;
    let expected = std::fs::read(folder.join("index.html")).expect("readable");
    assert_eq!(body(page).await, expected);
}

#[tokio::test]
async fn what_a_build_found_is_embedded_whole() {
    let built = checkout().join("web/console/dist");
    for file in EMBEDDED {
        assert_eq!(file.content, std::fs::read(built.join(file.path)).expect("readable"));
    }
    if !EMBEDDED.is_empty() {
        let page = ask(&router(None), Method::GET, "/", "").await;
        let page = body(page).await;
        let page = str::from_utf8(&page).expect("text");
        let named = EMBEDDED.iter().filter(|file| page.contains(file.path)).count();
        assert!(named > 0, "the page names no embedded asset: {page}");
    }
}

#[tokio::test]
async fn without_a_console_the_page_says_how_to_get_one() {
    let page = body(ask(&missing(), Method::GET, "/", "").await).await;
    let page = str::from_utf8(&page).expect("text");
    for way in ["make run", "make web", "web.console", "/v1/openapi.json"] {
        assert!(page.contains(way), "{way} is not in {page}");
    }
}
