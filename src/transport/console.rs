//! The console: the page that was embedded when this program was built, or a built folder.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Bytes;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower::ServiceBuilder;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

#[cfg(test)]
mod tests;

/// Nothing from elsewhere and nothing inline; calls may go to other gateways.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self' https:; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Asked again each time, and answered with 304 while it is the same.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Names of assets change with their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The page, which names the assets.
const PAGE: &str = "index.html";
/// The client as a module, which keeps its name so that other pages can import it.
const MODULE: &str = "assets/vdom-sdk.js";

/// Shown where there is no console.
const MISSING: &str = "<!doctype html><title>vdom</title><h1>vdom gateway</h1>\
    <p>This program was built without its console. With Node at hand, <code>make run</code> builds \
    both; so do <code>make web</code> in the checkout and a build after it. A folder that is built \
    already can be named in <code>web.console</code>.</p>\
    <p>REST: <a href=\"/v1/openapi.json\">/v1/openapi.json</a>, health: \
    <a href=\"/health/ready\">/health/ready</a>.</p>";

/// A file of the console, as the build script found it.
#[derive(Clone, Copy, Debug)]
struct EmbeddedFile {
    /// Below the console's root, such as `assets/icon.svg`.
    path: &'static str,
    content_type: &'static str,
    /// Strong, with its quotes.
    etag: &'static str,
    content: &'static [u8],
}

/// Empty where no console was built before this program.
static EMBEDDED: &[EmbeddedFile] = include!(concat!(env!("OUT_DIR"), "/embedded_console.rs"));

/// `/` and `/assets`: from `folder` where one is named, else what is embedded, else from
/// where a build leaves it.
pub fn router(folder: Option<&Path>) -> Router {
    match folder {
        Some(folder) => in_folder(folder),
        None if !EMBEDDED.is_empty() => embedded(EMBEDDED),
        None => built_folder().map_or_else(missing, |folder| in_folder(&folder)),
    }
}

/// Files of this program.
fn embedded(files: &'static [EmbeddedFile]) -> Router {
    let router = files.iter().fold(Router::new(), |router, file| {
        let route = match file.path {
            PAGE => "/".to_owned(),
            path => format!("/{path}"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(
            CACHE_CONTROL,
            if matches!(file.path, PAGE | MODULE) { ASK_AGAIN } else { FOREVER },
        );
        headers.insert(ETAG, HeaderValue::from_static(file.etag));
        let content = Bytes::from_static(file.content);
        router.route(
            &route,
            get(async move |request: HeaderMap| -> Response {
                if has_entity(&request, file.etag) {
                    return (StatusCode::NOT_MODIFIED, headers).into_response();
                }
                (headers, content).into_response()
            }),
        )
    });
    with_policy(router)
}

/// Files of a folder, read for each request, so that it can be built anew.
fn in_folder(folder: &Path) -> Router {
    let asked_again = |path: &str| {
        ServiceBuilder::new()
            .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, ASK_AGAIN))
            .service(ServeFile::new(folder.join(path)))
    };
    let assets = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, FOREVER))
        .service(ServeDir::new(folder.join("assets")));
    with_policy(
        Router::new()
            .route_service("/", asked_again(PAGE))
            .route_service(&format!("/{MODULE}"), asked_again(MODULE))
            .nest_service("/assets", assets),
    )
}

/// The page that says how to get a console.
fn missing() -> Router {
    with_policy(Router::new().route("/", get(|| async { Html(MISSING) })))
}

fn with_policy(router: Router) -> Router {
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    router.layer(
        ServiceBuilder::new()
            .layer(header(CONTENT_SECURITY_POLICY, POLICY))
            .layer(header(REFERRER_POLICY, "no-referrer"))
            .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff")),
    )
}

/// Whether the caller says that it has what `etag` names (RFC 9110, section 13.1.2).
fn has_entity(request: &HeaderMap, etag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

/// The checkout's build, or what is installed beside the program.
fn built_folder() -> Option<PathBuf> {
    let installed = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("share/vdom/console")));
    [Some(PathBuf::from("web/console/dist")), installed]
        .into_iter()
        .flatten()
        .find(|folder| folder.join(PAGE).is_file())
}
